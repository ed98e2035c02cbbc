/* test-emulator.cpp — the emulator itself: kernels with known results
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "emulator-case.h"

using emulator::full_warp;

constexpr int n_orders = emulator::first_seed + 6;

/* Runs @check with threads in both directions and in random orders. */
template <class Check>
static void
in_every_order (Check check)
{
  for (unsigned order = 0; order < n_orders; order++)
    {
      emulator::set_order (order);
      check ();
    }
  emulator::set_order (emulator::ascending);
}

/* ---- indices, barriers, shared memory ---- */

static __global__ void
write_indices (int *out)
{
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);

  out[block * (blockDim.x * blockDim.y * blockDim.z) + thread] += block * 1000 + thread;
}

static void
test_indices ()
{
  in_every_order ([] {
    Memory<int> out (2 * 3 * 4 * 5 * 3 * 2, 0);

    g_assert_cmpint (CUDA_LAUNCH (write_indices, dim3 (2, 3, 4), dim3 (5, 3, 2), 0, nullptr, out.data), ==, cudaSuccess);
    for (int i = 0; i < 2 * 3 * 4; i++)
      for (int j = 0; j < 5 * 3 * 2; j++)
        g_assert_cmpint (out[i * 30 + j], ==, i * 1000 + j);
  });
}

template <int THREADS>
static __global__ void
sum_blocks (const float *x, float *sums, int n)
{
  CUDA_SHARED (float, partial, [THREADS]);
  float sum = 0;

  for (int i = threadIdx.x; i < n; i += THREADS)
    sum += x[blockIdx.x * n + i];
  partial[threadIdx.x] = sum;
  for (int half = THREADS / 2; half > 0; half /= 2)
    {
      __syncthreads ();
      if (static_cast<int> (threadIdx.x) < half)
        partial[threadIdx.x] += partial[threadIdx.x + half];
    }
  if (threadIdx.x == 0)
    sums[blockIdx.x] = partial[0];
}

static void
test_reduction ()
{
  in_every_order ([] {
    Memory<float> x (5 * 777), sums (5);

    for (size_t i = 0; i < x.n; i++)
      x[i] = static_cast<float> (i % 13);
    g_assert_cmpint (CUDA_LAUNCH ((sum_blocks<256>), 5, 256, 0, nullptr, x.data, sums.data, 777), ==, cudaSuccess);
    for (int block = 0; block < 5; block++)
      {
        float expected = 0;

        for (int i = 0; i < 777; i++)
          expected += x[block * 777 + i];
        g_assert_cmpfloat (sums[block], ==, expected);
      }
  });
}

/* Every thread adds what its left neighbour holds; @with_barrier is what makes it right. */
template <bool with_barrier>
static __global__ void
shift_by_one (const float *x, float *out)
{
  CUDA_DYNAMIC_SHARED (float, tile);
  const int i = threadIdx.x, n = blockDim.x;

  tile[i] = x[i];
  if (with_barrier)
    __syncthreads ();
  out[i] = tile[(i + n - 1) % n];
}

/* Reads right of itself, then writes: without the barrier between, some order shows the new value. */
template <bool with_barrier>
static __global__ void
shift_in_place (float *x)
{
  CUDA_SHARED (float, tile, [64]);
  const int i = threadIdx.x;
  float right;

  tile[i] = x[i];
  __syncthreads ();
  right = tile[(i + 1) % 64];
  if (with_barrier)
    __syncthreads ();
  tile[i] = right;
  __syncthreads ();
  x[i] = tile[i];
}

/* In how many orders is the result what it should be? */
static int
count_right_orders (int n, int shift, cudaError_t (*launch) (float *x, float *out))
{
  int n_right = 0;

  in_every_order ([&] {
    Memory<float> x (n), out (n);
    bool right = true;

    for (int i = 0; i < n; i++)
      x[i] = static_cast<float> (i);
    g_assert_cmpint (launch (x.data, out.data), ==, cudaSuccess);
    for (int i = 0; i < n; i++)
      right &= out[i] == static_cast<float> ((i + n + shift) % n);
    n_right += right;
  });
  return n_right;
}

template <bool with_barrier>
static cudaError_t
launch_shift (float *x, float *out)
{
  return CUDA_LAUNCH ((shift_by_one<with_barrier>), 1, 96, 96 * sizeof (float), nullptr, x, out);
}

template <bool with_barrier>
static cudaError_t
launch_shift_in_place (float *x, float *out)
{
  const cudaError_t error = CUDA_LAUNCH ((shift_in_place<with_barrier>), 1, 64, 0, nullptr, x);

  memcpy (out, x, 64 * sizeof (float));
  return error;
}

static void
test_races ()
{
  g_assert_cmpint (count_right_orders (96, -1, launch_shift<true>), ==, n_orders);
  g_assert_cmpint (count_right_orders (96, -1, launch_shift<false>), ==, 0);
  g_assert_cmpint (count_right_orders (64, 1, launch_shift_in_place<true>), ==, n_orders);
  g_assert_cmpint (count_right_orders (64, 1, launch_shift_in_place<false>), <, n_orders);
}

static __global__ void
look_at_fresh_shared (float *out)
{
  CUDA_SHARED (float, fixed, [2]);
  CUDA_DYNAMIC_SHARED (float, dynamic);

  out[2 * blockIdx.x] = fixed[1];
  out[2 * blockIdx.x + 1] = dynamic[3];
  fixed[1] = dynamic[3] = 1;
}

static void
test_fresh_shared ()
{
  Memory<float> out (6, 0);

  g_assert_cmpint (CUDA_LAUNCH (look_at_fresh_shared, 3, 1, 16, nullptr, out.data), ==, cudaSuccess);
  for (size_t i = 0; i < out.n; i++)
    g_assert_true (isnan (out[i]));
}

static __global__ void
leave_early (int *out)
{
  int left;

  if (threadIdx.x >= 40)
    return;
  left = __syncthreads_count (threadIdx.x % 2 == 0);
  out[threadIdx.x] = left;
}

static void
test_leave_early ()
{
  in_every_order ([] {
    Memory<int> out (40, 0);

    g_assert_cmpint (CUDA_LAUNCH (leave_early, 1, 64, 0, nullptr, out.data), ==, cudaSuccess);
    for (int i = 0; i < 40; i++)
      g_assert_cmpint (out[i], ==, 20);
  });
}

/* ---- warps ---- */

static __global__ void
shuffle_all_ways (int *out)
{
  const int lane = threadIdx.x % 32, value = 100 + lane;
  int *row = out + threadIdx.x * 8;

  row[0] = __shfl_sync (full_warp, value, 5);
  row[1] = __shfl_sync (full_warp, value, 3, 8);
  row[2] = __shfl_up_sync (full_warp, value, 2);
  row[3] = __shfl_down_sync (full_warp, value, 3, 16);
  row[4] = __shfl_xor_sync (full_warp, value, 17);
  row[5] = static_cast<int> (__shfl_xor_sync (full_warp, static_cast<double> (value), 1));
  row[6] = static_cast<int> (__ballot_sync (full_warp, lane % 3 == 0));
  row[7] = __any_sync (full_warp, lane == 9) + 2 * __all_sync (full_warp, lane < 32) + 4 * __all_sync (full_warp, lane != 7);
}

static void
test_shuffles ()
{
  in_every_order ([] {
    Memory<int> out (96 * 8, 0);
    unsigned thirds = 0;

    for (int lane = 0; lane < 32; lane += 3)
      thirds |= 1u << lane;
    g_assert_cmpint (CUDA_LAUNCH (shuffle_all_ways, 1, 96, 0, nullptr, out.data), ==, cudaSuccess);
    for (int i = 0; i < 96; i++)
      {
        const int lane = i % 32, *row = &out[i * 8];

        g_assert_cmpint (row[0], ==, 105);
        g_assert_cmpint (row[1], ==, 100 + lane / 8 * 8 + 3);
        g_assert_cmpint (row[2], ==, lane < 2 ? 100 + lane : 98 + lane);
        g_assert_cmpint (row[3], ==, lane % 16 > 12 ? 100 + lane : 103 + lane);
        g_assert_cmpint (row[4], ==, 100 + (lane ^ 17));
        g_assert_cmpint (row[5], ==, 100 + (lane ^ 1));
        g_assert_cmpint (row[6], ==, static_cast<int> (thirds));
        g_assert_cmpint (row[7], ==, 3);
      }
  });
}

/* The two halves of a warp take different ways, with masks of their own, and meet again. */
static __global__ void
shuffle_halves (int *out)
{
  const int lane = threadIdx.x;
  const unsigned mask = lane < 16 ? 0x0000ffff : 0xffff0000;
  int value = lane;

  if (lane < 16)
    for (int i = 0; i < 3; i++)
      value += __shfl_xor_sync (mask, value, 1);
  else
    value = __shfl_xor_sync (mask, value, 8);
  out[lane] = __shfl_xor_sync (full_warp, value, 16);
}

static void
test_divergent_halves ()
{
  in_every_order ([] {
    Memory<int> out (32, 0);

    g_assert_cmpint (CUDA_LAUNCH (shuffle_halves, 1, 32, 0, nullptr, out.data), ==, cudaSuccess);
    for (int lane = 0; lane < 16; lane++)
      {
        g_assert_cmpint (out[lane + 16], ==, 4 * (lane + (lane ^ 1)));
        g_assert_cmpint (out[lane], ==, (lane + 16) ^ 8);
      }
  });
}

static __global__ void
count_with_atomics (int *sum, unsigned *top, float *total)
{
  atomicAdd (sum, 1);
  atomicMax (top, threadIdx.x + 1);
  atomicAdd (total, 0.5f);
}

static void
test_atomics ()
{
  Memory<int> sum (1, 0);
  Memory<unsigned> top (1, 0);
  Memory<float> total (1, 0);

  g_assert_cmpint (CUDA_LAUNCH (count_with_atomics, 7, 100, 0, nullptr, sum.data, top.data, total.data), ==, cudaSuccess);
  g_assert_cmpint (sum[0], ==, 700);
  g_assert_cmpuint (top[0], ==, 100);
  g_assert_cmpfloat (total[0], ==, 350);
}

/* ---- tensor cores ---- */

static unsigned
pair (float low, float high)
{
  return __bfloat16_as_ushort (low) | static_cast<unsigned> (__bfloat16_as_ushort (high)) << 16;
}

/* Fills the fragments by the tables of the instruction set, written out once more. */
static __global__ void
multiply_tile (const float *a, const float *b, const float *c, float *d)
{
  const int group = threadIdx.x >> 2, in_group = threadIdx.x & 3;
  unsigned ra[4], rb[2];
  float rc[4], rd[4];

  for (int i = 0; i < 4; i++)
    {
      const int row = i == 0 || i == 2 ? group : group + 8, column = in_group * 2 + (i >= 2 ? 8 : 0);

      ra[i] = pair (a[row * 16 + column], a[row * 16 + column + 1]);
    }
  for (int i = 0; i < 2; i++)
    rb[i] = pair (b[(in_group * 2 + i * 8) * 8 + group], b[(in_group * 2 + i * 8 + 1) * 8 + group]);
  for (int i = 0; i < 4; i++)
    rc[i] = c[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)];
  emulated_mma_m16n8k16_bf16 (rd, ra, rb, rc);
  for (int i = 0; i < 4; i++)
    d[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)] = rd[i];
}

static void
test_mma ()
{
  Memory<float> a (256), b (128), c (128), d (128);

  /* Small whole numbers: exact in every order of summation. */
  for (int i = 0; i < 256; i++)
    a[i] = static_cast<float> (i * 7 % 23 - 11);
  for (int i = 0; i < 128; i++)
    {
      b[i] = static_cast<float> (i * 5 % 17 - 8);
      c[i] = static_cast<float> (i);
    }
  g_assert_cmpint (CUDA_LAUNCH (multiply_tile, 1, 32, 0, nullptr, a.data, b.data, c.data, d.data), ==, cudaSuccess);
  for (int m = 0; m < 16; m++)
    for (int n = 0; n < 8; n++)
      {
        float expected = c[m * 8 + n];

        for (int k = 0; k < 16; k++)
          expected += a[m * 16 + k] * b[k * 8 + n];
        g_assert_cmpfloat (d[m * 8 + n], ==, expected);
      }
}

template <int N, bool TRANSPOSED>
static __global__ void
load_matrices (const uint16_t *x, unsigned *out)
{
  CUDA_SHARED (uint16_t, tile, [4][8][8]);
  const int lane = threadIdx.x;
  unsigned r[4] = { 0, 0, 0, 0 };

  emulated_cp_async (tile[lane / 8][lane % 8], x + lane * 8, 16, 16);
  emulated_cp_async_wait_all ();
  __syncwarp ();
  if constexpr (N == 4 && TRANSPOSED)
    emulated_ldmatrix_x4_trans (r, tile[lane / 8][lane % 8]);
  else if constexpr (N == 4)
    emulated_ldmatrix_x4 (r, tile[lane / 8][lane % 8]);
  else if constexpr (TRANSPOSED)
    emulated_ldmatrix_x2_trans (r, tile[lane / 8 % 2][lane % 8]);
  else
    emulated_ldmatrix_x2 (r, tile[lane / 8 % 2][lane % 8]);
  for (int i = 0; i < N; i++)
    out[lane * 4 + i] = r[i];
}

template <int N, bool TRANSPOSED>
static void
check_load_matrices ()
{
  Memory<uint16_t> x (256);
  Memory<unsigned> out (128);

  for (size_t i = 0; i < x.n; i++)
    x[i] = static_cast<uint16_t> (i * 37);
  g_assert_cmpint (CUDA_LAUNCH ((load_matrices<N, TRANSPOSED>), 1, 32, 0, nullptr, x.data, out.data), ==, cudaSuccess);
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < N; i++)
      for (int half = 0; half < 2; half++)
        {
          const int major = lane / 4, minor = lane % 4 * 2 + half;
          const int at = i * 64 + (TRANSPOSED ? minor * 8 + major : major * 8 + minor);

          g_assert_cmphex (out[lane * 4 + i] >> 16 * half & 0xffff, ==, x[at]);
        }
}

static void
test_ldmatrix ()
{
  in_every_order ([] {
    check_load_matrices<4, false> ();
    check_load_matrices<4, true> ();
    check_load_matrices<2, false> ();
    check_load_matrices<2, true> ();
  });
}

/* Rows of 16 bytes of @x in parts of @SIZE, each cut off somewhere; @early has what is there before the wait. */
template <int SIZE>
static __global__ void
copy_parts (const uint8_t *x, uint8_t *out, uint8_t *early)
{
  CUDA_SHARED (uint8_t, tile, [17][16]);
  const int row = static_cast<int> (threadIdx.x);

  for (int part = 0; part < 16; part += SIZE)
    emulated_cp_async (tile[row] + part, x + part, SIZE, std::clamp (row - part, 0, SIZE));
  memcpy (early + row * 16, tile[row], 16);
  emulated_cp_async_wait_all ();
  memcpy (out + row * 16, tile[row], 16);
}

template <int SIZE>
static void
check_copies_land_late ()
{
  Memory<uint8_t> x (16, 9), out (17 * 16, 1), early (17 * 16, 1);

  g_assert_cmpint (CUDA_LAUNCH ((copy_parts<SIZE>), 1, 17, 0, nullptr, x.data, out.data, early.data), ==, cudaSuccess);
  for (int i = 0; i < 17; i++)
    for (int j = 0; j < 16; j++)
      {
        g_assert_cmpint (out[i * 16 + j], ==, j < i ? 9 : 0);
        g_assert_cmpint (early[i * 16 + j], ==, 0xff);
      }
}

static void
test_cp_async ()
{
  check_copies_land_late<16> ();
  check_copies_land_late<8> ();
  check_copies_land_late<4> ();
}

/* In a random order some are over before anybody waits, and some are not. */
static void
test_cp_async_at_random ()
{
  Memory<uint8_t> x (16, 9), out (17 * 16, 1), early (17 * 16, 1);
  int n_early = 0;

  emulator::set_order (emulator::first_seed + 5);
  g_assert_cmpint (CUDA_LAUNCH ((copy_parts<4>), 1, 17, 0, nullptr, x.data, out.data, early.data), ==, cudaSuccess);
  emulator::set_order (emulator::ascending);
  for (int i = 0; i < 17 * 4; i++)
    n_early += early[i * 4 + 3] != 0xff;
  g_assert_cmpint (n_early, >, 17);
  g_assert_cmpint (n_early, <, 17 * 3);
}

static void
test_bf16 ()
{
  /* Halfway cases go to the even neighbour. */
  g_assert_cmpfloat (__nv_bfloat16 (1.00390625f), ==, 1.0f);
  g_assert_cmpfloat (__nv_bfloat16 (1.01171875f), ==, 1.015625f);
  g_assert_cmpfloat (__nv_bfloat16 (3.4e38f), ==, INFINITY);
  g_assert_true (isnan (static_cast<float> (__nv_bfloat16 (NAN))));
  g_assert_cmpfloat (__high2float (__floats2bfloat162_rn (1, -2)), ==, -2);
}

/* ---- launches that cannot be ---- */

/* ---- launches in graphs ---- */

static __global__ void
add_one (int *x)
{
  x[threadIdx.x] += 1;
}

static void
test_graph ()
{
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  Memory<int> x (32, 0);

  cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking);
  g_assert_cmpint (cudaStreamBeginCapture (stream, cudaStreamCaptureModeThreadLocal), ==, cudaSuccess);
  g_assert_cmpint (CUDA_LAUNCH (add_one, 1, 32, 0, stream, x.data), ==, cudaSuccess);
  g_assert_cmpint (CUDA_LAUNCH (add_one, 1, 16, 0, stream, x.data), ==, cudaSuccess);
  g_assert_cmpint (cudaStreamEndCapture (stream, &graph), ==, cudaSuccess);
  g_assert_cmpint (x[0], ==, 0);
  g_assert_cmpint (cudaGraphInstantiate (&exec, graph, 0), ==, cudaSuccess);
  g_assert_cmpint (cudaGraphDestroy (graph), ==, cudaSuccess);
  for (int i = 0; i < 3; i++)
    g_assert_cmpint (cudaGraphLaunch (exec, stream), ==, cudaSuccess);
  g_assert_cmpint (cudaStreamSynchronize (stream), ==, cudaSuccess);
  g_assert_cmpint (x[15], ==, 6);
  g_assert_cmpint (x[16], ==, 3);
  cudaGraphExecDestroy (exec);
  cudaStreamDestroy (stream);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, nullptr);
  g_test_add_func ("/emulator/indices", test_indices);
  g_test_add_func ("/emulator/reduction", test_reduction);
  g_test_add_func ("/emulator/races", test_races);
  g_test_add_func ("/emulator/fresh-shared", test_fresh_shared);
  g_test_add_func ("/emulator/leave-early", test_leave_early);
  g_test_add_func ("/emulator/shuffles", test_shuffles);
  g_test_add_func ("/emulator/divergent-halves", test_divergent_halves);
  g_test_add_func ("/emulator/atomics", test_atomics);
  g_test_add_func ("/emulator/mma", test_mma);
  g_test_add_func ("/emulator/ldmatrix", test_ldmatrix);
  g_test_add_func ("/emulator/cp-async", test_cp_async);
  g_test_add_func ("/emulator/cp-async-at-random", test_cp_async_at_random);
  g_test_add_func ("/emulator/bf16", test_bf16);
  g_test_add_func ("/emulator/graph", test_graph);
  return g_test_run ();
}
