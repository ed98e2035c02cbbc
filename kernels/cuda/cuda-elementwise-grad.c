/* cuda-elementwise-grad.c — SILU_GRAD, GELU_GRAD, GELU_TANH_GRAD, GEGLU_GRAD, and the losses MEAN_SQUARE and
 * CROSS_ENTROPY with their gradients
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

/* f'(x) · dy; GEGLU_GRAD (a, b, dy) */
typedef struct
{
  CudaType type;
  CudaFunction function;
  gconstpointer x, b, dy;
  gpointer out;
  gsize n;
} SlopeLaunch;

static gboolean
launch_slope (CudaDevice     *device,
              gconstpointer   data,
              cudaStream_t    stream,
              GError        **error)
{
  const SlopeLaunch *self = data;
  const cudaError_t status =
    self->b != NULL ? cuda_geglu_grad (stream, self->type, self->x, self->b, self->dy, self->out, self->n)
                    : cuda_apply_grad (stream, self->type, self->function, self->x, self->dy, self->out, self->n);

  return cuda_device_check (device, status, error);
}

static void
slope_prepare (CudaBuilder    *builder,
               const DimrNode *node,
               DimrNodeId      id)
{
  const gboolean gated = node->op == DIMR_OP_GEGLU_GRAD;
  SlopeLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (SlopeLaunch){
    .type = builder->type,
    .function = node->op == DIMR_OP_SILU_GRAD        ? CUDA_FUNCTION_SILU
                : node->op == DIMR_OP_GELU_TANH_GRAD ? CUDA_FUNCTION_GELU_TANH
                                                     : CUDA_FUNCTION_GELU,
    .x = cuda_builder_read (builder, id, 0),
    .b = gated ? cuda_builder_read (builder, id, 1) : NULL,
    .dy = cuda_builder_read (builder, id, gated ? 2 : 1),
    .out = cuda_builder_write (builder, id),
    .n = dimr_shape_n_elements (&node->shape),
  };
  cuda_builder_add (builder, launch_slope, launch);
}

/* A loss (a, b) and its gradient (a, b, dy [B]): float in every precision */
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
const CudaOp cuda_op_geglu_grad = { .prepare = slope_prepare };
const CudaOp cuda_op_silu_grad = { .prepare = slope_prepare };
const CudaOp cuda_op_gelu_grad = { .prepare = slope_prepare };
const CudaOp cuda_op_gelu_tanh_grad = { .prepare = slope_prepare };
const CudaOp cuda_op_mean_square = { .prepare = loss_prepare, .wide = ALL };
const CudaOp cuda_op_mean_square_grad = { .prepare = loss_prepare, .wide = ALL };
const CudaOp cuda_op_cross_entropy = { .prepare = loss_prepare, .wide = ALL };
const CudaOp cuda_op_cross_entropy_grad = { .prepare = loss_prepare, .wide = ALL };
