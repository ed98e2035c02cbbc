/* cuda-conv.c — DEPTHWISE_CONV and the gradient of its input, PATCHIFY and CONV_TO_IMAGE
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

static const char *
conv_supports (const DimrGraph *graph,
               const DimrNode  *node)
{
  if (!cuda_is_param (graph, node->inputs[1]) || !cuda_is_param (graph, node->inputs[2]))
    return _("weights and biases that are computed");
  return NULL;
}

/* What all three are made of; each uses what it needs. */
typedef struct
{
  CudaType type;
  gconstpointer x;
  const float *weight;
  const float *bias;
  gconstpointer residual;
  gpointer out;
  int batch, channels, height, width, d, k;
} ConvLaunch;

static gboolean
launch_depthwise (CudaDevice     *device,
                  gconstpointer   data,
                  cudaStream_t    stream,
                  GError        **error)
{
  const ConvLaunch *self = data;

  return cuda_device_check (device, cuda_depthwise_conv (stream, self->type, self->x, self->weight, self->bias, self->residual,
                                                         self->out, self->batch, self->height, self->width, self->d, self->k),
                            error);
}

/* Of input 0, [B, H, W, D], by the weight [D, 1, k, k] of input 1 as @kind lays it out; input @residual is added. */
static void
add_depthwise (CudaBuilder    *builder,
               const DimrNode *node,
               DimrNodeId      id,
               CudaLayoutKind  kind,
               const float    *bias,
               guint           residual)
{
  const gint64 *dims = node->shape.dims;
  const int k = (int) cuda_input (builder->graph, node, 1)->shape.dims[2];
  const CudaLayout layout = {
    .kind = kind, .n_elements = (gsize) dims[3] * k * k, .n = (gsize) dims[3], .taps = (gsize) k * k,
  };
  ConvLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (ConvLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .weight = cuda_builder_param (builder, &node->inputs[1], 1, &layout),
    .bias = bias,
    .residual = cuda_builder_read (builder, id, residual),
    .out = cuda_builder_write (builder, id),
    .batch = (int) dims[0],
    .height = (int) dims[1],
    .width = (int) dims[2],
    .d = (int) dims[3],
    .k = k,
  };
  cuda_builder_add (builder, launch_depthwise, launch);
}

/* DEPTHWISE_CONV (x [B, H, W, D], weight [D, 1, k, k], bias, residual) */
static void
depthwise_prepare (CudaBuilder    *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  add_depthwise (builder, node, id, CUDA_LAYOUT_DEPTHWISE, cuda_builder_floats (builder, node->inputs[2]), 3);
}

/* DEPTHWISE_INPUT_GRAD (dy [B, H, W, D], weight [D, 1, k, k], residual): a convolution by the flipped kernel */
static const char *
depthwise_input_supports (const DimrGraph *graph,
                          const DimrNode  *node)
{
  return cuda_is_param (graph, node->inputs[1]) ? NULL : _("weights that are computed");
}

static void
depthwise_input_prepare (CudaBuilder    *builder,
                         const DimrNode *node,
                         DimrNodeId      id)
{
  add_depthwise (builder, node, id, CUDA_LAYOUT_DEPTHWISE_FLIPPED, NULL, 2);
}

/* PATCHIFY (x [B, C, H, W] float, weight [D, C, k, k], bias) */
static gboolean
launch_patchify (CudaDevice     *device,
                 gconstpointer   data,
                 cudaStream_t    stream,
                 GError        **error)
{
  const ConvLaunch *self = data;

  return cuda_device_check (device, cuda_patchify (stream, self->type, self->x, self->weight, self->bias, self->out, self->batch,
                                                   self->channels, self->height, self->width, self->d, self->k), error);
}

static void
patchify_prepare (CudaBuilder    *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  const gint64 *in = cuda_input (builder->graph, node, 0)->shape.dims;
  ConvLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (ConvLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .weight = cuda_builder_floats (builder, node->inputs[1]),
    .bias = cuda_builder_floats (builder, node->inputs[2]),
    .out = cuda_builder_write (builder, id),
    .batch = (int) in[0],
    .channels = (int) in[1],
    .height = (int) in[2],
    .width = (int) in[3],
    .d = cuda_n_channels (node),
    .k = (int) cuda_input (builder->graph, node, 1)->shape.dims[2],
  };
  cuda_builder_add (builder, launch_patchify, launch);
}

/* CONV_TO_IMAGE (x [B, H, W, D], weight [C, D, k, k], bias) → [B, C, H, W] float */
static gboolean
launch_conv_to_image (CudaDevice     *device,
                      gconstpointer   data,
                      cudaStream_t    stream,
                      GError        **error)
{
  const ConvLaunch *self = data;

  return cuda_device_check (device, cuda_conv_to_image (stream, self->type, self->x, self->weight, self->bias, self->out,
                                                        self->batch, self->height, self->width, self->d, self->channels,
                                                        self->k), error);
}

static void
conv_to_image_prepare (CudaBuilder    *builder,
                       const DimrNode *node,
                       DimrNodeId      id)
{
  const gint64 *dims = node->shape.dims;
  const gint64 *weight = cuda_input (builder->graph, node, 1)->shape.dims;
  const gsize taps = (gsize) (weight[2] * weight[3]);
  const CudaLayout layout = {
    .kind = CUDA_LAYOUT_IMAGE_CONV, .n_elements = (gsize) (weight[0] * weight[1]) * taps, .n = (gsize) weight[0], .taps = taps,
  };
  ConvLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (ConvLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .weight = cuda_builder_param (builder, &node->inputs[1], 1, &layout),
    .bias = cuda_builder_floats (builder, node->inputs[2]),
    .out = cuda_builder_write (builder, id),
    .batch = (int) dims[0],
    .channels = (int) dims[1],
    .height = (int) dims[2],
    .width = (int) dims[3],
    .d = (int) weight[1],
    .k = (int) weight[2],
  };
  cuda_builder_add (builder, launch_conv_to_image, launch);
}

const CudaOp cuda_op_depthwise_conv = { conv_supports, NULL, depthwise_prepare };
const CudaOp cuda_op_depthwise_input_grad = { depthwise_input_supports, NULL, depthwise_input_prepare };
const CudaOp cuda_op_patchify = { conv_supports, NULL, patchify_prepare, CUDA_SLOT (0) };
const CudaOp cuda_op_conv_to_image = { conv_supports, NULL, conv_to_image_prepare, CUDA_SLOT (CUDA_SLOT_RESULT) };
