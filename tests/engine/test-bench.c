/* What the measuring calls must hold on any machine: never how fast it is.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/base/dimr-error.h"
#include "core/dimr.h"
#include "core/model/dimr-network.h"
#include "core/model/dimr-synthetic.h"
#include "kernels/dimr-kernels.h"

#include <math.h>

/* The depth of DiMR-XL/2R in a size that takes no time. */
static const char deep_config[] =
  "{\"title\": \"deep\", \"channels\": 4, \"image_size\": 8, \"num_classes\": 11, \"stage_configs\": ["
  "{\"block_type\": \"TransformerBlock\", \"dim\": 64, \"num_attention_heads\": 4, \"num_blocks\": 39, \"max_height\": 4,"
  " \"input_feature_ratio\": 2},"
  "{\"block_type\": \"ConvNeXtBlock\", \"dim\": 32, \"num_blocks\": 20, \"max_height\": 8, \"input_feature_ratio\": 1}]}";

static DimrModel *
make_model (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrConfig) config = dimr_config_parse (deep_config, sizeof deep_config - 1, "config.json", &error);
  g_autoptr (DimrWeights) weights = NULL;
  DimrModel *model;

  g_assert_no_error (error);
  weights = dimr_weights_new_synthetic (config, DIMR_DTYPE_F32, 3, NULL, &error);
  g_assert_no_error (error);
  model = dimr_model_new_for_weights (config, weights, &error);
  g_assert_no_error (error);
  return model;
}

static DimrDevice *
open_cpu (void)
{
  g_autoptr (GError) error = NULL;
  DimrDevice *device = dimr_device_open ("cpu", 2, &error);

  g_assert_no_error (error);
  return device;
}

static void
test_times (void)
{
  double odd[] = { 5, 1, 4, 2, 3 }, even[] = { 4, 1, 3, 2 }, one[] = { 7 }, many[100];
  DimrBenchTimes times;

  dimr_bench_times_init (&times, odd, 5);
  g_assert_cmpfloat (times.median, ==, 3);
  g_assert_cmpfloat (times.p10, ==, 1);
  g_assert_cmpfloat (times.p90, ==, 5);
  dimr_bench_times_init (&times, even, 4);
  g_assert_cmpfloat (times.median, ==, 2.5);
  dimr_bench_times_init (&times, one, 1);
  g_assert_cmpfloat (times.p10, ==, 7);
  g_assert_cmpfloat (times.p90, ==, 7);
  for (guint i = 0; i < 100; i++)
    many[i] = 99 - i;
  dimr_bench_times_init (&times, many, 100);
  g_assert_cmpfloat (times.p10, ==, 9);
  g_assert_cmpfloat (times.p90, ==, 90);
  g_assert_cmpuint (times.n, ==, 100);
}

static void
test_peaks (void)
{
  g_autoptr (DimrDevice) device = open_cpu ();
  g_autoptr (GError) error = NULL;
  DimrBenchPeaks peaks = { 0 };

  g_assert_true (dimr_bench_measure_peaks (device, DIMR_PRECISION_F32, 0, &peaks, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpfloat (peaks.flops, >, 1e6);
  g_assert_cmpfloat (peaks.bytes, >, 1e6);
}

static void
test_step_adds_up (void)
{
  g_autoptr (DimrDevice) device = open_cpu ();
  g_autoptr (DimrModel) model = make_model ();

  for (guint batch = 1; batch <= 3; batch += 2)
    {
      g_auto (DimrBenchStep) step = { 0 };
      g_autoptr (GError) error = NULL;
      guint64 macs = 0, bytes = 0;
      double seconds = 0;

      g_assert_true (dimr_bench_measure_step (model, device, DIMR_PRECISION_F32, batch, TRUE, 0.1, &step, NULL, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (step.samples, ==, 2 * batch);
      g_assert_cmpuint (step.time.n, >=, 3);
      g_assert_cmpfloat (step.time.p10, >, 0);
      g_assert_cmpfloat (step.time.p10, <=, step.time.median);
      g_assert_cmpfloat (step.time.median, <=, step.time.p90);
      g_assert_cmpuint (step.n_ops, >, 10);
      for (guint i = 0; i < step.n_ops; i++)
        {
          g_assert_true (i == 0 || step.ops[i].seconds <= step.ops[i - 1].seconds);
          g_assert_cmpuint (step.ops[i].bytes, >, 0);
          macs += step.ops[i].macs;
          bytes += step.ops[i].bytes;
          seconds += step.ops[i].seconds;
        }
      g_assert_cmpuint (macs, ==, step.macs);
      g_assert_cmpuint (bytes, ==, step.bytes);
      g_assert_cmpfloat_with_epsilon (seconds, step.ops_seconds, 1e-6);
      g_assert_cmpuint (step.param_bytes, ==, 4 * dimr_model_get_n_parameters (model)
                                              /* The low branch's own prediction is not computed. */
                                              - 4 * (64 * 8 + 64 * 4 * 9 + 4));
    }
}

static void
test_step_stops (void)
{
  g_autoptr (DimrDevice) device = open_cpu ();
  g_autoptr (DimrModel) model = make_model ();
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();
  g_auto (DimrBenchStep) step = { 0 };
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (cancelled);
  g_assert_false (dimr_bench_measure_step (model, device, DIMR_PRECISION_F32, 1, TRUE, 0.1, &step, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static DimrRequest *
make_request (void)
{
  DimrRequest *request = dimr_request_new ();

  g_free (request->classes);
  request->classes = g_new0 (int, 1);
  request->n_classes = 1;
  request->n_steps = 6;
  request->guidance.scale = 2;
  return request;
}

static void
test_pictures (void)
{
  g_autoptr (DimrModel) model = make_model ();
  g_autoptr (DimrRequest) request = make_request ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  DimrBenchPictures pictures = { 0 };

  g_assert_true (dimr_bench_measure_pictures (model, "cpu", 2, request, 4, 0.5, &pictures, cancellable, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (pictures.n_steps, ==, 6);
  g_assert_cmpfloat (pictures.first_preview, >, 0);
  g_assert_cmpuint (pictures.picture.n, >=, 1);
  g_assert_cmpfloat (pictures.preview.median, >, 0);
  g_assert_cmpfloat (pictures.preview.median, <=, pictures.picture.median);
  g_assert_cmpuint (pictures.batch, <=, 4);
  g_assert_cmpuint (pictures.n_pictures % pictures.batch, ==, 0);
  g_assert_cmpfloat (pictures.pictures_per_second, >, 0);

  g_cancellable_cancel (cancellable);
  g_assert_false (dimr_bench_measure_pictures (model, "cpu", 2, request, 4, 0.5, &pictures, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static gpointer
cancel_soon (gpointer data)
{
  g_usleep (50 * 1000);
  g_cancellable_cancel (data);
  return NULL;
}

/* Ctrl+C comes from another thread while a picture is being made. */
static void
test_pictures_stop (void)
{
  g_autoptr (DimrModel) model = make_model ();
  g_autoptr (DimrRequest) request = make_request ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  DimrBenchPictures pictures = { 0 };
  GThread *thread = g_thread_new ("cancel", cancel_soon, cancellable);

  request->n_steps = 1000;
  g_assert_false (dimr_bench_measure_pictures (model, "cpu", 2, request, 1, 1e6, &pictures, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
}

static void
test_peak_memory (void)
{
  g_autofree char *block = NULL;
  guint64 before = dimr_bench_get_peak_memory (), after;
  const gsize size = 64 << 20;

  if (before == 0)
    {
      g_test_skip ("the system does not tell it");
      return;
    }
  block = g_malloc (size);
  for (gsize i = 0; i < size; i += 4096)
    block[i] = 1;
  after = dimr_bench_get_peak_memory ();
  g_assert_cmpuint (after, >=, before);
  g_assert_cmpuint (after, >=, size);
}

/* Random weights must leave the activations of a deep network the size that a trained one has. */
static void
test_synthetic_activations_are_sane (void)
{
  g_autoptr (DimrDevice) device = open_cpu ();
  g_autoptr (DimrModel) model = make_model ();
  g_autoptr (DimrGraph) graph = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  g_autoptr (GError) error = NULL;
  const gint32 y[2] = { 4, 10 };
  const float log_snr = -2;
  float x[2 * 4 * 8 * 8];
  DimrNodeId outputs[3];

  graph = dimr_network_build (dimr_model_peek_config (model), 2, 1, 8, 8, &error);
  g_assert_no_error (error);
  outputs[0] = dimr_graph_find (graph, "out1");
  outputs[1] = dimr_graph_find (graph, "stages.0.blocks.38.out");
  outputs[2] = dimr_graph_find (graph, "stages.1.blocks.20.out");
  plan = dimr_plan_new (graph, outputs, 3, device, DIMR_PRECISION_F32, &error);
  g_assert_no_error (error);
  program = dimr_device_compile (device, plan, dimr_model_peek_weights (model), NULL, &error);
  g_assert_no_error (error);
  dimr_rng_normal (1, 0, DIMR_STREAM_START_NOISE, 0, x, G_N_ELEMENTS (x));
  dimr_program_write (program, dimr_plan_get_input (plan, "x"), x, sizeof x);
  dimr_program_write (program, dimr_plan_get_input (plan, "log_snr"), &log_snr, sizeof log_snr);
  dimr_program_write (program, dimr_plan_get_input (plan, "y"), y, sizeof y);
  g_assert_true (dimr_program_run (program, NULL, &error));
  for (guint i = 0; i < 3; i++)
    {
      const DimrNodeId id = dimr_plan_get_output (plan, i);
      const gsize n = dimr_shape_n_elements (&dimr_graph_peek_node (dimr_plan_peek_graph (plan), id)->shape);
      g_autofree float *values = g_new (float, n);
      double squares = 0;

      dimr_program_read (program, id, values, n);
      for (gsize k = 0; k < n; k++)
        squares += (double) values[k] * values[k];
      g_test_message ("root mean square of output %u: %g", i, sqrt (squares / (double) n));
      g_assert_cmpfloat (sqrt (squares / (double) n), >, 0.2);
      g_assert_cmpfloat (sqrt (squares / (double) n), <, 20);
    }
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  dimr_kernels_init ();
  g_test_add_func ("/bench/times", test_times);
  g_test_add_func ("/bench/peaks", test_peaks);
  g_test_add_func ("/bench/step/adds-up", test_step_adds_up);
  g_test_add_func ("/bench/step/stops", test_step_stops);
  g_test_add_func ("/bench/pictures/are-timed", test_pictures);
  g_test_add_func ("/bench/pictures/stop", test_pictures_stop);
  g_test_add_func ("/bench/peak-memory", test_peak_memory);
  g_test_add_func ("/bench/synthetic/activations-are-sane", test_synthetic_activations_are_sane);
  return g_test_run ();
}
