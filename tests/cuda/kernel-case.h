/* kernel-case.h — device tensors, and the checks that every kernel goes through
 *
 * A case is a function that allocates, launches and returns what it got. check_kernel() runs it with
 * threads in several orders, which must make no difference (a difference is a race), looks for
 * writes beyond the buffers and compares with what double precision says.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <functional>
#include <glib.h>
#include <vector>

#include "kernels/cuda/cuda-kernels.h"

typedef std::vector<double> Values;

/* What is known of a value of a type: double → nearest of the type → double. */
double round_to (CudaType type, double value);
Values rounded (CudaType type, Values values);

/* The same numbers for the same seed: normal, with @mean and @deviation, rounded to @type. */
Values random_values (CudaType type, size_t n, unsigned seed, double mean = 0, double deviation = 1);

/* An array in device memory. */
class Tensor
{
public:
  Tensor (CudaType type, size_t n);                /* as allocated: NaN */
  Tensor (CudaType type, const Values &values);
  ~Tensor ();
  Tensor (const Tensor &) = delete;

  Values values () const;
  void *data () const { return memory; }
  float *floats () const { return static_cast<float *> (memory); }

private:
  CudaType type;
  size_t   n;
  void    *memory;
};

/* The same for other elements. */
template <class T>
class Array
{
public:
  explicit Array (const std::vector<T> &values) : n (values.size ())
  {
    g_assert_cmpint (cudaMalloc (reinterpret_cast<void **> (&memory), n * sizeof (T)), ==, cudaSuccess);
    g_assert_cmpint (cudaMemcpy (memory, values.data (), n * sizeof (T), cudaMemcpyHostToDevice), ==, cudaSuccess);
  }

  ~Array () { cudaFree (memory); }
  Array (const Array &) = delete;
  T *data () const { return memory; }

  std::vector<T> values () const
  {
    std::vector<T> values (n);

    g_assert_cmpint (cudaMemcpy (values.data (), memory, n * sizeof (T), cudaMemcpyDeviceToHost), ==, cudaSuccess);
    return values;
  }

private:
  size_t n;
  T     *memory;
};

/* How far a result may be off: @type's rounding of the result, and @absolute. */
struct Tolerance
{
  CudaType type;
  double   absolute;
};

/* Runs @run in several orders; @what names the case in messages. */
void check_kernel (const char *what, const std::function<Values ()> &run, const Values &expected, Tolerance tolerance);
/* The same for results that must be the same bits. */
void check_kernel_exactly (const char *what, const std::function<Values ()> &run, const Values &expected);

/* Asserts that a launch went well. */
#define LAUNCHED(error) g_assert_cmpstr (cudaGetErrorName (error), ==, "cudaSuccess")

constexpr CudaType all_types[] = { CUDA_TYPE_F32, CUDA_TYPE_BF16 };
