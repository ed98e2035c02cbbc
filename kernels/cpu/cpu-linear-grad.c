/* cpu-linear-grad.c — LINEAR_INPUT_GRAD and LINEAR_WEIGHT_GRAD: the products of a backward pass
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

/* LINEAR_INPUT_GRAD (weight [N, K], residual, dy): a product with columns of the weight packed as
 * if they were rows. */
static const char *
input_grad_supports (const DimrGraph *graph,
                     const DimrNode  *node)
{
  return cpu_is_param (graph, node->inputs[0]) ? NULL : _("weights that are computed");
}

static gsize
input_grad_workspace (const CpuTarget *target,
                      const DimrGraph *graph,
                      const DimrNode  *node)
{
  return cpu_rounded_bytes (target, cpu_n_rows (node), cpu_n_channels (cpu_input (graph, node, 2)));
}

static void
input_grad_prepare (CpuBuilder     *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  CpuSlice *slice = cpu_builder_alloc (builder, sizeof *slice);
  CpuProductRequest request = {
    .rows = cpu_n_rows (node),
    .n = cpu_n_channels (node),
    .k = cpu_n_channels (cpu_input (builder->graph, node, 2)),
    .n_slices = 1,
    .slices = slice,
    .weights = node->inputs[0],
    .stride = cpu_n_channels (cpu_input (builder->graph, node, 0)),
    .first = node->attrs.start,
    .bias = DIMR_NODE_NONE,
    .weights1 = DIMR_NODE_NONE,
    .residual = cpu_builder_peek (builder, node->inputs[1]),
    .y = cpu_builder_peek (builder, id),
    .bf16 = builder->precision == DIMR_PRECISION_BF16,
    .rounded = builder->workspace,
  };

  *slice = (CpuSlice){ cpu_builder_peek (builder, node->inputs[2]), request.k };
  cpu_builder_add_product (builder, &request);
}

/* LINEAR_WEIGHT_GRAD (dy, x0, x1, …): a task sums some columns of the result over a part of the
 * rows. How many parts there are depends on the shape alone, so the sum does not depend on threads. */
typedef struct
{
  CpuWeightGrad grad;
  const CpuSimd *simd;
  gsize rows;
  gsize n_parts;
  gsize rows_per_part;
  gsize panels;
  gsize panels_per_task;
  gsize tasks_across;
  float *parts;        /* [n_parts][n, k]: y itself where there is one */
  float *scratch;      /* [threads][scratch_size] */
  gsize scratch_size;
  gsize pack_rows;     /* of a task of the step before, in bfloat16; even */
} WeightGradStep;

static void
run_pack (gconstpointer  data,
          gsize          task,
          guint          thread,
          GError       **error)
{
  const WeightGradStep *self = data;
  const gsize row = task * self->pack_rows;

  self->simd->weight_grad_pack (&self->grad, row, MIN (self->pack_rows, self->rows - row));
}

static void
run_weight_grad (gconstpointer  data,
                 gsize          task,
                 guint          thread,
                 GError       **error)
{
  const WeightGradStep *self = data;
  const gsize part = task / self->tasks_across, panel = task % self->tasks_across * self->panels_per_task;
  const gsize row = part * self->rows_per_part;

  self->simd->weight_grad (&self->grad, row, MIN (self->rows_per_part, self->rows - row),
                           panel, MIN (self->panels_per_task, self->panels - panel),
                           self->scratch + thread * self->scratch_size,
                           self->parts + part * self->grad.n * self->grad.k);
}

#define MIN_PART_ROWS 2048
#define MAX_PARTS 16
#define WANTED_TASKS 32
#define MAX_PANELS 4 /* of a task: their part of x is to stay in the second-level cache */

/* Everything but pointers. */
static void
plan_weight_grad (WeightGradStep  *self,
                  const CpuSimd   *simd,
                  DimrPrecision    precision,
                  const DimrGraph *graph,
                  const DimrNode  *node)
{
  const DimrNode *dy = cpu_input (graph, node, 0);

  self->simd = simd;
  self->grad.n = cpu_n_channels (dy);
  self->grad.k = cpu_n_channels (node);
  self->grad.n_slices = node->n_inputs - 1;
  self->grad.bf16 = precision == DIMR_PRECISION_BF16;
  self->rows = cpu_n_rows (dy);
  self->rows_per_part = divide (divide (self->rows, CLAMP (self->rows / MIN_PART_ROWS, 1, MAX_PARTS)), 2) * 2;
  self->pack_rows = MAX (16384 / self->grad.n, 1) * 2;
  self->n_parts = divide (self->rows, self->rows_per_part);
  self->panels = divide (self->grad.k, simd->panel);
  self->panels_per_task = CLAMP (self->panels * self->n_parts / WANTED_TASKS, 1, MAX_PANELS);
  self->tasks_across = divide (self->panels, self->panels_per_task);
  self->scratch_size = divide (simd->weight_grad_scratch (&self->grad, self->panels_per_task), 16) * 16;
}

static gsize
parts_size (const WeightGradStep *self)
{
  return self->n_parts > 1 ? divide (self->n_parts * self->grad.n * self->grad.k, 16) * 16 : 0;
}

static gsize
weight_grad_workspace (const CpuTarget *target,
                       const DimrGraph *graph,
                       const DimrNode  *node)
{
  WeightGradStep step = { 0 };

  plan_weight_grad (&step, target->simd, target->precision, graph, node);
  return (parts_size (&step) + target->n_threads * step.scratch_size) * sizeof (float) +
         (step.grad.bf16 ? target->simd->weight_grad_packed (&step.grad, step.rows) : 0);
}

static void
weight_grad_prepare (CpuBuilder     *builder,
                     const DimrNode *node,
                     DimrNodeId      id)
{
  WeightGradStep *step = cpu_builder_alloc (builder, sizeof *step);
  CpuSlice *slices = cpu_builder_alloc (builder, (node->n_inputs - 1) * sizeof *slices);
  float *y = cpu_builder_peek (builder, id);

  plan_weight_grad (step, builder->simd, builder->precision, builder->graph, node);
  for (guint i = 1; i < node->n_inputs; i++)
    {
      slices[i - 1].x = cpu_builder_peek (builder, node->inputs[i]);
      slices[i - 1].k = cpu_n_channels (cpu_input (builder->graph, node, i));
    }
  step->grad.slices = slices;
  step->grad.dy = cpu_builder_peek (builder, node->inputs[0]);
  step->parts = step->n_parts > 1 ? builder->workspace : y;
  step->scratch = (float *) builder->workspace + parts_size (step);
  if (step->grad.bf16)
    {
      step->grad.packed = step->scratch + builder->n_threads * step->scratch_size;
      cpu_builder_add_step (builder, run_pack, step, divide (step->rows, step->pack_rows));
    }
  cpu_builder_add_step (builder, run_weight_grad, step, step->n_parts * step->tasks_across);
  if (step->n_parts > 1)
    cpu_builder_add_gather (builder, step->parts, step->n_parts, 1, step->grad.n * step->grad.k, y);
}

const CpuOp cpu_op_linear_input_grad = { input_grad_supports, input_grad_workspace, input_grad_prepare };
const CpuOp cpu_op_linear_weight_grad = { NULL, weight_grad_workspace, weight_grad_prepare };
