/* image.cu — between pictures [B, C, H, W] of floats and maps [B, H, W, D]: patchify, the last convolution, pooling
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

/* ---- PATCHIFY: a thread makes one channel of PATCHES patches, which lie in shared memory ---- */

#define PATCHES 16
#define PATCH_THREADS 128
#define CHUNK 64 /* values of a patch at a time */

struct Patchify
{
  const float *x;
  const float *weight;
  const float *bias;
  void        *out;
  int          channels, height, width, d, k;
  int          n_patches;
};

/* Value @i (channel, row, column) of patch @patch. */
static __device__ __forceinline__ float
patch_value (const Patchify &patchify, int patch, int i)
{
  const int k = patchify.k, across = patchify.width / k, down = patchify.height / k;
  const int image = patch / (across * down), c = i / (k * k);
  const int y = patch / across % down * k + i / k % k, x = patch % across * k + i % k;
  const size_t plane = static_cast<size_t> (image) * static_cast<size_t> (patchify.channels) + static_cast<size_t> (c);

  return patchify.x[(plane * static_cast<size_t> (patchify.height) + static_cast<size_t> (y)) *
                      static_cast<size_t> (patchify.width) + static_cast<size_t> (x)];
}

/* grid (groups of PATCHES patches, groups of PATCH_THREADS channels) */
template <typename T>
static __global__ void __launch_bounds__ (PATCH_THREADS)
patchify_kernel (const __grid_constant__ Patchify patchify)
{
  CUDA_SHARED (float, values, [CHUNK][PATCHES]);
  const int thread = static_cast<int> (threadIdx.x), n_values = patchify.channels * patchify.k * patchify.k;
  const int patch0 = static_cast<int> (blockIdx.x) * PATCHES, n_patches = min (PATCHES, patchify.n_patches - patch0);
  const int c = static_cast<int> (blockIdx.y) * PATCH_THREADS + thread;
  const size_t d = static_cast<size_t> (patchify.d);
  float sums[PATCHES];

  kernel_begin ();
#pragma unroll
  for (int p = 0; p < PATCHES; p++)
    sums[p] = c < patchify.d && patchify.bias != nullptr ? patchify.bias[c] : 0.f;
  for (int first = 0; first < n_values; first += CHUNK)
    {
      const int n = min (CHUNK, n_values - first);
      const float *weight = patchify.weight + static_cast<size_t> (c) * static_cast<size_t> (n_values) + first;

      __syncthreads ();
      for (int i = thread; i < n * PATCHES; i += PATCH_THREADS)
        values[i / PATCHES][i % PATCHES] = i % PATCHES < n_patches ? patch_value (patchify, patch0 + i % PATCHES, first + i / PATCHES)
                                                                   : 0.f;
      __syncthreads ();
      if (c < patchify.d)
        for (int i = 0; i < n; i++)
          {
            const float w = weight[i];
            float row[PATCHES];

            load<PATCHES> (values[i], row);
#pragma unroll
            for (int p = 0; p < PATCHES; p++)
              sums[p] = fmaf (w, row[p], sums[p]);
          }
    }
#pragma unroll
  for (int p = 0; p < PATCHES; p++)
    if (c < patchify.d && p < n_patches)
      store_float (static_cast<T *> (patchify.out) + static_cast<size_t> (patch0 + p) * d + c, sums[p]);
}

cudaError_t
cuda_patchify (cudaStream_t stream,
               CudaType     type,
               const float *x,
               const float *weight,
               const float *bias,
               void        *out,
               int          batch,
               int          channels,
               int          height,
               int          width,
               int          d,
               int          k)
{
  const Patchify patchify = { x, weight, bias, out, channels, height, width, d, k, batch * (height / k) * (width / k) };

  if (patchify.n_patches <= 0 || d <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const dim3 grid (static_cast<unsigned> (divide_up (patchify.n_patches, PATCHES)),
                     static_cast<unsigned> (divide_up (patchify.d, PATCH_THREADS)));

    return CUDA_LAUNCH (patchify_kernel<T>, grid, PATCH_THREADS, 0, stream, patchify);
  });
}

/* ---- CONV_TO_IMAGE ---- */

#define CONV_WARPS 4
#define PIXELS 8   /* of a block, in one row */
#define COLORS 4   /* of a block */
#define LANE 4     /* channels of a lane at a time */

struct ImageConv
{
  const void  *x;
  const float *weight;
  const float *bias;
  float       *out;
  int          height, width, d, channels, k;
  int          tiles_across; /* groups of PIXELS pixels in a row */
  int          n_rows;       /* of all images */
};

/* Value l of the lane's 32, summed over all lanes, to lane l: N values of each of 2 N lanes' become half as many. */
template <int N = 16>
static __device__ __forceinline__ float
transpose_sum (float (&values)[32])
{
  const bool upper = (static_cast<int> (threadIdx.x) & N) != 0;

#pragma unroll
  for (int i = 0; i < N; i++)
    {
      const float kept = upper ? values[i + N] : values[i], given = upper ? values[i] : values[i + N];

      values[i] = kept + __shfl_xor_sync (FULL_WARP, given, N);
    }
  if constexpr (N > 1)
    return transpose_sum<N / 2> (values);
  return values[0];
}

static __device__ __forceinline__ void
store_color (const ImageConv &conv, int row, int x, int color, float sum)
{
  const size_t plane = static_cast<size_t> (row / conv.height) * static_cast<size_t> (conv.channels) + static_cast<size_t> (color);

  conv.out[(plane * static_cast<size_t> (conv.height) + static_cast<size_t> (row % conv.height)) *
             static_cast<size_t> (conv.width) + static_cast<size_t> (x)] =
    sum + (conv.bias != nullptr ? conv.bias[color] : 0.f);
}

/* The warps of a block share its pixels and divide the input's channels; grid (rows · tiles, groups of COLORS).
 * D is a multiple of LANE. */
template <typename T, int K>
static __global__ void __launch_bounds__ (32 * CONV_WARPS)
image_conv_kernel (const __grid_constant__ ImageConv conv)
{
  CUDA_SHARED (float, slots, [CONV_WARPS][32]);
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32;
  const int row = static_cast<int> (blockIdx.x) / conv.tiles_across, y = row % conv.height;
  const int x0 = static_cast<int> (blockIdx.x) % conv.tiles_across * PIXELS, color0 = static_cast<int> (blockIdx.y) * COLORS;
  const size_t d = static_cast<size_t> (conv.d);
  float sums[PIXELS * COLORS] = {};

  kernel_begin ();
  for (int c = (warp * 32 + lane) * LANE; c < conv.d; c += CONV_WARPS * 32 * LANE)
    for (int ky = 0; ky < K; ky++)
      {
        const T *from;
        float in[PIXELS + K - 1][LANE];

        if (y + ky - K / 2 < 0 || y + ky - K / 2 >= conv.height)
          continue;
        from = static_cast<const T *> (conv.x) + static_cast<size_t> (row + ky - K / 2) * static_cast<size_t> (conv.width) * d + c;
#pragma unroll
        for (int i = 0; i < PIXELS + K - 1; i++)
          {
            const int x = x0 + i - K / 2;

            if (x >= 0 && x < conv.width)
              load<LANE> (from + static_cast<size_t> (x) * d, in[i]);
            else
              in[i][0] = in[i][1] = in[i][2] = in[i][3] = 0;
          }
#pragma unroll
        for (int color = 0; color < COLORS; color++)
          if (color0 + color < conv.channels)
            {
#pragma unroll
              for (int kx = 0; kx < K; kx++)
                {
                  float w[LANE];

                  load<LANE> (conv.weight + static_cast<size_t> (((color0 + color) * K + ky) * K + kx) * d + c, w);
#pragma unroll
                  for (int p = 0; p < PIXELS; p++)
#pragma unroll
                    for (int e = 0; e < LANE; e++)
                      sums[p * COLORS + color] = fmaf (in[p + kx][e], w[e], sums[p * COLORS + color]);
                }
            }
      }

  slots[warp][lane] = transpose_sum (sums);
  __syncthreads ();
  if (warp == 0 && x0 + lane / COLORS < conv.width && color0 + lane % COLORS < conv.channels)
    {
      float sum = 0;

#pragma unroll
      for (int i = 0; i < CONV_WARPS; i++)
        sum += slots[i][lane];
      store_color (conv, row, x0 + lane / COLORS, color0 + lane % COLORS, sum);
    }
}

/* Kernels and widths of any other size: a warp makes one value of the picture. */
template <typename T>
static __global__ void __launch_bounds__ (32 * CONV_WARPS)
any_image_conv_kernel (const __grid_constant__ ImageConv conv)
{
  const int lane = static_cast<int> (threadIdx.x) % 32, pad = conv.k / 2;
  const int pixel = static_cast<int> (blockIdx.x) * CONV_WARPS + static_cast<int> (threadIdx.x) / 32;
  const int row = pixel / conv.width, y = row % conv.height, x = pixel % conv.width, color = static_cast<int> (blockIdx.y);
  const size_t d = static_cast<size_t> (conv.d);
  float sum = 0;

  kernel_begin ();
  if (row >= conv.n_rows)
    return;
  for (int ky = max (0, pad - y); ky < min (conv.k, conv.height + pad - y); ky++)
    for (int kx = max (0, pad - x); kx < min (conv.k, conv.width + pad - x); kx++)
      {
        const T *from = static_cast<const T *> (conv.x) +
                        (static_cast<size_t> (row + ky - pad) * static_cast<size_t> (conv.width) + static_cast<size_t> (x + kx - pad)) * d;
        const float *weight = conv.weight + static_cast<size_t> ((color * conv.k + ky) * conv.k + kx) * d;

        for (int c = lane; c < conv.d; c += 32)
          sum = fmaf (to_float (from[c]), weight[c], sum);
      }
  sum = warp_sum (sum);
  if (lane == 0)
    store_color (conv, row, x, color, sum);
}

template <typename T, int K>
static cudaError_t
launch_image_conv_tiles (cudaStream_t     stream,
                         const ImageConv &conv)
{
  const dim3 grid (static_cast<unsigned> (conv.n_rows) * static_cast<unsigned> (conv.tiles_across),
                   static_cast<unsigned> (divide_up (conv.channels, COLORS)));

  return CUDA_LAUNCH ((image_conv_kernel<T, K>), grid, 32 * CONV_WARPS, 0, stream, conv);
}

cudaError_t
cuda_conv_to_image (cudaStream_t stream,
                    CudaType     type,
                    const void  *x,
                    const float *weight,
                    const float *bias,
                    float       *out,
                    int          batch,
                    int          height,
                    int          width,
                    int          d,
                    int          channels,
                    int          k)
{
  const ImageConv conv = {
    x, weight, bias, out, height, width, d, channels, k, divide_up (width, PIXELS), batch * height,
  };

  if (conv.n_rows <= 0 || width <= 0 || channels <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const unsigned pixels = static_cast<unsigned> (conv.n_rows) * static_cast<unsigned> (conv.width);
    const dim3 grid (divide_up (pixels, static_cast<unsigned> (CONV_WARPS)), static_cast<unsigned> (conv.channels));

    if (conv.d % LANE == 0 && conv.k == 3)
      return launch_image_conv_tiles<T, 3> (stream, conv);
    if (conv.d % LANE == 0 && conv.k == 1)
      return launch_image_conv_tiles<T, 1> (stream, conv);
    return CUDA_LAUNCH (any_image_conv_kernel<T>, grid, 32 * CONV_WARPS, 0, stream, conv);
  });
}

/* ---- AVERAGE_POOL: a thread a mean ---- */

#define POOL_THREADS 256

static __global__ void __launch_bounds__ (POOL_THREADS)
average_pool_kernel (const float *__restrict__ x,
                     float *__restrict__       out,
                     size_t                    n,
                     int                       width, /* of the output */
                     int                       f)
{
  const size_t i = static_cast<size_t> (blockIdx.x) * POOL_THREADS + threadIdx.x;
  const size_t row = i / static_cast<size_t> (width), in_width = static_cast<size_t> (width) * static_cast<size_t> (f);
  float sum = 0;

  kernel_begin ();
  if (i >= n)
    return;
  x += row * static_cast<size_t> (f) * in_width + i % static_cast<size_t> (width) * static_cast<size_t> (f);
  for (int dy = 0; dy < f; dy++)
    for (int dx = 0; dx < f; dx++)
      sum += x[static_cast<size_t> (dy) * in_width + static_cast<size_t> (dx)];
  out[i] = sum * (1.f / static_cast<float> (f * f));
}

cudaError_t
cuda_average_pool (cudaStream_t stream,
                   const float *x,
                   float       *out,
                   int          planes,
                   int          height,
                   int          width,
                   int          f)
{
  const size_t n = static_cast<size_t> (planes) * static_cast<size_t> (height / f) * static_cast<size_t> (width / f);

  if (n == 0)
    return cudaSuccess;
  return CUDA_LAUNCH (average_pool_kernel, static_cast<unsigned> (divide_up (n, static_cast<size_t> (POOL_THREADS))), POOL_THREADS,
                      0, stream, x, out, n, width / f, f);
}
