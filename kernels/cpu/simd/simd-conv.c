/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-tables.h"
#include "kernels/cpu/simd/simd-vector.h"

/* Neighbouring outputs that are summed together: each loaded column serves up to seven of them. */
#define STRIP 8

/* STRIP outputs of one row from column @left on, one vector of channels. @kernel and @full are
 * constants where this is expanded, for the usual kernels. */
CPU_INLINE void
depthwise_strip (const guint kernel, const gboolean full, const CpuDepthwise *self, gsize image, gsize row,
                 gsize left, gsize block, gsize channels)
{
  const gsize width = self->width, d = self->d, reach = kernel / 2, channel = block * CPU_LANES;
  const float *weights = self->weights + block * kernel * kernel * CPU_LANES;
  vec sum[STRIP];

#pragma GCC unroll 8
  for (guint o = 0; o < STRIP; o++)
    sum[o] = vec_load (self->bias + channel);

  for (guint i = 0; i < kernel; i++)
    {
      const gsize y = row + i - reach; /* wraps to something large above the top */
      const float *w = weights + i * kernel * CPU_LANES, *x;

      if (y >= self->height)
        continue;
      x = self->x + (image * self->height + y) * width * d + channel;
#pragma GCC unroll 16
      for (guint c = 0; c < STRIP + kernel - 1; c++)
        {
          const gsize column = left + c - reach;
          vec v;

          if (column >= width)
            continue;
          v = full ? vec_load (x + column * d) : vec_load_part (x + column * d, channels);
#pragma GCC unroll 8
          for (guint o = 0; o < STRIP; o++)
            if (c >= o && c - o < kernel)
              sum[o] += v * vec_load (w + (c - o) * CPU_LANES);
        }
    }

#pragma GCC unroll 8
  for (guint o = 0; o < STRIP; o++)
    if (left + o < width)
      {
        const gsize at = ((image * self->height + row) * width + left + o) * d + channel;

        if (self->residual != NULL)
          sum[o] += full ? vec_load (self->residual + at) : vec_load_part (self->residual + at, channels);
        if (full)
          vec_store (self->y + at, sum[o]);
        else
          vec_store_part (self->y + at, sum[o], channels);
      }
}

CPU_INLINE void
depthwise_blocks (const guint kernel, const CpuDepthwise *self, gsize image, gsize row, gsize n_rows,
                  gsize block, gsize n_blocks)
{
  /* A block's rows stay in the cache for all the rows that need them. */
  for (gsize b = block; b < block + n_blocks; b++)
    for (gsize r = row; r < row + n_rows; r++)
      for (gsize left = 0; left < self->width; left += STRIP)
        if (self->d - b * CPU_LANES >= CPU_LANES)
          depthwise_strip (kernel, TRUE, self, image, r, left, b, CPU_LANES);
        else
          depthwise_strip (kernel, FALSE, self, image, r, left, b, self->d - b * CPU_LANES);
}

static void
depthwise (const CpuDepthwise *self, gsize image, gsize row, gsize n_rows, gsize block, gsize n_blocks)
{
  switch (self->kernel)
    {
    case 3: depthwise_blocks (3, self, image, row, n_rows, block, n_blocks); break;
    case 5: depthwise_blocks (5, self, image, row, n_rows, block, n_blocks); break;
    case 7: depthwise_blocks (7, self, image, row, n_rows, block, n_blocks); break;
    default: depthwise_blocks ((guint) self->kernel, self, image, row, n_rows, block, n_blocks); break;
    }
}

/* Output channels of a picture that are summed together. */
#define GROUP 4

/* sums[c] of one pixel, over all taps and channels. */
CPU_INLINE void
image_pixel (const guint group, const CpuImageConv *self, gsize image, gsize row, gsize column, gsize first)
{
  const gsize d = self->d, padded = (d + CPU_LANES - 1) / CPU_LANES * CPU_LANES, taps = self->kernel * self->kernel;
  const gsize reach = self->kernel / 2, whole = d / CPU_LANES * CPU_LANES;
  vec sum[GROUP];

#pragma GCC unroll 4
  for (guint g = 0; g < group; g++)
    sum[g] = vec_splat (0.f);

  for (gsize tap = 0; tap < taps; tap++)
    {
      const gsize y = row + tap / self->kernel - reach, x = column + tap % self->kernel - reach;
      const float *w = self->weights + (first * taps + tap) * padded, *in;

      if (y >= self->height || x >= self->width)
        continue;
      in = self->x + ((image * self->height + y) * self->width + x) * d;
      for (gsize i = 0; i < whole; i += CPU_LANES)
        {
          vec v = vec_load (in + i);

#pragma GCC unroll 4
          for (guint g = 0; g < group; g++)
            sum[g] += v * vec_load (w + g * taps * padded + i);
        }
      if (whole < d)
        {
          vec v = vec_load_part (in + whole, d - whole);

#pragma GCC unroll 4
          for (guint g = 0; g < group; g++)
            sum[g] += v * vec_load (w + g * taps * padded + whole);
        }
    }

#pragma GCC unroll 4
  for (guint g = 0; g < group; g++)
    self->y[((image * self->channels + first + g) * self->height + row) * self->width + column] =
      self->bias[first + g] + vec_sum (sum[g]);
}

static void
image_conv (const CpuImageConv *self, gsize image, gsize row, gsize n_rows)
{
  for (gsize r = row; r < row + n_rows; r++)
    for (gsize first = 0; first < self->channels; first += GROUP)
      for (gsize column = 0; column < self->width; column++)
        switch (MIN (self->channels - first, GROUP))
          {
          case 1: image_pixel (1, self, image, r, column, first); break;
          case 2: image_pixel (2, self, image, r, column, first); break;
          case 3: image_pixel (3, self, image, r, column, first); break;
          default: image_pixel (GROUP, self, image, r, column, first); break;
          }
}

void
CPU_NAME (simd_conv_fill) (CpuSimd *table)
{
  table->depthwise = depthwise;
  table->image_conv = image_conv;
}
