/* dimr-autoencoder-keys.h — the names that an autoencoder's tensors have in the files that people have
 *
 * Read are the layout of the latent diffusion code ("decoder.up.3.block.0.conv1.weight", also under
 * "first_stage_model.") and Hugging Face's AutoencoderKL ("decoder.up_blocks.0.resnets.0.conv1.weight"), whose levels
 * count from the lowest resolution and whose attention has had two sets of names. Everything
 * else in the program knows the first layout only.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

/* The autoencoder's tensors under the names of the latent diffusion code; those of other networks in
 * the file and of the training loss are left out (transfer full). NULL where there are none. */
DimrWeights *dimr_autoencoder_keys_translate (DimrWeights *weights);

G_END_DECLS
