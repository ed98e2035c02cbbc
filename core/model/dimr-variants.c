/* dimr-variants.c — the paper's Table 4, and telling which of them a weights file is
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/model/dimr-config.h"

#include "core/base/dimr-error.h"
#include "core/model/dimr-config-private.h"
#include "core/model/dimr-network.h"

#include <math.h>
#include <string.h>

typedef struct
{
  const char *name;
  guint channels;
  guint image_size; /* of x: pixels or latent pixels */
  guint n_stages;
  guint blocks[3];
  guint dims[3];
  guint n_heads;
} Variant;

/* Layers, widths and heads: Tables 4 and 5. The lowest branch always works on 16 × 16 tokens. */
static const Variant variants[] = {
  { "DiMR-M/3R", 3, 64, 3, { 15, 8, 8 }, { 768, 384, 192 }, 12 },
  { "DiMR-L/3R", 3, 64, 3, { 33, 17, 17 }, { 768, 384, 192 }, 12 },
  { "DiMR-XL/2R", 4, 32, 2, { 39, 20 }, { 960, 480 }, 16 },
  { "DiMR-XL/3R", 4, 64, 3, { 39, 20, 20 }, { 960, 480, 240 }, 16 },
  { "DiMR-G/2R", 4, 32, 2, { 57, 29 }, { 1152, 576 }, 16 },
};

static DimrConfig *
make (const Variant *variant)
{
  DimrConfig *config = dimr_config_new_for_released (variant->channels, variant->image_size, 1001);

  config->n_stages = variant->n_stages;
  config->title = g_strdup (variant->name);
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

DimrConfig *
dimr_config_new_for_variant (const char *name)
{
  g_return_val_if_fail (name != NULL, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (variants); i++)
    if (g_ascii_strcasecmp (variants[i].name, name) == 0)
      return make (&variants[i]);
  return NULL;
}

const char * const *
dimr_config_list_variants (void)
{
  static const char *names[G_N_ELEMENTS (variants) + 1];

  for (guint i = 0; i < G_N_ELEMENTS (variants); i++)
    names[i] = variants[i].name;
  return names;
}

/* Which families of models these tensor names belong to, for a sentence about a file that is no DiMR. */
static const struct
{
  const char *tensor;
  const char *what;
} families[] = {
  { "x_embedder.proj.weight", "a DiT model" },
  { "in_blocks.0.attn.qkv.weight", "a U-ViT model" },
  { "decoder.conv_in.weight", "an autoencoder" },
  { "first_stage_model.decoder.conv_in.weight", "a latent diffusion checkpoint with its autoencoder" },
  { "model.diffusion_model.input_blocks.0.0.weight", "a text-to-image model (Stable Diffusion)" },
  { "cls_token", "a vision transformer classifier" },
};

static const char *
describe_foreign (DimrWeights *weights)
{
  const char **names = dimr_weights_peek_names (weights);

  for (guint i = 0; i < G_N_ELEMENTS (families); i++)
    if (dimr_weights_peek (weights, families[i].tensor) != NULL)
      return families[i].what;
  for (guint i = 0; names[i] != NULL; i++)
    if (strstr (names[i], "lora_") != NULL || strstr (names[i], ".lora") != NULL)
      return "a LoRA, which only changes another model";
  return NULL;
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
dimr_config_recognise (DimrWeights  *weights,
                       GError      **error)
{
  const char *path, *foreign;

  g_return_val_if_fail (weights != NULL, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (variants); i++)
    {
      g_autoptr (DimrConfig) config = make (&variants[i]);

      if (dimr_network_check (config, weights, NULL, NULL))
        return g_steal_pointer (&config);
    }

  path = dimr_weights_get_path (weights) != NULL ? dimr_weights_get_path (weights) : "This file";
  foreign = describe_foreign (weights);
  if (dimr_weights_peek (weights, "stages.0.input_layer.1.weight") != NULL)
    {
      g_autofree char *widths = describe_widths (weights);
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_MODEL,
                   "%s: these are weights of a DiMR with branches %s wide, which is none of the paper's models, and its "
                   "number of attention heads cannot be told from the weights: put its config.json into the same folder",
                   path, widths);
    }
  else if (foreign != NULL)
    g_set_error (error, DIMR_ERROR, DIMR_ERROR_MODEL, "%s: this is %s, not a DiMR model", path, foreign);
  else
    g_set_error (error, DIMR_ERROR, DIMR_ERROR_MODEL,
                 "%s: none of its %u tensors belongs to a DiMR model", path, dimr_weights_get_n_tensors (weights));
  return NULL;
}
