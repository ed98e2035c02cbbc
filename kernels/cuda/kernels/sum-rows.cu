/* sum-rows.cu — sums of rows, and of products of rows
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/sum-rows.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

template <typename T>
struct ProductRows
{
  const T *x, *y;
  int      d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const size_t at = static_cast<size_t> (row) * static_cast<size_t> (d) + static_cast<size_t> (c);
    float other[V];

    load<V> (x + at, values);
    load<V> (y + at, other);
#pragma unroll
    for (int i = 0; i < V; i++)
      values[i] *= other[i];
  }
};

size_t
cuda_sum_rows_scratch (int parts,
                       int rows,
                       int d)
{
  return sum_scratch (parts, rows, d);
}

cudaError_t
cuda_sum_rows (cudaStream_t stream,
               CudaType     type,
               const void  *x,
               const void  *y,
               float       *scratch,
               float       *out,
               int          parts,
               int          rows,
               int          d)
{
  if (parts <= 0 || rows <= 0 || d <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    constexpr int V = PACK<T>;
    const TensorRows<T> alone = { static_cast<const T *> (x), d };
    const ProductRows<T> products = { static_cast<const T *> (x), static_cast<const T *> (y), d };

    if (y == nullptr)
      return d % V == 0 ? launch_sum<V> (stream, alone, scratch, out, parts, rows, d)
                        : launch_sum<1> (stream, alone, scratch, out, parts, rows, d);
    return d % V == 0 ? launch_sum<V> (stream, products, scratch, out, parts, rows, d)
                      : launch_sum<1> (stream, products, scratch, out, parts, rows, d);
  });
}
