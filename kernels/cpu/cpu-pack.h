/* cpu-pack.h — tensors of a file in the layouts that the inner loops read
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-tensor.h"
#include "kernels/cpu/cpu-simd.h"
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

/* Bytes of a layout; FALSE where they overflow. */
gboolean cpu_layout_get_bytes (const CpuLayout   *layout,
                               guint64           *bytes);

/* Fills all of @data. @tensor has as many elements as the layout asks for; the width of a product's panels is
 * that of @simd. */
void     cpu_pack             (CpuTeam           *team,
                               const CpuSimd     *simd,
                               const DimrTensor  *tensor,
                               const CpuLayout   *layout,
                               gpointer           data);

G_END_DECLS
