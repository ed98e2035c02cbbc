/* norm.cu — RMS norm and layer norm over one tensor or many
 *
 * Up to 2048 channels a warp holds its row in registers; above, a block of 512 threads holds one or
 * two rows, as they came from memory: every element is read once and written once. Only rows that
 * fit in no block's registers (float above 20,480 channels, bf16 above 40,960, or channels that are
 * no multiple of 16 bytes) are read again, from the L2 cache.
 *
 * Layer norms take the mean first and then the squares of what is left, with the mean of what is
 * left as correction, so that rows whose mean is a thousand times their deviation lose nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/sources.cuh"

#define WARPS_PER_BLOCK 4
#define BLOCK_THREADS 512
#define BLOCK_WARPS (BLOCK_THREADS / 32)

/* What all kernels here are told. */
struct Norm
{
  CudaTimed scale;
  CudaTimed bias;    /* layer norm only */
  void     *out;
  int       rows;
  int       rows_per_image;
  int       d;
  float     eps;
  int       uniform; /* see sources_uniform_width() */
};

/* V values from channel @c on of a vector, or @otherwise where there is none. */
template <int V>
static __device__ __forceinline__ void
load_vector (const CudaTimed &timed, int image, int c, float otherwise, float (&values)[V])
{
  if (timed.values != nullptr)
    load<V> (timed_at (timed, image) + c, values);
  else
    for (int i = 0; i < V; i++)
      values[i] = otherwise;
}

/* y = (x − mean) · factor · scale + bias; an RMS norm has no mean and no bias. */
template <bool RMS, int V>
static __device__ __forceinline__ void
normalize (float       (&x)[V],
           const Norm   &norm,
           int           image,
           int           c,
           float         mean,
           float         factor)
{
  float s[V], b[V];

  load_vector<V> (norm.scale, image, c, 1, s);
  if constexpr (!RMS)
    load_vector<V> (norm.bias, image, c, 0, b);
#pragma unroll
  for (int i = 0; i < V; i++)
    x[i] = RMS ? s[i] * (x[i] * factor) : s[i] * ((x[i] - mean) * factor) + b[i];
}

/* From Σ (x − mean) and Σ (x − mean)²: the exact mean and 1 / deviation. */
static __device__ __forceinline__ void
finish_layer_norm (float  rest,
                   float  squares,
                   int    d,
                   float  eps,
                   float *mean,
                   float *factor)
{
  const float correction = rest / static_cast<float> (d);

  *factor = 1.f / sqrtf (fmaxf (squares / static_cast<float> (d) - correction * correction, 0.f) + eps);
  *mean += correction;
}

static __device__ __forceinline__ float
finish_rms_norm (float squares,
                 int   d,
                 float eps)
{
  return 1.f / (sqrtf (squares / static_cast<float> (d)) + eps);
}

/* ---- a warp a row ---- */

template <typename T, int V, int FLOATS, bool RMS>
static __global__ void __launch_bounds__ (32 * WARPS_PER_BLOCK)
warp_norm_kernel (const __grid_constant__ CudaSources x, const __grid_constant__ Norm norm)
{
  constexpr int PACKS = FLOATS / V;
  const int lane = static_cast<int> (threadIdx.x) % 32;
  const int row = static_cast<int> (blockIdx.x) * WARPS_PER_BLOCK + static_cast<int> (threadIdx.x) / 32;
  const int image = row / norm.rows_per_image;
  float values[PACKS][V], sum = 0, squares = 0, mean = 0, factor;

  kernel_begin ();
  if (row >= norm.rows)
    return;
#pragma unroll
  for (int i = 0; i < PACKS; i++)
    {
      const int c = (i * 32 + lane) * V;

      if (c < norm.d)
        load<V> (source_at<T> (x, norm.uniform, row, image, c), values[i]);
      else
        clear (values[i]);
    }

  if constexpr (!RMS)
    {
#pragma unroll
      for (int i = 0; i < PACKS; i++)
#pragma unroll
        for (int j = 0; j < V; j++)
          sum += values[i][j];
      mean = warp_sum (sum) / static_cast<float> (norm.d);
      sum = 0;
    }
#pragma unroll
  for (int i = 0; i < PACKS; i++)
    if ((i * 32 + lane) * V < norm.d)
      {
#pragma unroll
        for (int j = 0; j < V; j++)
          {
            const float rest = values[i][j] - mean;

            sum += rest;
            squares += rest * rest;
          }
      }
  squares = warp_sum (squares);
  if constexpr (RMS)
    factor = finish_rms_norm (squares, norm.d, norm.eps);
  else
    finish_layer_norm (warp_sum (sum), squares, norm.d, norm.eps, &mean, &factor);

  T *const out = static_cast<T *> (norm.out) + static_cast<size_t> (row) * static_cast<size_t> (norm.d);
#pragma unroll
  for (int i = 0; i < PACKS; i++)
    {
      const int c = (i * 32 + lane) * V;

      if (c < norm.d)
        {
          normalize<RMS> (values[i], norm, image, c, mean, factor);
          store<V> (out + c, values[i]);
        }
    }
}

/* ---- a block for ROWS rows, which share the loads of scale and bias ---- */

template <typename T, int PACKS, int ROWS, bool RMS>
static __global__ void __launch_bounds__ (BLOCK_THREADS, ROWS == 1 ? 2 : 1)
block_norm_kernel (const __grid_constant__ CudaSources x, const __grid_constant__ Norm norm)
{
  constexpr int V = PACK<T>;
  CUDA_SHARED (float, slots, [2][2 * ROWS][32]);
  const int row0 = static_cast<int> (blockIdx.x) * ROWS, image = row0 / norm.rows_per_image;
  const int first = static_cast<int> (threadIdx.x) * V;
  unsigned words[ROWS][PACKS][4];
  float mean[ROWS], factor[ROWS], sums[2 * ROWS];

  kernel_begin ();
#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int i = 0; i < PACKS; i++)
      {
        const int c = first + i * BLOCK_THREADS * V;

        if (c < norm.d && row0 + r < norm.rows)
          load_words (source_at<T> (x, norm.uniform, row0 + r, image, c), words[r][i]);
        else
          words[r][i][0] = words[r][i][1] = words[r][i][2] = words[r][i][3] = 0;
      }

#pragma unroll
  for (int r = 0; r < ROWS; r++)
    mean[r] = 0;
  if constexpr (!RMS)
    {
#pragma unroll
      for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int i = 0; i < PACKS; i++)
          {
            float values[V];

            words_to_floats (static_cast<const T *> (nullptr), words[r][i], values, 4);
#pragma unroll
            for (int j = 0; j < V; j++)
              mean[r] += values[j];
          }
      block_sum<BLOCK_WARPS> (mean, slots[0]);
#pragma unroll
      for (int r = 0; r < ROWS; r++)
        mean[r] /= static_cast<float> (norm.d);
    }

#pragma unroll
  for (int r = 0; r < ROWS; r++)
    {
      sums[2 * r] = sums[2 * r + 1] = 0;
#pragma unroll
      for (int i = 0; i < PACKS; i++)
        if (first + i * BLOCK_THREADS * V < norm.d)
          {
            float values[V];

            words_to_floats (static_cast<const T *> (nullptr), words[r][i], values, 4);
#pragma unroll
            for (int j = 0; j < V; j++)
              {
                const float rest = values[j] - mean[r];

                sums[2 * r] += rest;
                sums[2 * r + 1] += rest * rest;
              }
          }
    }
  block_sum<BLOCK_WARPS> (sums, slots[1]);
#pragma unroll
  for (int r = 0; r < ROWS; r++)
    if constexpr (RMS)
      factor[r] = finish_rms_norm (sums[2 * r + 1], norm.d, norm.eps);
    else
      finish_layer_norm (sums[2 * r], sums[2 * r + 1], norm.d, norm.eps, &mean[r], &factor[r]);

#pragma unroll
  for (int i = 0; i < PACKS; i++)
    {
      const int c = first + i * BLOCK_THREADS * V;
      float s[V], b[V];

      if (c >= norm.d)
        break;
      load_vector<V> (norm.scale, image, c, 1, s);
      if constexpr (!RMS)
        load_vector<V> (norm.bias, image, c, 0, b);
#pragma unroll
      for (int r = 0; r < ROWS; r++)
        {
          T *out = static_cast<T *> (norm.out) + static_cast<size_t> (row0 + r) * static_cast<size_t> (norm.d);
          float values[V];

          if (row0 + r >= norm.rows)
            break;
          words_to_floats (static_cast<const T *> (nullptr), words[r][i], values, 4);
#pragma unroll
          for (int j = 0; j < V; j++)
            values[j] = RMS ? s[j] * (values[j] * factor[r]) : s[j] * ((values[j] - mean[r]) * factor[r]) + b[j];
          store<V> (out + c, values);
        }
    }
}

/* ---- a block a row, which is read three times ---- */

template <typename T, int V, bool RMS>
static __global__ void __launch_bounds__ (BLOCK_THREADS)
long_norm_kernel (const __grid_constant__ CudaSources x, const __grid_constant__ Norm norm)
{
  CUDA_SHARED (float, slots, [2][2][32]);
  const int row = static_cast<int> (blockIdx.x), image = row / norm.rows_per_image;
  const int first = static_cast<int> (threadIdx.x) * V;
  float values[V], mean[1] = { 0 }, sums[2] = { 0, 0 }, factor;

  kernel_begin ();
  if constexpr (!RMS)
    {
      for (int c = first; c < norm.d; c += BLOCK_THREADS * V)
        {
          load<V> (source_at<T> (x, norm.uniform, row, image, c), values);
#pragma unroll
          for (int j = 0; j < V; j++)
            mean[0] += values[j];
        }
      block_sum<BLOCK_WARPS> (mean, slots[0]);
      mean[0] /= static_cast<float> (norm.d);
    }

  for (int c = first; c < norm.d; c += BLOCK_THREADS * V)
    {
      load<V> (source_at<T> (x, norm.uniform, row, image, c), values);
#pragma unroll
      for (int j = 0; j < V; j++)
        {
          const float rest = values[j] - mean[0];

          sums[0] += rest;
          sums[1] += rest * rest;
        }
    }
  block_sum<BLOCK_WARPS> (sums, slots[1]);
  if constexpr (RMS)
    factor = finish_rms_norm (sums[1], norm.d, norm.eps);
  else
    finish_layer_norm (sums[0], sums[1], norm.d, norm.eps, mean, &factor);

  T *out = static_cast<T *> (norm.out) + static_cast<size_t> (row) * static_cast<size_t> (norm.d);
  for (int c = first; c < norm.d; c += BLOCK_THREADS * V)
    {
      load<V> (source_at<T> (x, norm.uniform, row, image, c), values);
      normalize<RMS> (values, norm, image, c, mean[0], factor);
      store<V> (out + c, values);
    }
}

/* ---- host ---- */

template <typename T, int V, bool RMS>
static cudaError_t
launch_warp_norm (cudaStream_t       stream,
                  const CudaSources *x,
                  const Norm        &norm)
{
  const unsigned grid = static_cast<unsigned> (divide_up (norm.rows, WARPS_PER_BLOCK)), block = 32 * WARPS_PER_BLOCK;

  /* Odd widths are rare: two sizes do. */
  if constexpr (V > 1)
    {
      if (norm.d <= 8 * 32)
        return CUDA_LAUNCH ((warp_norm_kernel<T, V, 8, RMS>), grid, block, 0, stream, *x, norm);
      if (norm.d > 16 * 32 && norm.d <= 32 * 32)
        return CUDA_LAUNCH ((warp_norm_kernel<T, V, 32, RMS>), grid, block, 0, stream, *x, norm);
    }
  if (norm.d <= 16 * 32)
    return CUDA_LAUNCH ((warp_norm_kernel<T, V, 16, RMS>), grid, block, 0, stream, *x, norm);
  return CUDA_LAUNCH ((warp_norm_kernel<T, V, 64, RMS>), grid, block, 0, stream, *x, norm);
}

template <typename T, int PACKS, bool RMS>
static cudaError_t
launch_block_norm (cudaStream_t       stream,
                   const CudaSources *x,
                   const Norm        &norm)
{
  /* Both rows of a block take what belongs to the image of the first. */
  [[maybe_unused]] const bool same_image = norm.rows_per_image % 2 == 0 ||
                          (norm.scale.image_stride == 0 && norm.bias.image_stride == 0 && !sources_have_skips (x));

  /* Scale and bias are four times the bytes of a row of bf16: two rows a block share them where
   * that still leaves work for all processors. */
  if constexpr (sizeof (T) == 2)
    {
      int processors;
      cudaError_t error = cuda_kernels_device_attribute (&processors, cudaDevAttrMultiProcessorCount);

      if (error != cudaSuccess)
        return error;
      if (same_image && norm.rows >= 2 * processors)
        return CUDA_LAUNCH ((block_norm_kernel<T, PACKS, 2, RMS>), static_cast<unsigned> (divide_up (norm.rows, 2)),
                            BLOCK_THREADS, 0, stream, *x, norm);
    }
  return CUDA_LAUNCH ((block_norm_kernel<T, PACKS, 1, RMS>), static_cast<unsigned> (norm.rows), BLOCK_THREADS, 0,
                      stream, *x, norm);
}

template <typename T, bool RMS>
static cudaError_t
launch_norm (cudaStream_t       stream,
             const CudaSources *x,
             const Norm        &norm)
{
  constexpr int V = PACK<T>;
  const bool vectors = sources_have_vectors (x, V);

  if (norm.rows <= 0 || norm.d <= 0)
    return cudaSuccess;
  if (norm.d <= 64 * 32)
    return vectors ? launch_warp_norm<T, V, RMS> (stream, x, norm) : launch_warp_norm<T, 1, RMS> (stream, x, norm);
  if (vectors && norm.d <= 2 * BLOCK_THREADS * V)
    return launch_block_norm<T, 2, RMS> (stream, x, norm);
  if (vectors && norm.d <= 5 * BLOCK_THREADS * V)
    return launch_block_norm<T, 5, RMS> (stream, x, norm);
  if (vectors && norm.d <= 10 * BLOCK_THREADS * V)
    return launch_block_norm<T, 10, RMS> (stream, x, norm);
  if (vectors)
    return CUDA_LAUNCH ((long_norm_kernel<T, V, RMS>), static_cast<unsigned> (norm.rows), BLOCK_THREADS, 0, stream,
                        *x, norm);
  return CUDA_LAUNCH ((long_norm_kernel<T, 1, RMS>), static_cast<unsigned> (norm.rows), BLOCK_THREADS, 0, stream,
                      *x, norm);
}

cudaError_t
cuda_rms_norm (cudaStream_t stream,
               CudaType     type,
               const void  *x,
               CudaTimed    scale,
               void        *out,
               int          rows,
               int          rows_per_image,
               int          d,
               float        eps)
{
  const CudaSources one = one_source (x, d);
  const Norm norm = { scale, {}, out, rows, rows_per_image, d, eps, d };

  return with_type (type, [&] (auto of) { return launch_norm<decltype (of), true> (stream, &one, norm); });
}

cudaError_t
cuda_layer_norm (cudaStream_t       stream,
                 CudaType           type,
                 const CudaSources *x,
                 CudaTimed          weight,
                 CudaTimed          bias,
                 void              *out,
                 int                rows,
                 int                rows_per_image,
                 int                d,
                 float              eps)
{
  const Norm norm = { weight, bias, out, rows, rows_per_image, d, eps, sources_uniform_width (x) };

  return with_type (type, [&] (auto of) { return launch_norm<decltype (of), false> (stream, x, norm); });
}
