/* studio-window-dnd.c — what is dropped on the window, pasted into it, or given on the command line
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "ui/studio-window-private.h"

#include <glib/gi18n.h>
#include <string.h>

#include "ui/studio-settings.h"

#define PNG_SIGNATURE "\x89PNG\r\n\x1a\n"

/* What was found among the files: a picture, or a model and an autoencoder. */
typedef struct
{
  DimrImage *image;
  DimrRecipe *recipe; /* NULL: a picture that is not one of ours */
  char *picture;
  char *model;
  char *autoencoder;
  gboolean left_out;
} Opened;

static void
opened_free (gpointer data)
{
  Opened *opened = data;

  g_clear_pointer (&opened->image, dimr_image_unref);
  g_clear_pointer (&opened->recipe, dimr_recipe_free);
  g_free (opened->picture);
  g_free (opened->model);
  g_free (opened->autoencoder);
  g_free (opened);
}

/* Told by content: names of files that travelled the web lie. */
static gboolean
is_png (const char *path)
{
  g_autoptr(GFile) file = g_file_new_for_path (path);
  g_autoptr(GFileInputStream) stream = g_file_read (file, NULL, NULL);
  char head[8];
  gsize n = 0;

  return stream && g_input_stream_read_all (G_INPUT_STREAM (stream), head, sizeof head, &n, NULL, NULL) &&
         n == sizeof head && memcmp (head, PNG_SIGNATURE, sizeof head) == 0;
}

static gboolean
is_autoencoder (const char *path)
{
  g_autoptr(DimrEntry) entry = dimr_entry_new (path, NULL);

  return entry && dimr_entry_get_kind (entry) == DIMR_ENTRY_AUTOENCODER;
}

/* The first of each kind. */
static void
sort_file (Opened     *opened,
           const char *path)
{
  char **place = is_png (path) ? &opened->picture : is_autoencoder (path) ? &opened->autoencoder : &opened->model;

  if (*place)
    opened->left_out = TRUE;
  else
    *place = g_strdup (path);
}

static void
open_in_thread (GTask        *task,
                gpointer      source,
                gpointer      task_data,
                GCancellable *cancellable)
{
  char **paths = task_data;
  Opened *opened = g_new0 (Opened, 1);
  GError *error = NULL;

  for (guint i = 0; paths[i]; i++)
    sort_file (opened, paths[i]);
  if (opened->picture)
    {
      opened->left_out |= opened->model || opened->autoencoder;
      opened->image = dimr_png_load (opened->picture, &opened->recipe, &error);
    }
  if (error)
    {
      opened_free (opened);
      g_task_return_error (task, error);
    }
  else
    g_task_return_pointer (task, opened, opened_free);
}

static void
restore (StudioWindow *self,
         Opened       *opened)
{
  DimrModel *model = dimr_engine_get_model (self->engine);
  StudioPicture *listed = studio_filmstrip_find_path (studio_generate_view_get_filmstrip (self->view), opened->picture);
  g_autoptr(StudioPicture) picture = NULL;
  g_autofree char *message = NULL;
  const DimrRecipe *recipe = opened->recipe;

  /* One of the strip's is shown as such: it has its star, and can be deleted. */
  picture = listed ? g_object_ref (listed) : studio_picture_new (opened->image, NULL, recipe, opened->picture);
  self->follow = FALSE;
  studio_generate_view_show_picture (self->view, picture);
  _studio_window_update_jobs (self);

  if (!recipe)
    {
      _studio_window_toast (self, _("This picture holds no settings"));
      return;
    }
  if (model && recipe->model_hash && g_strcmp0 (recipe->model_hash, dimr_model_get_hash (model)) != 0)
    message = g_strdup_printf (_("Settings restored; the picture was made by another model, %s"),
                               recipe->model_name ? recipe->model_name : _("unknown"));
  else if (recipe->own_noise)
    message = g_strdup (_("Settings restored, but the picture began with noise of its own that is not in it"));
  else
    message = g_strdup (_("Settings restored"));
  _studio_window_apply_recipe (self, recipe, STUDIO_RECIPE_ALL, message);
}

/* The model of latents that is in use is loaded again with it: see studio-window-models.c. */
static void
use_autoencoder (StudioWindow *self,
                 const char   *path)
{
  g_autofree char *name = g_filename_display_basename (path);
  g_autofree char *text = g_strdup_printf (_("%s decodes latents from now on"), name);

  g_settings_set_string (studio_settings_get (), "autoencoder", path);
  _studio_window_toast (self, text);
}

static void
on_opened (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr(StudioWindow) self = user_data;
  g_autoptr(GError) error = NULL;
  Opened *opened = g_task_propagate_pointer (G_TASK (result), &error);

  if (!self->engine)
    {
      g_clear_pointer (&opened, opened_free);
      return;
    }
  if (!opened)
    {
      _studio_window_show_error (self, error);
      return;
    }
  if (opened->picture)
    restore (self, opened);
  if (!opened->picture && opened->autoencoder)
    use_autoencoder (self, opened->autoencoder);
  if (!opened->picture && opened->model)
    _studio_window_load_model (self, opened->model);
  if (opened->left_out)
    _studio_window_toast (self, _("Not all of the files were opened: one picture, or one model with an autoencoder"));
  opened_free (opened);
}

void
studio_window_open_files (StudioWindow *self,
                          GSList       *files)
{
  g_autoptr(GTask) task = NULL;
  g_autoptr(GStrvBuilder) paths = g_strv_builder_new ();

  g_return_if_fail (STUDIO_IS_WINDOW (self));

  if (!files)
    return;
  for (GSList *l = files; l; l = l->next)
    {
      if (!g_file_peek_path (l->data))
        {
          _studio_window_toast (self, _("Only files of this computer can be opened."));
          return;
        }
      g_strv_builder_add (paths, g_file_peek_path (l->data));
    }
  /* Not the task's source: see studio-window-files.c. */
  task = g_task_new (NULL, NULL, on_opened, g_object_ref (self));
  g_task_set_source_tag (task, studio_window_open_files);
  g_task_set_task_data (task, g_strv_builder_end (paths), (GDestroyNotify) g_strfreev);
  g_task_run_in_thread (task, open_in_thread);
}

void
studio_window_open_file (StudioWindow *self,
                         GFile        *file)
{
  GSList files = { .data = file };

  g_return_if_fail (G_IS_FILE (file));
  studio_window_open_files (self, &files);
}

static gboolean
on_drop (GtkDropTarget *target,
         const GValue  *value,
         double         x,
         double         y,
         StudioWindow  *self)
{
  GSList *files = g_value_get_boxed (value);

  gtk_widget_set_visible (self->drop_overlay, FALSE);
  if (!files)
    return FALSE;
  studio_window_open_files (self, files);
  return TRUE;
}

static GdkDragAction
on_enter (GtkDropTarget *target,
          double         x,
          double         y,
          StudioWindow  *self)
{
  gtk_widget_set_visible (self->drop_overlay, TRUE);
  return GDK_ACTION_COPY;
}

static void
on_leave (GtkDropTarget *target,
          StudioWindow  *self)
{
  gtk_widget_set_visible (self->drop_overlay, FALSE);
}

void
_studio_window_add_drop_target (StudioWindow *self)
{
  GtkDropTarget *target = gtk_drop_target_new (GDK_TYPE_FILE_LIST, GDK_ACTION_COPY);

  g_signal_connect (target, "drop", G_CALLBACK (on_drop), self);
  g_signal_connect (target, "enter", G_CALLBACK (on_enter), self);
  g_signal_connect (target, "leave", G_CALLBACK (on_leave), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (target));
}
