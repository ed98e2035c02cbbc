/* cpu-norm.c — RMS_NORM, LAYER_NORM and TIME_PARAM
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

/* Elements below which a second thread costs more than it helps. */
#define GRAIN 8192

typedef struct
{
  CpuNorm norm;
  void (*run) (const CpuNorm *self, gsize row, gsize n_rows);
  gsize rows;
  gsize rows_per_task;
} NormStep;

static void
run_norm (gconstpointer  data,
          gsize          task,
          guint          thread,
          GError       **error)
{
  const NormStep *self = data;
  const gsize row = task * self->rows_per_task;

  self->run (&self->norm, row, MIN (self->rows_per_task, self->rows - row));
}

static void
add_norm (CpuBuilder     *builder,
          const DimrNode *node,
          DimrNodeId      id,
          DimrNodeId      scale,
          DimrNodeId      bias,
          guint           first_slice)
{
  const gsize rows = cpu_n_rows (node), n_slices = node->n_inputs - first_slice;
  const gsize times = scale != DIMR_NODE_NONE ? (gsize) dimr_graph_peek_node (builder->graph, scale)->shape.dims[0] : 1;
  CpuSlice *slices = cpu_builder_alloc (builder, n_slices * sizeof *slices);
  NormStep *step = cpu_builder_alloc (builder, sizeof *step);

  for (gsize i = 0; i < n_slices; i++)
    {
      slices[i].x = cpu_builder_peek (builder, node->inputs[first_slice + i]);
      slices[i].k = cpu_n_channels (cpu_input (builder->graph, node, first_slice + (guint) i));
    }
  step->norm = (CpuNorm){
    .d = cpu_n_channels (node),
    .rows_per_time = rows / times,
    .eps = node->attrs.eps,
    .n_slices = n_slices,
    .slices = slices,
    .scale = scale != DIMR_NODE_NONE ? cpu_builder_peek (builder, scale) : cpu_builder_add_ones (builder, cpu_n_channels (node)),
    .bias = cpu_builder_peek (builder, bias),
    .y = cpu_builder_peek (builder, id),
  };
  if (node->op == DIMR_OP_LAYER_NORM && bias == DIMR_NODE_NONE)
    step->norm.bias = cpu_builder_alloc (builder, step->norm.d * sizeof (float));
  step->run = node->op == DIMR_OP_RMS_NORM ? builder->simd->rms_norm : builder->simd->layer_norm;
  step->rows = rows;
  step->rows_per_task = MAX (GRAIN / step->norm.d, 1);
  cpu_builder_add_step (builder, run_norm, step, (rows + step->rows_per_task - 1) / step->rows_per_task);
}

/* RMS_NORM (x, scale) */
static void
rms_norm_prepare (CpuBuilder     *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  /* The list of slices ends where the scale begins. */
  DimrNode alone = *node;

  alone.n_inputs = 1;
  add_norm (builder, &alone, id, node->inputs[1], DIMR_NODE_NONE, 0);
}

/* LAYER_NORM (weight, bias, x0, x1, …); without weight and bias it multiplies by ones and adds zeros. */
static void
layer_norm_prepare (CpuBuilder     *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  add_norm (builder, node, id, node->inputs[0], node->inputs[1], 2);
}

/* TIME_PARAM (log_snr, param0, param1, weight, bias) */
typedef struct
{
  CpuTimeParam param;
  const CpuSimd *simd;
  gsize rows;
} TimeParamStep;

static void
run_time_param (gconstpointer  data,
                gsize          task,
                guint          thread,
                GError       **error)
{
  const TimeParamStep *self = data;

  self->simd->time_param (&self->param, 0, self->rows);
}

static void
time_param_prepare (CpuBuilder     *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  TimeParamStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->param = (CpuTimeParam){
    .d = cpu_n_channels (node),
    .log_snr = cpu_builder_peek (builder, node->inputs[0]),
    .param0 = cpu_builder_peek (builder, node->inputs[1]),
    .param1 = cpu_builder_peek (builder, node->inputs[2]),
    .weight = cpu_builder_peek (builder, node->inputs[3]),
    .bias = cpu_builder_peek (builder, node->inputs[4]),
    .y = cpu_builder_peek (builder, id),
  };
  step->simd = builder->simd;
  step->rows = cpu_n_rows (node);
  cpu_builder_add_step (builder, run_time_param, step, 1);
}

const CpuOp cpu_op_rms_norm = { NULL, NULL, rms_norm_prepare };
const CpuOp cpu_op_layer_norm = { NULL, NULL, layer_norm_prepare };
const CpuOp cpu_op_time_param = { NULL, NULL, time_param_prepare };
