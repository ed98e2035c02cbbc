/* attention-rows.cuh — rows of a head on their way into shared memory and out of it, for products of bf16 tiles
 *
 * In shared memory a head is padded with zeros to WIDTH, a multiple of 16 channels, and rows have 16
 * bytes more than that: eight rows of a tile then lie in 32 different banks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <type_traits>

#include "kernels/cuda/kernels/kernel-tensor.cuh"

/* Rows that a warp owns: the height of a tile. */
#define ROWS 16

/* Elements from row to row in shared memory. */
template <int WIDTH> constexpr int PITCH = WIDTH + 8;

/* What @function says, which is given the WIDTH of @head_width as a value whose type has it. */
template <typename Function>
static inline cudaError_t
with_width (int head_width, const Function &function)
{
  switch (divide_up (head_width, 16))
    {
    case 1: return function (std::integral_constant<int, 16> ());
    case 2: return function (std::integral_constant<int, 32> ());
    case 3: return function (std::integral_constant<int, 48> ());
    case 4: return function (std::integral_constant<int, 64> ());
    case 5: return function (std::integral_constant<int, 80> ());
    case 6: return function (std::integral_constant<int, 96> ());
    case 7: return function (std::integral_constant<int, 112> ());
    case 8: return function (std::integral_constant<int, 128> ());
    default: return cudaErrorInvalidValue;
    }
}

/* @rows rows of @head_width, of which those from @n_rows on and the channels up to WIDTH become zero. */
template <int WIDTH, int BYTES>
static __device__ __forceinline__ void
fill_rows_by (bf16       *shared,
              const bf16 *global,
              size_t      stride,
              int         n_rows,
              int         rows,
              int         head_width,
              int         thread,
              int         n_threads)
{
  constexpr int V = BYTES / 2, PER_ROW = WIDTH / V;

#pragma unroll 4
  for (int i = thread; i < rows * PER_ROW; i += n_threads)
    {
      const int row = i / PER_ROW, c = i % PER_ROW * V;
      bf16 *to = shared + row * PITCH<WIDTH> + c;
      const bf16 *from = global + static_cast<size_t> (row) * stride + c;
      const bool there = row < n_rows && c < head_width;

      if constexpr (V == 1)
        *to = there ? *from : __float2bfloat16_rn (0.f);
      else if (there)
        copy_async<BYTES> (to, from);
      else
        {
          const unsigned zero[BYTES / 4] = {};

          store_words (to, zero);
        }
    }
}

/* All rows of a head begin at multiples of its own bytes, up to 16. */
template <int WIDTH>
static __device__ __forceinline__ void
fill_rows (bf16       *shared,
           const bf16 *global,
           size_t      stride,
           int         head_width,
           int         n_rows,
           int         rows,
           int         thread,
           int         n_threads)
{
  if (head_width % 8 == 0)
    fill_rows_by<WIDTH, 16> (shared, global, stride, n_rows, rows, head_width, thread, n_threads);
  else if (head_width % 4 == 0)
    fill_rows_by<WIDTH, 8> (shared, global, stride, n_rows, rows, head_width, thread, n_threads);
  else
    fill_rows_by<WIDTH, 2> (shared, global, stride, n_rows, rows, head_width, thread, n_threads);
}

/* Rows of one warp from shared memory to @global. */
template <int WIDTH, int V>
static __device__ __forceinline__ void
drain_rows_by (bf16       *global,
               const bf16 *shared,
               size_t      stride,
               int         n_rows,
               int         head_width,
               int         lane)
{
  constexpr int PER_ROW = WIDTH / V;

  for (int i = lane; i < n_rows * PER_ROW; i += 32)
    {
      const int row = i / PER_ROW, c = i % PER_ROW * V;

      if (c < head_width)
        copy<V> (global + static_cast<size_t> (row) * stride + c, shared + row * PITCH<WIDTH> + c);
    }
}

template <int WIDTH>
static __device__ __forceinline__ void
drain_rows (bf16       *global,
            const bf16 *shared,
            size_t      stride,
            int         head_width,
            int         n_rows,
            int         lane)
{
  if (head_width % 8 == 0)
    drain_rows_by<WIDTH, 8> (global, shared, stride, n_rows, head_width, lane);
  else if (head_width % 4 == 0)
    drain_rows_by<WIDTH, 4> (global, shared, stride, n_rows, head_width, lane);
  else
    drain_rows_by<WIDTH, 1> (global, shared, stride, n_rows, head_width, lane);
}

/* ---- the rows that a warp owns, through its own part @stage of shared memory ---- */

/* As the first operand of products. */
template <int WIDTH>
static __device__ __forceinline__ void
load_own (bf16       *stage,
          const bf16 *rows,
          size_t      stride,
          int         head_width,
          int         n_rows,
          unsigned  (&own)[WIDTH / 16][4])
{
  const int lane = static_cast<int> (threadIdx.x) % 32;

  __syncwarp ();
  fill_rows<WIDTH> (stage, rows, stride, head_width, n_rows, ROWS, lane, 32);
  wait_for_copies ();
  __syncwarp ();
#pragma unroll
  for (int i = 0; i < WIDTH / 16; i++)
    load_tiles (own[i], stage + lane % 16 * PITCH<WIDTH> + i * 16 + lane / 16 * 8);
}

/* Rounded, and written as whole rows. */
template <int WIDTH>
static __device__ __forceinline__ void
write_own (const float (&sums)[WIDTH / 8][4],
           bf16         *stage,
           bf16         *out,
           size_t        stride,
           int           head_width,
           int           n_rows)
{
  const int lane = static_cast<int> (threadIdx.x) % 32;

  __syncwarp ();
#pragma unroll
  for (int half = 0; half < 2; half++)
#pragma unroll
    for (int i = 0; i < WIDTH / 8; i++)
      {
        const unsigned pair[1] = { pack_bf16 (sums[i][2 * half], sums[i][2 * half + 1]) };

        store_words (stage + (lane / 4 + 8 * half) * PITCH<WIDTH> + i * 8 + lane % 4 * 2, pair);
      }
  __syncwarp ();
  drain_rows<WIDTH> (out, stage, stride, head_width, n_rows, lane);
}
