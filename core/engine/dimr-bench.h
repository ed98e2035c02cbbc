/* dimr-bench.h — how fast a model is on a device, and against what that device can do
 *
 * Every call measures, blocks until it is done, and looks at its cancellable between evaluations.
 * A time is taken around whole evaluations and ends with a read of the result, so that it is right
 * for devices that work ahead of the program. Nothing here is compared with a clock that other
 * programs do not share: on a busy machine read the medians, and ratios within one run.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/engine/dimr-request.h"
#include "core/graph/dimr-device.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

/* Repeated times of one thing, in seconds. */
typedef struct
{
  guint  n;
  double median;
  double p10; /* a tenth of them was shorter */
  double p90;
} DimrBenchTimes;

/* What the device reaches at best, in the same run and through the same interface. */
typedef struct
{
  double flops; /* a second, of one large LINEAR; a multiply-accumulate is two */
  double bytes; /* a second, read and written by one large ADD */
} DimrBenchPeaks;

/* All nodes of one op and shape in one evaluation. */
typedef struct
{
  DimrOp  op;
  char   *shape;   /* "514 × 960 → 2880" */
  guint   count;
  double  seconds; /* of all of them */
  guint64 macs;
  guint64 bytes;   /* dimr_plan_get_traffic() */
} DimrBenchOp;

/* One guided evaluation of @batch pictures. */
typedef struct
{
  guint          batch;
  guint          samples;         /* images that the network sees: with guidance 2 · batch */
  double         compile_seconds; /* plan, parameters and program, with weights that are in memory */
  DimrBenchTimes time;
  guint64        macs;
  guint64        bytes;
  guint64        param_bytes;
  guint64        arena_bytes;
  guint64        device_bytes;    /* by which the device's free memory fell; other programs count too */
  DimrBenchOp   *ops;             /* [n_ops], longest first; none where the device has no clock for them */
  guint          n_ops;
  double         ops_seconds;     /* their sum: a little above @time, where small ones else run side by side */
} DimrBenchStep;

/* Whole pictures through the engine, as a user gets them. */
typedef struct
{
  guint          n_steps;
  double         first_preview;   /* new engine → first preview: opens the device and compiles */
  DimrBenchTimes preview;         /* request → first preview, with all that ready */
  DimrBenchTimes picture;         /* request → final picture in the memory of the program */
  guint          batch;           /* pictures a request, of the throughput */
  guint          n_pictures;
  double         pictures_per_second;
} DimrBenchPictures;

/* Sorts @seconds [n ≥ 1] in place. */
void     dimr_bench_times_init      (DimrBenchTimes     *self,
                                     double             *seconds,
                                     guint               n);
/* @seconds: about how long each of the two may take. DIMR_ERROR_MEMORY, DIMR_ERROR_DEVICE. */
gboolean dimr_bench_measure_peaks   (DimrDevice         *device,
                                     DimrPrecision       precision,
                                     double              seconds,
                                     DimrBenchPeaks     *peaks,
                                     GCancellable       *cancellable,
                                     GError            **error);
/* At least three evaluations, about @seconds long; with @profile also every op, about as long again.
 * @step is filled, to be cleared. */
gboolean dimr_bench_measure_step    (DimrModel          *model,
                                     DimrDevice         *device,
                                     DimrPrecision       precision,
                                     guint               batch,
                                     gboolean            profile,
                                     double              seconds,
                                     DimrBenchStep      *step,
                                     GCancellable       *cancellable,
                                     GError            **error);
void     dimr_bench_step_clear      (DimrBenchStep      *self);
/* Opens an engine of its own. @request: one picture; its size is that of the model. Twenty pictures
 * after three for warming up, fewer where they take longer than @seconds, but one; then requests of up
 * to @batch pictures for as long again. */
gboolean dimr_bench_measure_pictures (DimrModel         *model,
                                      const char        *device,
                                      guint              n_threads,
                                      const DimrRequest *request,
                                      guint              batch,
                                      double             seconds,
                                      DimrBenchPictures *pictures,
                                      GCancellable      *cancellable,
                                      GError           **error);
/* The most memory that this process has had (VmHWM), in bytes; 0 where the system does not tell. */
guint64  dimr_bench_get_peak_memory (void);
/* Lets that count from here on, where the system can. */
void     dimr_bench_reset_peak_memory (void);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DimrBenchStep, dimr_bench_step_clear)

G_END_DECLS
