/* dimr-safetensors-stream.h — safetensors files that are larger than memory, filled in piece by piece
 *
 * The room for all of it is taken at the beginning, so that a disk that is too small is known before the work.
 * As with dimr_safetensors_write() the file appears under its name when it is whole, or not at all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-tensor.h"

G_BEGIN_DECLS

typedef struct _DimrSafetensorsStream DimrSafetensorsStream;

/* A tensor that is to come. */
typedef struct
{
  const char *name; /* static */
  DimrDType   dtype;
  DimrShape   shape;
} DimrSafetensorsSlot;

/* @metadata: str → str, or NULL. DIMR_ERROR_FILE, DIMR_ERROR_REQUEST. */
DimrSafetensorsStream *dimr_safetensors_stream_new    (const char                 *path,
                                                       const DimrSafetensorsSlot  *slots,
                                                       guint                       n_slots,
                                                       GHashTable                 *metadata,
                                                       GError                    **error);
/* Elements [first, first + count) of slot @slot, in any order; what is never put stays zero. */
gboolean               dimr_safetensors_stream_put    (DimrSafetensorsStream      *self,
                                                       guint                       slot,
                                                       gsize                       first,
                                                       gsize                       count,
                                                       gconstpointer               data,
                                                       GError                    **error);
/* Flushes the file and gives it its name. Nothing can be put afterwards. */
gboolean               dimr_safetensors_stream_finish (DimrSafetensorsStream      *self,
                                                       GError                    **error);
/* Removes what was not finished. */
void                   dimr_safetensors_stream_free   (DimrSafetensorsStream      *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrSafetensorsStream, dimr_safetensors_stream_free)

G_END_DECLS
