/* cpu-conv-grad.c — gradients of DEPTHWISE_CONV and CONV_TO_IMAGE
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include "core/base/dimr-i18n.h"

static gsize
divide (gsize a,
        gsize b)
{
  return (a + b - 1) / b;
}

static const char *
input_grad_supports (const DimrGraph *graph,
                     const DimrNode  *node)
{
  const guint weight = node->op == DIMR_OP_DEPTHWISE_INPUT_GRAD ? 1 : 0;

  return cpu_is_param (graph, node->inputs[weight]) ? NULL : _("weights that are computed");
}

/* DEPTHWISE_INPUT_GRAD (dy, weight, residual): the convolution with its taps backwards. */
static void
depthwise_input_grad_prepare (CpuBuilder     *builder,
                              const DimrNode *node,
                              DimrNodeId      id)
{
  cpu_builder_add_depthwise (builder, node, id, CPU_LAYOUT_DEPTHWISE_FLIPPED, DIMR_NODE_NONE, node->inputs[2]);
}

/* DEPTHWISE_WEIGHT_GRAD (x, dy): a task is one block of channels of one image. */
typedef struct
{
  CpuDepthwiseGrad grad;
  const CpuSimd *simd;
  gsize batch;
  gsize blocks;
  float *parts;  /* [B][blocks][k·k][lanes] */
  float *y;      /* [d][k·k] */
} DepthwiseGradStep;

static void
run_depthwise_weight_grad (gconstpointer  data,
                           gsize          task,
                           guint          thread,
                           GError       **error)
{
  const DepthwiseGradStep *self = data;
  const gsize taps = self->grad.kernel * self->grad.kernel;

  self->simd->depthwise_weight_grad (&self->grad, task / self->blocks, task % self->blocks,
                                     self->parts + task * taps * self->simd->lanes);
}

/* One block of channels, over the images. */
static void
run_depthwise_gather (gconstpointer  data,
                      gsize          block,
                      guint          thread,
                      GError       **error)
{
  const DepthwiseGradStep *self = data;
  const gsize taps = self->grad.kernel * self->grad.kernel, lanes = self->simd->lanes;

  for (gsize c = 0; c < MIN (lanes, self->grad.d - block * lanes); c++)
    for (gsize tap = 0; tap < taps; tap++)
      {
        float sum = 0;

        for (gsize image = 0; image < self->batch; image++)
          sum += self->parts[((image * self->blocks + block) * taps + tap) * lanes + c];
        self->y[(block * lanes + c) * taps + tap] = sum;
      }
}

/* The kernel's loop keeps a row of sums in registers or, for an unusual size, on its stack. */
#define MAX_KERNEL 31

static const char *
depthwise_weight_grad_supports (const DimrGraph *graph,
                                const DimrNode  *node)
{
  return node->attrs.factor <= MAX_KERNEL ? NULL : _("so large a kernel");
}

static gsize
depthwise_weight_grad_workspace (const CpuTarget *target,
                                 const DimrGraph *graph,
                                 const DimrNode  *node)
{
  const gsize lanes = target->simd->lanes, d = (gsize) node->shape.dims[0];
  const gsize batch = (gsize) cpu_input (graph, node, 0)->shape.dims[0];

  return batch * divide (d, lanes) * lanes * node->attrs.factor * node->attrs.factor * sizeof (float);
}

static void
depthwise_weight_grad_prepare (CpuBuilder     *builder,
                               const DimrNode *node,
                               DimrNodeId      id)
{
  const gint64 *dims = cpu_input (builder->graph, node, 0)->shape.dims;
  DepthwiseGradStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->grad = (CpuDepthwiseGrad){
    .height = (gsize) dims[1],
    .width = (gsize) dims[2],
    .d = (gsize) dims[3],
    .kernel = node->attrs.factor,
    .x = cpu_builder_peek (builder, node->inputs[0]),
    .dy = cpu_builder_peek (builder, node->inputs[1]),
  };
  step->simd = builder->simd;
  step->batch = (gsize) dims[0];
  step->blocks = divide (step->grad.d, builder->simd->lanes);
  step->parts = builder->workspace;
  step->y = cpu_builder_peek (builder, id);
  cpu_builder_add_step (builder, run_depthwise_weight_grad, step, step->batch * step->blocks);
  cpu_builder_add_step (builder, run_depthwise_gather, step, step->blocks);
}

/* CONV_TO_IMAGE_INPUT_GRAD (weight, dy): a task is one row of one image. */
typedef struct
{
  CpuImageConv conv;
  const CpuSimd *simd;
  const float *dy;
  float *dx;
} ImageConvGradStep;

static void
run_image_conv_input_grad (gconstpointer  data,
                           gsize          task,
                           guint          thread,
                           GError       **error)
{
  const ImageConvGradStep *self = data;

  self->simd->image_conv_input_grad (&self->conv, self->dy, self->dx, task / self->conv.height, task % self->conv.height, 1);
}

static void
image_conv_input_grad_prepare (CpuBuilder     *builder,
                               const DimrNode *node,
                               DimrNodeId      id)
{
  const gint64 *dims = node->shape.dims, *w = cpu_input (builder->graph, node, 0)->shape.dims;
  const gsize kernel = (gsize) w[2], d = (gsize) w[1];
  const CpuLayout layout = {
    .kind = CPU_LAYOUT_IMAGE_CONV, .n = (gsize) w[0], .k = d * kernel * kernel, .taps = kernel * kernel,
    .width = builder->simd->lanes,
  };
  ImageConvGradStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->conv = (CpuImageConv){
    .height = (gsize) dims[1],
    .width = (gsize) dims[2],
    .d = d,
    .channels = (gsize) w[0],
    .kernel = kernel,
    .weights = cpu_builder_param (builder, node->inputs[0], &layout),
  };
  step->simd = builder->simd;
  step->dy = cpu_builder_peek (builder, node->inputs[1]);
  step->dx = cpu_builder_peek (builder, id);
  cpu_builder_add_step (builder, run_image_conv_input_grad, step, (gsize) (dims[0] * dims[1]));
}

const CpuOp cpu_op_depthwise_input_grad = { input_grad_supports, NULL, depthwise_input_grad_prepare };
const CpuOp cpu_op_depthwise_weight_grad = {
  depthwise_weight_grad_supports, depthwise_weight_grad_workspace, depthwise_weight_grad_prepare,
};
const CpuOp cpu_op_conv_to_image_input_grad = { input_grad_supports, NULL, image_conv_input_grad_prepare };
