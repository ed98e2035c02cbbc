/* axial-rope.cu — queries and keys of unit length, turned by where their tokens are; and both gradients of that
 *
 * A warp has one head of one token: q, k and v. A lane has two pairs of channels of each, so everything
 * is read before anything is written over. The angles of a pair are those of q and of k.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/sum-rows.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

#define WARPS 4
#define PAIRS 2          /* of a lane */
#define MAX_WIDTH (64 * PAIRS)
#define MAX_CHUNKS 64
#define MIN_TOKENS 64    /* of a chunk */
#define MAX_SCALE 4.60517019f /* ln 100 */

struct Rope
{
  const void  *qkv, *dy;
  const float *freqs_h, *freqs_w, *scale;
  void        *out;
  int          rows;       /* tokens of all images */
  int          n_tokens, n_heads, head_width, n_freqs;
  int          height, width, start;
  float        eps;
};

/* The pairs of a lane: channels 2 (lane + 32 i) and the next one, zero where there is none. */
template <typename T>
static __device__ __forceinline__ void
load_pairs (const T *head, int head_width, float (&pairs)[PAIRS][2])
{
  const int lane = static_cast<int> (threadIdx.x) % 32;

#pragma unroll
  for (int i = 0; i < PAIRS; i++)
#pragma unroll
    for (int e = 0; e < 2; e++)
      {
        const int c = 2 * (lane + 32 * i) + e;

        pairs[i][e] = c < head_width ? to_float (head[c]) : 0.f;
      }
}

template <typename T>
static __device__ __forceinline__ void
store_pairs (T *head, int head_width, const float (&pairs)[PAIRS][2])
{
  const int lane = static_cast<int> (threadIdx.x) % 32;

#pragma unroll
  for (int i = 0; i < PAIRS; i++)
#pragma unroll
    for (int e = 0; e < 2; e++)
      {
        const int c = 2 * (lane + 32 * i) + e;

        if (c < head_width)
          store_float (head + c, pairs[i][e]);
      }
}

/* The angle of each pair, 0 where it is not turned. */
static __device__ __forceinline__ void
find_angles (const Rope &rope, int row, int head, float (&angles)[PAIRS])
{
  const int token = row % rope.n_tokens - rope.start;

#pragma unroll
  for (int i = 0; i < PAIRS; i++)
    {
      const int k = static_cast<int> (threadIdx.x) % 32 + 32 * i;
      const bool down = k < rope.n_freqs;

      angles[i] = 0;
      if (token >= 0 && k < 2 * rope.n_freqs)
        {
          const int at = head * rope.n_freqs + (down ? k : k - rope.n_freqs);
          const int place = down ? 2 * (token / rope.width) + 1 - rope.height : 2 * (token % rope.width) + 1 - rope.width;

          angles[i] = static_cast<float> (place) / static_cast<float> (max (rope.height, rope.width)) *
                      expf (down ? rope.freqs_h[at] : rope.freqs_w[at]);
        }
    }
}

/* e^(min (scale, ln 100) / 2) / HD^¼ */
static __device__ __forceinline__ float
find_length (const Rope &rope, int head)
{
  return expf (.5f * fminf (rope.scale[head], MAX_SCALE)) / sqrtf (sqrtf (static_cast<float> (rope.head_width)));
}

/* 1 / root mean square */
static __device__ __forceinline__ float
find_factor (const Rope &rope, const float (&x)[PAIRS][2])
{
  float sum = 0;

#pragma unroll
  for (int i = 0; i < PAIRS; i++)
    sum += x[i][0] * x[i][0] + x[i][1] * x[i][1];
  return 1.f / sqrtf (warp_sum (sum) / static_cast<float> (rope.head_width) + rope.eps);
}

/* By the angle of which these are sine and cosine. */
static __device__ __forceinline__ void
turn (float (&pair)[2], float cosine, float sine)
{
  const float u = pair[0], v = pair[1];

  pair[0] = u * cosine - v * sine;
  pair[1] = v * cosine + u * sine;
}

static __device__ __forceinline__ float
dot (const float (&a)[PAIRS][2], const float (&b)[PAIRS][2])
{
  float sum = 0;

#pragma unroll
  for (int i = 0; i < PAIRS; i++)
    sum += a[i][0] * b[i][0] + a[i][1] * b[i][1];
  return warp_sum (sum);
}

/* grid (groups of WARPS heads of all tokens); with GRAD the gradient of qkv */
template <typename T, bool GRAD>
static __global__ void __launch_bounds__ (32 * WARPS)
rope_kernel (const __grid_constant__ Rope rope)
{
  const int unit = static_cast<int> (blockIdx.x) * WARPS + static_cast<int> (threadIdx.x) / 32;
  const int row = unit / rope.n_heads, head = unit % rope.n_heads, d = rope.n_heads * rope.head_width;
  const size_t first = static_cast<size_t> (row) * static_cast<size_t> (3 * d) + static_cast<size_t> (head * rope.head_width);
  float x[2][PAIRS][2], rise[3][PAIRS][2], angles[PAIRS], length;

  kernel_begin ();
  if (row >= rope.rows)
    return;
#pragma unroll
  for (int part = 0; part < 2; part++)
    load_pairs (static_cast<const T *> (rope.qkv) + first + part * d, rope.head_width, x[part]);
#pragma unroll
  for (int part = GRAD ? 0 : 2; part < 3; part++)
    load_pairs (static_cast<const T *> (GRAD ? rope.dy : rope.qkv) + first + part * d, rope.head_width, rise[part]);
  find_angles (rope, row, head, angles);
  length = find_length (rope, head);

#pragma unroll
  for (int part = 0; part < 2; part++)
    {
      const float factor = find_factor (rope, x[part]);
      float along = 0;

#pragma unroll
      for (int i = 0; i < PAIRS; i++)
        {
          const float sine = sinf (angles[i]), cosine = cosf (angles[i]);

          if constexpr (GRAD)
            turn (rise[part][i], cosine, -sine);
          else
            turn (x[part][i], cosine, sine);
        }
      if constexpr (GRAD)
        along = dot (rise[part], x[part]) * factor * factor / static_cast<float> (rope.head_width);
#pragma unroll
      for (int i = 0; i < PAIRS; i++)
#pragma unroll
        for (int e = 0; e < 2; e++)
          x[part][i][e] = length * factor * (GRAD ? rise[part][i][e] - x[part][i][e] * along : x[part][i][e]);
      store_pairs (static_cast<T *> (rope.out) + first + part * d, rope.head_width, x[part]);
    }
  store_pairs (static_cast<T *> (rope.out) + first + 2 * d, rope.head_width, rise[2]);
}

/* ---- gradients of the frequencies and of the scale, [heads, 2 F + 1], of a chunk of tokens; grid (heads, chunks) ---- */

template <typename T>
static __global__ void __launch_bounds__ (32 * WARPS)
rope_param_kernel (const __grid_constant__ Rope rope,
                   float                       *sums,
                   int                          per_chunk)
{
  CUDA_SHARED (float, total, [WARPS][MAX_WIDTH / 2 + 1]);
  const int lane = static_cast<int> (threadIdx.x) % 32, warp = static_cast<int> (threadIdx.x) / 32;
  const int head = static_cast<int> (blockIdx.x), d = rope.n_heads * rope.head_width, n = 2 * rope.n_freqs + 1;
  const int begin = static_cast<int> (blockIdx.y) * per_chunk, end = min (begin + per_chunk, rope.rows);
  float of_angle[PAIRS] = {}, of_scale = 0, length;

  kernel_begin ();
  length = find_length (rope, head);
  for (int row = begin + warp; row < end; row += WARPS)
    {
      const size_t first = static_cast<size_t> (row) * static_cast<size_t> (3 * d) + static_cast<size_t> (head * rope.head_width);
      float angles[PAIRS];

      find_angles (rope, row, head, angles);
#pragma unroll
      for (int part = 0; part < 2; part++)
        {
          float x[PAIRS][2], rise[PAIRS][2], factor;

          load_pairs (static_cast<const T *> (rope.qkv) + first + part * d, rope.head_width, x);
          load_pairs (static_cast<const T *> (rope.dy) + first + part * d, rope.head_width, rise);
          factor = length * find_factor (rope, x);
#pragma unroll
          for (int i = 0; i < PAIRS; i++)
            {
              const float sine = sinf (angles[i]), cosine = cosf (angles[i]);

              /* The derivative of a turned pair is that pair, a quarter turn further. */
              turn (rise[i], cosine, -sine);
              of_angle[i] += angles[i] * factor * (x[i][0] * rise[i][1] - x[i][1] * rise[i][0]);
            }
          of_scale += .5f * factor * dot (rise, x);
        }
    }
#pragma unroll
  for (int i = 0; i < PAIRS; i++)
    total[warp][lane + 32 * i] = of_angle[i];
  if (lane == 0)
    total[warp][MAX_WIDTH / 2] = rope.scale[head] < MAX_SCALE ? of_scale : 0.f;
  __syncthreads ();
  for (int k = static_cast<int> (threadIdx.x); k < n; k += 32 * WARPS)
    {
      const int from = k + 1 < n ? k : MAX_WIDTH / 2;
      float sum = 0;

      for (int i = 0; i < WARPS; i++)
        sum += total[i][from];
      sums[(static_cast<size_t> (blockIdx.y) * gridDim.x + blockIdx.x) * static_cast<size_t> (n) + static_cast<size_t> (k)] = sum;
    }
}

/* ---- host ---- */

static int
chunks_of (int rows)
{
  return max (1, min (rows / MIN_TOKENS, MAX_CHUNKS));
}

static Rope
describe (const CudaRope &rope, const void *qkv, const void *dy, void *out)
{
  return { qkv, dy, rope.freqs_h, rope.freqs_w, rope.scale, out, rope.batch * rope.n_tokens, rope.n_tokens, rope.n_heads,
           rope.head_width, rope.n_freqs, (rope.n_tokens - rope.start) / rope.width, rope.width, rope.start, rope.eps };
}

template <typename T>
static cudaError_t
launch_rope (cudaStream_t stream, const Rope &rope)
{
  const unsigned grid = static_cast<unsigned> (divide_up (rope.rows * rope.n_heads, WARPS));

  if (rope.dy != nullptr)
    return CUDA_LAUNCH ((rope_kernel<T, true>), grid, 32 * WARPS, 0, stream, rope);
  return CUDA_LAUNCH ((rope_kernel<T, false>), grid, 32 * WARPS, 0, stream, rope);
}

template <typename T>
static cudaError_t
launch_rope_params (cudaStream_t stream, const Rope &rope, float *sums)
{
  const int chunks = chunks_of (rope.rows);
  const dim3 grid (static_cast<unsigned> (rope.n_heads), static_cast<unsigned> (chunks));

  return CUDA_LAUNCH (rope_param_kernel<T>, grid, 32 * WARPS, 0, stream, rope, sums, divide_up (rope.rows, chunks));
}

cudaError_t
cuda_axial_rope (cudaStream_t    stream,
                 CudaType        type,
                 const CudaRope *rope,
                 const void     *qkv,
                 const void     *dy,
                 void           *out)
{
  if (rope->head_width < 1 || rope->head_width > MAX_WIDTH || rope->width < 1)
    return cudaErrorInvalidValue;
  if (rope->batch <= 0 || rope->n_tokens <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) { return launch_rope<decltype (of)> (stream, describe (*rope, qkv, dy, out)); });
}

size_t
cuda_axial_rope_param_scratch (const CudaRope *rope)
{
  return static_cast<size_t> (chunks_of (rope->batch * rope->n_tokens)) * static_cast<size_t> (rope->n_heads) *
         static_cast<size_t> (2 * rope->n_freqs + 1);
}

cudaError_t
cuda_axial_rope_param_grad (cudaStream_t    stream,
                            CudaType        type,
                            const CudaRope *rope,
                            const void     *qkv,
                            const void     *dy,
                            float          *scratch,
                            float          *out)
{
  const int n = rope->n_heads * (2 * rope->n_freqs + 1), chunks = chunks_of (rope->batch * rope->n_tokens);
  const TensorRows<float> made = { scratch, n };
  cudaError_t error;

  if (rope->head_width < 1 || rope->head_width > MAX_WIDTH || rope->width < 1)
    return cudaErrorInvalidValue;
  error = with_type (type, [&] (auto of) {
    return launch_rope_params<decltype (of)> (stream, describe (*rope, qkv, dy, nullptr), scratch);
  });
  return error == cudaSuccess ? launch_sum_stage<1> (stream, made, out, 1, chunks, 1, n) : error;
}
