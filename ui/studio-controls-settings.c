/* studio-controls-settings.c — what is set, kept from one start to the next
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "ui/studio-controls-private.h"

#include <string.h>

#include "ui/studio-settings.h"

#define USUAL_CLASS 207 /* golden retriever */

/* What store () writes and dup_state () keeps. */
static const char * const stored_keys[] = {
  "classes", "guidance-kind", "guidance-scale", "guidance-power", "guide-all-channels", "steps", "sampler",
  "eta", "clip-x0", "time-grid",
  "seed", "first-index", "images", "batch", "precision", "micro-batch", "previews",
  "skip-unconditional", "reuse-low-branches",
};

DimrGuidance
_studio_controls_get_default_guidance (StudioControls *self)
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

static GVariant *
int_list (const int *values,
          guint      n)
{
  return g_variant_new_fixed_array (G_VARIANT_TYPE_INT32, values, n, sizeof (gint32));
}

void
_studio_controls_store (StudioControls *self)
{
  GSettings *settings = studio_settings_get ();
  DimrGuidance guidance = _studio_controls_get_guidance (self);
  DimrGuidance usual = _studio_controls_get_default_guidance (self);
  DimrSamplerKind sampler = studio_sampler_row_get_kind (self->sampler_row);
  DimrSamplerOptions options = studio_sampler_row_get_options (self->sampler_row);
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
                       _studio_controls_get_steps (self) == studio_number_row_get_default_value (self->steps_row) ? 0 : _studio_controls_get_steps (self));
  g_settings_set_string (settings, "sampler",
                         sampler == default_sampler (self) ? "" : dimr_sampler_kind_to_string (sampler));
  g_settings_set_double (settings, "eta", options.eta);
  g_settings_set_boolean (settings, "clip-x0", options.clip);
  g_settings_set_boolean (settings, "guide-all-channels", usual.channels > 0 && guidance.channels == 0);
  g_settings_set_string (settings, "time-grid",
                         dimr_time_grid_to_string (gtk_drop_down_get_selected (self->grid_dropdown)));

  if (studio_seed_row_get_seed (self->seed_row, &seed, &first_index))
    seed_text = g_strdup_printf ("%" G_GUINT64_FORMAT, seed);
  g_settings_set_string (settings, "seed", seed_text ? seed_text : "-1");
  g_settings_set_uint64 (settings, "first-index", first_index);

  g_settings_set_uint (settings, "images", (guint) studio_number_row_get_value (self->images_row));
  g_settings_set_uint (settings, "batch", (guint) studio_number_row_get_value (self->batch_row));
  g_settings_set_string (settings, "precision", dimr_precision_to_string (_studio_controls_get_precision (self)));
  g_settings_set_uint (settings, "micro-batch", _studio_controls_get_micro_batch (self));
  g_settings_set_boolean (settings, "previews", gtk_switch_get_active (self->previews_switch));
  g_settings_set_boolean (settings, "skip-unconditional", gtk_switch_get_active (self->skip_switch));
  g_settings_set_uint (settings, "reuse-low-branches", (guint) studio_number_row_get_value (self->reuse_row));
}

static void
load_classes (StudioControls *self)
{
  g_autoptr(GArray) classes = studio_settings_dup_ints ("classes");
  const int *trained = NULL;
  int usual = USUAL_CLASS;
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
  if (n > 0)
    usual = trained[0];
  else if (dimr_config_get_n_classes (dimr_model_peek_config (self->model)) <= (guint) usual)
    usual = 0; /* a model of few classes */
  studio_class_picker_set_classes (self->picker, &usual, 1);
}

static void
load_guidance (StudioControls *self)
{
  GSettings *settings = studio_settings_get ();
  g_autofree char *kind = g_settings_get_string (settings, "guidance-kind");
  double scale = g_settings_get_double (settings, "guidance-scale");
  double power = g_settings_get_double (settings, "guidance-power");
  DimrGuidance usual = _studio_controls_get_default_guidance (self);

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

void
_studio_controls_load (StudioControls *self)
{
  GSettings *settings = studio_settings_get ();
  g_autofree char *sampler_text = g_settings_get_string (settings, "sampler");
  g_autofree char *grid = g_settings_get_string (settings, "time-grid");
  g_autofree char *precision_text = g_settings_get_string (settings, "precision");
  DimrPrecision precision = DIMR_PRECISION_AUTO;
  DimrSamplerKind sampler = default_sampler (self);
  DimrSamplerOptions options = { g_settings_get_double (settings, "eta"), g_settings_get_boolean (settings, "clip-x0") };
  DimrTimeGrid time_grid = DIMR_TIME_GRID_UNIFORM;
  DimrGuidance guidance = _studio_controls_get_default_guidance (self);
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
  studio_sampler_row_set_kind (self->sampler_row, sampler);
  studio_sampler_row_set_options (self->sampler_row, &options);
  _studio_controls_set_guided_channels (self, g_settings_get_boolean (settings, "guide-all-channels") ? 0 : guidance.channels);
  dimr_time_grid_from_string (grid, &time_grid);
  gtk_drop_down_set_selected (self->grid_dropdown, time_grid);
  studio_number_row_set_value (self->images_row, g_settings_get_uint (settings, "images"));
  studio_number_row_set_value (self->batch_row, g_settings_get_uint (settings, "batch"));
  dimr_precision_from_string (precision_text, &precision);
  _studio_controls_set_precision (self, precision);
  _studio_controls_set_micro_batch (self, g_settings_get_uint (settings, "micro-batch"));
  gtk_switch_set_active (self->previews_switch, g_settings_get_boolean (settings, "previews"));
  gtk_switch_set_active (self->skip_switch, g_settings_get_boolean (settings, "skip-unconditional"));
  studio_number_row_set_value (self->reuse_row, g_settings_get_uint (settings, "reuse-low-branches"));
  _studio_controls_update (self);
  self->loading = FALSE;
}

GVariant *
studio_controls_dup_state (StudioControls *self)
{
  GVariantDict dict;

  g_return_val_if_fail (STUDIO_IS_CONTROLS (self), NULL);

  _studio_controls_store (self);
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
  _studio_controls_load (self);
}
