/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diffusion/dimr-schedule.h"

#include <math.h>

/* Offset of the cosine schedule (Nichol and Dhariwal, arXiv 2102.09672, eq. 17). */
#define COSINE_S 0.008

#define SNR_MIN 1e-12
#define SNR_MAX 1e6

struct _DimrSchedule
{
  gatomicrefcount ref_count;
  DimrScheduleKind kind;

  double beta_0, beta_1;    /* LINEAR */
  double log_alpha_0;       /* COSINE: log cos at t = 0, which makes log alpha(0) = 0 */

  guint n;                  /* DISCRETE, DDPM: log alpha at the knots t = (i + 1)/n, falling */
  double *knots;            /* [n] */
};

static DimrSchedule *
schedule_new (DimrScheduleKind kind)
{
  DimrSchedule *self = g_new0 (DimrSchedule, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->kind = kind;
  return self;
}

/* Betas in @n equal steps from @first to @last, or squares of what goes so. */
static DimrSchedule *
new_with_betas (DimrScheduleKind kind,
                double           first,
                double           last,
                gboolean         squares,
                guint            n)
{
  DimrSchedule *self = schedule_new (kind);
  double sum = 0;

  self->n = n;
  self->knots = g_new (double, n);
  for (guint i = 0; i < n; i++)
    {
      double beta = first + (last - first) * i / (n - 1);

      sum += log1p (squares ? -beta * beta : -beta);
      self->knots[i] = 0.5 * sum;
    }
  return self;
}

DimrSchedule *
dimr_schedule_new_discrete (double beta_start,
                            double beta_end,
                            guint  n)
{
  g_return_val_if_fail (beta_start > 0 && beta_start <= beta_end && beta_end < 1, NULL);
  g_return_val_if_fail (n >= 2 && n <= 1000000, NULL);
  return new_with_betas (DIMR_SCHEDULE_DISCRETE, sqrt (beta_start), sqrt (beta_end), TRUE, n);
}

DimrSchedule *
dimr_schedule_new_ddpm (double beta_start,
                        double beta_end,
                        guint  n)
{
  g_return_val_if_fail (beta_start > 0 && beta_start <= beta_end && beta_end < 1, NULL);
  g_return_val_if_fail (n >= 2 && n <= 1000000, NULL);
  return new_with_betas (DIMR_SCHEDULE_DDPM, beta_start, beta_end, FALSE, n);
}

DimrSchedule *
dimr_schedule_new_linear (double beta_0,
                          double beta_1)
{
  DimrSchedule *self;

  g_return_val_if_fail (beta_0 > 0 && beta_0 < beta_1 && isfinite (beta_1), NULL);

  self = schedule_new (DIMR_SCHEDULE_LINEAR);
  self->beta_0 = beta_0;
  self->beta_1 = beta_1;
  return self;
}

DimrSchedule *
dimr_schedule_new_cosine (void)
{
  DimrSchedule *self = schedule_new (DIMR_SCHEDULE_COSINE);

  self->log_alpha_0 = log (cos (COSINE_S / (1 + COSINE_S) * G_PI_2));
  return self;
}

DimrSchedule *
dimr_schedule_ref (DimrSchedule *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
dimr_schedule_unref (DimrSchedule *self)
{
  g_return_if_fail (self != NULL);
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_free (self->knots);
  g_free (self);
}

DimrScheduleKind
dimr_schedule_get_kind (const DimrSchedule *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->kind;
}

double
dimr_schedule_get_t_start (const DimrSchedule *self)
{
  g_return_val_if_fail (self != NULL, 1);
  return self->kind == DIMR_SCHEDULE_COSINE ? 0.9946 : 1;
}

/* The end segments go on beyond the first and the last knot. */
static double
discrete_log_alpha (const DimrSchedule *self,
                    double              t)
{
  double position = t * self->n - 1;
  guint i = (guint) CLAMP (position, 0, self->n - 2);

  return self->knots[i] + (position - i) * (self->knots[i + 1] - self->knots[i]);
}

static double
discrete_inverse (const DimrSchedule *self,
                  double              log_alpha)
{
  guint low = 0, high = self->n - 1;

  /* knots[low] >= log_alpha > knots[high], where it lies inside at all */
  while (high - low > 1)
    {
      guint middle = low + (high - low) / 2;

      if (self->knots[middle] >= log_alpha)
        low = middle;
      else
        high = middle;
    }
  return (low + 1 + (log_alpha - self->knots[low]) / (self->knots[high] - self->knots[low])) / self->n;
}

double
dimr_schedule_log_alpha (const DimrSchedule *self,
                         double              t)
{
  g_return_val_if_fail (self != NULL, 0);

  switch (self->kind)
    {
    case DIMR_SCHEDULE_DISCRETE:
    case DIMR_SCHEDULE_DDPM:
      return discrete_log_alpha (self, t);
    case DIMR_SCHEDULE_LINEAR:
      return -0.25 * t * t * (self->beta_1 - self->beta_0) - 0.5 * t * self->beta_0;
    case DIMR_SCHEDULE_COSINE:
      return log (cos ((t + COSINE_S) / (1 + COSINE_S) * G_PI_2)) - self->log_alpha_0;
    default:
      g_assert_not_reached ();
    }
}

double
dimr_schedule_alpha (const DimrSchedule *self,
                     double              t)
{
  return exp (dimr_schedule_log_alpha (self, t));
}

/* expm1 keeps the digits that 1 − alpha² loses near t = 0. */
double
dimr_schedule_sigma (const DimrSchedule *self,
                     double              t)
{
  double variance = -expm1 (2 * dimr_schedule_log_alpha (self, t));

  return sqrt (MAX (variance, 0));
}

double
dimr_schedule_lambda (const DimrSchedule *self,
                      double              t)
{
  return dimr_schedule_log_alpha (self, t) - log (dimr_schedule_sigma (self, t));
}

/* log (exp (a) + 1) without overflow */
static double
softplus (double a)
{
  return MAX (a, 0) + log1p (exp (-fabs (a)));
}

double
dimr_schedule_inverse_lambda (const DimrSchedule *self,
                              double              lambda)
{
  double log_alpha;

  g_return_val_if_fail (self != NULL, 0);

  /* alpha² = 1/(1 + exp (−2 lambda)) in every variance-preserving schedule */
  log_alpha = -0.5 * softplus (-2 * lambda);
  switch (self->kind)
    {
    case DIMR_SCHEDULE_DISCRETE:
    case DIMR_SCHEDULE_DDPM:
      return discrete_inverse (self, log_alpha);
    case DIMR_SCHEDULE_LINEAR:
      {
        /* The positive root of the quadratic, in the form that does not cancel for small t. */
        double slope = self->beta_1 - self->beta_0, c = -4 * slope * log_alpha;

        return c / (sqrt (self->beta_0 * self->beta_0 + c) + self->beta_0) / slope;
      }
    case DIMR_SCHEDULE_COSINE:
      return acos (exp (log_alpha + self->log_alpha_0)) / G_PI_2 * (1 + COSINE_S) - COSINE_S;
    default:
      g_assert_not_reached ();
    }
}

double
dimr_schedule_condition (const DimrSchedule *self,
                         DimrTimeCondition   condition,
                         double              t)
{
  g_return_val_if_fail (self != NULL, 0);

  switch (condition)
    {
    case DIMR_TIME_CONDITION_LINEAR:
      return 8 * t - 4;
    case DIMR_TIME_CONDITION_LOG_SNR:
      return CLAMP (2 * dimr_schedule_lambda (self, t), log (SNR_MIN), log (SNR_MAX));
    case DIMR_TIME_CONDITION_TIMESTEP:
      return 1000 * t;
    case DIMR_TIME_CONDITION_TIMESTEP_999:
      return 999 * t;
    case DIMR_TIME_CONDITION_INDEX:
      return 1000 * t - 1;
    default:
      g_return_val_if_reached (0);
    }
}
