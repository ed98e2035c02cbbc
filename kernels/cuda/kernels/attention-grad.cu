/* attention-grad.cu — the gradient of attention in bf16 on tensor cores
 *
 * A warp owns 16 rows, queries or keys with their values, and walks over the other side 16 rows at a
 * time, which lie in shared memory 64 at a time, the next chunk on its way while one is used: 16 × 16
 * scores, slopes and weights are all that is ever there of the big matrices, and are operands of the
 * next product where they were results of the last. Queries are walked over twice: first for the
 * softmax, whose maximum and sum each lane keeps for its own keys until the end, then for the gradient.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/attention-grad.cuh"
#include "kernels/cuda/kernels/attention-rows.cuh"

#define CHUNK 64       /* rows of the other side in a buffer */
#define MAX_WARPS 6

struct AttentionGrad
{
  const bf16 *qkv, *y, *dy;
  QueryStats *stats;       /* [B, heads, N] */
  bf16       *out;
  int         n_tokens;
  int         n_heads;
  int         head_width;
  float       scale;       /* HD^-½ */
};

#define LOG2_E 1.4426950408889634f

/* The first token of a head: of q, k, v, dy and of the gradient. */
struct Head
{
  const bf16 *q, *k, *v, *y, *dy;
  bf16       *dq, *dk, *dv;
  QueryStats *stats;
  size_t      d;           /* from token to token of dy; three times that of qkv */
};

static __device__ __forceinline__ Head
find_head (const AttentionGrad &attention)
{
  const int image = static_cast<int> (blockIdx.x) / attention.n_heads, head = static_cast<int> (blockIdx.x) % attention.n_heads;
  const size_t d = static_cast<size_t> (attention.n_heads) * static_cast<size_t> (attention.head_width);
  const size_t first = static_cast<size_t> (image) * static_cast<size_t> (attention.n_tokens);
  const size_t column = static_cast<size_t> (head) * static_cast<size_t> (attention.head_width);
  const bf16 *q = attention.qkv + first * 3 * d + column;
  bf16 *dq = attention.out + first * 3 * d + column;

  return { q, q + d, q + 2 * d, attention.y + first * d + column, attention.dy + first * d + column, dq, dq + d, dq + 2 * d,
           attention.stats + static_cast<size_t> (blockIdx.x) * static_cast<size_t> (attention.n_tokens), d };
}

/* ---- tiles of a warp ---- */

/* own · rowsᵀ for 16 rows in shared memory: columns 0 to 7, and 8 to 15 */
template <int WIDTH>
static __device__ __forceinline__ void
multiply (const unsigned (&own)[WIDTH / 16][4], const bf16 *rows, float (&product)[2][4])
{
  const int lane = static_cast<int> (threadIdx.x) % 32;
  const bf16 *row = rows + (lane / 16 * 8 + lane % 8) * PITCH<WIDTH> + lane / 8 % 2 * 8;

#pragma unroll
  for (int e = 0; e < 4; e++)
    product[0][e] = product[1][e] = 0;
#pragma unroll
  for (int i = 0; i < WIDTH / 16; i++)
    {
      unsigned tiles[4];

      load_tiles (tiles, row + i * 16);
      warp_mma_bf16 (product[0], own[i], tiles[0], tiles[1]);
      warp_mma_bf16 (product[1], own[i], tiles[2], tiles[3]);
    }
}

/* sums += weights · rows, [16, WIDTH] += [16, 16] [16, WIDTH] */
template <int WIDTH>
static __device__ __forceinline__ void
add_rows (float (&sums)[WIDTH / 8][4], const float (&weights)[2][4], const bf16 *rows)
{
  const int lane = static_cast<int> (threadIdx.x) % 32;
  const bf16 *row = rows + lane % 16 * PITCH<WIDTH> + lane / 16 * 8;
  const unsigned operand[4] = { pack_bf16 (weights[0][0], weights[0][1]), pack_bf16 (weights[0][2], weights[0][3]),
                                pack_bf16 (weights[1][0], weights[1][1]), pack_bf16 (weights[1][2], weights[1][3]) };

#pragma unroll
  for (int i = 0; i < WIDTH / 16; i++)
    {
      unsigned tiles[4];

      load_tiles_transposed (tiles, row + i * 16);
      warp_mma_bf16 (sums[2 * i], operand, tiles[0], tiles[1]);
      warp_mma_bf16 (sums[2 * i + 1], operand, tiles[2], tiles[3]);
    }
}

/* ---- queries ---- */

/* The largest score of a lane's keys so far, times the scale, and the sum of their exponentials; for rows lane / 4 and lane / 4 + 8 */
struct Softmax
{
  float max[2], sum[2];
};

/* 16 keys, of which @n_keys are there. */
static __device__ __forceinline__ void
add_scores (Softmax &state, const float (&score)[2][4], int n_keys, float scale)
{
  const int lane = static_cast<int> (threadIdx.x) % 32;

#pragma unroll
  for (int half = 0; half < 2; half++)
    {
      float values[4], max = state.max[half], sum = 0;

#pragma unroll
      for (int e = 0; e < 4; e++)
        {
          const int key = e / 2 * 8 + lane % 4 * 2 + e % 2;

          values[e] = key < n_keys ? score[e / 2][2 * half + e % 2] * scale : -INFINITY;
          max = fmaxf (max, values[e]);
        }
#pragma unroll
      for (int e = 0; e < 4; e++)
        sum += fast_exp2 (values[e] - max);
      state.sum[half] = fmaf (state.sum[half], fast_exp2 (state.max[half] - max), sum);
      state.max[half] = max;
    }
}

/* The logarithm of the whole sum, over the four lanes of a row. */
static __device__ __forceinline__ float
finish_softmax (float max, float sum)
{
  float largest = fmaxf (max, __shfl_xor_sync (FULL_WARP, max, 1));

  largest = fmaxf (largest, __shfl_xor_sync (FULL_WARP, largest, 2));
  sum *= fast_exp2 (max - largest);
  sum += __shfl_xor_sync (FULL_WARP, sum, 1);
  sum += __shfl_xor_sync (FULL_WARP, sum, 2);
  return largest + log2f (sum);
}

/* dy · y of the warp's rows lane / 4 and lane / 4 + 8 */
static __device__ __forceinline__ void
find_deltas (const bf16 *y, const bf16 *dy, size_t stride, int head_width, int n_rows, float (&deltas)[2])
{
  const int lane = static_cast<int> (threadIdx.x) % 32;

  deltas[0] = deltas[1] = 0;
  for (int row = 0; row < n_rows; row++)
    {
      const size_t at = static_cast<size_t> (row) * stride;
      float sum = 0;

      for (int c = lane; c < head_width; c += 32)
        sum = fmaf (to_float (y[at + static_cast<size_t> (c)]), to_float (dy[at + static_cast<size_t> (c)]), sum);
      sum = warp_sum (sum);
      if (row == lane / 4)
        deltas[0] = sum;
      if (row == lane / 4 + 8)
        deltas[1] = sum;
    }
}

/* grid (image · heads + head, groups of query tiles). Steps 0 to n − 1 are chunks of keys for the softmax, the n steps after
 * them the same with their values. */
template <int WIDTH>
static __global__ void __launch_bounds__ (32 * MAX_WARPS, WIDTH <= 80 ? 2 : 1)
query_grad_kernel (const __grid_constant__ AttentionGrad attention)
{
  CUDA_DYNAMIC_SHARED (bf16, shared);
  constexpr int BUFFER = CHUNK * PITCH<WIDTH>;
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32, n = attention.n_tokens;
  const int first = (static_cast<int> (blockIdx.y) * static_cast<int> (blockDim.x) / 32 + warp) * ROWS, n_rows = min (ROWS, n - first);
  const int n_chunks = divide_up (n, CHUNK), width = attention.head_width;
  const float scale = attention.scale * LOG2_E;
  const Head head = find_head (attention);
  const size_t d = head.d, token = static_cast<size_t> (first);
  bf16 *stage = shared + 4 * BUFFER + warp * ROWS * PITCH<WIDTH>;
  unsigned queries[WIDTH / 16][4], rises[WIDTH / 16][4];
  float sums[WIDTH / 8][4], log_sums[2] = { 0, 0 }, deltas[2] = { 0, 0 };
  Softmax softmax = { { -3e38f, -3e38f }, { 0, 0 } };

  kernel_begin ();
  auto fetch = [&] (int step) {
    const int key = step % n_chunks * CHUNK, there = min (CHUNK, n - key), rows = divide_up (there, 16) * 16;
    const size_t at = static_cast<size_t> (key) * 3 * d;
    bf16 *keys = shared + step % 2 * (2 * BUFFER);

    fill_rows<WIDTH> (keys, head.k + at, 3 * d, width, there, rows, static_cast<int> (threadIdx.x), static_cast<int> (blockDim.x));
    if (step >= n_chunks)
      fill_rows<WIDTH> (keys + BUFFER, head.v + at, 3 * d, width, there, rows, static_cast<int> (threadIdx.x),
                        static_cast<int> (blockDim.x));
  };

  fetch (0);
  if (n_rows > 0)
    {
      load_own<WIDTH> (stage, head.q + token * 3 * d, 3 * d, width, n_rows, queries);
      load_own<WIDTH> (stage, head.dy + token * d, d, width, n_rows, rises);
      find_deltas (head.y + token * d, head.dy + token * d, d, width, n_rows, deltas);
    }
#pragma unroll
  for (int i = 0; i < WIDTH / 8; i++)
    sums[i][0] = sums[i][1] = sums[i][2] = sums[i][3] = 0;

  for (int step = 0; step < 2 * n_chunks; step++)
    {
      const bf16 *keys = shared + step % 2 * (2 * BUFFER);
      const int n_keys = min (CHUNK, n - step % n_chunks * CHUNK);

      /* After this barrier the chunk is there, and nobody reads the one before any more. */
      wait_for_copies ();
      __syncthreads ();
      if (step + 1 < 2 * n_chunks)
        fetch (step + 1);
      if (n_rows <= 0)
        continue;
      if (step == n_chunks)
        {
          log_sums[0] = finish_softmax (softmax.max[0], softmax.sum[0]);
          log_sums[1] = finish_softmax (softmax.max[1], softmax.sum[1]);
        }
      for (int key = 0; key < n_keys; key += 16)
        {
          const bf16 *rows = keys + key * PITCH<WIDTH>;
          float score[2][4], slope[2][4];

          multiply<WIDTH> (queries, rows, score);
          if (step < n_chunks)
            {
              add_scores (softmax, score, n_keys - key, scale);
              continue;
            }
          multiply<WIDTH> (rises, rows + BUFFER, slope);
#pragma unroll
          for (int i = 0; i < 2; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
              {
                const bool there = key + i * 8 + lane % 4 * 2 + e % 2 < n_keys;
                const float weight = there ? fast_exp2 (fmaf (score[i][e], scale, -log_sums[e / 2])) : 0.f;

                slope[i][e] = weight * (slope[i][e] - deltas[e / 2]) * attention.scale;
              }
          add_rows<WIDTH> (sums, slope, rows);
        }
    }
  if (n_rows <= 0)
    return;
  write_own<WIDTH> (sums, stage, head.dq + token * 3 * d, 3 * d, width, n_rows);
#pragma unroll
  for (int half = 0; half < 2; half++)
    {
      const int row = lane / 4 + 8 * half;

      if (lane % 4 == 0 && row < n_rows)
        head.stats[first + row] = { log_sums[half], deltas[half] };
    }
}

/* ---- keys and values ---- */

/* grid (image · heads + head, groups of key tiles) */
template <int WIDTH>
static __global__ void __launch_bounds__ (32 * MAX_WARPS, WIDTH <= 80 ? 2 : 1)
key_grad_kernel (const __grid_constant__ AttentionGrad attention)
{
  CUDA_DYNAMIC_SHARED (bf16, shared);
  CUDA_SHARED (QueryStats, stats, [2][CHUNK]);
  constexpr int BUFFER = CHUNK * PITCH<WIDTH>;
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32, n = attention.n_tokens;
  const int first = (static_cast<int> (blockIdx.y) * static_cast<int> (blockDim.x) / 32 + warp) * ROWS, n_rows = min (ROWS, n - first);
  const int width = attention.head_width;
  const float scale = attention.scale * LOG2_E;
  const Head head = find_head (attention);
  const size_t d = head.d, token = static_cast<size_t> (first);
  bf16 *stage = shared + 4 * BUFFER + warp * ROWS * PITCH<WIDTH>;
  unsigned keys[WIDTH / 16][4], values[WIDTH / 16][4];
  float key_sums[WIDTH / 8][4], value_sums[WIDTH / 8][4];

  kernel_begin ();
  auto fetch = [&] (int query) {
    const int there = min (CHUNK, n - query), rows = divide_up (there, 16) * 16, buffer = query / CHUNK % 2;
    bf16 *queries = shared + buffer * (2 * BUFFER);

    fill_rows<WIDTH> (queries, head.q + static_cast<size_t> (query) * 3 * d, 3 * d, width, there, rows, static_cast<int> (threadIdx.x),
                      static_cast<int> (blockDim.x));
    fill_rows<WIDTH> (queries + BUFFER, head.dy + static_cast<size_t> (query) * d, d, width, there, rows,
                      static_cast<int> (threadIdx.x), static_cast<int> (blockDim.x));
    /* A query that is not there weighs nothing. */
    for (int i = static_cast<int> (threadIdx.x); i < rows; i += static_cast<int> (blockDim.x))
      stats[buffer][i] = i < there ? head.stats[query + i] : QueryStats { INFINITY, 0 };
  };

  fetch (0);
  if (n_rows > 0)
    {
      load_own<WIDTH> (stage, head.k + token * 3 * d, 3 * d, width, n_rows, keys);
      load_own<WIDTH> (stage, head.v + token * 3 * d, 3 * d, width, n_rows, values);
    }
#pragma unroll
  for (int i = 0; i < WIDTH / 8; i++)
#pragma unroll
    for (int e = 0; e < 4; e++)
      key_sums[i][e] = value_sums[i][e] = 0;

  for (int query0 = 0; query0 < n; query0 += CHUNK)
    {
      const bf16 *chunk = shared + query0 / CHUNK % 2 * (2 * BUFFER);
      const QueryStats *of_chunk = stats[query0 / CHUNK % 2];

      wait_for_copies ();
      __syncthreads ();
      if (query0 + CHUNK < n)
        fetch (query0 + CHUNK);
      if (n_rows <= 0)
        continue;
      for (int query = 0; query < min (CHUNK, n - query0); query += 16)
        {
          const bf16 *rows = chunk + query * PITCH<WIDTH>;
          float weight[2][4], slope[2][4];

          multiply<WIDTH> (keys, rows, weight);
          multiply<WIDTH> (values, rows + BUFFER, slope);
#pragma unroll
          for (int i = 0; i < 2; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
              {
                const QueryStats of_query = of_chunk[query + i * 8 + lane % 4 * 2 + e % 2];

                weight[i][e] = fast_exp2 (fmaf (weight[i][e], scale, -of_query.log_sum));
                slope[i][e] = weight[i][e] * (slope[i][e] - of_query.delta) * attention.scale;
              }
          add_rows<WIDTH> (value_sums, weight, rows + BUFFER);
          add_rows<WIDTH> (key_sums, slope, rows);
        }
    }
  if (n_rows <= 0)
    return;
  write_own<WIDTH> (key_sums, stage, head.dk + token * 3 * d, 3 * d, width, n_rows);
  write_own<WIDTH> (value_sums, stage, head.dv + token * 3 * d, 3 * d, width, n_rows);
}

/* ---- host ---- */

template <int WIDTH>
static cudaError_t
launch_width (cudaStream_t         stream,
              const AttentionGrad &attention,
              int                  batch)
{
  /* As few warps as do all tiles in the same number of blocks. */
  const int n_tiles = divide_up (attention.n_tokens, ROWS), groups = divide_up (n_tiles, MAX_WARPS);
  const int warps = divide_up (n_tiles, groups);
  const dim3 grid (static_cast<unsigned> (batch * attention.n_heads), static_cast<unsigned> (groups));
  const unsigned block = static_cast<unsigned> (32 * warps);
  const size_t bytes = static_cast<size_t> (4 * CHUNK + warps * ROWS) * PITCH<WIDTH> * sizeof (bf16);
  cudaError_t error = allow_shared (query_grad_kernel<WIDTH>, bytes);

  if (error == cudaSuccess)
    error = allow_shared (key_grad_kernel<WIDTH>, bytes);
  if (error == cudaSuccess)
    error = CUDA_LAUNCH ((query_grad_kernel<WIDTH>), grid, block, bytes, stream, attention);
  return error == cudaSuccess ? CUDA_LAUNCH ((key_grad_kernel<WIDTH>), grid, block, bytes, stream, attention) : error;
}

cudaError_t
cuda_attention_grad_bf16 (cudaStream_t stream,
                          const void  *qkv,
                          const void  *y,
                          const void  *dy,
                          QueryStats  *stats,
                          void        *out,
                          int          batch,
                          int          n_tokens,
                          int          n_heads,
                          int          head_width)
{
  const AttentionGrad attention = {
    static_cast<const bf16 *> (qkv), static_cast<const bf16 *> (y), static_cast<const bf16 *> (dy), stats, static_cast<bf16 *> (out),
    n_tokens, n_heads, head_width, static_cast<float> (1 / sqrt (static_cast<double> (head_width))),
  };

  return with_width (head_width, [&] (auto width) { return launch_width<decltype (width)::value> (stream, attention, batch); });
}
