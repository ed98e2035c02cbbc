/* walk.cu — a sampler's walk in double, kept on the device
 *
 * The arithmetic of core/diffusion/dimr-denoiser.c (guidance) and dimr-sampler.c (the step), value
 * by value in the same order and without fused operations: a walk on the device and one on the host
 * that see the same eps make the same numbers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#define THREADS 256

static unsigned
grid_of (size_t n)
{
  return static_cast<unsigned> (divide_up (n, static_cast<size_t> (THREADS)));
}

static __device__ __forceinline__ size_t
index_of_thread ()
{
  return static_cast<size_t> (blockIdx.x) * THREADS + threadIdx.x;
}

static __global__ void __launch_bounds__ (THREADS)
walk_prepare_kernel (const double *__restrict__ point,
                     float *__restrict__        x,
                     size_t                     n,
                     int                        copies)
{
  const size_t i = index_of_thread ();
  float value;

  kernel_begin ();
  if (i >= n)
    return;
  value = static_cast<float> (point[i]);
  for (int copy = 0; copy < copies; copy++)
    x[static_cast<size_t> (copy) * n + i] = value;
}

cudaError_t
cuda_walk_prepare (cudaStream_t  stream,
                   const double *point,
                   float        *x,
                   int           images,
                   size_t        image_len,
                   int           copies)
{
  const size_t n = static_cast<size_t> (images) * image_len;

  if (n == 0)
    return cudaSuccess;
  return CUDA_LAUNCH (walk_prepare_kernel, grid_of (n), THREADS, 0, stream, point, x, n, copies);
}

struct History
{
  double *buffers[3];
};

/* The predictions of @k steps before the newest. */
static __device__ __forceinline__ double *
history_at (const History &history, int newest, int k)
{
  const int i = (newest + 3 - k) % 3;

  return i == 0 ? history.buffers[0] : i == 1 ? history.buffers[1] : history.buffers[2];
}

static __global__ void __launch_bounds__ (THREADS)
walk_update_kernel (const CudaWalkRow *__restrict__   rows,
                    const int *__restrict__           index,
                    const float *__restrict__         eps,
                    int                               guided,
                    double *__restrict__              x,
                    double *__restrict__              point,
                    const __grid_constant__ History   history,
                    size_t                            n)
{
  const size_t i = index_of_thread ();

  kernel_begin ();
  if (i >= n)
    return;

  const CudaWalkRow &row = rows[*index];
  double e = static_cast<double> (eps[i]), x0, next;

  if (guided)
    {
      const double uncond = static_cast<double> (eps[n + i]);

      e = static_cast<double> (static_cast<float> (__dadd_rn (uncond, __dmul_rn (row.guidance, e - uncond))));
    }
  x0 = __dadd_rn (point[i], -__dmul_rn (row.sigma, e)) / row.alpha;
  next = __dadd_rn (__dmul_rn (row.start, x[i]), __dmul_rn (row.x0[0], x0));
  next = __dadd_rn (next, __dmul_rn (row.x0[1], history_at (history, row.newest, 1)[i]));
  next = __dadd_rn (next, __dmul_rn (row.x0[2], history_at (history, row.newest, 2)[i]));
  history_at (history, row.newest, 0)[i] = x0;
  point[i] = next;
  if (row.outer)
    x[i] = next;
}

cudaError_t
cuda_walk_update (cudaStream_t       stream,
                  const CudaWalkRow *rows,
                  const int         *index,
                  const float       *eps,
                  int                guided,
                  double            *x,
                  double            *point,
                  double *const      history[3],
                  int                images,
                  size_t             image_len)
{
  const size_t n = static_cast<size_t> (images) * image_len;
  const History buffers = { { history[0], history[1], history[2] } };

  if (n == 0)
    return cudaSuccess;
  return CUDA_LAUNCH (walk_update_kernel, grid_of (n), THREADS, 0, stream, rows, index, eps, guided, x, point, buffers, n);
}

static __global__ void __launch_bounds__ (THREADS)
walk_round_kernel (const double *__restrict__ x,
                   float *__restrict__        out,
                   size_t                     n)
{
  const size_t i = index_of_thread ();

  kernel_begin ();
  if (i < n)
    out[i] = static_cast<float> (x[i]);
}

cudaError_t
cuda_walk_round (cudaStream_t  stream,
                 const double *x,
                 float        *out,
                 size_t        n)
{
  if (n == 0)
    return cudaSuccess;
  return CUDA_LAUNCH (walk_round_kernel, grid_of (n), THREADS, 0, stream, x, out, n);
}
