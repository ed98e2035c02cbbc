/* cuda-elementwise-grad.c — SILU_GRAD, GELU_GRAD, GELU_TANH_GRAD, GEGLU_GRAD
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

const CudaOp cuda_op_geglu_grad = { .prepare = slope_prepare };
const CudaOp cuda_op_silu_grad = { .prepare = slope_prepare };
const CudaOp cuda_op_gelu_grad = { .prepare = slope_prepare };
const CudaOp cuda_op_gelu_tanh_grad = { .prepare = slope_prepare };
