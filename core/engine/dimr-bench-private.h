/* dimr-bench-private.h — a compiled graph under the clock
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/engine/dimr-bench.h"

G_BEGIN_DECLS

/* With @n_times values announced, every run takes the next of them. */
typedef struct
{
  DimrPlan    *plan;
  DimrProgram *program;
  DimrNodeId   output;
  float       *result;   /* [n_result] */
  gsize        n_result;
  guint        n_times;
  guint        time;
} DimrBenchProgram;

/* On failure too, clear it. */
gboolean dimr_bench_program_init  (DimrBenchProgram  *self,
                                   DimrGraph         *graph,
                                   DimrNodeId         output,
                                   DimrDevice        *device,
                                   DimrPrecision      precision,
                                   DimrWeights       *weights,
                                   GCancellable      *cancellable,
                                   GError           **error);
void     dimr_bench_program_clear (DimrBenchProgram  *self);
/* After one or two runs for warming up, runs for about @seconds, three times at least. */
gboolean dimr_bench_program_time  (DimrBenchProgram  *self,
                                   double             seconds,
                                   DimrBenchTimes    *times,
                                   GCancellable      *cancellable,
                                   GError           **error);
/* @began: of g_get_monotonic_time() */
double   dimr_bench_seconds_since (gint64             began);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DimrBenchProgram, dimr_bench_program_clear)

G_END_DECLS
