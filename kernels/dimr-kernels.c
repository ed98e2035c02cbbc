/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dimr-kernels.h"

#include "kernels/cpu/cpu-private.h"

void
dimr_kernels_init (void)
{
  dimr_backend_register (&cpu_backend);
}
