/* table-grad.cu — gradients of positions, classes and time-dependent parameters
 *
 * Each row of a table is made by who owns it, from all that read it and in their order: nothing is
 * scattered, so nothing is added by two at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/gather.cuh"

#include "kernels/cuda/cuda-kernels-grad.h"

/* ---- POSITION_GRAD: a row is a place, its terms are the images ---- */

template <typename T>
struct SummedPlaces
{
  const T *dy;
  int      table_width, batch, height, width, d;

  template <int V>
  __device__ void
  read (int row, int c, float (&values)[V]) const
  {
    const int h = row / table_width, w = row % table_width;

    clear (values);
    if (h >= height || w >= width)
      return;
#pragma unroll 4
    for (int image = 0; image < batch; image++)
      {
        float term[V];

        load<V> (row_of (dy, static_cast<size_t> (image * height + h) * static_cast<size_t> (width) + static_cast<size_t> (w), d, c),
                 term);
#pragma unroll
        for (int i = 0; i < V; i++)
          values[i] += term[i];
      }
  }
};

cudaError_t
cuda_position_grad (cudaStream_t stream,
                    CudaType     type,
                    const void  *dy,
                    float       *out,
                    int          table_width,
                    int          length,
                    int          batch,
                    int          height,
                    int          width,
                    int          d)
{
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const SummedPlaces<T> from = { static_cast<const T *> (dy), table_width, batch, height, width, d };

    return launch_rows<float> (stream, from, out, length, d, true);
  });
}

/* ---- EMBEDDING_GRAD: a warp looks through the labels 32 at a time ---- */

#define WARPS 8

/* grid (groups of WARPS rows, groups of 32 channels) */
template <typename T>
static __global__ void __launch_bounds__ (32 * WARPS)
embedding_grad_kernel (const T *__restrict__   dy,
                       const int *__restrict__ index,
                       float *__restrict__     out,
                       int                     length,
                       int                     batch,
                       int                     d)
{
  const int lane = static_cast<int> (threadIdx.x) % 32;
  const int row = static_cast<int> (blockIdx.x) * WARPS + static_cast<int> (threadIdx.x) / 32;
  const int c = static_cast<int> (blockIdx.y) * 32 + lane;
  float sum = 0;

  kernel_begin ();
  if (row >= length)
    return;
  for (int first = 0; first < batch; first += 32)
    {
      unsigned found = __ballot_sync (FULL_WARP, first + lane < batch && index[first + lane] == row);

      for (int i = first; found != 0; found >>= 1, i++)
        if ((found & 1) != 0 && c < d)
          sum += to_float (*row_of (dy, static_cast<size_t> (i), d, c));
    }
  if (c < d)
    out[static_cast<size_t> (row) * static_cast<size_t> (d) + static_cast<size_t> (c)] = sum;
}

cudaError_t
cuda_embedding_grad (cudaStream_t stream,
                     CudaType     type,
                     const void  *dy,
                     const int   *index,
                     float       *out,
                     int          length,
                     int          batch,
                     int          d)
{
  if (length <= 0 || d <= 0)
    return cudaSuccess;
  return with_type (type, [&] (auto of) {
    typedef decltype (of) T;
    const dim3 grid (static_cast<unsigned> (divide_up (length, WARPS)), static_cast<unsigned> (divide_up (d, 32)));

    return CUDA_LAUNCH (embedding_grad_kernel<T>, grid, 32 * WARPS, 0, stream, static_cast<const T *> (dy), index, out, length,
                        batch, d);
  });
}

/* ---- TIME_PARAM_GRAD: a thread a channel; its terms are the times, which are few ---- */

#define THREADS 128

static __global__ void __launch_bounds__ (THREADS)
time_param_grad_kernel (const float *__restrict__ dy,
                        const float *__restrict__ log_snr,
                        int                       n_times,
                        const float *__restrict__ param0,
                        const float *__restrict__ param1,
                        const float *__restrict__ weight,
                        const float *__restrict__ bias,
                        float *__restrict__       out,
                        int                       d)
{
  const int c = static_cast<int> (blockIdx.x) * THREADS + static_cast<int> (threadIdx.x);
  const size_t row = static_cast<size_t> (d);
  float sums[4] = { 0, 0, 0, 0 }, rise, slope, offset;

  kernel_begin ();
  if (c >= d)
    return;
  rise = param0[c] - param1[c];
  slope = 1.f + weight[c];
  offset = bias[c];
#pragma unroll 4
  for (int t = 0; t < n_times; t++)
    {
      const float tau = log_snr[t] * .25f, s = 1.f / (1.f + expf (-(tau * slope + offset)));
      const float g = dy[static_cast<size_t> (t) * row + static_cast<size_t> (c)], inner = g * rise * s * (1.f - s);

      sums[0] += g * s;
      sums[1] += g * (1.f - s);
      sums[2] += inner * tau;
      sums[3] += inner;
    }
#pragma unroll
  for (int i = 0; i < 4; i++)
    out[static_cast<size_t> (i) * row + static_cast<size_t> (c)] = sums[i];
}

cudaError_t
cuda_time_param_grad (cudaStream_t stream,
                      const float *dy,
                      const float *log_snr,
                      int          n_times,
                      const float *param0,
                      const float *param1,
                      const float *weight,
                      const float *bias,
                      float       *out,
                      int          d)
{
  if (d <= 0)
    return cudaSuccess;
  return CUDA_LAUNCH (time_param_grad_kernel, static_cast<unsigned> (divide_up (d, THREADS)), THREADS, 0, stream, dy, log_snr,
                      n_times, param0, param1, weight, bias, out, d);
}
