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

/* Tensors to be written, in order. */
typedef struct
{
  GPtrArray *names;
  GPtrArray *tensors;
} DimrCodecOutput;

void           dimr_codec_output_clear     (DimrCodecOutput         *self);
/* @data (transfer full), g_free()d. @name is static. */
void           dimr_codec_output_take      (DimrCodecOutput         *self,
                                            const char              *name,
                                            DimrDType                dtype,
                                            DimrShape                shape,
                                            gpointer                 data);
gboolean       dimr_codec_output_write     (DimrCodecOutput         *self,
                                            const char              *path,
                                            GHashTable              *metadata,
                                            GCancellable            *cancellable,
                                            GError                 **error);

/* Floats for a tensor of @shape (transfer full); NULL with DIMR_ERROR_MEMORY. */
float         *dimr_codec_try_floats       (const DimrShape         *shape,
                                            GError                 **error);
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

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DimrCodecOutput, dimr_codec_output_clear)

G_END_DECLS
