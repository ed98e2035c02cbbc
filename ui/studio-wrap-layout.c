/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-wrap-layout.h"

struct _StudioWrapLayout
{
  GtkLayoutManager parent_instance;

  guint spacing;
};

enum
{
  PROP_SPACING = 1,
  N_PROPS
};

G_DEFINE_FINAL_TYPE (StudioWrapLayout, studio_wrap_layout, GTK_TYPE_LAYOUT_MANAGER)

static GParamSpec *properties[N_PROPS];

static void
child_size (GtkWidget *child,
            int        width,
            int       *child_width,
            int       *child_height)
{
  int minimum, natural;

  gtk_widget_measure (child, GTK_ORIENTATION_HORIZONTAL, -1, &minimum, &natural, NULL, NULL);
  *child_width = MAX (minimum, MIN (natural, width));
  gtk_widget_measure (child, GTK_ORIENTATION_VERTICAL, *child_width, NULL, child_height, NULL, NULL);
}

/* Places the children, or only measures where @place is FALSE; returns the height of all lines. */
static int
lay_out (StudioWrapLayout *self,
         GtkWidget        *widget,
         int               width,
         gboolean          place)
{
  gboolean mirrored = gtk_widget_get_direction (widget) == GTK_TEXT_DIR_RTL;
  int x = 0, y = 0, line = 0;

  for (GtkWidget *child = gtk_widget_get_first_child (widget); child; child = gtk_widget_get_next_sibling (child))
    {
      int w, h;

      if (!gtk_widget_should_layout (child))
        continue;
      child_size (child, width, &w, &h);
      if (x > 0 && x + w > width)
        {
          x = 0;
          y += line + self->spacing;
          line = 0;
        }
      if (place)
        gtk_widget_size_allocate (child, &(GtkAllocation) { mirrored ? width - x - w : x, y, w, h }, -1);
      x += w + self->spacing;
      line = MAX (line, h);
    }
  return y + line;
}

static GtkSizeRequestMode
studio_wrap_layout_get_request_mode (GtkLayoutManager *manager,
                                     GtkWidget        *widget)
{
  return GTK_SIZE_REQUEST_HEIGHT_FOR_WIDTH;
}

static void
studio_wrap_layout_measure (GtkLayoutManager *manager,
                            GtkWidget        *widget,
                            GtkOrientation    orientation,
                            int               for_size,
                            int              *minimum,
                            int              *natural,
                            int              *minimum_baseline,
                            int              *natural_baseline)
{
  StudioWrapLayout *self = STUDIO_WRAP_LAYOUT (manager);
  int min = 0;

  for (GtkWidget *child = gtk_widget_get_first_child (widget); child; child = gtk_widget_get_next_sibling (child))
    {
      int child_min;

      if (!gtk_widget_should_layout (child))
        continue;
      gtk_widget_measure (child, GTK_ORIENTATION_HORIZONTAL, -1, &child_min, NULL, NULL, NULL);
      min = MAX (min, child_min);
    }

  /* As wide as it is allowed to be, but never a reason for its parent to be wider. */
  if (orientation == GTK_ORIENTATION_HORIZONTAL)
    *minimum = *natural = min;
  else
    *minimum = *natural = lay_out (self, widget, for_size < 0 ? min : for_size, FALSE);
}

static void
studio_wrap_layout_allocate (GtkLayoutManager *manager,
                             GtkWidget        *widget,
                             int               width,
                             int               height,
                             int               baseline)
{
  lay_out (STUDIO_WRAP_LAYOUT (manager), widget, width, TRUE);
}

static void
studio_wrap_layout_get_property (GObject    *object,
                                 guint       prop_id,
                                 GValue     *value,
                                 GParamSpec *pspec)
{
  g_value_set_uint (value, STUDIO_WRAP_LAYOUT (object)->spacing);
}

static void
studio_wrap_layout_set_property (GObject      *object,
                                 guint         prop_id,
                                 const GValue *value,
                                 GParamSpec   *pspec)
{
  STUDIO_WRAP_LAYOUT (object)->spacing = g_value_get_uint (value);
  gtk_layout_manager_layout_changed (GTK_LAYOUT_MANAGER (object));
}

static void
studio_wrap_layout_class_init (StudioWrapLayoutClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkLayoutManagerClass *layout_class = GTK_LAYOUT_MANAGER_CLASS (klass);

  object_class->get_property = studio_wrap_layout_get_property;
  object_class->set_property = studio_wrap_layout_set_property;
  layout_class->get_request_mode = studio_wrap_layout_get_request_mode;
  layout_class->measure = studio_wrap_layout_measure;
  layout_class->allocate = studio_wrap_layout_allocate;

  properties[PROP_SPACING] = g_param_spec_uint ("spacing", NULL, NULL, 0, 100, 6, G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
studio_wrap_layout_init (StudioWrapLayout *self)
{
  self->spacing = 6;
}

GtkLayoutManager *
studio_wrap_layout_new (guint spacing)
{
  return g_object_new (STUDIO_TYPE_WRAP_LAYOUT, "spacing", spacing, NULL);
}
