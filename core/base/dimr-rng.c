/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-rng.h"

#include <math.h>

void
dimr_philox4x32 (const guint32 counter[4],
                 const guint32 key[2],
                 guint32       out[4])
{
  guint32 c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  guint32 k0 = key[0], k1 = key[1];

  for (guint round = 0; round < 10; round++)
    {
      guint64 p0 = (guint64) 0xD2511F53u * c0, p1 = (guint64) 0xCD9E8D57u * c2;

      c0 = (guint32) (p1 >> 32) ^ c1 ^ k0;
      c1 = (guint32) p1;
      c2 = (guint32) (p0 >> 32) ^ c3 ^ k1;
      c3 = (guint32) p0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/* Counter layout: [block | image low | image high (16 bits) and step (16 bits) | stream]. An image
 * number has 48 bits and a stream 2^32 blocks of four numbers: more than anyone can draw. */
static void
block_at (guint64    seed,
          guint64    image,
          DimrStream stream,
          guint16    step,
          guint32    block,
          guint32    out[4])
{
  const guint32 key[2] = { (guint32) seed, (guint32) (seed >> 32) };
  const guint32 counter[4] = { block, (guint32) image,
                               ((guint32) (image >> 32) & 0xffff) << 16 | step, (guint32) stream };

  dimr_philox4x32 (counter, key, out);
}

/* (0, 1]: the logarithm below stays finite. */
static double
to_unit (guint32 bits)
{
  return ((double) bits + 1.0) * 0x1p-32;
}

void
dimr_rng_normal (guint64    seed,
                 guint64    image,
                 DimrStream stream,
                 guint16    step,
                 float     *out,
                 gsize      n)
{
  g_return_if_fail (out != NULL || n == 0);

  for (gsize i = 0; i < n; i += 4)
    {
      guint32 bits[4];

      block_at (seed, image, stream, step, (guint32) (i / 4), bits);
      for (guint pair = 0; pair < 2; pair++)
        {
          double radius = sqrt (-2.0 * log (to_unit (bits[2 * pair])));
          double angle = 2.0 * G_PI * to_unit (bits[2 * pair + 1]);
          gsize k = i + 2 * pair;

          if (k < n)
            out[k] = (float) (radius * cos (angle));
          if (k + 1 < n)
            out[k + 1] = (float) (radius * sin (angle));
        }
    }
}

void
dimr_rng_words (guint64    seed,
                guint64    image,
                DimrStream stream,
                guint32    block,
                guint32    out[4])
{
  block_at (seed, image, stream, 0, block, out);
}

guint32
dimr_rng_below (guint64    seed,
                guint64    index,
                DimrStream stream,
                guint32    bound)
{
  guint32 bits[4];

  g_return_val_if_fail (bound > 0, 0);
  block_at (seed, index, stream, 0, 0, bits);
  /* Multiply-shift; its bias is below 2^-22 for the 1000 classes it draws from. */
  return (guint32) (((guint64) bits[0] * bound) >> 32);
}
