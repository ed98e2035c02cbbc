/* elementwise-grad.cu — gradients of SILU, GELU, GELU_TANH and GEGLU, and the losses
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

#define THREADS 256
#define UNROLL 2

/* ---- f'(x) · dy, and gelu'(x) · b · dy ---- */

template <CudaFunction FUNCTION>
static __device__ __forceinline__ float
slope (float x)
{
  if constexpr (FUNCTION == CUDA_FUNCTION_SILU)
    {
      const float s = 1.f / (1.f + expf (-x));

      return s + x * s * (1.f - s);
    }
  else if constexpr (FUNCTION == CUDA_FUNCTION_GELU)
    return .5f * (1.f + erff (x * .70710678118654752f)) + x * expf (-.5f * x * x) * .39894228040143268f;
  else
    {
      const float t = tanhf (.79788456080286536f * (x + .044715f * x * x * x));

      return .5f * (1.f + t) + .5f * x * (1.f - t * t) * .79788456080286536f * (1.f + .134145f * x * x);
    }
}

/* @b: NULL for none. out may be any of the others. */
template <typename T, CudaFunction FUNCTION>
static __global__ void __launch_bounds__ (THREADS)
slope_kernel (const T *x,
              const T *b,
              const T *dy,
              T       *out,
              size_t   n)
{
  constexpr int V = PACK<T>;
  const size_t first = (static_cast<size_t> (blockIdx.x) * (THREADS * UNROLL) + threadIdx.x) * V;
  float values[UNROLL][V], gate[UNROLL][V], rise[UNROLL][V];

  kernel_begin ();
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    {
      const size_t at = first + static_cast<size_t> (i * THREADS * V);

      if (at + V <= n)
        {
          load<V> (x + at, values[i]);
          load<V> (dy + at, rise[i]);
          if (b != nullptr)
            load<V> (b + at, gate[i]);
        }
    }
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    {
      const size_t at = first + static_cast<size_t> (i * THREADS * V);

      if (at + V <= n)
        {
#pragma unroll
          for (int e = 0; e < V; e++)
            values[i][e] = slope<FUNCTION> (values[i][e]) * (b != nullptr ? gate[i][e] * rise[i][e] : rise[i][e]);
          store<V> (out + at, values[i]);
        }
      else
        for (size_t j = at; j < n; j++)
          store_float (out + j, slope<FUNCTION> (to_float (x[j])) * (b != nullptr ? to_float (b[j]) : 1.f) * to_float (dy[j]));
    }
}

template <typename T>
static cudaError_t
launch_slope (cudaStream_t stream,
              CudaFunction function,
              const void  *x,
              const void  *b,
              const void  *dy,
              void        *out,
              size_t       n)
{
  const unsigned grid = static_cast<unsigned> (divide_up (n, static_cast<size_t> (THREADS * UNROLL * PACK<T>)));
  const T *from = static_cast<const T *> (x), *gate = static_cast<const T *> (b), *rise = static_cast<const T *> (dy);
  T *to = static_cast<T *> (out);

  switch (function)
    {
    case CUDA_FUNCTION_SILU:
      return CUDA_LAUNCH ((slope_kernel<T, CUDA_FUNCTION_SILU>), grid, THREADS, 0, stream, from, gate, rise, to, n);
    case CUDA_FUNCTION_GELU:
      return CUDA_LAUNCH ((slope_kernel<T, CUDA_FUNCTION_GELU>), grid, THREADS, 0, stream, from, gate, rise, to, n);
    case CUDA_FUNCTION_GELU_TANH:
      return CUDA_LAUNCH ((slope_kernel<T, CUDA_FUNCTION_GELU_TANH>), grid, THREADS, 0, stream, from, gate, rise, to, n);
    default: return cudaErrorInvalidValue;
    }
}

cudaError_t
cuda_apply_grad (cudaStream_t stream,
                 CudaType     type,
                 CudaFunction function,
                 const void  *x,
                 const void  *dy,
                 void        *out,
                 size_t       n)
{
  if (n == 0)
    return cudaSuccess;
  return CUDA_DISPATCH (type, launch_slope, stream, function, x, nullptr, dy, out, n);
}

cudaError_t
cuda_geglu_grad (cudaStream_t stream,
                 CudaType     type,
                 const void  *a,
                 const void  *b,
                 const void  *dy,
                 void        *out,
                 size_t       n)
{
  if (n == 0)
    return cudaSuccess;
  return CUDA_DISPATCH (type, launch_slope, stream, CUDA_FUNCTION_GELU, a, b, dy, out, n);
}

/* ---- MEAN_SQUARE: a block a sample ---- */

#define LOSS_THREADS 512

static __global__ void __launch_bounds__ (LOSS_THREADS)
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
  for (int i = static_cast<int> (threadIdx.x); i < n; i += LOSS_THREADS)
    {
      const float rest = a[first + static_cast<size_t> (i)] - b[first + static_cast<size_t> (i)];

      sum[0] = fmaf (rest, rest, sum[0]);
    }
  block_sum<LOSS_THREADS / 32> (sum, slots);
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
  return CUDA_LAUNCH (mean_square_kernel, static_cast<unsigned> (batch), LOSS_THREADS, 0, stream, a, b, out, n);
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
