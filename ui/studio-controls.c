/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-controls-private.h"
#include "ui/studio-settings.h"

#include <glib/gi18n.h>

#define MAX_MICRO_BATCH 256 /* as the setting's range */
#define DRAFT_STEPS 10
#define PAPER_STEPS 250

G_DEFINE_FINAL_TYPE (StudioControls, studio_controls, GTK_TYPE_BOX)

/* The items of the two lists, in their order. */
static const DimrPrecision precisions[] = { DIMR_PRECISION_AUTO, DIMR_PRECISION_BF16, DIMR_PRECISION_F32, DIMR_PRECISION_F8 };
#define FLOAT8_ITEM 3 /* there only where the device has it */
static const guint micro_batches[] = { 0, 1, 2, 4, 8, 16, 32 };

DimrGuidance
_studio_controls_get_guidance (StudioControls *self)
{
  return (DimrGuidance) {
    .kind = gtk_drop_down_get_selected (self->kind_dropdown) == 1 ? DIMR_GUIDANCE_COSINE : DIMR_GUIDANCE_CONSTANT,
    .scale = studio_number_row_get_value (self->guidance_row),
    .power = studio_number_row_get_value (self->power_row),
    .channels = gtk_check_button_get_active (self->channels_check) ? self->guided_channels : 0,
  };
}

guint
_studio_controls_get_steps (StudioControls *self)
{
  return (guint) studio_number_row_get_value (self->steps_row);
}

DimrPrecision
_studio_controls_get_precision (StudioControls *self)
{
  return precisions[MIN (gtk_drop_down_get_selected (self->precision_dropdown), G_N_ELEMENTS (precisions) - 1)];
}

/* Float8 where it is not offered leaves the choice to the device. */
void
_studio_controls_set_precision (StudioControls *self,
                                DimrPrecision   precision)
{
  const guint n_items = g_list_model_get_n_items (gtk_drop_down_get_model (self->precision_dropdown));

  if (precision == DIMR_PRECISION_F8 && n_items <= FLOAT8_ITEM)
    precision = DIMR_PRECISION_AUTO;
  for (guint i = 0; i < G_N_ELEMENTS (precisions); i++)
    if (precisions[i] == precision)
      gtk_drop_down_set_selected (self->precision_dropdown, i);
}

guint
_studio_controls_get_micro_batch (StudioControls *self)
{
  const guint selected = gtk_drop_down_get_selected (self->micro_batch_dropdown);

  return selected < G_N_ELEMENTS (micro_batches) ? micro_batches[selected] : self->other_micro_batch;
}

/* A number from a recipe or the command line's settings that the list does not have becomes its last item. */
void
_studio_controls_set_micro_batch (StudioControls *self,
                                  guint           micro_batch)
{
  GtkStringList *list = GTK_STRING_LIST (gtk_drop_down_get_model (self->micro_batch_dropdown));
  const char *other[] = { NULL, NULL };
  char digits[16];

  for (guint i = 0; i < G_N_ELEMENTS (micro_batches); i++)
    if (micro_batches[i] == micro_batch)
      {
        gtk_drop_down_set_selected (self->micro_batch_dropdown, i);
        return;
      }
  g_snprintf (digits, sizeof digits, "%u", micro_batch);
  other[0] = digits;
  gtk_string_list_splice (list, G_N_ELEMENTS (micro_batches),
                          g_list_model_get_n_items (G_LIST_MODEL (list)) - G_N_ELEMENTS (micro_batches), other);
  self->other_micro_batch = micro_batch;
  gtk_drop_down_set_selected (self->micro_batch_dropdown, G_N_ELEMENTS (micro_batches));
}

/* 0: all of them. The mark shows where the model was released otherwise, or a recipe asks for it. */
void
_studio_controls_set_guided_channels (StudioControls *self,
                                      guint           channels)
{
  guint usual = _studio_controls_get_default_guidance (self).channels;

  self->guided_channels = channels > 0 ? channels : usual;
  gtk_widget_set_visible (GTK_WIDGET (self->channels_check), self->guided_channels > 0);
  gtk_check_button_set_active (self->channels_check, channels > 0);
}

/* --- What follows from the values --- */

static void
update_guidance (StudioControls *self)
{
  DimrGuidance guidance = _studio_controls_get_guidance (self);
  g_autofree char *text = NULL;

  /* Translators: the formula is the same in all languages; %.2f are numbers. */
  text = g_strdup_printf (_("How strongly a picture follows its class: uncond + g · (cond − uncond). "
                            "1 is off and twice as fast.\n"
                            "g = %.2f here is w = g − 1 = %.2f where papers write cond + w · (cond − uncond)."),
                          guidance.scale, guidance.scale - 1);
  g_object_set (self->guidance_row, "explanation", text, NULL);
  gtk_revealer_set_reveal_child (self->cosine_revealer, guidance.kind == DIMR_GUIDANCE_COSINE);
  studio_guidance_curve_set_guidance (self->curve, &guidance, _studio_controls_get_steps (self));
}

static void
update_presets (StudioControls *self)
{
  guint normal = (guint) studio_number_row_get_default_value (self->steps_row);
  const struct
  {
    GtkToggleButton *button;
    guint steps;
  } presets[] = {
    { self->draft_button, DRAFT_STEPS },
    { self->normal_button, normal },
    { self->paper_button, PAPER_STEPS },
  };
  gboolean found = FALSE;

  for (guint i = 0; i < G_N_ELEMENTS (presets); i++)
    {
      g_autofree char *tooltip = g_strdup_printf (ngettext ("%u step", "%u steps", presets[i].steps), presets[i].steps);
      gboolean active = !found && _studio_controls_get_steps (self) == presets[i].steps;

      found |= active;
      gtk_toggle_button_set_active (presets[i].button, active);
      gtk_widget_set_tooltip_text (GTK_WIDGET (presets[i].button), tooltip);
      g_object_set_data (G_OBJECT (presets[i].button), "steps", GUINT_TO_POINTER (presets[i].steps));
    }
}

static void
update_summary (StudioControls *self)
{
  guint count = (guint) studio_number_row_get_value (self->images_row);
  g_autofree char *text = NULL;
  guint n;

  studio_class_picker_peek_classes (self->picker, &n);
  if (n > 1 && count > 1)
    /* Translators: %u classes, %u pictures of each, %u pictures in all. */
    text = g_strdup_printf (_("%u classes × %u = %u pictures"), n, count, n * count);
  else if (n > 1 || count > 1)
    text = g_strdup_printf (ngettext ("%u picture", "%u pictures", MAX (n, 1) * count), MAX (n, 1) * count);
  gtk_label_set_text (self->summary, text ? text : "");
  gtk_widget_set_visible (GTK_WIDGET (self->summary), text != NULL);
}

static void
on_changed (StudioControls *self)
{
  /* Signals of children come while the template is still being built, and while it is taken down. */
  if (!self->button)
    return;
  update_guidance (self);
  update_presets (self);
  update_summary (self);
  /* DDPM and DDIM have steps of their own. */
  gtk_widget_set_sensitive (GTK_WIDGET (self->grid_dropdown),
                            !dimr_sampler_kind_has_options (studio_sampler_row_get_kind (self->sampler_row)));
  if (!self->loading)
    _studio_controls_store (self);
}

void
_studio_controls_update (StudioControls *self)
{
  on_changed (self);
}

static void
on_preset_clicked (GtkToggleButton *button,
                   StudioControls  *self)
{
  studio_number_row_set_value (self->steps_row, GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (button), "steps")));
  /* The button that is already down stays down. */
  update_presets (self);
}

/* --- Life --- */

static void
studio_controls_dispose (GObject *object)
{
  StudioControls *self = STUDIO_CONTROLS (object);
  GtkWidget *child;

  self->button = NULL;
  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self))))
    gtk_box_remove (GTK_BOX (self), child);
  g_clear_object (&self->model);
  g_clear_pointer (&self->device_name, g_free);
  G_OBJECT_CLASS (studio_controls_parent_class)->dispose (object);
}

static void
studio_controls_class_init (StudioControlsClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (STUDIO_TYPE_CLASS_PICKER);
  g_type_ensure (STUDIO_TYPE_GUIDANCE_CURVE);
  g_type_ensure (STUDIO_TYPE_NUMBER_ROW);
  g_type_ensure (STUDIO_TYPE_RUN_BUTTON);
  g_type_ensure (STUDIO_TYPE_SAMPLER_ROW);
  g_type_ensure (STUDIO_TYPE_SEED_ROW);
  G_OBJECT_CLASS (klass)->dispose = studio_controls_dispose;

  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_FORM);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-controls.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioControls, picker);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, guidance_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, kind_dropdown);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, channels_check);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, cosine_revealer);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, curve);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, power_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, steps_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, draft_button);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, normal_button);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, paper_button);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, sampler_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, seed_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, images_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, more);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, batch_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, grid_dropdown);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, precision_dropdown);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, previews_switch);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, micro_batch_dropdown);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, faster);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, skip_switch);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, skip_label);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, reuse_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, summary);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, button);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, queue_button);
  gtk_widget_class_bind_template_callback (widget_class, on_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_preset_clicked);
}

static void
name_widget (gpointer    widget,
             const char *name,
             const char *description)
{
  gtk_accessible_update_property (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
  if (description)
    gtk_accessible_update_property (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, description, -1);
}

static void
studio_controls_init (StudioControls *self)
{
  self->loading = TRUE;
  gtk_widget_init_template (GTK_WIDGET (self));

  name_widget (self->kind_dropdown, _("Guidance over the steps"), NULL);
  name_widget (self->grid_dropdown, _("Step spacing"), _("How the steps lie between noise and picture"));
  name_widget (self->precision_dropdown, _("Precision"),
               _("Automatic takes what suits the device; bfloat16 is faster where the device has it, and slightly less exact"));
  name_widget (self->micro_batch_dropdown, _("Images per evaluation"),
               _("How many pictures the network computes at once: more are faster on a GPU and need more memory"));
  name_widget (self->faster, _("Faster, not exact"), NULL);
  name_widget (self->skip_switch, _("Skip the unconditional half near 1"), gtk_label_get_text (self->skip_label));
  name_widget (self->previews_switch, _("Show pictures while they form"), _("A preview never changes a picture"));
  name_widget (self->more, _("More settings"), NULL);
  name_widget (self->queue_button, _("Queue these settings behind the run"), NULL);
  studio_controls_show_job (self, NULL);
  _studio_controls_load (self);
}

static gboolean
has_lower_branches (StudioControls *self)
{
  return self->model && dimr_config_get_n_branches (dimr_model_peek_config (self->model)) > 1;
}

void
studio_controls_set_model (StudioControls *self,
                           DimrModel      *model)
{
  g_return_if_fail (STUDIO_IS_CONTROLS (self));

  g_set_object (&self->model, model);
  self->loading = TRUE;
  gtk_widget_set_sensitive (GTK_WIDGET (self->reuse_row), has_lower_branches (self));
  studio_class_picker_set_model (self->picker, model);
  _studio_controls_load (self);
}

/* The last item goes with the device, and with it what it costs. */
static void
offer_float8 (StudioControls *self,
              gboolean        has_float8)
{
  GtkStringList *items = GTK_STRING_LIST (gtk_drop_down_get_model (self->precision_dropdown));
  const char *text;

  if (has_float8 == (g_list_model_get_n_items (G_LIST_MODEL (items)) > FLOAT8_ITEM))
    return;
  if (has_float8)
    gtk_string_list_append (items, "float8");
  else
    {
      if (gtk_drop_down_get_selected (self->precision_dropdown) == FLOAT8_ITEM)
        gtk_drop_down_set_selected (self->precision_dropdown, 0);
      gtk_string_list_remove (items, FLOAT8_ITEM);
    }
  text = has_float8 ? _("Automatic takes what suits the device; float8 is faster than bfloat16, and fine detail changes")
                    : _("Automatic takes what suits the device; bfloat16 is faster where the device has it, and slightly less exact");
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->precision_dropdown), text);
  name_widget (self->precision_dropdown, _("Precision"), text);
}

void
studio_controls_set_device (StudioControls *self,
                            const char     *name,
                            gboolean        has_float8)
{
  g_return_if_fail (STUDIO_IS_CONTROLS (self));

  g_free (self->device_name);
  self->device_name = g_strdup (name);
  offer_float8 (self, has_float8);
}

static gboolean
check (StudioControls *self)
{
  StudioNumberRow *rows[] = { self->guidance_row, self->power_row, self->steps_row, self->images_row, self->batch_row,
                              self->reuse_row };
  guint n;

  studio_class_picker_peek_classes (self->picker, &n);
  if (n == 0 && (!self->model || dimr_model_is_conditional (self->model)))
    {
      studio_class_picker_open (self->picker);
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      /* A row that cannot be seen cannot explain itself. */
      if (rows[i] == self->batch_row && !studio_number_row_get_valid (rows[i]))
        gtk_expander_set_expanded (self->more, TRUE);
      if (rows[i] == self->reuse_row && !studio_number_row_get_valid (rows[i]))
        gtk_expander_set_expanded (self->faster, TRUE);
      if (rows[i] == self->power_row && _studio_controls_get_guidance (self).kind != DIMR_GUIDANCE_COSINE)
        continue;
      if (!studio_number_row_check (rows[i]))
        return FALSE;
    }
  return studio_sampler_row_check (self->sampler_row) && studio_seed_row_check (self->seed_row);
}

DimrRequest *
studio_controls_dup_request (StudioControls *self)
{
  g_autoptr(DimrRequest) request = NULL;
  const int *classes;
  guint n;
  g_autofree char *preview_kind = NULL;

  g_return_val_if_fail (STUDIO_IS_CONTROLS (self), NULL);

  if (!check (self))
    return NULL;

  request = dimr_request_new ();
  classes = studio_class_picker_peek_classes (self->picker, &n);
  g_free (request->classes);
  request->classes = g_memdup2 (classes, n * sizeof (int));
  request->n_classes = n;
  request->count = (guint) studio_number_row_get_value (self->images_row);
  if (!studio_seed_row_get_seed (self->seed_row, &request->seed, &request->first_index))
    request->seed = dimr_request_random_seed ();
  request->n_steps = _studio_controls_get_steps (self);
  request->sampler = studio_sampler_row_get_kind (self->sampler_row);
  request->options = studio_sampler_row_get_options (self->sampler_row);
  if (!dimr_sampler_kind_has_options (request->sampler))
    request->time_grid = gtk_drop_down_get_selected (self->grid_dropdown);
  request->guidance = _studio_controls_get_guidance (self);
  request->precision = _studio_controls_get_precision (self);
  request->micro_batch = _studio_controls_get_micro_batch (self);
  request->skip_unconditional = gtk_switch_get_active (self->skip_switch);
  if (has_lower_branches (self))
    request->reuse_low_branches = (guint) studio_number_row_get_value (self->reuse_row);
  request->batch = (guint) studio_number_row_get_value (self->batch_row);
  request->previews = gtk_switch_get_active (self->previews_switch);
  preview_kind = g_settings_get_string (studio_settings_get (), "latent-previews");
  dimr_preview_kind_from_string (preview_kind, &request->preview_kind);

  studio_class_picker_close (self->picker);
  studio_class_picker_remember (self->picker);
  return g_steal_pointer (&request);
}

const char *
studio_controls_peek_subject (StudioControls *self)
{
  const int *classes;
  guint n;

  g_return_val_if_fail (STUDIO_IS_CONTROLS (self), NULL);

  classes = studio_class_picker_peek_classes (self->picker, &n);
  return n ? dimr_classes_get (classes[0])->name : NULL;
}

void
studio_controls_apply_recipe (StudioControls    *self,
                              const DimrRecipe  *recipe,
                              StudioRecipeParts  parts)
{
  gboolean is_of_device;

  g_return_if_fail (STUDIO_IS_CONTROLS (self));
  g_return_if_fail (recipe != NULL);

  if (parts & STUDIO_RECIPE_SETTINGS)
    {
      if (recipe->class_index >= 0)
        studio_class_picker_set_classes (self->picker, &recipe->class_index, 1);
      studio_number_row_set_value (self->guidance_row, recipe->guidance.scale);
      gtk_drop_down_set_selected (self->kind_dropdown, recipe->guidance.kind == DIMR_GUIDANCE_COSINE);
      if (recipe->guidance.kind == DIMR_GUIDANCE_COSINE)
        studio_number_row_set_value (self->power_row, recipe->guidance.power);
      studio_number_row_set_value (self->steps_row, recipe->n_steps);
      studio_sampler_row_set_kind (self->sampler_row, recipe->sampler);
      studio_sampler_row_set_options (self->sampler_row, &recipe->options);
      _studio_controls_set_guided_channels (self, recipe->guidance.channels);
      gtk_drop_down_set_selected (self->grid_dropdown, recipe->time_grid);
      _studio_controls_set_precision (self, recipe->precision);
      /* It belongs to the device: elsewhere it costs time and brings no byte back. */
      is_of_device = g_strcmp0 (recipe->device, self->device_name) == 0 && recipe->micro_batch <= MAX_MICRO_BATCH;
      _studio_controls_set_micro_batch (self, is_of_device ? recipe->micro_batch : 0);
      gtk_switch_set_active (self->skip_switch, recipe->skip_unconditional);
      studio_number_row_set_value (self->reuse_row, MAX (recipe->reuse_low_branches, 1));
      studio_number_row_set_value (self->images_row, 1);
    }
  if (parts & STUDIO_RECIPE_SEED)
    studio_seed_row_set_seed (self->seed_row, recipe->seed, recipe->image_index);
}

void
studio_controls_set_used_seed (StudioControls *self,
                               guint64         seed)
{
  g_return_if_fail (STUDIO_IS_CONTROLS (self));
  studio_seed_row_set_used_seed (self->seed_row, seed);
}

void
studio_controls_show_job (StudioControls *self,
                          DimrJob        *job)
{
  g_return_if_fail (STUDIO_IS_CONTROLS (self));
  studio_run_button_show_job (self->button, job);
  gtk_widget_set_visible (self->queue_button, job != NULL);
}

void
studio_controls_focus_button (StudioControls *self)
{
  g_return_if_fail (STUDIO_IS_CONTROLS (self));
  gtk_widget_grab_focus (GTK_WIDGET (self->button));
}

void
studio_controls_open_classes (StudioControls *self)
{
  g_return_if_fail (STUDIO_IS_CONTROLS (self));
  studio_class_picker_open (self->picker);
}
