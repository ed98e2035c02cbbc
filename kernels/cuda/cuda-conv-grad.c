/* cuda-conv-grad.c — DEPTHWISE_WEIGHT_GRAD and CONV_TO_IMAGE_INPUT_GRAD (the gradient of a depthwise input is cuda-conv.c's)
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

/* Rows of windows begin at multiples of 16 bytes. */
#define WINDOWS_MULTIPLE 8

/* DEPTHWISE_WEIGHT_GRAD (x [B, H, W, D], dy) */
typedef struct
{
  CudaType type;
  gconstpointer x, dy;
  float *scratch, *out;
  int batch, height, width, d, k;
} DepthwiseLaunch;

static gboolean
launch_depthwise_weight (CudaDevice     *device,
                         gconstpointer   data,
                         cudaStream_t    stream,
                         GError        **error)
{
  const DepthwiseLaunch *self = data;

  return cuda_device_check (device, cuda_depthwise_weight_grad (stream, self->type, self->x, self->dy, self->scratch, self->out,
                                                                self->batch, self->height, self->width, self->d, self->k), error);
}

static gsize
depthwise_weight_bytes (const DimrGraph *graph,
                        const DimrNode  *node)
{
  const gint64 *x = cuda_input (graph, node, 0)->shape.dims;

  return cuda_align (cuda_depthwise_weight_scratch ((int) x[0], (int) x[1], (int) x[2], (int) x[3], (int) node->attrs.factor) *
                     sizeof (float));
}

static gsize
depthwise_weight_workspace (const CudaDevice *device,
                            const DimrGraph  *graph,
                            const DimrNode   *node,
                            DimrPrecision     precision)
{
  return depthwise_weight_bytes (graph, node);
}

static void
depthwise_weight_prepare (CudaBuilder    *builder,
                          const DimrNode *node,
                          DimrNodeId      id)
{
  const gint64 *x = cuda_input (builder->graph, node, 0)->shape.dims;
  DepthwiseLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (DepthwiseLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .dy = cuda_builder_read (builder, id, 1),
    .scratch = cuda_builder_scratch (builder, depthwise_weight_bytes (builder->graph, node)),
    .out = cuda_builder_write (builder, id),
    .batch = (int) x[0],
    .height = (int) x[1],
    .width = (int) x[2],
    .d = (int) x[3],
    .k = (int) node->attrs.factor,
  };
  cuda_builder_add (builder, launch_depthwise_weight, launch);
}

/* CONV_TO_IMAGE_INPUT_GRAD (weight [C, D, k, k], dy [B, C, H, W] float): the product of the windows of dy, as rows of C · k²
 * numbers, with the weight as [C · k², D] */
typedef struct
{
  CudaType type;
  const float *dy;
  gpointer rows;
  int stride, batch, channels, height, width, k;
} WindowsLaunch;

static gboolean
launch_windows (CudaDevice     *device,
                gconstpointer   data,
                cudaStream_t    stream,
                GError        **error)
{
  const WindowsLaunch *self = data;

  return cuda_device_check (device, cuda_windows (stream, self->type, self->dy, self->rows, self->stride, self->batch,
                                                  self->channels, self->height, self->width, self->k), error);
}

static const char *
conv_to_image_supports (const DimrGraph *graph,
                        const DimrNode  *node)
{
  return cuda_is_param (graph, node->inputs[0]) ? NULL : _("weights that are computed");
}

static gsize
windows_stride (const DimrGraph *graph,
                const DimrNode  *node)
{
  const gint64 *weight = cuda_input (graph, node, 0)->shape.dims;

  return ((gsize) (weight[0] * weight[2] * weight[3]) + WINDOWS_MULTIPLE - 1) / WINDOWS_MULTIPLE * WINDOWS_MULTIPLE;
}

static gsize
windows_bytes (const DimrGraph *graph,
               const DimrNode  *node,
               CudaType         type)
{
  return cuda_align ((gsize) cuda_n_rows (node) * windows_stride (graph, node) * cuda_type_size (type));
}

static gsize
conv_to_image_workspace (const CudaDevice *device,
                         const DimrGraph  *graph,
                         const DimrNode   *node,
                         DimrPrecision     precision)
{
  return device->product_workspace + windows_bytes (graph, node, cuda_type (precision));
}

static void
conv_to_image_prepare (CudaBuilder    *builder,
                       const DimrNode *node,
                       DimrNodeId      id)
{
  const gint64 *weight = cuda_input (builder->graph, node, 0)->shape.dims, *dims = node->shape.dims;
  const gsize taps = (gsize) (weight[2] * weight[3]), stride = windows_stride (builder->graph, node);
  const CudaLayout layout = {
    .kind = builder->type == CUDA_TYPE_F32 ? CUDA_LAYOUT_IMAGE_CONV : CUDA_LAYOUT_IMAGE_CONV_BF16,
    .n_elements = (gsize) (weight[0] * weight[1]) * taps, .n = (gsize) weight[0], .taps = taps,
  };
  const CudaProductKey key = {
    .m = (gsize) cuda_n_rows (node),
    .n = (gsize) weight[1],
    .k = (gsize) weight[0] * taps,
    .weight_stride = (gsize) weight[1],
    .x_stride = stride,
    .turned = TRUE,
    .type = builder->type,
    .out = builder->type,
    .alignment = CUDA_ALIGNMENT,
  };
  WindowsLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);
  CudaProductData data = { .weight = cuda_builder_param (builder, &node->inputs[0], 1, &layout) };

  *launch = (WindowsLaunch){
    .type = builder->type,
    .dy = cuda_builder_read (builder, id, 1),
    .rows = cuda_builder_scratch (builder, windows_bytes (builder->graph, node, builder->type)),
    .stride = (int) stride,
    .batch = (int) dims[0],
    .channels = (int) weight[0],
    .height = (int) dims[1],
    .width = (int) dims[2],
    .k = (int) weight[2],
  };
  cuda_builder_add (builder, launch_windows, launch);
  data.x = launch->rows;
  data.y = cuda_builder_write (builder, id);
  data.workspace = cuda_builder_scratch (builder, builder->device->product_workspace);
  cuda_builder_add_product (builder, &key, &data);
}

const CudaOp cuda_op_depthwise_weight_grad = {
  NULL, depthwise_weight_workspace, depthwise_weight_prepare, CUDA_SLOT (CUDA_SLOT_RESULT),
};
const CudaOp cuda_op_conv_to_image_input_grad = {
  conv_to_image_supports, conv_to_image_workspace, conv_to_image_prepare, CUDA_SLOT (1),
};
