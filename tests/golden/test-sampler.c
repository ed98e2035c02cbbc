/* Whole trajectories of the engine against the authors' sampler: start noise in, every x after an
 * outer update out. Tolerances: those of a float32 network under a double schedule.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "golden-engine.h"
#include "tests/tested-device.h"

#include <math.h>
#include <string.h>

typedef struct
{
  const char *name;
  const char *folder;
  guint n_steps;
  DimrSamplerKind sampler;
  DimrTimeGrid grid;
  DimrGuidance guidance;
} Case;

#define FAST DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM
/* The released evaluation: constant 0.4 is g = 1.4 here; power-cosine up to g = 2 with power 2. */
#define NONE { DIMR_GUIDANCE_CONSTANT, 1.0, 2.0 }
#define CONST { DIMR_GUIDANCE_CONSTANT, 1.4, 2.0 }
#define COSINE { DIMR_GUIDANCE_COSINE, 2.0, 2.0 }
#define A "A_dimr_2r_latent"
#define B "B_dimr_3r_pixel"

static const Case cases[] = {
  { "A_none_10", A, 10, FAST, NONE },     { "A_none_20", A, 20, FAST, NONE },     { "A_none_50", A, 50, FAST, NONE },
  { "A_const_10", A, 10, FAST, CONST },   { "A_const_20", A, 20, FAST, CONST },   { "A_const_50", A, 50, FAST, CONST },
  { "A_cosine_10", A, 10, FAST, COSINE }, { "A_cosine_20", A, 20, FAST, COSINE }, { "A_cosine_50", A, 50, FAST, COSINE },
  { "B_none_10", B, 10, FAST, NONE },     { "B_none_20", B, 20, FAST, NONE },     { "B_none_50", B, 50, FAST, NONE },
  { "B_const_10", B, 10, FAST, CONST },   { "B_const_20", B, 20, FAST, CONST },   { "B_const_50", B, 50, FAST, CONST },
  { "B_cosine_10", B, 10, FAST, COSINE }, { "B_cosine_20", B, 20, FAST, COSINE }, { "B_cosine_50", B, 50, FAST, COSINE },
  { "A_multistep2M_time_uniform_10", A, 10, DIMR_SAMPLER_DPM_SOLVER_2M, DIMR_TIME_GRID_UNIFORM, NONE },
  { "A_multistep2M_time_uniform_20", A, 20, DIMR_SAMPLER_DPM_SOLVER_2M, DIMR_TIME_GRID_UNIFORM, NONE },
  { "A_multistep2M_logSNR_10", A, 10, DIMR_SAMPLER_DPM_SOLVER_2M, DIMR_TIME_GRID_LOG_SNR, NONE },
  { "A_multistep3M_time_uniform_10", A, 10, DIMR_SAMPLER_DPM_SOLVER_3M, DIMR_TIME_GRID_UNIFORM, NONE },
};

static DimrJob *
run (DimrEngine    *engine,
     const Case    *self,
     Reference     *file,
     DimrPrecision  precision)
{
  g_autoptr (DimrRequest) request = dimr_request_new ();
  g_autofree gint64 *y = dimr_tensor_dup_i64 (reference_peek (file, "y"));
  DimrTensor *noise = reference_peek (file, "x_init");

  g_free (request->classes);
  request->n_classes = (guint) dimr_tensor_peek_shape (noise)->dims[0];
  request->classes = g_new (int, request->n_classes);
  for (guint i = 0; i < request->n_classes; i++)
    request->classes[i] = (int) y[i];
  request->precision = precision;
  request->n_steps = self->n_steps;
  request->sampler = self->sampler;
  request->time_grid = self->grid;
  request->guidance = self->guidance;
  request->noise = dimr_tensor_dup_f32 (noise);
  request->n_noise = dimr_tensor_get_n_elements (noise);
  request->trace = TRUE;
  request->previews = FALSE;
  request->batch = 2; /* the last batch is smaller where the case has an odd number of samples */
  return golden_engine_run (engine, request);
}

static void
check_xs (Reference  *file,
          DimrTensor *xs)
{
  gsize n_wanted, n_found = dimr_tensor_get_n_elements (xs);
  g_autofree double *wanted = reference_dup_f64 (file, "xs", &n_wanted);
  gsize one = dimr_tensor_get_n_elements (reference_peek (file, "x_init"));
  gsize every = n_found / n_wanted; /* long trajectories keep every fourth x */

  g_assert_cmpuint (every, >=, 1);
  for (gsize i = 0; i < n_wanted / one; i++)
    g_assert_cmpfloat (golden_tensor_difference (xs, ((i + 1) * every - 1) * one, wanted + i * one, one), <, 2e-4);
}

static void
test_trajectory (gconstpointer data)
{
  const Case *self = data;
  g_autofree char *name = g_strdup_printf ("E_sampler/%s.safetensors", self->name);
  g_autofree char *path = reference_path (name);
  g_autoptr (Reference) file = NULL;
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrJob) job = NULL;
  g_autofree double *times = NULL, *last = NULL;
  GHashTable *trace;
  DimrTensor *found;
  gsize n;

  if (path == NULL)
    {
      g_test_skip ("only in the full reference data");
      return;
    }
  file = reference_open (name);
  engine = golden_engine_open (self->folder);
  job = run (engine, self, file, DIMR_PRECISION_F32);
  trace = dimr_job_peek_trace (job);
  g_assert_nonnull (trace);

  found = g_hash_table_lookup (trace, "times");
  times = reference_dup_f64 (file, "t_call", &n);
  g_assert_cmpuint (dimr_tensor_get_n_elements (found), ==, self->n_steps);
  g_assert_cmpuint (n, ==, self->n_steps);
  g_assert_cmpfloat (golden_tensor_difference (found, 0, times, n), <, self->grid == DIMR_TIME_GRID_UNIFORM ? 1e-6 : 2e-6);

  if (reference_has (file, "xs"))
    check_xs (file, g_hash_table_lookup (trace, "xs"));
  found = g_hash_table_lookup (trace, "latent");
  last = reference_dup_f64 (file, "x_final", &n);
  g_assert_cmpfloat (golden_tensor_difference (found, 0, last, n), <, 2e-4);
  if (reference_has (file, "x_final_f64"))
    {
      g_autofree double *exact = reference_dup_f64 (file, "x_final_f64", &n);
      double worst = golden_tensor_difference (found, 0, exact, n);

      g_test_message ("%s: x_final is off by %.2g", self->name, worst);
      g_assert_cmpfloat (worst, <, 5e-5);
    }
}

/* The same walk with products of bfloat16 (and on a GPU activations of it): each evaluation is off by
 * up to 1 %, and the walk's contraction to the picture keeps their sum small. */
static void
test_bf16 (gconstpointer data)
{
  const Case *self = data;
  g_autofree char *name = g_strdup_printf ("E_sampler/%s.safetensors", self->name);
  g_autoptr (Reference) file = reference_open (name);
  g_autoptr (DimrEngine) engine = golden_engine_open (self->folder);
  g_autoptr (DimrJob) job = run (engine, self, file, DIMR_PRECISION_BF16);
  DimrTensor *found = g_hash_table_lookup (dimr_job_peek_trace (job), "latent");
  gsize n;
  g_autofree double *wanted = reference_dup_f64 (file, "x_final", &n);
  g_autofree float *values = dimr_tensor_dup_f32 (found);
  double error = 0, norm = 0;

  for (gsize i = 0; i < n; i++)
    {
      error += (values[i] - wanted[i]) * (values[i] - wanted[i]);
      norm += wanted[i] * wanted[i];
    }
  g_test_message ("%s: relative L2 %.3g in bfloat16", self->name, sqrt (error / norm));
  g_assert_cmpfloat (sqrt (error / norm), <, 2e-2);
  g_assert_cmpfloat (sqrt (error / norm), >, 1e-5);
}

/* A slow device walks with guidance, and with the solver that looks back furthest. */
static gboolean
is_example (const Case *self)
{
  return g_str_equal (self->name, "A_const_10") || g_str_equal (self->name, "A_multistep3M_time_uniform_10");
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

      if (!tested_device_is_slow () || is_example (&cases[i]))
        g_test_add_data_func (name, &cases[i], test_trajectory);
      if (g_str_equal (cases[i].name, "A_const_10"))
        g_test_add_data_func ("/golden/trajectory/bf16", &cases[i], test_bf16);
    }
  return g_test_run ();
}
