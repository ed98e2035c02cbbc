/* cpu-conv.c — DEPTHWISE_CONV and CONV_TO_IMAGE
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
conv_supports (const DimrGraph *graph,
               const DimrNode  *node)
{
  if (!cpu_is_param (graph, node->inputs[1]) || !cpu_is_param (graph, node->inputs[2]))
    return _("weights and biases that are computed");
  return NULL;
}

/* DEPTHWISE_CONV (x, weight, bias, residual). A task is some rows of some blocks of channels. */
typedef struct
{
  CpuDepthwise conv;
  const CpuSimd *simd;
  gsize blocks;
  gsize blocks_per_task;
  gsize rows_per_task;
  gsize tasks_down;   /* of one image */
  gsize tasks_across;
} DepthwiseStep;

static void
run_depthwise (gconstpointer  data,
               gsize          task,
               guint          thread,
               GError       **error)
{
  const DepthwiseStep *self = data;
  const gsize block = task % self->tasks_across * self->blocks_per_task, strip = task / self->tasks_across;
  const gsize row = strip % self->tasks_down * self->rows_per_task;

  self->simd->depthwise (&self->conv, strip / self->tasks_down,
                         row, MIN (self->rows_per_task, self->conv.height - row),
                         block, MIN (self->blocks_per_task, self->blocks - block));
}

void
cpu_builder_add_depthwise (CpuBuilder     *builder,
                           const DimrNode *node,
                           DimrNodeId      id,
                           CpuLayoutKind   kind,
                           DimrNodeId      bias,
                           DimrNodeId      residual)
{
  const gint64 *dims = node->shape.dims;
  const gsize kernel = (gsize) cpu_input (builder->graph, node, 1)->shape.dims[2];
  const gsize lanes = builder->simd->lanes, d = (gsize) dims[3];
  const CpuLayout layout = { .kind = kind, .n = d, .k = kernel * kernel, .width = lanes };
  DepthwiseStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->conv = (CpuDepthwise){
    .height = (gsize) dims[1],
    .width = (gsize) dims[2],
    .d = d,
    .kernel = kernel,
    .x = cpu_builder_peek (builder, node->inputs[0]),
    .weights = cpu_builder_param (builder, node->inputs[1], &layout),
    .bias = cpu_builder_vector (builder, bias, d, lanes),
    .residual = cpu_builder_peek (builder, residual),
    .y = cpu_builder_peek (builder, id),
  };
  step->simd = builder->simd;
  step->blocks = divide (d, lanes);
  /* Whole cache lines, and some 200,000 multiplications. */
  step->blocks_per_task = MIN (MAX (16 / lanes, 1), step->blocks);
  step->rows_per_task = CLAMP (200000 / (step->conv.width * lanes * step->blocks_per_task * layout.k), 1, step->conv.height);
  step->tasks_down = divide (step->conv.height, step->rows_per_task);
  step->tasks_across = divide (step->blocks, step->blocks_per_task);
  cpu_builder_add_step (builder, run_depthwise, step, (gsize) dims[0] * step->tasks_down * step->tasks_across);
}

static void
depthwise_prepare (CpuBuilder     *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  cpu_builder_add_depthwise (builder, node, id, CPU_LAYOUT_DEPTHWISE, node->inputs[2], node->inputs[3]);
}

/* CONV_TO_IMAGE (x, weight, bias). A task is one row of one image. */
typedef struct
{
  CpuImageConv conv;
  const CpuSimd *simd;
} ImageConvStep;

static void
run_image_conv (gconstpointer  data,
                gsize          task,
                guint          thread,
                GError       **error)
{
  const ImageConvStep *self = data;

  self->simd->image_conv (&self->conv, task / self->conv.height, task % self->conv.height, 1);
}

static void
image_conv_prepare (CpuBuilder     *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  const gint64 *dims = node->shape.dims;
  const DimrNode *weight = cpu_input (builder->graph, node, 1);
  const gsize kernel = (gsize) weight->shape.dims[2], d = (gsize) weight->shape.dims[1];
  const CpuLayout layout = {
    .kind = CPU_LAYOUT_IMAGE_CONV, .n = (gsize) dims[1], .k = d * kernel * kernel, .taps = kernel * kernel,
    .width = builder->simd->lanes,
  };
  ImageConvStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->conv = (CpuImageConv){
    .height = (gsize) dims[2],
    .width = (gsize) dims[3],
    .d = d,
    .channels = (gsize) dims[1],
    .kernel = kernel,
    .x = cpu_builder_peek (builder, node->inputs[0]),
    .weights = cpu_builder_param (builder, node->inputs[1], &layout),
    .bias = cpu_builder_vector (builder, node->inputs[2], (gsize) dims[1], 1),
    .y = cpu_builder_peek (builder, id),
  };
  step->simd = builder->simd;
  cpu_builder_add_step (builder, run_image_conv, step, (gsize) (dims[0] * dims[2]));
}

const CpuOp cpu_op_depthwise_conv = { conv_supports, NULL, depthwise_prepare };
const CpuOp cpu_op_conv_to_image = { conv_supports, NULL, image_conv_prepare };
