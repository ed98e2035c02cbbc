/* emulator.h — CUDA C++ kernels on the processor, one fiber a CUDA thread
 *
 * A kernel source that includes this header instead of the toolkit's compiles with any C++17
 * compiler. Blocks run one after the other; the threads of a block are fibers that run until they
 * must wait for others, in the order of fake_cuda_config (). What the emulator knows better than a
 * GPU: shared memory begins as NaN in every block, indices beyond it are seen, barriers that not
 * all threads reach or reach at different places end the process with a report, and with
 * AddressSanitizer every access to global memory is checked.
 *
 * What it asks of a kernel: CUDA_LAUNCH instead of <<<>>>, CUDA_SHARED and CUDA_DYNAMIC_SHARED
 * instead of __shared__, and no PTX but through the emulated_… calls below.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <algorithm>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tuple>
#include <type_traits>
#include <utility>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "emulator-math.h"
#include "fake-cuda.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __align__(n) alignas (n)
#define __shared__ static_assert (false, "write CUDA_SHARED (type, name, [n]) in place of __shared__");

namespace emulator
{

/* ---- the running thread ---- */

constexpr int warp_size = 32;
constexpr int max_threads = 1024;   /* of a block */
constexpr unsigned full_warp = 0xffffffff;

struct Thread
{
  uint3 index;
  int   rank;   /* in its block */
  int   lane;
};

extern Thread *current;
extern uint3 block_index;
extern dim3 block_size, grid_size;

/* Where in the source a thread waits. */
struct Site
{
  const char *file;
  int         line;
};

#define EMULATOR_SITE ::emulator::Site site = { __builtin_FILE (), __builtin_LINE () }

/* Orders of threads and blocks, as FakeCudaConfig numbers them; all from first_seed on are random. */
enum : unsigned
{
  ascending,
  descending,
  first_seed,
};

inline void set_order (unsigned order) { fake_cuda_config ()->order = order; }
/* Switches between fibers so far. */
unsigned long count_switches ();

/* ---- launches ---- */

struct Launch
{
  const char *name;
  const void *kernel;
  dim3        grid, block;
  size_t      dynamic_shared;
};

/* What a launch that cannot run returns, or cudaSuccess. */
cudaError_t check_launch (const Launch &launch, size_t arguments_size);
/* Runs all blocks. */
void run_grid (const Launch &launch, void (*body) (void *data), void *data);
/* Ends the process: a kernel argument that is host memory. */
[[noreturn]] void refuse_argument (const char *kernel, int argument, const void *value);

template <class T>
void
check_argument (const char *kernel, int argument, const T &value)
{
  if constexpr (std::is_pointer_v<T>)
    if (value != nullptr && !fake_cuda_is_device (reinterpret_cast<const void *> (value), 1))
      refuse_argument (kernel, argument, reinterpret_cast<const void *> (value));
}

template <class... Parameters>
struct Call
{
  Launch launch;
  void (*kernel) (Parameters...);
  std::tuple<std::decay_t<Parameters>...> arguments;

  static void
  run (void *data)
  {
    Call *self = static_cast<Call *> (data);

    std::apply ([&] (const auto &...values) {
      int argument = 0;

      (check_argument (self->launch.name, argument++, values), ...);
    }, self->arguments);
    run_grid (self->launch, [] (void *call) {
      std::apply (static_cast<Call *> (call)->kernel, static_cast<Call *> (call)->arguments);
    }, self);
  }

  static void
  free (void *data)
  {
    delete static_cast<Call *> (data);
  }
};

template <class... Parameters, class... Arguments>
cudaError_t
launch (const char *name, void (*kernel) (Parameters...), dim3 grid, dim3 block, size_t dynamic_shared,
        cudaStream_t stream, Arguments &&...arguments)
{
  const Launch parts = { name, reinterpret_cast<const void *> (kernel), grid, block, dynamic_shared };
  cudaError_t error = fake_cuda_enter (name);

  if (error == cudaSuccess)
    error = fake_cuda_error (check_launch (parts, (0 + ... + sizeof (Parameters))));
  if (error != cudaSuccess)
    return error;
  return fake_cuda_enqueue (stream, Call<Parameters...>::run,
                            new Call<Parameters...> { parts, kernel, { std::forward<Arguments> (arguments)... } },
                            Call<Parameters...>::free);
}

/* ---- shared memory ---- */

/* One declaration of static shared memory. */
struct SharedUse
{
  unsigned long block;   /* the last that used it */
};

void use_shared (SharedUse *use, void *memory, size_t size, Site site);
void *dynamic_shared ();
/* Does the running block own these bytes? */
bool is_shared (const void *memory, size_t size);

/* Whether an asynchronous copy that begins now is over at once. */
bool draw_early ();
/* Ends the process where the thread, which is about to end, has copies under way. */
void check_copies (int rank);

/* ---- what threads do together ---- */

enum class Kind : uint8_t
{
  sync,
  shuffle,
  vote,
  product,
  load_matrix,
};

void wait_for_block (Site site);
/* The same, and the number of threads whose @predicate is true. */
int wait_and_count (bool predicate, Site site);
/* Waits for the lanes of @mask, all of which must come with the same @kind. The last one calls
 * @together with the operands of all lanes (those outside the mask are null). */
void wait_for_warp (Kind kind, unsigned mask, void *operand,
                    void (*together) (unsigned mask, void *const operands[warp_size], Site site), Site site);
/* Ends the process with @why and what all threads wait for. */
[[noreturn]] void fail (const char *why, Site site);

struct Shuffle
{
  uint64_t value;
  int      source;   /* lane; < 0: one's own value */
};

void shuffle_together (unsigned mask, void *const operands[warp_size], Site site);

template <class T>
T
shuffle (unsigned mask, T value, int source, Site site)
{
  static_assert (sizeof (T) <= sizeof (uint64_t) && std::is_trivially_copyable_v<T>, "shuffles take up to 8 bytes");
  Shuffle operand = { 0, source };

  memcpy (&operand.value, &value, sizeof value);
  wait_for_warp (Kind::shuffle, mask, &operand, shuffle_together, site);
  memcpy (&value, &operand.value, sizeof value);
  return value;
}

/* Lanes of @mask whose @predicate is true. */
unsigned ballot (unsigned mask, bool predicate, Site site);

} /* namespace emulator */

/* ---- names of CUDA C++ ---- */

#define threadIdx (::emulator::current->index)
#define blockIdx (::emulator::block_index)
#define blockDim (::emulator::block_size)
#define gridDim (::emulator::grid_size)
#define warpSize (::emulator::warp_size)

/* Queues a kernel, which may stand in parentheses; a cudaError_t. */
#define CUDA_LAUNCH(kernel, grid, block, dynamic_shared_bytes, stream, ...) \
  (::emulator::launch (#kernel, kernel, grid, block, dynamic_shared_bytes, stream, __VA_ARGS__))

/* CUDA_SHARED (float, tile, [8][33]); */
#define CUDA_SHARED(type, name, dimensions)              \
  alignas (16) static type name dimensions;              \
  static ::emulator::SharedUse name##_use;               \
  ::emulator::use_shared (&name##_use, name, sizeof name, { __FILE__, __LINE__ })

/* type *name: the bytes that the launch asked for */
#define CUDA_DYNAMIC_SHARED(type, name) type *name = static_cast<type *> (::emulator::dynamic_shared ())

static inline void __syncthreads (EMULATOR_SITE) { ::emulator::wait_for_block (site); }
static inline int __syncthreads_count (int predicate, EMULATOR_SITE) { return ::emulator::wait_and_count (predicate != 0, site); }
static inline int __syncthreads_or (int predicate, EMULATOR_SITE) { return ::emulator::wait_and_count (predicate != 0, site) != 0; }
static inline int __syncthreads_and (int predicate, EMULATOR_SITE) { return ::emulator::wait_and_count (predicate == 0, site) == 0; }
static inline void __threadfence () {}
static inline void __threadfence_block () {}

static inline void
__syncwarp (unsigned mask = ::emulator::full_warp, EMULATOR_SITE)
{
  ::emulator::wait_for_warp (::emulator::Kind::sync, mask, nullptr, nullptr, site);
}

/* Shuffles within parts of @width lanes; a lane that would read beyond its part keeps its value. */
template <class T>
static inline T
__shfl_sync (unsigned mask, T value, int source, int width = 32, EMULATOR_SITE)
{
  const int lane = ::emulator::current->lane;

  return ::emulator::shuffle (mask, value, (lane & ~(width - 1)) | (source & (width - 1)), site);
}

template <class T>
static inline T
__shfl_up_sync (unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_SITE)
{
  const int lane = ::emulator::current->lane, source = lane - static_cast<int> (delta);

  return ::emulator::shuffle (mask, value, source >= (lane & ~(width - 1)) ? source : -1, site);
}

template <class T>
static inline T
__shfl_down_sync (unsigned mask, T value, unsigned delta, int width = 32, EMULATOR_SITE)
{
  const int lane = ::emulator::current->lane, source = lane + static_cast<int> (delta);

  return ::emulator::shuffle (mask, value, source <= (lane | (width - 1)) ? source : -1, site);
}

template <class T>
static inline T
__shfl_xor_sync (unsigned mask, T value, int bits, int width = 32, EMULATOR_SITE)
{
  const int lane = ::emulator::current->lane, source = lane ^ bits;

  return ::emulator::shuffle (mask, value, source <= (lane | (width - 1)) ? source : -1, site);
}

static inline unsigned __ballot_sync (unsigned mask, int predicate, EMULATOR_SITE) { return ::emulator::ballot (mask, predicate != 0, site); }
static inline int __any_sync (unsigned mask, int predicate, EMULATOR_SITE) { return ::emulator::ballot (mask, predicate != 0, site) != 0; }
static inline int __all_sync (unsigned mask, int predicate, EMULATOR_SITE) { return ::emulator::ballot (mask, predicate == 0, site) == 0; }

/* Threads never interrupt each other, so these are plain reads and writes. */
template <class T, class V> static inline T atomicAdd (T *at, V value) { T old = *at; *at = old + static_cast<T> (value); return old; }
template <class T, class V> static inline T atomicSub (T *at, V value) { T old = *at; *at = old - static_cast<T> (value); return old; }
template <class T, class V> static inline T atomicMax (T *at, V value) { T old = *at; *at = std::max (old, static_cast<T> (value)); return old; }
template <class T, class V> static inline T atomicMin (T *at, V value) { T old = *at; *at = std::min (old, static_cast<T> (value)); return old; }
template <class T, class V> static inline T atomicOr (T *at, V value) { T old = *at; *at = old | static_cast<T> (value); return old; }
template <class T, class V> static inline T atomicAnd (T *at, V value) { T old = *at; *at = old & static_cast<T> (value); return old; }
template <class T, class V> static inline T atomicExch (T *at, V value) { T old = *at; *at = static_cast<T> (value); return old; }
template <class T> static inline T
atomicCAS (T *at, T compare, T value)
{
  T old = *at;

  if (old == compare)
    *at = value;
  return old;
}

/* ---- tensor cores and asynchronous copies, in the fragment layouts of PTX ---- */

/* mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32, all 32 lanes: d = a b + c. */
void emulated_mma_m16n8k16_bf16 (float d[4], const unsigned a[4], const unsigned b[2], const float c[4], EMULATOR_SITE);
/* ldmatrix.sync.aligned.m8n8.x4.shared.b16: @row is the row of 16 bytes that this lane names. */
void emulated_ldmatrix_x4 (unsigned r[4], const void *row, EMULATOR_SITE);
void emulated_ldmatrix_x4_trans (unsigned r[4], const void *row, EMULATOR_SITE);
void emulated_ldmatrix_x2 (unsigned r[2], const void *row, EMULATOR_SITE);
void emulated_ldmatrix_x2_trans (unsigned r[2], const void *row, EMULATOR_SITE);
/* cp.async.shared.global of @size bytes (4, 8 or 16), of which those behind @valid become zero. They are there
 * for the thread when it has waited, and until then nothing is. */
void emulated_cp_async (void *shared, const void *global, int size, int valid, EMULATOR_SITE);
/* cp.async.wait_all */
void emulated_cp_async_wait_all ();
