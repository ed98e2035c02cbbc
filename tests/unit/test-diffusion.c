/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/base/dimr-rng.h"
#include "core/diffusion/dimr-sampler-private.h"
#include "reference.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

static double
max_error_f32 (const float  *a,
               const double *b,
               gsize         n)
{
  g_autofree double *wide = g_new (double, n);

  for (gsize i = 0; i < n; i++)
    wide[i] = a[i];
  return reference_error (wide, b, n);
}

static DimrSchedule *
stable_diffusion (void)
{
  return dimr_schedule_new_discrete (0.00085, 0.012, 1000);
}

/* A noise prediction without a network, as the reference walks used it. */
static double
toy_eps (double x,
         double t)
{
  return tanh (0.7 * x + t) - 0.2 * x;
}

static const struct
{
  const char *prefix;
  DimrSamplerKind kind;
  DimrTimeGrid grid;
  guint n_steps;
} toy_walks[] = {
  { "fast3", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 3 },
  { "fast4", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 4 },
  { "fast5", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 5 },
  { "fast6", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 6 },
  { "fast7", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 7 },
  { "fast8", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 8 },
  { "fast10", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 10 },
  { "fast20", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 20 },
  { "fast50", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 50 },
  { "fast250", DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, 250 },
  { "ms2M_5", DIMR_SAMPLER_DPM_SOLVER_2M, DIMR_TIME_GRID_UNIFORM, 5 },
  { "ms2M_10", DIMR_SAMPLER_DPM_SOLVER_2M, DIMR_TIME_GRID_UNIFORM, 10 },
  { "ms2M_20", DIMR_SAMPLER_DPM_SOLVER_2M, DIMR_TIME_GRID_UNIFORM, 20 },
  { "ms2M_logSNR_5", DIMR_SAMPLER_DPM_SOLVER_2M, DIMR_TIME_GRID_LOG_SNR, 5 },
  { "ms2M_logSNR_10", DIMR_SAMPLER_DPM_SOLVER_2M, DIMR_TIME_GRID_LOG_SNR, 10 },
  { "ms2M_logSNR_20", DIMR_SAMPLER_DPM_SOLVER_2M, DIMR_TIME_GRID_LOG_SNR, 20 },
  { "ms3M_5", DIMR_SAMPLER_DPM_SOLVER_3M, DIMR_TIME_GRID_UNIFORM, 5 },
  { "ms3M_10", DIMR_SAMPLER_DPM_SOLVER_3M, DIMR_TIME_GRID_UNIFORM, 10 },
  { "ms3M_20", DIMR_SAMPLER_DPM_SOLVER_3M, DIMR_TIME_GRID_UNIFORM, 20 },
};

#define TOY_N (2 * 4 * 4 * 4)

/* Walks one toy solver to the end and compares times, every x after an update, and the end. In
 * double the walk must equal the double reference; through the float interface, what remains is
 * the rounding of x and eps, enlarged at t = 1 by sigma/alpha = 15. */
static void
check_toy_walk (Reference *toy,
                guint      w,
                gboolean   in_double)
{
  g_autofree char *final_name = g_strdup_printf ("%s.x_final_f64", toy_walks[w].prefix);
  g_autofree char *xs_name = g_strdup_printf ("%s.xs", toy_walks[w].prefix);
  g_autofree char *t_name = g_strdup_printf ("%s.t_call", toy_walks[w].prefix);
  gsize n_xs, n_t;
  g_autofree double *final = reference_dup_f64 (toy, final_name, NULL);
  g_autofree double *xs = reference_dup_f64 (toy, xs_name, &n_xs);
  g_autofree double *t_call = reference_dup_f64 (toy, t_name, &n_t);
  g_autofree float *start = dimr_tensor_dup_f32 (reference_peek (toy, "x_init"));
  g_autoptr (DimrSchedule) schedule = stable_diffusion ();
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrSampler) sampler = dimr_sampler_new (toy_walks[w].kind, toy_walks[w].grid, NULL, schedule,
                                                      toy_walks[w].n_steps, start, TOY_N, &error);
  const float *x;
  double t, t_error = 0, xs_error = 0, end_error;
  guint n_calls = 0;

  g_assert_no_error (error);
  g_assert_cmpuint (n_t, ==, toy_walks[w].n_steps);
  while (dimr_sampler_next (sampler, &x, &t))
    {
      const double *point = dimr_sampler_peek_point_f64 (sampler);
      guint n_updates = dimr_sampler_get_n_updates (sampler);
      double eps[TOY_N];
      float eps_f32[TOY_N];

      g_assert_cmpuint (n_calls, <, n_t);
      t_error = MAX (t_error, fabs (t - t_call[n_calls]));
      n_calls++;
      for (guint i = 0; i < TOY_N; i++)
        {
          eps[i] = toy_eps (in_double ? point[i] : x[i], t);
          eps_f32[i] = (float) eps[i];
        }
      if (in_double)
        dimr_sampler_feed_f64 (sampler, eps);
      else
        dimr_sampler_feed (sampler, eps_f32);
      if (dimr_sampler_get_n_updates (sampler) > n_updates)
        {
          g_assert_cmpuint (n_updates, <, n_xs / TOY_N);
          xs_error = MAX (xs_error, max_error_f32 (dimr_sampler_peek_x (sampler), xs + n_updates * TOY_N, TOY_N));
        }
    }
  end_error = in_double ? reference_error (dimr_sampler_peek_point_f64 (sampler), final, TOY_N)
                        : max_error_f32 (dimr_sampler_peek_x (sampler), final, TOY_N);

  g_test_message ("%s in %s: end %.2g, every x %.2g, times %.2g", toy_walks[w].prefix,
                  in_double ? "double" : "float", end_error, xs_error, t_error);
  g_assert_cmpuint (n_calls, ==, n_t);
  g_assert_cmpuint (dimr_sampler_get_n_updates (sampler), ==, n_xs / TOY_N);
  g_assert_cmpfloat (t_error, <=, toy_walks[w].grid == DIMR_TIME_GRID_LOG_SNR ? 2e-6 : 1e-6);
  g_assert_cmpfloat (xs_error, <=, 5e-4);
  g_assert_cmpfloat (end_error, <=, in_double ? 1e-11 : 1e-5);
}

static void
test_walks_in_double_equal_the_reference (void)
{
  g_autoptr (Reference) toy = reference_open ("E_sampler/toy_solver.safetensors");

  for (guint w = 0; w < G_N_ELEMENTS (toy_walks); w++)
    check_toy_walk (toy, w, TRUE);
}

static void
test_walks_in_float_equal_the_reference (void)
{
  g_autoptr (Reference) toy = reference_open ("E_sampler/toy_solver.safetensors");

  for (guint w = 0; w < G_N_ELEMENTS (toy_walks); w++)
    check_toy_walk (toy, w, FALSE);
}

/* An update of order k takes k evaluations: counts them for every number of steps in the list. */
static void
test_orders_of_fast_equal_the_list (void)
{
  g_autofree char *path = reference_path ("E_sampler/fast_orders.json");
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (DimrSchedule) schedule = stable_diffusion ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GList) names = NULL;
  JsonObject *list;
  const float zero = 0;

  g_assert_nonnull (path);
  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  list = json_node_get_object (json_parser_get_root (parser));
  names = json_object_get_members (list);
  g_assert_cmpuint (g_list_length (names), >, 10);
  for (GList *l = names; l != NULL; l = l->next)
    {
      JsonArray *orders = json_object_get_array_member (list, l->data);
      guint n_steps = (guint) g_ascii_strtoull (l->data, NULL, 10), since = 0;
      g_autoptr (DimrSampler) sampler = dimr_sampler_new (DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, NULL,
                                                          schedule, n_steps, &zero, 1, NULL);

      while (dimr_sampler_next (sampler, NULL, NULL))
        {
          guint n_updates = dimr_sampler_get_n_updates (sampler);

          dimr_sampler_feed (sampler, &zero);
          since++;
          if (dimr_sampler_get_n_updates (sampler) > n_updates)
            {
              g_assert_cmpint (since, ==, json_array_get_int_element (orders, n_updates));
              since = 0;
            }
        }
      g_assert_cmpuint (dimr_sampler_get_n_updates (sampler), ==, json_array_get_length (orders));
    }
}

/* Fed with what the authors' network answered, the sampler asks what their sampler asked. */
static void
test_points_asked_are_the_released_sampler_s (void)
{
  g_autoptr (Reference) walk = reference_open ("E_sampler/A_none_10.safetensors");
  g_autofree float *start = dimr_tensor_dup_f32 (reference_peek (walk, "x_init"));
  g_autofree float *answers = dimr_tensor_dup_f32 (reference_peek (walk, "model_out"));
  g_autofree double *asked = reference_dup_f64 (walk, "model_in", NULL);
  g_autofree double *t_call = reference_dup_f64 (walk, "t_call", NULL);
  g_autofree double *xs = reference_dup_f64 (walk, "xs", NULL);
  g_autofree double *final = reference_dup_f64 (walk, "x_final", NULL);
  gsize n = dimr_tensor_get_n_elements (reference_peek (walk, "x_init"));
  g_autoptr (DimrSchedule) schedule = stable_diffusion ();
  g_autoptr (DimrSampler) sampler = dimr_sampler_new (DIMR_SAMPLER_DPM_SOLVER_FAST, DIMR_TIME_GRID_UNIFORM, NULL,
                                                      schedule, 10, start, n, NULL);
  static const guint updates_after[10] = { 0, 0, 1, 1, 1, 2, 2, 2, 3, 4 };
  const float *x;
  double t;

  for (guint i = 0; dimr_sampler_next (sampler, &x, &t); i++)
    {
      guint n_updates;

      g_assert_cmpfloat (fabs (t - t_call[i]), <=, 1e-6);
      g_assert_cmpfloat (max_error_f32 (x, asked + i * n, n), <=, 2e-4);
      dimr_sampler_feed (sampler, answers + i * n);
      n_updates = dimr_sampler_get_n_updates (sampler);
      g_assert_cmpuint (n_updates, ==, updates_after[i]);
      if (n_updates > 0)
        g_assert_cmpfloat (max_error_f32 (dimr_sampler_peek_x (sampler), xs + (n_updates - 1) * n, n), <=, 2e-4);
    }
  g_assert_cmpfloat (max_error_f32 (dimr_sampler_peek_x (sampler), final, n), <=, 2e-4);
}

/* Feeds @eps [n ≤ 8], with noise that depends on the step where some is wanted. */
static void
feed_any (DimrSampler *sampler,
          const float *eps)
{
  float noise[8];

  dimr_rng_normal (5, 0, DIMR_STREAM_STEP_NOISE, (guint16) dimr_sampler_get_step (sampler), noise, 8);
  dimr_sampler_feed_noise (sampler, eps, NULL, dimr_sampler_wants_noise (sampler) ? noise : NULL);
}

/* Walks with or without looking in between; returns the end (transfer full). */
static float *
walk_toy (DimrSamplerKind kind,
          guint           n_steps,
          gboolean        look)
{
  g_autoptr (DimrSchedule) schedule = stable_diffusion ();
  float start[8] = { -2, -1, -0.5f, 0, 0.25f, 0.5f, 1, 2 }, eps[8];
  g_autoptr (DimrSampler) sampler = dimr_sampler_new (kind, DIMR_TIME_GRID_UNIFORM, NULL, schedule, n_steps, start, 8, NULL);
  const float *x;
  double t;

  memset (start, 0, sizeof start); /* the sampler has its own copy */
  g_assert_cmpuint (dimr_sampler_get_n_steps (sampler), ==, n_steps);
  for (guint step = 0; dimr_sampler_next (sampler, &x, &t); step++)
    {
      g_assert_cmpuint (dimr_sampler_get_step (sampler), ==, step);
      for (guint i = 0; i < 8; i++)
        eps[i] = (float) toy_eps (x[i], t);
      if (look)
        {
          const float *again;
          double t_again;

          g_assert_true (dimr_sampler_next (sampler, &again, &t_again));
          g_assert_true (dimr_sampler_next (sampler, NULL, NULL));
          g_assert_true (again == x && t_again == t);
          g_assert_nonnull (dimr_sampler_peek_x (sampler));
          g_assert_true ((dimr_sampler_peek_x0 (sampler) != NULL) == (step > 0));
        }
      feed_any (sampler, eps);
    }
  g_assert_cmpuint (dimr_sampler_get_step (sampler), ==, n_steps);
  g_assert_false (dimr_sampler_next (sampler, &x, &t));
  return g_memdup2 (dimr_sampler_peek_x (sampler), 8 * sizeof (float));
}

static void
test_looking_changes_nothing (void)
{
  for (DimrSamplerKind kind = 0; kind < DIMR_N_SAMPLERS; kind++)
    {
      g_autofree float *a = walk_toy (kind, 11, FALSE), *b = walk_toy (kind, 11, TRUE);

      g_assert_cmpmem (a, 8 * sizeof *a, b, 8 * sizeof *b);
    }
}

static void
test_x0_is_the_clean_picture_predicted (void)
{
  for (DimrSamplerKind kind = 0; kind < DIMR_N_SAMPLERS; kind++)
    {
      g_autoptr (DimrSchedule) schedule = stable_diffusion ();
      const float start[3] = { 0.5f, -1, 2 };
      g_autoptr (DimrSampler) sampler = dimr_sampler_new (kind, DIMR_TIME_GRID_UNIFORM, NULL, schedule, 6, start, 3, NULL);
      const float *x;
      double t;

      g_assert_null (dimr_sampler_peek_x0 (sampler));
      while (dimr_sampler_next (sampler, &x, &t))
        {
          float eps[3];
          double expected[3];

          for (guint i = 0; i < 3; i++)
            {
              eps[i] = (float) toy_eps (x[i], t);
              expected[i] = (x[i] - dimr_schedule_sigma (schedule, t) * eps[i]) / dimr_schedule_alpha (schedule, t);
            }
          feed_any (sampler, eps);
          g_assert_cmpfloat (max_error_f32 (dimr_sampler_peek_x0 (sampler), expected, 3), <=, 1e-5);
        }
    }
}

/* With the true noise, x0 is the same at every t, and then every order of every solver is exact; the
 * last step of DDPM and DDIM is x0 itself, whatever noise was drawn before. */
static void
test_true_noise_leads_to_the_true_picture (void)
{
  static const guint step_counts[] = { 1, 2, 3, 4, 5, 9, 1000 };
  g_autoptr (DimrSchedule) discrete = stable_diffusion ();
  g_autoptr (DimrSchedule) linear = dimr_schedule_new_linear (0.1, 20);
  g_autoptr (DimrSchedule) cosine = dimr_schedule_new_cosine ();
  DimrSchedule *schedules[] = { discrete, linear, cosine };
  const double clean = 0.7, noise = -1.3;

  for (guint s = 0; s < G_N_ELEMENTS (schedules); s++)
    for (DimrSamplerKind kind = 0; kind < DIMR_N_SAMPLERS; kind++)
      for (DimrTimeGrid grid = 0; grid <= DIMR_TIME_GRID_LOG_SNR; grid++)
        for (guint c = 0; c < G_N_ELEMENTS (step_counts); c++)
          {
            double first = dimr_schedule_get_t_start (schedules[s]), last = INFINITY, t;
            const float start = (float) (dimr_schedule_alpha (schedules[s], first) * clean +
                                         dimr_schedule_sigma (schedules[s], first) * noise);
            g_autoptr (DimrSampler) sampler = dimr_sampler_new (kind, grid, NULL, schedules[s], step_counts[c], &start, 1, NULL);
            double expected = dimr_sampler_kind_has_options (kind) ? clean
                              : dimr_schedule_alpha (schedules[s], 1e-3) * clean + dimr_schedule_sigma (schedules[s], 1e-3) * noise;

            while (dimr_sampler_next (sampler, NULL, &t))
              {
                double x = *dimr_sampler_peek_point_f64 (sampler);
                double eps = (x - dimr_schedule_alpha (schedules[s], t) * clean) / dimr_schedule_sigma (schedules[s], t);

                g_assert_cmpfloat (t, <, last);
                last = t;
                if (dimr_sampler_wants_noise (sampler))
                  feed_any (sampler, (const float[]){ (float) eps });
                else
                  dimr_sampler_feed_f64 (sampler, &eps);
              }
            g_assert_cmpuint (dimr_sampler_get_step (sampler), ==, step_counts[c]);
            g_assert_cmpfloat_with_epsilon (*dimr_sampler_peek_x (sampler), expected, 1e-6);
          }
}

/* Plans @n steps of @kind (caller's). */
static void
plan_rows (DimrSamplerKind           kind,
           const DimrSamplerOptions *options,
           guint                     n,
           DimrSamplerStep          *steps)
{
  g_autoptr (DimrSchedule) schedule = dimr_schedule_new_ddpm (0.0001, 0.02, 1000);
  const double times[2] = { 1, 0 }; /* not looked at */

  memset (steps, 0, n * sizeof *steps);
  (kind == DIMR_SAMPLER_DDPM ? dimr_ddpm_plan : dimr_ddim_plan) (schedule, times, options, n, steps);
}

/* Song et al.: with eta = 1 and every step taken, DDIM is DDPM with the posterior's variance. */
static void
test_ddim_of_eta_1_is_ddpm (void)
{
  const DimrSamplerOptions none = { 0, FALSE }, one = { 1, FALSE };
  g_autofree DimrSamplerStep *ddpm = g_new (DimrSamplerStep, 1000), *ddim = g_new (DimrSamplerStep, 1000);

  plan_rows (DIMR_SAMPLER_DDPM, &none, 1000, ddpm);
  plan_rows (DIMR_SAMPLER_DDIM, &one, 1000, ddim);
  for (guint i = 0; i < 1000; i++)
    {
      g_assert_cmpfloat (ddpm[i].t, ==, ddim[i].t);
      g_assert_cmpfloat_with_epsilon (ddpm[i].start, ddim[i].start, 1e-9);
      g_assert_cmpfloat_with_epsilon (ddpm[i].x0[0], ddim[i].x0[0], 1e-9);
      g_assert_cmpfloat_with_epsilon (ddpm[i].noise, ddim[i].noise, 1e-12);
      g_assert_true ((ddpm[i].noise > 0) == (i < 999));
      g_assert_true (i == 999 || ddpm[i].log_variance[0] < ddpm[i].log_variance[1]);
    }
}

/* One step from x = 0 and eps = 0: what remains is noise, between the two bounds of its variance. */
static void
test_a_learned_variance_lies_between_its_bounds (void)
{
  const float zero[3] = { 0, 0, 0 }, ones[3] = { 1, 1, 1 }, variance[3] = { -1, 0, 1 };
  g_autoptr (DimrSchedule) schedule = dimr_schedule_new_ddpm (0.0001, 0.02, 1000);
  g_autoptr (DimrSampler) sampler = dimr_sampler_new (DIMR_SAMPLER_DDPM, DIMR_TIME_GRID_UNIFORM, NULL, schedule, 10, zero, 3, NULL);
  const DimrSamplerOptions none = { 0, FALSE };
  DimrSamplerStep steps[10];
  const float *x;

  plan_rows (DIMR_SAMPLER_DDPM, &none, 10, steps);
  g_assert_true (dimr_sampler_next (sampler, &x, NULL));
  dimr_sampler_feed_noise (sampler, zero, variance, ones);
  x = dimr_sampler_peek_x (sampler);
  g_assert_cmpfloat_with_epsilon (x[0], steps[0].noise, 1e-6);
  g_assert_cmpfloat_with_epsilon (x[2], exp (steps[0].log_variance[1] / 2), 1e-6);
  g_assert_cmpfloat_with_epsilon (x[1], sqrt (x[0] * x[2]), 1e-6);
}

static void
test_clipping_bounds_the_picture (void)
{
  const float start[2] = { 3, -0.2f }, eps[2] = { -5, 0 };
  const DimrSamplerOptions clip = { 0, TRUE };
  g_autoptr (DimrSchedule) schedule = dimr_schedule_new_ddpm (0.0001, 0.02, 1000);
  g_autoptr (DimrSampler) sampler = dimr_sampler_new (DIMR_SAMPLER_DDIM, DIMR_TIME_GRID_UNIFORM, &clip, schedule, 50, start, 2, NULL);

  while (dimr_sampler_next (sampler, NULL, NULL))
    {
      dimr_sampler_feed (sampler, eps);
      for (guint i = 0; i < 2; i++)
        g_assert_cmpfloat (fabsf (dimr_sampler_peek_x0 (sampler)[i]), <=, 1);
    }
  g_assert_cmpfloat (dimr_sampler_peek_x (sampler)[0], ==, 1);
}

static void
test_requests_out_of_range_are_refused (void)
{
  g_autoptr (DimrSchedule) schedule = stable_diffusion ();
  const struct { guint kind, grid, n_steps; gsize n; DimrError code; } cases[] = {
    { 0, 0, 0, 1, DIMR_ERROR_REQUEST },
    { 0, 0, 1001, 1, DIMR_ERROR_REQUEST },
    { 0, 0, G_MAXUINT, 1, DIMR_ERROR_REQUEST },
    { DIMR_N_SAMPLERS, 0, 10, 1, DIMR_ERROR_REQUEST },
    { 0, 2, 10, 1, DIMR_ERROR_REQUEST },
    { 0, 0, 10, 0, DIMR_ERROR_REQUEST },
    { 0, 0, 10, G_MAXSIZE / 4, DIMR_ERROR_MEMORY },
  };
  const float start = 0;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (dimr_sampler_new (cases[i].kind, cases[i].grid, NULL, schedule, cases[i].n_steps, &start, cases[i].n, &error));
      g_assert_error (error, DIMR_ERROR, (int) cases[i].code);
    }
  for (guint i = 0; i < 3; i++)
    {
      const DimrSamplerOptions options = { (const double[]){ -0.1, 1.1, NAN }[i], FALSE };
      g_autoptr (GError) error = NULL;

      g_assert_null (dimr_sampler_new (DIMR_SAMPLER_DDIM, 0, &options, schedule, 10, &start, 1, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
    }
}

static void
test_names_lead_back_to_samplers (void)
{
  DimrSamplerKind back;

  for (DimrSamplerKind kind = 0; kind < DIMR_N_SAMPLERS; kind++)
    {
      g_assert_true (dimr_sampler_kind_from_string (dimr_sampler_kind_to_string (kind), &back));
      g_assert_cmpint (back, ==, kind);
      g_assert_cmpint (strlen (dimr_sampler_kind_get_label (kind)), >, 0);
    }
  g_assert_true (dimr_sampler_kind_from_string ("dpm-solver-fast", &back));
  g_assert_cmpint (back, ==, DIMR_SAMPLER_DPM_SOLVER_FAST);
  g_assert_false (dimr_sampler_kind_from_string ("euler", &back));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/diffusion/sampler/walks-in-double-equal-the-reference", test_walks_in_double_equal_the_reference);
  g_test_add_func ("/diffusion/sampler/walks-in-float-equal-the-reference", test_walks_in_float_equal_the_reference);
  g_test_add_func ("/diffusion/sampler/orders-of-fast-equal-the-list", test_orders_of_fast_equal_the_list);
  g_test_add_func ("/diffusion/sampler/points-asked-are-the-released-sampler-s", test_points_asked_are_the_released_sampler_s);
  g_test_add_func ("/diffusion/sampler/looking-changes-nothing", test_looking_changes_nothing);
  g_test_add_func ("/diffusion/sampler/x0-is-the-clean-picture-predicted", test_x0_is_the_clean_picture_predicted);
  g_test_add_func ("/diffusion/sampler/true-noise-leads-to-the-true-picture", test_true_noise_leads_to_the_true_picture);
  g_test_add_func ("/diffusion/sampler/ddim-of-eta-1-is-ddpm", test_ddim_of_eta_1_is_ddpm);
  g_test_add_func ("/diffusion/sampler/a-learned-variance-lies-between-its-bounds", test_a_learned_variance_lies_between_its_bounds);
  g_test_add_func ("/diffusion/sampler/clipping-bounds-the-picture", test_clipping_bounds_the_picture);
  g_test_add_func ("/diffusion/sampler/requests-out-of-range-are-refused", test_requests_out_of_range_are_refused);
  g_test_add_func ("/diffusion/sampler/names-lead-back-to-samplers", test_names_lead_back_to_samplers);
  return g_test_run ();
}
