/* depthwise.cu — depthwise convolution of channels-last maps, with bias and residual
 *
 * A thread makes a tile of rows × 8 outputs of two channels (one where D is odd): every row of its
 * input goes through registers once and meets all rows of the kernel that it belongs to there, so a
 * value that was read serves up to 8 · 7 products. The warps of a block take neighbouring tiles of
 * the same 64 channels; what they read twice comes from the L1 cache, like the weights. Products
 * are float: in bf16 the 49 additions would lose two more digits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#define WARPS 4
#define TILE_WIDTH 8

struct Depthwise
{
  const void  *x;
  const float *weight;
  const float *bias;
  const void  *residual;
  void        *out;
  int          height;
  int          width;
  int          d;
  int          k;
  int          tiles_down;
  int          tiles_across;
  int          n_tiles; /* of all images */
};

/* Adds one row of the input, of which @in holds TILE_WIDTH + K − 1 columns, times one of the kernel. */
template <int V, int K>
static __device__ __forceinline__ void
add_row (float       (&sums)[TILE_WIDTH][V],
         const float (&in)[TILE_WIDTH + K - 1][V],
         const float  *weight,
         int           d)
{
#pragma unroll
  for (int kx = 0; kx < K; kx++)
    {
      float w[V];

      load<V> (weight + static_cast<size_t> (kx) * static_cast<size_t> (d), w);
#pragma unroll
      for (int x = 0; x < TILE_WIDTH; x++)
#pragma unroll
        for (int e = 0; e < V; e++)
          sums[x][e] = fmaf (in[x + kx][e], w[e], sums[x][e]);
    }
}

/* grid (groups of WARPS tiles, groups of 32 · V channels) */
template <typename T, int V, int K, int TILE_HEIGHT>
static __global__ void __launch_bounds__ (32 * WARPS, TILE_HEIGHT > 2 ? 3 : 4)
depthwise_kernel (const __grid_constant__ Depthwise conv)
{
  constexpr int COLUMNS = TILE_WIDTH + K - 1;
  const int tile = static_cast<int> (blockIdx.x) * WARPS + static_cast<int> (threadIdx.x) / 32;
  const int c = (static_cast<int> (blockIdx.y) * 32 + static_cast<int> (threadIdx.x) % 32) * V;
  const int x0 = tile % conv.tiles_across * TILE_WIDTH;
  const int y0 = tile / conv.tiles_across % conv.tiles_down * TILE_HEIGHT;
  const int image = tile / conv.tiles_across / conv.tiles_down;
  const size_t d = static_cast<size_t> (conv.d);
  const size_t first = static_cast<size_t> (image) * static_cast<size_t> (conv.height) * static_cast<size_t> (conv.width) * d +
                       static_cast<size_t> (c);
  float sums[TILE_HEIGHT][TILE_WIDTH][V];

  kernel_begin ();
  if (tile >= conv.n_tiles || c >= conv.d)
    return;
#pragma unroll
  for (int y = 0; y < TILE_HEIGHT; y++)
#pragma unroll
    for (int x = 0; x < TILE_WIDTH; x++)
      if (conv.bias != nullptr)
        load<V> (conv.bias + c, sums[y][x]);
      else
        clear (sums[y][x]);

  for (int row = 0; row < TILE_HEIGHT + K - 1; row++)
    {
      const int y = y0 + row - K / 2;
      const T *from = static_cast<const T *> (conv.x) + first;
      float in[COLUMNS][V];

      if (y < 0 || y >= conv.height)
        continue;
      from += static_cast<size_t> (y) * static_cast<size_t> (conv.width) * d;
#pragma unroll
      for (int i = 0; i < COLUMNS; i++)
        {
          const int x = x0 + i - K / 2;

          if (x >= 0 && x < conv.width)
            load<V> (from + static_cast<size_t> (x) * d, in[i]);
          else
            clear (in[i]);
        }
#pragma unroll
      for (int out = 0; out < TILE_HEIGHT; out++)
        if (row - out >= 0 && row - out < K)
          add_row<V, K> (sums[out], in, conv.weight + static_cast<size_t> (row - out) * K * d + c, conv.d);
    }

#pragma unroll
  for (int y = 0; y < TILE_HEIGHT; y++)
#pragma unroll
    for (int x = 0; x < TILE_WIDTH; x++)
      if (y0 + y < conv.height && x0 + x < conv.width)
        {
          const size_t at = first + (static_cast<size_t> (y0 + y) * static_cast<size_t> (conv.width) +
                                     static_cast<size_t> (x0 + x)) * d;

          if (conv.residual != nullptr)
            {
              float residual[V];

              load<V> (static_cast<const T *> (conv.residual) + at, residual);
#pragma unroll
              for (int e = 0; e < V; e++)
                sums[y][x][e] += residual[e];
            }
          store<V> (static_cast<T *> (conv.out) + at, sums[y][x]);
        }
}

/* Kernels of any other size: one output a thread. Here a tile is one pixel. */
template <typename T>
static __global__ void __launch_bounds__ (32 * WARPS)
any_depthwise_kernel (const __grid_constant__ Depthwise conv)
{
  const int pixel = static_cast<int> (blockIdx.x) * WARPS + static_cast<int> (threadIdx.x) / 32;
  const int c = static_cast<int> (blockIdx.y) * 32 + static_cast<int> (threadIdx.x) % 32;
  const int x0 = pixel % conv.width, y0 = pixel / conv.width % conv.height, pad = conv.k / 2;
  const size_t d = static_cast<size_t> (conv.d), at = static_cast<size_t> (pixel) * d + static_cast<size_t> (c);
  float sum;

  kernel_begin ();
  if (pixel >= conv.n_tiles || c >= conv.d)
    return;
  sum = conv.bias != nullptr ? conv.bias[c] : 0.f;
  for (int ky = max (0, pad - y0); ky < min (conv.k, conv.height + pad - y0); ky++)
    for (int kx = max (0, pad - x0); kx < min (conv.k, conv.width + pad - x0); kx++)
      {
        const ptrdiff_t step = static_cast<ptrdiff_t> (ky - pad) * conv.width + (kx - pad);

        sum = fmaf (to_float (static_cast<const T *> (conv.x)[static_cast<ptrdiff_t> (at) + step * conv.d]),
                    conv.weight[static_cast<size_t> (ky * conv.k + kx) * d + static_cast<size_t> (c)], sum);
      }
  if (conv.residual != nullptr)
    sum += to_float (static_cast<const T *> (conv.residual)[at]);
  store_float (static_cast<T *> (conv.out) + at, sum);
}

/* ---- host ---- */

static dim3
grid_of (const Depthwise &conv, int channels)
{
  return dim3 (static_cast<unsigned> (divide_up (conv.n_tiles, WARPS)), static_cast<unsigned> (divide_up (conv.d, channels)));
}

template <typename T, int V, int K>
static cudaError_t
launch_tiles (cudaStream_t stream,
              Depthwise    conv,
              int          batch)
{
  int processors;
  cudaError_t error = cuda_kernels_device_attribute (&processors, cudaDevAttrMultiProcessorCount);

  if (error != cudaSuccess)
    return error;
  /* Four rows a tile do a fifth more with every instruction, two rows fill twice as many processors. */
  conv.tiles_across = divide_up (conv.width, TILE_WIDTH);
  conv.tiles_down = divide_up (conv.height, 4);
  conv.n_tiles = batch * conv.tiles_down * conv.tiles_across;
  if (static_cast<int64_t> (conv.n_tiles) * divide_up (conv.d, 32 * V) >= 16 * static_cast<int64_t> (processors))
    return CUDA_LAUNCH ((depthwise_kernel<T, V, K, 4>), grid_of (conv, 32 * V), 32 * WARPS, 0, stream, conv);
  conv.tiles_down = divide_up (conv.height, 2);
  conv.n_tiles = batch * conv.tiles_down * conv.tiles_across;
  return CUDA_LAUNCH ((depthwise_kernel<T, V, K, 2>), grid_of (conv, 32 * V), 32 * WARPS, 0, stream, conv);
}

template <typename T, int K>
static cudaError_t
launch_size (cudaStream_t     stream,
             const Depthwise &conv,
             int              batch)
{
  return conv.d % 2 == 0 ? launch_tiles<T, 2, K> (stream, conv, batch) : launch_tiles<T, 1, K> (stream, conv, batch);
}

template <typename T>
static cudaError_t
launch_depthwise (cudaStream_t     stream,
                  const Depthwise &conv,
                  int              batch)
{
  switch (conv.k)
    {
    case 3: return launch_size<T, 3> (stream, conv, batch);
    case 5: return launch_size<T, 5> (stream, conv, batch);
    case 7: return launch_size<T, 7> (stream, conv, batch);
    default:
      {
        Depthwise pixels = conv;

        pixels.n_tiles = batch * conv.height * conv.width;
        return CUDA_LAUNCH (any_depthwise_kernel<T>, grid_of (pixels, 32), 32 * WARPS, 0, stream, pixels);
      }
    }
}

cudaError_t
cuda_depthwise_conv (cudaStream_t stream,
                     CudaType     type,
                     const void  *x,
                     const float *weight,
                     const float *bias,
                     const void  *residual,
                     void        *out,
                     int          batch,
                     int          height,
                     int          width,
                     int          d,
                     int          k)
{
  const Depthwise conv = { x, weight, bias, residual, out, height, width, d, k, 0, 0, 0 };

  if (batch <= 0 || height <= 0 || width <= 0 || d <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) { return launch_depthwise<decltype (of)> (stream, conv, batch); });
}
