/* dimr-codec-private.h — what decoding and encoding of files share
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/engine/dimr-codec.h"
#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

/* Pictures that one tensor may hold. */
#define DIMR_CODEC_MAX_BATCH 1000000

/* The tensor @name of @file: [B, @channels, H, W]. */
DimrTensor    *dimr_codec_require          (DimrWeights             *file,
                                            const char              *name,
                                            gint64                   channels,
                                            GError                 **error);
DimrPrecision  dimr_codec_choose_precision (const DimrCodecRequest  *request,
                                            DimrDevice              *device);

/* Picture @index of @n. */
typedef struct
{
  const DimrCodecRequest *request;
  guint                   index;
  guint                   n;
} DimrCodecPosition;

void           dimr_codec_report           (const DimrCodecPosition *self,
                                            double                   fraction,
                                            const char              *path);

G_END_DECLS
