/* SPDX-License-Identifier: Apache-2.0 */
#include "core/image/dimr-photo.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/image/dimr-png.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#define MAX_SIDE 16384
/* Pixels of one byte: a block of 64 takes a bit at least. */
#define MAX_PIXELS_PER_BYTE 512

/* libjpeg tells of a fatal error by a call that must not return. */
typedef struct
{
  struct jpeg_error_mgr manager; /* first, so that one pointer is both */
  jmp_buf back;
  char message[JMSG_LENGTH_MAX];
} Failure;

typedef struct
{
  struct jpeg_decompress_struct jpeg;
  Failure failure;
  guint8 *pixels; /* RGBA */
  guint8 *line;   /* RGB */
} JpegReader;

static void G_GNUC_NORETURN
on_error (j_common_ptr jpeg)
{
  Failure *failure = (Failure *) jpeg->err;

  jpeg->err->format_message (jpeg, failure->message);
  longjmp (failure->back, 1);
}

/* A damaged file still gives a picture, which nobody should learn from. */
static void
on_message (j_common_ptr jpeg,
            int          level)
{
  if (level < 0)
    on_error (jpeg);
}

static void G_GNUC_NORETURN
refuse (JpegReader *self,
        const char *reason)
{
  g_strlcpy (self->failure.message, reason, sizeof self->failure.message);
  longjmp (self->failure.back, 1);
}

/* The smallest eighth of its size that is not below @side. */
static void
choose_scale (struct jpeg_decompress_struct *jpeg,
              guint                          side)
{
  const guint shorter = MIN (jpeg->image_width, jpeg->image_height);

  jpeg->scale_denom = 8;
  jpeg->scale_num = 8;
  while (jpeg->scale_num > 1 && shorter * (jpeg->scale_num / 2) / 8 >= side)
    jpeg->scale_num /= 2;
}

static gboolean
read_guarded (JpegReader   *self,
              const guint8 *data,
              gsize         size,
              guint         side)
{
  struct jpeg_decompress_struct *jpeg = &self->jpeg;

  if (setjmp (self->failure.back))
    return FALSE;
  jpeg_create_decompress (jpeg);
  jpeg_mem_src (jpeg, data, size);
  jpeg_read_header (jpeg, TRUE);
  if (jpeg->image_width > MAX_SIDE || jpeg->image_height > MAX_SIDE)
    refuse (self, _("it has more than 16384 pixels a side"));
  if ((guint64) jpeg->image_width * jpeg->image_height / MAX_PIXELS_PER_BYTE > size)
    refuse (self, _("it is too short for its width and height"));
  if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK)
    refuse (self, _("its colours are meant for printing (CMYK)"));
  choose_scale (jpeg, side);
  jpeg->out_color_space = JCS_RGB;
  jpeg_start_decompress (jpeg);
  self->pixels = g_try_malloc_n ((gsize) jpeg->output_width * jpeg->output_height, 4);
  self->line = g_try_malloc_n (jpeg->output_width, 3);
  if (self->pixels == NULL || self->line == NULL)
    refuse (self, _("there is not enough memory for its pixels"));
  while (jpeg->output_scanline < jpeg->output_height)
    {
      guint8 *out = self->pixels + (gsize) jpeg->output_scanline * jpeg->output_width * 4;
      JSAMPROW row = self->line;

      jpeg_read_scanlines (jpeg, &row, 1);
      for (guint x = 0; x < jpeg->output_width; x++)
        {
          memcpy (out + 4 * x, self->line + 3 * x, 3);
          out[4 * x + 3] = 0xff;
        }
    }
  jpeg_finish_decompress (jpeg);
  return TRUE;
}

static DimrImage *
decode_jpeg (GBytes      *bytes,
             const char  *name,
             guint        side,
             GError     **error)
{
  JpegReader reader = { .pixels = NULL };
  DimrImage *image = NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  reader.jpeg.err = jpeg_std_error (&reader.failure.manager);
  reader.failure.manager.error_exit = on_error;
  reader.failure.manager.emit_message = on_message;
  if (read_guarded (&reader, data, size, side))
    {
      g_autoptr (GBytes) pixels = g_bytes_new_take (g_steal_pointer (&reader.pixels),
                                                    (gsize) reader.jpeg.output_width * reader.jpeg.output_height * 4);
      image = dimr_image_new (reader.jpeg.output_width, reader.jpeg.output_height, pixels);
    }
  else
    dimr_error_set (error, DIMR_ERROR_FORMAT, _("%s cannot be read as a JPEG picture: %s."), name, reader.failure.message);
  jpeg_destroy_decompress (&reader.jpeg);
  g_free (reader.pixels);
  g_free (reader.line);
  return image;
}

DimrImage *
dimr_photo_decode (GBytes      *bytes,
                   const char  *name,
                   guint        side,
                   GError     **error)
{
  gsize size;
  const guint8 *data;

  g_return_val_if_fail (bytes != NULL && name != NULL, NULL);
  data = g_bytes_get_data (bytes, &size);
  if (size >= 3 && memcmp (data, "\xff\xd8\xff", 3) == 0)
    return decode_jpeg (bytes, name, side, error);
  if (size >= 4 && memcmp (data, "\x89PNG", 4) == 0)
    return dimr_png_decode (bytes, name, NULL, error);
  dimr_error_set (error, DIMR_ERROR_FORMAT, _("%s is neither a JPEG nor a PNG picture."), name);
  return NULL;
}

/* The part of [i, i + 1) that lies in [from, to). */
static double
overlap (guint  i,
         double from,
         double to)
{
  return MAX (MIN ((double) i + 1, to) - MAX ((double) i, from), 0);
}

void
dimr_photo_fit (const DimrImage *image,
                guint            side,
                guint8          *planes)
{
  const guint width = dimr_image_get_width (image), height = dimr_image_get_height (image), square = MIN (width, height);
  const guint left = (width - square) / 2, top = (height - square) / 2;
  const guint8 *pixels = g_bytes_get_data (dimr_image_peek_pixels (image), NULL);
  const double scale = (double) square / side;

  for (guint y = 0; y < side; y++)
    for (guint x = 0; x < side; x++)
      {
        const double y0 = y * scale, y1 = (y + 1) * scale, x0 = x * scale, x1 = (x + 1) * scale;
        double sum[3] = { 0 };

        for (guint i = (guint) y0; i < square && (double) i < y1; i++)
          for (guint j = (guint) x0; j < square && (double) j < x1; j++)
            {
              const guint8 *pixel = pixels + ((gsize) (top + i) * width + left + j) * 4;
              const double share = overlap (i, y0, y1) * overlap (j, x0, x1);

              for (guint c = 0; c < 3; c++)
                sum[c] += share * pixel[c];
            }
        for (guint c = 0; c < 3; c++)
          planes[(c * side + y) * side + x] = (guint8) CLAMP (lrint (sum[c] / (scale * scale)), 0, 255);
      }
}
