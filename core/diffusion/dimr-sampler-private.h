/* dimr-sampler-private.h — what a solver provides: a plan of the whole walk
 *
 * Every solver here is linear in what it has seen: after an evaluation gives
 * x0 = (x − sigma eps)/alpha, the next point is a fixed combination of the start of the current
 * interval and of the last predictions of x0, and perhaps fresh noise. So a solver is a function that
 * writes one row of coefficients for each evaluation, once, in double, and the walk itself is shared.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/diffusion/dimr-sampler.h"
#include "core/graph/dimr-device.h"

G_BEGIN_DECLS

/* Predictions of x0 that a row may combine. */
#define DIMR_SAMPLER_HISTORY DIMR_WALK_HISTORY

/* One evaluation, and where it leads:
 *   next = start·x + Σ_k x0[k]·X0_k + noise·z, X0_0 the prediction just made, X0_1 the one before, … */
typedef struct
{
  double   t;                        /* evaluate here */
  double   alpha, sigma;             /* at t */
  double   start;
  double   x0[DIMR_SAMPLER_HISTORY];
  double   noise;                    /* standard deviation; 0: none */
  double   log_variance[2];          /* where a network chooses it: logarithms of the smallest and the largest variance */
  gboolean outer;                    /* the next point ends an interval and becomes x */
} DimrSamplerStep;

/* Writes @steps [n_steps]; @times [n_steps + 1] is the grid, falling. DDPM and DDIM have their own. */
typedef void (*DimrSamplerPlan) (const DimrSchedule       *schedule,
                                 const double             *times,
                                 const DimrSamplerOptions *options,
                                 guint                     n_steps,
                                 DimrSamplerStep          *steps);


/* Solvers, by file. */
void          dimr_dpm_solver_fast_plan   (const DimrSchedule       *schedule,
                                           const double             *times,
                                           const DimrSamplerOptions *options,
                                           guint                     n_steps,
                                           DimrSamplerStep          *steps);
void          dimr_dpm_solver_2m_plan     (const DimrSchedule       *schedule,
                                           const double             *times,
                                           const DimrSamplerOptions *options,
                                           guint                     n_steps,
                                           DimrSamplerStep          *steps);
void          dimr_dpm_solver_3m_plan     (const DimrSchedule       *schedule,
                                           const double             *times,
                                           const DimrSamplerOptions *options,
                                           guint                     n_steps,
                                           DimrSamplerStep          *steps);
void          dimr_ddpm_plan              (const DimrSchedule       *schedule,
                                           const double             *times,
                                           const DimrSamplerOptions *options,
                                           guint                     n_steps,
                                           DimrSamplerStep          *steps);
void          dimr_ddim_plan              (const DimrSchedule       *schedule,
                                           const double             *times,
                                           const DimrSamplerOptions *options,
                                           guint                     n_steps,
                                           DimrSamplerStep          *steps);

/* Indices of @n of a thousand steps, rising, as the released samplers choose them [n]. DDPM: from the first
 * to the last as evenly as whole numbers allow; DDIM: every k-th where a k gives exactly n, else likewise. */
void          dimr_sampler_respace        (DimrSamplerKind           kind,
                                           guint                     n,
                                           guint                    *indices);

/* A sampler's walk as numbers, all known before it begins, for a device that keeps x itself: @times and
 * @rows [n_steps], the caller's; the guidance of every row is 1. Rows say nothing of noise or clipping.
 * Errors as of dimr_sampler_new(). */
gboolean      dimr_sampler_plan           (DimrSamplerKind     kind,
                                           DimrTimeGrid        grid,
                                           const DimrSamplerOptions *options,
                                           const DimrSchedule *schedule,
                                           guint               n_steps,
                                           double             *times,
                                           DimrWalkRow        *rows,
                                           GError            **error);

/* Fills in t, alpha and sigma. */
void          dimr_sampler_step_set_time  (DimrSamplerStep    *step,
                                           const DimrSchedule *schedule,
                                           double              t);

/* The walk's own precision, for networks and tests that work in double: the point [n] to
 * evaluate at (transfer none, valid until the next feed), and feed() with doubles. */
const double *dimr_sampler_peek_point_f64 (DimrSampler        *self);
void          dimr_sampler_feed_f64       (DimrSampler        *self,
                                           const double       *eps);

G_END_DECLS
