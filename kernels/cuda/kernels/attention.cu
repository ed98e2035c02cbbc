/* attention.cu — softmax (q kᵀ HD^-½) v of one head after the other, in bf16 on tensor cores
 *
 * A warp owns 16 queries and walks over the keys 64 at a time with a running maximum and sum
 * (Milakov and Gimelshein, arXiv:1805.02867), products and softmax in float. Heads are padded with
 * zeros to a multiple of 16 channels on their way into shared memory, whose rows have 16 bytes more
 * than that: eight rows of a tile then lie in 32 different banks.
 *
 * Short sequences (DiMR's 257 tokens): all keys and values of a head lie in shared memory at once
 * and the warps take query tiles without ever waiting for each other. Long ones: chunks of 64 keys,
 * the next on its way while one is used.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/attention-rows.cuh"
#include "kernels/cuda/kernels/attention.cuh"

#define KEYS 64        /* of a step */
/* DiMR's 17 tiles of queries are three rounds of six warps; two such blocks leave each thread of a
 * processor 168 registers, which keeps a step's products and sums out of memory. */
#define MAX_WARPS 6

struct Attention
{
  const bf16 *qkv;
  bf16       *out;
  int         n_tokens;
  int         n_heads;
  int         head_width;
  float       scale;        /* HD^-½ log₂ e */
};

/* What a warp knows about its queries so far; a lane holds rows lane / 4 and lane / 4 + 8. */
template <int WIDTH>
struct Softmax
{
  float out[WIDTH / 8][4];
  float max[2];
  float sum[2]; /* of the lane's own keys */
};

/* ---- the arithmetic ---- */

template <int WIDTH>
static __device__ __forceinline__ void
begin_softmax (Softmax<WIDTH> &state)
{
#pragma unroll
  for (int i = 0; i < WIDTH / 8; i++)
    state.out[i][0] = state.out[i][1] = state.out[i][2] = state.out[i][3] = 0;
  state.max[0] = state.max[1] = -INFINITY;
  state.sum[0] = state.sum[1] = 0;
}

/* Up to KEYS keys, at least one; rows of @keys and @values up to the next multiple of 16 are zero. */
template <int WIDTH>
static __device__ __forceinline__ void
attend (const bf16     *keys,
        const bf16     *values,
        int             n_keys,
        const unsigned (&queries)[WIDTH / 16][4],
        float           scale,
        Softmax<WIDTH> &state)
{
  const int lane = static_cast<int> (threadIdx.x) % 32;
  float score[KEYS / 8][4], factor[2];

  /* q kᵀ, 16 keys at a time */
#pragma unroll
  for (int j = 0; j < KEYS / 16; j++)
    {
      float (&left)[4] = score[2 * j], (&right)[4] = score[2 * j + 1];
      const bf16 *row = keys + (j * 16 + lane / 16 * 8 + lane % 8) * PITCH<WIDTH> + lane / 8 % 2 * 8;

#pragma unroll
      for (int e = 0; e < 4; e++)
        left[e] = right[e] = 0;
      if (j * 16 < n_keys)
        {
#pragma unroll
          for (int i = 0; i < WIDTH / 16; i++)
            {
              unsigned tiles[4];

              load_tiles (tiles, row + i * 16);
              warp_mma_bf16 (left, queries[i], tiles[0], tiles[1]);
              warp_mma_bf16 (right, queries[i], tiles[2], tiles[3]);
            }
        }
      if (j * 16 + 16 > n_keys)
        {
#pragma unroll
          for (int e = 0; e < 4; e++)
            {
              const int key = j * 16 + lane % 4 * 2 + e % 2;

              if (key >= n_keys)
                left[e] = -INFINITY;
              if (key + 8 >= n_keys)
                right[e] = -INFINITY;
            }
        }
    }

  /* The first key is always there, so every maximum is finite. */
#pragma unroll
  for (int half = 0; half < 2; half++)
    {
      float max = state.max[half], shift, sum = 0;

#pragma unroll
      for (int j = 0; j < KEYS / 8; j++)
        max = fmaxf (max, fmaxf (score[j][2 * half], score[j][2 * half + 1]));
      max = fmaxf (max, __shfl_xor_sync (FULL_WARP, max, 1));
      max = fmaxf (max, __shfl_xor_sync (FULL_WARP, max, 2));
      factor[half] = fast_exp2 ((state.max[half] - max) * scale);
      shift = max * scale;
#pragma unroll
      for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; e++)
          {
            score[j][e] = fast_exp2 (fmaf (score[j][e], scale, -shift));
            sum += score[j][e];
          }
      state.max[half] = max;
      state.sum[half] = fmaf (state.sum[half], factor[half], sum);
    }
  /* After the first steps a larger maximum is rare. */
  if (__any_sync (FULL_WARP, factor[0] != 1.f || factor[1] != 1.f))
    {
#pragma unroll
      for (int i = 0; i < WIDTH / 8; i++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          state.out[i][e] *= factor[e / 2];
    }

  /* Accumulators of the first product are operands of the second. */
#pragma unroll
  for (int j = 0; j < KEYS / 16; j++)
    if (j * 16 < n_keys)
      {
        const float (&left)[4] = score[2 * j], (&right)[4] = score[2 * j + 1];
        const unsigned weights[4] = { pack_bf16 (left[0], left[1]), pack_bf16 (left[2], left[3]),
                                      pack_bf16 (right[0], right[1]), pack_bf16 (right[2], right[3]) };
        const bf16 *row = values + (j * 16 + lane % 16) * PITCH<WIDTH> + lane / 16 * 8;

#pragma unroll
        for (int i = 0; i < WIDTH / 16; i++)
          {
            unsigned tiles[4];

            load_tiles_transposed (tiles, row + i * 16);
            warp_mma_bf16 (state.out[2 * i], weights, tiles[0], tiles[1]);
            warp_mma_bf16 (state.out[2 * i + 1], weights, tiles[2], tiles[3]);
          }
      }
}

/* Divides and writes. */
template <int WIDTH>
static __device__ __forceinline__ void
finish (const Attention &attention,
        Softmax<WIDTH>  &state,
        bf16            *stage,
        bf16            *out,
        int              n_queries)
{
  const size_t stride = static_cast<size_t> (attention.n_heads) * static_cast<size_t> (attention.head_width);

#pragma unroll
  for (int half = 0; half < 2; half++)
    {
      float sum = state.sum[half], inverse;

      sum += __shfl_xor_sync (FULL_WARP, sum, 1);
      sum += __shfl_xor_sync (FULL_WARP, sum, 2);
      inverse = 1.f / sum;
#pragma unroll
      for (int i = 0; i < WIDTH / 8; i++)
        {
          state.out[i][2 * half] *= inverse;
          state.out[i][2 * half + 1] *= inverse;
        }
    }
  write_own<WIDTH> (state.out, stage, out, stride, attention.head_width, n_queries);
}

/* ---- kernels; grid (image · heads + head, group of query tiles) ---- */

struct Head
{
  const bf16 *q, *k, *v; /* the first token's */
  bf16       *out;
  size_t      stride;    /* elements of qkv from token to token */
};

static __device__ __forceinline__ Head
find_head (const Attention &attention)
{
  const int image = static_cast<int> (blockIdx.x) / attention.n_heads, head = static_cast<int> (blockIdx.x) % attention.n_heads;
  const size_t d = static_cast<size_t> (attention.n_heads) * static_cast<size_t> (attention.head_width);
  const size_t first = static_cast<size_t> (image) * static_cast<size_t> (attention.n_tokens);
  const size_t column = static_cast<size_t> (head) * static_cast<size_t> (attention.head_width);
  const bf16 *q = attention.qkv + first * 3 * d + column;

  return { q, q + d, q + 2 * d, attention.out + first * d + column, 3 * d };
}

/* Head::stride, computed anew: kept over the walk it is a register too many for heads of 80 channels. */
static __device__ __forceinline__ size_t
stride_again (const Attention &attention)
{
  return 3 * static_cast<size_t> (attention.n_heads) * static_cast<size_t> (attention.head_width);
}

template <int WIDTH>
static __global__ void __launch_bounds__ (32 * MAX_WARPS, WIDTH <= 80 ? 2 : 1)
attention_kernel (const __grid_constant__ Attention attention)
{
  CUDA_DYNAMIC_SHARED (bf16, shared);
  const int n = attention.n_tokens, padded = divide_up (n, 16) * 16, n_tiles = padded / ROWS;
  const int warp = static_cast<int> (threadIdx.x) / 32, n_warps = static_cast<int> (blockDim.x) / 32;
  const Head head = find_head (attention);
  bf16 *keys = shared, *values = keys + padded * PITCH<WIDTH>;
  bf16 *stage = values + (padded + warp * ROWS) * PITCH<WIDTH>;

  kernel_begin ();
  fill_rows<WIDTH> (keys, head.k, head.stride, attention.head_width, n, padded, static_cast<int> (threadIdx.x),
                    static_cast<int> (blockDim.x));
  fill_rows<WIDTH> (values, head.v, head.stride, attention.head_width, n, padded, static_cast<int> (threadIdx.x),
                    static_cast<int> (blockDim.x));
  wait_for_copies ();
  __syncthreads ();

  for (int tile = static_cast<int> (blockIdx.y) * n_warps + warp; tile < n_tiles; tile += static_cast<int> (gridDim.y) * n_warps)
    {
      const int n_queries = min (ROWS, n - tile * ROWS);
      const size_t token = static_cast<size_t> (tile) * ROWS;
      unsigned queries[WIDTH / 16][4];
      Softmax<WIDTH> state;

      load_own<WIDTH> (stage, head.q + token * head.stride, stride_again (attention), attention.head_width, n_queries, queries);
      begin_softmax (state);
      for (int key = 0; key < n; key += KEYS)
        attend (keys + key * PITCH<WIDTH>, values + key * PITCH<WIDTH>, min (KEYS, n - key), queries, attention.scale, state);
      finish (attention, state, stage, head.out + token * (head.stride / 3), n_queries);
    }
}

template <int WIDTH>
static __global__ void __launch_bounds__ (32 * MAX_WARPS, WIDTH <= 80 ? 2 : 1)
long_attention_kernel (const __grid_constant__ Attention attention)
{
  CUDA_DYNAMIC_SHARED (bf16, shared);
  constexpr int CHUNK = KEYS * PITCH<WIDTH>;
  const int n = attention.n_tokens, warp = static_cast<int> (threadIdx.x) / 32, width = attention.head_width;
  const int tile = static_cast<int> (blockIdx.y) * MAX_WARPS + warp, n_queries = min (ROWS, n - tile * ROWS);
  const size_t token = static_cast<size_t> (tile) * ROWS;
  const Head head = find_head (attention);
  bf16 *stage = shared + 4 * CHUNK + warp * ROWS * PITCH<WIDTH>;
  unsigned queries[WIDTH / 16][4];
  Softmax<WIDTH> state;

  kernel_begin ();
  /* Chunk c is rows KEYS · c of the keys and of the values, in buffers c % 2. */
  auto fetch = [&] (int key) {
    const size_t at = static_cast<size_t> (key) * head.stride;
    const int n_rows = min (KEYS, n - key), rows = divide_up (n_rows, 16) * 16;
    bf16 *keys = shared + key / KEYS % 2 * (2 * CHUNK);

    fill_rows<WIDTH> (keys, head.k + at, head.stride, width, n_rows, rows, static_cast<int> (threadIdx.x), 32 * MAX_WARPS);
    fill_rows<WIDTH> (keys + CHUNK, head.v + at, head.stride, width, n_rows, rows, static_cast<int> (threadIdx.x), 32 * MAX_WARPS);
  };

  fetch (0);
  if (n_queries > 0)
    load_own<WIDTH> (stage, head.q + token * head.stride, stride_again (attention), attention.head_width, n_queries, queries);
  begin_softmax (state);
  for (int key = 0; key < n; key += KEYS)
    {
      const bf16 *keys = shared + key / KEYS % 2 * (2 * CHUNK);

      /* After this barrier chunk c is there, and nobody reads chunk c − 1 any more. */
      wait_for_copies ();
      __syncthreads ();
      if (key + KEYS < n)
        fetch (key + KEYS);
      if (n_queries > 0)
        attend (keys, keys + CHUNK, min (KEYS, n - key), queries, attention.scale, state);
    }
  if (n_queries > 0)
    finish (attention, state, stage, head.out + token * (head.stride / 3), n_queries);
}

/* ---- host ---- */

/* Keys and values of a whole head: where two blocks of them fit in a processor's memory, of which
 * every block takes 1 KiB more than it asks for. */
static bool
is_resident (size_t bytes,
             size_t limit)
{
  return 2 * (bytes + 1024) <= limit + 1024;
}

template <int WIDTH>
static cudaError_t
launch_width (cudaStream_t     stream,
              const Attention &attention,
              int              batch)
{
  const int n_tiles = divide_up (attention.n_tokens, ROWS), pairs = batch * attention.n_heads;
  const size_t tile = ROWS * PITCH<WIDTH> * sizeof (bf16);
  size_t bytes;
  int limit, processors, groups, rounds, warps;
  cudaError_t error = cuda_kernels_device_attribute (&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin);

  if (error == cudaSuccess)
    error = cuda_kernels_device_attribute (&processors, cudaDevAttrMultiProcessorCount);
  if (error != cudaSuccess)
    return error;

  /* Few heads: a head's queries over several blocks of four warps or more, until all processors
   * have one. Then as few warps as do them in the same number of rounds. */
  groups = max (1, min (divide_up (processors, pairs), divide_up (n_tiles, 4)));
  rounds = divide_up (n_tiles, groups * MAX_WARPS);
  warps = divide_up (n_tiles, groups * rounds);
  bytes = tile * static_cast<size_t> (2 * n_tiles + warps);
  if (is_resident (bytes, static_cast<size_t> (limit)))
    {
      error = allow_shared (attention_kernel<WIDTH>, bytes);
      if (error != cudaSuccess)
        return error;
      return CUDA_LAUNCH ((attention_kernel<WIDTH>), dim3 (static_cast<unsigned> (pairs), static_cast<unsigned> (groups)),
                          static_cast<unsigned> (32 * warps), bytes, stream, attention);
    }

  bytes = tile * (4 * KEYS / ROWS + MAX_WARPS);
  error = allow_shared (long_attention_kernel<WIDTH>, bytes);
  if (error != cudaSuccess)
    return error;
  return CUDA_LAUNCH ((long_attention_kernel<WIDTH>),
                      dim3 (static_cast<unsigned> (pairs), static_cast<unsigned> (divide_up (n_tiles, MAX_WARPS))),
                      32 * MAX_WARPS, bytes, stream, attention);
}

cudaError_t
cuda_attention_bf16 (cudaStream_t stream,
                     const void  *qkv,
                     void        *out,
                     int          batch,
                     int          n_tokens,
                     int          n_heads,
                     int          head_width)
{
  const Attention attention = {
    static_cast<const bf16 *> (qkv), static_cast<bf16 *> (out), n_tokens, n_heads, head_width,
    static_cast<float> (1.4426950408889634 / sqrt (static_cast<double> (head_width))),
  };

  return with_width (head_width, [&] (auto width) { return launch_width<decltype (width)::value> (stream, attention, batch); });
}
