/* group-norm.cu — group norms of the autoencoder, and convolutions as rows for a product
 *
 * Statistics in two kernels and without a barrier in the large one: every thread takes the channels
 * of one vector over every n-th pixel, as distances from the first of them, so that a mean far from
 * zero costs no digits. What the threads found is merged group by group with its exact weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/gather.cuh"

#define THREADS 256
#define WARPS (THREADS / 32)
#define MAX_LANES 2048  /* of an image: threads that share a channel */
#define LANE_PIXELS 16  /* at least */

static int
lanes_of (int n_pixels)
{
  return max (1, min (n_pixels / LANE_PIXELS, MAX_LANES));
}

size_t
cuda_group_stats_scratch (int batch,
                          int n_pixels,
                          int d)
{
  return 2 * static_cast<size_t> (batch) * static_cast<size_t> (lanes_of (n_pixels)) * static_cast<size_t> (d);
}

struct GroupStats
{
  const void *x;
  float      *scratch; /* means, then sums of squares around them: [B, lanes, D] each */
  float      *stats;
  int         batch, height, width, d, groups, lanes;
  int         top, left, region_height, region_width;
};

/* One thread is vector @i % (D / V) of lane @i / (D / V), all images' lanes one after the other. */
template <typename T, int V>
static __global__ void __launch_bounds__ (THREADS)
lane_stats_kernel (const __grid_constant__ GroupStats self)
{
  const size_t i = static_cast<size_t> (blockIdx.x) * THREADS + threadIdx.x;
  const size_t vectors = static_cast<size_t> (self.d / V), d = static_cast<size_t> (self.d);
  const size_t all = i / vectors, c = i % vectors * V, lanes = static_cast<size_t> (self.lanes);
  const size_t image = all / lanes, plane = static_cast<size_t> (self.batch) * lanes * d;
  const int n_pixels = self.region_height * self.region_width, lane = static_cast<int> (all % lanes);
  float pivot[V] = {}, sums[V] = {}, squares[V] = {}, n = 0;

  kernel_begin ();
  if (image >= static_cast<size_t> (self.batch))
    return;
#pragma unroll 4
  for (int p = lane; p < n_pixels; p += self.lanes)
    {
      const size_t row = image * static_cast<size_t> (self.height) + static_cast<size_t> (self.top + p / self.region_width);
      const size_t pixel = row * static_cast<size_t> (self.width) + static_cast<size_t> (self.left + p % self.region_width);
      float values[V];

      load<V> (static_cast<const T *> (self.x) + pixel * d + c, values);
#pragma unroll
      for (int e = 0; e < V; e++)
        {
          if (p == lane)
            pivot[e] = values[e];
          values[e] -= pivot[e];
          sums[e] += values[e];
          squares[e] += values[e] * values[e];
        }
      n += 1;
    }
#pragma unroll
  for (int e = 0; e < V; e++)
    {
      const float mean = sums[e] / n;

      squares[e] = fmaxf (squares[e] - sums[e] * mean, 0.f);
      sums[e] = pivot[e] + mean;
    }
  store<V> (self.scratch + all * d + c, sums);
  store<V> (self.scratch + plane + all * d + c, squares);
}

/* grid (groups, images) */
static __global__ void __launch_bounds__ (THREADS)
merge_stats_kernel (const __grid_constant__ GroupStats self)
{
  CUDA_SHARED (float, slots, [2][1][32]);
  const int group = static_cast<int> (blockIdx.x), image = static_cast<int> (blockIdx.y), width = self.d / self.groups;
  const int n_pixels = self.region_height * self.region_width, n = self.lanes * width;
  const size_t d = static_cast<size_t> (self.d), plane = static_cast<size_t> (self.batch) * static_cast<size_t> (self.lanes) * d;
  const float *means = self.scratch + static_cast<size_t> (image) * static_cast<size_t> (self.lanes) * d + group * width;
  const float count = static_cast<float> (n_pixels) * static_cast<float> (width);
  float sum[1] = { 0 }, squares[1] = { 0 }, pivot, mean;

  kernel_begin ();
  pivot = means[0];
  for (int i = static_cast<int> (threadIdx.x); i < n; i += THREADS)
    {
      const int lane = i / width, pixels = divide_up (n_pixels - lane, self.lanes);

      sum[0] += static_cast<float> (pixels) * (means[static_cast<size_t> (lane) * d + i % width] - pivot);
    }
  block_sum<WARPS> (sum, slots[0]);
  mean = pivot + sum[0] / count;
  for (int i = static_cast<int> (threadIdx.x); i < n; i += THREADS)
    {
      const int lane = i / width, pixels = divide_up (n_pixels - lane, self.lanes);
      const float *at = means + static_cast<size_t> (lane) * d + i % width, away = *at - mean;

      squares[0] += at[plane] + static_cast<float> (pixels) * away * away;
    }
  block_sum<WARPS> (squares, slots[1]);
  if (threadIdx.x == 0)
    {
      float *stats = self.stats + 2 * (static_cast<size_t> (image) * static_cast<size_t> (self.groups) + static_cast<size_t> (group));

      stats[0] = mean;
      stats[1] = squares[0] / count;
    }
}

template <typename T>
static cudaError_t
launch_lane_stats (cudaStream_t      stream,
                   const GroupStats &self)
{
  constexpr int V = PACK<T>;
  const bool vectors = self.d % V == 0;
  const size_t n = static_cast<size_t> (self.batch) * static_cast<size_t> (self.lanes) * static_cast<size_t> (vectors ? self.d / V : self.d);
  const unsigned grid = static_cast<unsigned> (divide_up (n, static_cast<size_t> (THREADS)));

  if (vectors)
    return CUDA_LAUNCH ((lane_stats_kernel<T, V>), grid, THREADS, 0, stream, self);
  return CUDA_LAUNCH ((lane_stats_kernel<T, 1>), grid, THREADS, 0, stream, self);
}

cudaError_t
cuda_group_stats (cudaStream_t stream,
                  CudaType     type,
                  const void  *x,
                  float       *scratch,
                  float       *stats,
                  int          batch,
                  int          height,
                  int          width,
                  int          d,
                  int          groups,
                  CudaRegion   region)
{
  const GroupStats self = {
    x, scratch, stats, batch, height, width, d, groups, lanes_of (region.height * region.width),
    region.top, region.left, region.height, region.width,
  };
  cudaError_t error;

  if (batch <= 0 || batch > 65535 || groups <= 0 || d % groups != 0 || region.height <= 0 || region.width <= 0)
    return cudaErrorInvalidValue;
  error = with_type (type, [&] (auto of) { return launch_lane_stats<decltype (of)> (stream, self); });
  if (error != cudaSuccess)
    return error;
  return CUDA_LAUNCH (merge_stats_kernel, dim3 (static_cast<unsigned> (groups), static_cast<unsigned> (batch)), THREADS, 0, stream, self);
}

/* ---- the norm as a factor and a summand of each channel ---- */

/* A thread a channel of an image. */
static __global__ void __launch_bounds__ (THREADS)
fold_norm_kernel (const float *__restrict__ stats,
                  size_t                    stats_stride,
                  const float *__restrict__ weight,
                  const float *__restrict__ bias,
                  float *__restrict__       folded,
                  int                       batch,
                  int                       d,
                  int                       group_width,
                  float                     eps)
{
  const int i = static_cast<int> (blockIdx.x) * THREADS + static_cast<int> (threadIdx.x), image = i / d, c = i % d;
  float factor;

  kernel_begin ();
  if (image >= batch)
    return;
  stats += static_cast<size_t> (image) * stats_stride + 2 * (c / group_width);
  factor = weight[c] / sqrtf (stats[1] + eps);
  folded += static_cast<size_t> (image) * static_cast<size_t> (2 * d) + c;
  folded[0] = factor;
  folded[d] = bias[c] - stats[0] * factor;
}

cudaError_t
cuda_group_norm_fold (cudaStream_t stream,
                      const float *stats,
                      size_t       stats_stride,
                      const float *weight,
                      const float *bias,
                      float       *folded,
                      int          batch,
                      int          d,
                      int          groups,
                      float        eps)
{
  if (batch <= 0 || groups <= 0 || d % groups != 0)
    return cudaErrorInvalidValue;
  return CUDA_LAUNCH (fold_norm_kernel, static_cast<unsigned> (divide_up (batch * d, THREADS)), THREADS, 0, stream, stats,
                      stats_stride, weight, bias, folded, batch, d, d / groups, eps);
}

/* x · factor + summand, then SiLU; the map as it is where there is no norm. */
template <int V>
static __device__ __forceinline__ void
apply_norm (float (&values)[V], const float *folded, int image, int d, int c, bool silu)
{
  float factor[V], summand[V];

  if (folded == nullptr)
    return;
  folded += static_cast<size_t> (image) * static_cast<size_t> (2 * d) + c;
  load<V> (folded, factor);
  load<V> (folded + d, summand);
#pragma unroll
  for (int i = 0; i < V; i++)
    {
      values[i] = fmaf (values[i], factor[i], summand[i]);
      if (silu)
        values[i] /= 1.f + expf (-values[i]);
    }
}

template <typename T>
struct NormedRows
{
  const T     *x;
  const float *folded;
  int          rows_per_image, d;
  bool         silu;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    load<V> (row_of (x, static_cast<size_t> (row), d, c), values);
    apply_norm<V> (values, folded, row / rows_per_image, d, c, silu);
  }
};

cudaError_t
cuda_group_norm (cudaStream_t stream,
                 CudaType     type,
                 const void  *x,
                 const float *folded,
                 int          silu,
                 void        *out,
                 int          rows,
                 int          rows_per_image,
                 int          d)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const NormedRows<T> from = { static_cast<const T *> (x), folded, rows_per_image, d, silu != 0 };

    return launch_rows<T> (stream, from, out, rows, d, true);
  });
}

/* ---- CONV2D: the values under the kernel at each output, as rows of k · k · D ---- */

template <typename T>
struct WindowRows
{
  CudaConv2d conv;
  int        first; /* output pixel of row 0, counted over all images */

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int pixel = first + row, x1 = pixel % conv.out_width, y1 = pixel / conv.out_width % conv.out_height;
    const int image = pixel / conv.out_width / conv.out_height, tap = c / conv.d, channel = c % conv.d;
    const int y = y1 * conv.stride + tap / conv.k - conv.pad_before, x = x1 * conv.stride + tap % conv.k - conv.pad_before;

    if (y < 0 || y >= conv.height * conv.factor || x < 0 || x >= conv.width * conv.factor)
      {
        clear (values);
        return;
      }
    load<V> (row_of (static_cast<const T *> (conv.x),
                     (static_cast<size_t> (image) * static_cast<size_t> (conv.height) + static_cast<size_t> (y / conv.factor)) *
                         static_cast<size_t> (conv.width) + static_cast<size_t> (x / conv.factor), conv.d, channel), values);
    apply_norm<V> (values, conv.folded, image, conv.d, channel, conv.silu != 0);
  }
};

cudaError_t
cuda_conv_rows (cudaStream_t      stream,
                CudaType          type,
                const CudaConv2d *conv,
                void             *out,
                int               first,
                int               rows)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const WindowRows<T> from = { *conv, first };

    return launch_rows<T> (stream, from, out, rows, conv->k * conv->k * conv->d, conv->d % PACK<T> == 0);
  });
}
