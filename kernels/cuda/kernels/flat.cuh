/* flat.cuh — one kernel for all ops that make each number of an array from those at the same place of others
 *
 * A thread makes UNROLL vectors of V numbers, and has read them all before it computes: the result may lie where one
 * of the arrays was. What is no whole vector at the end is made one by one. A Function type says what of what:
 *   static __device__ float of (const float (&x)[N])
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/kernels/kernel-common.cuh"

#define FLAT_THREADS 256

/* The arrays that are read. */
template <typename T, int N>
struct FlatArrays
{
  const T *x[N];
};

template <typename Function, typename From, typename To, int V, int UNROLL, int N>
static __global__ void __launch_bounds__ (FLAT_THREADS)
flat_kernel (const __grid_constant__ FlatArrays<From, N> from,
             To                                         *out,
             size_t                                      n)
{
  const size_t first = (static_cast<size_t> (blockIdx.x) * (FLAT_THREADS * UNROLL) + threadIdx.x) * V;
  float values[UNROLL][N][V], one[N];

  kernel_begin ();
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    if (first + static_cast<size_t> (i * FLAT_THREADS * V) + V <= n)
#pragma unroll
      for (int k = 0; k < N; k++)
        load<V> (from.x[k] + first + i * FLAT_THREADS * V, values[i][k]);
#pragma unroll
  for (int i = 0; i < UNROLL; i++)
    {
      const size_t at = first + static_cast<size_t> (i * FLAT_THREADS * V);
      float results[V];

      if (at + V <= n)
        {
#pragma unroll
          for (int e = 0; e < V; e++)
            {
#pragma unroll
              for (int k = 0; k < N; k++)
                one[k] = values[i][k][e];
              results[e] = Function::of (one);
            }
          store<V> (out + at, results);
        }
      else
        for (size_t j = at; j < n; j++)
          {
#pragma unroll
            for (int k = 0; k < N; k++)
              one[k] = to_float (from.x[k][j]);
            store_float (out + j, Function::of (one));
          }
    }
}

/* Vectors are 16 bytes of the wider type, so aligned for both. */
template <typename Function, typename To, int UNROLL, typename From, int N>
static cudaError_t
launch_flat (cudaStream_t                stream,
             const FlatArrays<From, N>  &from,
             void                       *out,
             size_t                      n)
{
  constexpr int V = PACK<From> < PACK<To> ? PACK<From> : PACK<To>;
  const size_t blocks = divide_up (n, static_cast<size_t> (FLAT_THREADS * UNROLL * V));

  if (n == 0)
    return cudaSuccess;
  return CUDA_LAUNCH ((flat_kernel<Function, From, To, V, UNROLL, N>), static_cast<unsigned> (blocks), FLAT_THREADS, 0, stream,
                      from, static_cast<To *> (out), n);
}
