/* A sampler's walk in device memory against one on the host, evaluation by evaluation.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cuda-case.h"

#include "core/base/dimr-error.h"
#include "fake-cuda.h"
#include "kernels/dimr-kernels.h"

#include <math.h>
#include <string.h>

#define GROUPS 2
#define MICRO_BATCH 2
#define N_ROWS 7
#define N_IMAGES (GROUPS * MICRO_BATCH)

/* A walk of made-up coefficients that combines all that there is: predictions from before, points that
 * are no x, another guidance for each row. */
typedef struct
{
  DimrWalkRow rows[N_ROWS];
  float log_snr[N_ROWS];
  float *start;           /* [N_IMAGES][image] */
  gint32 y[GROUPS * 2 * MICRO_BATCH];
  DimrWalkSpec spec;
} Plan;

static void
plan_init (Plan *self)
{
  const gsize n = N_IMAGES * cuda_case_image ();

  self->start = g_new (float, n);
  for (gsize i = 0; i < n; i++)
    self->start[i] = (float) sin ((double) i * .37) * 2;
  for (guint i = 0; i < G_N_ELEMENTS (self->y); i++)
    self->y[i] = i % (2 * MICRO_BATCH) < MICRO_BATCH ? (gint32) (i % (CASE_CLASSES - 1)) : CASE_CLASSES - 1;
  for (guint i = 0; i < N_ROWS; i++)
    {
      const double t = 1 - (double) i / N_ROWS;

      self->log_snr[i] = (float) (4 - 8 * t);
      self->rows[i] = (DimrWalkRow){
        .alpha = sqrt (1 - .8 * t), .sigma = sqrt (.8 * t), .start = .3 + .1 * i,
        .x0 = { .5, i >= 1 ? .2 : 0, i >= 2 ? -.1 : 0 }, .guidance = 1 + .5 * i, .outer = i % 3 != 1,
      };
    }
  self->spec = (DimrWalkSpec){
    .n_groups = GROUPS, .micro_batch = MICRO_BATCH, .image_len = cuda_case_image (), .start = self->start, .y = self->y,
    .rows = self->rows, .n_rows = N_ROWS,
  };
}

static void
plan_clear (Plan *self)
{
  g_clear_pointer (&self->start, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Plan, plan_clear)

/* The equations of DimrWalkRow, on the host. */
typedef struct
{
  double *x, *point, *x0[N_ROWS];
} HostWalk;

static void
host_walk_step (HostWalk   *self,
                const Plan *plan,
                CudaRun    *run,
                gboolean    guided,
                guint       row)
{
  const DimrWalkRow *r = &plan->rows[row];
  const gsize len = cuda_case_image (), half = MICRO_BATCH * len;
  g_autofree float *x = g_new (float, 2 * half), *eps = g_new (float, 2 * half);

  self->x0[row] = g_new (double, GROUPS * half);
  for (guint g = 0; g < GROUPS; g++)
    {
      g_autoptr (GError) error = NULL;

      for (gsize i = 0; i < half; i++)
        x[i] = x[half + i] = (float) self->point[g * half + i];
      dimr_program_write (run->program, run->x, x, (guided ? 2 : 1) * half * sizeof *x);
      dimr_program_write (run->program, run->log_snr, &plan->log_snr[row], sizeof (float));
      dimr_program_write (run->program, run->y, plan->y + g * 2 * MICRO_BATCH, (guided ? 2 : 1) * MICRO_BATCH * sizeof (gint32));
      dimr_program_run (run->program, NULL, &error);
      g_assert_no_error (error);
      dimr_program_read (run->program, run->eps, eps, (guided ? 2 : 1) * half);
      for (gsize i = 0; i < half; i++)
        {
          const gsize at = g * half + i;
          /* Rounded, as the host's denoiser hands it to the sampler. */
          const float e = guided ? (float) (eps[half + i] + r->guidance * ((double) eps[i] - eps[half + i])) : eps[i];
          double next;

          self->x0[row][at] = (self->point[at] - r->sigma * e) / r->alpha;
          next = r->start * self->x[at];
          for (guint k = 0; k < DIMR_WALK_HISTORY && k <= row; k++)
            next += r->x0[k] * self->x0[row - k][at];
          self->point[at] = next;
          if (r->outer)
            self->x[at] = next;
        }
    }
}

static void
assert_close (const float  *a,
              const double *b,
              gsize         n)
{
  for (gsize i = 0; i < n; i++)
    g_assert_cmpfloat_with_epsilon (a[i], b[i], 2e-7 * MAX (1, fabs (b[i])));
}

static DimrWalkPorts
ports_of (const CudaRun *run,
          gboolean       guided)
{
  return (DimrWalkPorts){ run->x, run->y, run->eps, guided };
}

static void
fetch (DimrDeviceWalk *walk,
       DimrWalkValue   value,
       float          *data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (dimr_device_walk_request (walk, value, &error));
  g_assert_true (dimr_device_walk_fetch (walk, TRUE, data, &error));
}

static void
test_equations (gconstpointer data)
{
  const gboolean guided = GPOINTER_TO_INT (data);
  const gsize n = N_IMAGES * cuda_case_image ();
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_autoptr (DimrDeviceWalk) walk = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) run = { 0 }, other = { 0 };
  g_auto (Plan) plan = { 0 };
  g_autofree float *value = g_new (float, n);
  HostWalk host = { g_new (double, n), g_new (double, n) };
  DimrWalkPorts ports;

  plan_init (&plan);
  cuda_case_init (&network, (guided ? 2 : 1) * MICRO_BATCH, 1);
  cuda_run_init (&run, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  cuda_run_init (&other, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  ports = ports_of (&run, guided);
  walk = dimr_device_new_walk (DIMR_DEVICE (device), &plan.spec, &error);
  g_assert_no_error (error);
  g_assert_true (dimr_program_set_series (run.program, run.log_snr, plan.log_snr, 1, N_ROWS, &error));
  for (gsize i = 0; i < n; i++)
    host.x[i] = host.point[i] = plan.start[i];
  for (guint row = 0; row < N_ROWS; row++)
    {
      dimr_program_select (run.program, row);
      g_assert_true (dimr_device_walk_step (walk, run.program, &ports, row, NULL, &error));
      g_assert_no_error (error);
      host_walk_step (&host, &plan, &other, guided, row);
      fetch (walk, DIMR_WALK_X0, value);
      assert_close (value, host.x0[row], n);
      fetch (walk, DIMR_WALK_X, value);
      assert_close (value, host.x, n);
    }
  g_free (host.x);
  g_free (host.point);
  for (guint row = 0; row < N_ROWS; row++)
    g_free (host.x0[row]);
}

/* The result of a whole walk (transfer full). Where @previews, one is asked for after every step and
 * taken only when it is there. */
static float *
walk_through (CudaDevice    *device,
              DimrPrecision  precision,
              gboolean       previews)
{
  const gsize n = N_IMAGES * cuda_case_image ();
  g_autoptr (DimrDeviceWalk) walk = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) run = { 0 };
  g_auto (Plan) plan = { 0 };
  g_autofree float *preview = g_new (float, n);
  float *x = g_new (float, n);
  DimrWalkPorts ports;

  plan_init (&plan);
  cuda_case_init (&network, 2 * MICRO_BATCH, 1);
  cuda_run_init (&run, &network, DIMR_DEVICE (device), precision);
  ports = ports_of (&run, TRUE);
  walk = dimr_device_new_walk (DIMR_DEVICE (device), &plan.spec, &error);
  g_assert_no_error (error);
  g_assert_true (dimr_program_set_series (run.program, run.log_snr, plan.log_snr, 1, N_ROWS, &error));
  for (guint row = 0; row < N_ROWS; row++)
    {
      dimr_program_select (run.program, row);
      g_assert_true (dimr_device_walk_step (walk, run.program, &ports, row, NULL, &error));
      if (!previews)
        continue;
      g_assert_true (dimr_device_walk_request (walk, row % 2 ? DIMR_WALK_X : DIMR_WALK_X0, &error));
      dimr_device_walk_fetch (walk, FALSE, preview, &error);
      g_assert_no_error (error);
      /* "Not yet" is no error for others to find. */
      g_assert_cmpint (cudaPeekAtLastError (), ==, cudaSuccess);
    }
  fetch (walk, DIMR_WALK_X, x);
  return x;
}

/* Previews, work that waits until somebody looks, launches one by one: the same bytes. */
static void
test_same_bytes (gconstpointer data)
{
  const DimrPrecision precision = GPOINTER_TO_INT (data);
  const gsize size = N_IMAGES * cuda_case_image () * sizeof (float);
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_autofree float *plain = walk_through (device, precision, FALSE), *seen = walk_through (device, precision, TRUE);
  g_autofree float *deferred = NULL, *eager = NULL;

  fake_cuda_config ()->deferred = TRUE;
  deferred = walk_through (device, precision, TRUE);
  device->eager = TRUE;
  eager = walk_through (device, precision, TRUE);
  fake_cuda_config ()->deferred = FALSE;
  g_assert_cmpmem (plain, size, seen, size);
  g_assert_cmpmem (plain, size, deferred, size);
  g_assert_cmpmem (plain, size, eager, size);
  fake_cuda_check_guards ();
}

static void
test_cancel (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_autoptr (DimrDeviceWalk) walk = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) run = { 0 };
  g_auto (Plan) plan = { 0 };
  DimrWalkPorts ports;
  unsigned long launches;

  plan_init (&plan);
  cuda_case_init (&network, 2 * MICRO_BATCH, 1);
  cuda_run_init (&run, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  ports = ports_of (&run, TRUE);
  walk = dimr_device_new_walk (DIMR_DEVICE (device), &plan.spec, &error);
  cuda_run_write (&run, &network, 0, 0);
  g_assert_true (dimr_device_walk_step (walk, run.program, &ports, 0, cancellable, &error));
  launches = fake_cuda_count_launches ();
  g_cancellable_cancel (cancellable);
  g_assert_false (dimr_device_walk_step (walk, run.program, &ports, 1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (fake_cuda_count_launches (), ==, launches);
}

/* A label that is none is found before anything is computed. */
static void
test_labels (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_autoptr (DimrDeviceWalk) walk = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (CudaCase) network = { 0 };
  g_auto (CudaRun) run = { 0 };
  g_auto (Plan) plan = { 0 };
  DimrWalkPorts ports;

  plan_init (&plan);
  plan.y[G_N_ELEMENTS (plan.y) - 1] = CASE_CLASSES;
  cuda_case_init (&network, 2 * MICRO_BATCH, 1);
  cuda_run_init (&run, &network, DIMR_DEVICE (device), DIMR_PRECISION_F32);
  ports = ports_of (&run, TRUE);
  walk = dimr_device_new_walk (DIMR_DEVICE (device), &plan.spec, &error);
  g_assert_no_error (error);
  g_assert_false (dimr_device_walk_step (walk, run.program, &ports, 0, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
}

int
main (int    argc,
      char **argv)
{
  int rc;

  g_test_init (&argc, &argv, NULL);
  dimr_kernels_init ();
  g_test_add_data_func ("/cuda/walk/equations/guided", GINT_TO_POINTER (TRUE), test_equations);
  g_test_add_data_func ("/cuda/walk/equations/plain", GINT_TO_POINTER (FALSE), test_equations);
  g_test_add_data_func ("/cuda/walk/same-bytes/f32", GINT_TO_POINTER (DIMR_PRECISION_F32), test_same_bytes);
  g_test_add_data_func ("/cuda/walk/same-bytes/bf16", GINT_TO_POINTER (DIMR_PRECISION_BF16), test_same_bytes);
  g_test_add_func ("/cuda/walk/cancel", test_cancel);
  g_test_add_func ("/cuda/walk/labels", test_labels);
  rc = g_test_run ();
  fake_cuda_print_objects ();
  g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);
  return rc;
}
