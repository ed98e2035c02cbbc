/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-canvas-private.h"

#include <math.h>

#include "ui/studio-canvas-cell.h"

#define MARGIN 12.0
#define GAP 6.0

struct _StudioCanvas
{
  GtkWidget parent_instance;

  GPtrArray *cells;
  StudioViewport *viewport;
  GdkRGBA background;
  guint selected;
  gboolean solo;
  gboolean smooth;
  guint resized; /* idle that tells about another size */
};

enum
{
  PROP_SCALE = 1,
  PROP_SELECTED,
  PROP_SOLO,
  PROP_SMOOTH,
  N_PROPS
};

G_DEFINE_FINAL_TYPE (StudioCanvas, studio_canvas, GTK_TYPE_WIDGET)

static GParamSpec *properties[N_PROPS];

/* --- Layout --- */

static gboolean
picture_size (StudioCanvas *self,
              double       *width,
              double       *height)
{
  for (guint i = 0; i < self->cells->len; i++)
    {
      DimrImage *image = studio_canvas_cell_peek_image (g_ptr_array_index (self->cells, i));

      if (image)
        {
          *width = dimr_image_get_width (image);
          *height = dimr_image_get_height (image);
          return TRUE;
        }
    }
  return FALSE;
}

gboolean
_studio_canvas_layout (StudioCanvas       *self,
                       StudioCanvasLayout *layout)
{
  double device = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  double width = gtk_widget_get_width (GTK_WIDGET (self));
  double height = gtk_widget_get_height (GTK_WIDGET (self));
  guint n = self->solo ? 1 : self->cells->len;
  double pw, ph, cx, cy, best = 0;

  if (n == 0 || !picture_size (self, &pw, &ph))
    return FALSE;

  /* The number of columns with which the pictures come out largest. */
  layout->n_columns = 1;
  for (guint columns = 1; columns <= n; columns++)
    {
      guint rows = (n + columns - 1) / columns;
      double fit = MIN ((width - 2 * MARGIN - (columns - 1) * GAP) / (columns * pw),
                        (height - 2 * MARGIN - (rows - 1) * GAP) / (rows * ph));

      if (fit > best)
        {
          best = fit;
          layout->n_columns = columns;
        }
    }
  layout->n_rows = (n + layout->n_columns - 1) / layout->n_columns;

  if (!studio_viewport_is_fit (self->viewport))
    layout->scale = studio_viewport_get_zoom (self->viewport) / device;
  else if (best * device > 1 && !self->smooth)
    layout->scale = floor (best * device) / device;
  else
    layout->scale = MAX (best, STUDIO_VIEWPORT_MIN_ZOOM / device);

  layout->cell_w = pw * layout->scale;
  layout->cell_h = ph * layout->scale;
  layout->width = layout->n_columns * layout->cell_w + (layout->n_columns - 1) * GAP;
  layout->height = layout->n_rows * layout->cell_h + (layout->n_rows - 1) * GAP;

  /* What fits is centred; what does not follows the viewport's centre, without a void at the edges. */
  studio_viewport_get_center (self->viewport, &cx, &cy);
  if (layout->width <= width)
    layout->x = (width - layout->width) / 2;
  else
    layout->x = CLAMP (width / 2 - cx * layout->width, width - layout->width, 0);
  if (layout->height <= height)
    layout->y = (height - layout->height) / 2;
  else
    layout->y = CLAMP (height / 2 - cy * layout->height, height - layout->height, 0);

  /* Whole device pixels, lest a crisp picture lies between two of them. */
  layout->x = round (layout->x * device) / device;
  layout->y = round (layout->y * device) / device;
  return TRUE;
}

static void
cell_rect (const StudioCanvasLayout *layout,
           guint                     position,
           graphene_rect_t          *rect)
{
  graphene_rect_init (rect,
                      layout->x + (position % layout->n_columns) * (layout->cell_w + GAP),
                      layout->y + (position / layout->n_columns) * (layout->cell_h + GAP),
                      layout->cell_w, layout->cell_h);
}

int
_studio_canvas_cell_at (StudioCanvas *self,
                        double        x,
                        double        y)
{
  StudioCanvasLayout layout;

  if (!_studio_canvas_layout (self, &layout))
    return -1;

  for (guint i = 0; i < (self->solo ? 1 : self->cells->len); i++)
    {
      graphene_rect_t rect;

      cell_rect (&layout, i, &rect);
      if (graphene_rect_contains_point (&rect, &GRAPHENE_POINT_INIT (x, y)))
        return self->solo ? (int) self->selected : (int) i;
    }
  return -1;
}

void
_studio_canvas_zoom_at (StudioCanvas *self,
                        double        zoom,
                        double        x,
                        double        y)
{
  double width = gtk_widget_get_width (GTK_WIDGET (self));
  double height = gtk_widget_get_height (GTK_WIDGET (self));
  StudioCanvasLayout before, after;
  double u, v;

  if (!_studio_canvas_layout (self, &before))
    return;

  /* The fraction of the content under the pointer comes to lie there again. */
  u = (x - before.x) / before.width;
  v = (y - before.y) / before.height;
  studio_viewport_set_zoom (self->viewport, zoom);
  if (!_studio_canvas_layout (self, &after))
    return;
  studio_viewport_set_center (self->viewport,
                              u - (x - width / 2) / after.width,
                              v - (y - height / 2) / after.height);
}

void
_studio_canvas_pan (StudioCanvas *self,
                    double        dx,
                    double        dy)
{
  double width = gtk_widget_get_width (GTK_WIDGET (self));
  double height = gtk_widget_get_height (GTK_WIDGET (self));
  StudioCanvasLayout layout;

  if (!_studio_canvas_layout (self, &layout))
    return;
  studio_viewport_set_center (self->viewport,
                              (width / 2 - layout.x - dx) / layout.width,
                              (height / 2 - layout.y - dy) / layout.height);
}

/* --- Drawing --- */

static void
studio_canvas_snapshot (GtkWidget   *widget,
                        GtkSnapshot *snapshot)
{
  StudioCanvas *self = STUDIO_CANVAS (widget);
  graphene_rect_t bounds = GRAPHENE_RECT_INIT (0, 0, gtk_widget_get_width (widget), gtk_widget_get_height (widget));
  StudioCanvasLayout layout;

  gtk_snapshot_append_color (snapshot, &self->background, &bounds);
  if (!_studio_canvas_layout (self, &layout))
    return;

  gtk_snapshot_push_clip (snapshot, &bounds);
  for (guint i = 0; i < (self->solo ? 1 : self->cells->len); i++)
    {
      guint index = self->solo ? self->selected : i;
      graphene_rect_t rect;

      cell_rect (&layout, i, &rect);
      studio_canvas_cell_snapshot (g_ptr_array_index (self->cells, index), snapshot, &rect, self->smooth);

      if (!self->solo && self->cells->len > 1 && index == self->selected)
        {
          const float w[4] = { 2, 2, 2, 2 };
          const GdkRGBA white = { 1, 1, 1, 1 };
          const GdkRGBA colors[4] = { white, white, white, white };
          GskRoundedRect outline;

          graphene_rect_inset (&rect, -3, -3);
          gsk_rounded_rect_init_from_rect (&outline, &rect, 3);
          gtk_snapshot_append_border (snapshot, &outline, w, colors);
        }
    }
  gtk_snapshot_pop (snapshot);
}

static void
studio_canvas_measure (GtkWidget      *widget,
                       GtkOrientation  orientation,
                       int             for_size,
                       int            *minimum,
                       int            *natural,
                       int            *minimum_baseline,
                       int            *natural_baseline)
{
  *minimum = orientation == GTK_ORIENTATION_HORIZONTAL ? 240 : 160;
  *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? 320 : 320;
}

static gboolean
on_resized (gpointer user_data)
{
  StudioCanvas *self = user_data;

  self->resized = 0;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SCALE]);
  return G_SOURCE_REMOVE;
}

static void
studio_canvas_size_allocate (GtkWidget *widget,
                             int        width,
                             int        height,
                             int        baseline)
{
  StudioCanvas *self = STUDIO_CANVAS (widget);

  /* Not now: who hears of it may want to be laid out anew. */
  if (!self->resized)
    self->resized = g_idle_add (on_resized, self);
}

static void
on_viewport_changed (StudioCanvas *self)
{
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

static void
studio_canvas_dispose (GObject *object)
{
  StudioCanvas *self = STUDIO_CANVAS (object);

  g_clear_handle_id (&self->resized, g_source_remove);
  g_ptr_array_set_size (self->cells, 0);
  G_OBJECT_CLASS (studio_canvas_parent_class)->dispose (object);
}

static void
studio_canvas_finalize (GObject *object)
{
  StudioCanvas *self = STUDIO_CANVAS (object);

  g_ptr_array_unref (self->cells);
  g_object_unref (self->viewport);
  G_OBJECT_CLASS (studio_canvas_parent_class)->finalize (object);
}

static void
studio_canvas_get_property (GObject    *object,
                            guint       prop_id,
                            GValue     *value,
                            GParamSpec *pspec)
{
  StudioCanvas *self = STUDIO_CANVAS (object);

  switch (prop_id)
    {
    case PROP_SCALE:
      g_value_set_double (value, studio_canvas_get_scale (self));
      break;
    case PROP_SELECTED:
      g_value_set_uint (value, self->selected);
      break;
    case PROP_SOLO:
      g_value_set_boolean (value, self->solo);
      break;
    case PROP_SMOOTH:
      g_value_set_boolean (value, self->smooth);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
studio_canvas_set_property (GObject      *object,
                            guint         prop_id,
                            const GValue *value,
                            GParamSpec   *pspec)
{
  StudioCanvas *self = STUDIO_CANVAS (object);

  switch (prop_id)
    {
    case PROP_SELECTED:
      studio_canvas_set_selected (self, g_value_get_uint (value));
      break;
    case PROP_SOLO:
      studio_canvas_set_solo (self, g_value_get_boolean (value));
      break;
    case PROP_SMOOTH:
      studio_canvas_set_smooth (self, g_value_get_boolean (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
studio_canvas_class_init (StudioCanvasClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->dispose = studio_canvas_dispose;
  object_class->finalize = studio_canvas_finalize;
  object_class->get_property = studio_canvas_get_property;
  object_class->set_property = studio_canvas_set_property;
  widget_class->snapshot = studio_canvas_snapshot;
  widget_class->measure = studio_canvas_measure;
  widget_class->size_allocate = studio_canvas_size_allocate;

  properties[PROP_SCALE] = g_param_spec_double ("scale", NULL, NULL, 0, G_MAXDOUBLE, 0,
                                                G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  properties[PROP_SELECTED] = g_param_spec_uint ("selected", NULL, NULL, 0, G_MAXUINT, 0, flags);
  properties[PROP_SOLO] = g_param_spec_boolean ("solo", NULL, NULL, FALSE, flags);
  properties[PROP_SMOOTH] = g_param_spec_boolean ("smooth", NULL, NULL, FALSE, flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  gtk_widget_class_set_css_name (widget_class, "studio-canvas");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_IMG);
  _studio_canvas_class_add_input (widget_class);
}

static void
studio_canvas_init (StudioCanvas *self)
{
  self->cells = g_ptr_array_new_with_free_func ((GDestroyNotify) studio_canvas_cell_free);
  self->viewport = studio_viewport_new ();
  gdk_rgba_parse (&self->background, "#777777");
  g_signal_connect_object (self->viewport, "changed", G_CALLBACK (on_viewport_changed), self, G_CONNECT_SWAPPED);

  gtk_widget_set_focusable (GTK_WIDGET (self), TRUE);
  gtk_widget_set_overflow (GTK_WIDGET (self), GTK_OVERFLOW_HIDDEN);
  _studio_canvas_add_input (self);
}

GtkWidget *
studio_canvas_new (void)
{
  return g_object_new (STUDIO_TYPE_CANVAS, NULL);
}

StudioViewport *
studio_canvas_get_viewport (StudioCanvas *self)
{
  g_return_val_if_fail (STUDIO_IS_CANVAS (self), NULL);
  return self->viewport;
}

guint
studio_canvas_get_n_cells (StudioCanvas *self)
{
  g_return_val_if_fail (STUDIO_IS_CANVAS (self), 0);
  return self->cells->len;
}

void
studio_canvas_set_n_cells (StudioCanvas *self,
                           guint         n)
{
  g_return_if_fail (STUDIO_IS_CANVAS (self));

  g_ptr_array_set_size (self->cells, 0);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (self->cells, studio_canvas_cell_new (GTK_WIDGET (self)));
  studio_canvas_set_solo (self, FALSE);
  studio_canvas_set_selected (self, 0);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

void
studio_canvas_set_image (StudioCanvas *self,
                         guint         index,
                         DimrImage    *image,
                         gboolean      final)
{
  g_return_if_fail (STUDIO_IS_CANVAS (self));
  g_return_if_fail (index < self->cells->len);
  g_return_if_fail (image != NULL);

  studio_canvas_cell_set_image (g_ptr_array_index (self->cells, index), image, final);
}

DimrImage *
studio_canvas_peek_image (StudioCanvas *self,
                          guint         index)
{
  g_return_val_if_fail (STUDIO_IS_CANVAS (self), NULL);

  if (index >= self->cells->len)
    return NULL;
  return studio_canvas_cell_peek_image (g_ptr_array_index (self->cells, index));
}

guint
studio_canvas_get_selected (StudioCanvas *self)
{
  g_return_val_if_fail (STUDIO_IS_CANVAS (self), 0);
  return self->selected;
}

void
studio_canvas_set_selected (StudioCanvas *self,
                            guint         cell)
{
  g_return_if_fail (STUDIO_IS_CANVAS (self));

  cell = self->cells->len ? MIN (cell, self->cells->len - 1) : 0;
  if (cell == self->selected)
    return;
  self->selected = cell;
  gtk_widget_queue_draw (GTK_WIDGET (self));
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SELECTED]);
}

gboolean
studio_canvas_get_solo (StudioCanvas *self)
{
  g_return_val_if_fail (STUDIO_IS_CANVAS (self), FALSE);
  return self->solo;
}

void
studio_canvas_set_solo (StudioCanvas *self,
                        gboolean      solo)
{
  g_return_if_fail (STUDIO_IS_CANVAS (self));

  if (solo == self->solo)
    return;
  self->solo = solo;
  gtk_widget_queue_draw (GTK_WIDGET (self));
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SOLO]);
}

gboolean
studio_canvas_get_smooth (StudioCanvas *self)
{
  g_return_val_if_fail (STUDIO_IS_CANVAS (self), FALSE);
  return self->smooth;
}

void
studio_canvas_set_smooth (StudioCanvas *self,
                          gboolean      smooth)
{
  g_return_if_fail (STUDIO_IS_CANVAS (self));

  if (smooth == self->smooth)
    return;
  self->smooth = smooth;
  gtk_widget_queue_draw (GTK_WIDGET (self));
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_SMOOTH]);
}

void
studio_canvas_set_background (StudioCanvas  *self,
                              const GdkRGBA *background)
{
  g_return_if_fail (STUDIO_IS_CANVAS (self));

  self->background = *background;
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

double
studio_canvas_get_scale (StudioCanvas *self)
{
  StudioCanvasLayout layout;

  g_return_val_if_fail (STUDIO_IS_CANVAS (self), 0);

  if (!_studio_canvas_layout (self, &layout))
    return 0;
  return layout.scale * gtk_widget_get_scale_factor (GTK_WIDGET (self));
}

static void
zoom_step (StudioCanvas *self,
           gboolean      closer)
{
  double scale = studio_canvas_get_scale (self);

  if (scale > 0)
    _studio_canvas_zoom_at (self, studio_viewport_next_zoom (scale, closer),
                            gtk_widget_get_width (GTK_WIDGET (self)) / 2.0,
                            gtk_widget_get_height (GTK_WIDGET (self)) / 2.0);
}

void
studio_canvas_zoom_in (StudioCanvas *self)
{
  g_return_if_fail (STUDIO_IS_CANVAS (self));
  zoom_step (self, TRUE);
}

void
studio_canvas_zoom_out (StudioCanvas *self)
{
  g_return_if_fail (STUDIO_IS_CANVAS (self));
  zoom_step (self, FALSE);
}
