/* dimr-encoder.h — pictures to the moments of their latents on one device
 *
 * One picture at a time, so that its numbers depend on nothing but its pixels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/model/dimr-autoencoder.h"

G_BEGIN_DECLS

typedef struct _DimrEncoder DimrEncoder;

/* For pictures of @height × @width, multiples of the autoencoder's factor. DIMR_ERROR_SHAPE, DIMR_ERROR_MEMORY;
 * DIMR_ERROR_MODEL where the autoencoder has no encoder. */
DimrEncoder *dimr_encoder_new    (DimrAutoencoder  *autoencoder,
                                  DimrDevice       *device,
                                  DimrPrecision     precision,
                                  guint             height,
                                  guint             width,
                                  GCancellable     *cancellable,
                                  GError          **error);
void         dimr_encoder_free   (DimrEncoder      *self);
/* @picture: [3, H, W] in [−1, 1]. @moments: [2·c, H/f, W/f], means and then log-variances, unscaled. */
gboolean     dimr_encoder_encode (DimrEncoder      *self,
                                  const float      *picture,
                                  float            *moments,
                                  GCancellable     *cancellable,
                                  GError          **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrEncoder, dimr_encoder_free)

G_END_DECLS
