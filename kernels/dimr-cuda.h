/* dimr-cuda.h — the CUDA backend as the program sees it before its module is opened
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"

G_BEGIN_DECLS

/* Overrides the file of the module: for packages that are moved, and for tests. */
#define DIMR_CUDA_MODULE_VARIABLE "DIMR_CUDA_MODULE"

/* What a module was built from. One of another release, or of other interfaces, is not called: its functions would be
 * found in the wrong places. */
typedef struct
{
  const char *version;      /* of the program */
  guint       sizes[3];     /* bytes of the classes that it implements */
} DimrCudaTag;

#define DIMR_CUDA_TAG_SYMBOL "dimr_cuda_tag"
/* Of the program that includes config.h. */
#define DIMR_CUDA_TAG_INIT \
  { DIMR_VERSION, { sizeof (DimrDeviceClass), sizeof (DimrProgramClass), sizeof (DimrDeviceWalkClass) } }

/* Opens the module at the first question, once, in the thread that asks: that takes up to a second, so
 * never ask in the main loop. Where that fails it has no devices, and says why. */
extern const DimrBackend dimr_cuda_backend_stub;

G_END_DECLS
