/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-generate-view.h"

#include <glib/gi18n.h>

#include "ui/studio-format.h"

/* Larger jobs show only the batch that is running, lest the pictures become stamps. */
#define MAX_CELLS 36

/* Either @job with @first and @pictures (one for each cell, NULL while it forms), or no job and at
 * most one picture in @pictures. @waiting is a job to be shown once it has something to show. */
struct _StudioGenerateView
{
  GtkBox parent_instance;

  StudioCanvas *canvas;
  GtkLabel *hint;
  GtkWidget *live_button;
  StudioRunButton *run_button;
  GtkLabel *status;
  GtkWidget *fit_button;
  GtkWidget *original_button;
  GtkWidget *out_button;
  GtkLabel *zoom;
  GtkWidget *in_button;
  GtkWidget *smooth_button;
  StudioFilmstrip *filmstrip;

  DimrJob *waiting;
  DimrJob *job;
  guint first;
  GPtrArray *pictures;
  GCancellable *reading;
  gboolean selecting; /* the strip follows the canvas, not the other way round */
};

enum
{
  FOCUS_CHANGED,
  PICKED,
  LIVE_CLICKED,
  N_SIGNALS
};

G_DEFINE_FINAL_TYPE (StudioGenerateView, studio_generate_view, GTK_TYPE_BOX)

static guint signals[N_SIGNALS];

static void
picture_unref (gpointer data)
{
  if (data)
    g_object_unref (data);
}

static void
update_zoom (StudioGenerateView *self)
{
  double scale = studio_canvas_get_scale (self->canvas);
  g_autofree char *text = NULL;

  if (scale > 0)
    /* Translators: how much a picture is enlarged. */
    text = g_strdup_printf (_("%.0f %%"), scale * 100);
  gtk_label_set_text (self->zoom, text ? text : "");
}

static void
update_hint (StudioGenerateView *self)
{
  gtk_widget_set_visible (GTK_WIDGET (self->hint), studio_canvas_get_n_cells (self->canvas) == 0 &&
                          *gtk_label_get_text (self->hint) != '\0');
}

static void
focus_changed (StudioGenerateView *self)
{
  StudioPicture *picture = studio_generate_view_get_picture (self);
  g_autofree char *title = NULL;

  self->selecting = TRUE;
  studio_filmstrip_select (self->filmstrip, picture);
  self->selecting = FALSE;

  if (picture)
    title = studio_picture_dup_title (picture);
  else if (self->job)
    title = g_strdup (_("A picture that is forming"));
  else
    title = g_strdup (_("Empty canvas"));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->canvas), GTK_ACCESSIBLE_PROPERTY_LABEL, title, -1);
  update_hint (self);
  update_zoom (self);
  g_signal_emit (self, signals[FOCUS_CHANGED], 0);
}

static void
stop_reading (StudioGenerateView *self)
{
  g_cancellable_cancel (self->reading);
  g_clear_object (&self->reading);
}

/* --- A job --- */

/* The cells that show @job now. */
static void
cells_of (DimrJob *job,
          guint   *first,
          guint   *n)
{
  *first = 0;
  *n = dimr_job_get_n_images (job);
  if (*n > MAX_CELLS)
    {
      dimr_job_get_batch (job, first, n);
      *n = CLAMP (*n, 1, MAX_CELLS);
    }
}

/* The finished pictures of @job by index, NULL for those that are not: kept with the job, so that
 * it can be shown again after something else was looked at. */
static GPtrArray *
pictures_of (DimrJob *job)
{
  GPtrArray *pictures = g_object_get_data (G_OBJECT (job), "studio-pictures");

  if (!pictures)
    {
      pictures = g_ptr_array_new_with_free_func (picture_unref);
      g_ptr_array_set_size (pictures, dimr_job_get_n_images (job));
      g_object_set_data_full (G_OBJECT (job), "studio-pictures", pictures, (GDestroyNotify) g_ptr_array_unref);
    }
  return pictures;
}

/* Who walks through a large folder must not keep all of it in memory. */
static void
release_pictures (StudioGenerateView *self,
                  StudioPicture      *but)
{
  for (guint i = 0; i < self->pictures->len; i++)
    {
      StudioPicture *picture = g_ptr_array_index (self->pictures, i);

      if (picture && picture != but)
        studio_picture_release_image (picture);
    }
  g_ptr_array_set_size (self->pictures, 0);
}

static void
begin_job (StudioGenerateView *self,
           DimrJob            *job)
{
  GPtrArray *known = pictures_of (job);
  guint n;

  stop_reading (self);
  g_set_object (&self->job, job);
  g_clear_object (&self->waiting);
  cells_of (job, &self->first, &n);
  release_pictures (self, NULL);
  for (guint i = 0; i < n; i++)
    {
      StudioPicture *picture = g_ptr_array_index (known, self->first + i);

      g_ptr_array_add (self->pictures, picture ? g_object_ref (picture) : NULL);
    }
  studio_canvas_set_n_cells (self->canvas, n);
}

void
studio_generate_view_show_job (StudioGenerateView *self,
                               DimrJob            *job)
{
  g_return_if_fail (STUDIO_IS_GENERATE_VIEW (self));
  g_return_if_fail (DIMR_IS_JOB (job));

  if (job == self->job || job == self->waiting)
    return;
  g_set_object (&self->waiting, job);
  studio_generate_view_update_job (self, job);
}

void
studio_generate_view_update_job (StudioGenerateView *self,
                                 DimrJob            *job)
{
  guint first, n;
  gboolean begun = FALSE;

  g_return_if_fail (STUDIO_IS_GENERATE_VIEW (self));
  g_return_if_fail (DIMR_IS_JOB (job));

  if (job != self->job && job != self->waiting)
    return;

  cells_of (job, &first, &n);
  for (guint i = 0; i < n; i++)
    {
      DimrImage *image = dimr_job_peek_image (job, first + i);

      if (!image)
        continue;
      if (!begun && (job == self->waiting || first != self->first || n != self->pictures->len))
        begin_job (self, job);
      begun = TRUE;
      studio_canvas_set_image (self->canvas, i, image, dimr_job_is_image_done (job, first + i));
    }
  if (begun)
    focus_changed (self);
}

void
studio_generate_view_add_picture (StudioGenerateView *self,
                                  DimrJob            *job,
                                  guint               index,
                                  StudioPicture      *picture)
{
  GPtrArray *known;

  g_return_if_fail (STUDIO_IS_GENERATE_VIEW (self));

  known = pictures_of (job);
  g_return_if_fail (index < known->len && !g_ptr_array_index (known, index));
  g_ptr_array_index (known, index) = g_object_ref (picture);
  self->selecting = TRUE;
  studio_filmstrip_prepend (self->filmstrip, picture);
  self->selecting = FALSE;

  studio_generate_view_update_job (self, job);
  if (job != self->job || index < self->first || index - self->first >= self->pictures->len)
    return;
  if (!g_ptr_array_index (self->pictures, index - self->first))
    g_ptr_array_index (self->pictures, index - self->first) = g_object_ref (picture);
  focus_changed (self);
}

/* --- A picture --- */

static void
put_picture (StudioGenerateView *self,
             StudioPicture      *picture)
{
  stop_reading (self);
  g_clear_object (&self->job);
  g_clear_object (&self->waiting);
  release_pictures (self, picture);
  if (picture)
    g_ptr_array_add (self->pictures, g_object_ref (picture));
  studio_canvas_set_n_cells (self->canvas, self->pictures->len);
  if (picture)
    studio_canvas_set_image (self->canvas, 0, studio_picture_peek_image (picture), FALSE);
  focus_changed (self);
}

static void
recipe_free (gpointer data)
{
  dimr_recipe_free (data);
}

static void
read_in_thread (GTask        *task,
                gpointer      source,
                gpointer      task_data,
                GCancellable *cancellable)
{
  GError *error = NULL;
  DimrRecipe *recipe = NULL;
  DimrImage *image = dimr_png_load (task_data, &recipe, &error);

  /* The recipe rides on the task: a picture that was only listed has none yet. */
  g_object_set_data_full (G_OBJECT (task), "recipe", recipe, recipe_free);
  if (image)
    g_task_return_pointer (task, image, (GDestroyNotify) dimr_image_unref);
  else
    g_task_return_error (task, error);
}

static void
on_read (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  StudioPicture *picture = STUDIO_PICTURE (source);
  g_autoptr(StudioGenerateView) self = user_data;
  g_autoptr(GError) error = NULL;
  g_autoptr(DimrImage) image = g_task_propagate_pointer (G_TASK (result), &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  if (!image)
    {
      studio_generate_view_set_status (self, error->message);
      return;
    }
  studio_picture_set_image (picture, image, g_object_get_data (G_OBJECT (result), "recipe"));
  put_picture (self, picture);
}

void
studio_generate_view_show_picture (StudioGenerateView *self,
                                   StudioPicture      *picture)
{
  g_autoptr(GTask) task = NULL;

  g_return_if_fail (STUDIO_IS_GENERATE_VIEW (self));

  stop_reading (self);
  if (!picture || studio_picture_peek_image (picture))
    {
      put_picture (self, picture);
      return;
    }

  self->reading = g_cancellable_new ();
  task = g_task_new (picture, self->reading, on_read, g_object_ref (self));
  g_task_set_source_tag (task, studio_generate_view_show_picture);
  g_task_set_task_data (task, g_strdup (studio_picture_peek_path (picture)), g_free);
  g_task_run_in_thread (task, read_in_thread);
}

static void
on_strip_selected (StudioGenerateView *self)
{
  StudioPicture *picture = studio_filmstrip_get_selected (self->filmstrip);

  if (self->selecting || !picture || picture == studio_generate_view_get_picture (self))
    return;
  g_signal_emit (self, signals[PICKED], 0);
  studio_generate_view_show_picture (self, picture);
}

static void
on_live_clicked (StudioGenerateView *self)
{
  g_signal_emit (self, signals[LIVE_CLICKED], 0);
}

/* --- Life --- */

static void
studio_generate_view_dispose (GObject *object)
{
  StudioGenerateView *self = STUDIO_GENERATE_VIEW (object);
  GtkWidget *child;

  stop_reading (self);
  g_clear_object (&self->waiting);
  g_clear_object (&self->job);
  g_ptr_array_set_size (self->pictures, 0);
  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self))))
    gtk_box_remove (GTK_BOX (self), child);
  G_OBJECT_CLASS (studio_generate_view_parent_class)->dispose (object);
}

static void
studio_generate_view_finalize (GObject *object)
{
  g_ptr_array_unref (STUDIO_GENERATE_VIEW (object)->pictures);
  G_OBJECT_CLASS (studio_generate_view_parent_class)->finalize (object);
}

static void
studio_generate_view_class_init (StudioGenerateViewClass *klass)
{
  static const char * const names[N_SIGNALS] = { "focus-changed", "picked", "live-clicked" };
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (STUDIO_TYPE_CANVAS);
  g_type_ensure (STUDIO_TYPE_FILMSTRIP);
  g_type_ensure (STUDIO_TYPE_RUN_BUTTON);
  object_class->dispose = studio_generate_view_dispose;
  object_class->finalize = studio_generate_view_finalize;
  for (guint i = 0; i < N_SIGNALS; i++)
    signals[i] = g_signal_new (names[i], G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);

  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-generate-view.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, canvas);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, hint);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, live_button);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, run_button);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, status);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, fit_button);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, original_button);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, out_button);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, zoom);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, in_button);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, smooth_button);
  gtk_widget_class_bind_template_child (widget_class, StudioGenerateView, filmstrip);
  gtk_widget_class_bind_template_callback (widget_class, on_live_clicked);
}

static void
name_widget (gpointer    widget,
             const char *name)
{
  gtk_accessible_update_property (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static void
studio_generate_view_init (StudioGenerateView *self)
{
  self->pictures = g_ptr_array_new_with_free_func (picture_unref);
  gtk_widget_init_template (GTK_WIDGET (self));

  name_widget (self->canvas, _("Empty canvas"));
  name_widget (self->fit_button, _("Fit"));
  name_widget (self->original_button, _("Original size"));
  name_widget (self->out_button, _("Zoom out"));
  name_widget (self->in_button, _("Zoom in"));
  name_widget (self->smooth_button, _("Smooth enlarged pictures"));
  g_signal_connect_object (self->canvas, "notify::selected", G_CALLBACK (focus_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->canvas, "notify::solo", G_CALLBACK (focus_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->canvas, "notify::scale", G_CALLBACK (update_zoom), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->canvas, "notify::smooth", G_CALLBACK (update_zoom), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (studio_canvas_get_viewport (self->canvas), "changed", G_CALLBACK (update_zoom), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->filmstrip, "notify::selected", G_CALLBACK (on_strip_selected), self, G_CONNECT_SWAPPED);
}

StudioCanvas *
studio_generate_view_get_canvas (StudioGenerateView *self)
{
  g_return_val_if_fail (STUDIO_IS_GENERATE_VIEW (self), NULL);
  return self->canvas;
}

StudioFilmstrip *
studio_generate_view_get_filmstrip (StudioGenerateView *self)
{
  g_return_val_if_fail (STUDIO_IS_GENERATE_VIEW (self), NULL);
  return self->filmstrip;
}

StudioPicture *
studio_generate_view_get_picture (StudioGenerateView *self)
{
  guint selected;

  g_return_val_if_fail (STUDIO_IS_GENERATE_VIEW (self), NULL);

  selected = studio_canvas_get_selected (self->canvas);
  return selected < self->pictures->len ? g_ptr_array_index (self->pictures, selected) : NULL;
}

StudioRunButton *
studio_generate_view_get_run_button (StudioGenerateView *self)
{
  g_return_val_if_fail (STUDIO_IS_GENERATE_VIEW (self), NULL);
  return self->run_button;
}

DimrJob *
studio_generate_view_get_job (StudioGenerateView *self,
                              guint              *index)
{
  g_return_val_if_fail (STUDIO_IS_GENERATE_VIEW (self), NULL);

  if (self->job && index)
    *index = self->first + studio_canvas_get_selected (self->canvas);
  return self->job;
}

void
studio_generate_view_set_hint (StudioGenerateView *self,
                               const char         *hint)
{
  g_return_if_fail (STUDIO_IS_GENERATE_VIEW (self));

  gtk_label_set_text (self->hint, hint ? hint : "");
  update_hint (self);
}

void
studio_generate_view_set_status (StudioGenerateView *self,
                                 const char         *status)
{
  g_return_if_fail (STUDIO_IS_GENERATE_VIEW (self));
  gtk_label_set_text (self->status, status ? status : "");
}

void
studio_generate_view_set_has_live (StudioGenerateView *self,
                                   gboolean            has_live)
{
  g_return_if_fail (STUDIO_IS_GENERATE_VIEW (self));
  gtk_widget_set_visible (self->live_button, has_live);
}
