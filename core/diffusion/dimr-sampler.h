/* dimr-sampler.h — walks x from noise to a picture, one network evaluation per call
 *
 * The caller owns the loop, so it can stop, pause and look between two evaluations:
 *
 *   while (dimr_sampler_next (sampler, &x, &t))
 *     {
 *       evaluate the network on x at t into eps;
 *       dimr_sampler_feed (sampler, eps);
 *     }
 *
 * x and eps are [n] floats (any layout, a whole batch: all samplers here are elementwise). All
 * buffers are allocated by the constructor; the loop allocates nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/diffusion/dimr-schedule.h"

G_BEGIN_DECLS

typedef enum
{
  DIMR_SAMPLER_DPM_SOLVER_FAST, /* single-step orders 3,3,…, as released; predicts x0 */
  DIMR_SAMPLER_DPM_SOLVER_2M,   /* DPM-Solver++(2M) */
  DIMR_SAMPLER_DPM_SOLVER_3M,   /* DPM-Solver++(3M) */
  DIMR_SAMPLER_DDPM,            /* the ancestral sampler over respaced steps: fresh noise in every one */
  DIMR_SAMPLER_DDIM,            /* first order, without noise unless eta asks for it */
} DimrSamplerKind;

#define DIMR_N_SAMPLERS (DIMR_SAMPLER_DDIM + 1)

/* What DDPM and DDIM can be told beside their steps; zeros are how they were released. */
typedef struct
{
  double   eta;   /* DDIM: 0 adds no noise, 1 as much as DDPM with the smallest variance */
  gboolean clip;  /* both: x0 to [−1, 1] before it is used, for models of pixels */
} DimrSamplerOptions;

/* How the grid of outer times is laid out between the schedule's start (t = 1) and t = 1/1000. */
typedef enum
{
  DIMR_TIME_GRID_UNIFORM, /* uniform in t: the released default */
  DIMR_TIME_GRID_LOG_SNR, /* uniform in lambda */
} DimrTimeGrid;

/* What a user types and a file stores: "dpm-solver-fast", "dpm-solver-2m", "dpm-solver-3m", "ddpm", "ddim" (static). */
const char   *dimr_sampler_kind_to_string   (DimrSamplerKind   kind);
gboolean      dimr_sampler_kind_from_string (const char       *string,
                                             DimrSamplerKind  *kind);
/* What a menu shows: "DPM-Solver fast", … (static, untranslated: a name). */
const char   *dimr_sampler_kind_get_label   (DimrSamplerKind   kind);

/* TRUE where steps add noise, so that a walk depends on more than its start. */
gboolean      dimr_sampler_kind_draws_noise (DimrSamplerKind           kind,
                                             const DimrSamplerOptions *options);
/* TRUE for the samplers that can be told them; the others have a time grid instead. */
gboolean      dimr_sampler_kind_has_options (DimrSamplerKind   kind);

typedef struct _DimrSampler DimrSampler;

/* @x_start: [n], copied; it is the start at t = 1. @n_steps: network evaluations, 1 … 1000. @options: NULL for zeros.
 * DIMR_ERROR_REQUEST where a value is out of range, DIMR_ERROR_MEMORY. */
DimrSampler  *dimr_sampler_new              (DimrSamplerKind   kind,
                                             DimrTimeGrid      grid,
                                             const DimrSamplerOptions *options,
                                             DimrSchedule     *schedule,
                                             guint             n_steps,
                                             const float      *x_start,
                                             gsize             n,
                                             GError          **error);
void          dimr_sampler_free             (DimrSampler      *self);

/* TRUE and where to evaluate next: @x [n] (transfer none, valid until the next feed) at @t;
 * FALSE when the walk is over. May be called repeatedly. */
gboolean      dimr_sampler_next             (DimrSampler      *self,
                                             const float     **x,
                                             double           *t);
/* @eps [n]: the network's noise prediction at the point that next() gave. */
void          dimr_sampler_feed             (DimrSampler      *self,
                                             const float      *eps);
/* TRUE where the next feed wants noise. */
gboolean      dimr_sampler_wants_noise      (DimrSampler      *self);
/* The same for samplers that draw noise. @noise [n]: standard normal numbers; NULL only where none is wanted.
 * @variance [n], DDPM only: what the network says of the step's variance, −1 for the smallest there may be and 1 for
 * the largest, and so on a line of logarithms (Nichol and Dhariwal, arXiv 2102.09672, eq. 15); NULL: the smallest. */
void          dimr_sampler_feed_noise       (DimrSampler      *self,
                                             const float      *eps,
                                             const float      *variance,
                                             const float      *noise);

/* The current x [n] after the last outer update; the result once the walk is over (transfer none). */
const float  *dimr_sampler_peek_x           (DimrSampler      *self);
/* The clean picture as last predicted, x0 = (x − sigma eps)/alpha [n]; NULL before the first feed (transfer none). */
const float  *dimr_sampler_peek_x0          (DimrSampler      *self);
/* Network evaluations done, and in all. */
guint         dimr_sampler_get_step         (DimrSampler      *self);
guint         dimr_sampler_get_n_steps      (DimrSampler      *self);
/* Outer updates done so far: a trace takes a copy of x whenever it grows. */
guint         dimr_sampler_get_n_updates    (DimrSampler      *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrSampler, dimr_sampler_free)

G_END_DECLS
