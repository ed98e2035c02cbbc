/* quantize.cu — rows of bf16 as e4m3 with a scale each, for products in FP8
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#define WARPS 4
#define E4M3_MAX 448.f

#if defined CUDA_EMULATED || (defined __CUDA_ARCH__ && __CUDA_ARCH__ < 890) || !defined __CUDA_ARCH__
/* 1 sign, 4 exponent and 3 mantissa bits, bias 7, no infinity; to nearest even. */
static __device__ __forceinline__ unsigned
e4m3_of (float value)
{
  const unsigned bits = float_to_bits (value), sign = bits >> 24 & 0x80, size = bits & 0x7fffffff;
  unsigned code;

  if (size > 0x7f800000)
    return sign | 0x7f;
  if (size < 121u << 23) /* below 2^-6: multiples of 2^-9 */
    return sign | static_cast<unsigned> (rintf (bits_to_float (size) * 512.f));
  code = ((size + 0x7ffff + (size >> 20 & 1)) >> 20) - (120u << 3);
  return sign | (code < 0x7e ? code : 0x7e);
}
#endif

/* Four bytes, the first lowest. */
static __device__ __forceinline__ unsigned
pack_e4m3 (float a, float b, float c, float d)
{
#if !defined CUDA_EMULATED && defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 890
  unsigned short low, high;

  asm ("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(b), "f"(a));
  asm ("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(d), "f"(c));
  return static_cast<unsigned> (low) | static_cast<unsigned> (high) << 16;
#else
  return e4m3_of (a) | e4m3_of (b) << 8 | e4m3_of (c) << 16 | e4m3_of (d) << 24;
#endif
}

/* A warp a row, which is read a second time from the L1 cache. */
template <int V>
static __global__ void __launch_bounds__ (32 * WARPS)
quantize_rows_kernel (const bf16 *__restrict__    x,
                      unsigned char *__restrict__ out,
                      float *__restrict__         scale,
                      int                         rows,
                      int                         d)
{
  const int lane = static_cast<int> (threadIdx.x) % 32;
  const int row = static_cast<int> (blockIdx.x) * WARPS + static_cast<int> (threadIdx.x) / 32;
  const size_t first = static_cast<size_t> (row) * static_cast<size_t> (d);
  float largest = 0, factor;

  kernel_begin ();
  if (row >= rows)
    return;
#pragma unroll 4
  for (int c = lane * V; c < d; c += 32 * V)
    {
      float values[V];

      load<V> (x + first + c, values);
#pragma unroll
      for (int i = 0; i < V; i++)
        largest = fmaxf (largest, fabsf (values[i]));
    }
  largest = warp_max (largest);
  /* The inverse of a subnormal scale would be infinite. */
  largest = largest < 1e-35f ? E4M3_MAX : largest;
  factor = E4M3_MAX / largest;
  if (lane == 0)
    scale[row] = largest / E4M3_MAX;

#pragma unroll 4
  for (int c = lane * V; c < d; c += 32 * V)
    {
      float values[V];

      load<V> (x + first + c, values);
      if constexpr (V == 8)
        {
          const unsigned words[2] = {
            pack_e4m3 (values[0] * factor, values[1] * factor, values[2] * factor, values[3] * factor),
            pack_e4m3 (values[4] * factor, values[5] * factor, values[6] * factor, values[7] * factor),
          };

          store_words (out + first + c, words);
        }
      else
        out[first + static_cast<size_t> (c)] = static_cast<unsigned char> (pack_e4m3 (values[0] * factor, 0, 0, 0));
    }
}

cudaError_t
cuda_quantize_rows (cudaStream_t stream,
                    const void  *x,
                    void        *out,
                    float       *scale,
                    int          rows,
                    int          d)
{
  const unsigned grid = static_cast<unsigned> (divide_up (rows, WARPS));

  if (rows <= 0 || d <= 0)
    return cudaSuccess;
  if (d % 8 == 0)
    return CUDA_LAUNCH (quantize_rows_kernel<8>, grid, 32 * WARPS, 0, stream, static_cast<const bf16 *> (x),
                        static_cast<unsigned char *> (out), scale, rows, d);
  return CUDA_LAUNCH (quantize_rows_kernel<1>, grid, 32 * WARPS, 0, stream, static_cast<const bf16 *> (x),
                      static_cast<unsigned char *> (out), scale, rows, d);
}
