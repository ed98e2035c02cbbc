/* cuda-training.h — training in device memory, and its sums over several devices
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device-training.h"
#include "core/train/dimr-collective.h"
#include "kernels/cuda/cuda-private.h"

G_BEGIN_DECLS

#define CUDA_TYPE_TRAINING (cuda_training_get_type ())
G_DECLARE_FINAL_TYPE (CudaTraining, cuda_training, CUDA, TRAINING, DimrDeviceTraining)

typedef struct _CudaNccl CudaNccl;

struct _CudaTraining
{
  DimrDeviceTraining parent_instance;
  CudaDevice *device;
  DimrTrainingParameter *parameters;  /* [n_parameters] */
  gsize *places;                      /* [n_parameters]: where they begin in an array */
  guint n_parameters;
  guint n_sums;
  gboolean has_average;
  gsize length;                       /* of an array */
  float *arrays;                      /* values, m, v, the average where there is one, the sums: [length] each */
  double *norm;
  CudaUpdatePiece *updates;           /* of all parameters, each with one copy */
  guint n_updates;
  CudaUpdatePiece *copies;            /* the other copies */
  guint n_copies;
  GPtrArray *params;                  /* CudaParam: what is copied to stays */
  DimrProgram *program;               /* whose gradients are known; a weak pointer */
  CudaGradientPiece *gradients;
  guint n_gradients;
  CudaNccl *nccl;                     /* NULL: not joined */
};

DimrDeviceTraining *cuda_training_new  (CudaDevice              *device,
                                        const DimrTrainingSpec  *spec,
                                        GError                 **error);
/* On the device, [length]. */
float         *cuda_training_get_array (CudaTraining            *self,
                                        DimrTrainingArray        array);

/* ---- cuda-nccl.c: sums over the GPUs of a group ---- */

/* Comes together with the others of @group, over which everything but gradients goes on. DIMR_ERROR_UNSUPPORTED
 * where libnccl.so.2 is not there or is too old. */
CudaNccl      *cuda_nccl_new           (CudaDevice              *device,
                                        DimrCollective          *group,
                                        GCancellable            *cancellable,
                                        GError                 **error);
void           cuda_nccl_free          (CudaNccl                *self);
/* As dimr_collective_sum(), in the same order: nodes are the arrays [length] from @sums on, the first of which becomes the sum. */
gboolean       cuda_nccl_sum           (CudaNccl                *self,
                                        guint64                  n_leaves,
                                        float                   *sums,
                                        gsize                    length,
                                        GCancellable            *cancellable,
                                        GError                 **error);

G_END_DECLS
