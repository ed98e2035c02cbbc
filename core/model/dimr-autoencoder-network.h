/* dimr-autoencoder-network.h — Stable Diffusion's KL autoencoder as graphs
 *
 * Parameters and taps carry the names of the LDM checkpoints ("decoder.up.3.block.0.conv1.weight",
 * tap "decoder.up.3.block.0.conv1"). Inside, maps are [B, H, W, D].
 *
 *   decoder: post_quant_conv 1×1, conv_in 3×3, mid (block, attention, block), levels from the
 *            lowest resolution up (blocks, then nearest ×2 and 3×3), norm, SiLU, conv_out 3×3
 *   encoder: conv_in, levels down (blocks, then 3×3 of stride 2 with zeros below and on the right
 *            only), mid, norm, SiLU, conv_out, quant_conv 1×1 → mean and log-variance
 *   block:   x + conv2 (silu (norm2 (conv1 (silu (norm1 x))))), x through a 1×1 where the widths differ
 *
 * Group norms have 32 groups and eps 1e-6; attention has one head over all pixels of the map.
 *
 * Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-graph.h"

G_BEGIN_DECLS

#define DIMR_AUTOENCODER_MAX_LEVELS 8

/* Latents are the encoder's times this, so that they have about unit variance. */
#define DIMR_LATENT_SCALE 0.18215

typedef struct
{
  guint    latent_channels;  /* of z: 4 */
  guint    z_channels;       /* between the quant convolutions and the networks: 4 */
  guint    image_channels;   /* 3 */
  guint    n_levels;         /* an image has 2^(n_levels − 1) times the side of its latent */
  guint    channels[DIMR_AUTOENCODER_MAX_LEVELS]; /* of each level, full resolution first */
  guint    decoder_blocks;   /* a level: 3; 0: there is no decoder */
  guint    encoder_blocks;   /* a level: 2; 0: there is no encoder */
} DimrAutoencoderConfig;

/* Where the group norms take their mean and variance from. Every norm's own are the node "found.NAME"
 * [B, 32, 2], NAME such as "decoder.up.0.block.2.norm1"; given ones the input "given.NAME" [1, 32, 2]. */
typedef enum
{
  DIMR_STATISTICS_OWN,
  DIMR_STATISTICS_GIVEN,
} DimrStatistics;

/* A part of the decoder. Level n is the one that works at 1/2ⁿ of the picture's side. A cut lies after a
 * level's blocks, before the upsampling; the levels from n_levels − 1 down to the cut come before it. Cut
 * n_levels lies after the middle, before all levels. */
typedef struct
{
  guint          batch;
  guint          height;      /* of its input */
  guint          width;
  guint          from;        /* 0: from "z" [B, latent_channels, H, W]; n: from the map "cut" [B, H, W, D] after level n */
  guint          to;          /* 0: to "decoder.conv_out" [B, image_channels, H', W']; n: to the node "cut" after level n */
  DimrStatistics statistics;
  DimrRegion     region;      /* of the input: what the statistics are taken of; zeros: all of it */
} DimrDecoderPart;

/* Both: DIMR_ERROR_SHAPE where the sizes are impossible. */
DimrGraph *dimr_autoencoder_build_decoder (const DimrAutoencoderConfig *config,
                                           const DimrDecoderPart       *part,
                                           GError                     **error);
/* From "image" [B, image_channels, H, W] in [−1, 1], sides multiples of 2^(n_levels − 1), to "quant_conv"
 * [B, 2·latent_channels, H', W']: means, then log-variances, unscaled. */
DimrGraph *dimr_autoencoder_build_encoder (const DimrAutoencoderConfig *config,
                                           guint                        batch,
                                           guint                        height,
                                           guint                        width,
                                           GError                     **error);
/* 2^(n_levels − 1): pixels of a picture a latent pixel. */
guint      dimr_autoencoder_get_factor    (const DimrAutoencoderConfig *config);

G_END_DECLS
