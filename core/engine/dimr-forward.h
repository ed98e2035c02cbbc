/* dimr-forward.h — one network evaluation from file to file, and what memory a run will need
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/graph/dimr-plan.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

/* @precision of AUTO is the device's in both.
 *
 * Evaluates the network once on the tensors `x` [B, C, H, W], `log_snr` [B] and, for conditional
 * models, `y` [B] of the safetensors file @input_path, without guidance. Writes `out0`, `out1`, …
 * (one a branch) and the nodes that @taps names to @output_path, all F32 in the graph's own layout.
 * @taps: NULL-terminated names; "all" stands for every named node; NULL: none. An unknown name is
 * DIMR_ERROR_REQUEST with a near one. */
gboolean dimr_forward_file  (DimrModel           *model,
                             const char          *device,
                             guint                n_threads,
                             DimrPrecision        precision,
                             const char          *input_path,
                             const char          *output_path,
                             const char * const  *taps,
                             GCancellable        *cancellable,
                             GError             **error);

/* What one evaluation as the sampler does it needs on @device, of as many images as it prefers: bytes of the weights and of the arena. */
gboolean dimr_forecast_memory (const DimrConfig  *config,
                               const char        *device,
                               DimrPrecision      precision,
                               gboolean           guided,
                               guint64           *weights_bytes,
                               guint64           *arena_bytes,
                               GError           **error);

G_END_DECLS
