/* studio-window-files.c — saving, copying and deleting pictures, and the folder they are in
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "ui/studio-window-private.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <unistd.h>

#include "ui/studio-settings.h"
#include "ui/studio-texture.h"

#define UNDO_SECONDS 6

/* --- The output folder --- */

static void
on_folder_read (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  g_autoptr(StudioWindow) self = user_data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) pictures = studio_pictures_read_finish (result, &error);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) || !self->engine)
    return;
  g_clear_object (&self->listing);
  if (!pictures)
    {
      _studio_window_show_error (self, error);
      return;
    }

  /* What was made meanwhile is in the strip, and on disk too. */
  studio_filmstrip_append_new (studio_generate_view_get_filmstrip (self->view), pictures);
}

void
_studio_window_read_folder (StudioWindow *self)
{
  g_autofree char *folder = studio_settings_dup_output_folder ();

  g_cancellable_cancel (self->listing);
  g_clear_object (&self->listing);
  self->listing = g_cancellable_new ();
  studio_filmstrip_clear (studio_generate_view_get_filmstrip (self->view));
  studio_pictures_read_async (folder, self->listing, on_folder_read, g_object_ref (self));
}

/* Whether @folder can be written, or could be made. */
static gboolean
folder_is_writable (const char *folder)
{
  g_autofree char *at = g_strdup (folder);

  while (access (at, F_OK) != 0 && errno == ENOENT)
    {
      g_autofree char *parent = g_path_get_dirname (at);

      if (g_strcmp0 (parent, at) == 0)
        return FALSE;
      g_free (at);
      at = g_steal_pointer (&parent);
    }
  return g_file_test (at, G_FILE_TEST_IS_DIR) && access (at, W_OK | X_OK) == 0;
}

static void
check_in_thread (GTask        *task,
                 gpointer      source,
                 gpointer      task_data,
                 GCancellable *cancellable)
{
  g_task_return_boolean (task, folder_is_writable (task_data));
}

static void
on_folder_checked (GObject      *source,
                   GAsyncResult *result,
                   gpointer      user_data)
{
  g_autoptr(StudioWindow) self = user_data;
  const char *folder = g_task_get_task_data (G_TASK (result));
  g_autofree char *text = NULL;

  if (!self->engine)
    return;
  self->folder_is_good = g_task_propagate_boolean (G_TASK (result), NULL);
  if (!self->folder_is_good)
    text = g_strdup_printf (_("Pictures are not saved, because nothing can be written in “%s”. Choose another output folder."),
                            folder);
  studio_banner_show (self->folder_banner, text, _("Preferences"), "app.preferences");
}

void
_studio_window_check_folder (StudioWindow *self)
{
  /* The window is not the task's source: a thread drops its task last, and must never be the one that
   * drops a widget. So here and below. */
  g_autoptr(GTask) task = g_task_new (NULL, NULL, on_folder_checked, g_object_ref (self));

  g_task_set_source_tag (task, _studio_window_check_folder);
  g_task_set_task_data (task, studio_settings_dup_output_folder (), g_free);
  g_task_run_in_thread (task, check_in_thread);
}

/* --- Save as --- */

typedef struct
{
  char *path;
  DimrImage *image;
  DimrRecipe *recipe;
} Save;

static void
save_free (gpointer data)
{
  Save *save = data;

  g_free (save->path);
  dimr_image_unref (save->image);
  g_clear_pointer (&save->recipe, dimr_recipe_free);
  g_free (save);
}

static void
save_in_thread (GTask        *task,
                gpointer      source,
                gpointer      task_data,
                GCancellable *cancellable)
{
  Save *save = task_data;
  GError *error = NULL;

  if (dimr_png_save (save->path, save->image, save->recipe, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_saved (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr(StudioWindow) self = user_data;
  Save *save = g_task_get_task_data (G_TASK (result));
  g_autofree char *name = g_filename_display_basename (save->path);
  g_autoptr(GError) error = NULL;

  if (!self->engine)
    return;
  if (g_task_propagate_boolean (G_TASK (result), &error))
    {
      g_autofree char *text = g_strdup_printf (_("Saved as “%s”"), name);

      _studio_window_toast (self, text);
    }
  else
    {
      studio_banner_show (self->error_banner, error->message, _("Save As…"), "win.save-as");
    }
}

void
studio_window_save_as (StudioWindow *self,
                       GFile        *file)
{
  StudioPicture *picture;
  const DimrRecipe *recipe;
  g_autoptr(GTask) task = NULL;
  Save *save;

  g_return_if_fail (STUDIO_IS_WINDOW (self));
  g_return_if_fail (G_IS_FILE (file));

  picture = studio_generate_view_get_picture (self->view);
  if (!picture || !studio_picture_peek_image (picture))
    return;
  if (!g_file_peek_path (file))
    {
      _studio_window_toast (self, _("Pictures can only be saved in folders of this computer."));
      return;
    }

  recipe = studio_picture_peek_recipe (picture);
  save = g_new0 (Save, 1);
  save->path = g_file_get_path (file);
  save->image = dimr_image_ref (studio_picture_peek_image (picture));
  save->recipe = recipe ? dimr_recipe_copy (recipe) : NULL;
  task = g_task_new (NULL, NULL, on_saved, g_object_ref (self));
  g_task_set_source_tag (task, studio_window_save_as);
  g_task_set_task_data (task, save, save_free);
  g_task_run_in_thread (task, save_in_thread);
}

static void
on_save_chosen (GtkNativeDialog *dialog,
                int              response,
                StudioWindow    *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr(GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));

      if (file)
        studio_window_save_as (self, file);
    }
  g_object_unref (dialog);
}

void
_studio_window_choose_save (StudioWindow *self)
{
  StudioPicture *picture = studio_generate_view_get_picture (self->view);
  const DimrRecipe *recipe = picture ? studio_picture_peek_recipe (picture) : NULL;
  g_autofree char *name = NULL;
  GtkFileChooserNative *dialog;

  if (!picture)
    return;
  if (recipe && recipe->class_name)
    name = g_strdup_printf ("%s %" G_GUINT64_FORMAT ".png", recipe->class_name, recipe->seed);
  else
    name = g_strdup_printf ("%s.png", _("picture"));
  g_strdelimit (name, "/", '-');

  dialog = gtk_file_chooser_native_new (_("Save the Picture"), GTK_WINDOW (self),
                                        GTK_FILE_CHOOSER_ACTION_SAVE, _("_Save"), NULL);
  gtk_file_chooser_set_current_name (GTK_FILE_CHOOSER (dialog), name);
  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_save_chosen), self, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

/* --- Copy --- */

void
_studio_window_copy (StudioWindow *self)
{
  StudioPicture *picture = studio_generate_view_get_picture (self->view);
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) png = NULL;
  g_autoptr(GdkTexture) texture = NULL;
  GdkContentProvider *providers[2];
  g_autoptr(GdkContentProvider) both = NULL;

  if (!picture || !studio_picture_peek_image (picture))
    return;
  png = dimr_png_encode (studio_picture_peek_image (picture), studio_picture_peek_recipe (picture), &error);
  if (!png)
    {
      _studio_window_show_error (self, error);
      return;
    }

  /* Our own bytes come first, so that what is pasted into a file keeps its settings. */
  texture = studio_texture_new (studio_picture_peek_image (picture));
  providers[0] = gdk_content_provider_new_for_bytes ("image/png", png);
  providers[1] = gdk_content_provider_new_typed (GDK_TYPE_TEXTURE, texture);
  both = gdk_content_provider_new_union (providers, G_N_ELEMENTS (providers));
  gdk_clipboard_set_content (gtk_widget_get_clipboard (GTK_WIDGET (self)), both);
  _studio_window_toast (self, _("Picture copied"));
}

/* --- Trash --- */

/* A picture that is gone from the strip, while its file waits for the toast to go away: until then
 * nothing has happened that would have to be undone. Pictures that are deleted while the toast is there
 * join it: one Undo brings all of them back. */
typedef struct
{
  StudioPicture *picture;
  guint position;
} Trashed;

static void
trashed_free (Trashed *trashed)
{
  g_object_unref (trashed->picture);
  g_free (trashed);
}

static void
on_trashed (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr(StudioWindow) self = user_data;
  g_autoptr(GError) error = NULL;

  if (!g_file_trash_finish (G_FILE (source), result, &error) && self->engine)
    {
      g_autofree char *text = g_strdup_printf (_("The picture is still in its folder: %s"), error->message);

      studio_banner_show (self->error_banner, text, _("Show Folder"), "win.open-folder");
    }
}

static void
forget_trash_toast (StudioWindow *self)
{
  g_clear_handle_id (&self->trash_timeout, g_source_remove);
  if (self->trash_toast)
    g_signal_handlers_disconnect_by_data (self->trash_toast, self);
  self->trash_toast = NULL;
}

static void
on_toast_dismissed (StudioWindow *self)
{
  Trashed *trashed;

  forget_trash_toast (self);
  while ((trashed = g_queue_pop_head (&self->trash)))
    {
      if (studio_picture_peek_path (trashed->picture))
        {
          g_autoptr(GFile) file = g_file_new_for_path (studio_picture_peek_path (trashed->picture));

          g_file_trash_async (file, G_PRIORITY_DEFAULT, NULL, on_trashed, g_object_ref (self));
        }
      trashed_free (trashed);
    }
}

static void
on_undo_trash (StudioWindow *self)
{
  StudioFilmstrip *strip = studio_generate_view_get_filmstrip (self->view);
  Trashed *trashed;

  forget_trash_toast (self);
  /* Backwards: each position was that of its time. */
  while ((trashed = g_queue_pop_tail (&self->trash)))
    {
      studio_filmstrip_insert (strip, trashed->position, trashed->picture);
      if (g_queue_is_empty (&self->trash))
        studio_generate_view_show_picture (self->view, trashed->picture);
      trashed_free (trashed);
    }
}

static gboolean
on_trash_timeout (gpointer user_data)
{
  StudioWindow *self = user_data;

  self->trash_timeout = 0;
  adw_toast_dismiss (self->trash_toast);
  return G_SOURCE_REMOVE;
}

/* The toast stays for a while after the last picture that joined it, so its own time is not used. */
static void
show_trash_toast (StudioWindow *self)
{
  const guint n = g_queue_get_length (&self->trash);
  g_autofree char *text = NULL;

  text = n == 1 ? g_strdup (_("Picture moved to the trash"))
                : g_strdup_printf (ngettext ("%u picture moved to the trash", "%u pictures moved to the trash", n), n);
  g_clear_handle_id (&self->trash_timeout, g_source_remove);
  self->trash_timeout = g_timeout_add_seconds (UNDO_SECONDS, on_trash_timeout, self);
  if (self->trash_toast)
    {
      adw_toast_set_title (self->trash_toast, text);
      return;
    }

  self->trash_toast = adw_toast_new (text);
  adw_toast_set_timeout (self->trash_toast, 0);
  adw_toast_set_button_label (self->trash_toast, _("Undo"));
  adw_toast_set_priority (self->trash_toast, ADW_TOAST_PRIORITY_HIGH); /* no waiting behind others */
  g_signal_connect_object (self->trash_toast, "button-clicked", G_CALLBACK (on_undo_trash), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->trash_toast, "dismissed", G_CALLBACK (on_toast_dismissed), self, G_CONNECT_SWAPPED);
  adw_toast_overlay_add_toast (self->toasts, self->trash_toast);
}

void
_studio_window_trash (StudioWindow *self)
{
  StudioFilmstrip *strip = studio_generate_view_get_filmstrip (self->view);
  StudioPicture *picture = studio_generate_view_get_picture (self->view);
  Trashed *trashed;
  guint position;

  if (!picture)
    return;

  trashed = g_new0 (Trashed, 1);
  trashed->picture = g_object_ref (picture);
  position = studio_filmstrip_remove (strip, picture);
  if (position == G_MAXUINT)
    {
      trashed_free (trashed);
      return;
    }
  trashed->position = position;
  g_queue_push_tail (&self->trash, trashed);

  /* The strip has gone on to a neighbour; without one the canvas is empty again. */
  if (!studio_filmstrip_get_selected (strip))
    studio_generate_view_show_picture (self->view, NULL);
  show_trash_toast (self);
}

void
_studio_window_empty_trash (StudioWindow *self)
{
  Trashed *trashed;

  forget_trash_toast (self);
  /* The window goes away, so this one does not wait for the disk in a thread. */
  while ((trashed = g_queue_pop_head (&self->trash)))
    {
      if (studio_picture_peek_path (trashed->picture))
        {
          g_autoptr(GFile) file = g_file_new_for_path (studio_picture_peek_path (trashed->picture));

          g_file_trash (file, NULL, NULL);
        }
      trashed_free (trashed);
    }
}
