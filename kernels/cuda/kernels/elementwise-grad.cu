/* elementwise-grad.cu — gradients of SILU, GELU, GELU_TANH and GEGLU
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
