/* dimr-weights-private.h — what the writer, the tests and the fuzz targets need besides
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

/* As dimr_weights_open(), of @bytes; @file is what errors call them. */
DimrWeights *dimr_weights_open_bytes    (GBytes        *bytes,
                                         const char    *file,
                                         GCancellable  *cancellable,
                                         GError       **error);
/* `__metadata__` of safetensors, str → str; NULL for other formats (transfer none). */
GHashTable  *dimr_weights_peek_metadata (DimrWeights   *self);

G_END_DECLS
