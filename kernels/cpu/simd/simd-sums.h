/* simd-sums.h — sums over one row
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cpu/simd/simd-vector.h"

/* Four sums side by side: an addition has four cycles of latency. */
CPU_INLINE double
sum_of (const float *x, gsize n)
{
  vec s[4] = { vec_splat (0.f), vec_splat (0.f), vec_splat (0.f), vec_splat (0.f) };
  gsize i = 0;

  for (; i + 4 * CPU_LANES <= n; i += 4 * CPU_LANES)
    for (guint j = 0; j < 4; j++)
      s[j] += vec_load (x + i + j * CPU_LANES);
  for (; i < n; i += CPU_LANES)
    s[0] += load_rest (x + i, n - i);
  return (double) vec_sum ((s[0] + s[1]) + (s[2] + s[3]));
}

/* Σ (x − mean)² */
CPU_INLINE double
squares_of (const float *x, gsize n, float mean)
{
  vec s[4] = { vec_splat (0.f), vec_splat (0.f), vec_splat (0.f), vec_splat (0.f) };
  const vec m = vec_splat (mean);
  gsize i = 0;

  for (; i + 4 * CPU_LANES <= n; i += 4 * CPU_LANES)
    for (guint j = 0; j < 4; j++)
      {
        vec v = vec_load (x + i + j * CPU_LANES) - m;
        s[j] += v * v;
      }
  for (; i + CPU_LANES <= n; i += CPU_LANES)
    {
      vec v = vec_load (x + i) - m;
      s[0] += v * v;
    }
  if (i < n)
    {
      vec v = vec_load_part (x + i, n - i) - m;

      for (gsize j = n - i; j < CPU_LANES; j++)
        v[j] = 0.f;
      s[0] += v * v;
    }
  return (double) vec_sum ((s[0] + s[1]) + (s[2] + s[3]));
}
