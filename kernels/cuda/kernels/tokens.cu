/* tokens.cu — tokens, positions, classes and joined channels
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/gather.cuh"
#include "kernels/cuda/kernels/sources.cuh"

/* ---- ADD_POSITION ---- */

template <typename T>
struct PositionRows
{
  const T     *x;
  const float *table;
  int          table_width, height, width, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int place = row / width % height * table_width + row % width;
    float position[V];

    load<V> (row_of (x, static_cast<size_t> (row), d, c), values);
    load<V> (row_of (table, static_cast<size_t> (place), d, c), position);
#pragma unroll
    for (int i = 0; i < V; i++)
      values[i] += position[i];
  }
};

cudaError_t
cuda_add_position (cudaStream_t stream,
                   CudaType     type,
                   const void  *x,
                   const float *table,
                   int          table_width,
                   void        *out,
                   int          batch,
                   int          height,
                   int          width,
                   int          d)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const PositionRows<T> from = { static_cast<const T *> (x), table, table_width, height, width, d };

    return launch_rows<T> (stream, from, out, batch * height * width, d, true);
  });
}

/* ---- EMBEDDING ---- */

struct EmbeddingRows
{
  const float *table;
  const int   *index;
  int          k, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int wanted = index[row];

    load<V> (row_of (table, static_cast<size_t> (wanted >= 0 && wanted < k ? wanted : 0), d, c), values);
  }
};

cudaError_t
cuda_embedding (cudaStream_t stream,
                CudaType     type,
                const float *table,
                const int   *index,
                void        *out,
                int          batch,
                int          k,
                int          d)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const EmbeddingRows from = { table, index, k, d };

    return launch_rows<T> (stream, from, out, batch, d, true);
  });
}

/* ---- PREPEND_TOKEN ---- */

template <typename T>
struct PrependRows
{
  const T *x, *token;
  int      n_tokens, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int image = row / (n_tokens + 1), place = row % (n_tokens + 1);

    if (place == 0)
      load<V> (row_of (token, static_cast<size_t> (image), d, c), values);
    else
      load<V> (row_of (x, static_cast<size_t> (row - image - 1), d, c), values);
  }
};

cudaError_t
cuda_prepend_token (cudaStream_t stream,
                    CudaType     type,
                    const void  *x,
                    const void  *token,
                    void        *out,
                    int          batch,
                    int          n_tokens,
                    int          d)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const PrependRows<T> from = { static_cast<const T *> (x), static_cast<const T *> (token), n_tokens, d };

    return launch_rows<T> (stream, from, out, batch * (n_tokens + 1), d, true);
  });
}

/* ---- SLICE_TOKENS ---- */

template <typename T>
struct SliceRows
{
  const T *x;
  int      n_tokens, start, length, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const size_t image = static_cast<size_t> (row / length);

    load<V> (row_of (x, image * static_cast<size_t> (n_tokens) + static_cast<size_t> (start + row % length), d, c), values);
  }
};

cudaError_t
cuda_slice_tokens (cudaStream_t stream,
                   CudaType     type,
                   const void  *x,
                   void        *out,
                   int          batch,
                   int          n_tokens,
                   int          start,
                   int          length,
                   int          d)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const SliceRows<T> from = { static_cast<const T *> (x), n_tokens, start, length, d };

    return launch_rows<T> (stream, from, out, batch * length, d, true);
  });
}

/* ---- CONCAT ---- */

template <typename T>
struct JoinedRows
{
  CudaSources x;
  int         uniform, rows_per_image;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    load<V> (source_at<T> (x, uniform, row, row / rows_per_image, c), values);
  }
};

cudaError_t
cuda_concat (cudaStream_t       stream,
             CudaType           type,
             const CudaSources *x,
             void              *out,
             int                rows,
             int                rows_per_image)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const JoinedRows<T> from = { *x, sources_uniform_width (x), rows_per_image };
    int d = 0;

    for (int i = 0; i < x->n; i++)
      d += x->widths[i];
    return launch_rows<T> (stream, from, out, rows, d, sources_have_vectors (x, PACK<T>));
  });
}
