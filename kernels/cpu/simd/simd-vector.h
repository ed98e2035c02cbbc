/* simd-vector.h — one vector type and the functions of it, at the width of the build
 *
 * The files of this folder are compiled once per instruction set with CPU_LANES floats a vector
 * (meson.build); simd-tables.h tells the copies apart. Vectors are GCC's, so the same source serves
 * AVX-512, AVX2 and any machine with 128-bit vectors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <stdint.h>
#include <string.h>

#include "kernels/cpu/cpu-simd.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#define CPU_INLINE static inline __attribute__ ((always_inline))

typedef float vec __attribute__ ((vector_size (4 * CPU_LANES)));
typedef int32_t ivec __attribute__ ((vector_size (4 * CPU_LANES)));
typedef uint32_t uvec __attribute__ ((vector_size (4 * CPU_LANES)));
typedef uint16_t hvec __attribute__ ((vector_size (2 * CPU_LANES)));

CPU_INLINE vec
vec_load (const float *p)
{
  vec v;
  memcpy (&v, p, sizeof v);
  return v;
}

CPU_INLINE void
vec_store (float *p, vec v)
{
  memcpy (p, &v, sizeof v);
}

CPU_INLINE vec
vec_splat (float s)
{
#if CPU_LANES == 16
  return (vec){ s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s };
#elif CPU_LANES == 8
  return (vec){ s, s, s, s, s, s, s, s };
#else
  return (vec){ s, s, s, s };
#endif
}

/* The first @n < CPU_LANES floats, zeros after them. */
CPU_INLINE vec
vec_load_part (const float *p, gsize n)
{
  vec v = vec_splat (0.f);
  for (gsize i = 0; i < n; i++)
    v[i] = p[i];
  return v;
}

CPU_INLINE void
vec_store_part (float *p, vec v, gsize n)
{
  for (gsize i = 0; i < n; i++)
    p[i] = v[i];
}

/* for (i …) whole vectors, then one part of a vector of @n_ elements */
#define FOR_VECTORS(i, n) for (gsize i = 0; i < (n); i += CPU_LANES)

CPU_INLINE vec
load_rest (const float *p, gsize rest)
{
  return rest >= CPU_LANES ? vec_load (p) : vec_load_part (p, rest);
}

CPU_INLINE void
store_rest (float *p, vec v, gsize rest)
{
  if (rest >= CPU_LANES)
    vec_store (p, v);
  else
    vec_store_part (p, v, rest);
}

/* bfloat16 is the upper half of a float. */
CPU_INLINE vec
vec_load_bf16 (const uint16_t *p)
{
  hvec h;
  uvec u;
  memcpy (&h, p, sizeof h);
  u = __builtin_convertvector (h, uvec) << 16;
  return (vec) u;
}

/* A float rounded to bfloat16, to nearest, ties to even; a NaN stays one. */
CPU_INLINE uint32_t
bf16_bits (float value)
{
  uint32_t u;
  memcpy (&u, &value, sizeof u);
  if ((u & 0x7fffffff) > 0x7f800000)
    return (u | 0x400000) & 0xffff0000;
  return (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000;
}

/* The same of a vector. */
CPU_INLINE vec
vec_round_bf16 (vec v)
{
  const uvec u = (uvec) v;
  const uvec rounded = u + 0x7fff + (u >> 16 & 1);
  const ivec number = (ivec) (u & 0x7fffffff) <= 0x7f800000;
  return (vec) ((((uvec) number & rounded) | (~(uvec) number & (u | 0x400000))) & 0xffff0000);
}

/* Stores the upper halves: bfloat16 that was rounded before. */
CPU_INLINE void
vec_store_bf16 (uint16_t *p, vec v)
{
  const hvec h = __builtin_convertvector ((uvec) v >> 16, hvec);
  memcpy (p, &h, sizeof h);
}

/* sum + a · b, where each lane holds a pair of bfloat16 in place of a float. */
CPU_INLINE vec
vec_dot_bf16 (vec sum, vec a, vec b)
{
#ifdef __AVX512BF16__
  return (vec) _mm512_dpbf16_ps ((__m512) sum, (__m512bh) a, (__m512bh) b);
#else
  const uvec u = (uvec) a, v = (uvec) b;
  return sum + (vec) (u << 16) * (vec) (v << 16) + (vec) (u & 0xffff0000) * (vec) (v & 0xffff0000);
#endif
}

/* Pairwise from the outside in, so the order of the sum is fixed. */
CPU_INLINE float
vec_sum (vec v)
{
  float t[CPU_LANES];
  vec_store (t, v);
  for (gsize n = CPU_LANES / 2; n > 0; n /= 2)
    for (gsize i = 0; i < n; i++)
      t[i] += t[i + n];
  return t[0];
}

CPU_INLINE vec
vec_select (ivec mask, vec a, vec b)
{
  return (vec) ((mask & (ivec) a) | (~mask & (ivec) b));
}

CPU_INLINE vec
vec_max (vec a, vec b)
{
  return vec_select (a > b, a, b);
}

CPU_INLINE vec
vec_min (vec a, vec b)
{
  return vec_select (a < b, a, b);
}

/* eˣ to about two units in the last place; saturates outside of ±87. A NaN stays one.
 * x = n ln 2 + r with |r| ≤ ln 2 / 2, and the series of eʳ to the 7th power. */
CPU_INLINE vec
vec_exp (vec x)
{
  const vec magic = vec_splat (12582912.f); /* 1.5 · 2²³: adding it rounds to an integer */
  vec n, r, p;

  x = vec_min (vec_splat (88.f), vec_max (vec_splat (-87.3f), x));
  n = x * vec_splat (1.44269504f) + magic;
  p = n - magic;
  r = x - p * vec_splat (0.693145752f); /* ln 2 in two parts */
  r = r - p * vec_splat (1.42860677e-6f);
  p = vec_splat (1.f / 5040.f);
  p = p * r + vec_splat (1.f / 720.f);
  p = p * r + vec_splat (1.f / 120.f);
  p = p * r + vec_splat (1.f / 24.f);
  p = p * r + vec_splat (1.f / 6.f);
  p = p * r + vec_splat (.5f);
  p = p * r + vec_splat (1.f);
  p = p * r + vec_splat (1.f);
  return p * (vec) (((ivec) n - 0x4b400000 + 127) << 23);
}

/* erf to 1e-7: a quotient of polynomials in x², fitted to the smallest largest error (1.6e-8) on
 * |x| ≤ 3.92, where erf is 1 but for 3e-8. A NaN stays one. */
CPU_INLINE vec
vec_erf (vec x)
{
  vec t, p, q;

  x = vec_min (vec_splat (3.92f), vec_max (vec_splat (-3.92f), x));
  t = x * x;
  p = vec_splat (2.03476250e-6f);
  p = p * t + vec_splat (2.87473627e-4f);
  p = p * t + vec_splat (3.86811004e-3f);
  p = p * t + vec_splat (5.30598129e-2f);
  p = p * t + vec_splat (1.92759112e-1f);
  p = p * t + vec_splat (1.12837902f);
  q = vec_splat (3.80706225e-5f);
  q = q * t + vec_splat (1.18806067e-3f);
  q = q * t + vec_splat (1.51718635e-2f);
  q = q * t + vec_splat (1.15082561e-1f);
  q = q * t + vec_splat (5.04159984e-1f);
  q = q * t + vec_splat (1.f);
  return x * p / q;
}

/* gelu(a) · b */
CPU_INLINE vec
vec_geglu (vec a, vec b)
{
  return vec_splat (.5f) * a * (vec_splat (1.f) + vec_erf (a * vec_splat (0.707106781f))) * b;
}

/* x / (1 + e^(−x)) */
CPU_INLINE vec
vec_silu (vec x)
{
  return x / (vec_splat (1.f) + vec_exp (-x));
}

/* (1 + tanh u) / 2 is the sigmoid of 2 u, here with 2 u = 2 √(2/π) (x + 0.044715 x³). */
CPU_INLINE vec
vec_gelu_tanh (vec x)
{
  vec u = x * (vec_splat (1.59576912f) + vec_splat (.0713548163f) * (x * x));
  return x / (vec_splat (1.f) + vec_exp (-u));
}
