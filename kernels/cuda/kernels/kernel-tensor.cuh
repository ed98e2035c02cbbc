/* kernel-tensor.cuh — matrices in shared memory: asynchronous copies, ldmatrix, and products of bf16 tiles
 *
 * Fragments are those of mma.sync.m16n8k16; with g = lane / 4 and t = lane % 4 a lane holds
 *   a[0] = A[g][2t…], a[1] = A[g + 8][2t…], a[2] = A[g][2t + 8…], a[3] = A[g + 8][2t + 8…]   (pairs)
 *   b[0] = B[2t…][g], b[1] = B[2t + 8…][g]                                                   (pairs)
 *   d[0], d[1] = D[g][2t…]; d[2], d[3] = D[g + 8][2t…]
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/kernels/kernel-common.cuh"

#if !defined CUDA_EMULATED && defined __CUDA_ARCH__ && __CUDA_ARCH__ < 800
/* Turing has no bf16 products: the same sum with shuffles, slow and right, and once a kernel instead of at every product. */
static __device__ __noinline__ void
shuffled_mma (float          (&d)[4],
              const unsigned (&a)[4],
              unsigned         b0,
              unsigned         b1)
{
  const int lane = static_cast<int> (threadIdx.x) % 32, row = lane & ~3, column = lane % 4 * 8;

#pragma unroll
  for (int k = 0; k < 8; k++)
    {
      const unsigned upper = __shfl_sync (FULL_WARP, a[k < 4 ? 0 : 2], row + k % 4);
      const unsigned lower = __shfl_sync (FULL_WARP, a[k < 4 ? 1 : 3], row + k % 4);
      const unsigned left = __shfl_sync (FULL_WARP, k < 4 ? b0 : b1, column + k % 4);
      const unsigned right = __shfl_sync (FULL_WARP, k < 4 ? b0 : b1, column + 4 + k % 4);

      d[0] += low_bf16 (upper) * low_bf16 (left) + high_bf16 (upper) * high_bf16 (left);
      d[1] += low_bf16 (upper) * low_bf16 (right) + high_bf16 (upper) * high_bf16 (right);
      d[2] += low_bf16 (lower) * low_bf16 (left) + high_bf16 (lower) * high_bf16 (left);
      d[3] += low_bf16 (lower) * low_bf16 (right) + high_bf16 (lower) * high_bf16 (right);
    }
}
#endif

/* d += a b, [16, 8] += [16, 16] [16, 8], all lanes of the warp together */
static __device__ __forceinline__ void
warp_mma_bf16 (float          (&d)[4],
               const unsigned (&a)[4],
               unsigned         b0,
               unsigned         b1)
{
#ifdef CUDA_EMULATED
  const unsigned b[2] = { b0, b1 };
  const float c[4] = { d[0], d[1], d[2], d[3] };

  emulated_mma_m16n8k16_bf16 (d, a, b, c);
#elif defined __CUDA_ARCH__ && __CUDA_ARCH__ < 800
  shuffled_mma (d, a, b0, b1);
#else
  asm volatile ("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

#ifndef CUDA_EMULATED
static __device__ __forceinline__ unsigned
shared_address (const void *p)
{
  return static_cast<unsigned> (__cvta_generic_to_shared (p));
}
#endif

/* Four 8 × 8 tiles: lane l names row l % 8 of tile l / 8, of which every lane gets its fragment. */
static __device__ __forceinline__ void
load_tiles (unsigned (&tiles)[4], const bf16 *row)
{
#ifdef CUDA_EMULATED
  emulated_ldmatrix_x4 (tiles, row);
#else
  asm volatile ("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                : "r"(shared_address (row))
                : "memory");
#endif
}

/* The same, each tile transposed. */
static __device__ __forceinline__ void
load_tiles_transposed (unsigned (&tiles)[4], const bf16 *row)
{
#ifdef CUDA_EMULATED
  emulated_ldmatrix_x4_trans (tiles, row);
#else
  asm volatile ("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                : "r"(shared_address (row))
                : "memory");
#endif
}

/* Starts to copy BYTES (8 or 16, both sides aligned to them) into shared memory. */
template <int BYTES>
static __device__ __forceinline__ void
copy_async (void *shared, const void *global)
{
  static_assert (BYTES == 8 || BYTES == 16, "8 or 16 bytes");
#ifdef CUDA_EMULATED
  emulated_cp_async (shared, global, BYTES, BYTES);
#elif defined __CUDA_ARCH__ && __CUDA_ARCH__ < 800
  unsigned words[BYTES / 4];

  load_words (global, words);
  store_words (shared, words);
#else
  if constexpr (BYTES == 16)
    asm volatile ("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address (shared)), "l"(global) : "memory");
  else
    asm volatile ("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(shared_address (shared)), "l"(global) : "memory");
#endif
}

/* All copies that this thread started are there for this thread; a barrier makes them so for others. */
static __device__ __forceinline__ void
wait_for_copies ()
{
#ifdef CUDA_EMULATED
  emulated_cp_async_wait_all ();
#elif defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 800
  asm volatile ("cp.async.wait_all;" ::: "memory");
#endif
}
