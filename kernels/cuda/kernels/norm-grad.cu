/* norm-grad.cu — what the gradients of RMS norm, adaptive RMS norm and layer norm are for their input
 *
 * All three are dx = a · s dy + b · (x − mean) + c with three numbers a row, which take two sums over
 * it: of s dy (x − mean) and, for the layer norm, of s dy. Up to 1024 channels a warp holds the row of
 * x and of dy in registers, as they came from memory; what is longer, or no multiple of 16 bytes, is
 * read again from the caches, by a warp or, above 2048 channels, by 16.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/sources.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

#define WARPS_PER_BLOCK 4
#define LONG_WARPS 16

/* What all kernels here are told. */
struct NormGrad
{
  CudaTimed   scale;    /* RMS, LAYER; without values: 1 */
  const void *dy;
  const void *residual; /* NULL: none */
  void       *out;
  int         rows;
  int         rows_per_image;
  int         d;
  float       eps;
  int         uniform;  /* see sources_uniform_width() */
};

/* Sums over a row: of x − mean and its square, of s dy and of s dy (x − mean). */
struct RowSums
{
  float rest, squares, total, along;
};

/* The three numbers. @mean: with the correction that RowSums knows. */
struct RowFactors
{
  float a, b, c, mean;
};

template <CudaNorm NORM>
static __device__ __forceinline__ RowFactors
finish_row (const RowSums &sums, float mean, const NormGrad &norm)
{
  const float n = static_cast<float> (norm.d);

  if constexpr (NORM == CUDA_NORM_RMS)
    {
      const float root = sqrtf (sums.squares / n), q = 1.f / (root + norm.eps);

      return { q, root > 0.f ? -(sums.along * q / n) / root * q : 0.f, 0.f, 0.f };
    }
  else
    {
      const float correction = sums.rest / n, along = (sums.along - correction * sums.total) / n;
      const float factor = 1.f / sqrtf (fmaxf (sums.squares / n - correction * correction, 0.f) + norm.eps);

      return { factor, -along * factor * factor * factor, -factor * sums.total / n, mean + correction };
    }
}

/* Adds V channels of x and of s · dy. */
template <int V>
static __device__ __forceinline__ void
add_terms (RowSums &sums, const float (&x)[V], const float (&rise)[V], float mean)
{
#pragma unroll
  for (int i = 0; i < V; i++)
    {
      const float rest = x[i] - mean;

      sums.rest += rest;
      sums.squares = fmaf (rest, rest, sums.squares);
      sums.total += rise[i];
      sums.along = fmaf (rise[i], rest, sums.along);
    }
}

/* dy becomes s · dy. */
template <int V>
static __device__ __forceinline__ void
scale_rise (const NormGrad &norm, int image, int c, float (&dy)[V])
{
  float s[V];

  if (norm.scale.values == nullptr)
    return;
  load<V> (timed_at (norm.scale, image) + c, s);
#pragma unroll
  for (int i = 0; i < V; i++)
    dy[i] *= s[i];
}

template <typename T, int V>
static __device__ __forceinline__ void
write_row (const NormGrad &norm, const RowFactors &factors, size_t at, const float (&x)[V], float (&rise)[V])
{
  float past[V];

#pragma unroll
  for (int i = 0; i < V; i++)
    rise[i] = factors.a * rise[i] + factors.b * (x[i] - factors.mean) + factors.c;
  if (norm.residual != nullptr)
    {
      load<V> (static_cast<const T *> (norm.residual) + at, past);
#pragma unroll
      for (int i = 0; i < V; i++)
        rise[i] += past[i];
    }
  store<V> (static_cast<T *> (norm.out) + at, rise);
}

/* ---- a warp a row, in registers ---- */

template <typename T, int PACKS, CudaNorm NORM>
static __global__ void __launch_bounds__ (32 * WARPS_PER_BLOCK)
warp_norm_grad_kernel (const __grid_constant__ CudaSources x, const __grid_constant__ NormGrad norm)
{
  constexpr int V = PACK<T>;
  const int lane = static_cast<int> (threadIdx.x) % 32;
  const int row = static_cast<int> (blockIdx.x) * WARPS_PER_BLOCK + static_cast<int> (threadIdx.x) / 32;
  const int image = row / norm.rows_per_image;
  const size_t first = static_cast<size_t> (row) * static_cast<size_t> (norm.d);
  unsigned words[PACKS][4], rises[PACKS][4];
  float mean = 0;
  RowSums sums = { 0, 0, 0, 0 };
  RowFactors factors;

  kernel_begin ();
  if (row >= norm.rows)
    return;
#pragma unroll
  for (int i = 0; i < PACKS; i++)
    {
      const int c = (i * 32 + lane) * V;

      if (c < norm.d)
        {
          load_words (source_at<T> (x, norm.uniform, row, image, c), words[i]);
          load_words (static_cast<const T *> (norm.dy) + first + c, rises[i]);
        }
      else
#pragma unroll
        for (int k = 0; k < 4; k++)
          words[i][k] = rises[i][k] = 0;
    }
  if constexpr (NORM == CUDA_NORM_LAYER)
    {
#pragma unroll
      for (int i = 0; i < PACKS; i++)
        {
          float values[V];

          words_to_floats (static_cast<const T *> (nullptr), words[i], values, 4);
#pragma unroll
          for (int k = 0; k < V; k++)
            mean += values[k];
        }
      mean = warp_sum (mean) / static_cast<float> (norm.d);
    }
#pragma unroll
  for (int i = 0; i < PACKS; i++)
    {
      const int c = (i * 32 + lane) * V;
      float values[V], rise[V];

      if (c < norm.d)
        {
          words_to_floats (static_cast<const T *> (nullptr), words[i], values, 4);
          words_to_floats (static_cast<const T *> (nullptr), rises[i], rise, 4);
          scale_rise (norm, image, c, rise);
          add_terms (sums, values, rise, mean);
        }
    }
  sums = { warp_sum (sums.rest), warp_sum (sums.squares), warp_sum (sums.total), warp_sum (sums.along) };
  factors = finish_row<NORM> (sums, mean, norm);
#pragma unroll
  for (int i = 0; i < PACKS; i++)
    {
      const int c = (i * 32 + lane) * V;
      float values[V], rise[V];

      if (c < norm.d)
        {
          words_to_floats (static_cast<const T *> (nullptr), words[i], values, 4);
          words_to_floats (static_cast<const T *> (nullptr), rises[i], rise, 4);
          scale_rise (norm, image, c, rise);
          write_row<T> (norm, factors, first + static_cast<size_t> (c), values, rise);
        }
    }
}

/* ---- WARPS warps a row, which is read again ---- */

template <typename T, int V, int WARPS, CudaNorm NORM>
static __global__ void __launch_bounds__ (32 * (WARPS > 1 ? WARPS : WARPS_PER_BLOCK))
long_norm_grad_kernel (const __grid_constant__ CudaSources x, const __grid_constant__ NormGrad norm)
{
  CUDA_SHARED (float, slots, [2][4][32]);
  const int row = WARPS > 1 ? static_cast<int> (blockIdx.x)
                            : static_cast<int> (blockIdx.x) * WARPS_PER_BLOCK + static_cast<int> (threadIdx.x) / 32;
  const int begin = static_cast<int> (threadIdx.x) % (32 * WARPS) * V, image = row / norm.rows_per_image;
  const size_t first = static_cast<size_t> (row) * static_cast<size_t> (norm.d);
  const T *dy = static_cast<const T *> (norm.dy) + first;
  float values[V], rise[V], mean[1] = { 0 }, four[4];
  RowSums sums = { 0, 0, 0, 0 };
  RowFactors factors;

  kernel_begin ();
  if (row >= norm.rows)
    return;
  if constexpr (NORM == CUDA_NORM_LAYER)
    {
      for (int c = begin; c < norm.d; c += 32 * WARPS * V)
        {
          load<V> (source_at<T> (x, norm.uniform, row, image, c), values);
#pragma unroll
          for (int i = 0; i < V; i++)
            mean[0] += values[i];
        }
      row_sum<WARPS> (mean, slots[0]);
      mean[0] /= static_cast<float> (norm.d);
    }
  for (int c = begin; c < norm.d; c += 32 * WARPS * V)
    {
      load<V> (source_at<T> (x, norm.uniform, row, image, c), values);
      load<V> (dy + c, rise);
      scale_rise (norm, image, c, rise);
      add_terms (sums, values, rise, mean[0]);
    }
  four[0] = sums.rest;
  four[1] = sums.squares;
  four[2] = sums.total;
  four[3] = sums.along;
  row_sum<WARPS> (four, slots[1]);
  factors = finish_row<NORM> ({ four[0], four[1], four[2], four[3] }, mean[0], norm);
  for (int c = begin; c < norm.d; c += 32 * WARPS * V)
    {
      load<V> (source_at<T> (x, norm.uniform, row, image, c), values);
      load<V> (dy + c, rise);
      scale_rise (norm, image, c, rise);
      write_row<T> (norm, factors, first + static_cast<size_t> (c), values, rise);
    }
}

/* ---- host ---- */

template <typename T, int V, CudaNorm NORM>
static cudaError_t
launch_long (cudaStream_t       stream,
             const CudaSources *x,
             const NormGrad    &norm)
{
  if (norm.d > 64 * 32)
    return CUDA_LAUNCH ((long_norm_grad_kernel<T, V, LONG_WARPS, NORM>), static_cast<unsigned> (norm.rows), 32 * LONG_WARPS, 0,
                        stream, *x, norm);
  return CUDA_LAUNCH ((long_norm_grad_kernel<T, V, 1, NORM>), static_cast<unsigned> (divide_up (norm.rows, WARPS_PER_BLOCK)),
                      32 * WARPS_PER_BLOCK, 0, stream, *x, norm);
}

template <typename T, CudaNorm NORM>
static cudaError_t
launch_norm_grad (cudaStream_t       stream,
                  const CudaSources *x,
                  const NormGrad    &norm)
{
  constexpr int V = PACK<T>;
  const unsigned grid = static_cast<unsigned> (divide_up (norm.rows, WARPS_PER_BLOCK)), block = 32 * WARPS_PER_BLOCK;

  if (norm.rows <= 0 || norm.d <= 0)
    return cudaSuccess;
  if (!sources_have_vectors (x, V))
    return launch_long<T, 1, NORM> (stream, x, norm);
  if (norm.d <= 256)
    return CUDA_LAUNCH ((warp_norm_grad_kernel<T, 256 / (32 * V), NORM>), grid, block, 0, stream, *x, norm);
  if (norm.d <= 512)
    return CUDA_LAUNCH ((warp_norm_grad_kernel<T, 512 / (32 * V), NORM>), grid, block, 0, stream, *x, norm);
  if (norm.d <= 1024)
    return CUDA_LAUNCH ((warp_norm_grad_kernel<T, 1024 / (32 * V), NORM>), grid, block, 0, stream, *x, norm);
  return launch_long<T, V, NORM> (stream, x, norm);
}

cudaError_t
cuda_rms_norm_grad (cudaStream_t stream,
                    CudaType     type,
                    const void  *x,
                    CudaTimed    scale,
                    const void  *dy,
                    const void  *residual,
                    void        *out,
                    int          rows,
                    int          rows_per_image,
                    int          d,
                    float        eps)
{
  const CudaSources one = one_source (x, d);
  const NormGrad norm = { scale, dy, residual, out, rows, rows_per_image, d, eps, d };

  return with_type (type, [&] (auto of) { return launch_norm_grad<decltype (of), CUDA_NORM_RMS> (stream, &one, norm); });
}

cudaError_t
cuda_layer_norm_grad (cudaStream_t       stream,
                      CudaType           type,
                      const CudaSources *x,
                      CudaTimed          weight,
                      const void        *dy,
                      void              *out,
                      int                rows,
                      int                rows_per_image,
                      int                d,
                      float              eps)
{
  const NormGrad norm = { weight, dy, nullptr, out, rows, rows_per_image, d, eps, sources_uniform_width (x) };

  return with_type (type, [&] (auto of) { return launch_norm_grad<decltype (of), CUDA_NORM_LAYER> (stream, x, norm); });
}
