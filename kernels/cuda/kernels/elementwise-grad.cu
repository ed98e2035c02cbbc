/* elementwise-grad.cu — gradients of SILU, GELU, GELU_TANH and GEGLU
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/flat.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

/* Vectors of a thread. */
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

template <CudaFunction FUNCTION>
struct Slope
{
  static __device__ __forceinline__ float of (const float (&x)[2]) { return slope<FUNCTION> (x[0]) * x[1]; }
};

cudaError_t
cuda_apply_grad (cudaStream_t stream,
                 CudaType     type,
                 CudaFunction function,
                 const void  *x,
                 const void  *dy,
                 void        *out,
                 size_t       n)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const FlatArrays<T, 2> from = { { static_cast<const T *> (x), static_cast<const T *> (dy) } };

    switch (function)
      {
      case CUDA_FUNCTION_SILU: return launch_flat<Slope<CUDA_FUNCTION_SILU>, T, UNROLL> (stream, from, out, n);
      case CUDA_FUNCTION_GELU: return launch_flat<Slope<CUDA_FUNCTION_GELU>, T, UNROLL> (stream, from, out, n);
      case CUDA_FUNCTION_GELU_TANH: return launch_flat<Slope<CUDA_FUNCTION_GELU_TANH>, T, UNROLL> (stream, from, out, n);
      default: return cudaErrorInvalidValue;
      }
  });
}

struct GegluSlope
{
  static __device__ __forceinline__ float of (const float (&x)[3]) { return slope<CUDA_FUNCTION_GELU> (x[0]) * (x[1] * x[2]); }
};

cudaError_t
cuda_geglu_grad (cudaStream_t stream,
                 CudaType     type,
                 const void  *a,
                 const void  *b,
                 const void  *dy,
                 void        *out,
                 size_t       n)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const FlatArrays<T, 3> from = { { static_cast<const T *> (a), static_cast<const T *> (b), static_cast<const T *> (dy) } };

    return launch_flat<GegluSlope, T, UNROLL> (stream, from, out, n);
  });
}
