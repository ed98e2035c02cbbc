/* DDPM, DDIM and guidance as DiT was released with them, against its authors' code: start noise and
 * the noise of every step in, every x out. Tolerance: 2e-5 of the largest value of a trajectory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/diffusion/dimr-denoiser.h"
#include "core/diffusion/dimr-sampler-private.h"
#include "golden-engine.h"
#include "golden-model.h"
#include "tests/tested-device.h"

#include <math.h>
#include <string.h>

#define FOLDER "H_dit"
#define N_STEPS 10
#define RELATIVE 2e-5

typedef struct
{
  const char *name;
  DimrSamplerKind sampler;
  DimrSamplerOptions options;
  double scale; /* of guidance on the first three channels */
} Case;

static const Case cases[] = {
  { "ddpm10_nocfg", DIMR_SAMPLER_DDPM, { 0, FALSE }, 1 },  { "ddpm10_cfg4", DIMR_SAMPLER_DDPM, { 0, FALSE }, 4 },
  { "ddpm10_clip", DIMR_SAMPLER_DDPM, { 0, TRUE }, 1 },    { "ddim10_cfg4", DIMR_SAMPLER_DDIM, { 0, FALSE }, 4 },
  { "ddim10_eta05", DIMR_SAMPLER_DDIM, { 0.5, FALSE }, 1 },
};

static double
largest_of (const double *values,
            gsize         n)
{
  double largest = 0;

  for (gsize i = 0; i < n; i++)
    largest = MAX (largest, fabs (values[i]));
  return largest;
}

/* The first sample of each tensor: with guidance the second one is its unconditional half. */
static DimrRequest *
make_request (const Case *self,
              Reference  *file)
{
  DimrRequest *request = dimr_request_new ();
  g_autofree gint64 *y = dimr_tensor_dup_i64 (reference_peek (file, "y"));
  DimrTensor *start = reference_peek (file, "x_init"), *noises = reference_peek (file, "noises");
  const gsize batch = (gsize) dimr_tensor_peek_shape (start)->dims[0], n = dimr_tensor_get_n_elements (start) / batch;

  request->classes[0] = (int) y[0];
  request->n_steps = N_STEPS;
  request->sampler = self->sampler;
  request->precision = DIMR_PRECISION_F32;
  request->options = self->options;
  request->guidance = (DimrGuidance){ DIMR_GUIDANCE_CONSTANT, self->scale, 1, 3 };
  request->n_noise = n;
  request->noise = g_new (float, n);
  dimr_tensor_read_f32 (start, 0, n, request->noise);
  request->n_noises = N_STEPS * n;
  request->noises = g_new (float, N_STEPS * n);
  for (gsize s = 0; s < N_STEPS; s++)
    dimr_tensor_read_f32 (noises, s * batch * n, n, request->noises + s * n);
  request->trace = TRUE;
  request->previews = FALSE;
  return request;
}

static void
check_times (Reference  *file,
             DimrTensor *times)
{
  g_autofree gint64 *t = dimr_tensor_dup_i64 (reference_peek (file, "t_model"));
  g_autoptr (DimrSchedule) schedule = dimr_schedule_new_ddpm (0.0001, 0.02, 1000);

  for (guint i = 0; i < N_STEPS; i++)
    {
      float time;

      dimr_tensor_read_f32 (times, i, 1, &time);
      g_assert_cmpfloat_with_epsilon (dimr_schedule_condition (schedule, DIMR_TIME_CONDITION_INDEX, time), (double) t[i], 1e-4);
    }
}

static void
test_trajectory (gconstpointer data)
{
  const Case *self = data;
  g_autofree char *name = g_strdup_printf (FOLDER "/%s.safetensors", self->name), *path = reference_path (name);
  g_autoptr (Reference) file = NULL;
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) job = NULL;
  g_autofree double *xs = NULL, *last = NULL, *exact = NULL;
  DimrTensor *found;
  GHashTable *trace;
  gsize n, n_xs, n_last;
  double largest, worst;

  if (path == NULL)
    {
      g_test_skip ("only in the full reference data");
      return;
    }
  file = reference_open (name);
  engine = golden_engine_open (FOLDER);
  request = make_request (self, file);
  job = golden_engine_run (engine, request);
  trace = dimr_job_peek_trace (job);
  check_times (file, g_hash_table_lookup (trace, "times"));

  xs = reference_dup_f64 (file, "xs", &n_xs);
  largest = largest_of (xs, n_xs);
  n = request->n_noise;
  found = g_hash_table_lookup (trace, "xs");
  g_assert_cmpuint (dimr_tensor_get_n_elements (found), ==, N_STEPS * n);
  for (guint s = 0; s < N_STEPS; s++)
    g_assert_cmpfloat (golden_tensor_difference (found, s * n, xs + s * (n_xs / N_STEPS), n), <, RELATIVE * largest);

  found = g_hash_table_lookup (trace, "latent");
  last = reference_dup_f64 (file, "x_final", &n_last);
  exact = reference_dup_f64 (file, "x_final_f64", &n_last);
  g_assert_cmpfloat (golden_tensor_difference (found, 0, last, n), <, RELATIVE * largest);
  worst = golden_tensor_difference (found, 0, exact, n);
  g_assert_cmpfloat (worst, <, RELATIVE * largest);
  g_test_message ("%s: x_final is off by %.2g of values up to %.0f", self->name, worst, largest);
}

/* The denoiser with the reference's model; one image an evaluation. */
static DimrDenoiser *
open_denoiser (DimrModel  *model,
               DimrDevice *device,
               guint       channels,
               double      t)
{
  const DimrDenoiserSettings settings = { DIMR_PRECISION_F32, 1, TRUE, FALSE, TRUE, channels };
  const DimrEvaluation evaluation = DIMR_EVALUATION_WHOLE;
  g_autoptr (GError) error = NULL;
  DimrDenoiser *denoiser = dimr_denoiser_new (model, device, &settings, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (dimr_denoiser_announce (denoiser, &t, &evaluation, 1, NULL, &error));
  return denoiser;
}

/* "forward_with_cfg": three channels guided, the fourth and the variance as the class has them; and the
 * form that guides all channels of the noise, which is made of the same two predictions. */
static void
test_guided_channels (void)
{
  static const double scales[] = { 1.5, 4 };
  g_autofree char *path = reference_path (FOLDER "/model.safetensors");
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrModel) model = dimr_model_load (path, NULL, &error);
  g_autoptr (DimrDevice) device = dimr_device_open (tested_device (), 0, &error);
  g_autoptr (Reference) file = reference_open (FOLDER "/forward.safetensors");
  g_autofree gint64 *y = dimr_tensor_dup_i64 (reference_peek (file, "cfg.y")), *t = dimr_tensor_dup_i64 (reference_peek (file, "cfg.t"));
  g_autofree float *x = dimr_tensor_dup_f32 (reference_peek (file, "cfg.x"));
  const int label = (int) y[0];
  gsize n, plane;

  g_assert_no_error (error);
  n = dimr_tensor_get_n_elements (reference_peek (file, "cfg.x")) / 2;
  plane = n / 4;
  for (guint s = 0; s < G_N_ELEMENTS (scales); s++)
    {
      g_autofree char *name = g_strdup_printf ("cfg%.1f.out", scales[s]);
      g_autofree double *wanted = reference_dup_f64 (file, name, NULL);
      g_autofree float *three = g_new (float, n), *all = g_new (float, n), *variance = g_new (float, n), *cond = g_new (float, n);
      g_autoptr (DimrDenoiser) released = open_denoiser (model, device, 3, ((double) t[0] + 1) / 1000);
      g_autoptr (DimrDenoiser) whole = open_denoiser (model, device, 0, ((double) t[0] + 1) / 1000);

      g_assert_true (dimr_denoiser_evaluate (released, 0, x, &label, 1, scales[s], three, variance, NULL, &error));
      g_assert_true (dimr_denoiser_evaluate (whole, 0, x, &label, 1, scales[s], all, NULL, NULL, &error));
      g_assert_true (dimr_denoiser_evaluate (whole, 0, x, &label, 1, 1, cond, NULL, NULL, &error));
      for (gsize i = 0; i < n; i++)
        {
          g_assert_cmpfloat (fabs (three[i] - wanted[i]), <, 5e-5);
          g_assert_cmpfloat (fabs (variance[i] - wanted[n + i]), <, 5e-5);
        }
      g_assert_cmpmem (three, 3 * plane * sizeof (float), all, 3 * plane * sizeof (float));
      g_assert_cmpmem (three + 3 * plane, plane * sizeof (float), cond + 3 * plane, plane * sizeof (float));
      g_assert_true (memcmp (all + 3 * plane, three + 3 * plane, plane * sizeof (float)) != 0);
    }
}

/* The spacings of the released code: evenly over all thousand, and every k-th. */
static void
test_respacing (void)
{
  static const guint even[] = { 0, 111, 222, 333, 444, 555, 666, 777, 888, 999 };
  guint indices[1000];

  dimr_sampler_respace (DIMR_SAMPLER_DDPM, 10, indices);
  g_assert_cmpmem (indices, sizeof even, even, sizeof even);
  dimr_sampler_respace (DIMR_SAMPLER_DDIM, 10, indices);
  for (guint i = 0; i < 10; i++)
    g_assert_cmpuint (indices[i], ==, 100 * i);
  for (guint kind = DIMR_SAMPLER_DDPM; kind <= DIMR_SAMPLER_DDIM; kind++)
    for (guint n = 1; n <= 1000; n++)
      {
        dimr_sampler_respace (kind, n, indices);
        for (guint i = 1; i < n; i++)
          g_assert_cmpuint (indices[i], >, indices[i - 1]);
        g_assert_cmpuint (indices[n - 1], <, 1000);
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!tested_device_is_here ())
    return 0;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name = g_strconcat ("/golden/trajectory/", cases[i].name, NULL);

      g_test_add_data_func (name, &cases[i], test_trajectory);
    }
  g_test_add_func ("/golden/guidance/of-three-channels-and-of-all", test_guided_channels);
  g_test_add_func ("/golden/respacing", test_respacing);
  return g_test_run ();
}
