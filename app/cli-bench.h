/* cli-bench.h — one run of `dimr bench`: what was measured, and the ways to tell it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "app/cli-common.h"

G_BEGIN_DECLS

typedef struct
{
  char             *date;          /* UTC, ISO 8601 */
  char             *model;         /* name */
  char             *path;          /* NULL: random weights */
  char             *summary;
  guint64           parameters;
  char             *device;        /* as --device names it */
  char             *device_name;
  gboolean          is_cpu;
  guint             micro_batch;
  DimrPrecision     precision;
  double            model_seconds; /* opened and checked, or drawn */
  double            device_seconds;
  gboolean          has_peaks;
  DimrBenchPeaks    peaks;
  GArray           *steps;         /* DimrBenchStep */
  gboolean          has_pictures;
  DimrBenchPictures pictures;
  guint64           peak_memory;
} StudioBenchResult;

/* ---- for programs: cli-bench-json.c ---- */

/* Each prints one line as soon as its part is known. */
void     studio_bench_print_start    (const StudioBenchResult *self);
void     studio_bench_print_peaks    (const StudioBenchResult *self);
void     studio_bench_print_step     (const StudioBenchResult *self,
                                      const DimrBenchStep     *step);
void     studio_bench_print_pictures (const StudioBenchResult *self);
void     studio_bench_print_done     (const StudioBenchResult *self);
/* Everything as one JSON object, which --compare reads. */
gboolean studio_bench_save           (const StudioBenchResult *self,
                                      const char              *path,
                                      GError                 **error);

/* ---- for people: cli-bench-table.c ---- */

void     studio_bench_show_start     (const StudioBenchResult *self);
void     studio_bench_show_peaks     (const StudioBenchResult *self);
void     studio_bench_show_steps     (const StudioBenchResult *self);
void     studio_bench_show_ops       (const StudioBenchResult *self,
                                      const DimrBenchStep     *step);
void     studio_bench_show_pictures  (const StudioBenchResult *self);
void     studio_bench_show_memory    (const StudioBenchResult *self);
/* "12.3 ms", "1.23 s" (transfer full) */
char    *studio_bench_format_seconds (double                   seconds);
/* Seconds that the device's peaks allow for the work; 0 where they are not known. */
double   studio_bench_get_roofline   (const StudioBenchResult *self,
                                      guint64                  macs,
                                      guint64                  bytes);

/* ---- against a stored run: cli-bench-compare.c ---- */

typedef struct _StudioBenchStored StudioBenchStored;

/* DIMR_ERROR_FILE, DIMR_ERROR_FORMAT. */
StudioBenchStored *studio_bench_stored_load  (const char              *path,
                                              GError                 **error);
void               studio_bench_stored_free  (StudioBenchStored       *self);
/* DIMR_ERROR_REQUEST where the run was another machine's, or another model's: ratios would say nothing. */
gboolean           studio_bench_stored_check (StudioBenchStored       *self,
                                              const StudioBenchResult *now,
                                              GError                 **error);
/* Ratios of everything that both runs have measured, above 1 where it is faster now; warns of those below 0.95. */
void               studio_bench_stored_tell  (StudioBenchStored       *self,
                                              const StudioBenchResult *now,
                                              gboolean                 json);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StudioBenchStored, studio_bench_stored_free)

G_END_DECLS
