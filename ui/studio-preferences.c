/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-preferences.h"

#include <glib/gi18n.h>

#include "ui/studio-settings.h"

struct _StudioPreferences
{
  AdwPreferencesWindow parent_instance;

  AdwActionRow *folder_row;
  GtkWidget *folder_reset;
  GtkWidget *folder_button;
  GtkColorButton *color_button;
  GtkWidget *color_reset;
  GtkSwitch *smooth_switch;
  AdwActionRow *autoencoder_row;
  GtkWidget *autoencoder_reset;
  GtkWidget *autoencoder_button;
  AdwComboRow *previews_row;
  AdwComboRow *device_row;
  GtkSpinButton *threads_spin;

  DimrEngine *engine;
  GPtrArray *specs; /* of the device row's items: what the setting stores */
  gboolean filling; /* the device row takes over what there is: nothing was chosen */
};

G_DEFINE_FINAL_TYPE (StudioPreferences, studio_preferences, ADW_TYPE_PREFERENCES_WINDOW)

static void
update_folder (StudioPreferences *self)
{
  g_autofree char *folder = studio_settings_dup_output_folder ();
  g_autofree char *escaped = g_markup_escape_text (folder, -1);
  g_autofree char *setting = g_settings_get_string (studio_settings_get (), "output-folder");

  adw_action_row_set_subtitle (self->folder_row, escaped);
  gtk_widget_set_visible (self->folder_reset, *setting != '\0');
}

static void
update_color (StudioPreferences *self)
{
  g_autofree char *text = g_settings_get_string (studio_settings_get (), "canvas-background");
  g_autoptr(GVariant) set = g_settings_get_user_value (studio_settings_get (), "canvas-background");
  GdkRGBA color;

  if (gdk_rgba_parse (&color, text))
    gtk_color_chooser_set_rgba (GTK_COLOR_CHOOSER (self->color_button), &color);
  gtk_widget_set_visible (self->color_reset, set != NULL);
}

static void
on_color_set (StudioPreferences *self)
{
  g_autofree char *text = NULL;
  GdkRGBA color;

  gtk_color_chooser_get_rgba (GTK_COLOR_CHOOSER (self->color_button), &color);
  color.alpha = 1;
  text = gdk_rgba_to_string (&color);
  g_settings_set_string (studio_settings_get (), "canvas-background", text);
}

static void
on_color_reset (StudioPreferences *self)
{
  g_settings_reset (studio_settings_get (), "canvas-background");
}

static void
on_folder_reset (StudioPreferences *self)
{
  g_settings_reset (studio_settings_get (), "output-folder");
}

static void
on_folder_chosen (GtkNativeDialog   *dialog,
                  int                response,
                  StudioPreferences *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr(GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
      g_autofree char *path = file ? g_file_get_path (file) : NULL;

      if (path)
        g_settings_set_string (studio_settings_get (), "output-folder", path);
    }
  g_object_unref (dialog);
}

static void
on_folder_clicked (StudioPreferences *self)
{
  GtkFileChooserNative *dialog;

  dialog = gtk_file_chooser_native_new (_("Where to save pictures"), GTK_WINDOW (self),
                                        GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _("_Choose"), NULL);
  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_folder_chosen), self, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

/* --- Models of latents --- */

static void
update_autoencoder (StudioPreferences *self)
{
  g_autofree char *path = g_settings_get_string (studio_settings_get (), "autoencoder");
  g_autofree char *escaped = g_markup_escape_text (path, -1);

  adw_action_row_set_subtitle (self->autoencoder_row, *path ? escaped : _("One that lies beside the model, or in the library"));
  gtk_widget_set_visible (self->autoencoder_reset, *path != '\0');
}

static void
on_autoencoder_reset (StudioPreferences *self)
{
  g_settings_reset (studio_settings_get (), "autoencoder");
}

static void
on_autoencoder_chosen (GtkNativeDialog   *dialog,
                       int                response,
                       StudioPreferences *self)
{
  if (response == GTK_RESPONSE_ACCEPT)
    {
      g_autoptr(GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
      g_autofree char *path = file ? g_file_get_path (file) : NULL;

      if (path)
        g_settings_set_string (studio_settings_get (), "autoencoder", path);
    }
  g_object_unref (dialog);
}

static void
on_autoencoder_clicked (StudioPreferences *self)
{
  GtkFileChooserNative *dialog;

  dialog = gtk_file_chooser_native_new (_("Stable Diffusion’s autoencoder"), GTK_WINDOW (self), GTK_FILE_CHOOSER_ACTION_OPEN,
                                        _("_Choose"), NULL);
  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_autoencoder_chosen), self, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

/* Rows in the order of the values in the schema. */
static const char * const preview_kinds[] = { "auto", "sketch", "decoded" };

static gboolean
previews_from_setting (GValue   *value,
                       GVariant *variant,
                       gpointer  user_data)
{
  for (guint i = 0; i < G_N_ELEMENTS (preview_kinds); i++)
    if (g_strcmp0 (g_variant_get_string (variant, NULL), preview_kinds[i]) == 0)
      g_value_set_uint (value, i);
  return TRUE;
}

static GVariant *
previews_to_setting (const GValue       *value,
                     const GVariantType *type,
                     gpointer            user_data)
{
  return g_variant_new_string (preview_kinds[MIN (g_value_get_uint (value), G_N_ELEMENTS (preview_kinds) - 1)]);
}

/* --- The device --- */

static void
append_device (StudioPreferences *self,
               GtkStringList     *names,
               const char        *spec,
               const char        *name)
{
  g_ptr_array_add (self->specs, g_strdup (spec));
  gtk_string_list_append (names, name);
}

/* What the engine's thread has found, and what is set even where it is not here now. */
static void
update_devices (StudioPreferences *self)
{
  g_autofree char *set = g_settings_get_string (studio_settings_get (), "device");
  g_autoptr(GtkStringList) names = gtk_string_list_new (NULL);
  guint n, selected = GTK_INVALID_LIST_POSITION;
  const DimrDeviceChoice *const *choices = dimr_engine_peek_devices (self->engine, &n);

  g_ptr_array_set_size (self->specs, 0);
  append_device (self, names, "auto", _("Automatic"));
  for (guint i = 0; i < n; i++)
    append_device (self, names, choices[i]->spec, choices[i]->name);
  for (guint i = 0; i < self->specs->len; i++)
    if (g_strcmp0 (g_ptr_array_index (self->specs, i), set) == 0)
      selected = i;
  if (selected == GTK_INVALID_LIST_POSITION)
    {
      /* Translators: %s is how the command line names a device: “cuda:1”. */
      g_autofree char *name = g_strdup_printf (_("%s (not found here)"), set);

      selected = self->specs->len;
      append_device (self, names, set, name);
    }

  self->filling = TRUE;
  adw_combo_row_set_model (self->device_row, G_LIST_MODEL (names));
  adw_combo_row_set_selected (self->device_row, selected);
  self->filling = FALSE;
}

static void
on_device_selected (StudioPreferences *self)
{
  const guint selected = adw_combo_row_get_selected (self->device_row);

  if (!self->filling && self->engine && selected < self->specs->len)
    g_settings_set_string (studio_settings_get (), "device", g_ptr_array_index (self->specs, selected));
}

static gboolean
threads_from_setting (GValue   *value,
                      GVariant *variant,
                      gpointer  user_data)
{
  g_value_set_double (value, g_variant_get_uint32 (variant));
  return TRUE;
}

static GVariant *
threads_to_setting (const GValue       *value,
                    const GVariantType *type,
                    gpointer            user_data)
{
  return g_variant_new_uint32 ((guint32) g_value_get_double (value));
}

static void
studio_preferences_dispose (GObject *object)
{
  StudioPreferences *self = STUDIO_PREFERENCES (object);

  g_clear_object (&self->engine);
  G_OBJECT_CLASS (studio_preferences_parent_class)->dispose (object);
}

static void
studio_preferences_finalize (GObject *object)
{
  g_ptr_array_unref (STUDIO_PREFERENCES (object)->specs);
  G_OBJECT_CLASS (studio_preferences_parent_class)->finalize (object);
}

static void
studio_preferences_class_init (StudioPreferencesClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = studio_preferences_dispose;
  G_OBJECT_CLASS (klass)->finalize = studio_preferences_finalize;
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-preferences.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, folder_row);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, folder_reset);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, folder_button);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, color_button);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, color_reset);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, smooth_switch);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, autoencoder_row);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, autoencoder_reset);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, autoencoder_button);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, previews_row);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, device_row);
  gtk_widget_class_bind_template_child (widget_class, StudioPreferences, threads_spin);
  gtk_widget_class_bind_template_callback (widget_class, on_color_set);
  gtk_widget_class_bind_template_callback (widget_class, on_device_selected);
  gtk_widget_class_bind_template_callback (widget_class, on_color_reset);
  gtk_widget_class_bind_template_callback (widget_class, on_folder_reset);
  gtk_widget_class_bind_template_callback (widget_class, on_folder_clicked);
  gtk_widget_class_bind_template_callback (widget_class, on_autoencoder_reset);
  gtk_widget_class_bind_template_callback (widget_class, on_autoencoder_clicked);
}

static void
name_widget (gpointer    widget,
             const char *name)
{
  gtk_accessible_update_property (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static void
studio_preferences_init (StudioPreferences *self)
{
  GSettings *settings = studio_settings_get ();

  self->specs = g_ptr_array_new_with_free_func (g_free);
  gtk_widget_init_template (GTK_WIDGET (self));
  name_widget (self->folder_reset, _("Back to the usual folder"));
  name_widget (self->folder_button, _("Choose the output folder"));
  /* It is the button inside that takes the focus. */
  name_widget (self->color_button, _("Canvas background"));
  name_widget (gtk_widget_get_first_child (GTK_WIDGET (self->color_button)), _("Canvas background"));
  name_widget (self->color_reset, _("Back to mid grey"));
  name_widget (self->smooth_switch, _("Smooth enlarged pictures"));
  name_widget (self->autoencoder_reset, _("Back to one that lies beside the model"));
  name_widget (self->autoencoder_button, _("Choose the autoencoder"));
  name_widget (self->threads_spin, _("Processor threads"));

  g_settings_bind (settings, "canvas-smooth", self->smooth_switch, "active", G_SETTINGS_BIND_DEFAULT);
  g_settings_bind_with_mapping (settings, "threads", self->threads_spin, "value", G_SETTINGS_BIND_DEFAULT,
                                threads_from_setting, threads_to_setting, NULL, NULL);
  g_settings_bind_with_mapping (settings, "latent-previews", self->previews_row, "selected", G_SETTINGS_BIND_DEFAULT,
                                previews_from_setting, previews_to_setting, NULL, NULL);
  g_signal_connect_object (settings, "changed::autoencoder", G_CALLBACK (update_autoencoder), self, G_CONNECT_SWAPPED);
  update_autoencoder (self);
  g_signal_connect_object (settings, "changed::output-folder", G_CALLBACK (update_folder), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "changed::canvas-background", G_CALLBACK (update_color), self, G_CONNECT_SWAPPED);
  update_folder (self);
  update_color (self);
}

GtkWidget *
studio_preferences_new (GtkWindow  *parent,
                        DimrEngine *engine)
{
  StudioPreferences *self = g_object_new (STUDIO_TYPE_PREFERENCES, "transient-for", parent, NULL);

  g_return_val_if_fail (DIMR_IS_ENGINE (engine), GTK_WIDGET (self));

  self->engine = g_object_ref (engine);
  g_signal_connect_object (engine, "notify::device-name", G_CALLBACK (update_devices), self, G_CONNECT_SWAPPED);
  update_devices (self);
  return GTK_WIDGET (self);
}
