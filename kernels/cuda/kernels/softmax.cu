/* softmax.cu — rows of scores into probabilities, for attention that is two products with this between them
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#define THREADS 256
#define WARPS (THREADS / 32)

/* The largest value of a block; @slots is written once a kernel. */
static __device__ __forceinline__ float
block_max (float value, float *slots)
{
  const int warp = static_cast<int> (threadIdx.x) / 32, lane = static_cast<int> (threadIdx.x) % 32;

  value = warp_max (value);
  if (lane == 0)
    slots[warp] = value;
  __syncthreads ();
  return warp_max (lane < WARPS ? slots[lane] : -INFINITY);
}

/* A block a row. A thread reads what it writes itself only, so a row may be written over. */
template <typename T>
static __global__ void __launch_bounds__ (THREADS)
softmax_kernel (const float *x,
                float        scale,
                T           *out,
                size_t       stride,
                int          n)
{
  CUDA_SHARED (float, maxima, [WARPS]);
  CUDA_SHARED (float, slots, [1][32]);
  float max = -INFINITY, sum[1] = { 0 }, factor;

  kernel_begin ();
  x += static_cast<size_t> (blockIdx.x) * static_cast<size_t> (n);
  out += static_cast<size_t> (blockIdx.x) * stride;
  for (int i = static_cast<int> (threadIdx.x); i < n; i += THREADS)
    max = fmaxf (max, x[i]);
  max = block_max (max, maxima);
  for (int i = static_cast<int> (threadIdx.x); i < n; i += THREADS)
    sum[0] += expf ((x[i] - max) * scale);
  block_sum<WARPS> (sum, slots);
  factor = 1.f / sum[0];
  for (int i = static_cast<int> (threadIdx.x); i < n; i += THREADS)
    store_float (out + i, expf ((x[i] - max) * scale) * factor);
}

cudaError_t
cuda_softmax (cudaStream_t stream,
              CudaType     type,
              const float *x,
              float        scale,
              void        *out,
              size_t       stride,
              int          rows,
              int          n)
{
  if (n <= 0 || !(scale > 0))
    return cudaErrorInvalidValue;
  if (rows <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;

    return CUDA_LAUNCH (softmax_kernel<T>, static_cast<unsigned> (rows), THREADS, 0, stream, x, scale, static_cast<T *> (out), stride, n);
  });
}
