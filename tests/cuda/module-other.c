/* A module of another release: its backend must never be asked for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kernels/dimr-cuda.h"

#include <gmodule.h>

G_MODULE_EXPORT extern const DimrCudaTag dimr_cuda_tag;
const DimrCudaTag dimr_cuda_tag = OTHER_TAG;

G_MODULE_EXPORT const DimrBackend *dimr_cuda_backend (void);

const DimrBackend *
dimr_cuda_backend (void)
{
  g_error ("The backend of another release was called");
}
