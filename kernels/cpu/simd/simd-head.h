/* simd-head.h — one head of one image: how its rows go into panels, and the softmax
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <float.h>

#include "kernels/cpu/simd/simd-tile.h"

/* Columns of whole panels. */
CPU_INLINE gsize
round_up (gsize n)
{
  return (n + PANEL - 1) / PANEL * PANEL;
}

/* Rows of a head, [n, hd] at @stride floats from each other, as columns: [⌈n / PANEL⌉][hd][PANEL]. */
CPU_INLINE void
pack_keys (const float *x, gsize n, gsize hd, gsize stride, float *out)
{
  for (gsize first = 0; first < round_up (n); first += PANEL)
    for (gsize c = 0; c < PANEL; c++)
      {
        float *to = out + first * hd + c;
        const float *row = x + (first + c) * stride;

        for (gsize i = 0; i < hd; i++)
          to[i * PANEL] = first + c < n ? row[i] : 0.f;
      }
}

/* The same as rows: [⌈hd / PANEL⌉][n][PANEL]. */
CPU_INLINE void
pack_values (const float *x, gsize n, gsize hd, gsize stride, float *out)
{
  for (gsize first = 0; first < hd; first += PANEL)
    {
      const gsize width = MIN (PANEL, hd - first);
      float *to = out + first * n;

      for (gsize j = 0; j < n; j++, to += PANEL)
        {
          const float *row = x + j * stride + first;

          for (gsize i = 0; i < PANEL; i++)
            to[i] = i < width ? row[i] : 0.f;
        }
    }
}

/* The largest of the first @n scores. */
CPU_INLINE float
largest_of (const float *scores, gsize n)
{
  vec top = vec_splat (-FLT_MAX);
  const gsize whole = n / CPU_LANES * CPU_LANES;
  float largest, rest[CPU_LANES];

  for (gsize j = 0; j < whole; j += CPU_LANES)
    top = vec_max (top, vec_load (scores + j));
  vec_store (rest, top);
  largest = rest[0];
  for (gsize i = 1; i < CPU_LANES; i++)
    largest = MAX (largest, rest[i]);
  for (gsize j = whole; j < n; j++)
    largest = MAX (largest, scores[j]);
  return largest;
}

/* scores[i] → exp ((scores[i] − largest) / √HD); returns the sum. The columns past the last token are
 * left out of it. */
CPU_INLINE float
soften_below (float *scores, gsize n, float scale, float largest)
{
  vec sum = vec_splat (0.f);
  const gsize whole = n / CPU_LANES * CPU_LANES;

  for (gsize j = 0; j < whole; j += CPU_LANES)
    {
      vec e = vec_exp ((vec_load (scores + j) - vec_splat (largest)) * vec_splat (scale));

      vec_store (scores + j, e);
      sum += e;
    }
  if (whole < n)
    {
      vec e = vec_exp ((vec_load (scores + whole) - vec_splat (largest)) * vec_splat (scale));

      for (gsize i = n - whole; i < CPU_LANES; i++)
        e[i] = 0.f;
      vec_store (scores + whole, e);
      sum += e;
    }
  return vec_sum (sum);
}

/* The same with their own largest one. */
CPU_INLINE float
soften (float *scores, gsize n, float scale)
{
  return soften_below (scores, n, scale, largest_of (scores, n));
}
