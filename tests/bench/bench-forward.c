/* bench-forward.c — times the guided network evaluation for tests/bench/side_by_side.py
 *
 *   bench-forward MODEL INPUT OUTPUT THREADS
 *
 * INPUT is a safetensors file with `x` [B, C, H, W], `log_snr` [B] (all equal) and `y` [B]. The
 * program evaluates once, writes the last branch's prediction as `out` to OUTPUT and prints
 * {"ready": "…"}; then each line "run N" is answered with {"ms": median of N evaluations}.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/graph/dimr-device.h"
#include "core/model/dimr-model.h"
#include "core/model/dimr-network.h"
#include "core/weights/dimr-safetensors-writer.h"
#include "kernels/dimr-kernels.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct
{
  DimrProgram *program;
  DimrPlan *plan;
  DimrDevice *device;
} Bench;

static gboolean
write_inputs (Bench       *self,
              DimrWeights *input,
              guint        batch)
{
  DimrTensor *x = dimr_weights_peek (input, "x"), *log_snr = dimr_weights_peek (input, "log_snr");
  DimrTensor *y = dimr_weights_peek (input, "y");
  g_autofree float *x_values = dimr_tensor_dup_f32 (x), *times = dimr_tensor_dup_f32 (log_snr);
  g_autofree gint64 *wide = y != NULL ? dimr_tensor_dup_i64 (y) : NULL;
  g_autofree gint32 *classes = g_new0 (gint32, batch);

  dimr_program_write (self->program, dimr_plan_get_input (self->plan, "x"), x_values, dimr_tensor_get_n_bytes (x));
  dimr_program_write (self->program, dimr_plan_get_input (self->plan, "log_snr"), times, sizeof times[0]);
  if (wide == NULL)
    return TRUE;
  for (guint i = 0; i < batch; i++)
    classes[i] = (gint32) wide[i];
  dimr_program_write (self->program, dimr_plan_get_input (self->plan, "y"), classes, batch * sizeof classes[0]);
  return TRUE;
}

static gboolean
prepare (Bench       *self,
         const char  *model_path,
         const char  *input_path,
         const char  *output_path,
         guint        n_threads,
         GError     **error)
{
  g_autoptr (DimrModel) model = dimr_model_load (model_path, NULL, error);
  g_autoptr (DimrWeights) input = model != NULL ? dimr_weights_open (input_path, NULL, error) : NULL;
  g_autoptr (DimrGraph) graph = NULL;
  g_autoptr (DimrTensor) out = NULL;
  const char *names[] = { "out", NULL };
  const DimrConfig *config;
  const DimrNode *node;
  const DimrShape *shape;
  DimrNodeId output;
  float *values;
  gsize n;

  if (input == NULL)
    return FALSE;
  config = dimr_model_peek_config (model);
  shape = dimr_tensor_peek_shape (dimr_weights_peek (input, "x"));
  graph = dimr_network_build (config, (guint) shape->dims[0], 1, (guint) shape->dims[2], (guint) shape->dims[3], error);
  self->device = graph != NULL ? dimr_device_open ("cpu", n_threads, error) : NULL;
  if (self->device == NULL)
    return FALSE;
  output = dimr_network_find_noise (graph, config);
  self->plan = dimr_plan_new (graph, &output, 1, self->device, DIMR_PRECISION_F32, error);
  self->program = self->plan != NULL
                    ? dimr_device_compile (self->device, self->plan, dimr_model_peek_weights (model), NULL, error)
                    : NULL;
  if (self->program == NULL || !write_inputs (self, input, (guint) shape->dims[0]) ||
      !dimr_program_run (self->program, NULL, error))
    return FALSE;

  output = dimr_plan_get_output (self->plan, 0);
  node = dimr_graph_peek_node (dimr_plan_peek_graph (self->plan), output);
  n = dimr_shape_n_elements (&node->shape);
  values = g_new (float, n);
  dimr_program_read (self->program, output, values, n);
  out = dimr_tensor_new_take (DIMR_DTYPE_F32, &node->shape, values);
  return dimr_safetensors_write (output_path, names, &out, NULL, NULL, NULL, NULL, error);
}

static int
by_value (gconstpointer a,
          gconstpointer b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

static double
median_ms (Bench *self,
           guint  n)
{
  g_autofree double *ms = g_new (double, n);

  for (guint i = 0; i < n; i++)
    {
      gint64 began = g_get_monotonic_time ();

      if (!dimr_program_run (self->program, NULL, NULL))
        return -1;
      ms[i] = (double) (g_get_monotonic_time () - began) / 1000;
    }
  qsort (ms, n, sizeof ms[0], by_value);
  return ms[n / 2];
}

int
main (int argc, char **argv)
{
  Bench bench = { 0 };
  g_autoptr (GError) error = NULL;
  char line[64];
  guint n;

  if (argc != 5)
    {
      fprintf (stderr, "usage: bench-forward MODEL INPUT OUTPUT THREADS\n");
      return 2;
    }
  dimr_kernels_init ();
  if (!prepare (&bench, argv[1], argv[2], argv[3], (guint) atoi (argv[4]), &error))
    {
      fprintf (stderr, "%s\n", error->message);
      return 1;
    }
  printf ("{\"ready\": \"%s\"}\n", dimr_device_get_name (bench.device));
  fflush (stdout);
  while (fgets (line, sizeof line, stdin) != NULL)
    if (sscanf (line, "run %u", &n) == 1 && n > 0)
      {
        printf ("{\"ms\": %.4f}\n", median_ms (&bench, n));
        fflush (stdout);
      }
  g_clear_object (&bench.program);
  g_clear_pointer (&bench.plan, dimr_plan_unref);
  g_clear_object (&bench.device);
  return 0;
}
