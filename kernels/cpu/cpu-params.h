/* cpu-params.h — parameters in the layouts that the inner loops read
 *
 * Each (weights, name, layout) is prepared once and shared by all programs of a device. One that
 * no program uses any more stays until cpu_params_trim(), because the next picture needs it again.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/weights/dimr-weights.h"
#include "kernels/cpu/cpu-pack.h"

G_BEGIN_DECLS

typedef struct _CpuParams CpuParams;
typedef struct _CpuParam CpuParam; /* reference-counted, one thread */

CpuParams     *cpu_params_new   (CpuTeam          *team,
                                 const CpuSimd    *simd);
void           cpu_params_free  (CpuParams        *self);
/* (transfer full). Errors: DIMR_ERROR_MODEL where @weights has no such tensor of n · k elements,
 * DIMR_ERROR_MEMORY. */
CpuParam      *cpu_params_get   (CpuParams        *self,
                                 DimrWeights      *weights,
                                 const char       *name,
                                 const CpuLayout  *layout,
                                 GError          **error);
void           cpu_params_trim  (CpuParams        *self);
/* Prepares again what was prepared of @weights: the numbers behind its tensors have changed. */
void           cpu_params_reload (CpuParams       *self,
                                  DimrWeights     *weights);

gconstpointer  cpu_param_peek   (const CpuParam   *self);
void           cpu_param_unref  (CpuParam         *self);

/* Bytes aligned to a cache line and set to 0xff, which reads as NaN: what is read before it was
 * written shows. NULL with DIMR_ERROR_MEMORY in MiB, with @what for the sentence. Free with free(). */
gpointer       cpu_try_alloc    (gsize             size,
                                 const char       *what,
                                 GError          **error);
/* Bytes of memory of this machine, and those free now. */
void           cpu_get_memory   (guint64          *total,
                                 guint64          *available);

G_END_DECLS
