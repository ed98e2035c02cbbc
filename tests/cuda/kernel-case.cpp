/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel-case.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <string.h>

#include "emulator.h"
#include "fake-cuda.h"

double
round_to (CudaType type, double value)
{
  const float narrow = static_cast<float> (value);

  return type == CUDA_TYPE_F32 ? narrow : __bfloat162float (__float2bfloat16_rn (narrow));
}

Values
rounded (CudaType type, Values values)
{
  for (double &value : values)
    value = round_to (type, value);
  return values;
}

Values
random_values (CudaType type, size_t n, unsigned seed, double mean, double deviation)
{
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  Values values (n);

  for (double &value : values)
    {
      double sum = -2;

      for (int i = 0; i < 4; i++)
        {
          state = state * 6364136223846793005u + 1442695040888963407u;
          sum += static_cast<double> (state >> 11) / 9007199254740992.;
        }
      value = round_to (type, mean + deviation * sum * 1.7320508075688772);
    }
  return values;
}

static size_t
size_of (CudaType type)
{
  return type == CUDA_TYPE_F32 ? sizeof (float) : sizeof (__nv_bfloat16);
}

Tensor::Tensor (CudaType tensor_type, size_t count) : type (tensor_type), n (count)
{
  g_assert_cmpint (cudaMalloc (&memory, n * size_of (type)), ==, cudaSuccess);
}

Tensor::Tensor (CudaType tensor_type, const Values &values) : Tensor (tensor_type, values.size ())
{
  for (size_t i = 0; i < n; i++)
    if (type == CUDA_TYPE_F32)
      static_cast<float *> (memory)[i] = static_cast<float> (values[i]);
    else
      static_cast<__nv_bfloat16 *> (memory)[i] = __float2bfloat16_rn (static_cast<float> (values[i]));
}

Tensor::~Tensor ()
{
  cudaFree (memory);
}

Values
Tensor::values () const
{
  Values values (n);

  for (size_t i = 0; i < n; i++)
    values[i] = type == CUDA_TYPE_F32 ? static_cast<float *> (memory)[i] : __bfloat162float (static_cast<__nv_bfloat16 *> (memory)[i]);
  return values;
}

static Values
run_in_every_order (const char *what, const std::function<Values ()> &run)
{
  Values first;

  for (unsigned order = emulator::ascending; order < emulator::first_seed + 2; order++)
    {
      Values got;

      emulator::set_order (order);
      got = run ();
      fake_cuda_check_guards ();
      if (order == emulator::ascending)
        first = got;
      else if (got.size () != first.size () || memcmp (got.data (), first.data (), got.size () * sizeof (double)) != 0)
        g_error ("%s: the result depends on the order of threads", what);
    }
  emulator::set_order (emulator::ascending);
  return first;
}

static void
compare (const char *what, const Values &got, const Values &expected, double relative, double absolute)
{
  g_assert_cmpuint (got.size (), ==, expected.size ());
  for (size_t i = 0; i < got.size (); i++)
    if (!(fabs (got[i] - expected[i]) <= absolute + relative * fabs (expected[i])))
      g_error ("%s: element %zu is %.9g instead of %.9g", what, i, got[i], expected[i]);
}

void
check_kernel (const char *what, const std::function<Values ()> &run, const Values &expected, Tolerance tolerance)
{
  compare (what, run_in_every_order (what, run), expected, tolerance.type == CUDA_TYPE_F32 ? 1e-6 : 1. / 256, tolerance.absolute);
}

void
check_kernel_exactly (const char *what, const std::function<Values ()> &run, const Values &expected)
{
  compare (what, run_in_every_order (what, run), expected, 0, 0);
}
