/* attention-f32.cuh — what attention in float and its gradient share
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/kernels/kernel-common.cuh"

#define WARPS 4         /* of a block */
#define MAX_WIDTH 128   /* of a head */

/* Rows of a head into shared memory, zeros where there are none. */
static __device__ __forceinline__ void
fill_rows (float       *shared,
           int          pitch,
           const float *global,
           size_t       stride,
           int          n_rows,
           int          rows,
           int          width)
{
  for (int row = static_cast<int> (threadIdx.x) / 32; row < rows; row += WARPS)
    for (int c = static_cast<int> (threadIdx.x) % 32; c < width; c += 32)
      shared[row * pitch + c] = row < n_rows ? global[static_cast<size_t> (row) * stride + static_cast<size_t> (c)] : 0.f;
}
