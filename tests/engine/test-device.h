/* test-device.h — the CPU behind every optional part of the device interface, counted, and able to fail
 *
 * A walk on it is computed in double exactly as the host's, so both must give the same bytes; a copy
 * that was requested is never there at the first look.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-error.h"
#include "core/graph/dimr-device.h"

G_BEGIN_DECLS

/* Set before a job is submitted, read after it has finished: the job's lock orders the two. */
typedef struct
{
  /* What it is. */
  guint         micro_batch;
  DimrPrecision precision;
  guint64       memory;         /* free bytes that it tells of; 0: the CPU's */
  gsize         workspace;      /* scratch bytes that every op wants on top of the CPU's */
  gboolean      keeps_walks;

  /* What goes wrong: at run number @fails_at (from 1), or at the compilation of so many images; 0: never. */
  guint         fails_at;
  DimrError     failure;
  guint         compile_limit;  /* DIMR_ERROR_MEMORY for more images than this, which no plan foretells */

  /* What was called. */
  guint         n_runs;
  guint         n_series;
  guint         n_selects;
  guint         n_copies;
  guint         n_walks;
  guint         n_walk_steps;
  guint         n_requests;
  guint         n_fetches;      /* that handed something out */
  guint         n_trims;
} TestDevice;

extern TestDevice test_device;

/* Registers the backend "test", and sets everything to a device that works. */
void test_device_init (void);

G_END_DECLS
