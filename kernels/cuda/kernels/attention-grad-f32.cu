/* attention-grad-f32.cu — the gradient of attention in float throughout, to check the other by
 *
 * A warp owns two queries, or two keys with their values; a lane computes the products of one of 32
 * of the other side and then sums four of the channels, all in the order of the other side.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/attention-f32.cuh"
#include "kernels/cuda/kernels/attention-grad.cuh"

#define OWN 2           /* rows of a warp */
#define OTHERS 32
#define SLICES (MAX_WIDTH / 32)

struct AttentionGrad
{
  const float *qkv, *y, *dy;
  QueryStats  *stats;      /* [B, heads, N] */
  float       *out;
  int          n, n_heads, width;
  float        scale;      /* HD^-½ */
};

/* Where a head's rows begin: of q in qkv or out, and of dy or y. */
struct Head
{
  size_t qkv, dy, d;
  QueryStats *stats;
};

static __device__ __forceinline__ Head
find_head (const AttentionGrad &attention)
{
  const unsigned heads = static_cast<unsigned> (attention.n_heads);
  const size_t image = blockIdx.x / heads, head = blockIdx.x % heads, n = static_cast<size_t> (attention.n);
  const size_t d = static_cast<size_t> (attention.n_heads) * static_cast<size_t> (attention.width);
  const size_t column = head * static_cast<size_t> (attention.width);

  return { image * n * 3 * d + column, image * n * d + column, d, attention.stats + static_cast<size_t> (blockIdx.x) * n };
}

static __device__ __forceinline__ float
dot (const float *a, const float *b, int n)
{
  float sum = 0;

  for (int c = 0; c < n; c++)
    sum = fmaf (a[c], b[c], sum);
  return sum;
}

/* grid (image · heads + head, groups of WARPS queries) */
static __global__ void __launch_bounds__ (32 * WARPS)
query_stats_kernel (const __grid_constant__ AttentionGrad attention)
{
  CUDA_SHARED (float, queries, [WARPS][MAX_WIDTH]);
  CUDA_SHARED (float, keys, [OTHERS][MAX_WIDTH + 1]);
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32, width = attention.width;
  const int query0 = static_cast<int> (blockIdx.y) * WARPS, query = query0 + warp, n = attention.n;
  const Head head = find_head (attention);
  float max = -INFINITY, sum = 0, delta = 0;

  kernel_begin ();
  fill_rows (&queries[0][0], MAX_WIDTH, attention.qkv + head.qkv + static_cast<size_t> (query0) * 3 * head.d, 3 * head.d, n - query0,
             WARPS, width);
  for (int key0 = 0; key0 < n; key0 += OTHERS)
    {
      float score, larger;

      __syncthreads ();
      fill_rows (&keys[0][0], MAX_WIDTH + 1, attention.qkv + head.qkv + head.d + static_cast<size_t> (key0) * 3 * head.d, 3 * head.d,
                 n - key0, OTHERS, width);
      __syncthreads ();
      score = key0 + lane < n ? dot (queries[warp], keys[lane], width) * attention.scale : -INFINITY;
      larger = fmaxf (max, warp_max (score));
      sum = sum * expf (max - larger) + warp_sum (expf (score - larger));
      max = larger;
    }
  if (query >= n)
    return;
  for (int c = lane; c < width; c += 32)
    {
      const size_t at = head.dy + static_cast<size_t> (query) * head.d + static_cast<size_t> (c);

      delta = fmaf (attention.y[at], attention.dy[at], delta);
    }
  delta = warp_sum (delta);
  if (lane == 0)
    head.stats[query] = { max + logf (sum), delta };
}

/* One side's rows against the other's; grid (image · heads + head, groups of WARPS · OWN rows) */
template <bool OF_KEYS>
static __global__ void __launch_bounds__ (32 * WARPS)
attention_grad_kernel (const __grid_constant__ AttentionGrad attention)
{
  /* The queries' side: q and dy. The keys' side: k and v. */
  CUDA_SHARED (float, own, [2][WARPS * OWN][MAX_WIDTH]);
  CUDA_SHARED (float, others, [2][OTHERS][MAX_WIDTH + 1]);
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32, width = attention.width;
  const int first = static_cast<int> (blockIdx.y) * WARPS * OWN, n = attention.n;
  const Head head = find_head (attention);
  const size_t d = head.d;
  /* Of q, dy, k, v: the first row, and from one to the next. */
  const float *const sides[4] = { attention.qkv + head.qkv, attention.dy + head.dy, attention.qkv + head.qkv + d,
                                  attention.qkv + head.qkv + 2 * d };
  const size_t strides[4] = { 3 * d, d, 3 * d, 3 * d };
  float sums[OWN][2][SLICES] = {};

  kernel_begin ();
#pragma unroll
  for (int i = 0; i < 2; i++)
    {
      const int side = OF_KEYS ? 2 + i : i;

      fill_rows (&own[i][0][0], MAX_WIDTH, sides[side] + static_cast<size_t> (first) * strides[side], strides[side], n - first,
                 WARPS * OWN, width);
    }
  for (int other0 = 0; other0 < n; other0 += OTHERS)
    {
      const int other = other0 + lane;

      __syncthreads ();
#pragma unroll
      for (int i = 0; i < 2; i++)
        {
          const int side = OF_KEYS ? i : 2 + i;

          fill_rows (&others[i][0][0], MAX_WIDTH + 1, sides[side] + static_cast<size_t> (other0) * strides[side], strides[side],
                     n - other0, OTHERS, width);
        }
      __syncthreads ();
#pragma unroll
      for (int i = 0; i < OWN; i++)
        {
          const int row = warp * OWN + i, query = OF_KEYS ? other : first + row;
          const bool there = other < n && first + row < n;
          const QueryStats stats = there ? head.stats[query] : QueryStats { 0, 0 };
          const float score = dot (own[0][row], others[0][lane], width) * attention.scale;
          const float weight = there ? expf (score - stats.log_sum) : 0.f;
          const float slope = weight * (dot (own[1][row], others[1][lane], width) - stats.delta) * attention.scale;

          for (int k = 0; k < OTHERS; k++)
            {
              const float w = __shfl_sync (FULL_WARP, weight, k), s = __shfl_sync (FULL_WARP, slope, k);

#pragma unroll
              for (int j = 0; j < SLICES; j++)
                if (j * 32 + lane < width)
                  {
                    sums[i][0][j] = fmaf (s, others[0][k][j * 32 + lane], sums[i][0][j]);
                    if constexpr (OF_KEYS)
                      sums[i][1][j] = fmaf (w, others[1][k][j * 32 + lane], sums[i][1][j]);
                  }
            }
        }
    }
#pragma unroll
  for (int i = 0; i < OWN; i++)
    {
      const int row = first + warp * OWN + i;
      float *to = attention.out + head.qkv + static_cast<size_t> (row) * 3 * d;

#pragma unroll
      for (int j = 0; j < SLICES; j++)
        if (row < n && j * 32 + lane < width)
          {
            to[(OF_KEYS ? d : 0) + static_cast<size_t> (j * 32 + lane)] = sums[i][0][j];
            if constexpr (OF_KEYS)
              to[2 * d + static_cast<size_t> (j * 32 + lane)] = sums[i][1][j];
          }
    }
}

static cudaError_t
attention_grad_f32 (cudaStream_t stream,
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
    static_cast<const float *> (qkv), static_cast<const float *> (y), static_cast<const float *> (dy), stats,
    static_cast<float *> (out), n_tokens, n_heads, head_width, static_cast<float> (1 / sqrt (static_cast<double> (head_width))),
  };
  const unsigned pairs = static_cast<unsigned> (batch * n_heads);
  const dim3 of_stats (pairs, static_cast<unsigned> (divide_up (n_tokens, WARPS)));
  const dim3 of_rows (pairs, static_cast<unsigned> (divide_up (n_tokens, WARPS * OWN)));
  cudaError_t error = CUDA_LAUNCH (query_stats_kernel, of_stats, 32 * WARPS, 0, stream, attention);

  if (error == cudaSuccess)
    error = CUDA_LAUNCH (attention_grad_kernel<false>, of_rows, 32 * WARPS, 0, stream, attention);
  return error == cudaSuccess ? CUDA_LAUNCH (attention_grad_kernel<true>, of_rows, 32 * WARPS, 0, stream, attention) : error;
}

size_t
cuda_attention_grad_scratch (int batch,
                             int n_tokens,
                             int n_heads)
{
  return 2 * static_cast<size_t> (batch) * static_cast<size_t> (n_heads) * static_cast<size_t> (n_tokens);
}

cudaError_t
cuda_attention_grad (cudaStream_t stream,
                     CudaType     type,
                     const void  *qkv,
                     const void  *y,
                     const void  *dy,
                     float       *scratch,
                     void        *out,
                     int          batch,
                     int          n_tokens,
                     int          n_heads,
                     int          head_width)
{
  QueryStats *stats = reinterpret_cast<QueryStats *> (scratch);

  if (head_width < 1 || head_width > MAX_WIDTH || n_heads < 1)
    return cudaErrorInvalidValue;
  if (batch <= 0 || n_tokens <= 0)
    return cudaSuccess;
  if (type == CUDA_TYPE_F32)
    return attention_grad_f32 (stream, qkv, y, dy, stats, out, batch, n_tokens, n_heads, head_width);
  return cuda_attention_grad_bf16 (stream, qkv, y, dy, stats, out, batch, n_tokens, n_heads, head_width);
}
