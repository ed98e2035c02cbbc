/* dimr-decoder.h — latents to pictures on one device, as a whole or in tiles
 *
 * One latent at a time, so that a picture's bytes depend on nothing but its latent. The plan decides: where
 * the whole picture's arena fits, it is decoded at once. Where not, tiles are, with at most a quarter of that
 * arena (of its maps, where the device needs more than that beside them, such as scratch memory of a library's
 * products, which is the same for a tile):
 *
 * - The first part of the decoder, where maps are small, runs on the whole latent: the attention
 *   sees all of it. The rest runs tile by tile on a map that lies between the two.
 * - A tile is read with a margin as wide as the convolutions after it reach, so every pixel that is kept
 *   has seen what it sees in the whole picture.
 * - The group norms would see only their tile. So the tiles run in several passes: the statistics that all tiles
 *   find together are given to the next pass, and those of the first norm are exact then, those of the others
 *   nearly, the more so with each pass. (Of the reference autoencoder, 49 tiles made a picture of 256 × 256 that was
 *   40, 52, 65 and 76 dB from the whole one after one to four of them.) The last pass makes the picture.
 *   Neighbouring tiles share statistics and have whole margins, so there is no seam to hide.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/model/dimr-autoencoder.h"

G_BEGIN_DECLS

typedef struct _DimrDecoder DimrDecoder;

typedef struct
{
  DimrPrecision precision;
  guint         height;      /* of a latent */
  guint         width;
  guint64       memory;      /* bytes that maps may take; 0: what is free on the device */
  guint         n_passes;    /* with tiles, those that find statistics; 0: until two agree, at most DIMR_DECODER_MAX_PASSES */
} DimrDecoderSettings;

#define DIMR_DECODER_MAX_PASSES 8

/* Called between tiles and at the end. */
typedef void (*DimrDecoderProgress) (double   fraction,
                                     gpointer user_data);

/* Plans; and compiles what can be used again. DIMR_ERROR_MEMORY says what the smallest tiles would need;
 * DIMR_ERROR_MODEL where the autoencoder has no decoder. */
DimrDecoder *dimr_decoder_new            (DimrAutoencoder            *autoencoder,
                                          DimrDevice                 *device,
                                          const DimrDecoderSettings  *settings,
                                          GCancellable               *cancellable,
                                          GError                    **error);
void         dimr_decoder_free           (DimrDecoder                *self);
/* What decoding will take on @device_spec ("cpu", …): bytes of maps, and tiles. Plans, and allocates nothing there. */
gboolean     dimr_decoder_forecast       (DimrAutoencoder            *autoencoder,
                                          const char                 *device_spec,
                                          const DimrDecoderSettings  *settings,
                                          guint64                    *memory,
                                          guint                      *n_tiles,
                                          GError                    **error);
/* @z: [C, H, W] as a model makes it, scaled by DIMR_LATENT_SCALE. @picture: [3, f·H, f·W] in about [−1, 1], not clamped. */
gboolean     dimr_decoder_decode         (DimrDecoder                *self,
                                          const float                *z,
                                          float                      *picture,
                                          DimrDecoderProgress         progress,
                                          gpointer                    user_data,
                                          GCancellable               *cancellable,
                                          GError                    **error);
/* Pixels of a picture. */
guint        dimr_decoder_get_height     (DimrDecoder                *self);
guint        dimr_decoder_get_width      (DimrDecoder                *self);
/* 1 where it is decoded as a whole. */
guint        dimr_decoder_get_n_tiles    (DimrDecoder                *self);
/* Bytes of maps at the most, and those that the whole picture would take. */
guint64      dimr_decoder_get_memory     (DimrDecoder                *self,
                                          guint64                    *whole);
/* Multiply-accumulates of one decoding. */
guint64      dimr_decoder_get_macs       (DimrDecoder                *self);
DimrAutoencoder           *dimr_decoder_get_autoencoder (DimrDecoder *self);
const DimrDecoderSettings *dimr_decoder_peek_settings   (DimrDecoder *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrDecoder, dimr_decoder_free)

G_END_DECLS
