/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-models.h"

#include <glib/gi18n.h>

#include "ui/studio-model-card.h"
#include "ui/studio-settings.h"

struct _StudioModels
{
  AdwWindow parent_instance;

  AdwLeaflet *leaflet;
  GtkListBox *list;
  GtkWidget *card_page;
  StudioModelCard *card;
  GtkWidget *back_button;
  GtkWidget *use_button;
  GtkWidget *show_button;
  GtkRevealer *import_revealer;
  GtkProgressBar *import_progress;
  GtkLabel *import_label;
  AdwToastOverlay *toasts;

  DimrLibrary *library;
  GCancellable *cancellable;  /* of scanning and hashing: ends with the window */
  GCancellable *importing;    /* NULL while nothing is imported */
  GQueue *waiting;            /* paths that are imported after it */
  char *selected;
};

G_DEFINE_FINAL_TYPE (StudioModels, studio_models, ADW_TYPE_WINDOW)

/* --- The list --- */

static GtkWidget *
make_row (DimrEntry *entry)
{
  GtkWidget *row = adw_action_row_new ();
  g_autofree char *title = g_strdup (dimr_entry_get_title (entry));

  adw_preferences_row_set_use_markup (ADW_PREFERENCES_ROW (row), FALSE);
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  adw_action_row_set_title_lines (ADW_ACTION_ROW (row), 1);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (row), dimr_entry_get_kind (entry) == DIMR_ENTRY_OTHER
                                                       ? _("Cannot be used") : dimr_entry_get_summary (entry));
  adw_action_row_set_subtitle_lines (ADW_ACTION_ROW (row), 2);
  gtk_list_box_row_set_activatable (GTK_LIST_BOX_ROW (row), TRUE);
  g_object_set_data_full (G_OBJECT (row), "entry", g_object_ref (entry), g_object_unref);
  return row;
}

static DimrEntry *
row_entry (GtkListBoxRow *row)
{
  return row ? g_object_get_data (G_OBJECT (row), "entry") : NULL;
}

static const char *
kind_title (DimrEntryKind kind)
{
  switch (kind)
    {
    case DIMR_ENTRY_MODEL: return _("Models");
    case DIMR_ENTRY_AUTOENCODER: return _("Autoencoders");
    case DIMR_ENTRY_CLASSIFIER: return _("Classifiers");
    default: return _("Other files");
    }
}

static void
add_header (GtkListBoxRow *row,
            GtkListBoxRow *before,
            gpointer       user_data)
{
  DimrEntryKind kind = dimr_entry_get_kind (row_entry (row));
  GtkWidget *label;

  if (before && dimr_entry_get_kind (row_entry (before)) == kind)
    {
      gtk_list_box_row_set_header (row, NULL);
      return;
    }
  label = gtk_label_new (kind_title (kind));
  gtk_label_set_xalign (GTK_LABEL (label), 0);
  gtk_widget_add_css_class (label, "caption-heading");
  gtk_widget_add_css_class (label, "dim-label");
  gtk_widget_set_margin_start (label, 12);
  gtk_widget_set_margin_top (label, 12);
  gtk_widget_set_margin_bottom (label, 6);
  gtk_list_box_row_set_header (row, label);
}

static void
show_entry (StudioModels *self,
            DimrEntry    *entry)
{
  gboolean usable = entry && dimr_entry_get_kind (entry) == DIMR_ENTRY_MODEL;
  DimrEntry *autoencoder = entry && dimr_entry_is_latent (entry) ? dimr_library_find_autoencoder (self->library, entry) : NULL;

  studio_model_card_set_entry (self->card, entry, autoencoder);
  gtk_widget_set_sensitive (self->use_button, usable);
  gtk_widget_set_sensitive (self->show_button, entry != NULL);
  if (entry)
    {
      g_free (self->selected);
      self->selected = g_strdup (dimr_entry_get_path (entry));
    }
}

static void
on_row_selected (GtkListBox    *list,
                 GtkListBoxRow *row,
                 StudioModels  *self)
{
  show_entry (self, row_entry (row));
}

static void
on_row_activated (GtkListBox    *list,
                  GtkListBoxRow *row,
                  StudioModels  *self)
{
  adw_leaflet_set_visible_child (self->leaflet, self->card_page);
}

static void
on_back (StudioModels *self)
{
  adw_leaflet_navigate (self->leaflet, ADW_NAVIGATION_DIRECTION_BACK);
}

static void
fill_list (StudioModels *self)
{
  guint n = g_list_model_get_n_items (G_LIST_MODEL (self->library));
  GtkListBoxRow *row, *chosen = NULL;

  while ((row = gtk_list_box_get_row_at_index (self->list, 0)))
    gtk_list_box_remove (self->list, GTK_WIDGET (row));
  for (guint i = 0; i < n; i++)
    {
      g_autoptr(DimrEntry) entry = g_list_model_get_item (G_LIST_MODEL (self->library), i);

      row = GTK_LIST_BOX_ROW (make_row (entry));
      gtk_list_box_append (self->list, GTK_WIDGET (row));
      if (!chosen || g_strcmp0 (dimr_entry_get_path (entry), self->selected) == 0)
        chosen = row;
    }
  gtk_list_box_select_row (self->list, chosen);
}

static void
on_scanned (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr(StudioModels) self = user_data;
  g_autoptr(GError) error = NULL;

  if (!dimr_library_scan_finish (DIMR_LIBRARY (source), result, &error))
    return; /* the window is closing */
  fill_list (self);
  dimr_library_hash_async (self->library, self->cancellable, NULL, NULL);
}

static void
scan (StudioModels *self)
{
  dimr_library_scan_async (self->library, self->cancellable, on_scanned, g_object_ref (self));
}

/* --- The card's buttons --- */

static void
on_use (StudioModels *self)
{
  GtkWindow *parent = gtk_window_get_transient_for (GTK_WINDOW (self));
  DimrEntry *entry = studio_model_card_get_entry (self->card);

  if (parent && entry)
    gtk_widget_activate_action (GTK_WIDGET (parent), "win.load-model", "s", dimr_entry_get_path (entry));
  gtk_window_close (GTK_WINDOW (self));
}

static void
on_show (StudioModels *self)
{
  const char *path = dimr_entry_get_path (studio_model_card_get_entry (self->card));
  g_autofree char *folder = g_file_test (path, G_FILE_TEST_IS_DIR) ? g_strdup (path) : g_path_get_dirname (path);
  g_autofree char *uri = g_filename_to_uri (folder, NULL, NULL);

  if (uri)
    gtk_show_uri (GTK_WINDOW (self), uri, GDK_CURRENT_TIME);
}

/* --- Importing --- */

typedef struct
{
  StudioModels *window;  /* used in the main context only */
  char *folder;
  char *path;
  int permille;          /* atomic: what the thread has to tell */
} Import;

static void
import_free (Import *import)
{
  g_object_unref (import->window);
  g_free (import->folder);
  g_free (import->path);
  g_free (import);
}

static void
on_import_progress (guint64  n_done,
                    guint64  n_total,
                    gpointer user_data)
{
  Import *import = user_data;

  g_atomic_int_set (&import->permille, (int) (n_done * 1000 / MAX (n_total, 1)));
}

static void
import_in_thread (GTask        *task,
                  gpointer      source,
                  gpointer      task_data,
                  GCancellable *cancellable)
{
  Import *import = task_data;
  GError *error = NULL;
  char *path = dimr_library_import (import->folder, import->path, FALSE, on_import_progress, import, cancellable, &error);

  if (path)
    g_task_return_pointer (task, path, g_free);
  else
    g_task_return_error (task, error);
}

static void
on_imported (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  Import *import = user_data;
  StudioModels *self = import->window;
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_task_propagate_pointer (G_TASK (result), &error);
  g_autofree char *next = NULL;

  g_clear_object (&self->importing);
  if (self->library)
    {
      gtk_revealer_set_reveal_child (self->import_revealer, FALSE);
      if (path)
        {
          g_free (self->selected);
          self->selected = g_steal_pointer (&path);
          scan (self);
        }
      else if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        {
          /* The title of a toast is markup, and a message may quote a file's name. */
          g_autofree char *escaped = g_markup_escape_text (error->message, -1);
          AdwToast *toast = adw_toast_new (escaped);

          adw_toast_set_timeout (toast, 0);
          adw_toast_overlay_add_toast (self->toasts, toast);
        }
      next = g_queue_pop_head (self->waiting);
      if (next)
        studio_models_import (self, next);
    }
  import_free (import);
}

static gboolean
on_tick (gpointer user_data)
{
  Import *import = g_task_get_task_data (user_data);

  if (g_task_get_completed (user_data) || !import->window->library)
    return G_SOURCE_REMOVE;
  gtk_progress_bar_set_fraction (import->window->import_progress, g_atomic_int_get (&import->permille) / 1000.);
  return G_SOURCE_CONTINUE;
}

void
studio_models_import (StudioModels *self,
                      const char   *path)
{
  g_autoptr(GTask) task = NULL;
  g_autofree char *name = NULL, *text = NULL;
  Import *import;

  g_return_if_fail (STUDIO_IS_MODELS (self) && path != NULL);

  if (self->importing)
    {
      g_queue_push_tail (self->waiting, g_strdup (path));
      return;
    }
  name = g_filename_display_basename (path);
  text = g_strdup_printf (_("Importing %s"), name);
  gtk_label_set_text (self->import_label, text);
  gtk_progress_bar_set_fraction (self->import_progress, 0);
  gtk_revealer_set_reveal_child (self->import_revealer, TRUE);

  import = g_new0 (Import, 1);
  import->window = g_object_ref (self);
  import->folder = g_strdup (dimr_library_get_folder (self->library));
  import->path = g_strdup (path);
  self->importing = g_cancellable_new ();
  /* The window is not the task's source: a thread drops its task last, and must never drop a widget. */
  task = g_task_new (NULL, self->importing, on_imported, import);
  g_task_set_source_tag (task, studio_models_import);
  g_task_set_task_data (task, import, NULL);
  g_task_run_in_thread (task, import_in_thread);
  g_timeout_add_full (G_PRIORITY_DEFAULT, 100, on_tick, g_object_ref (task), g_object_unref);
}

/* And whatever waits. */
static void
on_cancel_import (StudioModels *self)
{
  g_queue_clear_full (self->waiting, g_free);
  g_cancellable_cancel (self->importing);
}

static void
on_chosen (GtkNativeDialog *dialog,
           int              response,
           StudioModels    *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr(GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
      g_autofree char *path = file ? g_file_get_path (file) : NULL;

      if (path)
        studio_models_import (self, path);
    }
  g_object_unref (dialog);
}

static void
choose (StudioModels *self,
        gboolean      folder)
{
  GtkFileChooserNative *dialog;

  dialog = gtk_file_chooser_native_new (folder ? _("Import a Model Folder") : _("Import a Weights File"), GTK_WINDOW (self),
                                        folder ? GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER : GTK_FILE_CHOOSER_ACTION_OPEN,
                                        _("_Import"), NULL);
  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_chosen), self, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

static void
import_file (GtkWidget  *widget,
             const char *action,
             GVariant   *parameter)
{
  choose (STUDIO_MODELS (widget), FALSE);
}

static void
import_folder (GtkWidget  *widget,
               const char *action,
               GVariant   *parameter)
{
  choose (STUDIO_MODELS (widget), TRUE);
}

static gboolean
on_drop (GtkDropTarget *target,
         const GValue  *value,
         double         x,
         double         y,
         StudioModels  *self)
{
  gboolean taken = FALSE;

  for (GSList *files = g_value_get_boxed (value); files; files = files->next)
    {
      const char *path = g_file_peek_path (files->data);

      if (path)
        studio_models_import (self, path);
      taken |= path != NULL;
    }
  return taken;
}

/* --- The object --- */

static void
studio_models_dispose (GObject *object)
{
  StudioModels *self = STUDIO_MODELS (object);

  g_cancellable_cancel (self->cancellable);
  g_cancellable_cancel (self->importing);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->library);
  g_clear_pointer (&self->selected, g_free);
  if (self->waiting)
    g_queue_free_full (g_steal_pointer (&self->waiting), g_free);
  G_OBJECT_CLASS (studio_models_parent_class)->dispose (object);
}

static void
studio_models_class_init (StudioModelsClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (STUDIO_TYPE_MODEL_CARD);
  G_OBJECT_CLASS (klass)->dispose = studio_models_dispose;
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-models.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioModels, leaflet);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, list);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, card_page);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, card);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, back_button);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, use_button);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, show_button);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, import_revealer);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, import_progress);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, import_label);
  gtk_widget_class_bind_template_child (widget_class, StudioModels, toasts);
  gtk_widget_class_bind_template_callback (widget_class, on_row_selected);
  gtk_widget_class_bind_template_callback (widget_class, on_row_activated);
  gtk_widget_class_bind_template_callback (widget_class, on_back);
  gtk_widget_class_bind_template_callback (widget_class, on_use);
  gtk_widget_class_bind_template_callback (widget_class, on_show);
  gtk_widget_class_bind_template_callback (widget_class, on_cancel_import);
  gtk_widget_class_install_action (widget_class, "models.import-file", NULL, import_file);
  gtk_widget_class_install_action (widget_class, "models.import-folder", NULL, import_folder);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Escape, 0, "window.close", NULL);
}

static void
studio_models_init (StudioModels *self)
{
  GtkDropTarget *target = gtk_drop_target_new (GDK_TYPE_FILE_LIST, GDK_ACTION_COPY);

  gtk_widget_init_template (GTK_WIDGET (self));
  self->cancellable = g_cancellable_new ();
  self->waiting = g_queue_new ();
  gtk_list_box_set_header_func (self->list, add_header, NULL, NULL);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->list), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Models"), -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->import_progress), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Import"), -1);
  g_object_bind_property (self->leaflet, "folded", self->back_button, "visible", G_BINDING_SYNC_CREATE);
  g_signal_connect (target, "drop", G_CALLBACK (on_drop), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (target));
}

GtkWidget *
studio_models_new (GtkWindow  *parent,
                   const char *folder,
                   const char *selected)
{
  StudioModels *self = g_object_new (STUDIO_TYPE_MODELS, "transient-for", parent, NULL);
  g_auto(GStrv) recent = g_settings_get_strv (studio_settings_get (), "recent-models");

  self->library = dimr_library_new (folder);
  self->selected = g_strdup (selected);
  dimr_library_set_paths (self->library, (const char * const *) recent);
  scan (self);
  return GTK_WIDGET (self);
}

DimrLibrary *
studio_models_get_library (StudioModels *self)
{
  g_return_val_if_fail (STUDIO_IS_MODELS (self), NULL);
  return self->library;
}
