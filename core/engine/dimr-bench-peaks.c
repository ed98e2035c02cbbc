/* dimr-bench-peaks.c — what a device reaches with one large product, and with one large sum
 *
 * The graphs end in a slice of one row: reading that waits for the device without a copy that
 * would be timed as well.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/engine/dimr-bench-private.h"

#include "core/base/dimr-rng.h"
#include "core/graph/dimr-traffic.h"

#define NO_ATTRS ((DimrAttrs){ 0 })
/* A side is doubled until one run is long enough for its beginning and end not to count. */
#define MIN_RUN_SECONDS 2e-3
#define MIN_SIDE 1024
#define MAX_SIDE 8192
/* Rows of the sum: 64 MiB a tensor of F32 at first, which no cache of a processor holds with its two neighbours. */
#define MIN_ROWS 4096
#define MAX_ROWS (1 << 16)
#define ROW 4096
#define NOISE (1 << 16)

/* Repeats some normal values: neither zeros nor the time to draw them all. */
static float *
make_values (gsize n)
{
  float *noise = g_new (float, NOISE), *values = g_new (float, n);

  dimr_rng_normal (1, 0, DIMR_STREAM_START_NOISE, 0, noise, NOISE);
  for (gsize i = 0; i < n; i++)
    values[i] = noise[(i + i / NOISE) % NOISE];
  g_free (noise);
  return values;
}

static void
write_values (DimrBenchProgram *self,
              const char       *name)
{
  const DimrNodeId input = dimr_plan_get_input (self->plan, name);
  const gsize n = dimr_shape_n_elements (&dimr_graph_peek_node (dimr_plan_peek_graph (self->plan), input)->shape);
  g_autofree float *values = make_values (n);

  dimr_program_write (self->program, input, values, n * sizeof *values);
}

static DimrNodeId
add_row (DimrGraph  *graph,
         DimrNodeId  x)
{
  return dimr_graph_add_op (graph, DIMR_OP_SLICE_TOKENS, ((DimrAttrs){ .length = 1 }), x);
}

static DimrWeights *
make_weights (gint64 side)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  const DimrShape shape = DIMR_SHAPE (side, side);

  if (side > 0)
    g_hash_table_insert (tensors, g_strdup ("w"),
                         dimr_tensor_new_take (DIMR_DTYPE_F32, &shape, make_values ((gsize) (side * side))));
  return dimr_weights_new_for_tensors (tensors);
}

/* Seconds of x [side, side] · wᵀ. */
static gboolean
time_product (DimrDevice      *device,
              DimrPrecision    precision,
              gint64           side,
              double           seconds,
              DimrBenchTimes  *times,
              GCancellable    *cancellable,
              GError         **error)
{
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  g_autoptr (DimrWeights) weights = make_weights (side);
  g_auto (DimrBenchProgram) program = { 0 };
  DimrNodeId x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (1, side, side));
  DimrNodeId w = dimr_graph_add_param (graph, "w", DIMR_SHAPE (side, side));

  x = add_row (graph, dimr_graph_add_op (graph, DIMR_OP_LINEAR, NO_ATTRS, w, DIMR_NODE_NONE, DIMR_NODE_NONE, x));
  if (!dimr_graph_finish (graph, error) ||
      !dimr_bench_program_init (&program, graph, x, device, precision, weights, cancellable, error))
    return FALSE;
  write_values (&program, "x");
  return dimr_bench_program_time (&program, seconds, times, cancellable, error);
}

/* Seconds of a + b, [rows, ROW] each, and in @bytes what that moves. */
static gboolean
time_sum (DimrDevice      *device,
          DimrPrecision    precision,
          gint64           rows,
          double           seconds,
          DimrBenchTimes  *times,
          guint64         *bytes,
          GCancellable    *cancellable,
          GError         **error)
{
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  g_autoptr (DimrWeights) weights = make_weights (0);
  g_auto (DimrBenchProgram) program = { 0 };
  DimrNodeId a = dimr_graph_add_input (graph, "a", DIMR_DTYPE_F32, DIMR_SHAPE (1, rows, ROW));
  DimrNodeId b = dimr_graph_add_input (graph, "b", DIMR_DTYPE_F32, DIMR_SHAPE (1, rows, ROW));
  guint n_steps;

  a = add_row (graph, dimr_graph_add_op (graph, DIMR_OP_ADD, NO_ATTRS, a, b));
  if (!dimr_graph_finish (graph, error) ||
      !dimr_bench_program_init (&program, graph, a, device, precision, weights, cancellable, error))
    return FALSE;
  *bytes = dimr_plan_get_traffic (program.plan, dimr_plan_peek_steps (program.plan, &n_steps)[0]);
  write_values (&program, "a");
  write_values (&program, "b");
  return dimr_bench_program_time (&program, seconds, times, cancellable, error);
}

gboolean
dimr_bench_measure_peaks (DimrDevice      *device,
                          DimrPrecision    precision,
                          double           seconds,
                          DimrBenchPeaks  *peaks,
                          GCancellable    *cancellable,
                          GError         **error)
{
  DimrBenchTimes times = { 0 };
  guint64 bytes = 0;
  gint64 side = MIN_SIDE, rows = MIN_ROWS;

  g_return_val_if_fail (DIMR_IS_DEVICE (device) && peaks != NULL, FALSE);

  for (;; side *= 2)
    {
      if (!time_product (device, precision, side, 0, &times, cancellable, error))
        return FALSE;
      if (times.median >= MIN_RUN_SECONDS || side == MAX_SIDE)
        break;
    }
  if (!time_product (device, precision, side, seconds, &times, cancellable, error))
    return FALSE;
  peaks->flops = 2.0 * (double) side * (double) side * (double) side / times.p10;

  for (;; rows *= 2)
    {
      if (!time_sum (device, precision, rows, 0, &times, &bytes, cancellable, error))
        return FALSE;
      if (times.median >= MIN_RUN_SECONDS || rows == MAX_ROWS)
        break;
    }
  if (!time_sum (device, precision, rows, seconds, &times, &bytes, cancellable, error))
    return FALSE;
  peaks->bytes = (double) bytes / times.p10;
  return TRUE;
}
