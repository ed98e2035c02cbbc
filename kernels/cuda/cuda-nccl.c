/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/cuda-training.h"

#include "core/base/dimr-error.h"

CudaNccl *
cuda_nccl_new (CudaDevice      *device,
               DimrCollective  *group,
               GCancellable    *cancellable,
               GError         **error)
{
  g_set_error (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED, "this program's CUDA part was built without NCCL");
  return NULL;
}

void
cuda_nccl_free (CudaNccl *self)
{
}

gboolean
cuda_nccl_sum (CudaNccl      *self,
               guint64        n_leaves,
               float         *sums,
               gsize          length,
               GCancellable  *cancellable,
               GError       **error)
{
  return FALSE;
}
