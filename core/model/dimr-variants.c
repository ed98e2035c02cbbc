/* dimr-variants.c — published models by name, and telling which architecture a weights file is
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/model/dimr-architecture.h"

#include <string.h>

static DimrConfig *
finish (const DimrArchitecture *architecture,
        guint                   i)
{
  DimrConfig *config = architecture->new_for_variant (i);

  architecture->set_defaults (config);
  config->title = g_strdup (architecture->variants[i]);
  return config;
}

DimrConfig *
dimr_config_new_for_variant (const char *name)
{
  g_return_val_if_fail (name != NULL, NULL);

  for (const DimrArchitecture * const *row = dimr_architecture_list (); *row != NULL; row++)
    for (guint i = 0; (*row)->variants[i] != NULL; i++)
      if (g_ascii_strcasecmp ((*row)->variants[i], name) == 0)
        return finish (*row, i);
  return NULL;
}

static gpointer
list_variants (gpointer data)
{
  GPtrArray *names = g_ptr_array_new ();

  for (const DimrArchitecture * const *row = dimr_architecture_list (); *row != NULL; row++)
    for (guint i = 0; (*row)->variants[i] != NULL; i++)
      g_ptr_array_add (names, (gpointer) (*row)->variants[i]);
  g_ptr_array_add (names, NULL);
  return g_ptr_array_free (names, FALSE);
}

const char * const *
dimr_config_list_variants (void)
{
  static GOnce once = G_ONCE_INIT;

  return g_once (&once, list_variants, NULL);
}

/* What else people have, and a tensor that tells it; names, or endings of names where they begin with a star. */
static const struct
{
  const char *tensor;
  const char *what;
} foreign[] = {
  { "model.diffusion_model.input_blocks.0.0.weight", "a text-to-image model (Stable Diffusion)" },
  { "down_blocks.0.resnets.0.conv1.weight", "the network of a text-to-image model" },
  { "first_stage_model.decoder.conv_in.weight", "a latent diffusion checkpoint with its autoencoder" },
  { "decoder.conv_in.weight", "an autoencoder, which turns latents into pictures but makes none itself" },
  { "y_embedder.y_proj.fc1.weight", "a text-to-image model (PixArt)" },
  { "context_embedder.weight", "a text-to-image model" },
  { "text_model.embeddings.token_embedding.weight", "a text encoder" },
  { "cls_token", "a vision transformer classifier" },
  { "layer1.0.conv1.weight", "an image classifier (ResNet)" },
  { "*.exp_avg", "the state of an optimizer, without the weights it was optimizing" },
  { "*.lora_A.weight", "a LoRA, which only changes another model" },
  { "*.lora_down.weight", "a LoRA, which only changes another model" },
};

static const char *
describe_foreign (DimrWeights *weights)
{
  const char **names = dimr_weights_peek_names (weights);

  for (guint i = 0; i < G_N_ELEMENTS (foreign); i++)
    {
      if (foreign[i].tensor[0] != '*')
        {
          if (dimr_weights_peek (weights, foreign[i].tensor) != NULL)
            return foreign[i].what;
          continue;
        }
      for (guint k = 0; names[k] != NULL; k++)
        if (g_str_has_suffix (names[k], foreign[i].tensor + 1))
          return foreign[i].what;
    }
  return NULL;
}

DimrConfig *
dimr_config_recognise (DimrWeights  *weights,
                       GError      **error)
{
  const char *path, *what;

  g_return_val_if_fail (weights != NULL, NULL);

  path = dimr_weights_get_path (weights) != NULL ? dimr_weights_get_path (weights) : "This file";
  for (const DimrArchitecture * const *row = dimr_architecture_list (); *row != NULL; row++)
    if (dimr_weights_peek (weights, (*row)->marker) != NULL)
      {
        DimrConfig *config = (*row)->recognise (weights, path, error);

        if (config != NULL)
          (*row)->set_defaults (config);
        return config;
      }

  what = describe_foreign (weights);
  if (what != NULL)
    g_set_error (error, DIMR_ERROR, DIMR_ERROR_MODEL, "%s: this is %s; needed are the weights of a DiMR, U-ViT or DiT", path, what);
  else
    g_set_error (error, DIMR_ERROR, DIMR_ERROR_MODEL, "%s: none of its %u tensors belongs to a DiMR, U-ViT or DiT",
                 path, dimr_weights_get_n_tensors (weights));
  return NULL;
}
