/* dimr-guidance.h — classifier-free guidance: how strong, and when
 *
 * Everything in this project says guidance as g in uncond + g (cond − uncond): 1 is off. The
 * other convention, w = g − 1 in cond + w (cond − uncond), is the one of the released configs
 * (0.4 there is g = 1.4 here).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  DIMR_GUIDANCE_CONSTANT, /* g(t) = g */
  DIMR_GUIDANCE_COSINE,   /* g(t) = 1 + (g − 1)(1 − cos(π (1 − t)^p)) / 2 */
} DimrGuidanceKind;

typedef struct
{
  DimrGuidanceKind kind;
  double           scale; /* g */
  double           power; /* p, used by DIMR_GUIDANCE_COSINE */
  guint            channels; /* only the first so many are guided, as DiT was released with 3 of its 4; 0: all */
} DimrGuidance;

/* FALSE where every step would be purely conditional, so that the unconditional half can be left out. */
gboolean dimr_guidance_is_on  (const DimrGuidance *self);
/* How far g(t) may be from 1 for the unconditional half to be left out where a request allows it. */
#define DIMR_GUIDANCE_NEAR_ONE 0.01
gboolean dimr_guidance_is_near_one (double          g);
/* g(t) for t in [0, 1]. */
double   dimr_guidance_at     (const DimrGuidance *self,
                               double              t);

G_END_DECLS
