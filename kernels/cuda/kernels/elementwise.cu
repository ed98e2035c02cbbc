/* elementwise.cu — GEGLU, sums and conversions
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#define THREADS 256
#define WARPS (THREADS / 32)

/* gelu (x) = x Φ(x) with the exact error function */
static __device__ __forceinline__ float
gelu (float x)
{
  return .5f * x * (1.f + erff (x * .70710678118654752f));
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
            left[i][e] = gelu (left[i][e]) * right[i][e];
          store<V> (out + to + c, left[i]);
        }
    }
}

template <typename T>
static cudaError_t
launch_geglu (cudaStream_t stream,
              const void  *a,
              const void  *b,
              size_t       stride,
              void        *out,
              int          rows,
              int          d)
{
  constexpr int V = PACK<T>;
  const T *left = static_cast<const T *> (a), *right = static_cast<const T *> (b);
  const unsigned groups = static_cast<unsigned> (divide_up (rows, WARPS));

  if (d % V == 0 && stride % V == 0 && is_aligned (a, 16) && is_aligned (b, 16))
    return CUDA_LAUNCH ((geglu_kernel<T, V>), dim3 (groups, static_cast<unsigned> (divide_up (d, 32 * V * GEGLU_UNROLL))),
                        THREADS, 0, stream, left, right, stride, static_cast<T *> (out), rows, d);
  return CUDA_LAUNCH ((geglu_kernel<T, 1>), dim3 (groups, static_cast<unsigned> (divide_up (d, 32 * GEGLU_UNROLL))),
                      THREADS, 0, stream, left, right, stride, static_cast<T *> (out), rows, d);
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
  return CUDA_DISPATCH (type, launch_geglu, stream, a, b, stride, out, rows, d);
}

/* ---- flat arrays: UNROLL vectors a thread, the rest one by one ---- */

#define UNROLL 4

static unsigned
flat_grid (size_t n, int vector)
{
  return static_cast<unsigned> (divide_up (n, static_cast<size_t> (THREADS) * UNROLL * static_cast<size_t> (vector)));
}

/* Where vector @i of this thread begins. */
template <int V>
static __device__ __forceinline__ size_t
flat_at (int i)
{
  return ((static_cast<size_t> (blockIdx.x) * UNROLL + static_cast<size_t> (i)) * THREADS + threadIdx.x) * V;
}

/* out may be a or b. */
template <typename T>
static __global__ void __launch_bounds__ (THREADS)
add_kernel (const T *a,
            const T *b,
            T       *out,
            size_t   n)
{
  constexpr int V = PACK<T>;
  float left[UNROLL][V], right[UNROLL][V];

  kernel_begin ();
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    if (flat_at<V> (i) + V <= n)
      {
        load<V> (a + flat_at<V> (i), left[i]);
        load<V> (b + flat_at<V> (i), right[i]);
      }
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    {
      const size_t at = flat_at<V> (i);

      if (at + V <= n)
        {
#pragma unroll
          for (int e = 0; e < V; e++)
            left[i][e] += right[i][e];
          store<V> (out + at, left[i]);
        }
      else
        for (size_t j = at; j < n; j++)
          store_float (out + j, to_float (a[j]) + to_float (b[j]));
    }
}

template <typename T>
static cudaError_t
launch_add (cudaStream_t stream,
            const void  *a,
            const void  *b,
            void        *out,
            size_t       n)
{
  return CUDA_LAUNCH (add_kernel<T>, flat_grid (n, PACK<T>), THREADS, 0, stream, static_cast<const T *> (a),
                      static_cast<const T *> (b), static_cast<T *> (out), n);
}

cudaError_t
cuda_add (cudaStream_t stream,
          CudaType     type,
          const void  *a,
          const void  *b,
          void        *out,
          size_t       n)
{
  if (n == 0)
    return cudaSuccess;
  return CUDA_DISPATCH (type, launch_add, stream, a, b, out, n);
}

template <typename From, typename To>
static __global__ void __launch_bounds__ (THREADS)
convert_kernel (const From *__restrict__ x,
                To *__restrict__         out,
                size_t                   n)
{
  /* 16 bytes of the wider type: aligned for both. */
  constexpr int V = PACK<From> < PACK<To> ? PACK<From> : PACK<To>;
  float values[UNROLL][V];

  kernel_begin ();
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    if (flat_at<V> (i) + V <= n)
      load<V> (x + flat_at<V> (i), values[i]);
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    {
      const size_t at = flat_at<V> (i);

      if (at + V <= n)
        store<V> (out + at, values[i]);
      else
        for (size_t j = at; j < n; j++)
          store_float (out + j, to_float (x[j]));
    }
}

template <typename From, typename To>
static cudaError_t
launch_convert (cudaStream_t stream,
                const void  *x,
                void        *out,
                size_t       n)
{
  return CUDA_LAUNCH ((convert_kernel<From, To>), flat_grid (n, PACK<From> < PACK<To> ? PACK<From> : PACK<To>), THREADS, 0,
                      stream, static_cast<const From *> (x), static_cast<To *> (out), n);
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
