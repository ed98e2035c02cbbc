/* dimr-safetensors-writer.h — writes safetensors files, whole or not at all
 *
 * A file is written beside its final place under a temporary name, synced, and renamed; whatever
 * fails, the temporary file is gone and a file that was there before is untouched. The header is
 * padded so that the data begins on a multiple of eight, and tensors stand in the order of their
 * element sizes, largest first, so that every one of them is aligned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

/* Bytes of tensor data written so far, and of all. Called on the writing thread. */
typedef void (*DimrWeightsProgress) (guint64  n_done,
                                     guint64  n_total,
                                     gpointer user_data);

/* @names: NULL-terminated, distinct; @tensors: one each. @metadata: str → str, or NULL. Equal
 * arguments give equal bytes. Errors: DIMR_ERROR_FILE (cannot be written), DIMR_ERROR_REQUEST (a
 * name or text that the format cannot hold), G_IO_ERROR_CANCELLED. */
gboolean dimr_safetensors_write (const char           *path,
                                 const char *const    *names,
                                 DimrTensor *const    *tensors,
                                 GHashTable           *metadata,
                                 GCancellable         *cancellable,
                                 DimrWeightsProgress   progress,
                                 gpointer              user_data,
                                 GError              **error);
/* Writes @self with its floating-point tensors as @dtype (F32, F16, BF16 or F64; NULL keeps each
 * one's own). Others are kept as they are, and so is safetensors metadata. Holds about a megabyte at a time. A
 * finite value that would become infinite is DIMR_ERROR_REQUEST; other errors as above. */
gboolean dimr_weights_convert   (DimrWeights          *self,
                                 const char           *path,
                                 const DimrDType      *dtype,
                                 GCancellable         *cancellable,
                                 DimrWeightsProgress   progress,
                                 gpointer              user_data,
                                 GError              **error);

G_END_DECLS
