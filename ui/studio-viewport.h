/* studio-viewport.h — how closely and where a canvas looks
 *
 * A model object apart from the widget, so that several canvases can share one and zoom and pan
 * together. The zoom is in device pixels a picture pixel; the centre in fractions of the
 * content, so that it fits pictures of any size.
 *
 * Signal "changed": any of the values did.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

#define STUDIO_TYPE_VIEWPORT (studio_viewport_get_type ())
G_DECLARE_FINAL_TYPE (StudioViewport, studio_viewport, STUDIO, VIEWPORT, GObject)

#define STUDIO_VIEWPORT_MIN_ZOOM (1.0 / 16)
#define STUDIO_VIEWPORT_MAX_ZOOM 64.0

StudioViewport *studio_viewport_new        (void);
/* TRUE while the content is as large as fits; the zoom then follows the canvas. */
gboolean        studio_viewport_is_fit     (StudioViewport *self);
double          studio_viewport_get_zoom   (StudioViewport *self);
void            studio_viewport_get_center (StudioViewport *self,
                                            double         *x,
                                            double         *y);
/* Clamped to the limits above. */
void            studio_viewport_set_zoom   (StudioViewport *self,
                                            double          zoom);
/* Clamped to 0 … 1. */
void            studio_viewport_set_center (StudioViewport *self,
                                            double          x,
                                            double          y);
void            studio_viewport_fit        (StudioViewport *self);
/* Whole factors above 1, one over whole factors below: the next one from @zoom, up or down. */
double          studio_viewport_next_zoom  (double          zoom,
                                            gboolean        closer);

G_END_DECLS
