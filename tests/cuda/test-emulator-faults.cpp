/* test-emulator-faults.cpp — launches that the emulator refuses, and kernels whose faults end the process with a report
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "emulator-case.h"

using emulator::full_warp;

struct Large
{
  char bytes[5000];
};

static __global__ void do_nothing (int) {}
static __global__ void take_much (Large) {}

static void
test_refused_launches ()
{
  g_assert_cmpint (CUDA_LAUNCH (do_nothing, 0, 1, 0, nullptr, 1), ==, cudaErrorInvalidConfiguration);
  g_assert_cmpint (CUDA_LAUNCH (do_nothing, 1, 1025, 0, nullptr, 1), ==, cudaErrorInvalidConfiguration);
  g_assert_cmpint (CUDA_LAUNCH (do_nothing, dim3 (1, 65536), 1, 0, nullptr, 1), ==, cudaErrorInvalidConfiguration);
  g_assert_cmpint (cudaGetLastError (), ==, cudaErrorInvalidConfiguration);
  g_assert_cmpint (cudaGetLastError (), ==, cudaSuccess);
  g_assert_cmpint (CUDA_LAUNCH (do_nothing, 1, 1, 48 * 1024 + 1, nullptr, 1), ==, cudaErrorInvalidValue);
  g_assert_cmpint (CUDA_LAUNCH (take_much, 1, 1, 0, nullptr, Large ()), ==, cudaErrorInvalidValue);
  g_assert_cmpint (cudaFuncSetAttribute (do_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024 + 1), ==, cudaErrorInvalidValue);
  g_assert_cmpint (cudaFuncSetAttribute (do_nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024), ==, cudaSuccess);
  g_assert_cmpint (CUDA_LAUNCH (do_nothing, 1, 1, 227 * 1024, nullptr, 1), ==, cudaSuccess);
  g_assert_cmpint (CUDA_LAUNCH (do_nothing, 1, 1, 0, reinterpret_cast<cudaStream_t> (64), 1), ==, cudaErrorInvalidResourceHandle);
  cudaGetLastError ();
}

/* ---- faults that end the process with a report ---- */

static __global__ void
part_of_the_block_waits (int *)
{
  if (threadIdx.x < 32)
    __syncthreads ();
  else
    __syncwarp (0xffffffff);
  if (threadIdx.x >= 32)
    __syncthreads ();
}

static __global__ void
warp_waits_for_nobody (int *)
{
  if (threadIdx.x == 3)
    __syncwarp ();
  else
    __syncthreads ();
}

static __global__ void
different_calls (int *out)
{
  if (threadIdx.x < 16)
    out[0] = __shfl_sync (full_warp, 1, 0);
  else
    out[1] = __any_sync (full_warp, 1);
}

static __global__ void
reads_outside_its_mask (int *out)
{
  if (threadIdx.x < 8)
    out[threadIdx.x] = __shfl_sync (0xff, 1, 9);
}

static __global__ void
not_in_its_mask (int *)
{
  __syncwarp (0xfffffffe);
}

static __global__ void
too_much_shared (int *)
{
  CUDA_SHARED (char, a, [30000]);
  CUDA_SHARED (char, b, [20000]);

  a[0] = b[0] = 0;
}

static __global__ void
unaligned_ldmatrix (int *)
{
  CUDA_SHARED (uint16_t, tile, [8][9]);
  unsigned r[2];

  emulated_ldmatrix_x2 (r, tile[threadIdx.x % 8]);
}

static __global__ void
does_not_wait_for_its_copy (int *x)
{
  CUDA_SHARED (int, tile, [32]);

  emulated_cp_async (&tile[threadIdx.x], x + threadIdx.x, 4, 4);
  if (threadIdx.x != 7)
    emulated_cp_async_wait_all ();
}

static __global__ void
unaligned_cp_async (int *x)
{
  CUDA_SHARED (int, tile, [32]);

  emulated_cp_async (tile + 1, x, 8, 8);
}

static void
run_fault (void (*kernel) (int *), unsigned n_threads, const char *report)
{
  if (g_test_subprocess ())
    {
      Memory<int> out (64, 0);

      CUDA_LAUNCH (kernel, 1, n_threads, 0, nullptr, out.data);
      return;
    }
  g_test_trap_subprocess (nullptr, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr (report);
}

static void
test_host_pointer ()
{
  static int host;

  if (g_test_subprocess ())
    {
      CUDA_LAUNCH (not_in_its_mask, 1, 1, 0, nullptr, &host);
      return;
    }
  g_test_trap_subprocess (nullptr, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*argument 0 of kernel not_in_its_mask*not in device memory*");
}

struct Fault
{
  const char *path;
  void (*kernel) (int *);
  unsigned n_threads;
  const char *report;
};

static const Fault faults[] = {
  { "/emulator/fault/barriers-of-different-places", part_of_the_block_waits, 64, "*different barriers*test-emulator-faults.cpp*" },
  { "/emulator/fault/deadlock", warp_waits_for_nobody, 32, "*wait for each other*thread 3 at a call of the warp*" },
  { "/emulator/fault/different-calls", different_calls, 32, "*meet in different calls*threads 0 to 15*" },
  { "/emulator/fault/outside-the-mask", reads_outside_its_mask, 32, "*reads a lane outside its mask*" },
  { "/emulator/fault/not-in-the-mask", not_in_its_mask, 32, "*not in the mask that it names*thread 0*" },
  { "/emulator/fault/too-much-shared", too_much_shared, 1, "*more than 48 KiB*" },
  { "/emulator/fault/unaligned-ldmatrix", unaligned_ldmatrix, 32, "*multiple of 16 bytes*" },
  { "/emulator/fault/unaligned-cp-async", unaligned_cp_async, 32, "*address of cp.async is no multiple*" },
  { "/emulator/fault/cp-async-without-a-wait", does_not_wait_for_its_copy, 32, "*has not waited for a cp.async*thread 7*" },
};

static void
test_fault (gconstpointer data)
{
  const Fault *fault = static_cast<const Fault *> (data);

  run_fault (fault->kernel, fault->n_threads, fault->report);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, nullptr);
  g_test_add_func ("/emulator/refused-launches", test_refused_launches);
  g_test_add_func ("/emulator/fault/host-pointer", test_host_pointer);
  for (const Fault &fault : faults)
    g_test_add_data_func (fault.path, &fault, test_fault);
  return g_test_run ();
}
