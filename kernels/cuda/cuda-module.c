/* cuda-module.c — the module's two symbols: what it was built from, and the CUDA backend
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "kernels/cuda/cuda-private.h"

#include "kernels/dimr-cuda.h"

G_MODULE_EXPORT extern const DimrCudaTag dimr_cuda_tag;
const DimrCudaTag dimr_cuda_tag = DIMR_CUDA_TAG_INIT;

static guint
get_n_devices (GError **error)
{
  int n = 0;
  const cudaError_t status = cudaGetDeviceCount (&n);

  if (status == cudaSuccess && n > 0)
    return (guint) n;
  (void) cudaGetLastError ();
  cuda_error_set (error, status == cudaSuccess ? cudaErrorNoDevice : status, "The NVIDIA driver");
  return 0;
}

static char *
dup_device_name (guint index)
{
  struct cudaDeviceProp properties;

  if (cudaGetDeviceProperties (&properties, (int) index) == cudaSuccess)
    return g_utf8_make_valid (properties.name, (gssize) strnlen (properties.name, sizeof properties.name));
  (void) cudaGetLastError ();
  return g_strdup_printf ("NVIDIA GPU %u", index);
}

static DimrDevice *
open_device (guint    index,
             guint    n_threads,
             GError **error)
{
  return cuda_device_open (index, error);
}

G_MODULE_EXPORT const DimrBackend *
dimr_cuda_backend (void)
{
  static const DimrBackend backend = { "cuda", get_n_devices, dup_device_name, open_device };

  return &backend;
}
