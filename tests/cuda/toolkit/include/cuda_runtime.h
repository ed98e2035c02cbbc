/* cuda_runtime.h — the C++ side of the CUDA runtime; see vector_types.h for what these headers are
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "cuda_runtime_api.h"

#ifdef __cplusplus
template <class Function>
static inline cudaError_t
cudaFuncSetAttribute (Function *function, enum cudaFuncAttribute attribute, int value)
{
  return cudaFuncSetAttribute (reinterpret_cast<const void *> (function), attribute, value);
}

template <class Function>
static inline cudaError_t
cudaOccupancyMaxActiveBlocksPerMultiprocessor (int *n_blocks, Function *function, int block_size, size_t shared_size)
{
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor (n_blocks, reinterpret_cast<const void *> (function),
                                                        block_size, shared_size);
}

template <class T>
static inline cudaError_t
cudaMalloc (T **memory, size_t size)
{
  return cudaMalloc (reinterpret_cast<void **> (memory), size);
}
#endif
