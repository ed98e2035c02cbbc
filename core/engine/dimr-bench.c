/* dimr-bench.c — the time of a guided evaluation, and of every op in it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/engine/dimr-bench.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-rng.h"
#include "core/engine/dimr-bench-private.h"
#include "core/graph/dimr-traffic.h"
#include "core/model/dimr-network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_SAMPLES 3
#define MAX_SAMPLES 1000
#define MAX_PROFILES 31
/* One sample is so long that reading the result, and the clock, count for nothing in it. */
#define SAMPLE_SECONDS 0.01
#define MAX_REPEATS 64
/* A first run that takes this long has warmed up everything. */
#define LONG_SECONDS 1.0
/* Values of the time that an evaluation goes through, as a sampler would. */
#define N_TIMES 50
#define SEED 7

static int
compare_seconds (gconstpointer a,
                 gconstpointer b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

void
dimr_bench_times_init (DimrBenchTimes *self,
                       double         *seconds,
                       guint           n)
{
  g_return_if_fail (self != NULL && seconds != NULL && n > 0);

  qsort (seconds, n, sizeof *seconds, compare_seconds);
  self->n = n;
  self->median = n % 2 == 1 ? seconds[n / 2] : (seconds[n / 2 - 1] + seconds[n / 2]) / 2;
  self->p10 = seconds[(n - 1) / 10];
  self->p90 = seconds[n - 1 - (n - 1) / 10];
}

guint64
dimr_bench_get_peak_memory (void)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/self/status", &text, NULL, NULL))
    return 0;
  line = strstr (text, "VmHWM:");
  return line != NULL ? g_ascii_strtoull (line + strlen ("VmHWM:"), NULL, 10) * 1024 : 0;
}

void
dimr_bench_reset_peak_memory (void)
{
  /* proc(5): 5 resets the high water mark. */
  FILE *file = fopen ("/proc/self/clear_refs", "w");

  if (file == NULL)
    return;
  fputs ("5", file);
  fclose (file);
}

double
dimr_bench_seconds_since (gint64 began)
{
  return (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC;
}

/* ---- a program that is timed ---- */

void
dimr_bench_program_clear (DimrBenchProgram *self)
{
  g_clear_object (&self->program);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_clear_pointer (&self->result, g_free);
}

gboolean
dimr_bench_program_init (DimrBenchProgram  *self,
                         DimrGraph         *graph,
                         DimrNodeId         output,
                         DimrDevice        *device,
                         DimrPrecision      precision,
                         DimrWeights       *weights,
                         GCancellable      *cancellable,
                         GError           **error)
{
  self->plan = dimr_plan_new (graph, &output, 1, device, precision, error);
  if (self->plan == NULL)
    return FALSE;
  self->program = dimr_device_compile (device, self->plan, weights, cancellable, error);
  if (self->program == NULL)
    return FALSE;
  self->output = dimr_plan_get_output (self->plan, 0);
  self->n_result = dimr_shape_n_elements (&dimr_graph_peek_node (dimr_plan_peek_graph (self->plan), self->output)->shape);
  self->result = g_new (float, self->n_result);
  return TRUE;
}

/* Seconds of one of @n_repeats evaluations, from the first to a result that has been read; below 0 on error. */
static double
take_sample (DimrBenchProgram  *self,
             guint              n_repeats,
             GCancellable      *cancellable,
             GError           **error)
{
  const gint64 began = g_get_monotonic_time ();

  for (guint i = 0; i < n_repeats; i++)
    {
      if (self->n_times > 0)
        dimr_program_select (self->program, self->time++ % self->n_times);
      if (!dimr_program_run (self->program, cancellable, error))
        return -1;
    }
  dimr_program_read (self->program, self->output, self->result, self->n_result);
  return dimr_bench_seconds_since (began) / n_repeats;
}

gboolean
dimr_bench_program_time (DimrBenchProgram  *self,
                         double             seconds,
                         DimrBenchTimes    *times,
                         GCancellable      *cancellable,
                         GError           **error)
{
  g_autoptr (GArray) samples = g_array_new (FALSE, FALSE, sizeof (double));
  double sample = take_sample (self, 1, cancellable, error);
  guint n_repeats;
  gint64 began;

  /* The first one finds memory that was never touched, and processors that were asleep. */
  if (sample >= 0 && sample < LONG_SECONDS)
    sample = take_sample (self, 1, cancellable, error);
  if (sample < 0)
    return FALSE;
  n_repeats = (guint) CLAMP (SAMPLE_SECONDS / MAX (sample, 1e-9), 1, MAX_REPEATS);

  began = g_get_monotonic_time ();
  while (samples->len < MIN_SAMPLES || (samples->len < MAX_SAMPLES && dimr_bench_seconds_since (began) < seconds))
    {
      sample = take_sample (self, n_repeats, cancellable, error);
      if (sample < 0)
        return FALSE;
      g_array_append_val (samples, sample);
    }
  dimr_bench_times_init (times, (double *) (gpointer) samples->data, samples->len);
  return TRUE;
}

/* ---- the network ---- */

static void
write_network_inputs (DimrBenchProgram *self,
                      DimrModel        *model,
                      guint             samples,
                      guint             batch)
{
  const DimrConfig *config = dimr_model_peek_config (model);
  const DimrNodeId x = dimr_plan_get_input (self->plan, "x"), y = dimr_plan_get_input (self->plan, "y");
  const gsize n = (gsize) config->channels * config->image_size * config->image_size;
  g_autofree float *noise = g_new (float, samples * n);
  g_autofree gint32 *classes = g_new (gint32, samples);

  for (guint i = 0; i < samples; i++)
    {
      dimr_rng_normal (SEED, i % batch, DIMR_STREAM_START_NOISE, 0, noise + i * n, n);
      classes[i] = i < batch ? (gint32) (i % MAX (config->num_classes - 1, 1)) : (gint32) config->num_classes - 1;
    }
  dimr_program_write (self->program, x, noise, samples * n * sizeof *noise);
  if (y != DIMR_NODE_NONE)
    dimr_program_write (self->program, y, classes, samples * sizeof *classes);
}

/* The times of a walk, announced as a sampler does it. */
static gboolean
announce_times (DimrBenchProgram  *self,
                DimrModel         *model,
                GError           **error)
{
  const DimrConfig *config = dimr_model_peek_config (model);
  const DimrNodeId time = dimr_plan_get_input (self->plan, dimr_network_get_time_input (config));
  float values[N_TIMES];

  if (time == DIMR_NODE_NONE)
    return TRUE;
  for (guint i = 0; i < N_TIMES; i++)
    values[i] = (float) dimr_schedule_condition (dimr_model_peek_schedule (model), config->time_condition,
                                                 1 - 0.999 * i / (N_TIMES - 1));
  if (!dimr_program_set_series (self->program, time, values, 1, N_TIMES, error))
    return FALSE;
  self->n_times = N_TIMES;
  return TRUE;
}

static guint64
get_free_memory (DimrDevice *device)
{
  guint64 total = 0, available = 0;

  dimr_device_get_memory (device, &total, &available);
  return available;
}

static void
count_costs (DimrBenchStep *step,
             DimrPlan      *plan)
{
  guint n_steps;
  const DimrNodeId *steps = dimr_plan_peek_steps (plan, &n_steps);

  step->macs = dimr_plan_get_macs (plan);
  step->param_bytes = dimr_plan_get_param_bytes (plan);
  step->arena_bytes = dimr_plan_get_arena_size (plan);
  for (guint s = 0; s < n_steps; s++)
    step->bytes += dimr_plan_get_traffic (plan, steps[s]);
}

/* ---- ops ---- */

static const DimrShape *
input_shape (const DimrGraph *graph,
             const DimrNode  *node,
             guint            slot)
{
  return &dimr_graph_peek_node (graph, node->inputs[slot])->shape;
}

/* "514 × 960 → 2880": rows, inputs and outputs of a product; for what has no matrix, the result's dimensions. */
static char *
describe_shape (const DimrGraph *graph,
                const DimrNode  *node)
{
  const gint64 n = dimr_shape_n_elements (&node->shape), last = node->shape.dims[node->shape.n_dims - 1];
  GString *text;

  if (node->op == DIMR_OP_LINEAR || node->op == DIMR_OP_LINEAR_GEGLU)
    return g_strdup_printf ("%" G_GINT64_FORMAT " × %" G_GINT64_FORMAT " → %" G_GINT64_FORMAT "%s", n / last,
                            input_shape (graph, node, 0)->dims[1], last, node->op == DIMR_OP_LINEAR ? "" : " · 2");
  text = g_string_new (NULL);
  for (guint i = 0; i < node->shape.n_dims; i++)
    g_string_append_printf (text, "%s%" G_GINT64_FORMAT, i > 0 ? " × " : "", node->shape.dims[i]);
  if (node->op == DIMR_OP_ATTENTION)
    g_string_append_printf (text, ", %u heads", node->attrs.n_heads);
  else if (node->op == DIMR_OP_DEPTHWISE_CONV || node->op == DIMR_OP_CONV_TO_IMAGE || node->op == DIMR_OP_CONV2D)
    g_string_append_printf (text, ", %" G_GINT64_FORMAT " × %" G_GINT64_FORMAT, input_shape (graph, node, 1)->dims[2],
                            input_shape (graph, node, 1)->dims[3]);
  return g_string_free (text, FALSE);
}

static int
by_seconds (gconstpointer a,
            gconstpointer b)
{
  return compare_seconds (&((const DimrBenchOp *) b)->seconds, &((const DimrBenchOp *) a)->seconds);
}

/* @seconds: [n_steps] of the plan. */
static void
gather_ops (DimrBenchStep *step,
            DimrPlan      *plan,
            const double  *seconds)
{
  const DimrGraph *graph = dimr_plan_peek_graph (plan);
  g_autoptr (GHashTable) places = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL); /* "op shape" → place + 1 */
  g_autoptr (GArray) ops = g_array_new (FALSE, FALSE, sizeof (DimrBenchOp));
  guint n_steps;
  const DimrNodeId *steps = dimr_plan_peek_steps (plan, &n_steps);

  for (guint s = 0; s < n_steps; s++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, steps[s]);
      g_autofree char *shape = describe_shape (graph, node);
      g_autofree char *key = g_strdup_printf ("%u %s", node->op, shape);
      guint place = GPOINTER_TO_UINT (g_hash_table_lookup (places, key));
      DimrBenchOp *op;

      if (place == 0)
        {
          const DimrBenchOp empty = { .op = node->op, .shape = g_steal_pointer (&shape) };

          g_array_append_val (ops, empty);
          place = ops->len;
          g_hash_table_insert (places, g_steal_pointer (&key), GUINT_TO_POINTER (place));
        }
      op = &g_array_index (ops, DimrBenchOp, place - 1);
      op->count++;
      op->seconds += seconds[s];
      op->macs += dimr_graph_get_macs (graph, steps[s]);
      op->bytes += dimr_plan_get_traffic (plan, steps[s]);
      step->ops_seconds += seconds[s];
    }
  g_array_sort (ops, by_seconds);
  step->n_ops = ops->len;
  step->ops = (DimrBenchOp *) (gpointer) g_array_free (g_steal_pointer (&ops), FALSE);
}

/* Medians of several profiles, node by node: one disturbance spoils one of them only. */
static gboolean
profile_ops (DimrBenchStep     *step,
             DimrBenchProgram  *self,
             double             seconds,
             GCancellable      *cancellable,
             GError           **error)
{
  guint n_steps, n = 0;
  g_autofree double *all = NULL, *medians = NULL;
  const gint64 began = g_get_monotonic_time ();

  dimr_plan_peek_steps (self->plan, &n_steps);
  all = g_new0 (double, MAX_PROFILES * n_steps);
  medians = g_new0 (double, n_steps);
  while (n < 1 || (n < MAX_PROFILES && dimr_bench_seconds_since (began) < seconds))
    {
      if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
          !dimr_program_profile (self->program, all + n * n_steps, error))
        return FALSE;
      n++;
    }
  for (guint s = 0; s < n_steps; s++)
    {
      double column[MAX_PROFILES];
      DimrBenchTimes times;

      for (guint i = 0; i < n; i++)
        column[i] = all[i * n_steps + s];
      dimr_bench_times_init (&times, column, n);
      medians[s] = times.median;
    }
  gather_ops (step, self->plan, medians);
  return TRUE;
}

void
dimr_bench_step_clear (DimrBenchStep *self)
{
  for (guint i = 0; i < self->n_ops; i++)
    g_free (self->ops[i].shape);
  g_clear_pointer (&self->ops, g_free);
  self->n_ops = 0;
}

gboolean
dimr_bench_measure_step (DimrModel      *model,
                         DimrDevice     *device,
                         DimrPrecision   precision,
                         guint           batch,
                         gboolean        profile,
                         double          seconds,
                         DimrBenchStep  *step,
                         GCancellable   *cancellable,
                         GError        **error)
{
  const DimrConfig *config;
  g_autoptr (DimrGraph) graph = NULL;
  g_auto (DimrBenchProgram) program = { 0 };
  g_autoptr (GError) reason = NULL;
  guint64 free_before, free_after;
  gint64 began;

  g_return_val_if_fail (DIMR_IS_MODEL (model) && DIMR_IS_DEVICE (device), FALSE);
  g_return_val_if_fail (batch > 0 && step != NULL, FALSE);

  config = dimr_model_peek_config (model);
  *step = (DimrBenchStep){ .batch = batch, .samples = config->has_null_class ? 2 * batch : batch };
  free_before = get_free_memory (device);
  began = g_get_monotonic_time ();
  graph = dimr_network_build (config, step->samples, 1, config->image_size, config->image_size, error);
  if (graph == NULL ||
      !dimr_bench_program_init (&program, graph, dimr_network_find_noise (graph, config), device, precision,
                                dimr_model_peek_weights (model), cancellable, error))
    return FALSE;
  step->compile_seconds = dimr_bench_seconds_since (began);
  write_network_inputs (&program, model, step->samples, batch);
  if (!announce_times (&program, model, error) ||
      !dimr_bench_program_time (&program, seconds, &step->time, cancellable, error))
    return FALSE;
  free_after = get_free_memory (device);
  step->device_bytes = free_before > free_after ? free_before - free_after : 0;
  count_costs (step, program.plan);
  if (!profile || profile_ops (step, &program, seconds, cancellable, &reason))
    return TRUE;
  if (g_error_matches (reason, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&reason));
  return FALSE;
}
