/* The host side of the CUDA backend on a runtime and kernels that run on the processor: programs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cuda-case.h"

#include "core/base/dimr-error.h"
#include "fake-cuda.h"
#include "kernels/dimr-kernels.h"

#include <string.h>

static void
assert_same (const float *a,
             const float *b,
             gsize        n)
{
  g_assert_cmpmem (a, n * sizeof *a, b, n * sizeof *b);
}

/* Against the CPU backend in float. */
static void
test_values (void)
{
  static const struct { DimrPrecision precision; guint batch, times; double bound; } cases[] = {
    { DIMR_PRECISION_F32, 1, 1, 1e-11 }, { DIMR_PRECISION_F32, 3, 1, 1e-11 }, { DIMR_PRECISION_F32, 3, 3, 1e-11 },
    { DIMR_PRECISION_BF16, 1, 1, 4e-4 }, { DIMR_PRECISION_BF16, 3, 3, 4e-4 },
  };
  g_autoptr (DimrDevice) cpu = dimr_device_open ("cpu", 1, NULL);
  g_autoptr (CudaDevice) device = cuda_case_open ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (CudaCase) network = { 0 };
      g_auto (CudaRun) there = { 0 }, here = { 0 };
      g_autofree float *eps = NULL, *wanted = NULL, *hidden = NULL, *wanted_hidden = NULL;
      const gsize n = cases[i].batch * cuda_case_image (), n_hidden = cases[i].batch * 17 * 16;
      double nmse;

      cuda_case_init (&network, cases[i].batch, cases[i].times);
      cuda_run_init (&there, &network, DIMR_DEVICE (device), cases[i].precision);
      cuda_run_init (&here, &network, cpu, DIMR_PRECISION_F32);
      cuda_run_write (&there, &network, 3, -1.5f);
      cuda_run_write (&here, &network, 3, -1.5f);
      eps = cuda_run_eps (&there, &network);
      wanted = cuda_run_eps (&here, &network);
      nmse = cuda_case_nmse (eps, wanted, n);
      g_assert_cmpfloat (nmse, <, cases[i].bound);

      /* A value inside, which lies in memory as bfloat16. */
      hidden = g_new (float, n_hidden);
      wanted_hidden = g_new (float, n_hidden);
      dimr_program_read (there.program, there.tap, hidden, n_hidden);
      dimr_program_read (here.program, here.tap, wanted_hidden, n_hidden);
      g_assert_cmpfloat (cuda_case_nmse (hidden, wanted_hidden, n_hidden), <, cases[i].bound);
      if (cases[i].precision == DIMR_PRECISION_BF16)
        {
          g_assert_cmpfloat (nmse, >, 1e-9);
          g_assert_cmpint (dimr_plan_get_storage (there.plan, there.tap), ==, DIMR_DTYPE_BF16);
          g_assert_cmpint (dimr_plan_get_storage (there.plan, there.eps), ==, DIMR_DTYPE_F32);
        }
    }
  fake_cuda_check_guards ();
}

/* The captured graph, launches one by one, a second run and a second program: the same bytes. */
static void
test_same_bytes (gconstpointer data)
{
  const DimrPrecision precision = GPOINTER_TO_INT (data);
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) replayed = { 0 }, eager = { 0 };
  g_autofree float *a = NULL, *b = NULL, *c = NULL;
  gsize before, n;

  cuda_case_init (&network, 2, 1);
  n = 2 * cuda_case_image ();
  g_assert_false (device->eager);
  cuda_run_init (&replayed, &network, DIMR_DEVICE (device), precision);
  before = fake_cuda_allocated ();
  device->eager = TRUE;
  cuda_run_init (&eager, &network, DIMR_DEVICE (device), precision);
  /* Its parameters are the first one's. */
  g_assert_cmpuint (fake_cuda_allocated () - before, <, dimr_plan_get_arena_size (eager.plan) + (64 << 10));
  cuda_run_write (&eager, &network, 0, .5f);
  b = cuda_run_eps (&eager, &network);
  device->eager = FALSE;
  cuda_run_write (&replayed, &network, 0, .5f);
  a = cuda_run_eps (&replayed, &network);
  c = cuda_run_eps (&replayed, &network);
  assert_same (a, b, n);
  assert_same (a, c, n);
}

/* Values that were announced give what each of them gives when it is written. */
static void
test_series (gconstpointer data)
{
  static const float first[] = { -2, 0, 3, 5 }, longer[] = { 1, 2, -3, 4, 5, -6, 7 };
  const guint times = GPOINTER_TO_UINT (data);
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) run = { 0 }, single = { 0 };
  g_autoptr (GError) error = NULL;
  gsize n;

  cuda_case_init (&network, 3, times);
  n = 3 * cuda_case_image ();
  cuda_run_init (&run, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  cuda_run_init (&single, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  for (guint k = 0; k < 3; k++)
    {
      const float *starts = k == 1 ? longer : first;
      const guint n_values = k == 1 ? G_N_ELEMENTS (longer) : G_N_ELEMENTS (first);
      g_autofree float *values = g_new (float, n_values * times);

      for (guint i = 0; i < n_values * times; i++)
        values[i] = starts[i / times] + (float) (i % times);
      cuda_run_write (&run, &network, 1, 9);
      g_assert_true (dimr_program_set_series (run.program, run.log_snr, values, times, n_values, &error));
      g_assert_no_error (error);
      for (guint i = 0; i < n_values; i++)
        {
          const guint index = (i * 2 + 1) % n_values;
          g_autofree float *a = NULL, *b = NULL, *c = NULL;

          dimr_program_select (run.program, index);
          a = cuda_run_eps (&run, &network);
          cuda_run_write (&single, &network, 1, starts[index]);
          b = cuda_run_eps (&single, &network);
          assert_same (a, b, n);
          /* A time between them that was not announced leaves the table alone. */
          cuda_run_write (&run, &network, 1, starts[index]);
          c = cuda_run_eps (&run, &network);
          assert_same (c, b, n);
        }
    }
}

/* Numbers behind the weights that change: one program says so, and all see it, with a time that was written before or announced. */
static void
test_reload (void)
{
  static const float values[] = { -1, .5f, 2 };
  g_autoptr (CudaDevice) device = cuda_case_open (), other = cuda_case_open ();
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) first = { 0 }, written = { 0 }, announced = { 0 }, fresh = { 0 };
  g_autofree float *before = NULL, *a = NULL, *b = NULL, *expected = NULL;
  g_autoptr (GError) error = NULL;
  float *parameter;

  cuda_case_init (&network, 1, 1);
  cuda_run_init (&first, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  cuda_run_init (&written, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  cuda_run_init (&announced, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  cuda_run_write (&written, &network, 0, .5f);
  before = cuda_run_eps (&written, &network);
  cuda_run_write (&announced, &network, 0, 9);
  g_assert_true (dimr_program_set_series (announced.program, announced.log_snr, values, 1, G_N_ELEMENTS (values), &error));
  dimr_program_select (announced.program, 1);

  parameter = (float *) dimr_tensor_peek_data (dimr_weights_peek (network.weights, "norm1.0"));
  for (guint i = 0; i < 16; i++)
    parameter[i] += 1;
  g_assert_true (dimr_program_reload (first.program, &error));
  g_assert_no_error (error);
  a = cuda_run_eps (&written, &network);
  b = cuda_run_eps (&announced, &network);

  cuda_run_init (&fresh, &network, DIMR_DEVICE (other), DIMR_PRECISION_F32);
  cuda_run_write (&fresh, &network, 0, .5f);
  expected = cuda_run_eps (&fresh, &network);
  g_assert_cmpfloat (cuda_case_nmse (before, expected, cuda_case_image ()), >, 1e-6);
  assert_same (a, expected, cuda_case_image ());
  assert_same (b, expected, cuda_case_image ());
}

/* x [2, 3, 30] normed, to 64 channels, normed again: a vector that is read 16 bytes at a time behind one whose
 * length is no multiple of them. */
static void
test_series_of_odd_width (void)
{
  static const char * const names[] = { "p0", "p1", "w", "b" };
  static const gint64 widths[] = { 30, 64 };
  static const float times[] = { -1, 2, .5f };
  g_autoptr (DimrDevice) cpu = dimr_device_open ("cpu", 1, NULL);
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  g_autoptr (GHashTable) tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  g_autoptr (DimrWeights) weights = NULL;
  g_autoptr (GError) error = NULL;
  const DimrNodeId x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (2, 3, 30));
  const DimrNodeId log_snr = dimr_graph_add_input (graph, "log_snr", DIMR_DTYPE_F32, DIMR_SHAPE (1));
  DimrDevice * const devices[] = { DIMR_DEVICE (device), cpu };
  float in[2 * 3 * 30], out[2][2 * 3 * 64];
  DimrNodeId y = x;

  for (guint i = 0; i < G_N_ELEMENTS (in); i++)
    in[i] = (float) (i % 17) - 8;
  for (guint k = 0; k < G_N_ELEMENTS (widths); k++)
    {
      DimrNodeId params[4];

      if (k == 1)
        y = dimr_graph_add_op (graph, DIMR_OP_LINEAR, ((DimrAttrs){ 0 }),
                               cuda_case_add_param (graph, tensors, "up", &DIMR_SHAPE (64, 30)), DIMR_NODE_NONE, DIMR_NODE_NONE, y);
      for (guint i = 0; i < 4; i++)
        {
          g_autofree char *name = g_strdup_printf ("%s.%u", names[i], k);

          params[i] = cuda_case_add_param (graph, tensors, name, &DIMR_SHAPE (widths[k]));
        }
      y = dimr_graph_add_op (graph, DIMR_OP_RMS_NORM, ((DimrAttrs){ .eps = 1e-8 }), y,
                             dimr_graph_add_op (graph, DIMR_OP_TIME_PARAM, ((DimrAttrs){ 0 }), log_snr, params[0], params[1],
                                                params[2], params[3]));
    }
  g_assert_true (dimr_graph_finish (graph, &error));
  weights = dimr_weights_new_for_tensors (g_steal_pointer (&tensors));
  for (guint d = 0; d < G_N_ELEMENTS (devices); d++)
    {
      g_autoptr (DimrPlan) plan = dimr_plan_new (graph, &y, 1, devices[d], DIMR_PRECISION_F32, &error);
      g_autoptr (DimrProgram) program = dimr_device_compile (devices[d], plan, weights, NULL, &error);
      const DimrNodeId time = dimr_plan_get_input (plan, "log_snr");

      g_assert_no_error (error);
      dimr_program_write (program, dimr_plan_get_input (plan, "x"), in, sizeof in);
      /* Announced where that is a table. */
      if (d == 0)
        {
          g_assert_true (dimr_program_set_series (program, time, times, 1, G_N_ELEMENTS (times), &error));
          dimr_program_select (program, 1);
        }
      else
        dimr_program_write (program, time, &times[1], sizeof times[1]);
      g_assert_true (dimr_program_run (program, NULL, &error));
      dimr_program_read (program, dimr_plan_get_output (plan, 0), out[d], G_N_ELEMENTS (out[d]));
    }
  g_assert_cmpfloat (cuda_case_nmse (out[0], out[1], G_N_ELEMENTS (out[0])), <, 1e-11);
}

/* Two devices take turns in one thread, and each is used by its own streams. */
static void
test_two_devices (void)
{
  g_auto (CudaCase) network = { 0 };
  DimrDevice *devices[2];
  CudaRun runs[2];
  g_autoptr (GError) error = NULL;
  float *eps[2];

  fake_cuda_config ()->n_devices = 2;
  cuda_case_init (&network, 1, 1);
  for (guint i = 0; i < 2; i++)
    {
      devices[i] = cuda_device_open (i, &error);
      g_assert_no_error (error);
    }
  for (guint i = 0; i < 2; i++)
    cuda_run_init (&runs[i], &network, devices[i], DIMR_PRECISION_F32);
  for (guint i = 0; i < 2; i++)
    cuda_run_write (&runs[i], &network, 0, 1);
  for (guint i = 0; i < 2; i++)
    eps[i] = cuda_run_eps (&runs[i], &network);
  assert_same (eps[0], eps[1], cuda_case_image ());
  for (guint i = 0; i < 2; i++)
    {
      g_free (eps[i]);
      cuda_run_clear (&runs[i]);
      g_clear_object (&devices[i]);
    }
  fake_cuda_config ()->n_devices = 1;
  (void) cudaSetDevice (0);
}

/* Descriptors and algorithms are made once a device and shape. */
static void
test_products (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (CudaCase) network = { 0 }, larger = { 0 };
  g_auto (CudaRun) first = { 0 }, second = { 0 }, third = { 0 };
  guint n;

  cuda_case_init (&network, 1, 1);
  cuda_case_init (&larger, 2, 1);
  cuda_run_init (&first, &network, DIMR_DEVICE (device), DIMR_PRECISION_BF16);
  n = cuda_products_get_size (device->products);
  g_assert_cmpuint (n, >=, 5);
  cuda_run_init (&second, &network, DIMR_DEVICE (device), DIMR_PRECISION_BF16);
  g_assert_cmpuint (cuda_products_get_size (device->products), ==, n);
  cuda_run_init (&third, &larger, DIMR_DEVICE (device), DIMR_PRECISION_BF16);
  g_assert_cmpuint (cuda_products_get_size (device->products), ==, 2 * n);
}

static void
test_labels (void)
{
  static const gint32 bad[] = { -1, CASE_CLASSES, G_MAXINT32, G_MININT32 };
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) run = { 0 };

  cuda_case_init (&network, 1, 1);
  cuda_run_init (&run, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree float *eps = NULL;

      dimr_program_write (run.program, run.y, &bad[i], sizeof bad[i]);
      g_assert_false (dimr_program_run (run.program, NULL, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
      g_assert_nonnull (strstr (error->message, "0 to 4"));
      cuda_run_write (&run, &network, 0, 0);
      eps = cuda_run_eps (&run, &network);
    }
}

/* Between programs, also out of bfloat16. */
static void
test_copy (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) from = { 0 }, to = { 0 };
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree float *eps = NULL, *hidden = g_new (float, 17 * 16), *sum = g_new (float, 17 * 16);
  const DimrNodeId h = dimr_graph_add_input (graph, "h", DIMR_DTYPE_F32, DIMR_SHAPE (1, 17, 16));
  const DimrNodeId twice = dimr_graph_add_op (graph, DIMR_OP_ADD, ((DimrAttrs){ 0 }), h, h);

  cuda_case_init (&network, 1, 1);
  cuda_run_init (&from, &network, DIMR_DEVICE (device), DIMR_PRECISION_BF16);
  cuda_run_write (&from, &network, 0, 0);
  eps = cuda_run_eps (&from, &network);
  g_assert_true (dimr_graph_finish (graph, NULL));
  plan = dimr_plan_new (graph, &twice, 1, DIMR_DEVICE (device), DIMR_PRECISION_F32, &error);
  program = dimr_device_compile (DIMR_DEVICE (device), plan, network.weights, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (dimr_program_copy (program, dimr_plan_get_input (plan, "h"), from.program, from.tap, 17 * 16, &error));
  g_assert_true (dimr_program_run (program, NULL, &error));
  dimr_program_read (program, dimr_plan_get_output (plan, 0), sum, 17 * 16);
  dimr_program_read (from.program, from.tap, hidden, 17 * 16);
  for (guint i = 0; i < 17 * 16; i++)
    g_assert_cmpfloat (sum[i], ==, 2 * hidden[i]);
}

static void
test_profile (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) run = { 0 };
  g_autoptr (GError) error = NULL;
  g_autofree float *before = NULL, *after = NULL;
  g_autofree double *seconds = NULL;
  const DimrNodeId *steps;
  guint n;

  cuda_case_init (&network, 1, 1);
  cuda_run_init (&run, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  cuda_run_write (&run, &network, 0, 0);
  before = cuda_run_eps (&run, &network);
  steps = dimr_plan_peek_steps (run.plan, &n);
  seconds = g_new (double, n);
  g_assert_true (dimr_program_profile (run.program, seconds, &error));
  for (guint i = 0; i < n; i++)
    {
      const DimrOp op = dimr_graph_peek_node (dimr_plan_peek_graph (run.plan), steps[i])->op;

      if (op == DIMR_OP_TIME_PARAM) /* computed ahead */
        g_assert_cmpfloat (seconds[i], ==, 0);
      else
        g_assert_cmpfloat (seconds[i], >, 0);
    }
  after = cuda_run_read (&run, &network);
  assert_same (before, after, cuda_case_image ());
}

static void
test_older_device (void)
{
  g_autoptr (CudaDevice) device = NULL;
  g_auto (CudaCase) network = { 0 };
  g_autoptr (GError) error = NULL;

  fake_cuda_config ()->major = 7;
  fake_cuda_config ()->minor = 5;
  device = cuda_case_open ();
  cuda_case_init (&network, 1, 1);
  g_assert_cmpint (dimr_device_get_default_precision (DIMR_DEVICE (device)), ==, DIMR_PRECISION_F32);
  g_assert_null (dimr_plan_new (network.graph, &network.eps, 1, DIMR_DEVICE (device), DIMR_PRECISION_BF16, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "7.5"));
  fake_cuda_config ()->major = 9;
  fake_cuda_config ()->minor = 0;
}

static void
test_unsupported (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  g_autoptr (GError) error = NULL;
  const DimrNodeId x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (1, 40000, 60000));
  const DimrNodeId y = dimr_graph_add_op (graph, DIMR_OP_LAYER_NORM, ((DimrAttrs){ .eps = 1e-5 }), DIMR_NODE_NONE, DIMR_NODE_NONE, x);

  g_assert_true (dimr_graph_finish (graph, NULL));
  g_assert_null (dimr_plan_new (graph, &y, 1, DIMR_DEVICE (device), DIMR_PRECISION_F32, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "layer-norm of F32 [1, 40000, 60000]"));
  g_assert_nonnull (strstr (error->message, "more than 2,147,483,647 numbers"));
}

int
main (int    argc,
      char **argv)
{
  int rc;

  g_test_init (&argc, &argv, NULL);
  dimr_kernels_init ();
  g_test_add_func ("/cuda/program/values", test_values);
  g_test_add_data_func ("/cuda/program/same-bytes/f32", GINT_TO_POINTER (DIMR_PRECISION_F32), test_same_bytes);
  g_test_add_data_func ("/cuda/program/same-bytes/bf16", GINT_TO_POINTER (DIMR_PRECISION_BF16), test_same_bytes);
  g_test_add_data_func ("/cuda/program/series/shared", GUINT_TO_POINTER (1), test_series);
  g_test_add_data_func ("/cuda/program/series/per-image", GUINT_TO_POINTER (3), test_series);
  g_test_add_func ("/cuda/program/series/odd-width", test_series_of_odd_width);
  g_test_add_func ("/cuda/program/reload", test_reload);
  g_test_add_func ("/cuda/program/two-devices", test_two_devices);
  g_test_add_func ("/cuda/program/labels", test_labels);
  g_test_add_func ("/cuda/program/copy", test_copy);
  g_test_add_func ("/cuda/program/profile", test_profile);
  g_test_add_func ("/cuda/products", test_products);
  g_test_add_func ("/cuda/device/older", test_older_device);
  g_test_add_func ("/cuda/device/unsupported", test_unsupported);
  rc = g_test_run ();
  fake_cuda_print_objects ();
  g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);
  return rc;
}
