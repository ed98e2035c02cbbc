/* dimr-multires-config.c — DiMR's configurations: as files have them, the paper's Table 4, and which of it a file of weights is
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/model/dimr-multires.h"

#include "core/base/dimr-i18n.h"

#include <math.h>
#include <string.h>

static void
read_stage (DimrReader      *self,
            JsonObject      *object,
            DimrStageConfig *stage)
{
  static const char * const types[] = { "TransformerBlock", "ConvNeXtBlock", NULL };

  stage->block_type = dimr_reader_get_choice (self, object, "block_type", NULL, types);
  stage->dim = dimr_reader_get_count (self, object, "dim", 0, DIMR_MAX_DIM);
  stage->hidden_dim = dimr_reader_get_count (self, object, "hidden_dim", 2 * stage->dim, 4 * DIMR_MAX_DIM);
  stage->num_attention_heads = dimr_reader_get_count (self, object, "num_attention_heads", 1, DIMR_MAX_DIM);
  stage->num_blocks = dimr_reader_get_count (self, object, "num_blocks", 0, DIMR_MAX_BLOCKS);
  stage->max_height = dimr_reader_get_count (self, object, "max_height", 0, DIMR_MAX_SIDE);
  stage->max_width = dimr_reader_get_count (self, object, "max_width", stage->max_height, DIMR_MAX_SIDE);
  stage->image_input_ratio = dimr_reader_get_count (self, object, "image_input_ratio", 1, 64);
  stage->input_feature_ratio = dimr_reader_get_count (self, object, "input_feature_ratio", 1, 64);
  stage->final_kernel_size = dimr_reader_get_count (self, object, "final_kernel_size", 3, 31);
  stage->kernel_size = dimr_reader_get_count (self, object, "kernel_size", 7, 31);

  if (stage->block_type == DIMR_BLOCK_TRANSFORMER && stage->dim % stage->num_attention_heads != 0)
    dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"dim\" %u is not a multiple of \"num_attention_heads\" %u"),
                      stage->dim, stage->num_attention_heads);
  if (stage->final_kernel_size % 2 == 0 || stage->kernel_size % 2 == 0)
    dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"kernel_size\" and \"final_kernel_size\" must be odd"));
}

static void
read_stages (DimrReader *self,
             JsonObject *object,
             DimrConfig *config)
{
  JsonNode *node = dimr_reader_find (object, "stage_configs");
  JsonArray *array;

  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    {
      dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"stage_configs\" is missing or not a list"));
      return;
    }
  array = json_node_get_array (node);
  config->n_stages = json_array_get_length (array);
  if (config->n_stages < 1 || config->n_stages > DIMR_MAX_BRANCHES)
    {
      dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"stage_configs\" has %u entries, not 1 to %d"), config->n_stages,
                        DIMR_MAX_BRANCHES);
      return;
    }
  for (guint s = 0; s < config->n_stages; s++)
    {
      JsonNode *entry = json_array_get_element (array, s);

      if (!JSON_NODE_HOLDS_OBJECT (entry))
        {
          dimr_reader_fail (self, DIMR_ERROR_FORMAT, _("entry %u of \"stage_configs\" is not an object"), s);
          return;
        }
      read_stage (self, json_node_get_object (entry), &config->stages[s]);
    }
}

/* What the stages must have in common for the cascade to fit. */
static void
check_stages (DimrReader *self,
              DimrConfig *config)
{
  for (guint s = 0; s < config->n_stages && self->error == NULL; s++)
    {
      const DimrStageConfig *stage = &config->stages[s], *low = s > 0 ? stage - 1 : NULL;
      guint scale = stage->image_input_ratio * stage->input_feature_ratio;

      if (config->image_size % scale != 0 || config->image_size / scale > stage->max_height ||
          config->image_size / scale > stage->max_width)
        dimr_reader_fail (self, DIMR_ERROR_MODEL,
                          _("a picture of %u × %u does not fit branch %u (patches of %u, map of at most %u × %u)"),
                          config->image_size, config->image_size, s + 1, scale, stage->max_height, stage->max_width);
      else if (config->branch_skips && low != NULL && stage->block_type != DIMR_BLOCK_CONVNEXT)
        dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"branch_skips\" lead to ConvNeXt branches only, and branch %u is none"), s + 1);
      else if (config->position_type == DIMR_POSITION_AXIAL_ROPE && stage->block_type == DIMR_BLOCK_TRANSFORMER &&
               stage->dim / stage->num_attention_heads < 4)
        dimr_reader_fail (self, DIMR_ERROR_MODEL, _("heads of branch %u are too narrow for \"Axial_RoPE\", which needs 4 channels"),
                          s + 1);
      else if (low != NULL &&
               (stage->max_height % low->max_height != 0 ||
                config->image_size / scale !=
                  config->image_size / (low->image_input_ratio * low->input_feature_ratio) *
                  (stage->max_height / low->max_height)))
        dimr_reader_fail (self, DIMR_ERROR_MODEL, _("the map of branch %u is no whole multiple of that of branch %u"), s + 1, s);
    }
}

static void
read_loss_coeffs (DimrReader *self,
                  JsonObject *object,
                  DimrConfig *config)
{
  JsonNode *node = dimr_reader_find (object, "loss_coeffs");

  for (guint s = 0; s < config->n_stages; s++)
    config->loss_coeffs[s] = ldexpf (1.f, -2 * (int) (config->n_stages - 1 - s));
  if (node == NULL)
    return;
  if (!JSON_NODE_HOLDS_ARRAY (node) || json_array_get_length (json_node_get_array (node)) != config->n_stages)
    {
      dimr_reader_fail (self, DIMR_ERROR_MODEL, _("\"loss_coeffs\" is not a list of one number per branch"));
      return;
    }
  for (guint s = 0; s < config->n_stages; s++)
    config->loss_coeffs[s] = (float) json_array_get_double_element (json_node_get_array (node), s);
}

void
dimr_multires_read (DimrReader *reader,
                    JsonObject *object,
                    DimrConfig *config)
{
  static const char * const norms[] = { "TDRMSN", "LN", "RMSN", "ADARMSN", "ADALN_ZERO", NULL };
  static const char * const mlps[] = { "GEGLU", "GELU", NULL };
  static const char * const positions[] = { "APE", "Axial_RoPE", NULL };
  static const char * const cascades[] = { "add", "concat", NULL };

  config->channels = dimr_reader_get_count (reader, object, "channels", 0, 64);
  config->image_size = dimr_reader_get_count (reader, object, "image_size", 0, DIMR_MAX_SIDE);
  if (dimr_reader_find (object, "num_classes") != NULL)
    config->num_classes = dimr_reader_get_count (reader, object, "num_classes", 1, DIMR_MAX_CLASSES);
  config->has_null_class = config->num_classes > 0;
  config->norm_type = dimr_reader_get_choice (reader, object, "norm_type", "TDRMSN", norms);
  config->mlp_type = dimr_reader_get_choice (reader, object, "mlp_type", "GEGLU", mlps);
  config->position_type = dimr_reader_get_choice (reader, object, "pe_type", "APE", positions);
  config->cascade_type = dimr_reader_get_choice (reader, object, "cascade", "add", cascades);
  config->block_grad_to_lowres = dimr_reader_get_boolean (reader, object, "block_grad_to_lowres", FALSE);
  config->branch_skips = dimr_reader_get_boolean (reader, object, "branch_skips", FALSE);
  read_stages (reader, object, config);
  if (reader->error != NULL)
    return;
  check_stages (reader, config);
  read_loss_coeffs (reader, object, config);
}

/* What the released evaluation does for every model: Stable Diffusion's schedule and the linear time
 * proxy. Only the 64 px pixel models were made with the VP-SDE and the true log-SNR. */
void
dimr_multires_set_defaults (DimrConfig *config)
{
  gboolean pixel_64 = config->channels == 3 && config->image_size == 64;

  config->schedule = pixel_64 ? DIMR_SCHEDULE_LINEAR : DIMR_SCHEDULE_DISCRETE;
  config->beta_0 = pixel_64 ? 0.1 : 0.00085;
  config->beta_1 = pixel_64 ? 20.0 : 0.012;
  config->time_condition = pixel_64 ? DIMR_TIME_CONDITION_LOG_SNR : DIMR_TIME_CONDITION_LINEAR;
  config->default_steps = config->channels == 3 ? 50 : 250;
  config->default_sampler = DIMR_SAMPLER_DPM_SOLVER_FAST;
  config->default_guidance = (DimrGuidance){ DIMR_GUIDANCE_CONSTANT, config->has_null_class ? 1.4 : 1.0, 2.0 };
}

const char * const dimr_multires_variants[] = {
  "DiMR-M/3R", "DiMR-L/3R", "DiMR-XL/2R", "DiMR-XL/3R", "DiMR-G/2R", NULL,
};

typedef struct
{
  guint channels;
  guint image_size; /* of x: pixels or latent pixels */
  guint n_stages;
  guint blocks[3];
  guint dims[3];
  guint n_heads;
} Variant;

/* Layers, widths and heads: Tables 4 and 5. The lowest branch always works on 16 × 16 tokens. */
static const Variant variants[] = {
  { 3, 64, 3, { 15, 8, 8 }, { 768, 384, 192 }, 12 },
  { 3, 64, 3, { 33, 17, 17 }, { 768, 384, 192 }, 12 },
  { 4, 32, 2, { 39, 20 }, { 960, 480 }, 16 },
  { 4, 64, 3, { 39, 20, 20 }, { 960, 480, 240 }, 16 },
  { 4, 32, 2, { 57, 29 }, { 1152, 576 }, 16 },
};

G_STATIC_ASSERT (G_N_ELEMENTS (dimr_multires_variants) == G_N_ELEMENTS (variants) + 1);

DimrConfig *
dimr_multires_new_for_variant (guint i)
{
  const Variant *variant = &variants[i];
  DimrConfig *config = g_new0 (DimrConfig, 1);

  config->architecture = &dimr_architecture_multires;
  config->channels = variant->channels;
  config->image_size = variant->image_size;
  config->num_classes = 1001;
  config->has_null_class = TRUE;
  config->norm_type = DIMR_NORM_TDRMSN;
  config->n_stages = variant->n_stages;
  for (guint s = 0; s < variant->n_stages; s++)
    {
      guint ratio = 1u << (variant->n_stages - 1 - s);

      config->loss_coeffs[s] = 1.f / (float) (ratio * ratio);
      config->stages[s] = (DimrStageConfig){
        .block_type = s == 0 ? DIMR_BLOCK_TRANSFORMER : DIMR_BLOCK_CONVNEXT,
        .dim = variant->dims[s],
        .hidden_dim = 2 * variant->dims[s],
        .num_attention_heads = s == 0 ? variant->n_heads : 1,
        .num_blocks = variant->blocks[s],
        .max_height = variant->image_size / ratio,
        .max_width = variant->image_size / ratio,
        .image_input_ratio = 1,
        .input_feature_ratio = ratio,
        .final_kernel_size = 3,
        .kernel_size = 7,
      };
    }
  return config;
}

static char *
describe_widths (DimrWeights *weights)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint s = 0; s < DIMR_MAX_BRANCHES; s++)
    {
      g_autofree char *name = g_strdup_printf ("stages.%u.input_layer.1.weight", s);
      DimrTensor *tensor = dimr_weights_peek (weights, name);

      if (tensor == NULL)
        break;
      g_string_append_printf (text, "%s%" G_GINT64_FORMAT, s ? ", " : "", dimr_tensor_peek_shape (tensor)->dims[0]);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

DimrConfig *
dimr_multires_recognise (DimrWeights  *weights,
                         const char   *path,
                         GError      **error)
{
  g_autofree char *widths = NULL;

  for (guint i = 0; dimr_multires_variants[i] != NULL; i++)
    {
      g_autoptr (DimrConfig) config = dimr_multires_new_for_variant (i);

      if (dimr_network_check (config, weights, NULL, NULL))
        {
          config->title = g_strdup (dimr_multires_variants[i]);
          return g_steal_pointer (&config);
        }
    }
  widths = describe_widths (weights);
  dimr_error_set (error, DIMR_ERROR_MODEL,
                  _("%s: these are weights of a DiMR with branches %s wide, which is none of the paper's models, and its "
                    "number of attention heads cannot be told from the weights: put its config.json into the same folder"),
                  path, widths);
  return NULL;
}

guint
dimr_stage_config_get_n_blocks (const DimrStageConfig *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->num_blocks / 2 * 2 + 1;
}
