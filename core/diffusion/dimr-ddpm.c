/* dimr-ddpm.c — DDPM and DDIM over some of a thousand steps
 *
 * A step goes from a chosen index to the chosen one below it, as if the steps between them were
 * one with beta = 1 − abar/abar', abar = alpha² here and abar' below; below the last is x0 itself.
 * Sources: Ho et al. (arXiv 2006.11239), eqs. 6 and 7; Nichol and Dhariwal (arXiv 2102.09672) for
 * respacing and the bounds of a learned variance; Song et al. (arXiv 2010.02502), eqs. 12 and 16.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/diffusion/dimr-sampler-private.h"

#include <math.h>

#define N_INDICES 1000

void
dimr_sampler_respace (DimrSamplerKind  kind,
                      guint            n,
                      guint           *indices)
{
  double stride = n > 1 ? (N_INDICES - 1.) / (n - 1) : 0, at = n > 1 ? 0 : N_INDICES - 1;

  g_return_if_fail (n >= 1 && n <= N_INDICES && indices != NULL);

  for (guint every = 1; kind == DIMR_SAMPLER_DDIM && every <= N_INDICES; every++)
    if ((N_INDICES + every - 1) / every == n)
      {
        for (guint i = 0; i < n; i++)
          indices[i] = i * every;
        return;
      }
  /* Summed, and halves to the even number, as the released code rounds. */
  for (guint i = 0; i < n; i++, at += stride)
    indices[i] = (guint) rint (at);
}

/* Everything here is made of 1 − e^(2·x), which keeps its digits near 0. */
static double
one_minus_square (double log_x)
{
  return -expm1 (2 * log_x);
}

static double
time_at (const DimrSchedule *schedule,
         guint               index)
{
  return (index + 1) * dimr_schedule_get_t_start (schedule) / N_INDICES;
}

/* log alpha at chosen index @i; below all of them is the picture, whose alpha is 1. */
static double
log_alpha_at (const DimrSchedule *schedule,
              const guint        *indices,
              int                 i)
{
  return i < 0 ? 0 : dimr_schedule_log_alpha (schedule, time_at (schedule, indices[i]));
}

void
dimr_ddpm_plan (const DimrSchedule       *schedule,
                const double             *times,
                const DimrSamplerOptions *options,
                guint                     n_steps,
                DimrSamplerStep          *steps)
{
  guint indices[N_INDICES];

  dimr_sampler_respace (DIMR_SAMPLER_DDPM, n_steps, indices);
  for (int i = (int) n_steps - 1; i >= 0; i--)
    {
      DimrSamplerStep *step = &steps[n_steps - 1 - (guint) i];
      double here = log_alpha_at (schedule, indices, i), below = log_alpha_at (schedule, indices, i - 1);
      double beta = one_minus_square (here - below);

      dimr_sampler_step_set_time (step, schedule, time_at (schedule, indices[i]));
      step->start = one_minus_square (below) * exp (here - below) / one_minus_square (here);
      step->x0[0] = beta * exp (below) / one_minus_square (here);
      step->outer = TRUE;
      if (i == 0)
        continue; /* the last step is the mean alone */
      step->noise = sqrt (beta * one_minus_square (below) / one_minus_square (here));
      step->log_variance[0] = 2 * log (step->noise);
      step->log_variance[1] = log (beta);
    }
}

void
dimr_ddim_plan (const DimrSchedule       *schedule,
                const double             *times,
                const DimrSamplerOptions *options,
                guint                     n_steps,
                DimrSamplerStep          *steps)
{
  guint indices[N_INDICES];

  dimr_sampler_respace (DIMR_SAMPLER_DDIM, n_steps, indices);
  for (int i = (int) n_steps - 1; i >= 0; i--)
    {
      DimrSamplerStep *step = &steps[n_steps - 1 - (guint) i];
      double here = log_alpha_at (schedule, indices, i), below = log_alpha_at (schedule, indices, i - 1);
      double direction;

      dimr_sampler_step_set_time (step, schedule, time_at (schedule, indices[i]));
      step->noise = options->eta * sqrt (one_minus_square (here - below) * one_minus_square (below) / one_minus_square (here));
      /* What is not fresh noise goes on pointing the way that the prediction says. */
      direction = sqrt (MAX (one_minus_square (below) - step->noise * step->noise, 0)) / step->sigma;
      step->start = direction;
      step->x0[0] = exp (below) - direction * step->alpha;
      step->outer = TRUE;
    }
}
