/* ada-norm.cu — adaptive RMS norm, whose scale the network computes, and the gradient of its input
 *
 * A warp a row, or 16 above 2048 channels; rows are read again from the caches.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

#define WARPS_PER_BLOCK 4
#define LONG_WARPS 16

struct AdaNorm
{
  const void *x, *scale, *dy;
  void       *out;
  int         rows, rows_per_image, cycle, d;
  float       eps;
};

/* With GRAD the gradient of x, else (1 + scale) x / root. */
template <typename T, int V, int WARPS, bool GRAD>
static __global__ void __launch_bounds__ (32 * (WARPS > 1 ? WARPS : WARPS_PER_BLOCK))
ada_norm_kernel (const __grid_constant__ AdaNorm norm)
{
  CUDA_SHARED (float, slots, [2][32]);
  const int row = WARPS > 1 ? static_cast<int> (blockIdx.x)
                            : static_cast<int> (blockIdx.x) * WARPS_PER_BLOCK + static_cast<int> (threadIdx.x) / 32;
  const int begin = static_cast<int> (threadIdx.x) % (32 * WARPS) * V;
  const int vector = row / norm.rows_per_image * norm.cycle + row % norm.rows_per_image % norm.cycle;
  const size_t first = static_cast<size_t> (row) * static_cast<size_t> (norm.d);
  const T *x = static_cast<const T *> (norm.x) + first;
  const T *scale = static_cast<const T *> (norm.scale) + static_cast<size_t> (vector) * static_cast<size_t> (norm.d);
  const T *dy = static_cast<const T *> (norm.dy) + (GRAD ? first : 0);
  const float n = static_cast<float> (norm.d);
  float values[V], s[V], rise[V], sums[2] = { 0, 0 }, factor, along;

  kernel_begin ();
  if (row >= norm.rows)
    return;
  for (int c = begin; c < norm.d; c += 32 * WARPS * V)
    {
      load<V> (x + c, values);
      if constexpr (GRAD)
        {
          load<V> (scale + c, s);
          load<V> (dy + c, rise);
        }
#pragma unroll
      for (int i = 0; i < V; i++)
        {
          sums[0] = fmaf (values[i], values[i], sums[0]);
          if constexpr (GRAD)
            sums[1] = fmaf ((1.f + s[i]) * rise[i], values[i], sums[1]);
        }
    }
  row_sum<WARPS> (sums, slots);
  factor = 1.f / sqrtf (sums[0] / n + norm.eps);
  along = sums[1] / n * factor * factor;
  for (int c = begin; c < norm.d; c += 32 * WARPS * V)
    {
      load<V> (x + c, values);
      load<V> (scale + c, s);
      if constexpr (GRAD)
        load<V> (dy + c, rise);
#pragma unroll
      for (int i = 0; i < V; i++)
        values[i] = GRAD ? factor * ((1.f + s[i]) * rise[i] - values[i] * along) : (1.f + s[i]) * (values[i] * factor);
      store<V> (static_cast<T *> (norm.out) + first + static_cast<size_t> (c), values);
    }
}

template <typename T, int V, bool GRAD>
static cudaError_t
launch_rows_of (cudaStream_t stream, const AdaNorm &norm)
{
  if (norm.d > 64 * 32)
    return CUDA_LAUNCH ((ada_norm_kernel<T, V, LONG_WARPS, GRAD>), static_cast<unsigned> (norm.rows), 32 * LONG_WARPS, 0, stream,
                        norm);
  return CUDA_LAUNCH ((ada_norm_kernel<T, V, 1, GRAD>), static_cast<unsigned> (divide_up (norm.rows, WARPS_PER_BLOCK)),
                      32 * WARPS_PER_BLOCK, 0, stream, norm);
}

cudaError_t
cuda_ada_rms_norm (cudaStream_t stream,
                   CudaType     type,
                   const void  *x,
                   const void  *scale,
                   const void  *dy,
                   void        *out,
                   int          rows,
                   int          rows_per_image,
                   int          cycle,
                   int          d,
                   float        eps)
{
  const AdaNorm norm = { x, scale, dy, out, rows, rows_per_image, cycle, d, eps };

  if (rows <= 0 || d <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    constexpr int V = PACK<T>;

    if (norm.dy != nullptr)
      return norm.d % V == 0 ? launch_rows_of<T, V, true> (stream, norm) : launch_rows_of<T, 1, true> (stream, norm);
    return norm.d % V == 0 ? launch_rows_of<T, V, false> (stream, norm) : launch_rows_of<T, 1, false> (stream, norm);
  });
}
