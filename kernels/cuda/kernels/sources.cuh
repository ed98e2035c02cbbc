/* sources.cuh — reading several tensors as one along their channels
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/kernels/kernel-common.cuh"

/* A list of one. */
static inline CudaSources
one_source (const void *x, int d)
{
  CudaSources one = {};

  one.n = 1;
  one.widths[0] = d;
  one.data[0] = x;
  return one;
}

/* What the host knows about a list: its width where all are equally wide, else 0. */
static inline int
sources_uniform_width (const CudaSources *x)
{
  for (int i = 1; i < x->n; i++)
    if (x->widths[i] != x->widths[0])
      return 0;
  return x->widths[0];
}

/* Can all rows be read in vectors of @elements, which are 16 bytes? */
static inline bool
sources_have_vectors (const CudaSources *x, int elements)
{
  for (int i = 0; i < x->n; i++)
    if (x->widths[i] % elements != 0 || !is_aligned (x->data[i], 16))
      return false;
  return true;
}

/* Does the place of a row depend on its image? */
static inline bool
sources_have_skips (const CudaSources *x)
{
  for (int i = 0; i < x->n; i++)
    if (x->skip[i] != 0)
      return true;
  return false;
}

/* Where channel @c of the joined row @row of image @image lies. @uniform: as sources_uniform_width() gives it. */
template <typename T>
static __device__ __forceinline__ const T *
source_at (const CudaSources &x, int uniform, int row, int image, int c)
{
  int s = 0;

  if (x.n > 1 && uniform > 0)
    {
      s = static_cast<int> (static_cast<unsigned> (c) / static_cast<unsigned> (uniform));
      c -= s * uniform;
    }
  else if (x.n > 1)
    while (c >= x.widths[s])
      c -= x.widths[s++];
  return static_cast<const T *> (x.data[s]) +
         (static_cast<size_t> (row) + static_cast<size_t> (image + 1) * static_cast<size_t> (x.skip[s])) *
           static_cast<size_t> (x.widths[s]) +
         c;
}

/* The vector of image @image at the step of this replay. */
static __device__ __forceinline__ const float *
timed_at (const CudaTimed &timed, int image)
{
  const size_t step = timed.index != nullptr ? static_cast<size_t> (*timed.index) : 0;

  return timed.values + step * timed.step_stride + static_cast<size_t> (image) * timed.image_stride;
}
