/* elementwise.cu — GEGLU, functions of one number, sums and conversions
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/flat.cuh"

#define THREADS 256
#define WARPS (THREADS / 32)

template <CudaFunction FUNCTION>
static __device__ __forceinline__ float
apply (float x)
{
  if constexpr (FUNCTION == CUDA_FUNCTION_SILU)
    return x / (1.f + expf (-x));
  else if constexpr (FUNCTION == CUDA_FUNCTION_GELU)
    return .5f * x * (1.f + erff (x * .70710678118654752f));
  else
    return .5f * x * (1.f + tanhf (.79788456080286536f * (x + .044715f * x * x * x)));
}

/* ---- GEGLU: a warp a row, or a part of one ---- */

#define GEGLU_UNROLL 4

/* grid (groups of WARPS rows, parts of 32 · V · GEGLU_UNROLL channels) */
template <typename T, int V>
static __global__ void __launch_bounds__ (THREADS)
geglu_kernel (const T *__restrict__ a,
              const T *__restrict__ b,
              size_t                stride,
              T *__restrict__       out,
              int                   rows,
              int                   d)
{
  const int lane = static_cast<int> (threadIdx.x) % 32;
  const int row = static_cast<int> (blockIdx.x) * WARPS + static_cast<int> (threadIdx.x) / 32;
  const int first = static_cast<int> (blockIdx.y) * (32 * V * GEGLU_UNROLL) + lane * V;
  const size_t in = static_cast<size_t> (row) * stride, to = static_cast<size_t> (row) * static_cast<size_t> (d);
  float left[GEGLU_UNROLL][V], right[GEGLU_UNROLL][V];

  kernel_begin ();
  if (row >= rows)
    return;
#pragma unroll
  for (int i = 0; i < GEGLU_UNROLL; i++)
    {
      const size_t c = static_cast<size_t> (first + i * 32 * V);

      if (c < static_cast<size_t> (d))
        {
          load<V> (a + in + c, left[i]);
          load<V> (b + in + c, right[i]);
        }
    }
#pragma unroll
  for (int i = 0; i < GEGLU_UNROLL; i++)
    {
      const size_t c = static_cast<size_t> (first + i * 32 * V);

      if (c < static_cast<size_t> (d))
        {
#pragma unroll
          for (int e = 0; e < V; e++)
            left[i][e] = apply<CUDA_FUNCTION_GELU> (left[i][e]) * right[i][e];
          store<V> (out + to + c, left[i]);
        }
    }
}

cudaError_t
cuda_geglu (cudaStream_t stream,
            CudaType     type,
            const void  *a,
            const void  *b,
            size_t       stride,
            void        *out,
            int          rows,
            int          d)
{
  if (rows <= 0 || d <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    constexpr int V = PACK<T>;
    const T *left = static_cast<const T *> (a), *right = static_cast<const T *> (b);
    const unsigned groups = static_cast<unsigned> (divide_up (rows, WARPS));

    if (d % V == 0 && stride % V == 0 && is_aligned (a, 16) && is_aligned (b, 16))
      return CUDA_LAUNCH ((geglu_kernel<T, V>), dim3 (groups, static_cast<unsigned> (divide_up (d, 32 * V * GEGLU_UNROLL))),
                          THREADS, 0, stream, left, right, stride, static_cast<T *> (out), rows, d);
    return CUDA_LAUNCH ((geglu_kernel<T, 1>), dim3 (groups, static_cast<unsigned> (divide_up (d, 32 * GEGLU_UNROLL))),
                        THREADS, 0, stream, left, right, stride, static_cast<T *> (out), rows, d);
  });
}

/* ---- SILU, GELU, GELU_TANH ---- */

/* Vectors of a thread. */
#define UNROLL 4

template <CudaFunction FUNCTION>
struct Applied
{
  static __device__ __forceinline__ float of (const float (&x)[1]) { return apply<FUNCTION> (x[0]); }
};

cudaError_t
cuda_apply (cudaStream_t stream,
            CudaType     type,
            CudaFunction function,
            const void  *x,
            void        *out,
            size_t       n)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const FlatArrays<T, 1> from = { { static_cast<const T *> (x) } };

    switch (function)
      {
      case CUDA_FUNCTION_SILU: return launch_flat<Applied<CUDA_FUNCTION_SILU>, T, UNROLL> (stream, from, out, n);
      case CUDA_FUNCTION_GELU: return launch_flat<Applied<CUDA_FUNCTION_GELU>, T, UNROLL> (stream, from, out, n);
      case CUDA_FUNCTION_GELU_TANH: return launch_flat<Applied<CUDA_FUNCTION_GELU_TANH>, T, UNROLL> (stream, from, out, n);
      default: return cudaErrorInvalidValue;
      }
  });
}

/* ---- ADD ---- */

struct Sum
{
  static __device__ __forceinline__ float of (const float (&x)[2]) { return x[0] + x[1]; }
};

cudaError_t
cuda_add (cudaStream_t stream,
          CudaType     type,
          const void  *a,
          const void  *b,
          void        *out,
          size_t       n)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const FlatArrays<T, 2> from = { { static_cast<const T *> (a), static_cast<const T *> (b) } };

    return launch_flat<Sum, T, UNROLL> (stream, from, out, n);
  });
}

/* ---- conversions ---- */

struct Same
{
  static __device__ __forceinline__ float of (const float (&x)[1]) { return x[0]; }
};

template <typename From, typename To>
static cudaError_t
launch_convert (cudaStream_t stream,
                const void  *x,
                void        *out,
                size_t       n)
{
  const FlatArrays<From, 1> from = { { static_cast<const From *> (x) } };

  return launch_flat<Same, To, UNROLL> (stream, from, out, n);
}

cudaError_t
cuda_convert (cudaStream_t stream,
              CudaType     from,
              const void  *x,
              CudaType     to,
              void        *out,
              size_t       n)
{
  if (n == 0)
    return cudaSuccess;
  if (from == to)
    return cudaMemcpyAsync (out, x, n * (from == CUDA_TYPE_F32 ? sizeof (float) : sizeof (bf16)), cudaMemcpyDeviceToDevice, stream);
  if (from == CUDA_TYPE_F32)
    return launch_convert<float, bf16> (stream, x, out, n);
  return launch_convert<bf16, float> (stream, x, out, n);
}
