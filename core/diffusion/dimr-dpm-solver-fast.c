/* dimr-dpm-solver-fast.c — DPM-Solver "fast": single steps of order 3, 3, …, then what is left
 *
 * Source: Lu et al., DPM-Solver (arXiv 2206.00927), section 3.3 and appendix D, in the form that
 * predicts x0. An update of order k spans k intervals of the grid, with r1 and r2 taken from the
 * half-log-SNR of the grid points that it passes; x after a prediction d0 at s is, to first order,
 *   x(u) = sigma_u/sigma_s x − alpha_u (e^(−h) − 1) d0,  h = lambda_u − lambda_s
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/diffusion/dimr-sampler-private.h"

#include <math.h>

/* The order of the update that starts with @left evaluations to go: 3 while more than three are
 * left, then (2, 1), (1) or (2) as three, one or two are. */
static guint
order_for (guint left)
{
  return left > 3 ? 3 : left == 3 ? 2 : left;
}

/* steps [order], times [order + 1] */
static void
plan_update (const DimrSchedule *schedule,
             const double       *times,
             guint               order,
             DimrSamplerStep    *steps)
{
  double lambda = dimr_schedule_lambda (schedule, times[0]);
  double sigma = dimr_schedule_sigma (schedule, times[0]);
  double h = dimr_schedule_lambda (schedule, times[order]) - lambda;
  double alpha_end = dimr_schedule_alpha (schedule, times[order]);
  double phi = expm1 (-h), slope = 0, r1 = 0;
  DimrSamplerStep *last = &steps[order - 1];

  dimr_sampler_step_set_time (&steps[0], schedule, times[0]);
  if (order >= 2)
    {
      double s1;

      r1 = (dimr_schedule_lambda (schedule, times[1]) - lambda) / h;
      s1 = dimr_schedule_inverse_lambda (schedule, lambda + r1 * h);
      dimr_sampler_step_set_time (&steps[1], schedule, s1);
      steps[0].start = steps[1].sigma / sigma;
      steps[0].x0[0] = -steps[1].alpha * expm1 (-r1 * h);
      slope = -0.5 / r1 * alpha_end * phi;
    }
  if (order == 3)
    {
      double r2 = (dimr_schedule_lambda (schedule, times[2]) - lambda) / h;
      double s2 = dimr_schedule_inverse_lambda (schedule, lambda + r2 * h);
      double phi_12 = expm1 (-r2 * h), phi_22 = phi_12 / (r2 * h) + 1, inner;

      dimr_sampler_step_set_time (&steps[2], schedule, s2);
      inner = r2 / r1 * steps[2].alpha * phi_22;
      steps[1].start = steps[2].sigma / sigma;
      steps[1].x0[0] = inner;
      steps[1].x0[1] = -steps[2].alpha * phi_12 - inner;
      slope = alpha_end / r2 * (phi / h + 1);
    }

  /* First order from d0, the oldest prediction, and the slope towards the newest. */
  last->outer = TRUE;
  last->start = dimr_schedule_sigma (schedule, times[order]) / sigma;
  last->x0[order - 1] = -alpha_end * phi;
  if (order > 1)
    {
      last->x0[order - 1] -= slope;
      last->x0[0] = slope;
    }
}

void
dimr_dpm_solver_fast_plan (const DimrSchedule       *schedule,
                           const double             *times,
                           const DimrSamplerOptions *options,
                           guint                     n_steps,
                           DimrSamplerStep          *steps)
{
  guint order;

  for (guint i = 0; i < n_steps; i += order)
    {
      order = order_for (n_steps - i);
      plan_update (schedule, times + i, order, steps + i);
    }
}
