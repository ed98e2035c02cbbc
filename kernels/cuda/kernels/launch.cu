/* launch.cu — what the launches of all kernels share on the host
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/kernels/kernel-common.cuh"

#include <atomic>

static std::atomic<bool> early_launch { false };

void
cuda_kernels_set_early_launch (int on)
{
  early_launch.store (on != 0, std::memory_order_relaxed);
}

bool
cuda_kernels_launch_early ()
{
  return early_launch.load (std::memory_order_relaxed);
}

cudaError_t
cuda_kernels_device_attribute (int *value, cudaDeviceAttr attribute)
{
  int device;
  cudaError_t error = cudaGetDevice (&device);

  return error != cudaSuccess ? error : cudaDeviceGetAttribute (value, attribute, device);
}
