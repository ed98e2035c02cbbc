/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-controls.h"

#include <glib/gi18n.h>
#include <math.h>
#include <string.h>

#include "ui/studio-class-picker.h"
#include "ui/studio-guidance-curve.h"
#include "ui/studio-number-row.h"
#include "ui/studio-seed-row.h"
#include "ui/studio-settings.h"

#define DRAFT_STEPS 10
#define PAPER_STEPS 250

struct _StudioControls
{
  GtkBox parent_instance;

  StudioClassPicker *picker;
  StudioNumberRow *guidance_row;
  GtkDropDown *kind_dropdown;
  GtkRevealer *cosine_revealer;
  StudioGuidanceCurve *curve;
  StudioNumberRow *power_row;
  StudioNumberRow *steps_row;
  GtkToggleButton *draft_button;
  GtkToggleButton *normal_button;
  GtkToggleButton *paper_button;
  GtkDropDown *sampler_dropdown;
  StudioSeedRow *seed_row;
  StudioNumberRow *images_row;
  GtkExpander *more;
  StudioNumberRow *batch_row;
  GtkDropDown *grid_dropdown;
  GtkDropDown *precision_dropdown;
  GtkSwitch *previews_switch;
  GtkLabel *summary;
  GtkButton *button;
  GtkWidget *queue_button;

  DimrModel *model;
  gboolean loading; /* widgets take over stored values: nothing is to be stored */
};

G_DEFINE_FINAL_TYPE (StudioControls, studio_controls, GTK_TYPE_BOX)

/* What store () writes and dup_state () keeps. */
static const char * const stored_keys[] = {
  "classes", "guidance-kind", "guidance-scale", "guidance-power", "steps", "sampler", "time-grid",
  "seed", "first-index", "images", "batch", "precision", "previews",
};

static DimrGuidance
default_guidance (StudioControls *self)
{
  if (self->model)
    return dimr_model_get_default_guidance (self->model);
  return (DimrGuidance) { DIMR_GUIDANCE_CONSTANT, 1.4, 2 };
}

static DimrSamplerKind
default_sampler (StudioControls *self)
{
  return self->model ? dimr_model_get_default_sampler (self->model) : DIMR_SAMPLER_DPM_SOLVER_FAST;
}

static DimrGuidance
current_guidance (StudioControls *self)
{
  return (DimrGuidance) {
    .kind = gtk_drop_down_get_selected (self->kind_dropdown) == 1 ? DIMR_GUIDANCE_COSINE : DIMR_GUIDANCE_CONSTANT,
    .scale = studio_number_row_get_value (self->guidance_row),
    .power = studio_number_row_get_value (self->power_row),
  };
}

static guint
current_steps (StudioControls *self)
{
  return (guint) studio_number_row_get_value (self->steps_row);
}

static GVariant *
int_list (const int *values,
          guint      n)
{
  return g_variant_new_fixed_array (G_VARIANT_TYPE_INT32, values, n, sizeof (gint32));
}

/* --- Storing and loading --- */

static void
store (StudioControls *self)
{
  GSettings *settings = studio_settings_get ();
  DimrGuidance guidance = current_guidance (self);
  DimrGuidance usual = default_guidance (self);
  DimrSamplerKind sampler = gtk_drop_down_get_selected (self->sampler_dropdown);
  g_autofree char *seed_text = NULL;
  guint64 seed = 0, first_index = 0;
  const int *classes;
  guint n;

  classes = studio_class_picker_peek_classes (self->picker, &n);
  g_settings_set_value (settings, "classes", int_list (classes, n));
  g_settings_set_string (settings, "guidance-kind",
                         guidance.kind == usual.kind ? "default" :
                         guidance.kind == DIMR_GUIDANCE_COSINE ? "cosine" : "constant");
  g_settings_set_double (settings, "guidance-scale",
                         guidance.scale == studio_number_row_get_default_value (self->guidance_row) ? -1 : guidance.scale);
  g_settings_set_double (settings, "guidance-power",
                         guidance.power == studio_number_row_get_default_value (self->power_row) ? 0 : guidance.power);
  g_settings_set_uint (settings, "steps",
                       current_steps (self) == studio_number_row_get_default_value (self->steps_row) ? 0 : current_steps (self));
  g_settings_set_string (settings, "sampler",
                         sampler == default_sampler (self) ? "" : dimr_sampler_kind_to_string (sampler));
  g_settings_set_string (settings, "time-grid",
                         dimr_time_grid_to_string (gtk_drop_down_get_selected (self->grid_dropdown)));

  if (studio_seed_row_get_seed (self->seed_row, &seed, &first_index))
    seed_text = g_strdup_printf ("%" G_GUINT64_FORMAT, seed);
  g_settings_set_string (settings, "seed", seed_text ? seed_text : "-1");
  g_settings_set_uint64 (settings, "first-index", first_index);

  g_settings_set_uint (settings, "images", (guint) studio_number_row_get_value (self->images_row));
  g_settings_set_uint (settings, "batch", (guint) studio_number_row_get_value (self->batch_row));
  g_settings_set_string (settings, "precision",
                         gtk_drop_down_get_selected (self->precision_dropdown) == 1 ? "bf16" : "f32");
  g_settings_set_boolean (settings, "previews", gtk_switch_get_active (self->previews_switch));
}

static void
load_classes (StudioControls *self)
{
  g_autoptr(GArray) classes = studio_settings_dup_ints ("classes");
  const int *trained = NULL;
  guint n = 0;

  if (classes->len != 1 || g_array_index (classes, int, 0) >= 0)
    {
      studio_class_picker_set_classes (self->picker, (const int *) classes->data, classes->len);
      return;
    }

  /* Nobody has chosen yet: something that the model can show. */
  if (!self->model || !dimr_model_is_conditional (self->model))
    return;
  trained = dimr_model_peek_trained_classes (self->model, &n);
  studio_class_picker_set_classes (self->picker, n ? &trained[0] : (const int[]) { 207 }, 1);
}

static void
load_guidance (StudioControls *self)
{
  GSettings *settings = studio_settings_get ();
  g_autofree char *kind = g_settings_get_string (settings, "guidance-kind");
  double scale = g_settings_get_double (settings, "guidance-scale");
  double power = g_settings_get_double (settings, "guidance-power");
  DimrGuidance usual = default_guidance (self);

  if (strcmp (kind, "default") != 0)
    usual.kind = strcmp (kind, "cosine") == 0 ? DIMR_GUIDANCE_COSINE : DIMR_GUIDANCE_CONSTANT;
  gtk_drop_down_set_selected (self->kind_dropdown, usual.kind == DIMR_GUIDANCE_COSINE);
  if (scale < 0)
    studio_number_row_reset (self->guidance_row);
  else
    studio_number_row_set_value (self->guidance_row, scale);
  if (power <= 0)
    studio_number_row_reset (self->power_row);
  else
    studio_number_row_set_value (self->power_row, power);
}

static void
load_seed (StudioControls *self)
{
  g_autofree char *text = g_settings_get_string (studio_settings_get (), "seed");
  guint64 seed;

  if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &seed, NULL))
    studio_seed_row_set_seed (self->seed_row, seed, g_settings_get_uint64 (studio_settings_get (), "first-index"));
  else
    studio_seed_row_set_random (self->seed_row);
}

static void on_changed (StudioControls *self);

static void
load (StudioControls *self)
{
  GSettings *settings = studio_settings_get ();
  g_autofree char *sampler_text = g_settings_get_string (settings, "sampler");
  g_autofree char *grid = g_settings_get_string (settings, "time-grid");
  g_autofree char *precision = g_settings_get_string (settings, "precision");
  DimrSamplerKind sampler = default_sampler (self);
  DimrTimeGrid time_grid = DIMR_TIME_GRID_UNIFORM;
  DimrGuidance guidance = default_guidance (self);
  guint steps = g_settings_get_uint (settings, "steps");

  self->loading = TRUE;
  studio_number_row_set_default_value (self->guidance_row, guidance.scale);
  studio_number_row_set_default_value (self->power_row, guidance.power > 0 ? guidance.power : 2);
  studio_number_row_set_default_value (self->steps_row, self->model ? dimr_model_get_default_steps (self->model) : 25);

  load_classes (self);
  load_guidance (self);
  load_seed (self);
  if (steps == 0)
    studio_number_row_reset (self->steps_row);
  else
    studio_number_row_set_value (self->steps_row, steps);
  dimr_sampler_kind_from_string (sampler_text, &sampler);
  gtk_drop_down_set_selected (self->sampler_dropdown, sampler);
  dimr_time_grid_from_string (grid, &time_grid);
  gtk_drop_down_set_selected (self->grid_dropdown, time_grid);
  studio_number_row_set_value (self->images_row, g_settings_get_uint (settings, "images"));
  studio_number_row_set_value (self->batch_row, g_settings_get_uint (settings, "batch"));
  gtk_drop_down_set_selected (self->precision_dropdown, strcmp (precision, "bf16") == 0);
  gtk_switch_set_active (self->previews_switch, g_settings_get_boolean (settings, "previews"));
  on_changed (self);
  self->loading = FALSE;
}

/* --- What follows from the values --- */

static void
update_guidance (StudioControls *self)
{
  DimrGuidance guidance = current_guidance (self);
  g_autofree char *text = NULL;

  /* Translators: the formula is the same in all languages; %.2f are numbers. */
  text = g_strdup_printf (_("How strongly a picture follows its class: uncond + g · (cond − uncond). "
                            "1 is off and twice as fast.\n"
                            "g = %.2f here is w = g − 1 = %.2f where papers write cond + w · (cond − uncond)."),
                          guidance.scale, guidance.scale - 1);
  g_object_set (self->guidance_row, "explanation", text, NULL);
  gtk_revealer_set_reveal_child (self->cosine_revealer, guidance.kind == DIMR_GUIDANCE_COSINE);
  studio_guidance_curve_set_guidance (self->curve, &guidance, current_steps (self));
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
      gboolean active = !found && current_steps (self) == presets[i].steps;

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
    text = g_strdup_printf (_("%u pictures"), MAX (n, 1) * count);
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
  if (!self->loading)
    store (self);
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
  G_OBJECT_CLASS (studio_controls_parent_class)->dispose (object);
}

static void
studio_controls_class_init (StudioControlsClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (STUDIO_TYPE_CLASS_PICKER);
  g_type_ensure (STUDIO_TYPE_GUIDANCE_CURVE);
  g_type_ensure (STUDIO_TYPE_NUMBER_ROW);
  g_type_ensure (STUDIO_TYPE_SEED_ROW);
  G_OBJECT_CLASS (klass)->dispose = studio_controls_dispose;

  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_FORM);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-controls.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioControls, picker);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, guidance_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, kind_dropdown);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, cosine_revealer);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, curve);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, power_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, steps_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, draft_button);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, normal_button);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, paper_button);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, sampler_dropdown);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, seed_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, images_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, more);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, batch_row);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, grid_dropdown);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, precision_dropdown);
  gtk_widget_class_bind_template_child (widget_class, StudioControls, previews_switch);
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
  g_autoptr(GtkStringList) samplers = gtk_string_list_new (NULL);

  self->loading = TRUE;
  gtk_widget_init_template (GTK_WIDGET (self));

  for (guint i = 0; i < DIMR_N_SAMPLERS; i++)
    gtk_string_list_append (samplers, dimr_sampler_kind_get_label (i));
  gtk_drop_down_set_model (self->sampler_dropdown, G_LIST_MODEL (samplers));

  name_widget (self->kind_dropdown, _("Guidance over the steps"), NULL);
  name_widget (self->sampler_dropdown, _("Sampler"), _("How the steps are combined into a picture"));
  name_widget (self->grid_dropdown, _("Step spacing"), _("How the steps lie between noise and picture"));
  name_widget (self->precision_dropdown, _("Precision"), NULL);
  name_widget (self->previews_switch, _("Show pictures while they form"), _("A preview never changes a picture"));
  name_widget (self->more, _("More settings"), NULL);
  name_widget (self->queue_button, _("Queue these settings behind the run"), NULL);
  studio_controls_show_job (self, NULL);
  load (self);
}

void
studio_controls_set_model (StudioControls *self,
                           DimrModel      *model)
{
  g_return_if_fail (STUDIO_IS_CONTROLS (self));

  g_set_object (&self->model, model);
  self->loading = TRUE;
  studio_class_picker_set_model (self->picker, model);
  load (self);
}

static gboolean
check (StudioControls *self)
{
  StudioNumberRow *rows[] = { self->guidance_row, self->power_row, self->steps_row, self->images_row, self->batch_row };
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
      if (rows[i] == self->power_row && current_guidance (self).kind != DIMR_GUIDANCE_COSINE)
        continue;
      if (!studio_number_row_check (rows[i]))
        return FALSE;
    }
  return studio_seed_row_check (self->seed_row);
}

DimrRequest *
studio_controls_dup_request (StudioControls *self)
{
  g_autoptr(DimrRequest) request = NULL;
  const int *classes;
  guint n;

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
  request->n_steps = current_steps (self);
  request->sampler = gtk_drop_down_get_selected (self->sampler_dropdown);
  request->time_grid = gtk_drop_down_get_selected (self->grid_dropdown);
  request->guidance = current_guidance (self);
  request->precision = gtk_drop_down_get_selected (self->precision_dropdown) == 1 ? DIMR_PRECISION_BF16 : DIMR_PRECISION_F32;
  request->batch = (guint) studio_number_row_get_value (self->batch_row);
  request->previews = gtk_switch_get_active (self->previews_switch);

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
      gtk_drop_down_set_selected (self->sampler_dropdown, recipe->sampler);
      gtk_drop_down_set_selected (self->grid_dropdown, recipe->time_grid);
      gtk_drop_down_set_selected (self->precision_dropdown, recipe->precision == DIMR_PRECISION_BF16);
      studio_number_row_set_value (self->images_row, 1);
    }
  if (parts & STUDIO_RECIPE_SEED)
    studio_seed_row_set_seed (self->seed_row, recipe->seed, recipe->image_index);
}

GVariant *
studio_controls_dup_state (StudioControls *self)
{
  GVariantDict dict;

  g_return_val_if_fail (STUDIO_IS_CONTROLS (self), NULL);

  store (self);
  g_variant_dict_init (&dict, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (stored_keys); i++)
    {
      g_autoptr(GVariant) value = g_settings_get_value (studio_settings_get (), stored_keys[i]);

      g_variant_dict_insert_value (&dict, stored_keys[i], value);
    }
  return g_variant_ref_sink (g_variant_dict_end (&dict));
}

void
studio_controls_set_state (StudioControls *self,
                           GVariant       *state)
{
  g_return_if_fail (STUDIO_IS_CONTROLS (self));

  for (guint i = 0; i < G_N_ELEMENTS (stored_keys); i++)
    {
      g_autoptr(GVariant) value = g_variant_lookup_value (state, stored_keys[i], NULL);

      if (value)
        g_settings_set_value (studio_settings_get (), stored_keys[i], value);
    }
  load (self);
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
  g_autofree char *text = NULL;

  g_return_if_fail (STUDIO_IS_CONTROLS (self));

  if (job)
    {
      guint step = dimr_job_get_step (job), n_steps = dimr_job_get_n_steps (job);

      /* Translators: the step that the run has reached, and how many there are. */
      text = n_steps ? g_strdup_printf (_("Stop · %u of %u"), step, n_steps) : g_strdup (_("Stop"));
      gtk_widget_remove_css_class (GTK_WIDGET (self->button), "suggested-action");
      gtk_widget_set_tooltip_text (GTK_WIDGET (self->button), _("Stop this run (Shift+X)"));
      name_widget (self->button, _("Stop"), _("Stops the run within one step and keeps the pictures that are finished"));
    }
  else
    {
      text = g_strdup (_("_Generate"));
      gtk_widget_add_css_class (GTK_WIDGET (self->button), "suggested-action");
      gtk_widget_set_tooltip_text (GTK_WIDGET (self->button), _("Make the pictures (Ctrl+Enter)"));
      name_widget (self->button, _("Generate"), _("Makes pictures with these settings"));
    }
  gtk_button_set_label (self->button, text);
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
