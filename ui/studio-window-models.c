/* studio-window-models.c — loading models
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "ui/studio-window-private.h"

#include <glib/gi18n.h>

#include "core/dimr.h"
#include "ui/studio-settings.h"

#define N_RECENT_MODELS 8

typedef struct
{
  StudioWindow *window;
  GCancellable *cancellable;
  char *path;
} Load;

static void
load_free (Load *load)
{
  g_object_unref (load->window);
  g_object_unref (load->cancellable);
  g_free (load->path);
  g_free (load);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Load, load_free)

static void
remember (const char *path)
{
  g_autofree char *bundled = dimr_paths_dup_default_model ();

  if (g_strcmp0 (path, bundled) == 0)
    {
      g_settings_reset (studio_settings_get (), "model");
      return;
    }
  g_settings_set_string (studio_settings_get (), "model", path);
  studio_settings_prepend_string ("recent-models", path, N_RECENT_MODELS);
}

static void
on_loaded (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr(Load) load = user_data;
  g_autoptr(GError) error = NULL;
  g_autoptr(DimrModel) model = dimr_engine_load_model_finish (DIMR_ENGINE (source), result, &error);
  StudioWindow *self = load->window;
  gboolean is_latest = self->loading == load->cancellable;

  if (is_latest)
    {
      g_clear_object (&self->loading);
      studio_model_button_set_loading (self->model_button, NULL);
    }
  /* The window may be gone, or its engine another one. */
  if (!self->engine || self->engine != DIMR_ENGINE (source))
    return;

  if (model)
    {
      /* The button could not take the focus before there was something to generate with. */
      if (!self->started && adw_flap_get_reveal_flap (self->controls_flap))
        studio_controls_focus_button (self->controls);
      else if (!self->started)
        gtk_widget_grab_focus (GTK_WIDGET (studio_generate_view_get_run_button (self->view)));
      self->started = TRUE;
      remember (load->path);
      studio_banner_show (self->error_banner, NULL, NULL, NULL);
    }
  else
    {
      _studio_window_show_error (self, error);
      /* A model that was moved away must not leave the window without any. */
      if (is_latest && !dimr_engine_get_model (self->engine))
        {
          g_autofree char *bundled = dimr_paths_dup_default_model ();

          if (bundled && g_strcmp0 (bundled, load->path) != 0 &&
              !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
            _studio_window_load_model (self, bundled);
        }
    }
  _studio_window_update_jobs (self);
}

void
_studio_window_load_model (StudioWindow *self,
                           const char   *path)
{
  g_autofree char *name = g_filename_display_basename (path);
  g_autofree char *autoencoder = g_settings_get_string (studio_settings_get (), "autoencoder");
  Load *load = g_new0 (Load, 1);

  g_cancellable_cancel (self->loading);
  g_clear_object (&self->loading);
  self->loading = g_cancellable_new ();
  load->window = g_object_ref (self);
  load->cancellable = g_object_ref (self->loading);
  load->path = g_strdup (path);
  dimr_engine_set_autoencoder (self->engine, *autoencoder ? autoencoder : NULL);
  studio_model_button_set_loading (self->model_button, name);
  dimr_engine_load_model_async (self->engine, path, self->loading, on_loaded, load);
  _studio_window_update (self);
}

/* Another autoencoder for the model of latents that is in use. */
static void
on_autoencoder_set (StudioWindow *self)
{
  DimrModel *model = self->engine ? dimr_engine_get_model (self->engine) : NULL;

  if (model && dimr_model_is_latent (model) && dimr_model_get_path (model))
    _studio_window_load_model (self, dimr_model_get_path (model));
}

void
_studio_window_load_first_model (StudioWindow *self)
{
  g_autofree char *path = g_settings_get_string (studio_settings_get (), "model");
  g_autofree char *bundled = dimr_paths_dup_default_model ();

  g_signal_connect_object (studio_settings_get (), "changed::autoencoder", G_CALLBACK (on_autoencoder_set), self, G_CONNECT_SWAPPED);
  if (*path)
    _studio_window_load_model (self, path);
  else if (bundled)
    _studio_window_load_model (self, bundled);
}

static void
on_model_chosen (GtkNativeDialog *dialog,
                 int              response,
                 StudioWindow    *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr(GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
      g_autofree char *path = file ? g_file_get_path (file) : NULL;

      if (path)
        _studio_window_load_model (self, path);
    }
  g_object_unref (dialog);
}

void
_studio_window_choose_model (StudioWindow *self,
                             gboolean      folder)
{
  GtkFileChooserNative *dialog;

  dialog = gtk_file_chooser_native_new (folder ? _("Open a Model Folder") : _("Open a Weights File"), GTK_WINDOW (self),
                                        folder ? GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER : GTK_FILE_CHOOSER_ACTION_OPEN,
                                        _("_Open"), NULL);
  if (!folder)
    {
      g_autoptr(GtkFileFilter) weights = gtk_file_filter_new ();
      g_autoptr(GtkFileFilter) all = gtk_file_filter_new ();

      gtk_file_filter_set_name (weights, _("Weights (safetensors, PyTorch)"));
      gtk_file_filter_add_suffix (weights, "safetensors");
      gtk_file_filter_add_suffix (weights, "pth");
      gtk_file_filter_add_suffix (weights, "pt");
      gtk_file_filter_add_suffix (weights, "ckpt");
      gtk_file_chooser_add_filter (GTK_FILE_CHOOSER (dialog), weights);
      gtk_file_filter_set_name (all, _("All files"));
      gtk_file_filter_add_pattern (all, "*");
      gtk_file_chooser_add_filter (GTK_FILE_CHOOSER (dialog), all);
    }
  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_model_chosen), self, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}
