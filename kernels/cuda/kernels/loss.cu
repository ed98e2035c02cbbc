/* loss.cu — MEAN_SQUARE and CROSS_ENTROPY with their gradients
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

#define THREADS 256
/* Of a sample that a block has for itself. */
#define SAMPLE_THREADS 512

/* ---- MEAN_SQUARE: a block a sample ---- */

static __global__ void __launch_bounds__ (SAMPLE_THREADS)
mean_square_kernel (const float *__restrict__ a,
                    const float *__restrict__ b,
                    float *__restrict__       out,
                    int                       n)
{
  CUDA_SHARED (float, slots, [1][32]);
  const size_t first = static_cast<size_t> (blockIdx.x) * static_cast<size_t> (n);
  float sum[1] = { 0 };

  kernel_begin ();
#pragma unroll 4
  for (int i = static_cast<int> (threadIdx.x); i < n; i += SAMPLE_THREADS)
    {
      const float rest = a[first + static_cast<size_t> (i)] - b[first + static_cast<size_t> (i)];

      sum[0] = fmaf (rest, rest, sum[0]);
    }
  block_sum<SAMPLE_THREADS / 32> (sum, slots);
  if (threadIdx.x == 0)
    out[blockIdx.x] = sum[0] / static_cast<float> (n);
}

/* grid (parts of a sample, samples up to the grid's limit) */
static __global__ void __launch_bounds__ (THREADS)
mean_square_grad_kernel (const float *__restrict__ a,
                         const float *__restrict__ b,
                         const float *__restrict__ dy,
                         float *__restrict__       out,
                         int                       batch,
                         int                       n)
{
  const int i = static_cast<int> (blockIdx.x) * THREADS + static_cast<int> (threadIdx.x);

  kernel_begin ();
  if (i >= n)
    return;
  for (int sample = static_cast<int> (blockIdx.y); sample < batch; sample += static_cast<int> (gridDim.y))
    {
      const size_t at = static_cast<size_t> (sample) * static_cast<size_t> (n) + static_cast<size_t> (i);

      out[at] = 2.f / static_cast<float> (n) * dy[sample] * (a[at] - b[at]);
    }
}

cudaError_t
cuda_mean_square (cudaStream_t stream,
                  const float *a,
                  const float *b,
                  float       *out,
                  int          batch,
                  int          n)
{
  if (batch <= 0 || n <= 0)
    return cudaSuccess;
  return CUDA_LAUNCH (mean_square_kernel, static_cast<unsigned> (batch), SAMPLE_THREADS, 0, stream, a, b, out, n);
}

cudaError_t
cuda_mean_square_grad (cudaStream_t stream,
                       const float *a,
                       const float *b,
                       const float *dy,
                       float       *out,
                       int          batch,
                       int          n)
{
  const dim3 grid (static_cast<unsigned> (divide_up (n, THREADS)), static_cast<unsigned> (min (batch, 65535)));

  if (batch <= 0 || n <= 0)
    return cudaSuccess;
  return CUDA_LAUNCH (mean_square_grad_kernel, grid, THREADS, 0, stream, a, b, dy, out, batch, n);
}

/* ---- CROSS_ENTROPY and its gradient: a block a sample, whose classes are few ---- */

/* @dy: NULL for the loss, out [B]; else out [B, K]. */
static __global__ void __launch_bounds__ (THREADS)
cross_entropy_kernel (const float *__restrict__ x,
                      const float *__restrict__ target,
                      const float *__restrict__ dy,
                      float *__restrict__       out,
                      int                       n)
{
  CUDA_SHARED (float, slots, [3][2][32]);
  const size_t first = static_cast<size_t> (blockIdx.x) * static_cast<size_t> (n);
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32;
  float max = -INFINITY, sums[2] = { 0, 0 }, loss[1] = { 0 }, log_sum;

  kernel_begin ();
  for (int i = static_cast<int> (threadIdx.x); i < n; i += THREADS)
    max = fmaxf (max, x[first + static_cast<size_t> (i)]);
  max = warp_max (max);
  if (lane == 0)
    slots[0][0][warp] = max;
  __syncthreads ();
  max = warp_max (lane < THREADS / 32 ? slots[0][0][lane] : -INFINITY);
  for (int i = static_cast<int> (threadIdx.x); i < n; i += THREADS)
    {
      sums[0] += expf (x[first + static_cast<size_t> (i)] - max);
      sums[1] += target[first + static_cast<size_t> (i)];
    }
  block_sum<THREADS / 32> (sums, slots[1]);
  log_sum = logf (sums[0]);
  for (int i = static_cast<int> (threadIdx.x); i < n; i += THREADS)
    {
      const size_t at = first + static_cast<size_t> (i);

      if (dy != nullptr)
        out[at] = dy[blockIdx.x] * (sums[1] * (expf (x[at] - max) / sums[0]) - target[at]);
      else
        loss[0] = fmaf (target[at], max - x[at] + log_sum, loss[0]);
    }
  if (dy != nullptr)
    return;
  block_sum<THREADS / 32> (loss, slots[2]);
  if (threadIdx.x == 0)
    out[blockIdx.x] = loss[0];
}

cudaError_t
cuda_cross_entropy (cudaStream_t stream,
                    const float *x,
                    const float *target,
                    const float *dy,
                    float       *out,
                    int          batch,
                    int          n)
{
  if (batch <= 0 || n <= 0)
    return cudaSuccess;
  return CUDA_LAUNCH (cross_entropy_kernel, static_cast<unsigned> (batch), THREADS, 0, stream, x, target, dy, out, n);
}
