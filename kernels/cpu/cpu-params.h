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
#include "kernels/cpu/cpu-team.h"

G_BEGIN_DECLS

typedef enum
{
  CPU_LAYOUT_PLAIN,            /* n · k floats as in the file, zeros up to a multiple of @width */
  CPU_LAYOUT_PANELS_F32,       /* [n, k] → [⌈n / width⌉][k][width] */
  CPU_LAYOUT_PANELS_BF16,      /* the same as bfloat16, k (or the channels of each tap) rounded up to even */
  CPU_LAYOUT_PANELS_BF16_PAIRS,/* [n, k] → [⌈n / width⌉][⌈k / 2⌉][width][2] as bfloat16 */
  CPU_LAYOUT_DEPTHWISE,        /* [n, 1, √k, √k] → [⌈n / width⌉][k][width] floats: channels become columns */
  CPU_LAYOUT_DEPTHWISE_FLIPPED,/* the same with the taps backwards: what a gradient goes through */
  CPU_LAYOUT_IMAGE_CONV,       /* [n, d, √taps, √taps], k = d · taps → [n][taps][d rounded up to width] floats */
} CpuLayoutKind;

typedef struct
{
  CpuLayoutKind kind;
  gsize         n;
  gsize         k;
  gsize         taps;  /* IMAGE_CONV; PANELS: 0, or k = d · taps is packed in the order (tap, channel) */
  guint         phase; /* PANELS with 9 taps: 0, or 1 + 2·dy + dx for the 2 × 2 kernel of one parity of an upsampled map */
  gsize         width;
  gsize         stride; /* PANELS_…: 0, or the tensor is [k, stride] and its columns [first, first + n) are the rows to pack */
  gsize         first;
} CpuLayout;

typedef struct _CpuParams CpuParams;
typedef struct _CpuParam CpuParam; /* reference-counted, one thread */

CpuParams     *cpu_params_new   (CpuTeam          *team);
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
