/* optimizer.cu — sums of gradients, their norm, AdamW and the moving average, on the device
 *
 * Every array of a training holds all parameters one after the other, each at a multiple of
 * CUDA_TRAINING_ALIGNMENT numbers and with zeros behind it, so whatever is not a parameter's own memory moves 16
 * bytes at a time without a look at where it ends. A launch covers all parameters: a block takes one piece.
 *
 * The arithmetic of core/train/dimr-optimizer.c, value by value in the same order and without fused operations:
 * from the same gradient both make the same numbers. All of it is bound by memory, so that costs nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#define THREADS 256
/* Blocks of the first stage of a norm: as many on every device, since its sums depend on them. */
#define NORM_BLOCKS 256
/* Blocks of a sum of whole arrays, which take turns. */
#define MERGE_BLOCKS 2048

/* ---- gradients ---- */

template <typename T>
static __device__ void
add_piece (const CudaGradientPiece &piece, const T *from, float *sum, bool first)
{
  const int vectors = piece.n / 4;

  for (int i = static_cast<int> (threadIdx.x); i < vectors; i += THREADS)
    {
      float values[4], sums[4];

      load (from + 4 * i, values);
      if (!first)
        {
          load (sum + 4 * i, sums);
#pragma unroll
          for (int k = 0; k < 4; k++)
            values[k] = __fadd_rn (sums[k], values[k]);
        }
      store (sum + 4 * i, values);
    }
  for (int i = 4 * vectors + static_cast<int> (threadIdx.x); i < piece.n; i += THREADS)
    sum[i] = first ? to_float (from[i]) : __fadd_rn (sum[i], to_float (from[i]));
}

static __global__ void __launch_bounds__ (THREADS)
training_add_kernel (const CudaGradientPiece *__restrict__ pieces,
                     float *__restrict__                   sum,
                     int                                   first)
{
  const CudaGradientPiece &piece = pieces[blockIdx.x];

  kernel_begin ();
  if (piece.type == CUDA_TYPE_F32)
    add_piece (piece, static_cast<const float *> (piece.from), sum + piece.at, first != 0);
  else
    add_piece (piece, static_cast<const bf16 *> (piece.from), sum + piece.at, first != 0);
}

cudaError_t
cuda_training_add (cudaStream_t             stream,
                   const CudaGradientPiece *pieces,
                   int                      n_pieces,
                   float                   *sum,
                   int                      first)
{
  if (n_pieces == 0)
    return cudaSuccess;
  return CUDA_LAUNCH (training_add_kernel, static_cast<unsigned> (n_pieces), THREADS, 0, stream, pieces, sum, first);
}

static __global__ void __launch_bounds__ (THREADS)
training_merge_kernel (float *__restrict__       sum,
                       const float *__restrict__ other,
                       size_t                    n)
{
  const size_t step = static_cast<size_t> (gridDim.x) * THREADS, vectors = n / 4;
  const size_t thread = static_cast<size_t> (blockIdx.x) * THREADS + threadIdx.x;

  kernel_begin ();
  for (size_t i = thread; i < vectors; i += step)
    {
      float a[4], b[4];

      load (sum + 4 * i, a);
      load (other + 4 * i, b);
#pragma unroll
      for (int k = 0; k < 4; k++)
        a[k] = __fadd_rn (a[k], b[k]);
      store (sum + 4 * i, a);
    }
  for (size_t i = 4 * vectors + thread; i < n; i += step)
    sum[i] = __fadd_rn (sum[i], other[i]);
}

cudaError_t
cuda_training_merge (cudaStream_t stream,
                     float       *sum,
                     const float *other,
                     size_t       n)
{
  const size_t blocks = divide_up (divide_up (n, static_cast<size_t> (4)), static_cast<size_t> (THREADS));

  if (n == 0)
    return cudaSuccess;
  return CUDA_LAUNCH (training_merge_kernel, static_cast<unsigned> (blocks < MERGE_BLOCKS ? blocks : MERGE_BLOCKS), THREADS, 0, stream,
                      sum, other, n);
}

/* ---- norm ---- */

/* The sum over the threads of a block, in an order of its own; thread 0 gets it. */
static __device__ double
block_total (double value, double *slots)
{
  const int thread = static_cast<int> (threadIdx.x);

  slots[thread] = value;
  __syncthreads ();
  for (int half = THREADS / 2; half > 0; half /= 2)
    {
      if (thread < half)
        slots[thread] += slots[thread + half];
      __syncthreads ();
    }
  return slots[0];
}

static __global__ void __launch_bounds__ (THREADS)
training_squares_kernel (const float *__restrict__ x,
                         size_t                    vectors,
                         double *__restrict__      partial)
{
  CUDA_SHARED (double, slots, [THREADS]);
  const size_t begin = vectors * blockIdx.x / NORM_BLOCKS, end = vectors * (blockIdx.x + 1) / NORM_BLOCKS;
  double sum = 0;

  kernel_begin ();
#pragma unroll 4
  for (size_t i = begin + threadIdx.x; i < end; i += THREADS)
    {
      float values[4];

      load (x + 4 * i, values);
#pragma unroll
      for (int k = 0; k < 4; k++)
        sum += static_cast<double> (values[k]) * static_cast<double> (values[k]);
    }
  sum = block_total (sum, slots);
  if (threadIdx.x == 0)
    partial[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__ (THREADS)
training_norm_kernel (const double *__restrict__ partial,
                      double *__restrict__       norm)
{
  CUDA_SHARED (double, slots, [THREADS]);
  double sum = 0;

  kernel_begin ();
  for (int i = static_cast<int> (threadIdx.x); i < NORM_BLOCKS; i += THREADS)
    sum += partial[i];
  sum = block_total (sum, slots);
  if (threadIdx.x == 0)
    *norm = sqrt (sum);
}

size_t
cuda_training_norm_doubles (void)
{
  return NORM_BLOCKS + 1;
}

cudaError_t
cuda_training_norm (cudaStream_t stream,
                    const float *x,
                    size_t       n,
                    double      *scratch)
{
  const cudaError_t error = CUDA_LAUNCH (training_squares_kernel, NORM_BLOCKS, THREADS, 0, stream, x, n / 4, scratch + 1);

  return error != cudaSuccess ? error : CUDA_LAUNCH (training_norm_kernel, 1, THREADS, 0, stream, scratch + 1, scratch);
}

/* ---- AdamW ---- */

/* Where number @i of a parameter [rows, d, taps] lies in the layout that a convolution reads. */
static __device__ __forceinline__ size_t
turned (const CudaUpdatePiece &piece, size_t i)
{
  const size_t taps = static_cast<size_t> (piece.taps), d = static_cast<size_t> (piece.depth);
  const size_t row = i / (d * taps), c = i / taps % d, tap = i % taps;

  switch (piece.copy)
    {
    case CUDA_COPY_DEPTHWISE: return tap * static_cast<size_t> (piece.rows) + row;
    case CUDA_COPY_DEPTHWISE_FLIPPED: return (taps - 1 - tap) * static_cast<size_t> (piece.rows) + row;
    default: return (row * taps + tap) * d + c;
    }
}

/* Numbers [i, i + 4) of the piece, as the network's kernels want them. */
static __device__ __forceinline__ void
copy_out (const CudaUpdatePiece &piece, int i, const float (&values)[4])
{
  const bool whole = piece.aligned && i + 4 <= piece.n;
  float *const floats = static_cast<float *> (piece.to);
  bf16 *const halves = static_cast<bf16 *> (piece.to);

  switch (piece.copy)
    {
    case CUDA_COPY_F32:
      if (whole)
        store (floats + piece.first + i, values);
      else
        for (int k = 0; k < 4 && i + k < piece.n; k++)
          floats[piece.first + i + k] = values[k];
      break;
    case CUDA_COPY_BF16:
      if (whole)
        store (halves + piece.first + i, values);
      else
        for (int k = 0; k < 4 && i + k < piece.n; k++)
          halves[piece.first + i + k] = __float2bfloat16_rn (values[k]);
      break;
    case CUDA_COPY_DEPTHWISE:
    case CUDA_COPY_DEPTHWISE_FLIPPED:
    case CUDA_COPY_IMAGE_CONV:
      for (int k = 0; k < 4 && i + k < piece.n; k++)
        floats[turned (piece, piece.first + i + k)] = values[k];
      break;
    case CUDA_COPY_IMAGE_CONV_BF16:
      for (int k = 0; k < 4 && i + k < piece.n; k++)
        halves[turned (piece, piece.first + i + k)] = __float2bfloat16_rn (values[k]);
      break;
    default:
      break;
    }
}

struct Arrays
{
  float *values, *m, *v, *average;
  const float *gradient;
};

static __device__ __forceinline__ void
learn (const CudaUpdate &u, float keep, const Arrays &arrays, size_t at, float (&p)[4])
{
  float g[4], m[4], v[4];

  load (arrays.gradient + at, g);
  load (arrays.m + at, m);
  load (arrays.v + at, v);
#pragma unroll
  for (int k = 0; k < 4; k++)
    {
      const float gradient = __fmul_rn (g[k], u.scale);

      m[k] = __fadd_rn (__fmul_rn (u.beta1, m[k]), __fmul_rn (1 - u.beta1, gradient));
      v[k] = __fadd_rn (__fmul_rn (u.beta2, v[k]), __fmul_rn (__fmul_rn (1 - u.beta2, gradient), gradient));
      p[k] = __fadd_rn (__fmul_rn (p[k], keep),
                        -__fdiv_rn (__fmul_rn (u.rate, m[k]), __fadd_rn (__fmul_rn (__fsqrt_rn (v[k]), u.correction), u.eps)));
    }
  store (arrays.m + at, m);
  store (arrays.v + at, v);
  store (arrays.values + at, p);
}

static __global__ void __launch_bounds__ (THREADS)
training_update_kernel (const CudaUpdatePiece *__restrict__ pieces,
                        const __grid_constant__ CudaUpdate  u,
                        const __grid_constant__ Arrays      arrays)
{
  const CudaUpdatePiece &piece = pieces[blockIdx.x];
  float keep;

  kernel_begin ();
  keep = piece.decays ? u.keep : 1.f;
  for (int i = 4 * static_cast<int> (threadIdx.x); i < piece.n; i += 4 * THREADS)
    {
      const size_t at = piece.at + static_cast<size_t> (i);
      float p[4];

      load (arrays.values + at, p);
      if (piece.learns)
        learn (u, keep, arrays, at, p);
      if (arrays.average != nullptr)
        {
          float average[4];

          load (arrays.average + at, average);
#pragma unroll
          for (int k = 0; k < 4; k++)
            average[k] = __fadd_rn (__fmul_rn (u.average_keep, average[k]), __fmul_rn (u.average_take, p[k]));
          store (arrays.average + at, average);
        }
      if (piece.learns)
        copy_out (piece, i, p);
    }
}

cudaError_t
cuda_training_update (cudaStream_t           stream,
                      const CudaUpdatePiece *pieces,
                      int                    n_pieces,
                      const CudaUpdate      *update,
                      const float           *gradient,
                      float                 *values,
                      float                 *m,
                      float                 *v,
                      float                 *average)
{
  const Arrays arrays = { values, m, v, average, gradient };

  if (n_pieces == 0)
    return cudaSuccess;
  return CUDA_LAUNCH (training_update_kernel, static_cast<unsigned> (n_pieces), THREADS, 0, stream, pieces, *update, arrays);
}

static __global__ void __launch_bounds__ (THREADS)
training_copy_kernel (const CudaUpdatePiece *__restrict__ pieces,
                      const float *__restrict__           values)
{
  const CudaUpdatePiece &piece = pieces[blockIdx.x];

  kernel_begin ();
  for (int i = 4 * static_cast<int> (threadIdx.x); i < piece.n; i += 4 * THREADS)
    {
      float p[4];

      load (values + piece.at + i, p);
      copy_out (piece, i, p);
    }
}

cudaError_t
cuda_training_copy (cudaStream_t           stream,
                    const CudaUpdatePiece *pieces,
                    int                    n_pieces,
                    const float           *values)
{
  if (n_pieces == 0)
    return cudaSuccess;
  return CUDA_LAUNCH (training_copy_kernel, static_cast<unsigned> (n_pieces), THREADS, 0, stream, pieces, values);
}
