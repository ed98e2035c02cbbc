/* test-cuda-errors.c — every call of the CUDA runtime fails once, with every kind of error
 *
 * A scenario opens the device, compiles a network, runs it and walks. One call after the other is made to
 * fail. Each time the scenario must either say so in one sentence of the right kind, or, where the failure
 * could be made good, give the same bytes as ever; nothing may be left behind; and afterwards the
 * device must work, or be known as lost.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cuda-case.h"

#include "core/base/dimr-error.h"
#include "fake-cuda.h"

#include <math.h>
#include <string.h>

#define IMAGE (CASE_CHANNELS * CASE_SIZE * CASE_SIZE)
#define GROUPS 2
#define ROWS 2

/* What the scenario computes: the same whenever it succeeds. */
typedef struct
{
  float eps[2 * IMAGE];
  float preview[GROUPS * IMAGE];
  float last[GROUPS * IMAGE];
} Results;

static void
fill (float *x,
      gsize  n,
      guint  seed)
{
  for (gsize i = 0; i < n; i++)
    x[i] = sinf ((float) (seed * 1000 + i * 37 % 1009));
}

/* By hand: at a time that is in no series, and at one that is. */
static gboolean
evaluate (DimrProgram  *program,
          DimrPlan     *plan,
          Results      *results,
          GError      **error)
{
  static const float times[ROWS] = { 1.5f, -2.f };
  const gint32 y[] = { 3, 0 };
  const float other_time = .25f;
  float x[2 * IMAGE];
  DimrNodeId log_snr = dimr_plan_get_input (plan, "log_snr");

  fill (x, G_N_ELEMENTS (x), 1);
  dimr_program_write (program, dimr_plan_get_input (plan, "x"), x, sizeof x);
  dimr_program_write (program, dimr_plan_get_input (plan, "y"), y, sizeof y);
  dimr_program_write (program, log_snr, &other_time, sizeof other_time);
  if (!dimr_program_run (program, NULL, error) ||
      !dimr_program_set_series (program, log_snr, times, 1, ROWS, error))
    return FALSE;
  dimr_program_select (program, 1);
  if (!dimr_program_run (program, NULL, error))
    return FALSE;
  dimr_program_read (program, dimr_plan_get_output (plan, 0), results->eps, G_N_ELEMENTS (results->eps));
  /* A failed read gives no numbers, and the next run tells why. */
  return !isnan (results->eps[0]) || dimr_program_run (program, NULL, error);
}

static gboolean
walk (DimrDevice   *device,
      DimrProgram  *program,
      DimrPlan     *plan,
      Results      *results,
      GError      **error)
{
  static const DimrWalkRow rows[ROWS] = {
    { .alpha = .6, .sigma = .8, .start = .5, .x0 = { .5 }, .guidance = 1.5, .outer = FALSE },
    { .alpha = .7, .sigma = .7, .start = .3, .x0 = { .9, -.2 }, .guidance = 2, .outer = TRUE },
  };
  static const gint32 y[GROUPS * 2] = { 1, 4, 2, 4 };
  const DimrWalkPorts ports = { dimr_plan_get_input (plan, "x"), dimr_plan_get_input (plan, "y"), dimr_plan_get_output (plan, 0), TRUE };
  float start[GROUPS * IMAGE];
  const DimrWalkSpec spec = { GROUPS, 1, IMAGE, start, y, rows, ROWS };
  g_autoptr (DimrDeviceWalk) self = NULL;

  fill (start, G_N_ELEMENTS (start), 2);
  self = dimr_device_new_walk (device, &spec, error);
  if (self == NULL)
    return FALSE;
  for (guint row = 0; row < ROWS; row++)
    {
      dimr_program_select (program, row);
      if (!dimr_device_walk_step (self, program, &ports, row, NULL, error))
        return FALSE;
      if (row == 0 && (!dimr_device_walk_request (self, DIMR_WALK_X0, error) ||
                       !dimr_device_walk_fetch (self, TRUE, results->preview, error)))
        return FALSE;
    }
  return dimr_device_walk_request (self, DIMR_WALK_X, error) && dimr_device_walk_fetch (self, TRUE, results->last, error);
}

/* FALSE with @error. */
static gboolean
play (CudaCase  *network,
      Results   *results,
      GError   **error)
{
  const DimrBackend *backend = dimr_cuda_backend ();
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;

  memset (results, 0, sizeof *results);
  if (backend->get_n_devices (error) == 0)
    return FALSE;
  g_free (backend->dup_device_name (0));
  device = backend->open (0, 0, error);
  if (device == NULL)
    return FALSE;
  plan = dimr_plan_new (network->graph, &network->eps, 1, device, DIMR_PRECISION_BF16, error);
  program = plan != NULL ? dimr_device_compile (device, plan, network->weights, NULL, error) : NULL;
  return program != NULL && evaluate (program, plan, results, error) && walk (device, program, plan, results, error);
}

/* A healthy device, whatever was before. With the smaller workspace of older ones: filling it takes time. */
static void
mend (void)
{
  fake_cuda_reset ();
  fake_cuda_config ()->major = 8;
  cuda_error_forget ();
}

/* ---- what must hold ---- */

typedef struct
{
  cudaError_t code;
  int error;          /* of DIMR_ERROR */
  guint stride;       /* every so many calls; DIMR_TEST_ALL=1 takes them all */
} Kind;

static const Kind kinds[] = {
  { cudaErrorMemoryAllocation, DIMR_ERROR_MEMORY, 5 },
  { cudaErrorIllegalAddress, DIMR_ERROR_DEVICE_LOST, 1 },
  { cudaErrorInvalidValue, DIMR_ERROR_DEVICE, 7 },
  { cudaErrorInitializationError, DIMR_ERROR_DEVICE, 23 },
  { cudaErrorStubLibrary, DIMR_ERROR_DEVICE, 31 },
  { cudaErrorInsufficientDriver, DIMR_ERROR_DEVICE, 23 },
  { cudaErrorCallRequiresNewerDriver, DIMR_ERROR_DEVICE, 31 },
  { cudaErrorDevicesUnavailable, DIMR_ERROR_DEVICE, 23 },
  { cudaErrorNoDevice, DIMR_ERROR_DEVICE, 23 },
  { cudaErrorNoKernelImageForDevice, DIMR_ERROR_UNSUPPORTED, 23 },
  { cudaErrorLaunchOutOfResources, DIMR_ERROR_DEVICE, 23 },
  { cudaErrorNotSupported, DIMR_ERROR_DEVICE, 31 },
  { cudaErrorSystemDriverMismatch, DIMR_ERROR_DEVICE, 31 },
  { cudaErrorStreamCaptureUnsupported, DIMR_ERROR_DEVICE, 31 },
  { cudaErrorECCUncorrectable, DIMR_ERROR_DEVICE_LOST, 31 },
  { cudaErrorNvlinkUncorrectable, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorContained, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorLaunchTimeout, DIMR_ERROR_DEVICE_LOST, 31 },
  { cudaErrorAssert, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorHardwareStackError, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorIllegalInstruction, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorMisalignedAddress, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorInvalidAddressSpace, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorInvalidPc, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorLaunchFailure, DIMR_ERROR_DEVICE_LOST, 23 },
  { cudaErrorTensorMemoryLeak, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorMpsClientTerminated, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorExternalDevice, DIMR_ERROR_DEVICE_LOST, 29 },
  { cudaErrorUnknown, DIMR_ERROR_DEVICE_LOST, 23 },
};

static void
check_sentence (const GError *error,
                const Kind   *kind,
                const char   *call)
{
  const gsize length = strlen (error->message);

  if (!g_error_matches (error, DIMR_ERROR, kind->error))
    g_error ("%s in %s is told as '%s' (%s, %d), not as %d", cudaGetErrorName (kind->code), call, error->message,
             g_quark_to_string (error->domain), error->code, kind->error);
  g_assert_cmpuint (length, >, 20);
  g_assert_cmpuint (length, <, 400);
  g_assert_null (strchr (error->message, '\n'));
  g_assert_false (g_str_has_suffix (error->message, "."));
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
}

static void
check_nothing_left (const char *call)
{
  fake_cuda_check_guards ();
  if (fake_cuda_count_objects () == 0)
    return;
  fake_cuda_print_objects ();
  g_error ("%u things are left after %s failed", fake_cuda_count_objects (), call);
}

/* Makes call @number fail; FALSE where there are not so many. */
static gboolean
check_failure (CudaCase      *network,
               const Results *expected,
               const Kind    *kind,
               gulong         number,
               guint         *n_told)
{
  const gboolean fatal = kind->error == DIMR_ERROR_DEVICE_LOST;
  g_autoptr (GError) error = NULL;
  const char *call;
  Results results;
  gboolean good;

  mend ();
  fake_cuda_fail_at (number, kind->code);
  good = play (network, &results, &error);
  call = fake_cuda_failed_call ();
  if (call == NULL)
    {
      g_assert_no_error (error);
      return FALSE;
    }
  g_assert_true (good == (error == NULL));
  *n_told += !good;
  if (!good)
    check_sentence (error, kind, call);
  else if (memcmp (&results, expected, sizeof results) != 0)
    g_error ("%s in %s is not told, and the results are others", cudaGetErrorName (kind->code), call);
  check_nothing_left (call);

  /* Out of memory and the like are over; a lost device stays lost, which the first call tells. */
  g_clear_error (&error);
  fake_cuda_fail_at (0, cudaSuccess);
  if (!fatal)
    {
      g_assert_true (play (network, &results, &error));
      g_assert_no_error (error);
      g_assert_cmpmem (&results, sizeof results, expected, sizeof *expected);
    }
  else if (!good)
    {
      g_assert_false (play (network, &results, &error));
      check_sentence (error, kind, call);
    }
  check_nothing_left (call);
  return TRUE;
}

static void
test_every_call (gconstpointer data)
{
  const Kind *kind = data;
  const gboolean all = g_strcmp0 (g_getenv ("DIMR_TEST_ALL"), "1") == 0;
  g_auto (CudaCase) network = { 0 };
  g_autoptr (GError) error = NULL;
  guint n = 0, n_told = 0;
  Results expected;

  cuda_case_init (&network, 2, 1);
  mend ();
  g_assert_true (play (&network, &expected, &error));
  g_assert_no_error (error);
  g_assert_true (isfinite (expected.eps[0]) && isfinite (expected.last[0]));
  for (gulong number = all ? 1 : 1 + (gulong) kind->code % kind->stride;
       check_failure (&network, &expected, kind, number, &n_told); number += all ? 1 : kind->stride)
    n++;
  g_test_message ("%s: %u calls failed, %u of them were told", cudaGetErrorName (kind->code), n, n_told);
  g_assert_cmpuint (n, >, 300 / kind->stride);
  g_assert_cmpuint (n_told, >, n / 3);
}

/* ---- memory that is not there ---- */

/* From nothing to enough: an error with figures each time, and then the picture. */
static void
test_little_memory (void)
{
  g_auto (CudaCase) network = { 0 };
  gboolean good = FALSE;
  guint n = 0;
  Results results;

  cuda_case_init (&network, 2, 1);
  for (gsize memory = 1 << 20; !good; memory += memory / 8)
    {
      g_autoptr (GError) error = NULL;

      mend ();
      fake_cuda_config ()->memory = memory;
      fake_cuda_config ()->others = 0;
      good = play (&network, &results, &error);
      if (!good)
        {
          g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY);
          g_assert_nonnull (strstr (error->message, "MiB"));
          n++;
        }
      check_nothing_left ("cudaMalloc");
    }
  mend ();
  g_assert_cmpuint (n, >, 3);
}

int
main (int   argc,
      char *argv[])
{
  g_setenv ("DIMR_CUDA_FIRST_ALGORITHM", "1", TRUE);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *path = g_strconcat ("/cuda/errors/", cudaGetErrorName (kinds[i].code), NULL);

      g_test_add_data_func (path, &kinds[i], test_every_call);
    }
  g_test_add_func ("/cuda/errors/little-memory", test_little_memory);
  return g_test_run ();
}
