/* dimr-dpm-solver-multistep.c — DPM-Solver++(2M) and (3M)
 *
 * Source: Lu et al., DPM-Solver++ (arXiv 2211.01095), algorithm 2 and its third-order sibling. One
 * evaluation an interval; the order grows 1, 2, 3 with the predictions at hand and stays there to
 * the end: no lower order for the last steps. With h_k the width in lambda of the interval k back:
 *   x(t) = sigma_t/sigma_s x − alpha_t φ1 X0 + alpha_t φ2 D1 − alpha_t φ3 D2
 *   φ1 = e^(−h) − 1, φ2 = φ1/h + 1, φ3 = φ2/h − 1/2
 * and D1, D2 the first and second divided differences of the predictions. 2M takes −φ1/2 in the
 * place of φ2, which agrees to its order, and no D2.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/diffusion/dimr-sampler-private.h"

#include <math.h>

static void
add_second_order (DimrSamplerStep *step,
                  double           alpha_phi_1,
                  double           r0)
{
  double d1 = -0.5 * alpha_phi_1 / r0;

  step->x0[0] += d1;
  step->x0[1] -= d1;
}

/* @r0, @r1: widths of the last two intervals over that of this one, @h */
static void
add_third_order (DimrSamplerStep *step,
                 double           alpha,
                 double           h,
                 double           r0,
                 double           r1)
{
  double phi_2 = expm1 (-h) / h + 1, phi_3 = phi_2 / h - 0.5;
  /* D1 = a + r0 (a − b)/(r0 + r1) and D2 = (a − b)/(r0 + r1), where
   * a = (X0_0 − X0_1)/r0 and b = (X0_1 − X0_2)/r1. */
  double difference = alpha * (phi_2 * r0 - phi_3) / (r0 + r1);
  double a = (alpha * phi_2 + difference) / r0, b = -difference / r1;

  step->x0[0] += a;
  step->x0[1] += b - a;
  step->x0[2] -= b;
}

static void
plan (const DimrSchedule *schedule,
      const double       *times,
      guint               n_steps,
      guint               max_order,
      DimrSamplerStep    *steps)
{
  double lambda = dimr_schedule_lambda (schedule, times[0]), h_back[2] = { 0, 0 };

  for (guint i = 0; i < n_steps; i++)
    {
      DimrSamplerStep *step = &steps[i];
      double next = dimr_schedule_lambda (schedule, times[i + 1]), h = next - lambda;
      double alpha = dimr_schedule_alpha (schedule, times[i + 1]), phi_1 = expm1 (-h);
      guint order = MIN (max_order, i + 1);

      dimr_sampler_step_set_time (step, schedule, times[i]);
      step->outer = TRUE;
      step->start = dimr_schedule_sigma (schedule, times[i + 1]) / step->sigma;
      step->x0[0] = -alpha * phi_1;
      if (order == 2)
        add_second_order (step, alpha * phi_1, h_back[0] / h);
      else if (order == 3)
        add_third_order (step, alpha, h, h_back[0] / h, h_back[1] / h);

      h_back[1] = h_back[0];
      h_back[0] = h;
      lambda = next;
    }
}

void
dimr_dpm_solver_2m_plan (const DimrSchedule       *schedule,
                         const double             *times,
                         const DimrSamplerOptions *options,
                         guint                     n_steps,
                         DimrSamplerStep          *steps)
{
  plan (schedule, times, n_steps, 2, steps);
}

void
dimr_dpm_solver_3m_plan (const DimrSchedule       *schedule,
                         const double             *times,
                         const DimrSamplerOptions *options,
                         guint                     n_steps,
                         DimrSamplerStep          *steps)
{
  plan (schedule, times, n_steps, 3, steps);
}
