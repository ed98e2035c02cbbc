/* emulator-case.h — device memory of the emulator's own tests
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <algorithm>
#include <glib.h>
#include <vector>

#include "emulator.h"

/* Device memory as a vector of the host; empty again when it goes. */
template <class T>
struct Memory
{
  T *data;
  size_t n;

  explicit Memory (size_t count, T value = T ()) : n (count)
  {
    g_assert_cmpint (cudaMalloc (&data, n * sizeof (T)), ==, cudaSuccess);
    std::fill (data, data + n, value);
  }

  explicit Memory (const std::vector<T> &values) : Memory (values.size ())
  {
    std::copy (values.begin (), values.end (), data);
  }

  ~Memory () { cudaFree (data); }
  Memory (const Memory &) = delete;
  T &operator[] (size_t i) { return data[i]; }
};
