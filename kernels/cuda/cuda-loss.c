/* cuda-loss.c — MEAN_SQUARE, CROSS_ENTROPY and their gradients: float in every precision
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

/* (a, b), and for the gradients (a, b, dy [B]) */
typedef struct
{
  gboolean entropy; /* CROSS_ENTROPY (x, target), else MEAN_SQUARE (a, b) */
  const float *a, *b, *dy;
  float *out;
  int batch, n;
} LossLaunch;

static gboolean
launch_loss (CudaDevice     *device,
             gconstpointer   data,
             cudaStream_t    stream,
             GError        **error)
{
  const LossLaunch *self = data;
  cudaError_t status;

  if (self->entropy)
    status = self->dy != NULL ? cuda_cross_entropy_grad (stream, self->a, self->b, self->dy, self->out, self->batch, self->n)
                              : cuda_cross_entropy (stream, self->a, self->b, self->out, self->batch, self->n);
  else
    status = self->dy != NULL ? cuda_mean_square_grad (stream, self->a, self->b, self->dy, self->out, self->batch, self->n)
                              : cuda_mean_square (stream, self->a, self->b, self->out, self->batch, self->n);

  return cuda_device_check (device, status, error);
}

static void
loss_prepare (CudaBuilder    *builder,
              const DimrNode *node,
              DimrNodeId      id)
{
  const DimrShape *a = &cuda_input (builder->graph, node, 0)->shape;
  LossLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (LossLaunch){
    .entropy = node->op == DIMR_OP_CROSS_ENTROPY || node->op == DIMR_OP_CROSS_ENTROPY_GRAD,
    .a = cuda_builder_read (builder, id, 0),
    .b = cuda_builder_read (builder, id, 1),
    .dy = node->n_inputs > 2 ? cuda_builder_read (builder, id, 2) : NULL,
    .out = cuda_builder_write (builder, id),
    .batch = (int) a->dims[0],
    .n = (int) (dimr_shape_n_elements (a) / (gsize) a->dims[0]),
  };
  cuda_builder_add (builder, launch_loss, launch);
}

#define ALL CUDA_SLOT (0) | CUDA_SLOT (1) | CUDA_SLOT (2) | CUDA_SLOT (CUDA_SLOT_RESULT)
const CudaOp cuda_op_mean_square = { .prepare = loss_prepare, .wide = ALL };
const CudaOp cuda_op_mean_square_grad = { .prepare = loss_prepare, .wide = ALL };
const CudaOp cuda_op_cross_entropy = { .prepare = loss_prepare, .wide = ALL };
const CudaOp cuda_op_cross_entropy_grad = { .prepare = loss_prepare, .wide = ALL };
