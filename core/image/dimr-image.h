/* dimr-image.h — a picture: 8-bit RGBA, immutable
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

typedef struct _DimrImage DimrImage; /* reference-counted, may cross threads */

#define DIMR_TYPE_IMAGE (dimr_image_get_type ())
GType      dimr_image_get_type   (void);

/* @pixels: width · height · 4 bytes, rows top to bottom, straight alpha (transfer none: a reference is taken). */
DimrImage *dimr_image_new        (guint            width,
                                  guint            height,
                                  GBytes          *pixels);
/* @planes: [3, H, W] floats in [−1, 1]; values outside are clamped, a NaN is mid grey. */
DimrImage *dimr_image_new_planar (guint            width,
                                  guint            height,
                                  const float     *planes);
DimrImage *dimr_image_ref        (DimrImage       *self);
void       dimr_image_unref      (DimrImage       *self);

guint      dimr_image_get_width  (const DimrImage *self);
guint      dimr_image_get_height (const DimrImage *self);
/* width · height · 4 bytes (transfer none). */
GBytes    *dimr_image_peek_pixels (const DimrImage *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrImage, dimr_image_unref)

G_END_DECLS
