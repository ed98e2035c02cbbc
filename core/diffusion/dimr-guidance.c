/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diffusion/dimr-guidance.h"

#include <math.h>

gboolean
dimr_guidance_is_on (const DimrGuidance *self)
{
  g_return_val_if_fail (self != NULL, FALSE);
  return self->scale != 1;
}

gboolean
dimr_guidance_is_near_one (double g)
{
  return fabs (g - 1) < DIMR_GUIDANCE_NEAR_ONE;
}

double
dimr_guidance_at (const DimrGuidance *self,
                  double              t)
{
  g_return_val_if_fail (self != NULL, 1);

  switch (self->kind)
    {
    case DIMR_GUIDANCE_CONSTANT:
      return self->scale;
    case DIMR_GUIDANCE_COSINE:
      /* A time that rounding put beyond an end must not become pow's NaN. */
      return 1 + (self->scale - 1) * (1 - cos (G_PI * pow (CLAMP (1 - t, 0, 1), self->power))) / 2;
    default:
      g_return_val_if_reached (1);
    }
}
