/* kernel-common.cuh — what the kernels are written with: launches, vectors of memory, sums over a warp
 *
 * Every .cu file here compiles unchanged with nvcc and, for the tests, with a host compiler against
 * the emulator of tests/cuda. Hence launches go through CUDA_LAUNCH, shared memory through
 * CUDA_SHARED and CUDA_DYNAMIC_SHARED, and all PTX sits in this file and in kernel-tensor.cuh.
 *
 * Rules of all kernels: sums have one order (no float atomics), so results are the same bytes in
 * every run; tensors may have 2³¹ elements and more, rows and images may not; activations move 16
 * bytes at a time where the width allows it and one element at a time where not.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cuda/cuda-kernels.h"

#ifdef CUDA_EMULATED
#include <emulator.h>
#else
#define CUDA_SHARED(type, name, dimensions) __shared__ __align__ (16) type name dimensions
#define CUDA_DYNAMIC_SHARED(type, name)                         \
  extern __shared__ __align__ (16) unsigned char name##_raw[];  \
  type *const name = reinterpret_cast<type *> (name##_raw)
#define CUDA_LAUNCH(kernel, grid, block, dynamic_shared_bytes, stream, ...) \
  launch_kernel (kernel, grid, block, dynamic_shared_bytes, stream, __VA_ARGS__)

/* With early launches on (cuda_kernels_set_early_launch) a kernel's blocks may be set up while the
 * one before it ends; kernel_begin() in every kernel is what makes that safe. */
bool cuda_kernels_launch_early ();

template <typename... Parameters, typename... Arguments>
static inline cudaError_t
launch_kernel (void         (*kernel) (Parameters...),
               dim3           grid,
               dim3           block,
               size_t         dynamic_shared,
               cudaStream_t   stream,
               Arguments... arguments)
{
  cudaLaunchAttribute attribute = {};
  cudaLaunchConfig_t config = {};

  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = dynamic_shared;
  config.stream = stream;
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = cuda_kernels_launch_early () ? 1 : 0;
  return cudaLaunchKernelEx (&config, kernel, static_cast<Parameters> (arguments)...);
}
#endif

typedef __nv_bfloat16 bf16;

#define FULL_WARP 0xffffffffu

/* ---- host: sizes of launches ---- */

/* What @function says, which is given a value of the C type that @type stands for and only asks what type it has. */
template <typename Function>
static inline cudaError_t
with_type (CudaType type, const Function &function)
{
  return type == CUDA_TYPE_F32 ? function (float ()) : function (bf16 ());
}

template <typename N>
__host__ __device__ constexpr N
divide_up (N a, N b)
{
  return (a + b - 1) / b;
}

static inline bool
is_aligned (const void *p, size_t bytes)
{
  return reinterpret_cast<uintptr_t> (p) % bytes == 0;
}

/* An attribute of the current device. */
cudaError_t cuda_kernels_device_attribute (int *value, cudaDeviceAttr attribute);

/* Lets @kernel have more dynamic shared memory than the 48 KiB that every device gives. */
template <typename Kernel>
static inline cudaError_t
allow_shared (Kernel kernel, size_t bytes)
{
  return bytes <= 48 * 1024 ? cudaSuccess
                            : cudaFuncSetAttribute (kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                    static_cast<int> (bytes));
}

/* ---- device: the order of kernels ---- */

/* The first statement of every kernel. Where kernels may be launched early, it waits until all
 * that came before is complete and visible, then lets the next kernel's blocks be set up; they
 * wait at the same place. Otherwise it costs nothing. */
static __device__ __forceinline__ void
kernel_begin ()
{
#if !defined CUDA_EMULATED && defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 900
  asm volatile ("griddepcontrol.wait;" ::: "memory");
  asm volatile ("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* ---- device: numbers ---- */

static __device__ __forceinline__ float
bits_to_float (unsigned bits)
{
  float value;

  memcpy (&value, &bits, sizeof value);
  return value;
}

static __device__ __forceinline__ unsigned
float_to_bits (float value)
{
  unsigned bits;

  memcpy (&bits, &value, sizeof bits);
  return bits;
}

/* Two bf16 in one register, @low at the lower address. */
static __device__ __forceinline__ unsigned
pack_bf16 (float low, float high)
{
  const __nv_bfloat162 pair = __floats2bfloat162_rn (low, high);
  unsigned bits;

  memcpy (&bits, &pair, sizeof bits);
  return bits;
}

static __device__ __forceinline__ float low_bf16 (unsigned pair) { return bits_to_float (pair << 16); }
static __device__ __forceinline__ float high_bf16 (unsigned pair) { return bits_to_float (pair & 0xffff0000u); }

static __device__ __forceinline__ float to_float (float value) { return value; }
static __device__ __forceinline__ float to_float (bf16 value) { return __bfloat162float (value); }
static __device__ __forceinline__ void store_float (float *p, float value) { *p = value; }
static __device__ __forceinline__ void store_float (bf16 *p, float value) { *p = __float2bfloat16_rn (value); }

/* 2ˣ to two units in the last place, for x that is never so small that its subnormal result matters. */
static __device__ __forceinline__ float
fast_exp2 (float x)
{
#ifdef CUDA_EMULATED
  return exp2f (x);
#else
  float y;

  asm ("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

/* ---- device: memory, N words of 4 bytes at a time ---- */

/* @p is aligned to the 4 · N bytes (16 at most) that move at once. */
template <int N>
static __device__ __forceinline__ void
load_words (const void *p, unsigned (&words)[N])
{
  static_assert (N == 1 || N == 2 || N % 4 == 0, "1, 2 or a multiple of 4 words");
#ifdef CUDA_EMULATED
  /* The host's compiler may assume that types do not alias; a GPU faults where alignment is amiss. */
  if (!is_aligned (p, N < 4 ? N * 4 : 16))
    abort ();
  memcpy (words, p, sizeof words);
#else
  if constexpr (N == 1)
    words[0] = *static_cast<const unsigned *> (p);
  else if constexpr (N == 2)
    {
      const uint2 pair = *static_cast<const uint2 *> (p);

      words[0] = pair.x;
      words[1] = pair.y;
    }
  else
    {
#pragma unroll
      for (int i = 0; i < N / 4; i++)
        {
          const uint4 four = static_cast<const uint4 *> (p)[i];

          words[4 * i] = four.x;
          words[4 * i + 1] = four.y;
          words[4 * i + 2] = four.z;
          words[4 * i + 3] = four.w;
        }
    }
#endif
}

template <int N>
static __device__ __forceinline__ void
store_words (void *p, const unsigned (&words)[N])
{
  static_assert (N == 1 || N == 2 || N % 4 == 0, "1, 2 or a multiple of 4 words");
#ifdef CUDA_EMULATED
  if (!is_aligned (p, N < 4 ? N * 4 : 16))
    abort ();
  memcpy (p, words, sizeof words);
#else
  if constexpr (N == 1)
    *static_cast<unsigned *> (p) = words[0];
  else if constexpr (N == 2)
    *static_cast<uint2 *> (p) = make_uint2 (words[0], words[1]);
  else
    {
#pragma unroll
      for (int i = 0; i < N / 4; i++)
        static_cast<uint4 *> (p)[i] = make_uint4 (words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]);
    }
#endif
}

/* Elements of 16 bytes. */
template <typename T> constexpr int PACK = 16 / static_cast<int> (sizeof (T));
/* Words of V elements. */
template <typename T, int V> constexpr int WORDS = V * static_cast<int> (sizeof (T)) / 4;

static __device__ __forceinline__ void
words_to_floats (const float *, const unsigned *words, float *values, int n_words)
{
#pragma unroll
  for (int i = 0; i < n_words; i++)
    values[i] = bits_to_float (words[i]);
}

static __device__ __forceinline__ void
words_to_floats (const bf16 *, const unsigned *words, float *values, int n_words)
{
#pragma unroll
  for (int i = 0; i < n_words; i++)
    {
      values[2 * i] = low_bf16 (words[i]);
      values[2 * i + 1] = high_bf16 (words[i]);
    }
}

template <int V>
static __device__ __forceinline__ void
clear (float (&values)[V])
{
#pragma unroll
  for (int i = 0; i < V; i++)
    values[i] = 0;
}

/* V neighbouring elements of memory as floats, @p aligned to all of them (or to 16 bytes). */
template <int V, typename T>
static __device__ __forceinline__ void
load (const T *p, float (&values)[V])
{
  if constexpr (V * sizeof (T) < 4)
    values[0] = to_float (*p);
  else
    {
      unsigned words[WORDS<T, V>];

      load_words (p, words);
      words_to_floats (p, words, values, WORDS<T, V>);
    }
}

template <int V>
static __device__ __forceinline__ void
store (float *p, const float (&values)[V])
{
  unsigned words[V];

#pragma unroll
  for (int i = 0; i < V; i++)
    words[i] = float_to_bits (values[i]);
  store_words (p, words);
}

template <int V>
static __device__ __forceinline__ void
store (bf16 *p, const float (&values)[V])
{
  if constexpr (V == 1)
    *p = __float2bfloat16_rn (values[0]);
  else
    {
      unsigned words[V / 2];

#pragma unroll
      for (int i = 0; i < V / 2; i++)
        words[i] = pack_bf16 (values[2 * i], values[2 * i + 1]);
      store_words (p, words);
    }
}

/* V elements as they are. */
template <int V, typename T>
static __device__ __forceinline__ void
copy (T *to, const T *from)
{
  if constexpr (V * sizeof (T) < 4)
    *to = *from;
  else
    {
      unsigned words[WORDS<T, V>];

      load_words (from, words);
      store_words (to, words);
    }
}

/* ---- device: what the lanes of a warp have together; every lane gets the result ---- */

static __device__ __forceinline__ float
warp_sum (float value)
{
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    value += __shfl_xor_sync (FULL_WARP, value, offset);
  return value;
}

static __device__ __forceinline__ float
warp_max (float value)
{
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    value = fmaxf (value, __shfl_xor_sync (FULL_WARP, value, offset));
  return value;
}

/* Sums over a block of @WARPS warps, of N values at once. Each use in a kernel needs @slots of its own. */
template <int WARPS, int N>
static __device__ __forceinline__ void
block_sum (float (&values)[N], float (*slots)[32])
{
  const int warp = static_cast<int> (threadIdx.x) / 32, lane = static_cast<int> (threadIdx.x) % 32;

#pragma unroll
  for (int i = 0; i < N; i++)
    {
      values[i] = warp_sum (values[i]);
      if (lane == 0)
        slots[i][warp] = values[i];
    }
  __syncthreads ();
#pragma unroll
  for (int i = 0; i < N; i++)
    values[i] = warp_sum (lane < WARPS ? slots[i][lane] : 0.f);
}

/* Sums over what belongs to a row: a block of @WARPS warps, or a single warp, whose block has other rows too. */
template <int WARPS, int N>
static __device__ __forceinline__ void
row_sum (float (&values)[N], float (*slots)[32])
{
  if constexpr (WARPS > 1)
    block_sum<WARPS> (values, slots);
  else
#pragma unroll
    for (int i = 0; i < N; i++)
      values[i] = warp_sum (values[i]);
}
