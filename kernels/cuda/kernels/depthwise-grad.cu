/* depthwise-grad.cu — the gradient of the weight of a depthwise convolution
 *
 * A warp walks over tiles of one row × 8 pixels of the same 64 channels (32 where D is odd) with one
 * sum for each place of the kernel and each of its channels in registers: the 14 values of a row of x
 * that meet the 8 of dy are read once for 56 products a channel. The four warps of a block add their
 * sums up in shared memory, one after the other; a second kernel adds up the blocks'. How many blocks
 * there are depends on the shape alone, and with it the order of every sum.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

#define WARPS 4
#define TILE_WIDTH 8
/* Of a block, so that the sums are worth writing; and blocks a group of channels, so that adding them is nothing. */
#define MIN_TILES 64
#define MAX_CHUNKS 64

struct DepthwiseGrad
{
  const void *x;
  const void *dy;
  float      *sums;       /* [chunks, k · k, D] */
  int         height;
  int         width;
  int         d;
  int         k;
  int         tiles_across;
  int         n_tiles;    /* of all images */
  int         per_chunk;
};

/* V values at column @x of a row, zeros outside. */
template <typename T, int V>
static __device__ __forceinline__ void
load_column (const T *row, int x, int width, size_t d, float (&values)[V])
{
  if (x >= 0 && x < width)
    load<V> (row + static_cast<size_t> (x) * d, values);
  else
    clear (values);
}

/* Adds one tile's products. */
template <typename T, int V, int K>
static __device__ __forceinline__ void
add_tile (const DepthwiseGrad &conv, int tile, int c, float (&sums)[K][K][V])
{
  const int x0 = tile % conv.tiles_across * TILE_WIDTH, line = tile / conv.tiles_across, y0 = line % conv.height;
  const size_t d = static_cast<size_t> (conv.d), row = static_cast<size_t> (conv.width) * d;
  const T *image = static_cast<const T *> (conv.x) + static_cast<size_t> (line - y0) * row + c;
  const T *dy = static_cast<const T *> (conv.dy) + static_cast<size_t> (line) * row + c;
  float rise[TILE_WIDTH][V];

#pragma unroll
  for (int i = 0; i < TILE_WIDTH; i++)
    load_column (dy, x0 + i, conv.width, d, rise[i]);
#pragma unroll
  for (int ky = 0; ky < K; ky++)
    {
      const int y = y0 + ky - K / 2;
      float in[TILE_WIDTH + K - 1][V];

      if (y < 0 || y >= conv.height)
        continue;
#pragma unroll
      for (int i = 0; i < TILE_WIDTH + K - 1; i++)
        load_column (image + static_cast<size_t> (y) * row, x0 + i - K / 2, conv.width, d, in[i]);
#pragma unroll
      for (int kx = 0; kx < K; kx++)
#pragma unroll
        for (int i = 0; i < TILE_WIDTH; i++)
#pragma unroll
          for (int e = 0; e < V; e++)
            sums[ky][kx][e] = fmaf (rise[i][e], in[i + kx][e], sums[ky][kx][e]);
    }
}

/* grid (groups of 32 · V channels, chunks of tiles) */
template <typename T, int V, int K>
static __global__ void __launch_bounds__ (32 * WARPS, 3)
depthwise_weight_kernel (const __grid_constant__ DepthwiseGrad conv)
{
  CUDA_SHARED (float, total, [K * K][32 * V]);
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32;
  const int c = (static_cast<int> (blockIdx.x) * 32 + lane) * V;
  const int first = static_cast<int> (blockIdx.y) * conv.per_chunk, last = min (first + conv.per_chunk, conv.n_tiles);
  float sums[K][K][V];

  kernel_begin ();
#pragma unroll
  for (int ky = 0; ky < K; ky++)
#pragma unroll
    for (int kx = 0; kx < K; kx++)
#pragma unroll
      for (int e = 0; e < V; e++)
        sums[ky][kx][e] = 0;
  if (c < conv.d)
    for (int tile = first + warp; tile < last; tile += WARPS)
      add_tile<T, V, K> (conv, tile, c, sums);

  for (int turn = 0; turn < WARPS; turn++)
    {
      if (warp == turn)
#pragma unroll
        for (int ky = 0; ky < K; ky++)
#pragma unroll
          for (int kx = 0; kx < K; kx++)
#pragma unroll
            for (int e = 0; e < V; e++)
              {
                float &to = total[ky * K + kx][lane * V + e];

                to = turn == 0 ? sums[ky][kx][e] : to + sums[ky][kx][e];
              }
      __syncthreads ();
    }
  for (int i = static_cast<int> (threadIdx.x); i < K * K * 32 * V; i += 32 * WARPS)
    {
      const int tap = i / (32 * V), channel = static_cast<int> (blockIdx.x) * 32 * V + i % (32 * V);

      if (channel < conv.d)
        conv.sums[(static_cast<size_t> (blockIdx.y) * (K * K) + static_cast<size_t> (tap)) * static_cast<size_t> (conv.d) +
                  static_cast<size_t> (channel)] = total[tap][i % (32 * V)];
    }
}

/* Kernels of any other size; grid (groups of 32 channels, chunks of pixels, places of the kernel). Here a tile is one pixel. */
template <typename T>
static __global__ void __launch_bounds__ (32 * WARPS)
any_depthwise_weight_kernel (const __grid_constant__ DepthwiseGrad conv)
{
  CUDA_SHARED (float, total, [WARPS][32]);
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32;
  const int c = static_cast<int> (blockIdx.x) * 32 + lane, tap = static_cast<int> (blockIdx.z);
  const int down = tap / conv.k - conv.k / 2, right = tap % conv.k - conv.k / 2;
  const int first = static_cast<int> (blockIdx.y) * conv.per_chunk, last = min (first + conv.per_chunk, conv.n_tiles);
  const size_t d = static_cast<size_t> (conv.d);
  float sum = 0;

  kernel_begin ();
  for (int pixel = first + warp; pixel < last && c < conv.d; pixel += WARPS)
    {
      const int x = pixel % conv.width + right, line = pixel / conv.width, y = line % conv.height + down;
      const size_t other = static_cast<size_t> (line + down) * static_cast<size_t> (conv.width) + static_cast<size_t> (x);

      if (x >= 0 && x < conv.width && y >= 0 && y < conv.height)
        sum = fmaf (to_float (static_cast<const T *> (conv.dy)[static_cast<size_t> (pixel) * d + static_cast<size_t> (c)]),
                    to_float (static_cast<const T *> (conv.x)[other * d + static_cast<size_t> (c)]), sum);
    }
  total[warp][lane] = sum;
  __syncthreads ();
  if (warp != 0 || c >= conv.d)
    return;
  for (int i = 1; i < WARPS; i++)
    sum += total[i][lane];
  conv.sums[(static_cast<size_t> (blockIdx.y) * gridDim.z + static_cast<size_t> (tap)) * d + static_cast<size_t> (c)] = sum;
}

/* ---- the second stage: [chunks, taps, D] → [D, taps] ---- */

#define THREADS 256

static __global__ void __launch_bounds__ (THREADS)
add_chunks_kernel (const float *__restrict__ sums,
                   float *__restrict__       out,
                   int                       chunks,
                   int                       taps,
                   int                       d)
{
  const int i = static_cast<int> (blockIdx.x) * THREADS + static_cast<int> (threadIdx.x), n = taps * d;
  float sum = 0;

  kernel_begin ();
  if (i >= n)
    return;
#pragma unroll 8
  for (int chunk = 0; chunk < chunks; chunk++)
    sum += sums[static_cast<size_t> (chunk) * static_cast<size_t> (n) + static_cast<size_t> (i)];
  out[static_cast<size_t> (i % d) * static_cast<size_t> (taps) + static_cast<size_t> (i / d)] = sum;
}

/* ---- host ---- */

static int
tiles_of (int batch, int height, int width)
{
  return batch * height * divide_up (width, TILE_WIDTH);
}

static int
chunks_of (int n_tiles)
{
  return max (1, min (n_tiles / MIN_TILES, MAX_CHUNKS));
}

template <typename T, int V, int K>
static cudaError_t
launch_tiles (cudaStream_t         stream,
              const DepthwiseGrad &conv,
              int                  chunks)
{
  const dim3 grid (static_cast<unsigned> (divide_up (conv.d, 32 * V)), static_cast<unsigned> (chunks));

  return CUDA_LAUNCH ((depthwise_weight_kernel<T, V, K>), grid, 32 * WARPS, 0, stream, conv);
}

template <typename T, int K>
static cudaError_t
launch_size (cudaStream_t         stream,
             const DepthwiseGrad &conv,
             int                  chunks)
{
  return conv.d % 2 == 0 ? launch_tiles<T, 2, K> (stream, conv, chunks) : launch_tiles<T, 1, K> (stream, conv, chunks);
}

template <typename T>
static cudaError_t
launch_weight_grad (cudaStream_t         stream,
                    const DepthwiseGrad &conv,
                    int                  chunks)
{
  switch (conv.k)
    {
    case 3: return launch_size<T, 3> (stream, conv, chunks);
    case 5: return launch_size<T, 5> (stream, conv, chunks);
    case 7: return launch_size<T, 7> (stream, conv, chunks);
    default:
      {
        const dim3 grid (static_cast<unsigned> (divide_up (conv.d, 32)), static_cast<unsigned> (chunks),
                         static_cast<unsigned> (conv.k * conv.k));
        DepthwiseGrad pixels = conv;

        pixels.n_tiles = conv.n_tiles / conv.tiles_across * conv.width;
        pixels.per_chunk = divide_up (pixels.n_tiles, chunks);
        return CUDA_LAUNCH (any_depthwise_weight_kernel<T>, grid, 32 * WARPS, 0, stream, pixels);
      }
    }
}

size_t
cuda_depthwise_weight_scratch (int batch,
                               int height,
                               int width,
                               int d,
                               int k)
{
  return static_cast<size_t> (chunks_of (tiles_of (batch, height, width))) * static_cast<size_t> (k * k) * static_cast<size_t> (d);
}

cudaError_t
cuda_depthwise_weight_grad (cudaStream_t stream,
                            CudaType     type,
                            const void  *x,
                            const void  *dy,
                            float       *scratch,
                            float       *out,
                            int          batch,
                            int          height,
                            int          width,
                            int          d,
                            int          k)
{
  const int n_tiles = tiles_of (batch, height, width), chunks = chunks_of (n_tiles);
  const DepthwiseGrad conv = {
    x, dy, scratch, height, width, d, k, divide_up (width, TILE_WIDTH), n_tiles, divide_up (n_tiles, chunks),
  };
  cudaError_t error;

  if (batch <= 0 || height <= 0 || width <= 0 || d <= 0)
    return cudaSuccess;
  error = with_type (type, [&] (auto of) { return launch_weight_grad<decltype (of)> (stream, conv, chunks); });
  if (error != cudaSuccess)
    return error;
  return CUDA_LAUNCH (add_chunks_kernel, static_cast<unsigned> (divide_up (k * k * d, THREADS)), THREADS, 0, stream, scratch, out,
                      chunks, k * k, d);
}
