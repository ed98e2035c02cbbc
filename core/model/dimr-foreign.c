/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-foreign.h"

#include "core/base/dimr-i18n.h"

#include <string.h>

#define LORA N_("a LoRA, which only changes another model")
#define DIFFUSERS N_("the network of a text-to-image model")

/* What people have beside the files they need, and a tensor that tells it: its name, with a star at the end how names
 * begin, with one at the front how they end. The first row that fits is taken. */
static const struct
{
  const char *tensor;
  const char *what;
} rows[] = {
  { "*.lora_A.weight", LORA },
  { "*.lora_down.weight", LORA },
  { "*.lora_linear_layer.down.weight", LORA },
  { "*.hada_w1_a", LORA },
  { "*.exp_avg", N_("the state of an optimizer, without the weights it was optimizing") },
  { "model.diffusion_model.input_blocks.0.0.weight", N_("a text-to-image model (Stable Diffusion)") },
  { "model.diffusion_model.joint_blocks.*", N_("a text-to-image model (Stable Diffusion 3)") },
  { "joint_blocks.*", N_("a text-to-image model (Stable Diffusion 3)") },
  { "model.diffusion_model.double_blocks.*", N_("a text-to-image model (FLUX)") },
  { "double_blocks.*", N_("a text-to-image model (FLUX)") },
  { "model.diffusion_model.*", N_("a text-to-image model") },
  { "down_blocks.0.resnets.0.conv1.weight", DIFFUSERS },
  { "time_embedding.linear_1.weight", DIFFUSERS },
  { "time_text_embed.timestep_embedder.linear_1.weight", DIFFUSERS },
  { "adaln_single.linear.weight", N_("a text-to-image model (PixArt)") },
  { "y_embedder.y_proj.fc1.weight", N_("a text-to-image model (PixArt)") },
  { "context_embedder.weight", N_("a text-to-image model") },
  { "stages.0.input_layer.1.weight", N_("a DiMR model") },
  { "y_embedder.embedding_table.weight", N_("a DiT model") },
  { "in_blocks.0.attn.qkv.weight", N_("a U-ViT model") },
  { "first_stage_model.decoder.conv_in.weight", N_("a latent diffusion checkpoint with its autoencoder") },
  { "decoder.conv_in.weight", N_("an autoencoder, which turns latents into pictures but makes none itself") },
  { "control_model.*", N_("a ControlNet, which only steers another model") },
  { "controlnet_cond_embedding.*", N_("a ControlNet, which only steers another model") },
  { "text_model.embeddings.token_embedding.weight", N_("a text encoder") },
  { "shared.weight", N_("a text encoder") },
  { "model.embed_tokens.weight", N_("a language model") },
  { "cls_token", N_("a vision transformer classifier") },
  { "layer1.0.conv1.weight", N_("an image classifier (ResNet)") },
  { "moments", N_("latents of pictures, as “dimr encode” writes them") },
};

static gboolean
fits (const char *pattern,
      const char *name)
{
  const gsize n = strlen (pattern);

  if (pattern[0] == '*')
    return g_str_has_suffix (name, pattern + 1);
  return pattern[n - 1] == '*' ? strncmp (name, pattern, n - 1) == 0 : strcmp (name, pattern) == 0;
}

const char *
dimr_foreign_describe (DimrWeights *weights)
{
  const char **names;

  g_return_val_if_fail (weights != NULL, NULL);
  names = dimr_weights_peek_names (weights);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    for (guint k = 0; names[k] != NULL; k++)
      if (fits (rows[i].tensor, names[k]))
        return _(rows[i].what);
  return NULL;
}
