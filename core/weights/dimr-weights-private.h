/* dimr-weights-private.h — for tests and fuzzing: a checkpoint that is already in memory
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

/* As dimr_weights_open(), of @bytes; @file is what errors call them. */
DimrWeights *dimr_weights_open_bytes (GBytes        *bytes,
                                      const char    *file,
                                      GCancellable  *cancellable,
                                      GError       **error);

G_END_DECLS
