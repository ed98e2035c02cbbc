/* attention-f32.cu — the same attention in float throughout, to check the other by
 *
 * A warp owns four queries; a lane computes the score of one of 32 keys and then sums four of the
 * channels, all in the order of the keys.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/attention-f32.cuh"
#include "kernels/cuda/kernels/attention.cuh"

#define QUERIES 4
#define KEYS 32

/* grid (image · heads + head, group of WARPS · QUERIES queries) */
static __global__ void __launch_bounds__ (32 * WARPS)
attention_f32_kernel (const float *qkv,
                      float       *out,
                      int          n,
                      int          n_heads,
                      int          width,
                      float        scale)
{
  /* One more than the width: 32 lanes then read 32 rows from 32 banks. */
  CUDA_SHARED (float, queries, [WARPS * QUERIES][MAX_WIDTH]);
  CUDA_SHARED (float, keys, [KEYS][MAX_WIDTH + 1]);
  CUDA_SHARED (float, values, [KEYS][MAX_WIDTH]);
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32;
  const size_t d = static_cast<size_t> (n_heads) * static_cast<size_t> (width);
  const size_t image = blockIdx.x / static_cast<unsigned> (n_heads), head = blockIdx.x % static_cast<unsigned> (n_heads);
  const float *first = qkv + image * static_cast<size_t> (n) * 3 * d + head * static_cast<size_t> (width);
  const int query0 = static_cast<int> (blockIdx.y) * WARPS * QUERIES;
  float sums[QUERIES][MAX_WIDTH / 32] = {}, max[QUERIES], sum[QUERIES] = {};

  kernel_begin ();
  for (int i = 0; i < QUERIES; i++)
    max[i] = -INFINITY;
  fill_rows (&queries[0][0], MAX_WIDTH, first + static_cast<size_t> (query0) * 3 * d, 3 * d, n - query0, WARPS * QUERIES, width);

  for (int key0 = 0; key0 < n; key0 += KEYS)
    {
      const float *row = first + static_cast<size_t> (key0) * 3 * d + d;

      __syncthreads ();
      fill_rows (&keys[0][0], MAX_WIDTH + 1, row, 3 * d, n - key0, KEYS, width);
      fill_rows (&values[0][0], MAX_WIDTH, row + d, 3 * d, n - key0, KEYS, width);
      __syncthreads ();

#pragma unroll
      for (int i = 0; i < QUERIES; i++)
        {
          const float *query = queries[warp * QUERIES + i];
          float score = 0, new_max, factor;

          for (int c = 0; c < width; c++)
            score = fmaf (query[c], keys[lane][c], score);
          score = key0 + lane < n ? score * scale : -INFINITY;
          new_max = fmaxf (max[i], warp_max (score));
          factor = expf (max[i] - new_max);
          score = expf (score - new_max);
          max[i] = new_max;
          sum[i] = sum[i] * factor + warp_sum (score);
#pragma unroll
          for (int j = 0; j < MAX_WIDTH / 32; j++)
            sums[i][j] *= factor;
          for (int key = 0; key < KEYS; key++)
            {
              const float weight = __shfl_sync (FULL_WARP, score, key);

#pragma unroll
              for (int j = 0; j < MAX_WIDTH / 32; j++)
                if (j * 32 + lane < width)
                  sums[i][j] = fmaf (weight, values[key][j * 32 + lane], sums[i][j]);
            }
        }
    }

#pragma unroll
  for (int i = 0; i < QUERIES; i++)
    {
      const int query = query0 + warp * QUERIES + i;
      float *to = out + (image * static_cast<size_t> (n) + static_cast<size_t> (query)) * d + head * static_cast<size_t> (width);

#pragma unroll
      for (int j = 0; j < MAX_WIDTH / 32; j++)
        if (query < n && j * 32 + lane < width)
          to[j * 32 + lane] = sums[i][j] / sum[i];
    }
}

static cudaError_t
attention_f32 (cudaStream_t stream,
               const void  *qkv,
               void        *out,
               int          batch,
               int          n_tokens,
               int          n_heads,
               int          head_width)
{
  const dim3 grid (static_cast<unsigned> (batch * n_heads), static_cast<unsigned> (divide_up (n_tokens, WARPS * QUERIES)));

  return CUDA_LAUNCH (attention_f32_kernel, grid, 32 * WARPS, 0, stream, static_cast<const float *> (qkv),
                      static_cast<float *> (out), n_tokens, n_heads, head_width,
                      static_cast<float> (1 / sqrt (static_cast<double> (head_width))));
}

cudaError_t
cuda_attention (cudaStream_t stream,
                CudaType     type,
                const void  *qkv,
                void        *out,
                int          batch,
                int          n_tokens,
                int          n_heads,
                int          head_width)
{
  if (head_width < 1 || head_width > MAX_WIDTH || n_heads < 1)
    return cudaErrorInvalidValue;
  if (batch <= 0 || n_tokens <= 0)
    return cudaSuccess;
  if (type == CUDA_TYPE_F32)
    return attention_f32 (stream, qkv, out, batch, n_tokens, n_heads, head_width);
  return cuda_attention_bf16 (stream, qkv, out, batch, n_tokens, n_heads, head_width);
}
