/* What the CUDA backend does where something is missing: a device, memory, what was chosen before. For calls
 * that fail see test-cuda-errors.c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cuda-case.h"

#include "core/base/dimr-error.h"
#include "fake-cuda.h"
#include "kernels/dimr-kernels.h"

#include <string.h>

static void
test_sentences (void)
{
  static const struct { int code; DimrError error; const char *part; } cases[] = {
    { 700, DIMR_ERROR_DEVICE_LOST, "start this program again" },
    { 719, DIMR_ERROR_DEVICE_LOST, "a kernel failed" },
    { 214, DIMR_ERROR_DEVICE_LOST, "memory" },
    { 999, DIMR_ERROR_DEVICE_LOST, "suspending" },
    { 2, DIMR_ERROR_MEMORY, "smaller batch" },
    { 35, DIMR_ERROR_DEVICE, "driver" },
    { 100, DIMR_ERROR_DEVICE, "No NVIDIA GPU" },
    { 803, DIMR_ERROR_DEVICE, "restart the computer" },
    { 209, DIMR_ERROR_UNSUPPORTED, "gpu_arch" },
    { 701, DIMR_ERROR_DEVICE, "CUDA error 701" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      cuda_error_set (&error, (cudaError_t) cases[i].code, "Emulated GPU");
      g_assert_error (error, DIMR_ERROR, (int) cases[i].error);
      g_assert_nonnull (strstr (error->message, cases[i].part));
      g_assert_false (g_str_has_suffix (error->message, "."));
    }
}

/* What a person sees where there is no device. */
static void
test_absence (void)
{
  const DimrBackend *backend = dimr_cuda_backend ();
  g_autoptr (GError) none = NULL, old = NULL, no_driver = NULL;
  FakeCudaConfig *config = fake_cuda_config ();

  config->n_devices = 0;
  g_assert_cmpuint (backend->get_n_devices (&none), ==, 0);
  g_assert_error (none, DIMR_ERROR, DIMR_ERROR_DEVICE);
  config->n_devices = 1;
  config->driver_version = 11080;
  g_assert_cmpuint (backend->get_n_devices (&old), ==, 0);
  g_assert_nonnull (strstr (old->message, "it knows CUDA 11.8"));
  config->driver_version = 0;
  g_assert_cmpuint (backend->get_n_devices (&no_driver), ==, 0);
  g_assert_nonnull (strstr (no_driver->message, "No NVIDIA driver answers"));
  fake_cuda_reset ();
  g_assert_cmpuint (backend->get_n_devices (NULL), ==, 1);
}

/* Refused by the plan, with needed and free MiB; and by the device, where memory went between the two. */
static void
test_memory (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (CudaCase) network = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  FakeCudaConfig *config = fake_cuda_config ();
  const size_t others = config->others;

  cuda_case_init (&network, 2, 1);
  config->others = config->memory - fake_cuda_allocated () - ((size_t) 600 << 20);
  g_assert_null (dimr_plan_new (network.graph, &network.eps, 1, DIMR_DEVICE (device), DIMR_PRECISION_BF16, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY);
  g_assert_nonnull (strstr (error->message, "MiB"));
  g_clear_error (&error);

  config->others = others;
  plan = dimr_plan_new (network.graph, &network.eps, 1, DIMR_DEVICE (device), DIMR_PRECISION_BF16, &error);
  g_assert_no_error (error);
  config->others = config->memory - fake_cuda_allocated () - ((size_t) 1 << 20);
  g_assert_null (dimr_device_compile (DIMR_DEVICE (device), plan, network.weights, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY);
  g_assert_true (g_str_has_prefix (error->message, "This picture needs "));
  g_clear_error (&error);

  /* The device is as good as before. */
  config->others = others;
  program = dimr_device_compile (DIMR_DEVICE (device), plan, network.weights, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (dimr_program_run (program, NULL, &error));
}

/* Parameters of programs that are gone make room for new ones, without being asked. */
static void
test_trim (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) run = { 0 };
  g_autoptr (GError) error = NULL;
  FakeCudaConfig *config = fake_cuda_config ();
  const size_t others = config->others;
  guint64 unused;
  gpointer memory;

  cuda_case_init (&network, 1, 1);
  cuda_run_init (&run, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  g_assert_cmpuint (cuda_params_get_unused (device->params), ==, 0);
  cuda_run_clear (&run);
  unused = cuda_params_get_unused (device->params);
  g_assert_cmpuint (unused, >, 0);
  config->others = config->memory - fake_cuda_allocated () - unused / 2;
  memory = cuda_device_alloc (device, unused, "This test", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (cuda_params_get_unused (device->params), ==, 0);
  (void) cudaFree (memory);
  config->others = others;
}

/* Parameters in float8 are made on the device, of a copy that needs memory. Where that runs short, what nobody uses goes, and
 * never what is being loaded. */
static void
test_reload (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_autofree float *values = g_new0 (float, 1024);
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  const CudaLayout layout = { .kind = CUDA_LAYOUT_E4M3, .n_elements = 1024, .n = 32 };
  const char *name = "w";
  FakeCudaConfig *config = fake_cuda_config ();
  const size_t others = config->others;
  g_autoptr (DimrWeights) weights = NULL;
  g_autoptr (GError) error = NULL;
  CudaParam *param;

  g_hash_table_insert (tensors, g_strdup (name), dimr_tensor_new_copy (DIMR_DTYPE_F32, &DIMR_SHAPE (32, 32), values));
  weights = dimr_weights_new_for_tensors (tensors);
  param = cuda_params_get (device->params, weights, &name, 1, &layout, &error);
  g_assert_no_error (error);
  g_assert_true (cuda_params_reload (device->params, weights, &error));
  cuda_param_unref (param);
  g_assert_cmpuint (cuda_params_get_unused (device->params), >, 1024);
  /* The copy takes 2048 bytes. */
  config->others = config->memory - fake_cuda_allocated () - 1024;
  g_assert_true (cuda_params_reload (device->params, weights, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (cuda_params_get_unused (device->params), ==, 0);
  config->others = others;
}

/* What was timed once is what the next process takes. */
static void
test_choices (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  cublasLtMatmulAlgo_t chosen = { { 1, 0xfedcba9876543210, 3, 0, 5, 6, 7, 8 } }, found = { { 0 } };
  CudaChoices *first = cuda_choices_new (device), *second;

  cuda_choices_record (first, "1x2x3", &chosen);
  second = cuda_choices_new (device);
  g_assert_true (cuda_choices_find (second, "1x2x3", &found));
  g_assert_cmpmem (&chosen, sizeof chosen, &found, sizeof found);
  g_assert_false (cuda_choices_find (second, "1x2x4", &found));
  cuda_choices_free (first);
  cuda_choices_free (second);
}

/* Two processes at the same time: none takes away what the other one wrote, and the first to decide decides for both. */
static void
test_choices_of_two (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  const cublasLtMatmulAlgo_t one = { { 11 } }, two = { { 22 } };
  cublasLtMatmulAlgo_t found = { { 0 } };
  CudaChoices *first = cuda_choices_new (device), *second = cuda_choices_new (device), *later;

  g_assert_true (cuda_choices_record (first, "two/a", &one));
  g_assert_true (cuda_choices_record (second, "two/b", &two));
  g_assert_true (cuda_choices_find (second, "two/a", &found));
  g_assert_cmpuint (found.data[0], ==, 11);
  g_assert_false (cuda_choices_record (first, "two/b", &one));
  g_assert_true (cuda_choices_find (first, "two/b", &found));
  g_assert_cmpuint (found.data[0], ==, 22);
  /* What is known and was found of no use is replaced. */
  g_assert_true (cuda_choices_record (first, "two/b", &one));
  later = cuda_choices_new (device);
  g_assert_true (cuda_choices_find (later, "two/a", &found));
  g_assert_true (cuda_choices_find (later, "two/b", &found));
  g_assert_cmpuint (found.data[0], ==, 11);
  cuda_choices_free (first);
  cuda_choices_free (second);
  cuda_choices_free (later);
}

int
main (int    argc,
      char **argv)
{
  int rc;

  g_test_init (&argc, &argv, NULL);
  dimr_kernels_init ();
  g_test_add_func ("/cuda/failures/sentences", test_sentences);
  g_test_add_func ("/cuda/failures/absence", test_absence);
  g_test_add_func ("/cuda/failures/memory", test_memory);
  g_test_add_func ("/cuda/failures/trim", test_trim);
  g_test_add_func ("/cuda/failures/reload", test_reload);
  g_test_add_func ("/cuda/choices", test_choices);
  g_test_add_func ("/cuda/choices/of-two", test_choices_of_two);
  rc = g_test_run ();
  fake_cuda_print_objects ();
  g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);
  return rc;
}
