/* layout.cu — the same numbers in another order: slices of channels, repetitions, pictures and maps, upsampling
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/gather.cuh"

/* ---- SLICE_CHANNELS ---- */

template <typename T>
struct ChannelRows
{
  const T *x; /* from the first channel on */
  int      d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    load<V> (row_of (x, static_cast<size_t> (row), d, c), values);
  }
};

cudaError_t
cuda_slice_channels (cudaStream_t stream,
                     CudaType     type,
                     const void  *x,
                     void        *out,
                     int          rows,
                     int          d,
                     int          start,
                     int          length)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const ChannelRows<T> from = { static_cast<const T *> (x) + start, d };

    return launch_rows<T> (stream, from, out, rows, length, d % PACK<T> == 0 && start % PACK<T> == 0);
  });
}

/* ---- REPEAT ---- */

cudaError_t
cuda_repeat (cudaStream_t stream,
             CudaType     type,
             const void  *x,
             void        *out,
             size_t       n,
             int          copies)
{
  const size_t bytes = n * (type == CUDA_TYPE_F32 ? sizeof (float) : sizeof (bf16));
  cudaError_t error = cudaSuccess;

  for (int i = 0; i < copies && n > 0 && error == cudaSuccess; i++)
    error = cudaMemcpyAsync (static_cast<char *> (out) + static_cast<size_t> (i) * bytes, x, bytes, cudaMemcpyDeviceToDevice, stream);
  return error;
}

/* ---- UPSAMPLE_NEAREST and PIXEL_SHUFFLE: a row is one pixel of maps that are F times as wide and high ---- */

template <typename T>
struct EnlargedRows
{
  const T *x;
  int      width, f, d;
  bool     shuffled; /* a pixel of x has f · f parts of D channels, one for each that it becomes */

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int x1 = row % (width * f), y1 = row / (width * f); /* of all images one below the other */
    const size_t pixel = static_cast<size_t> (y1 / f) * static_cast<size_t> (width) + static_cast<size_t> (x1 / f);
    const size_t part = pixel * static_cast<size_t> (f * f) + static_cast<size_t> (y1 % f * f + x1 % f);

    load<V> (row_of (x, shuffled ? part : pixel, d, c), values);
  }
};

static cudaError_t
enlarge (cudaStream_t stream,
         CudaType     type,
         const void  *x,
         void        *out,
         int          batch,
         int          height,
         int          width,
         int          d,
         int          f,
         bool         shuffled)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const EnlargedRows<T> from = { static_cast<const T *> (x), width, f, d, shuffled };

    return launch_rows<T> (stream, from, out, batch * height * width * f * f, d, true);
  });
}

cudaError_t
cuda_upsample_nearest (cudaStream_t stream,
                       CudaType     type,
                       const void  *x,
                       void        *out,
                       int          batch,
                       int          height,
                       int          width,
                       int          d,
                       int          f)
{
  return enlarge (stream, type, x, out, batch, height, width, d, f, false);
}

cudaError_t
cuda_pixel_shuffle (cudaStream_t stream,
                    CudaType     type,
                    const void  *x,
                    void        *out,
                    int          batch,
                    int          height,
                    int          width,
                    int          d,
                    int          f)
{
  return enlarge (stream, type, x, out, batch, height, width, d, f, true);
}

/* ---- TO_IMAGE and IMAGE_TO_MAP: [B, M, N] → [B, N, M] through tiles in shared memory ---- */

#define TILE 32
#define TILE_ROWS 8

/* grid (tiles along n, of those along m, of all images): a picture may have more rows of tiles than a grid has y */
template <typename From, typename To>
static __global__ void __launch_bounds__ (TILE * TILE_ROWS)
transpose_kernel (const From *__restrict__ x,
                  To *__restrict__         out,
                  int                      m,
                  int                      n)
{
  CUDA_SHARED (float, tile, [TILE][TILE + 1]);
  const int column = static_cast<int> (threadIdx.x) % TILE, row = static_cast<int> (threadIdx.x) / TILE;
  const int across = divide_up (n, TILE), down = divide_up (m, TILE), tile_row = static_cast<int> (blockIdx.x) / across;
  const int m0 = tile_row % down * TILE, n0 = static_cast<int> (blockIdx.x) % across * TILE;
  const size_t image = static_cast<size_t> (tile_row / down) * static_cast<size_t> (m) * static_cast<size_t> (n);

  kernel_begin ();
#pragma unroll
  for (int i = row; i < TILE; i += TILE_ROWS)
    if (m0 + i < m && n0 + column < n)
      tile[i][column] = to_float (x[image + static_cast<size_t> (m0 + i) * static_cast<size_t> (n) + static_cast<size_t> (n0 + column)]);
  __syncthreads ();
#pragma unroll
  for (int i = row; i < TILE; i += TILE_ROWS)
    if (n0 + i < n && m0 + column < m)
      store_float (out + image + static_cast<size_t> (n0 + i) * static_cast<size_t> (m) + static_cast<size_t> (m0 + column), tile[column][i]);
}

template <typename From, typename To>
static cudaError_t
launch_transpose (cudaStream_t stream,
                  const void  *x,
                  void        *out,
                  int          batch,
                  int          m,
                  int          n)
{
  const int64_t tiles = static_cast<int64_t> (batch) * divide_up (m, TILE) * divide_up (n, TILE);

  if (batch <= 0 || m <= 0 || n <= 0)
    return cudaSuccess;
  if (tiles > INT32_MAX)
    return cudaErrorInvalidValue;
  return CUDA_LAUNCH ((transpose_kernel<From, To>), static_cast<unsigned> (tiles), TILE * TILE_ROWS, 0, stream, static_cast<const From *> (x),
                      static_cast<To *> (out), m, n);
}

cudaError_t
cuda_to_image (cudaStream_t stream,
               CudaType     type,
               const void  *x,
               float       *out,
               int          batch,
               int          height,
               int          width,
               int          channels)
{
  return type == CUDA_TYPE_F32 ? launch_transpose<float, float> (stream, x, out, batch, height * width, channels)
                               : launch_transpose<bf16, float> (stream, x, out, batch, height * width, channels);
}

cudaError_t
cuda_image_to_map (cudaStream_t stream,
                   CudaType     type,
                   const float *x,
                   void        *out,
                   int          batch,
                   int          channels,
                   int          height,
                   int          width)
{
  return type == CUDA_TYPE_F32 ? launch_transpose<float, float> (stream, x, out, batch, channels, height * width)
                               : launch_transpose<float, bf16> (stream, x, out, batch, channels, height * width);
}
