/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diffusion/dimr-guidance.h"
#include "core/diffusion/dimr-schedule.h"
#include "reference.h"

#include <math.h>
#include <string.h>

static DimrSchedule *
stable_diffusion (void)
{
  return dimr_schedule_new_discrete (0.00085, 0.012, 1000);
}

/* --- schedule ------------------------------------------------------------------------- */

typedef double (*ScheduleFunc) (const DimrSchedule *schedule, double at);

typedef struct
{
  const char *name;
  ScheduleFunc func;
  const char *at;
  double tolerance[3]; /* vs the float table; discrete, linear, cosine */
} Column;

static const Column columns[] = {
  { "log_alpha", dimr_schedule_log_alpha, "t", { 2e-6, 2e-6, 2e-5 } },
  { "alpha", dimr_schedule_alpha, "t", { 2e-6, 2e-6, 2e-6 } },
  { "sigma", dimr_schedule_sigma, "t", { 2e-6, 2e-6, 1e-5 } },
  { "lambda", dimr_schedule_lambda, "t", { 1e-4, 5e-4, 3e-3 } },
  { "inverse_lambda", dimr_schedule_inverse_lambda, "lambda_in", { 2e-6, 2e-6, 1e-5 } },
};

static void
check_table (Reference          *tables,
             const DimrSchedule *schedule,
             const char         *kind,
             const Column       *column,
             gboolean            f64,
             double              tolerance)
{
  /* The inverse was tabulated at the same float inputs in both precisions. */
  gboolean own_inputs = f64 && strcmp (column->at, "t") == 0;
  g_autofree char *at_name = g_strdup_printf ("%s.%s%s", kind, column->at, own_inputs ? "_f64" : "");
  g_autofree char *name = g_strdup_printf ("%s.%s%s", kind, column->name, f64 ? "_f64" : "");
  gsize n, n_expected;
  g_autofree double *at = reference_dup_f64 (tables, at_name, &n);
  g_autofree double *expected = reference_dup_f64 (tables, name, &n_expected);
  double error;

  g_assert_cmpuint (n, ==, n_expected);
  for (gsize i = 0; i < n; i++)
    at[i] = column->func (schedule, at[i]);
  error = reference_error (at, expected, n);
  g_test_message ("%s: %.2g (at most %.2g)", name, error, tolerance);
  g_assert_cmpfloat (error, <=, tolerance);
}

static void
test_schedules_equal_the_tables (void)
{
  g_autoptr (Reference) tables = reference_open ("E_sampler/schedule_tables.safetensors");
  g_autoptr (DimrSchedule) discrete = stable_diffusion ();
  g_autoptr (DimrSchedule) linear = dimr_schedule_new_linear (0.1, 20);
  g_autoptr (DimrSchedule) cosine = dimr_schedule_new_cosine ();
  const struct { const char *name; DimrSchedule *schedule; } kinds[] = {
    { "discrete", discrete }, { "linear", linear }, { "cosine", cosine },
  };

  for (guint k = 0; k < G_N_ELEMENTS (kinds); k++)
    for (guint c = 0; c < G_N_ELEMENTS (columns); c++)
      {
        check_table (tables, kinds[k].schedule, kinds[k].name, &columns[c], TRUE, 1e-12);
        check_table (tables, kinds[k].schedule, kinds[k].name, &columns[c], FALSE, columns[c].tolerance[k]);
      }
}

static void
test_knots_are_stable_diffusion_s (void)
{
  g_autoptr (Reference) tables = reference_open ("E_sampler/schedule_tables.safetensors");
  g_autoptr (DimrSchedule) schedule = stable_diffusion ();
  g_autofree double *expected = reference_dup_f64 (tables, "discrete.log_alpha_discrete_f64", NULL);
  double knots[1000];

  for (guint i = 0; i < 1000; i++)
    knots[i] = dimr_schedule_log_alpha (schedule, (i + 1) / 1000.);
  g_assert_cmpfloat (reference_error (knots, expected, 1000), <=, 1e-12);
}

static void
test_inverse_undoes_lambda (void)
{
  g_autoptr (DimrSchedule) discrete = stable_diffusion ();
  g_autoptr (DimrSchedule) linear = dimr_schedule_new_linear (0.1, 20);
  g_autoptr (DimrSchedule) cosine = dimr_schedule_new_cosine ();
  DimrSchedule *schedules[] = { discrete, linear, cosine };

  for (guint k = 0; k < G_N_ELEMENTS (schedules); k++)
    for (guint i = 1; i <= 994; i++)
      {
        double t = i / 1000. + 0.0003;
        double lambda = dimr_schedule_lambda (schedules[k], t);

        g_assert_cmpfloat (fabs (dimr_schedule_inverse_lambda (schedules[k], lambda) - t), <=, 1e-10);
        g_assert_cmpfloat (dimr_schedule_lambda (schedules[k], t - 0.001), >, lambda);
      }
}

/* Latent models are told 8 t − 4; pixel models the true log-SNR, clamped where the cosine schedule ends. */
static void
test_network_is_told_the_trained_time (void)
{
  g_autoptr (Reference) tables = reference_open ("E_sampler/schedule_tables.safetensors");
  g_autoptr (Reference) walk = reference_open ("E_sampler/A_none_10.safetensors");
  g_autoptr (DimrSchedule) discrete = stable_diffusion ();
  g_autoptr (DimrSchedule) linear = dimr_schedule_new_linear (0.1, 20);
  g_autoptr (DimrSchedule) cosine = dimr_schedule_new_cosine ();
  const struct
  {
    Reference *file;
    DimrSchedule *schedule;
    DimrTimeCondition condition;
    const char *t, *log_snr;
    double tolerance; /* float loses digits of 1 − alpha² at the start and of alpha at the end */
  } cases[] = {
    { walk, discrete, DIMR_TIME_CONDITION_LINEAR, "t_call", "log_snr", 1e-6 },
    { tables, linear, DIMR_TIME_CONDITION_LOG_SNR, "vpsde.t", "vpsde.log_snr", 1e-4 },
    { tables, cosine, DIMR_TIME_CONDITION_LOG_SNR, "vpsde_cosine.t", "vpsde_cosine.log_snr", 2e-3 },
  };

  for (guint c = 0; c < G_N_ELEMENTS (cases); c++)
    {
      gsize n;
      g_autofree double *t = reference_dup_f64 (cases[c].file, cases[c].t, &n);
      g_autofree double *expected = reference_dup_f64 (cases[c].file, cases[c].log_snr, NULL);

      for (gsize i = 0; i < n; i++)
        {
          double told = dimr_schedule_condition (cases[c].schedule, cases[c].condition, t[i]);

          g_assert_cmpfloat (fabs (told - expected[i]), <=, cases[c].tolerance);
        }
    }
  g_assert_cmpfloat_with_epsilon (dimr_schedule_condition (cosine, DIMR_TIME_CONDITION_LOG_SNR, 1), log (1e-12), 1e-12);
  g_assert_cmpfloat_with_epsilon (dimr_schedule_condition (linear, DIMR_TIME_CONDITION_LOG_SNR, 1e-9), log (1e6), 1e-12);
}

/* --- guidance ------------------------------------------------------------------------- */

/* DDPM's thousand betas in equal steps, and the numbers that U-ViT and DiT are told. */
static void
test_ddpm_schedule_and_other_times (void)
{
  g_autoptr (DimrSchedule) schedule = dimr_schedule_new_ddpm (0.0001, 0.02, 1000);
  double product = 1;

  for (guint i = 0; i < 1000; i++)
    {
      const double t = (i + 1) / 1000.;

      product *= 1 - (0.0001 + (0.02 - 0.0001) * i / 999);
      g_assert_cmpfloat_with_epsilon (dimr_schedule_alpha (schedule, t), sqrt (product), 1e-12);
      g_assert_cmpfloat_with_epsilon (dimr_schedule_inverse_lambda (schedule, dimr_schedule_lambda (schedule, t)), t, 1e-9);
      g_assert_cmpfloat_with_epsilon (dimr_schedule_condition (schedule, DIMR_TIME_CONDITION_INDEX, t), i, 1e-9);
      g_assert_cmpfloat_with_epsilon (dimr_schedule_condition (schedule, DIMR_TIME_CONDITION_TIMESTEP, t), i + 1, 1e-9);
      g_assert_cmpfloat_with_epsilon (dimr_schedule_condition (schedule, DIMR_TIME_CONDITION_TIMESTEP_999, t), .999 * (i + 1), 1e-9);
    }
}

static void
test_cosine_guidance_equals_the_tables (void)
{
  g_autoptr (Reference) tables = reference_open ("E_sampler/schedule_tables.safetensors");
  gsize n;
  g_autofree double *t = reference_dup_f64 (tables, "cfg_decay.t", &n); /* 0 … 1000 */

  for (guint scale = 2; scale <= 4; scale += 2)
    for (guint power = 1; power <= 4; power *= 2)
      {
        DimrGuidance guidance = { DIMR_GUIDANCE_COSINE, scale, power };
        g_autofree char *name = g_strdup_printf ("cfg_decay.scale%u.0_pow%u.0", scale, power);
        g_autofree double *expected = reference_dup_f64 (tables, name, NULL);

        for (gsize i = 0; i < n; i++)
          g_assert_cmpfloat (fabs (dimr_guidance_at (&guidance, t[i] / 1000) - expected[i]), <=, 2e-6);
      }
}

static void
test_guidance_of_one_is_off (void)
{
  DimrGuidance off = { DIMR_GUIDANCE_CONSTANT, 1, 0 }, released = { DIMR_GUIDANCE_CONSTANT, 1.4, 0 };
  DimrGuidance cosine = { DIMR_GUIDANCE_COSINE, 3, 2 }, cosine_off = { DIMR_GUIDANCE_COSINE, 1, 2 };

  g_assert_false (dimr_guidance_is_on (&off));
  g_assert_false (dimr_guidance_is_on (&cosine_off));
  g_assert_true (dimr_guidance_is_on (&released));
  g_assert_true (dimr_guidance_is_on (&cosine));
  g_assert_cmpfloat (dimr_guidance_at (&released, 0.3), ==, 1.4);
  g_assert_cmpfloat (dimr_guidance_at (&cosine, 1), ==, 1);
  g_assert_cmpfloat_with_epsilon (dimr_guidance_at (&cosine, 0), 3, 1e-12);
  g_assert_cmpfloat (dimr_guidance_at (&cosine, 1 + 1e-12), ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/diffusion/schedule/equals-the-tables", test_schedules_equal_the_tables);
  g_test_add_func ("/diffusion/schedule/knots-are-stable-diffusion-s", test_knots_are_stable_diffusion_s);
  g_test_add_func ("/diffusion/schedule/inverse-undoes-lambda", test_inverse_undoes_lambda);
  g_test_add_func ("/diffusion/schedule/network-is-told-the-trained-time", test_network_is_told_the_trained_time);
  g_test_add_func ("/diffusion/schedule/ddpm-and-the-times-of-others", test_ddpm_schedule_and_other_times);
  g_test_add_func ("/diffusion/guidance/cosine-equals-the-tables", test_cosine_guidance_equals_the_tables);
  g_test_add_func ("/diffusion/guidance/of-one-is-off", test_guidance_of_one_is_off);
  return g_test_run ();
}
