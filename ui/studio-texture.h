/* studio-texture.h — pictures of the engine as things that GTK can draw
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

/* Shares the picture's pixels (transfer full). May be called in any thread. */
GdkTexture      *studio_texture_new           (DimrImage *image);
/* At most @size pixels a side: averaged, or enlarged without smoothing, by a whole factor (transfer full). Any thread. */
GdkTexture      *studio_texture_new_thumbnail (DimrImage *image,
                                               guint      size);
/* A copy that cairo can enlarge without smoothing (transfer full). */
cairo_surface_t *studio_surface_new           (DimrImage *image);

G_END_DECLS
