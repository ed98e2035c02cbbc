/* bench-forward.c — the guided network evaluation, asked for line by line: a side of tests/bench/side_by_side.py
 *
 *   bench-forward MODEL DEVICE f32|bf16 THREADS
 *
 * Requests on standard input, their words parted by tabs, each answered by one line of JSON:
 *
 *   case INPUT OUTPUT   a new batch: INPUT is a safetensors file with `x` [B, C, H, W], `log_snr` [B]
 *                       (all equal) and `y` [B]; evaluates once, writes the prediction as `out` to OUTPUT
 *   run N               milliseconds of an evaluation: README.md says how they are taken
 *   memory              the most that this process has had
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/base/dimr-error.h"
#include "core/dimr.h"
#include "core/engine/dimr-bench-private.h"
#include "core/model/dimr-network.h"
#include "kernels/dimr-kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINE 8192
#define MAX_RUNS 100000

typedef struct
{
  DimrModel *model;
  DimrDevice *device;
  DimrPrecision precision;
  gboolean is_cpu;
  DimrBenchProgram program;
} Side;

/* The network for the batch of @x. */
static gboolean
compile (Side        *self,
         DimrTensor  *x,
         GError     **error)
{
  const DimrConfig *config = dimr_model_peek_config (self->model);
  const DimrShape *shape = dimr_tensor_peek_shape (x);
  g_autoptr (DimrGraph) graph = NULL;

  dimr_bench_program_clear (&self->program);
  self->program = (DimrBenchProgram){ 0 };
  if (shape->n_dims != 4)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_SHAPE, "'x' is not [B, C, H, W]");
      return FALSE;
    }
  graph = dimr_network_build (config, (guint) shape->dims[0], 1, (guint) shape->dims[2], (guint) shape->dims[3], error);
  return graph != NULL &&
         dimr_bench_program_init (&self->program, graph, dimr_network_find_noise (graph, config), self->device,
                                  self->precision, dimr_model_peek_weights (self->model), NULL, error);
}

/* The time as a series of one value, so that a device may compute what depends on it ahead of the
 * clock; so do the other sides. */
static gboolean
write_inputs (Side         *self,
              DimrTensor   *x,
              DimrTensor   *log_snr,
              DimrTensor   *y,
              GError      **error)
{
  DimrPlan *plan = self->program.plan;
  g_autofree float *x_values = dimr_tensor_dup_f32 (x), *times = dimr_tensor_dup_f32 (log_snr);
  g_autofree gint64 *wide = y != NULL ? dimr_tensor_dup_i64 (y) : NULL;
  const gsize batch = (gsize) dimr_tensor_peek_shape (x)->dims[0];
  g_autofree gint32 *classes = g_new0 (gint32, batch);

  dimr_program_write (self->program.program, dimr_plan_get_input (plan, "x"), x_values, dimr_tensor_get_n_elements (x) * sizeof (float));
  if (wide != NULL)
    {
      for (gsize i = 0; i < batch; i++)
        classes[i] = (gint32) wide[i];
      dimr_program_write (self->program.program, dimr_plan_get_input (plan, "y"), classes, batch * sizeof classes[0]);
    }
  if (!dimr_program_set_series (self->program.program, dimr_plan_get_input (plan, dimr_network_get_time_input (dimr_model_peek_config (self->model))), times, 1, 1, error))
    return FALSE;
  self->program.n_times = 1;
  dimr_program_select (self->program.program, 0);
  return TRUE;
}

static gboolean
write_output (Side        *self,
              const char  *path,
              GError     **error)
{
  const char *names[] = { "out", NULL };
  const DimrNode *node = dimr_graph_peek_node (dimr_plan_peek_graph (self->program.plan), self->program.output);
  g_autoptr (DimrTensor) out = NULL;

  dimr_program_read (self->program.program, self->program.output, self->program.result, self->program.n_result);
  out = dimr_tensor_new_copy (DIMR_DTYPE_F32, &node->shape, self->program.result);
  return dimr_safetensors_write (path, names, &out, NULL, NULL, NULL, NULL, error);
}

static gboolean
prepare (Side        *self,
         const char  *input_path,
         const char  *output_path,
         GError     **error)
{
  g_autoptr (DimrWeights) input = dimr_weights_open (input_path, NULL, error);
  DimrTensor *x = input != NULL ? dimr_weights_peek (input, "x") : NULL;
  DimrTensor *log_snr = input != NULL ? dimr_weights_peek (input, "log_snr") : NULL;

  if (input == NULL)
    return FALSE;
  if (x == NULL || log_snr == NULL)
    {
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST, "%s: 'x' or 'log_snr' is missing", input_path);
      return FALSE;
    }
  return compile (self, x, error) && write_inputs (self, x, log_snr, dimr_weights_peek (input, "y"), error) &&
         dimr_program_run (self->program.program, NULL, error) && write_output (self, output_path, error);
}

/* On the CPU the median of @n evaluations; elsewhere the mean of @n that nobody waits for in between. */
static gboolean
run (Side    *self,
     guint    n,
     double  *ms,
     GError **error)
{
  g_autofree double *seconds = g_new (double, n);
  const gint64 began = g_get_monotonic_time ();
  DimrBenchTimes times;

  for (guint i = 0; i < n; i++)
    {
      const gint64 start = g_get_monotonic_time ();

      if (!dimr_program_run (self->program.program, NULL, error))
        return FALSE;
      seconds[i] = dimr_bench_seconds_since (start);
    }
  dimr_program_read (self->program.program, self->program.output, self->program.result, self->program.n_result);
  *ms = 1e3 * dimr_bench_seconds_since (began) / n;
  dimr_bench_times_init (&times, seconds, n);
  if (self->is_cpu)
    *ms = 1e3 * times.median;
  return TRUE;
}

/* FALSE with an error where the answer could not be given. */
static gboolean
answer (Side    *self,
        char   **words,
        GError **error)
{
  const guint n_words = g_strv_length (words);
  guint64 n;

  if (n_words == 3 && strcmp (words[0], "case") == 0)
    {
      const gint64 began = g_get_monotonic_time ();

      if (!prepare (self, words[1], words[2], error))
        return FALSE;
      printf ("{\"case\": %" G_GSIZE_FORMAT ", \"seconds\": %.4f}\n",
              (gsize) dimr_graph_peek_node (dimr_plan_peek_graph (self->program.plan), self->program.output)->shape.dims[0],
              dimr_bench_seconds_since (began));
      return TRUE;
    }
  if (n_words == 2 && strcmp (words[0], "run") == 0 && self->program.program != NULL &&
      g_ascii_string_to_unsigned (words[1], 10, 1, MAX_RUNS, &n, NULL))
    {
      double ms;

      if (!run (self, (guint) n, &ms, error))
        return FALSE;
      printf ("{\"ms\": %.5f}\n", ms);
      return TRUE;
    }
  if (n_words == 1 && strcmp (words[0], "memory") == 0)
    {
      printf ("{\"peak_bytes\": %" G_GUINT64_FORMAT "}\n", dimr_bench_get_peak_memory ());
      return TRUE;
    }
  g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_REQUEST, "This is no request, or there is no case yet");
  return FALSE;
}

static gboolean
start (Side        *self,
       char       **argv,
       GError     **error)
{
  if (!dimr_precision_from_string (argv[3], &self->precision))
    {
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST, "The precision is f32 or bf16, not '%s'", argv[3]);
      return FALSE;
    }
  self->is_cpu = g_str_has_prefix (argv[2], "cpu");
  self->device = dimr_device_open (argv[2], (guint) atoi (argv[4]), error);
  self->model = self->device != NULL ? dimr_model_load (argv[1], NULL, error) : NULL;
  if (self->model == NULL)
    return FALSE;
  dimr_model_wait_for_hash (self->model);
  printf ("{\"ready\": \"DiMR Studio %s, %s\"}\n", argv[3], dimr_device_get_name (self->device));
  fflush (stdout);
  return TRUE;
}

int
main (int argc, char **argv)
{
  Side side = { 0 };
  g_autoptr (GError) error = NULL;
  char line[MAX_LINE];

  if (argc != 5)
    {
      fprintf (stderr, "usage: bench-forward MODEL DEVICE f32|bf16 THREADS\n");
      return 2;
    }
  dimr_kernels_init ();
  if (!start (&side, argv, &error))
    {
      fprintf (stderr, "bench-forward: %s\n", error->message);
      return 1;
    }
  while (fgets (line, sizeof line, stdin) != NULL)
    {
      g_auto (GStrv) words = g_strsplit (g_strchomp (line), "\t", -1);
      g_autoptr (GError) failure = NULL;

      if (!answer (&side, words, &failure))
        {
          g_autofree char *text = g_strescape (failure->message, "");

          printf ("{\"error\": \"%s\"}\n", text);
        }
      fflush (stdout);
    }
  dimr_bench_program_clear (&side.program);
  g_clear_object (&side.model);
  g_clear_object (&side.device);
  return 0;
}
