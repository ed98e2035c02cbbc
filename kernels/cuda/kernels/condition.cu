/* condition.cu — how time and class act on features in U-ViT and DiT, and functions of one number
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/gather.cuh"

/* ---- SILU, GELU, GELU_TANH ---- */

#define THREADS 256
#define UNROLL 4

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

/* out may be x. */
template <typename T, CudaFunction FUNCTION>
static __global__ void __launch_bounds__ (THREADS)
apply_kernel (const T *x,
              T       *out,
              size_t   n)
{
  constexpr int V = PACK<T>;
  const size_t first = (static_cast<size_t> (blockIdx.x) * (THREADS * UNROLL) + threadIdx.x) * V;
  float values[UNROLL][V];

  kernel_begin ();
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    if (first + static_cast<size_t> (i * THREADS * V) + V <= n)
      load<V> (x + first + i * THREADS * V, values[i]);
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    {
      const size_t at = first + static_cast<size_t> (i * THREADS * V);

      if (at + V <= n)
        {
#pragma unroll
          for (int e = 0; e < V; e++)
            values[i][e] = apply<FUNCTION> (values[i][e]);
          store<V> (out + at, values[i]);
        }
      else
        for (size_t j = at; j < n; j++)
          store_float (out + j, apply<FUNCTION> (to_float (x[j])));
    }
}

template <typename T>
static cudaError_t
launch_apply (cudaStream_t stream,
              CudaFunction function,
              const void  *x,
              void        *out,
              size_t       n)
{
  const unsigned grid = static_cast<unsigned> (divide_up (n, static_cast<size_t> (THREADS * UNROLL * PACK<T>)));
  const T *from = static_cast<const T *> (x);
  T *to = static_cast<T *> (out);

  switch (function)
    {
    case CUDA_FUNCTION_SILU: return CUDA_LAUNCH ((apply_kernel<T, CUDA_FUNCTION_SILU>), grid, THREADS, 0, stream, from, to, n);
    case CUDA_FUNCTION_GELU: return CUDA_LAUNCH ((apply_kernel<T, CUDA_FUNCTION_GELU>), grid, THREADS, 0, stream, from, to, n);
    case CUDA_FUNCTION_GELU_TANH:
      return CUDA_LAUNCH ((apply_kernel<T, CUDA_FUNCTION_GELU_TANH>), grid, THREADS, 0, stream, from, to, n);
    default: return cudaErrorInvalidValue;
    }
}

cudaError_t
cuda_apply (cudaStream_t stream,
            CudaType     type,
            CudaFunction function,
            const void  *x,
            void        *out,
            size_t       n)
{
  if (n == 0)
    return cudaSuccess;
  return CUDA_DISPATCH (type, launch_apply, stream, function, x, out, n);
}

/* ---- MODULATE and GATED_ADD ---- */

template <typename T>
struct ModulatedRows
{
  const T *x, *shift, *scale;
  size_t   image_stride;
  int      rows_per_image, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const size_t vector = static_cast<size_t> (row / rows_per_image) * image_stride + static_cast<size_t> (c);
    float a[V] = {}, b[V];

    load<V> (row_of (x, static_cast<size_t> (row), d, c), values);
    if (scale != nullptr)
      load<V> (scale + vector, a);
    load<V> (shift + vector, b);
#pragma unroll
    for (int i = 0; i < V; i++)
      values[i] = values[i] * (1.f + a[i]) + b[i];
  }
};

template <typename T>
static cudaError_t
launch_modulate (cudaStream_t stream,
                 const void  *x,
                 const void  *shift,
                 const void  *scale,
                 size_t       image_stride,
                 void        *out,
                 int          rows,
                 int          rows_per_image,
                 int          d)
{
  const ModulatedRows<T> from = {
    static_cast<const T *> (x), static_cast<const T *> (shift), static_cast<const T *> (scale), image_stride, rows_per_image, d,
  };

  return launch_rows<T> (stream, from, out, rows, d,
                         image_stride % PACK<T> == 0 && is_aligned (shift, 16) && is_aligned (scale, 16));
}

cudaError_t
cuda_modulate (cudaStream_t stream,
               CudaType     type,
               const void  *x,
               const void  *shift,
               const void  *scale,
               size_t       image_stride,
               void        *out,
               int          rows,
               int          rows_per_image,
               int          d)
{
  return CUDA_DISPATCH (type, launch_modulate, stream, x, shift, scale, image_stride, out, rows, rows_per_image, d);
}

template <typename T>
struct GatedRows
{
  const T *x, *gate, *y;
  size_t   image_stride;
  int      rows_per_image, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    float a[V], b[V];

#pragma unroll
    for (int i = 0; i < V; i++)
      values[i] = 0.f;
    if (x != nullptr)
      load<V> (row_of (x, static_cast<size_t> (row), d, c), values);
    load<V> (gate + static_cast<size_t> (row / rows_per_image) * image_stride + c, a);
    load<V> (row_of (y, static_cast<size_t> (row), d, c), b);
#pragma unroll
    for (int i = 0; i < V; i++)
      values[i] += a[i] * b[i];
  }
};

template <typename T>
static cudaError_t
launch_gated_add (cudaStream_t stream,
                  const void  *x,
                  const void  *gate,
                  const void  *y,
                  size_t       image_stride,
                  void        *out,
                  int          rows,
                  int          rows_per_image,
                  int          d)
{
  const GatedRows<T> from = {
    static_cast<const T *> (x), static_cast<const T *> (gate), static_cast<const T *> (y), image_stride, rows_per_image, d,
  };

  return launch_rows<T> (stream, from, out, rows, d, image_stride % PACK<T> == 0 && is_aligned (gate, 16));
}

cudaError_t
cuda_gated_add (cudaStream_t stream,
                CudaType     type,
                const void  *x,
                const void  *gate,
                const void  *y,
                size_t       image_stride,
                void        *out,
                int          rows,
                int          rows_per_image,
                int          d)
{
  return CUDA_DISPATCH (type, launch_gated_add, stream, x, gate, y, image_stride, out, rows, rows_per_image, d);
}

/* ---- TIMESTEP_EMBEDDING ---- */

template <typename T>
static __global__ void __launch_bounds__ (THREADS)
timestep_embedding_kernel (const float *__restrict__ t,
                           T *__restrict__           out,
                           int                       n_times,
                           int                       half)
{
  const int i = static_cast<int> (blockIdx.x) * THREADS + static_cast<int> (threadIdx.x), row = i / half, column = i % half;
  double angle;
  T *to;

  kernel_begin ();
  if (row >= n_times)
    return;
  /* The frequency is a float, as the released networks have it; the angle is not, for at t = 1000
   * its last bit would be seen. It is a few hundred numbers, once for all steps. */
  angle = static_cast<double> (t[row]) * static_cast<double> (expf (-9.21034037f * static_cast<float> (column) / static_cast<float> (half)));
  to = out + static_cast<size_t> (row) * static_cast<size_t> (2 * half) + column;
  store_float (to, static_cast<float> (cos (angle)));
  store_float (to + half, static_cast<float> (sin (angle)));
}

template <typename T>
static cudaError_t
launch_timestep_embedding (cudaStream_t stream,
                           const float *t,
                           void        *out,
                           int          n_times,
                           int          half)
{
  return CUDA_LAUNCH (timestep_embedding_kernel<T>, static_cast<unsigned> (divide_up (n_times * half, THREADS)), THREADS, 0, stream,
                      t, static_cast<T *> (out), n_times, half);
}

cudaError_t
cuda_timestep_embedding (cudaStream_t stream,
                         CudaType     type,
                         const float *t,
                         void        *out,
                         int          n_times,
                         int          length)
{
  if (n_times <= 0 || length <= 1)
    return cudaSuccess;
  return CUDA_DISPATCH (type, launch_timestep_embedding, stream, t, out, n_times, length / 2);
}
