/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diffusion/dimr-sampler-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <math.h>
#include <string.h>

#define MAX_STEPS 1000
/* The walk ends here: at t = 0 itself lambda is infinite. */
#define T_END 1e-3

static const struct
{
  const char *name;
  const char *label;
  DimrSamplerPlan plan;
} kinds[DIMR_N_SAMPLERS] = {
  [DIMR_SAMPLER_DPM_SOLVER_FAST] = { "dpm-solver-fast", "DPM-Solver fast", dimr_dpm_solver_fast_plan },
  [DIMR_SAMPLER_DPM_SOLVER_2M] = { "dpm-solver-2m", "DPM-Solver++ 2M", dimr_dpm_solver_2m_plan },
  [DIMR_SAMPLER_DPM_SOLVER_3M] = { "dpm-solver-3m", "DPM-Solver++ 3M", dimr_dpm_solver_3m_plan },
  [DIMR_SAMPLER_DDPM] = { "ddpm", "DDPM", dimr_ddpm_plan },
  [DIMR_SAMPLER_DDIM] = { "ddim", "DDIM", dimr_ddim_plan },
};

/* The walk is in double; the floats beside it are rounded copies for the outside and never read back. */
struct _DimrSampler
{
  guint n_steps, step, n_updates;
  gboolean clip;
  DimrSamplerStep steps[MAX_STEPS];
  gsize n;

  double *x;                        /* [n] the start of the current interval */
  double *point;                    /* [n] where the network is evaluated next */
  double *x0[DIMR_SAMPLER_HISTORY]; /* [n] predictions, the newest first */
  float *x_f32, *point_f32, *x0_f32;
};

const char *
dimr_sampler_kind_to_string (DimrSamplerKind kind)
{
  g_return_val_if_fail (kind < DIMR_N_SAMPLERS, NULL);
  return kinds[kind].name;
}

gboolean
dimr_sampler_kind_from_string (const char      *string,
                               DimrSamplerKind *kind)
{
  g_return_val_if_fail (string != NULL, FALSE);

  for (guint i = 0; i < DIMR_N_SAMPLERS; i++)
    if (strcmp (string, kinds[i].name) == 0)
      {
        *kind = i;
        return TRUE;
      }
  return FALSE;
}

const char *
dimr_sampler_kind_get_label (DimrSamplerKind kind)
{
  g_return_val_if_fail (kind < DIMR_N_SAMPLERS, NULL);
  return kinds[kind].label;
}

gboolean
dimr_sampler_kind_draws_noise (DimrSamplerKind           kind,
                               const DimrSamplerOptions *options)
{
  return kind == DIMR_SAMPLER_DDPM || (kind == DIMR_SAMPLER_DDIM && options != NULL && options->eta > 0);
}

gboolean
dimr_sampler_kind_has_options (DimrSamplerKind kind)
{
  return kind == DIMR_SAMPLER_DDPM || kind == DIMR_SAMPLER_DDIM;
}

void
dimr_sampler_step_set_time (DimrSamplerStep    *step,
                            const DimrSchedule *schedule,
                            double              t)
{
  step->t = t;
  step->alpha = dimr_schedule_alpha (schedule, t);
  step->sigma = dimr_schedule_sigma (schedule, t);
}

/* times [n_steps + 1]; both ends are exact whatever the grid. */
static void
fill_times (DimrTimeGrid        grid,
            const DimrSchedule *schedule,
            guint               n_steps,
            double             *times)
{
  double t_start = dimr_schedule_get_t_start (schedule);
  double lambda_start = dimr_schedule_lambda (schedule, t_start);
  double lambda_end = dimr_schedule_lambda (schedule, T_END);

  for (guint i = 1; i < n_steps; i++)
    {
      double part = (double) i / n_steps;

      if (grid == DIMR_TIME_GRID_LOG_SNR)
        times[i] = dimr_schedule_inverse_lambda (schedule, lambda_start + part * (lambda_end - lambda_start));
      else
        times[i] = t_start + part * (T_END - t_start);
    }
  times[0] = t_start;
  times[n_steps] = T_END;
}

static gboolean
check_request (DimrSamplerKind            kind,
               DimrTimeGrid               grid,
               const DimrSamplerOptions  *options,
               guint                      n_steps,
               GError                   **error)
{
  if (n_steps < 1 || n_steps > MAX_STEPS)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("A sampler takes 1 to %d steps, not %u"), MAX_STEPS, n_steps);
      return FALSE;
    }
  if (kind >= DIMR_N_SAMPLERS || grid > DIMR_TIME_GRID_LOG_SNR)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("There is no sampler of number %u with time grid %u"), (guint) kind, (guint) grid);
      return FALSE;
    }
  if (!(options->eta >= 0 && options->eta <= 1))
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST, _("DDIM's eta is from 0 to 1, not %g"), options->eta);
      return FALSE;
    }
  return TRUE;
}

/* @steps: [MAX_STEPS] zeros */
static gboolean
plan (DimrSamplerKind            kind,
      DimrTimeGrid               grid,
      const DimrSamplerOptions  *options,
      const DimrSchedule        *schedule,
      guint                      n_steps,
      DimrSamplerStep           *steps,
      GError                   **error)
{
  static const DimrSamplerOptions none = { 0 };
  double times[MAX_STEPS + 1];

  if (options == NULL)
    options = &none;
  if (!check_request (kind, grid, options, n_steps, error))
    return FALSE;
  fill_times (grid, schedule, n_steps, times);
  kinds[kind].plan (schedule, times, options, n_steps, steps);
  return TRUE;
}

gboolean
dimr_sampler_plan (DimrSamplerKind            kind,
                   DimrTimeGrid               grid,
                   const DimrSamplerOptions  *options,
                   const DimrSchedule        *schedule,
                   guint                      n_steps,
                   double                    *times,
                   DimrWalkRow               *rows,
                   GError                   **error)
{
  g_autofree DimrSamplerStep *steps = g_new0 (DimrSamplerStep, MAX_STEPS);

  g_return_val_if_fail (schedule != NULL && times != NULL && rows != NULL, FALSE);

  if (!plan (kind, grid, options, schedule, n_steps, steps, error))
    return FALSE;
  for (guint i = 0; i < n_steps; i++)
    {
      times[i] = steps[i].t;
      rows[i] = (DimrWalkRow){ .alpha = steps[i].alpha, .sigma = steps[i].sigma, .start = steps[i].start,
                               .guidance = 1, .outer = steps[i].outer };
      memcpy (rows[i].x0, steps[i].x0, sizeof rows[i].x0);
    }
  return TRUE;
}

static gboolean
allocate (DimrSampler  *self,
          GError      **error)
{
  gboolean ok;

  self->x = g_try_new (double, self->n);
  self->point = g_try_new (double, self->n);
  self->x_f32 = g_try_new (float, self->n);
  self->point_f32 = g_try_new (float, self->n);
  self->x0_f32 = g_try_new (float, self->n);
  ok = self->x && self->point && self->x_f32 && self->point_f32 && self->x0_f32;
  for (guint k = 0; k < DIMR_SAMPLER_HISTORY; k++)
    {
      /* A row may give a prediction that is not there yet the weight 0: it must be finite. */
      self->x0[k] = g_try_new0 (double, self->n);
      ok = ok && self->x0[k] != NULL;
    }
  if (!ok)
    dimr_error_set (error, DIMR_ERROR_MEMORY,
                    _("Not enough memory to sample %zu values: ask for fewer pictures at a time"),
                    self->n);
  return ok;
}

DimrSampler *
dimr_sampler_new (DimrSamplerKind            kind,
                  DimrTimeGrid               grid,
                  const DimrSamplerOptions  *options,
                  DimrSchedule              *schedule,
                  guint                      n_steps,
                  const float               *x_start,
                  gsize                      n,
                  GError                   **error)
{
  g_autoptr (DimrSampler) self = NULL;

  g_return_val_if_fail (schedule != NULL, NULL);
  g_return_val_if_fail (x_start != NULL, NULL);

  self = g_new0 (DimrSampler, 1);
  if (!plan (kind, grid, options, schedule, n_steps, self->steps, error))
    return NULL;
  if (n == 0)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_REQUEST,
                           _("A sampler needs at least one value to start from"));
      return NULL;
    }
  self->n_steps = n_steps;
  self->n = n;
  self->clip = options != NULL && options->clip && dimr_sampler_kind_has_options (kind);
  if (!allocate (self, error))
    return NULL;

  for (gsize i = 0; i < n; i++)
    self->x[i] = self->point[i] = x_start[i];
  memcpy (self->x_f32, x_start, n * sizeof *x_start);
  memcpy (self->point_f32, x_start, n * sizeof *x_start);
  return g_steal_pointer (&self);
}

void
dimr_sampler_free (DimrSampler *self)
{
  g_return_if_fail (self != NULL);

  g_free (self->x);
  g_free (self->point);
  for (guint k = 0; k < DIMR_SAMPLER_HISTORY; k++)
    g_free (self->x0[k]);
  g_free (self->x_f32);
  g_free (self->point_f32);
  g_free (self->x0_f32);
  g_free (self);
}

gboolean
dimr_sampler_next (DimrSampler  *self,
                   const float **x,
                   double       *t)
{
  g_return_val_if_fail (self != NULL, FALSE);

  if (self->step == self->n_steps)
    return FALSE;
  if (x != NULL)
    *x = self->point_f32;
  if (t != NULL)
    *t = self->steps[self->step].t;
  return TRUE;
}

/* The oldest prediction's buffer becomes the newest's. */
static double *
turn_history (DimrSampler *self)
{
  double *newest = self->x0[DIMR_SAMPLER_HISTORY - 1];

  memmove (&self->x0[1], &self->x0[0], (DIMR_SAMPLER_HISTORY - 1) * sizeof self->x0[0]);
  self->x0[0] = newest;
  return newest;
}

/* What a step adds to value @i of its result. */
static double
draw (const DimrSamplerStep *step,
      const float           *variance,
      const float           *noise,
      gsize                  i)
{
  double part;

  if (variance == NULL)
    return step->noise * noise[i];
  part = (variance[i] + 1.) / 2;
  return exp ((part * step->log_variance[1] + (1 - part) * step->log_variance[0]) / 2) * noise[i];
}

/* x0[0] holds eps and becomes the prediction; then the next point. */
static void
advance (DimrSampler *self,
         const float *variance,
         const float *noise)
{
  const DimrSamplerStep *step = &self->steps[self->step];
  double *x0 = self->x0[0];

  for (gsize i = 0; i < self->n; i++)
    {
      x0[i] = (self->point[i] - step->sigma * x0[i]) / step->alpha;
      if (self->clip)
        x0[i] = CLAMP (x0[i], -1, 1);
      self->x0_f32[i] = (float) x0[i];
      self->point[i] = step->start * self->x[i] + step->x0[0] * x0[i] + step->x0[1] * self->x0[1][i] +
                       step->x0[2] * self->x0[2][i];
      if (step->noise > 0)
        self->point[i] += draw (step, variance, noise, i);
      self->point_f32[i] = (float) self->point[i];
    }
  if (step->outer)
    {
      memcpy (self->x, self->point, self->n * sizeof *self->x);
      memcpy (self->x_f32, self->point_f32, self->n * sizeof *self->x_f32);
      self->n_updates++;
    }
  self->step++;
}

gboolean
dimr_sampler_wants_noise (DimrSampler *self)
{
  g_return_val_if_fail (self != NULL, FALSE);
  return self->step < self->n_steps && self->steps[self->step].noise > 0;
}

void
dimr_sampler_feed_noise (DimrSampler *self,
                         const float *eps,
                         const float *variance,
                         const float *noise)
{
  double *newest;

  g_return_if_fail (self != NULL && eps != NULL);
  g_return_if_fail (self->step < self->n_steps);
  g_return_if_fail (noise != NULL || !dimr_sampler_wants_noise (self));

  newest = turn_history (self);
  for (gsize i = 0; i < self->n; i++)
    newest[i] = eps[i];
  advance (self, variance, noise);
}

void
dimr_sampler_feed (DimrSampler *self,
                   const float *eps)
{
  dimr_sampler_feed_noise (self, eps, NULL, NULL);
}

void
dimr_sampler_feed_f64 (DimrSampler  *self,
                       const double *eps)
{
  g_return_if_fail (self != NULL && eps != NULL);
  g_return_if_fail (self->step < self->n_steps);
  g_return_if_fail (!dimr_sampler_wants_noise (self));

  memcpy (turn_history (self), eps, self->n * sizeof *eps);
  advance (self, NULL, NULL);
}

const double *
dimr_sampler_peek_point_f64 (DimrSampler *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->point;
}

const float *
dimr_sampler_peek_x (DimrSampler *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->x_f32;
}

const float *
dimr_sampler_peek_x0 (DimrSampler *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->step > 0 ? self->x0_f32 : NULL;
}

guint
dimr_sampler_get_step (DimrSampler *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->step;
}

guint
dimr_sampler_get_n_steps (DimrSampler *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->n_steps;
}

guint
dimr_sampler_get_n_updates (DimrSampler *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->n_updates;
}
