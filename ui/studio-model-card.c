/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-model-card.h"

#include <glib/gi18n.h>

#include "ui/studio-format.h"
#include "ui/studio-markdown.h"
#include "ui/studio-settings.h"

#define N_NAMED_CLASSES 12

struct _StudioModelCard
{
  GtkWidget parent_instance;

  GtkWidget *box;
  GtkLabel *title;
  GtkLabel *summary;
  AdwPreferencesGroup *group;
  AdwActionRow *memory_row;
  AdwActionRow *hash_row;
  GtkWidget *hash_progress;
  GtkWidget *hash_copy;
  GtkLabel *text;
  GPtrArray *rows;   /* of the group, to be removed with the next entry */

  DimrEntry *entry;
  GCancellable *forecast;
};

G_DEFINE_FINAL_TYPE (StudioModelCard, studio_model_card, GTK_TYPE_WIDGET)

static AdwActionRow *
add_row (StudioModelCard *self,
         const char      *title,
         const char      *value)
{
  AdwActionRow *row = ADW_ACTION_ROW (adw_action_row_new ());

  adw_preferences_row_set_use_markup (ADW_PREFERENCES_ROW (row), FALSE);
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  adw_action_row_set_subtitle (row, value);
  adw_action_row_set_subtitle_lines (row, 4);
  adw_preferences_group_add (self->group, GTK_WIDGET (row));
  g_ptr_array_add (self->rows, row);
  return row;
}

/* "lion, orca, … and 188 more"; NULL where the model does not say. */
static char *
describe_classes (const DimrConfig *config)
{
  g_autoptr(GString) text = g_string_new (NULL);
  guint n = config->n_trained_classes;

  if (!config->trained_classes)
    return NULL;
  for (guint i = 0; i < MIN (n, N_NAMED_CLASSES); i++)
    g_string_append_printf (text, "%s%s", i ? ", " : "", dimr_classes_get (config->trained_classes[i])->name);
  if (n > N_NAMED_CLASSES)
    /* Translators: the end of a list of names. */
    g_string_append_printf (text, ngettext (" and %u more", " and %u more", n - N_NAMED_CLASSES), n - N_NAMED_CLASSES);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* --- The hash --- */

static void
update_hash (StudioModelCard *self)
{
  const char *hash = dimr_entry_get_hash (self->entry);
  double fraction = dimr_entry_get_hash_fraction (self->entry);
  g_autofree char *text = NULL;

  if (hash && dimr_entry_is_changed (self->entry))
    text = g_strdup_printf (_("%s\nThe file has another content than when it was hashed before."), hash);
  else
    text = g_strdup (hash ? hash : _("Being read…"));
  adw_action_row_set_subtitle (self->hash_row, text);
  gtk_widget_set_visible (self->hash_progress, !hash);
  gtk_progress_bar_set_fraction (GTK_PROGRESS_BAR (self->hash_progress), fraction);
  gtk_widget_set_visible (self->hash_copy, hash != NULL);
}

static void
on_hash_copy (StudioModelCard *self)
{
  gdk_clipboard_set_text (gtk_widget_get_clipboard (GTK_WIDGET (self)), dimr_entry_get_hash (self->entry));
}

static void
add_hash_row (StudioModelCard *self)
{
  self->hash_row = add_row (self, _("SHA-256"), "");
  self->hash_progress = gtk_progress_bar_new ();
  gtk_widget_set_valign (self->hash_progress, GTK_ALIGN_CENTER);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->hash_progress), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                  _("Reading the file for its SHA-256"), -1);
  adw_action_row_add_suffix (self->hash_row, self->hash_progress);
  self->hash_copy = gtk_button_new_from_icon_name ("edit-copy-symbolic");
  gtk_widget_set_valign (self->hash_copy, GTK_ALIGN_CENTER);
  gtk_widget_add_css_class (self->hash_copy, "flat");
  gtk_widget_set_tooltip_text (self->hash_copy, _("Copy the SHA-256"));
  g_signal_connect_object (self->hash_copy, "clicked", G_CALLBACK (on_hash_copy), self, G_CONNECT_SWAPPED);
  adw_action_row_add_suffix (self->hash_row, self->hash_copy);
  update_hash (self);
}

/* --- Memory: a device may have to be opened for it, so in a thread --- */

typedef struct
{
  DimrConfig *config;
  char *device;
} Forecast;

static void
forecast_free (Forecast *forecast)
{
  dimr_config_free (forecast->config);
  g_free (forecast->device);
  g_free (forecast);
}

static void
forecast_in_thread (GTask        *task,
                    gpointer      source,
                    gpointer      task_data,
                    GCancellable *cancellable)
{
  const Forecast *forecast = task_data;
  guint64 weights = 0, arena = 0;
  GError *error = NULL;

  if (dimr_forecast_memory (forecast->config, forecast->device, DIMR_PRECISION_F32, TRUE, &weights, &arena, &error))
    {
      g_autofree char *for_weights = g_format_size_full (weights, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *for_arena = g_format_size_full (arena, G_FORMAT_SIZE_IEC_UNITS);

      g_task_return_pointer (task, g_strdup_printf (_("%s for the weights, %s while it runs"), for_weights, for_arena), g_free);
    }
  else
    g_task_return_error (task, error);
}

static void
on_forecast (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr(StudioModelCard) self = user_data;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = g_task_propagate_pointer (G_TASK (result), &error);

  if (g_cancellable_is_cancelled (g_task_get_cancellable (G_TASK (result))))
    return;
  adw_action_row_set_subtitle (self->memory_row, text ? text : error->message);
}

static void
begin_forecast (StudioModelCard *self)
{
  g_autoptr(GTask) task = NULL;
  Forecast *forecast = g_new0 (Forecast, 1);

  self->memory_row = add_row (self, _("Memory, in 32 bit"), _("Being planned…"));
  forecast->config = dimr_config_copy (dimr_entry_peek_config (self->entry));
  forecast->device = g_settings_get_string (studio_settings_get (), "device");
  self->forecast = g_cancellable_new ();
  task = g_task_new (NULL, self->forecast, on_forecast, g_object_ref (self));
  g_task_set_source_tag (task, begin_forecast);
  g_task_set_task_data (task, forecast, (GDestroyNotify) forecast_free);
  g_task_run_in_thread (task, forecast_in_thread);
}

/* --- The card --- */

static void
clear_rows (StudioModelCard *self)
{
  g_cancellable_cancel (self->forecast);
  g_clear_object (&self->forecast);
  for (guint i = 0; i < self->rows->len; i++)
    adw_preferences_group_remove (self->group, g_ptr_array_index (self->rows, i));
  g_ptr_array_set_size (self->rows, 0);
  self->hash_row = self->memory_row = NULL;
  if (self->entry)
    g_signal_handlers_disconnect_by_data (self->entry, self);
  g_clear_object (&self->entry);
}

static void
add_numbers (StudioModelCard *self)
{
  guint64 parameters = dimr_entry_get_n_parameters (self->entry), macs = dimr_entry_get_n_macs (self->entry);
  g_autofree char *parameters_text = g_strdup_printf (_("%.2f million"), (double) parameters / 1e6);
  g_autofree char *macs_text = g_strdup_printf (_("%.2f billion multiply-accumulates, without guidance"), (double) macs / 1e9);
  g_autofree char *size = g_format_size_full (dimr_entry_get_n_bytes (self->entry), G_FORMAT_SIZE_IEC_UNITS);

  add_row (self, _("Parameters"), parameters_text);
  if (macs > 0)
    add_row (self, _("One evaluation"), macs_text);
  add_row (self, _("Weights file"), size);
}

static void
add_facts (StudioModelCard *self,
           DimrEntry       *autoencoder)
{
  const DimrConfig *config = dimr_entry_peek_config (self->entry);
  g_autofree char *classes = config ? describe_classes (config) : NULL;
  g_autofree char *place = autoencoder ? g_filename_display_name (dimr_entry_get_path (autoencoder)) : NULL;

  if (config)
    {
      begin_forecast (self);
      add_row (self, _("Trained classes"), classes ? classes : _("Not told: all 1000 may be tried"));
    }
  if (dimr_entry_is_latent (self->entry))
    add_row (self, _("Autoencoder"),
             place ? place
                         : _("Missing: this model makes latents. For pictures it needs the autoencoder of Stable Diffusion, published "
                             "as autoencoder_kl_ema.pth with U-ViT and as stabilityai/sd-vae-ft-ema on Hugging Face; import it here."));
  add_row (self, _("From"), dimr_entry_get_origin (self->entry) ? dimr_entry_get_origin (self->entry) : _("Not told"));
  add_row (self, _("Licence"), dimr_entry_get_licence (self->entry) ? dimr_entry_get_licence (self->entry) : _("Not told"));
}

void
studio_model_card_set_entry (StudioModelCard *self,
                             DimrEntry       *entry,
                             DimrEntry       *autoencoder)
{
  const char *card;
  g_autofree char *markup = NULL, *place = NULL;

  g_return_if_fail (STUDIO_IS_MODEL_CARD (self));

  clear_rows (self);
  gtk_widget_set_visible (self->box, entry != NULL);
  if (!entry)
    return;
  self->entry = g_object_ref (entry);
  gtk_label_set_text (self->title, dimr_entry_get_title (entry));
  gtk_label_set_text (self->summary, dimr_entry_get_summary (entry));
  if (dimr_entry_get_kind (entry) != DIMR_ENTRY_OTHER)
    {
      add_numbers (self);
      add_facts (self, autoencoder);
    }
  if (dimr_entry_get_weights_path (entry))
    {
      add_hash_row (self);
      g_signal_connect_swapped (entry, "notify::hash", G_CALLBACK (update_hash), self);
      g_signal_connect_swapped (entry, "notify::hash-fraction", G_CALLBACK (update_hash), self);
    }
  place = g_filename_display_name (dimr_entry_get_path (entry));
  add_row (self, _("Place"), place);

  card = dimr_entry_get_card (entry);
  markup = card ? studio_markdown_to_markup (card) : NULL;
  gtk_label_set_markup (self->text, markup ? markup : "");
  gtk_widget_set_visible (GTK_WIDGET (self->text), markup != NULL);
}

DimrEntry *
studio_model_card_get_entry (StudioModelCard *self)
{
  g_return_val_if_fail (STUDIO_IS_MODEL_CARD (self), NULL);
  return self->entry;
}

static void
studio_model_card_dispose (GObject *object)
{
  StudioModelCard *self = STUDIO_MODEL_CARD (object);

  if (self->box)
    {
      clear_rows (self);
      gtk_widget_unparent (self->box);
      self->box = NULL;
    }
  G_OBJECT_CLASS (studio_model_card_parent_class)->dispose (object);
}

static void
studio_model_card_finalize (GObject *object)
{
  g_ptr_array_unref (STUDIO_MODEL_CARD (object)->rows);
  G_OBJECT_CLASS (studio_model_card_parent_class)->finalize (object);
}

static void
studio_model_card_class_init (StudioModelCardClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = studio_model_card_dispose;
  G_OBJECT_CLASS (klass)->finalize = studio_model_card_finalize;
  gtk_widget_class_set_layout_manager_type (widget_class, GTK_TYPE_BIN_LAYOUT);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-model-card.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioModelCard, box);
  gtk_widget_class_bind_template_child (widget_class, StudioModelCard, title);
  gtk_widget_class_bind_template_child (widget_class, StudioModelCard, summary);
  gtk_widget_class_bind_template_child (widget_class, StudioModelCard, group);
  gtk_widget_class_bind_template_child (widget_class, StudioModelCard, text);
}

static void
studio_model_card_init (StudioModelCard *self)
{
  self->rows = g_ptr_array_new ();
  gtk_widget_init_template (GTK_WIDGET (self));
}

GtkWidget *
studio_model_card_new (void)
{
  return g_object_new (STUDIO_TYPE_MODEL_CARD, NULL);
}
