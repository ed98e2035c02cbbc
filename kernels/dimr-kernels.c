/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dimr-kernels.h"

#include "kernels/cpu/cpu-private.h"
#include "kernels/dimr-cuda.h"

void
dimr_kernels_init (void)
{
  dimr_backend_register (&dimr_cuda_backend_stub);
  dimr_backend_register (&cpu_backend);
}
