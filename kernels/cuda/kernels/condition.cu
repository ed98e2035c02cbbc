/* condition.cu — how time and class act on features in U-ViT and DiT
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/gather.cuh"

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
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const ModulatedRows<T> from = {
      static_cast<const T *> (x), static_cast<const T *> (shift), static_cast<const T *> (scale), image_stride, rows_per_image, d,
    };

    return launch_rows<T> (stream, from, out, rows, d,
                           image_stride % PACK<T> == 0 && is_aligned (shift, 16) && is_aligned (scale, 16));
  });
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

    clear (values);
    if (x != nullptr)
      load<V> (row_of (x, static_cast<size_t> (row), d, c), values);
    load<V> (gate + static_cast<size_t> (row / rows_per_image) * image_stride + c, a);
    load<V> (row_of (y, static_cast<size_t> (row), d, c), b);
#pragma unroll
    for (int i = 0; i < V; i++)
      values[i] += a[i] * b[i];
  }
};

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
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const GatedRows<T> from = {
      static_cast<const T *> (x), static_cast<const T *> (gate), static_cast<const T *> (y), image_stride, rows_per_image, d,
    };

    return launch_rows<T> (stream, from, out, rows, d, image_stride % PACK<T> == 0 && is_aligned (gate, 16));
  });
}

/* ---- TIMESTEP_EMBEDDING ---- */

#define THREADS 256

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

cudaError_t
cuda_timestep_embedding (cudaStream_t stream,
                         CudaType     type,
                         const float *t,
                         void        *out,
                         int          n_times,
                         int          length)
{
  const int half = length / 2;

  if (n_times <= 0 || half <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;

    return CUDA_LAUNCH (timestep_embedding_kernel<T>, static_cast<unsigned> (divide_up (n_times * half, THREADS)), THREADS, 0, stream,
                        t, static_cast<T *> (out), n_times, half);
  });
}
