/* sum-rows.cuh — sums over rows in two stages: no atomics, one order, as long chains of additions as a warp has rows
 *
 * First the rows of a part are divided into chunks, each of which a block of eight warps adds up for
 * 32 vectors of channels; then the chunks are added up the same way. A Rows type says what is added:
 *   template <int V> __device__ void read (int row, int c, float (&values)[V]) const
 * gives V channels from @c on of row @row; row k of part p is p · rows + k.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/kernels/kernel-common.cuh"

#define SUM_WARPS 8
/* Of the first stage: enough for every processor, and few enough that the second one is nothing. */
#define SUM_ROWS_OF_CHUNK 64
#define SUM_MAX_CHUNKS 256

/* Depends on the shape alone, and with it the order of the sum. */
static inline int
sum_chunks (int rows)
{
  return min (divide_up (rows, SUM_ROWS_OF_CHUNK), SUM_MAX_CHUNKS);
}

static inline size_t
sum_scratch (int parts, int rows, int d)
{
  const int chunks = sum_chunks (rows);

  return chunks > 1 ? static_cast<size_t> (parts) * static_cast<size_t> (chunks) * static_cast<size_t> (d) : 0;
}

/* out [parts, chunks, D]; grid (groups of 32 · V channels, chunks, parts up to the grid's limit) */
template <int V, typename Rows>
static __global__ void __launch_bounds__ (32 * SUM_WARPS)
sum_rows_kernel (const __grid_constant__ Rows from,
                 float                       *out,
                 int                          parts,
                 int                          rows,
                 int                          per_chunk,
                 int                          d)
{
  CUDA_SHARED (float, sums, [SUM_WARPS][32 * V]);
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32;
  const int c = (static_cast<int> (blockIdx.x) * 32 + lane) * V;
  const int first = static_cast<int> (blockIdx.y) * per_chunk, last = min (first + per_chunk, rows);

  kernel_begin ();
  for (int part = static_cast<int> (blockIdx.z); part < parts; part += static_cast<int> (gridDim.z))
    {
      float sum[V] = {};

      if (c < d)
        {
#pragma unroll 4
          for (int row = first + warp; row < last; row += SUM_WARPS)
            {
              float term[V];

              from.read (part * rows + row, c, term);
#pragma unroll
              for (int i = 0; i < V; i++)
                sum[i] += term[i];
            }
        }
      __syncthreads ();
      store<V> (&sums[warp][lane * V], sum);
      __syncthreads ();
      for (int i = static_cast<int> (threadIdx.x); i < 32 * V; i += 32 * SUM_WARPS)
        {
          const int channel = static_cast<int> (blockIdx.x) * 32 * V + i;
          float total = 0;

#pragma unroll
          for (int k = 0; k < SUM_WARPS; k++)
            total += sums[k][i];
          if (channel < d)
            out[(static_cast<size_t> (part) * gridDim.y + blockIdx.y) * static_cast<size_t> (d) +
                static_cast<size_t> (channel)] = total;
        }
    }
}

/* Rows of a tensor. */
template <typename T>
struct TensorRows
{
  const T *x;
  int      d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    load<V> (x + static_cast<size_t> (row) * static_cast<size_t> (d) + c, values);
  }
};

template <int V, typename Rows>
static cudaError_t
launch_sum_stage (cudaStream_t stream,
                  const Rows  &from,
                  float       *out,
                  int          parts,
                  int          rows,
                  int          chunks,
                  int          d)
{
  const dim3 grid (static_cast<unsigned> (divide_up (d, 32 * V)), static_cast<unsigned> (chunks),
                   static_cast<unsigned> (min (parts, 65535)));

  return CUDA_LAUNCH ((sum_rows_kernel<V, Rows>), grid, 32 * SUM_WARPS, 0, stream, from, out, parts, rows,
                      divide_up (rows, chunks), d);
}

/* @V: of the vectors in which @from can be read; @scratch: sum_scratch() floats. */
template <int V, typename Rows>
static cudaError_t
launch_sum (cudaStream_t stream,
            const Rows  &from,
            float       *scratch,
            float       *out,
            int          parts,
            int          rows,
            int          d)
{
  const int chunks = sum_chunks (rows);
  const TensorRows<float> made = { scratch, d };
  cudaError_t error;

  if (chunks == 1)
    return launch_sum_stage<V> (stream, from, out, parts, rows, 1, d);
  error = launch_sum_stage<V> (stream, from, scratch, parts, rows, chunks, d);
  if (error != cudaSuccess)
    return error;
  return d % 4 == 0 ? launch_sum_stage<4> (stream, made, out, parts, chunks, 1, d)
                    : launch_sum_stage<1> (stream, made, out, parts, chunks, 1, d);
}
