/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-model-button.h"

#include <adwaita.h>
#include <glib/gi18n.h>

#include "core/dimr.h"
#include "ui/studio-settings.h"

#define PULSE_MS 100

struct _StudioModelButton
{
  GtkWidget parent_instance;

  GtkMenuButton *button;
  GtkLabel *name;
  GtkLabel *device;
  GtkProgressBar *progress;
  GtkPopover *popover;
  GtkLabel *full_name;
  GtkLabel *summary;
  GtkWidget *cancel_button;
  GtkWidget *recent_box;
  GtkListBox *recent;

  DimrEngine *engine;
  char *loading;
  guint pulse;
};

G_DEFINE_FINAL_TYPE (StudioModelButton, studio_model_button, GTK_TYPE_WIDGET)

static void
update (StudioModelButton *self)
{
  DimrModel *model = self->engine ? dimr_engine_get_model (self->engine) : NULL;
  const char *device = self->engine ? dimr_engine_get_device_name (self->engine) : NULL;
  const char *name = model ? dimr_model_get_name (model) : _("No model");
  g_autofree char *accessible = NULL;

  if (self->loading)
    {
      name = self->loading;
      device = _("Loading…");
    }
  gtk_label_set_text (self->name, name);
  gtk_label_set_text (self->full_name, name);
  gtk_label_set_text (self->device, device ? device : "");
  gtk_widget_set_visible (GTK_WIDGET (self->device), device != NULL && !self->loading);
  gtk_widget_set_visible (GTK_WIDGET (self->progress), self->loading != NULL);
  gtk_widget_set_visible (self->cancel_button, self->loading != NULL);

  if (self->loading)
    gtk_label_set_text (self->summary, _("Loading…"));
  else
    gtk_label_set_text (self->summary, model ? dimr_model_get_summary (model) : _("Open one, or drop it on the window."));

  /* Translators: the name of the model, and the device or what it is doing. */
  accessible = device ? g_strdup_printf (_("Model: %s, %s"), name, device) : g_strdup_printf (_("Model: %s"), name);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->button), GTK_ACCESSIBLE_PROPERTY_LABEL, accessible, -1);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->button), accessible);
}

static void
add_recent (StudioModelButton *self,
            const char        *path,
            const char        *title)
{
  GtkWidget *row = adw_action_row_new ();
  g_autofree char *name = title ? g_strdup (title) : g_filename_display_basename (path);

  adw_preferences_row_set_use_markup (ADW_PREFERENCES_ROW (row), FALSE);
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), name);
  gtk_widget_set_tooltip_text (row, path);
  gtk_list_box_row_set_activatable (GTK_LIST_BOX_ROW (row), TRUE);
  g_object_set_data_full (G_OBJECT (row), "path", g_strdup (path), g_free);
  gtk_list_box_append (self->recent, row);
}

static void
update_recent (StudioModelButton *self)
{
  g_auto(GStrv) paths = g_settings_get_strv (studio_settings_get (), "recent-models");
  g_autofree char *bundled = dimr_paths_dup_default_model ();
  GtkListBoxRow *row;

  while ((row = gtk_list_box_get_row_at_index (self->recent, 0)))
    gtk_list_box_remove (self->recent, GTK_WIDGET (row));
  if (bundled)
    add_recent (self, bundled, _("Bundled model"));
  for (guint i = 0; paths[i]; i++)
    if (g_strcmp0 (paths[i], bundled) != 0)
      add_recent (self, paths[i], NULL);
  gtk_widget_set_visible (self->recent_box, gtk_list_box_get_row_at_index (self->recent, 0) != NULL);
}

static void
close_popover (StudioModelButton *self)
{
  gtk_popover_popdown (self->popover);
}

static void
on_recent_activated (GtkListBox        *list,
                     GtkListBoxRow     *row,
                     StudioModelButton *self)
{
  const char *path = g_object_get_data (G_OBJECT (row), "path");

  close_popover (self);
  gtk_widget_activate_action (GTK_WIDGET (self), "win.load-model", "s", path);
}

static gboolean
on_pulse (gpointer user_data)
{
  StudioModelButton *self = user_data;

  gtk_progress_bar_pulse (self->progress);
  return G_SOURCE_CONTINUE;
}

static void
studio_model_button_dispose (GObject *object)
{
  StudioModelButton *self = STUDIO_MODEL_BUTTON (object);

  g_clear_handle_id (&self->pulse, g_source_remove);
  if (self->engine)
    g_signal_handlers_disconnect_by_data (self->engine, self);
  g_clear_object (&self->engine);
  if (self->button)
    {
      gtk_widget_unparent (GTK_WIDGET (self->button));
      self->button = NULL;
    }
  g_clear_pointer (&self->loading, g_free);
  G_OBJECT_CLASS (studio_model_button_parent_class)->dispose (object);
}

static void
studio_model_button_class_init (StudioModelButtonClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = studio_model_button_dispose;
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-model-button.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, button);
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, name);
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, device);
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, progress);
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, popover);
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, full_name);
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, summary);
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, cancel_button);
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, recent_box);
  gtk_widget_class_bind_template_child (widget_class, StudioModelButton, recent);
  gtk_widget_class_bind_template_callback (widget_class, close_popover);
  gtk_widget_class_bind_template_callback (widget_class, on_recent_activated);
}

static void
studio_model_button_init (StudioModelButton *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->progress), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Loading the model"), -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->recent), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Models"), -1);
  g_signal_connect_object (studio_settings_get (), "changed::recent-models", G_CALLBACK (update_recent), self, G_CONNECT_SWAPPED);
  update_recent (self);
  update (self);
}

void
studio_model_button_set_engine (StudioModelButton *self,
                                DimrEngine        *engine)
{
  g_return_if_fail (STUDIO_IS_MODEL_BUTTON (self));

  if (self->engine)
    g_signal_handlers_disconnect_by_data (self->engine, self);
  g_set_object (&self->engine, engine);
  if (engine)
    {
      g_signal_connect_swapped (engine, "notify::model", G_CALLBACK (update), self);
      g_signal_connect_swapped (engine, "notify::device-name", G_CALLBACK (update), self);
    }
  update (self);
}

void
studio_model_button_set_loading (StudioModelButton *self,
                                 const char        *name)
{
  g_return_if_fail (STUDIO_IS_MODEL_BUTTON (self));

  g_free (self->loading);
  self->loading = g_strdup (name);
  if (name && !self->pulse)
    self->pulse = g_timeout_add (PULSE_MS, on_pulse, self);
  else if (!name)
    g_clear_handle_id (&self->pulse, g_source_remove);
  update (self);
}
