/* SPDX-License-Identifier: Apache-2.0 */
#include "core/image/dimr-image.h"

#include <math.h>

struct _DimrImage
{
  gatomicrefcount ref_count;
  guint width;
  guint height;
  GBytes *pixels;
};

G_DEFINE_BOXED_TYPE (DimrImage, dimr_image, dimr_image_ref, dimr_image_unref)

DimrImage *
dimr_image_new (guint   width,
                guint   height,
                GBytes *pixels)
{
  DimrImage *self;

  g_return_val_if_fail (width > 0 && height > 0, NULL);
  g_return_val_if_fail (pixels != NULL, NULL);
  g_return_val_if_fail (g_bytes_get_size (pixels) == (gsize) width * height * 4, NULL);

  self = g_new (DimrImage, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->width = width;
  self->height = height;
  self->pixels = g_bytes_ref (pixels);
  return self;
}

/* [−1, 1] → 0 … 255, to the nearest. */
static inline guint8
to_byte (float value)
{
  if (isnan (value))
    return 128;
  return (guint8) (CLAMP (value, -1.0f, 1.0f) * 127.5f + 128.0f);
}

DimrImage *
dimr_image_new_planar (guint        width,
                       guint        height,
                       const float *planes)
{
  g_autoptr (GBytes) bytes = NULL;
  gsize n = (gsize) width * height;
  guint8 *pixels;

  g_return_val_if_fail (width > 0 && height > 0 && planes != NULL, NULL);

  pixels = g_malloc_n (n, 4);
  for (gsize i = 0; i < n; i++)
    {
      for (guint c = 0; c < 3; c++)
        pixels[4 * i + c] = to_byte (planes[c * n + i]);
      pixels[4 * i + 3] = 255;
    }
  bytes = g_bytes_new_take (pixels, n * 4);
  return dimr_image_new (width, height, bytes);
}

DimrImage *
dimr_image_ref (DimrImage *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
dimr_image_unref (DimrImage *self)
{
  g_return_if_fail (self != NULL);
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_bytes_unref (self->pixels);
  g_free (self);
}

guint
dimr_image_get_width (const DimrImage *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->width;
}

guint
dimr_image_get_height (const DimrImage *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->height;
}

GBytes *
dimr_image_peek_pixels (const DimrImage *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->pixels;
}
