/* layout-grad.cu — the ways back of what only moves numbers: tokens, channels, pixels, patches, windows
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/gather.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

/* ---- PAD_TOKENS, PAD_CHANNELS ---- */

template <typename T>
struct PaddedTokens
{
  const T *x;
  int      n_tokens, start, length, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int image = row / length, token = row % length - start;

    if (token >= 0 && token < n_tokens)
      load<V> (row_of (x, static_cast<size_t> (image) * static_cast<size_t> (n_tokens) + static_cast<size_t> (token), d, c), values);
    else
      clear (values);
  }
};

cudaError_t
cuda_pad_tokens (cudaStream_t stream,
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
    const PaddedTokens<T> from = { static_cast<const T *> (x), n_tokens, start, length, d };

    return launch_rows<T> (stream, from, out, batch * length, d, true);
  });
}

/* Where vectors are used, one is inside or outside as a whole. */
template <typename T>
struct PaddedChannels
{
  const T *x;
  int      start, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    if (c >= start && c - start < d)
      load<V> (row_of (x, static_cast<size_t> (row), d, c - start), values);
    else
      clear (values);
  }
};

cudaError_t
cuda_pad_channels (cudaStream_t stream,
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
    const PaddedChannels<T> from = { static_cast<const T *> (x), start, d };

    return launch_rows<T> (stream, from, out, rows, length, d % PACK<T> == 0 && start % PACK<T> == 0);
  });
}

/* ---- PIXEL_UNSHUFFLE: a row is one pixel of the larger map, in its new place ---- */

template <typename T>
struct UnshuffledRows
{
  const T *x;
  int      width, f, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int part = row % (f * f), pixel = row / (f * f), y = pixel / width; /* of all images one below the other */
    const size_t place = static_cast<size_t> (y * f + part / f) * static_cast<size_t> (width * f) +
                         static_cast<size_t> (pixel % width * f + part % f);

    load<V> (row_of (x, place, d, c), values);
  }
};

cudaError_t
cuda_pixel_unshuffle (cudaStream_t stream,
                      CudaType     type,
                      const void  *x,
                      void        *out,
                      int          batch,
                      int          height,
                      int          width,
                      int          d,
                      int          f)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const UnshuffledRows<T> from = { static_cast<const T *> (x), width, f, d };

    return launch_rows<T> (stream, from, out, batch * height * width * f * f, d, true);
  });
}

/* ---- SPREAD: a row is one of all planes' ---- */

struct SpreadRows
{
  const float *x;
  int          width, f;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const float *from = x + static_cast<size_t> (row / f) * static_cast<size_t> (width);

#pragma unroll
    for (int i = 0; i < V; i++)
      values[i] = from[(c + i) / f] / static_cast<float> (f * f);
  }
};

cudaError_t
cuda_spread (cudaStream_t stream,
             const float *x,
             float       *out,
             int          planes,
             int          height,
             int          width,
             int          f)
{
  const SpreadRows from = { x, width, f };

  return launch_rows<float> (stream, from, out, planes * height * f, width * f, true);
}

/* ---- PATCHES and UNPATCH ---- */

struct PatchRows
{
  const float *x;
  int          channels, height, width, f;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int w = row % width, h = row / width % height, image = row / width / height;

#pragma unroll
    for (int i = 0; i < V; i++)
      {
        const int channel = (c + i) / (f * f), dy = (c + i) / f % f, dx = (c + i) % f;
        const size_t line = static_cast<size_t> (image * channels + channel) * static_cast<size_t> (height * f) +
                            static_cast<size_t> (h * f + dy);

        values[i] = x[line * static_cast<size_t> (width * f) + static_cast<size_t> (w * f + dx)];
      }
  }
};

cudaError_t
cuda_patches (cudaStream_t stream,
              CudaType     type,
              const float *x,
              void        *out,
              int          batch,
              int          channels,
              int          height,
              int          width,
              int          f)
{
  const PatchRows from = { x, channels, height, width, f };

  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;

    return launch_rows<T> (stream, from, out, batch * from.height * from.width, from.channels * from.f * from.f, true);
  });
}

/* A row is one of all planes'. */
template <typename T>
struct UnpatchedRows
{
  const T *x;
  int      channels, height, width, f;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int h = row % (height * f), plane = row / (height * f), channel = plane % channels, image = plane / channels;
    const size_t line = static_cast<size_t> (image * height + h / f) * static_cast<size_t> (width);

#pragma unroll
    for (int i = 0; i < V; i++)
      values[i] = to_float (*row_of (x, line + static_cast<size_t> ((c + i) / f), channels * f * f,
                                     (channel * f + h % f) * f + (c + i) % f));
  }
};

cudaError_t
cuda_unpatch (cudaStream_t stream,
              CudaType     type,
              const void  *x,
              float       *out,
              int          batch,
              int          channels,
              int          height,
              int          width,
              int          f)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const UnpatchedRows<T> from = { static_cast<const T *> (x), channels, height, width, f };

    return launch_rows<float> (stream, from, out, batch * channels * height * f, width * f, true);
  });
}

/* ---- WINDOWS ---- */

struct WindowRows
{
  const float *x;
  int          channels, height, width, k;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int w = row % width, h = row / width % height, image = row / width / height;

#pragma unroll
    for (int i = 0; i < V; i++)
      {
        const int channel = (c + i) / (k * k), y = h + k / 2 - (c + i) / k % k, column = w + k / 2 - (c + i) % k;

        values[i] = 0;
        if (channel < channels && y >= 0 && y < height && column >= 0 && column < width)
          values[i] = x[(static_cast<size_t> (image * channels + channel) * static_cast<size_t> (height) + static_cast<size_t> (y)) *
                          static_cast<size_t> (width) + static_cast<size_t> (column)];
      }
  }
};

cudaError_t
cuda_windows (cudaStream_t stream,
              CudaType     type,
              const float *x,
              void        *out,
              int          stride,
              int          batch,
              int          channels,
              int          height,
              int          width,
              int          k)
{
  const WindowRows from = { x, channels, height, width, k };

  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;

    return launch_rows<T> (stream, from, out, batch * from.height * from.width, stride, true);
  });
}
