/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-sums.h"
#include "kernels/cpu/simd/simd-tables.h"

/* Neighbouring dy that are held while one row of x goes by: each loaded column serves up to seven taps. */
#define STRIP 8

/* sum[j] += Σ_o dy[row, left + o] · x[y, left + o + j − reach] */
CPU_INLINE void
weight_strip (vec *sum, const guint kernel, const gboolean full, const CpuDepthwiseGrad *self, const float *x,
              const float *dy, gsize left, gsize channels)
{
  const gsize width = self->width, d = self->d, reach = kernel / 2;
  vec held[STRIP];

#pragma GCC unroll 8
  for (guint o = 0; o < STRIP; o++)
    held[o] = left + o >= width ? vec_splat (0.f)
              : full ? vec_load (dy + (left + o) * d) : vec_load_part (dy + (left + o) * d, channels);
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
          sum[c - o] += held[o] * v;
    }
}

#define MAX_KERNEL 31

CPU_INLINE void
weight_image (const guint kernel, const gboolean full, const CpuDepthwiseGrad *self, gsize image, gsize block, float *y)
{
  const gsize channel = block * CPU_LANES, channels = self->d - channel, line = self->width * self->d, reach = kernel / 2;
  const float *x = self->x + image * self->height * line + channel, *dy = self->dy + image * self->height * line + channel;

  for (guint i = 0; i < kernel; i++)
    {
      vec sum[MAX_KERNEL];

#pragma GCC unroll 8
      for (guint j = 0; j < kernel; j++)
        sum[j] = vec_splat (0.f);
      for (gsize row = 0; row < self->height; row++)
        {
          const gsize above = row + i - reach; /* wraps to something large above the top */

          if (above >= self->height)
            continue;
          for (gsize left = 0; left < self->width; left += STRIP)
            weight_strip (sum, kernel, full, self, x + above * line, dy + row * line, left, channels);
        }
#pragma GCC unroll 8
      for (guint j = 0; j < kernel; j++)
        vec_store (y + (i * kernel + j) * CPU_LANES, sum[j]);
    }
}

CPU_INLINE void
weight_block (const guint kernel, const CpuDepthwiseGrad *self, gsize image, gsize block, float *y)
{
  if (self->d - block * CPU_LANES >= CPU_LANES)
    weight_image (kernel, TRUE, self, image, block, y);
  else
    weight_image (kernel, FALSE, self, image, block, y);
}

static void
depthwise_weight_grad (const CpuDepthwiseGrad *self, gsize image, gsize block, float *y)
{
  switch (self->kernel)
    {
    case 3: weight_block (3, self, image, block, y); break;
    case 5: weight_block (5, self, image, block, y); break;
    case 7: weight_block (7, self, image, block, y); break;
    default: weight_block ((guint) self->kernel, self, image, block, y); break;
    }
}

/* dx[h, w, d] = Σ_c,i,j dy[c, h − (i − reach), w − (j − reach)] W[c, d, i, j] */
static void
image_conv_input_grad (const CpuImageConv *self, const float *dy, float *dx, gsize image, gsize row, gsize n_rows)
{
  const gsize d = self->d, padded = (d + CPU_LANES - 1) / CPU_LANES * CPU_LANES, kernel = self->kernel;
  const gsize taps = kernel * kernel, reach = kernel / 2, plane = self->height * self->width;

  for (gsize r = row; r < row + n_rows; r++)
    for (gsize column = 0; column < self->width; column++)
      FOR_VECTORS (first, d)
        {
          vec sum = vec_splat (0.f);

          for (gsize tap = 0; tap < taps; tap++)
            {
              const gsize y = r + reach - tap / kernel, x = column + reach - tap % kernel;
              const float *w = self->weights + tap * padded + first, *in;

              if (y >= self->height || x >= self->width)
                continue;
              in = dy + image * self->channels * plane + y * self->width + x;
              for (gsize c = 0; c < self->channels; c++)
                sum += vec_splat (in[c * plane]) * vec_load (w + c * taps * padded);
            }
          store_rest (dx + ((image * self->height + r) * self->width + column) * d + first, sum, d - first);
        }
}

void
CPU_NAME (simd_conv_grad_fill) (CpuSimd *table)
{
  table->depthwise_weight_grad = depthwise_weight_grad;
  table->image_conv_input_grad = image_conv_input_grad;
}
