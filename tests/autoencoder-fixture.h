/* autoencoder-fixture.h — an autoencoder of Stable Diffusion's shape with random weights
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/model/dimr-autoencoder.h"

G_BEGIN_DECLS

/* Levels of 32, 32, 64 and 64 channels, and one block a level fewer than Stable Diffusion's: 8× and small. */
extern const DimrAutoencoderConfig autoencoder_fixture_small;
/* Stable Diffusion's own: 128, 256, 512, 512. */
extern const DimrAutoencoderConfig autoencoder_fixture_full;

/* Writes its tensors in the layout of the latent diffusion code to @path. */
void   autoencoder_fixture_write (const DimrAutoencoderConfig *config,
                                  const char                  *path);
/* A latent [4, H, W] with something to see: waves whose size changes from one corner to the other, and noise (transfer full). */
float *autoencoder_fixture_make_latent (guint height,
                                        guint width);
/* Peak signal-to-noise ratio in decibels of two pictures in [−1, 1], of @n numbers. */
double autoencoder_fixture_psnr  (const float *a,
                                  const float *b,
                                  gsize        n);

G_END_DECLS
