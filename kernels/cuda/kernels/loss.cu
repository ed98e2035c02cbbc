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

/* ---- CROSS_ENTROPY: a warp a sample, since classes are few beside what made them ---- */

#define ENTROPY_THREADS 32

/* log Σ e^x of a row, the same on every lane */
static __device__ __forceinline__ float
log_sum_exp (const float *__restrict__ row,
             int                       n)
{
  float top = row[0], sum = 0;

  for (int i = static_cast<int> (threadIdx.x); i < n; i += ENTROPY_THREADS)
    top = fmaxf (top, row[i]);
  top = warp_max (top);
  for (int i = static_cast<int> (threadIdx.x); i < n; i += ENTROPY_THREADS)
    sum += expf (row[i] - top);
  return top + logf (warp_sum (sum));
}

static __global__ void __launch_bounds__ (ENTROPY_THREADS)
cross_entropy_kernel (const float *__restrict__ x,
                      const float *__restrict__ target,
                      float *__restrict__       out,
                      int                       n)
{
  const size_t first = static_cast<size_t> (blockIdx.x) * static_cast<size_t> (n);
  float norm, sum = 0;

  kernel_begin ();
  norm = log_sum_exp (x + first, n);
  for (int i = static_cast<int> (threadIdx.x); i < n; i += ENTROPY_THREADS)
    sum = fmaf (target[first + static_cast<size_t> (i)], norm - x[first + static_cast<size_t> (i)], sum);
  sum = warp_sum (sum);
  if (threadIdx.x == 0)
    out[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__ (ENTROPY_THREADS)
cross_entropy_grad_kernel (const float *__restrict__ x,
                           const float *__restrict__ target,
                           const float *__restrict__ dy,
                           float *__restrict__       out,
                           int                       n)
{
  const size_t first = static_cast<size_t> (blockIdx.x) * static_cast<size_t> (n);
  float norm, mass = 0;

  kernel_begin ();
  norm = log_sum_exp (x + first, n);
  for (int i = static_cast<int> (threadIdx.x); i < n; i += ENTROPY_THREADS)
    mass += target[first + static_cast<size_t> (i)];
  mass = warp_sum (mass);
  for (int i = static_cast<int> (threadIdx.x); i < n; i += ENTROPY_THREADS)
    {
      const size_t at = first + static_cast<size_t> (i);

      out[at] = dy[blockIdx.x] * (mass * expf (x[at] - norm) - target[at]);
    }
}

cudaError_t
cuda_cross_entropy (cudaStream_t stream,
                    const float *x,
                    const float *target,
                    float       *out,
                    int          batch,
                    int          n)
{
  if (batch <= 0 || n <= 0)
    return cudaSuccess;
  return CUDA_LAUNCH (cross_entropy_kernel, static_cast<unsigned> (batch), ENTROPY_THREADS, 0, stream, x, target, out, n);
}

cudaError_t
cuda_cross_entropy_grad (cudaStream_t stream,
                         const float *x,
                         const float *target,
                         const float *dy,
                         float       *out,
                         int          batch,
                         int          n)
{
  if (batch <= 0 || n <= 0)
    return cudaSuccess;
  return CUDA_LAUNCH (cross_entropy_grad_kernel, static_cast<unsigned> (batch), ENTROPY_THREADS, 0, stream, x, target, dy, out, n);
}
