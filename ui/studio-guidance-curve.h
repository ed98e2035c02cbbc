/* studio-guidance-curve.h — guidance over the steps of a run, drawn
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_GUIDANCE_CURVE (studio_guidance_curve_get_type ())
G_DECLARE_FINAL_TYPE (StudioGuidanceCurve, studio_guidance_curve, STUDIO, GUIDANCE_CURVE, GtkWidget)

void studio_guidance_curve_set_guidance (StudioGuidanceCurve *self,
                                         const DimrGuidance  *guidance,
                                         guint                n_steps);

G_END_DECLS
