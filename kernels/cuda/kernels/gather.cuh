/* gather.cuh — one kernel for all ops whose results are rows of channels that are gathered from others
 *
 * A warp makes 1024 bytes or more of one row; a Rows type says where each element comes from:
 *   template <int V> __device__ void read (int row, int c, float (&values)[V]) const
 * gives the V channels from @c on of row @row of the result.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/kernels/kernel-common.cuh"

#define GATHER_THREADS 256
#define GATHER_WARPS (GATHER_THREADS / 32)
#define GATHER_UNROLL 4

/* grid (groups of GATHER_WARPS rows, parts of 32 · V · GATHER_UNROLL channels) */
template <typename T, int V, typename Rows>
static __global__ void __launch_bounds__ (GATHER_THREADS)
rows_kernel (const __grid_constant__ Rows from,
             T                           *out,
             int                          rows,
             int                          d)
{
  const int lane = static_cast<int> (threadIdx.x) % 32;
  const int row = static_cast<int> (blockIdx.x) * GATHER_WARPS + static_cast<int> (threadIdx.x) / 32;
  const int first = static_cast<int> (blockIdx.y) * (32 * V * GATHER_UNROLL) + lane * V;
  T *to = out + static_cast<size_t> (row) * static_cast<size_t> (d);
  float values[GATHER_UNROLL][V];

  kernel_begin ();
  if (row >= rows)
    return;
#pragma unroll
  for (int i = 0; i < GATHER_UNROLL; i++)
    if (first + i * 32 * V < d)
      from.read (row, first + i * 32 * V, values[i]);
#pragma unroll
  for (int i = 0; i < GATHER_UNROLL; i++)
    if (first + i * 32 * V < d)
      store<V> (to + first + i * 32 * V, values[i]);
}

/* @vectors: all rows that are read are aligned to 16 bytes if D is a multiple of them. */
template <typename T, typename Rows>
static cudaError_t
launch_rows (cudaStream_t stream,
             const Rows  &from,
             void        *out,
             int          rows,
             int          d,
             bool         vectors)
{
  constexpr int V = PACK<T>;
  const unsigned groups = static_cast<unsigned> (divide_up (rows, GATHER_WARPS));

  if (rows <= 0 || d <= 0)
    return cudaSuccess;
  if (vectors && d % V == 0)
    return CUDA_LAUNCH ((rows_kernel<T, V, Rows>), dim3 (groups, static_cast<unsigned> (divide_up (d, 32 * V * GATHER_UNROLL))),
                        GATHER_THREADS, 0, stream, from, static_cast<T *> (out), rows, d);
  return CUDA_LAUNCH ((rows_kernel<T, 1, Rows>), dim3 (groups, static_cast<unsigned> (divide_up (d, 32 * GATHER_UNROLL))),
                      GATHER_THREADS, 0, stream, from, static_cast<T *> (out), rows, d);
}

template <typename T>
static __device__ __forceinline__ const T *
row_of (const T *x, size_t row, int d, int c)
{
  return x + row * static_cast<size_t> (d) + c;
}
