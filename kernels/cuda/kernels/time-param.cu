/* time-param.cu — the vectors of a time-dependent parameter at every time of a run
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#define THREADS 128

/* grid (groups of THREADS channels, times up to the grid's limit) */
static __global__ void __launch_bounds__ (THREADS)
time_param_kernel (const float *__restrict__ log_snr,
                   int                       n_times,
                   const float *__restrict__ param0,
                   const float *__restrict__ param1,
                   const float *__restrict__ weight,
                   const float *__restrict__ bias,
                   float *__restrict__       out,
                   int                       d)
{
  const int c = static_cast<int> (blockIdx.x) * THREADS + static_cast<int> (threadIdx.x);
  float p1, rise, slope, offset;

  kernel_begin ();
  if (c >= d)
    return;
  p1 = param1[c];
  rise = param0[c] - p1;
  slope = 1.f + weight[c];
  offset = bias[c];
  for (int t = static_cast<int> (blockIdx.y); t < n_times; t += static_cast<int> (gridDim.y))
    {
      const float s = 1.f / (1.f + expf (-(log_snr[t] * .25f * slope + offset)));

      out[static_cast<size_t> (t) * static_cast<size_t> (d) + static_cast<size_t> (c)] = p1 + s * rise;
    }
}

cudaError_t
cuda_time_param (cudaStream_t stream,
                 const float *log_snr,
                 int          n_times,
                 const float *param0,
                 const float *param1,
                 const float *weight,
                 const float *bias,
                 float       *out,
                 int          d)
{
  const dim3 grid (static_cast<unsigned> (divide_up (d, THREADS)), static_cast<unsigned> (min (n_times, 65535)));

  if (n_times <= 0 || d <= 0)
    return cudaSuccess;
  return CUDA_LAUNCH (time_param_kernel, grid, THREADS, 0, stream, log_snr, n_times, param0, param1, weight, bias, out, d);
}
