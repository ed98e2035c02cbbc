/* dimr-walk.h — a batch of images on its way from noise to pictures: denoiser, sampler and guidance
 *
 * Every number of the walk is known before it begins: the times, the solver's coefficients, the
 * guidance and the form of each evaluation. Where the device can keep x in its own memory it does,
 * and nothing crosses until somebody looks; elsewhere, and where steps draw noise, the walk is a
 * DimrSampler, in double.
 *
 *   while (dimr_walk_get_step (walk) < dimr_walk_get_n_steps (walk))
 *     if (!dimr_walk_advance (walk, cancellable, error))
 *       return FALSE;
 *   dimr_walk_read_x (walk, &x, error);
 *
 * Looking never changes a walk.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/diffusion/dimr-denoiser.h"

G_BEGIN_DECLS

typedef struct _DimrWalk DimrWalk;

/* Fills @noise [n, C, H, W] with the standard normal numbers of step @step of the walk's images. A function of
 * image and step alone, never of what runs beside it, so that a picture does not depend on its batch. */
typedef void (*DimrWalkNoise) (guint     step,
                               float    *noise,
                               gpointer  data);

typedef struct
{
  DimrSamplerKind sampler;
  DimrTimeGrid    time_grid;
  DimrSamplerOptions options;
  guint           n_steps;
  DimrGuidance    guidance;
  DimrWalkNoise   fill_noise;         /* for samplers that draw noise; else NULL */
  gpointer        noise_data;
  /* Faster, not exact. */
  gboolean        skip_unconditional; /* leave the unconditional half out where g(t) is DIMR_GUIDANCE_NEAR_ONE */
  guint           reuse_low_branches; /* k: refresh the lower branches every k-th evaluation; 0 or 1: every one */
} DimrWalkSettings;

/* @start: [n, C, H, W]; @y: [n] classes, DIMR_CLASS_NONE for the null class; both copied. n is at most the
 * micro-batch where @denoiser keeps the lower branches. Errors as of dimr_denoiser_new() and dimr_sampler_new(). */
DimrWalk    *dimr_walk_new           (DimrDenoiser            *denoiser,
                                      const DimrWalkSettings  *settings,
                                      const float             *start,
                                      const int               *y,
                                      guint                    n,
                                      GCancellable            *cancellable,
                                      GError                 **error);
void         dimr_walk_free          (DimrWalk                *self);

/* One evaluation of the network for every image. */
gboolean     dimr_walk_advance       (DimrWalk                *self,
                                      GCancellable            *cancellable,
                                      GError                 **error);
/* Evaluations done, and in all. */
guint        dimr_walk_get_step      (DimrWalk                *self);
guint        dimr_walk_get_n_steps   (DimrWalk                *self);
/* The time of the last evaluation. */
double       dimr_walk_get_time      (DimrWalk                *self);
/* Outer updates of x so far: a trace takes a copy of x whenever it grows. */
guint        dimr_walk_get_n_updates (DimrWalk                *self);
/* TRUE where the device keeps the walk. */
gboolean     dimr_walk_is_on_device  (DimrWalk                *self);

/* The clean picture as predicted, x0 [n, C, H, W], or NULL where there is no new one (transfer none, until
 * the next call). To be called after each step with @want where the next one would be shown: a device
 * begins a copy that a later call hands out, so a preview may lag, and nobody waits for it. */
gboolean     dimr_walk_poll_preview  (DimrWalk                *self,
                                      gboolean                 want,
                                      const float            **x0,
                                      GError                 **error);
/* x [n, C, H, W] after the last outer update; the result once the walk is over (transfer none, until the
 * next call). Waits for the device. */
gboolean     dimr_walk_read_x        (DimrWalk                *self,
                                      const float            **x,
                                      GError                 **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrWalk, dimr_walk_free)

G_END_DECLS
