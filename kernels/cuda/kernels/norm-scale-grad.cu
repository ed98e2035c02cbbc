/* norm-scale-grad.cu — gradients of the scales of norms: sums of dy · normalized x over rows
 *
 * First what each row is normalized by, then sums as of any other rows. Gradients of the input are norm-grad.cu's.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/sources.cuh"
#include "kernels/cuda/kernels/sum-rows.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

#define WARPS_PER_BLOCK 4

/* Mean and factor of a row. */
struct RowStats
{
  float mean, factor;
};

template <typename T, int V, CudaNorm NORM>
static __global__ void __launch_bounds__ (32 * WARPS_PER_BLOCK)
row_stats_kernel (const __grid_constant__ CudaSources x,
                  RowStats                           *stats,
                  int                                 rows,
                  int                                 uniform,
                  int                                 d,
                  float                               eps)
{
  const int lane = static_cast<int> (threadIdx.x) % 32;
  const int row = static_cast<int> (blockIdx.x) * WARPS_PER_BLOCK + static_cast<int> (threadIdx.x) / 32;
  const float n = static_cast<float> (d);
  float values[V], mean = 0, rest = 0, squares = 0, factor;

  kernel_begin ();
  if (row >= rows)
    return;
  if constexpr (NORM == CUDA_NORM_LAYER)
    {
      for (int c = lane * V; c < d; c += 32 * V)
        {
          load<V> (source_at<T> (x, uniform, row, 0, c), values);
#pragma unroll
          for (int i = 0; i < V; i++)
            mean += values[i];
        }
      mean = warp_sum (mean) / n;
    }
  for (int c = lane * V; c < d; c += 32 * V)
    {
      load<V> (source_at<T> (x, uniform, row, 0, c), values);
#pragma unroll
      for (int i = 0; i < V; i++)
        {
          rest += values[i] - mean;
          squares = fmaf (values[i] - mean, values[i] - mean, squares);
        }
    }
  squares = warp_sum (squares) / n;
  if constexpr (NORM == CUDA_NORM_RMS)
    factor = 1.f / (sqrtf (squares) + eps);
  else if constexpr (NORM == CUDA_NORM_ADA_RMS)
    factor = 1.f / sqrtf (squares + eps);
  else
    {
      rest = warp_sum (rest) / n;
      factor = 1.f / sqrtf (fmaxf (squares - rest * rest, 0.f) + eps);
      mean += rest;
    }
  if (lane == 0)
    stats[row] = { mean, factor };
}

/* dy · normalized x. */
template <typename T>
struct NormalizedRows
{
  CudaSources     x;
  const T        *dy;
  const RowStats *stats;
  int             uniform, rows, cycle, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    RowStats of_row;
    float rise[V];

    if (cycle > 0)
      {
        /* Row k of part (image, m) is row k · cycle + m of its image. */
        const int part = row / rows;

        row = (part / cycle * rows + row % rows) * cycle + part % cycle;
      }
    of_row = stats[row];
    load<V> (source_at<T> (x, uniform, row, 0, c), values);
    load<V> (dy + static_cast<size_t> (row) * static_cast<size_t> (d) + c, rise);
#pragma unroll
    for (int i = 0; i < V; i++)
      values[i] = (values[i] - of_row.mean) * of_row.factor * rise[i];
  }
};

template <typename T, int V>
static cudaError_t
launch_stats (cudaStream_t       stream,
              CudaNorm           norm,
              const CudaSources *x,
              RowStats          *stats,
              int                rows,
              int                d,
              float              eps)
{
  const unsigned grid = static_cast<unsigned> (divide_up (rows, WARPS_PER_BLOCK)), block = 32 * WARPS_PER_BLOCK;
  const int uniform = sources_uniform_width (x);

  switch (norm)
    {
    case CUDA_NORM_RMS:
      return CUDA_LAUNCH ((row_stats_kernel<T, V, CUDA_NORM_RMS>), grid, block, 0, stream, *x, stats, rows, uniform, d, eps);
    case CUDA_NORM_ADA_RMS:
      return CUDA_LAUNCH ((row_stats_kernel<T, V, CUDA_NORM_ADA_RMS>), grid, block, 0, stream, *x, stats, rows, uniform, d, eps);
    case CUDA_NORM_LAYER:
      return CUDA_LAUNCH ((row_stats_kernel<T, V, CUDA_NORM_LAYER>), grid, block, 0, stream, *x, stats, rows, uniform, d, eps);
    default: return cudaErrorInvalidValue;
    }
}

/* Floats that the rows' stats take, which leave the address behind them aligned. */
static size_t
stats_floats (int rows)
{
  return divide_up (static_cast<size_t> (rows) * 2, static_cast<size_t> (4)) * 4;
}

template <typename T>
static cudaError_t
launch_scale_grad (cudaStream_t       stream,
                   CudaNorm           norm,
                   const CudaSources *x,
                   const void        *dy,
                   float             *scratch,
                   float             *out,
                   int                parts,
                   int                rows,
                   int                cycle,
                   int                d,
                   float              eps)
{
  constexpr int V = PACK<T>;
  const bool vectors = sources_have_vectors (x, V);
  RowStats *stats = reinterpret_cast<RowStats *> (scratch);
  const NormalizedRows<T> from = { *x, static_cast<const T *> (dy), stats, sources_uniform_width (x), rows, cycle, d };
  float *sums = scratch + stats_floats (parts * rows);
  const cudaError_t error = vectors ? launch_stats<T, V> (stream, norm, x, stats, parts * rows, d, eps)
                                    : launch_stats<T, 1> (stream, norm, x, stats, parts * rows, d, eps);

  if (error != cudaSuccess)
    return error;
  return vectors ? launch_sum<V> (stream, from, sums, out, parts, rows, d)
                 : launch_sum<1> (stream, from, sums, out, parts, rows, d);
}

size_t
cuda_norm_scale_scratch (int parts,
                         int rows,
                         int d)
{
  return stats_floats (parts * rows) + sum_scratch (parts, rows, d);
}

cudaError_t
cuda_norm_scale_grad (cudaStream_t       stream,
                      CudaType           type,
                      CudaNorm           norm,
                      const CudaSources *x,
                      const void        *dy,
                      float             *scratch,
                      float             *out,
                      int                parts,
                      int                rows,
                      int                cycle,
                      int                d,
                      float              eps)
{
  if (parts <= 0 || rows <= 0 || d <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) {
    return launch_scale_grad<decltype (of)> (stream, norm, x, dy, scratch, out, parts, rows, cycle, d, eps);
  });
}
