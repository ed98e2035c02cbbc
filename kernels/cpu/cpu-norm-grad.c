/* cpu-norm-grad.c — gradients of RMS_NORM, LAYER_NORM and TIME_PARAM, and SUM_ROWS
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

/* Elements of a task. */
#define GRAIN 8192

static gsize
divide (gsize a,
        gsize b)
{
  return (a + b - 1) / b;
}

/* y[g] = Σ_p parts[g · n_parts + p]: a task is some columns of one group. */
typedef struct
{
  const float *parts;
  gsize n_parts;
  gsize d;
  gsize tasks_across;
  float *y;
} GatherStep;

static void
run_gather (gconstpointer  data,
            gsize          task,
            guint          thread,
            GError       **error)
{
  const GatherStep *self = data;
  const gsize group = task / self->tasks_across, first = task % self->tasks_across * GRAIN;
  const float *part = self->parts + group * self->n_parts * self->d;
  float *y = self->y + group * self->d;

  for (gsize i = first; i < MIN (first + GRAIN, self->d); i++)
    y[i] = part[i];
  for (gsize p = 1; p < self->n_parts; p++)
    for (gsize i = first; i < MIN (first + GRAIN, self->d); i++)
      y[i] += part[p * self->d + i];
}

void
cpu_builder_add_gather (CpuBuilder  *self,
                        const float *parts,
                        gsize        n_parts,
                        gsize        n_groups,
                        gsize        d,
                        float       *y)
{
  GatherStep *step = cpu_builder_alloc (self, sizeof *step);

  *step = (GatherStep){ parts, n_parts, d, divide (d, GRAIN), y };
  cpu_builder_add_step (self, run_gather, step, n_groups * step->tasks_across);
}

/* Sums over the rows of each group, in parts: how many depends on the shape alone. A long sum in
 * float that is made of short ones also rounds less. */
#define ROWS_PER_PART 512

typedef struct
{
  CpuNormGrad norm;     /* SUM_ROWS uses only dy and d */
  void (*run) (const CpuNormGrad *self, gsize row, gsize n_rows, float *y);
  const CpuSimd *simd;
  gsize rows_per_group;
  gsize n_parts;        /* of a group */
  float *parts;         /* [n_groups · n_parts][d]: y itself where a group is one part */
} SumStep;

static void
run_sum (gconstpointer  data,
         gsize          task,
         guint          thread,
         GError       **error)
{
  const SumStep *self = data;
  const gsize first = task % self->n_parts * ROWS_PER_PART;
  const gsize row = task / self->n_parts * self->rows_per_group + first;
  const gsize n_rows = MIN (ROWS_PER_PART, self->rows_per_group - first);
  float *y = self->parts + task * self->norm.d;

  if (self->run != NULL)
    self->run (&self->norm, row, n_rows, y);
  else
    self->simd->sum_rows (self->norm.dy + row * self->norm.d, self->norm.d, n_rows, y);
}

static gsize
sum_workspace (const CpuTarget *target,
               const DimrGraph *graph,
               const DimrNode  *node)
{
  const gsize groups = cpu_n_rows (node), d = cpu_n_channels (node);
  const gsize rows = dimr_shape_n_elements (&cpu_input (graph, node, 0)->shape) / cpu_n_channels (cpu_input (graph, node, 0));
  const gsize n_parts = divide (rows / groups, ROWS_PER_PART);

  return n_parts > 1 ? groups * n_parts * d * sizeof (float) : 0;
}

/* The inputs [first, n) of @node that lie side by side. */
static void
fill_slices (CpuBuilder     *builder,
             const DimrNode *node,
             guint           first,
             guint           n,
             CpuNormGrad    *norm)
{
  CpuSlice *slices = cpu_builder_alloc (builder, MAX (n - first, 1) * sizeof *slices);

  for (guint i = first; i < n; i++)
    {
      slices[i - first].x = cpu_builder_peek (builder, node->inputs[i]);
      slices[i - first].k = cpu_n_channels (cpu_input (builder->graph, node, i));
    }
  norm->slices = slices;
  norm->n_slices = n - first;
}

static void
sum_prepare (CpuBuilder     *builder,
             const DimrNode *node,
             DimrNodeId      id)
{
  const gsize groups = cpu_n_rows (node), rows = cpu_n_rows (cpu_input (builder->graph, node, 0));
  SumStep *step = cpu_builder_alloc (builder, sizeof *step);
  float *y = cpu_builder_peek (builder, id);
  guint dy = 0;

  step->simd = builder->simd;
  if (node->op == DIMR_OP_RMS_NORM_SCALE_GRAD)
    {
      dy = 1;
      step->run = builder->simd->rms_norm_scale_grad;
      fill_slices (builder, node, 0, 1, &step->norm);
    }
  else if (node->op == DIMR_OP_LAYER_NORM_WEIGHT_GRAD)
    {
      step->run = builder->simd->layer_norm_weight_grad;
      fill_slices (builder, node, 1, node->n_inputs, &step->norm);
    }
  step->norm.d = cpu_n_channels (node);
  step->norm.eps = node->attrs.eps;
  step->norm.dy = cpu_builder_peek (builder, node->inputs[dy]);
  step->rows_per_group = rows / groups;
  step->n_parts = divide (step->rows_per_group, ROWS_PER_PART);
  step->parts = step->n_parts > 1 ? builder->workspace : y;
  cpu_builder_add_step (builder, run_sum, step, groups * step->n_parts);
  if (step->n_parts > 1)
    cpu_builder_add_gather (builder, step->parts, step->n_parts, groups, step->norm.d, y);
}

/* RMS_NORM_GRAD (x, scale, dy, residual) and LAYER_NORM_GRAD (weight, dy, x0, x1, …) */
typedef struct
{
  CpuNormGrad norm;
  void (*run) (const CpuNormGrad *self, gsize row, gsize n_rows);
  gsize rows;
  gsize rows_per_task;
} NormGradStep;

static void
run_norm_grad (gconstpointer  data,
               gsize          task,
               guint          thread,
               GError       **error)
{
  const NormGradStep *self = data;
  const gsize row = task * self->rows_per_task;

  self->run (&self->norm, row, MIN (self->rows_per_task, self->rows - row));
}

static void
norm_grad_prepare (CpuBuilder     *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  const gboolean is_rms = node->op == DIMR_OP_RMS_NORM_GRAD;
  const DimrNodeId scale = node->inputs[is_rms ? 1 : 0];
  NormGradStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->rows = cpu_n_rows (node);
  step->norm = (CpuNormGrad){
    .d = cpu_n_channels (node),
    .rows_per_time = scale != DIMR_NODE_NONE ? step->rows / (gsize) cpu_input (builder->graph, node, is_rms ? 1 : 0)->shape.dims[0]
                                             : step->rows,
    .eps = node->attrs.eps,
    .scale = scale != DIMR_NODE_NONE ? cpu_builder_peek (builder, scale) : cpu_builder_add_ones (builder, cpu_n_channels (node)),
    .dy = cpu_builder_peek (builder, node->inputs[is_rms ? 2 : 1]),
    .residual = is_rms ? cpu_builder_peek (builder, node->inputs[3]) : NULL,
    .dx = cpu_builder_peek (builder, id),
  };
  fill_slices (builder, node, is_rms ? 0 : 2, is_rms ? 1 : node->n_inputs, &step->norm);
  step->run = is_rms ? builder->simd->rms_norm_grad : builder->simd->layer_norm_grad;
  step->rows_per_task = MAX (GRAIN / step->norm.d, 1);
  cpu_builder_add_step (builder, run_norm_grad, step, divide (step->rows, step->rows_per_task));
}

/* TIME_PARAM_GRAD (dy, log_snr, param0, param1, weight, bias) */
typedef struct
{
  CpuTimeParamGrad grad;
  const CpuSimd *simd;
} TimeParamGradStep;

static void
run_time_param_grad (gconstpointer  data,
                     gsize          task,
                     guint          thread,
                     GError       **error)
{
  const TimeParamGradStep *self = data;

  self->simd->time_param_grad (&self->grad);
}

static void
time_param_grad_prepare (CpuBuilder     *builder,
                         const DimrNode *node,
                         DimrNodeId      id)
{
  TimeParamGradStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->grad = (CpuTimeParamGrad){
    .param = {
      .d = cpu_n_channels (node),
      .log_snr = cpu_builder_peek (builder, node->inputs[1]),
      .param0 = cpu_builder_peek (builder, node->inputs[2]),
      .param1 = cpu_builder_peek (builder, node->inputs[3]),
      .weight = cpu_builder_peek (builder, node->inputs[4]),
      .bias = cpu_builder_peek (builder, node->inputs[5]),
    },
    .n_times = cpu_n_rows (cpu_input (builder->graph, node, 0)),
    .dy = cpu_builder_peek (builder, node->inputs[0]),
    .y = cpu_builder_peek (builder, id),
  };
  step->simd = builder->simd;
  cpu_builder_add_step (builder, run_time_param_grad, step, 1);
}

const CpuOp cpu_op_sum_rows = { NULL, sum_workspace, sum_prepare };
const CpuOp cpu_op_rms_norm_scale_grad = { NULL, sum_workspace, sum_prepare };
const CpuOp cpu_op_layer_norm_weight_grad = { NULL, sum_workspace, sum_prepare };
const CpuOp cpu_op_rms_norm_grad = { NULL, NULL, norm_grad_prepare };
const CpuOp cpu_op_layer_norm_grad = { NULL, NULL, norm_grad_prepare };
const CpuOp cpu_op_time_param_grad = { NULL, NULL, time_param_grad_prepare };
