/* cuda-norm-grad.c — RMS_NORM_GRAD, RMS_NORM_SCALE_GRAD, LAYER_NORM_GRAD, LAYER_NORM_WEIGHT_GRAD
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

/* RMS_NORM_GRAD (x, scale, dy, residual) and LAYER_NORM_GRAD (weight, dy, x0, x1, …) */
typedef struct
{
  CudaType type;
  gboolean layer;
  CudaSources sources;
  CudaTimedRef scale;
  gconstpointer dy, residual;
  gpointer out;
  int rows, rows_per_image, d;
  float eps;
} NormGradLaunch;

static gboolean
launch_norm_grad (CudaDevice     *device,
                  gconstpointer   data,
                  cudaStream_t    stream,
                  GError        **error)
{
  const NormGradLaunch *self = data;
  const cudaError_t status =
    self->layer ? cuda_layer_norm_grad (stream, self->type, &self->sources, cuda_timed (&self->scale), self->dy, self->out,
                                        self->rows, self->rows_per_image, self->d, self->eps)
                : cuda_rms_norm_grad (stream, self->type, self->sources.data[0], cuda_timed (&self->scale), self->dy, self->residual,
                                      self->out, self->rows, self->rows_per_image, self->d, self->eps);

  return cuda_device_check (device, status, error);
}

static const char *
layer_norm_supports (const DimrGraph *graph,
                     const DimrNode  *node)
{
  return node->n_inputs - 2 <= CUDA_MAX_SOURCES ? NULL : _("more than 64 inputs");
}

static void
norm_grad_prepare (CudaBuilder    *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  const gboolean layer = node->op == DIMR_OP_LAYER_NORM_GRAD;
  NormGradLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (NormGradLaunch){
    .type = builder->type,
    .layer = layer,
    .scale = cuda_builder_timed (builder, id, layer ? 0 : 1),
    .dy = cuda_builder_read (builder, id, layer ? 1 : 2),
    .residual = layer ? NULL : cuda_builder_read (builder, id, 3),
    .rows = cuda_n_rows (node),
    .rows_per_image = cuda_rows_per_image (node),
    .d = cuda_n_channels (node),
    .eps = (float) node->attrs.eps,
  };
  if (layer)
    launch->sources = cuda_builder_sources (builder, id, 2);
  else
    launch->sources.data[0] = cuda_builder_read (builder, id, 0);
  launch->out = cuda_builder_write (builder, id);
  cuda_builder_add (builder, launch_norm_grad, launch);
}

/* RMS_NORM_SCALE_GRAD (x, dy) and LAYER_NORM_WEIGHT_GRAD (dy, x0, x1, …) */
typedef struct
{
  CudaType type;
  CudaNorm norm;
  CudaSources sources;
  gconstpointer dy;
  float *scratch;
  float *out;
  int parts, rows, d;
  float eps;
} ScaleGradLaunch;

static gboolean
launch_scale_grad (CudaDevice     *device,
                   gconstpointer   data,
                   cudaStream_t    stream,
                   GError        **error)
{
  const ScaleGradLaunch *self = data;

  return cuda_device_check (device, cuda_norm_scale_grad (stream, self->type, self->norm, &self->sources, self->dy, self->scratch,
                                                          self->out, self->parts, self->rows, 0, self->d, self->eps), error);
}

static const char *
layer_weight_supports (const DimrGraph *graph,
                       const DimrNode  *node)
{
  return node->n_inputs - 1 <= CUDA_MAX_SOURCES ? NULL : _("more than 64 inputs");
}

/* Rows of each part; those of input 0, which is x or dy. */
static int
rows_of_part (const DimrGraph *graph,
              const DimrNode  *node)
{
  return cuda_n_rows (cuda_input (graph, node, 0)) / (int) node->attrs.length;
}

static gsize
scale_grad_bytes (const DimrGraph *graph,
                  const DimrNode  *node)
{
  return cuda_align (cuda_norm_scale_scratch ((int) node->attrs.length, rows_of_part (graph, node), cuda_n_channels (node)) *
                     sizeof (float));
}

static gsize
scale_grad_workspace (const CudaDevice *device,
                      const DimrGraph  *graph,
                      const DimrNode   *node,
                      DimrPrecision     precision)
{
  return scale_grad_bytes (graph, node);
}

static void
scale_grad_prepare (CudaBuilder    *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  const gboolean layer = node->op == DIMR_OP_LAYER_NORM_WEIGHT_GRAD;
  ScaleGradLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (ScaleGradLaunch){
    .type = builder->type,
    .norm = layer ? CUDA_NORM_LAYER : CUDA_NORM_RMS,
    .dy = cuda_builder_read (builder, id, layer ? 0 : 1),
    .scratch = cuda_builder_scratch (builder, scale_grad_bytes (builder->graph, node)),
    .parts = (int) node->attrs.length,
    .rows = rows_of_part (builder->graph, node),
    .d = cuda_n_channels (node),
    .eps = (float) node->attrs.eps,
  };
  if (layer)
    launch->sources = cuda_builder_sources (builder, id, 1);
  else
    {
      launch->sources.n = 1;
      launch->sources.widths[0] = launch->d;
      launch->sources.data[0] = cuda_builder_read (builder, id, 0);
    }
  launch->out = cuda_builder_write (builder, id);
  cuda_builder_add (builder, launch_scale_grad, launch);
}

#define FLOAT_RESULT CUDA_SLOT (CUDA_SLOT_RESULT)
const CudaOp cuda_op_rms_norm_grad = { .prepare = norm_grad_prepare, .wide = CUDA_SLOT (1) };
const CudaOp cuda_op_layer_norm_grad = { layer_norm_supports, NULL, norm_grad_prepare, CUDA_SLOT (0) };
const CudaOp cuda_op_rms_norm_scale_grad = { NULL, scale_grad_workspace, scale_grad_prepare, FLOAT_RESULT };
const CudaOp cuda_op_layer_norm_weight_grad = { layer_weight_supports, scale_grad_workspace, scale_grad_prepare, FLOAT_RESULT };
