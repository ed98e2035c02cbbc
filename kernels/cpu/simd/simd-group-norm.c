/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-tables.h"
#include "kernels/cpu/simd/simd-vector.h"

/* Distances from a value that the channel really has: a mean far from zero costs no digits. */
static void
group_sums (const float *x, const float *pivot, gsize n_pixels, gsize stride, gsize d, float *sum, float *squares)
{
  for (gsize i = 0; i < d; i += CPU_LANES)
    {
      const gsize rest = d - i;
      const vec origin = load_rest (pivot + i, rest);
      vec s = vec_splat (0.f), q = vec_splat (0.f);

      for (gsize p = 0; p < n_pixels; p++)
        {
          const vec v = load_rest (x + p * stride + i, rest) - origin;

          s += v;
          q += v * v;
        }
      store_rest (sum + i, s, rest);
      store_rest (squares + i, q, rest);
    }
}

static void
group_norm (const float *x, const float *scale, const float *shift, gboolean with_silu, gsize n_pixels, gsize d, float *y)
{
  for (gsize p = 0; p < n_pixels; p++, x += d, y += d)
    for (gsize i = 0; i < d; i += CPU_LANES)
      {
        vec v = load_rest (x + i, d - i) * load_rest (scale + i, d - i) + load_rest (shift + i, d - i);

        store_rest (y + i, with_silu ? vec_silu (v) : v, d - i);
      }
}

void
CPU_NAME (simd_group_norm_fill) (CpuSimd *table)
{
  table->group_sums = group_sums;
  table->group_norm = group_norm;
}
