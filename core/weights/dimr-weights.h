/* dimr-weights.h — a checkpoint as a table of named tensors
 *
 * The format is told by content, never by the file's name: safetensors, PyTorch zip, PyTorch
 * legacy. Nothing in a file is executed; tensors are views of the mapped file wherever the file
 * stores them contiguously. Rules for what is refused: each reader's header.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/base/dimr-tensor.h"

G_BEGIN_DECLS

/* Immutable after construction, reference-counted, may be read from any thread. */
typedef struct _DimrWeights DimrWeights;

#define DIMR_TYPE_WEIGHTS (dimr_weights_get_type ())
GType         dimr_weights_get_type        (void);

/* Opens a checkpoint. Where a PyTorch file nests several tables, the first of `ema`,
 * `state_dict`, `model`, top level is taken. Errors: DIMR_ERROR_FILE (cannot be read),
 * DIMR_ERROR_FORMAT (one sentence: file, byte offset, reason), DIMR_ERROR_MODEL (a sound file that
 * holds no weights: optimizer state, a step counter), G_IO_ERROR_CANCELLED. The file is mapped for as
 * long as one of its tensors lives: replacing it by renaming is safe, cutting it short is not. */
DimrWeights  *dimr_weights_open            (const char         *path,
                                            GCancellable       *cancellable,
                                            GError            **error);
/* @tensors: name → DimrTensor (transfer full). */
DimrWeights  *dimr_weights_new_for_tensors (GHashTable         *tensors);
DimrWeights  *dimr_weights_ref             (DimrWeights        *self);
void          dimr_weights_unref           (DimrWeights        *self);

/* NULL where there is no such tensor (transfer none). */
DimrTensor   *dimr_weights_peek            (DimrWeights        *self,
                                            const char         *name);
/* Around the use of @tensor, which is one of them: the disk reads it and what follows it in the file while others are
 * still converted; afterwards its pages leave the program's memory until somebody reads them again. */
void          dimr_weights_prefetch        (DimrWeights        *self,
                                            const DimrTensor   *tensor);
void          dimr_weights_release         (DimrWeights        *self,
                                            const DimrTensor   *tensor);
guint         dimr_weights_get_n_tensors   (DimrWeights        *self);
/* Sorted by name, NULL-terminated (transfer none). */
const char  **dimr_weights_peek_names      (DimrWeights        *self);
/* Bytes of all tensors. */
guint64       dimr_weights_get_n_bytes     (DimrWeights        *self);
/* "safetensors", "PyTorch", "PyTorch (before 1.6)", or "memory". */
const char   *dimr_weights_get_format      (DimrWeights        *self);
/* Of the table that was chosen: "ema", "state_dict", "model", or NULL for the top level. */
const char   *dimr_weights_get_table       (DimrWeights        *self);
/* NULL where it was made in memory. */
const char   *dimr_weights_get_path        (DimrWeights        *self);
/* Value of safetensors' `__metadata__`; NULL where absent. */
const char   *dimr_weights_get_metadata    (DimrWeights        *self,
                                            const char         *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrWeights, dimr_weights_unref)

G_END_DECLS
