/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-texture.h"

GdkTexture *
studio_texture_new (DimrImage *image)
{
  guint width = dimr_image_get_width (image);

  return gdk_memory_texture_new (width, dimr_image_get_height (image), GDK_MEMORY_R8G8B8A8,
                                 dimr_image_peek_pixels (image), (gsize) width * 4);
}

/* By a whole factor, so that small pictures are as crisp in the strip as on the canvas. */
static GdkTexture *
enlarge (DimrImage *image,
         guint      factor)
{
  const guint width = dimr_image_get_width (image), height = dimr_image_get_height (image);
  const guint32 *in = g_bytes_get_data (dimr_image_peek_pixels (image), NULL);
  const gsize stride = (gsize) width * factor;
  guint32 *out = g_new (guint32, stride * height * factor);
  g_autoptr(GBytes) bytes = NULL;

  for (gsize y = 0; y < (gsize) height * factor; y++)
    for (gsize x = 0; x < stride; x++)
      out[y * stride + x] = in[y / factor * width + x / factor];
  bytes = g_bytes_new_take (out, stride * height * factor * sizeof (guint32));
  return gdk_memory_texture_new (width * factor, height * factor, GDK_MEMORY_R8G8B8A8, bytes, stride * sizeof (guint32));
}

GdkTexture *
studio_texture_new_thumbnail (DimrImage *image,
                              guint      size)
{
  guint width = dimr_image_get_width (image);
  guint height = dimr_image_get_height (image);
  guint factor = (MAX (width, height) + size - 1) / size;
  const guint8 *in = g_bytes_get_data (dimr_image_peek_pixels (image), NULL);
  g_autoptr(GBytes) bytes = NULL;
  guint w, h;
  guint8 *out;

  if (MAX (width, height) * 2 <= size)
    return enlarge (image, size / MAX (width, height));
  if (factor <= 1 || MIN (width, height) < factor)
    return studio_texture_new (image);

  /* Rows and columns that do not fill a whole cell are left out. */
  w = width / factor;
  h = height / factor;
  out = g_malloc ((gsize) w * h * 4);
  for (guint y = 0; y < h; y++)
    for (guint x = 0; x < w; x++)
      for (guint c = 0; c < 4; c++)
        {
          guint sum = 0;

          for (guint dy = 0; dy < factor; dy++)
            for (guint dx = 0; dx < factor; dx++)
              sum += in[(((gsize) y * factor + dy) * width + x * factor + dx) * 4 + c];
          out[((gsize) y * w + x) * 4 + c] = (sum + factor * factor / 2) / (factor * factor);
        }

  bytes = g_bytes_new_take (out, (gsize) w * h * 4);
  return gdk_memory_texture_new (w, h, GDK_MEMORY_R8G8B8A8, bytes, (gsize) w * 4);
}

cairo_surface_t *
studio_surface_new (DimrImage *image)
{
  g_autoptr(GdkTexture) texture = studio_texture_new (image);
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_ARGB32,
                                                         gdk_texture_get_width (texture),
                                                         gdk_texture_get_height (texture));

  gdk_texture_download (texture, cairo_image_surface_get_data (surface), cairo_image_surface_get_stride (surface));
  cairo_surface_mark_dirty (surface);
  return surface;
}
