/* cpu-linear.c — LINEAR, LINEAR_GEGLU and PATCHIFY: everything that is y = x Wᵀ + …
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include "core/base/dimr-i18n.h"

/* A task is a range of rows by a range of panels. */
typedef struct
{
  CpuProduct product;
  const CpuSimd *simd;
  gsize rows;
  gsize rows_per_task;
  gsize panels;
  gsize panels_per_task;
  gsize tasks_down;  /* tasks along the rows */
} ProductStep;

typedef struct
{
  const CpuSimd *simd;
  const CpuSlice *slices;
  gsize n_slices;
  gsize rows;
  gsize rows_per_task;
  gsize k;
  gpointer out;
} RoundStep;

static void
run_product (gconstpointer  data,
             gsize          task,
             guint          thread,
             GError       **error)
{
  const ProductStep *self = data;
  const gsize row = task % self->tasks_down * self->rows_per_task;
  const gsize panel = task / self->tasks_down * self->panels_per_task;

  self->simd->product (&self->product,
                       row, MIN (self->rows_per_task, self->rows - row),
                       panel, MIN (self->panels_per_task, self->panels - panel));
}

static void
run_round (gconstpointer  data,
           gsize          task,
           guint          thread,
           GError       **error)
{
  const RoundStep *self = data;
  const gsize row = task * self->rows_per_task;

  self->simd->round_bf16 (self->slices, self->n_slices, self->k, row,
                          MIN (self->rows_per_task, self->rows - row), self->out);
}

static gsize
divide (gsize a,
        gsize b)
{
  return (a + b - 1) / b;
}

/* Rows such that their part of A stays in the second-level cache (256 KiB of what is summed at a
 * time), then panels such that every thread finds some work; but no task below some ten
 * microseconds. */
static void
divide_product (ProductStep *self,
                guint        n_threads)
{
  const gsize tile = self->simd->tile_rows, macs = self->rows * self->product.n * self->product.k;
  gsize rows = 65536 / MIN (self->product.k, 256) / tile * tile, tasks;

  self->panels = divide (self->product.n, self->simd->panel);
  self->rows_per_task = MIN (CLAMP (rows, 4 * tile, 264 / tile * tile), MAX (self->rows, 1));
  self->tasks_down = divide (self->rows, self->rows_per_task);

  tasks = CLAMP (macs / 500000, 1, 4 * (gsize) n_threads);
  self->panels_per_task = divide (self->panels, MIN (divide (tasks, self->tasks_down), self->panels));
  if (n_threads == 1 || tasks == 1)
    self->panels_per_task = self->panels;
}

static gconstpointer
pack_weights (CpuBuilder              *builder,
              const CpuProductRequest *request,
              DimrNodeId               id)
{
  CpuLayout layout = {
    .kind = !request->bf16 ? CPU_LAYOUT_PANELS_F32
            : builder->simd->bf16_dot ? CPU_LAYOUT_PANELS_BF16_PAIRS : CPU_LAYOUT_PANELS_BF16,
    .n = request->n,
    .k = request->k,
    .width = builder->simd->panel,
    .stride = request->stride,
    .first = request->first,
  };

  return cpu_builder_param (builder, id, &layout);
}

void
cpu_builder_add_product (CpuBuilder              *self,
                         const CpuProductRequest *request)
{
  ProductStep *step = cpu_builder_alloc (self, sizeof *step);
  CpuProduct *product = &step->product;

  product->n = request->n;
  product->k = request->k;
  product->n_slices = request->n_slices;
  product->slices = request->slices;
  product->weights = pack_weights (self, request, request->weights);
  product->bias = cpu_builder_vector (self, request->bias, request->n, self->simd->panel);
  if (request->weights1 != DIMR_NODE_NONE)
    {
      product->weights1 = pack_weights (self, request, request->weights1);
      product->bias1 = cpu_builder_vector (self, request->bias1, request->n, self->simd->panel);
    }
  product->residual = request->residual;
  product->y = request->y;
  product->bf16 = request->bf16;
  step->simd = self->simd;
  step->rows = request->rows;

  if (request->bf16)
    {
      RoundStep *round = cpu_builder_alloc (self, sizeof *round);
      CpuSlice *rounded = cpu_builder_alloc (self, sizeof *rounded);

      round->simd = self->simd;
      round->slices = request->slices;
      round->n_slices = request->n_slices;
      round->rows = request->rows;
      round->k = product->k = divide (request->k, 2) * 2;
      round->rows_per_task = MAX (16384 / round->k, 1);
      round->out = request->rounded;
      cpu_builder_add_step (self, run_round, round, divide (round->rows, round->rows_per_task));

      *rounded = (CpuSlice){ request->rounded, round->k };
      product->slices = rounded;
      product->n_slices = 1;
    }
  divide_product (step, self->n_threads);
  cpu_builder_add_step (self, run_product, step, step->tasks_down * divide (step->panels, step->panels_per_task));
}

/* LINEAR (weight, bias, residual, x0, x1, …) */
#define FIRST_INPUT 3

static const char *
linear_supports (const DimrGraph *graph,
                 const DimrNode  *node)
{
  if (!cpu_is_param (graph, node->inputs[0]) || !cpu_is_param (graph, node->inputs[1]))
    return _("weights and biases that are computed");
  return NULL;
}

/* The rounded inputs side by side, as round_bf16() makes them. */
gsize
cpu_rounded_bytes (const CpuTarget *target,
                   gsize            rows,
                   gsize            k)
{
  if (target->precision != DIMR_PRECISION_BF16)
    return 0;
  return rows * divide (k, 2) * 2 * (target->simd->bf16_dot ? 2 : 4);
}

static gsize
linear_workspace (const CpuTarget *target,
                  const DimrGraph *graph,
                  const DimrNode  *node)
{
  return cpu_rounded_bytes (target, cpu_n_rows (node), cpu_n_channels (cpu_input (graph, node, 0)));
}

static void
linear_prepare (CpuBuilder     *builder,
                const DimrNode *node,
                DimrNodeId      id)
{
  const gsize n_slices = node->n_inputs - FIRST_INPUT;
  CpuSlice *slices = cpu_builder_alloc (builder, n_slices * sizeof *slices);
  CpuProductRequest request = {
    .rows = cpu_n_rows (node),
    .n = cpu_n_channels (node),
    .k = cpu_n_channels (cpu_input (builder->graph, node, 0)),
    .n_slices = n_slices,
    .slices = slices,
    .weights = node->inputs[0],
    .bias = node->inputs[1],
    .weights1 = DIMR_NODE_NONE,
    .residual = cpu_builder_peek (builder, node->inputs[2]),
    .y = cpu_builder_peek (builder, id),
    .bf16 = builder->precision == DIMR_PRECISION_BF16,
    .rounded = builder->workspace,
  };

  for (gsize i = 0; i < n_slices; i++)
    {
      slices[i].x = cpu_builder_peek (builder, node->inputs[FIRST_INPUT + i]);
      slices[i].k = cpu_n_channels (cpu_input (builder->graph, node, FIRST_INPUT + (guint) i));
    }
  cpu_builder_add_product (builder, &request);
}

static const char *
geglu_supports (const DimrGraph *graph,
                const DimrNode  *node)
{
  for (guint i = 0; i < 4; i++)
    if (!cpu_is_param (graph, node->inputs[i]))
      return _("weights and biases that are computed");
  return NULL;
}

static gsize
geglu_workspace (const CpuTarget *target,
                 const DimrGraph *graph,
                 const DimrNode  *node)
{
  return cpu_rounded_bytes (target, cpu_n_rows (node), cpu_n_channels (cpu_input (graph, node, 4)));
}

static void
geglu_prepare (CpuBuilder     *builder,
               const DimrNode *node,
               DimrNodeId      id)
{
  CpuSlice *slice = cpu_builder_alloc (builder, sizeof *slice);
  CpuProductRequest request = {
    .rows = cpu_n_rows (node),
    .n = cpu_n_channels (node),
    .k = cpu_n_channels (cpu_input (builder->graph, node, 4)),
    .n_slices = 1,
    .slices = slice,
    .weights = node->inputs[0],
    .bias = node->inputs[1],
    .weights1 = node->inputs[2],
    .bias1 = node->inputs[3],
    .y = cpu_builder_peek (builder, id),
    .bf16 = builder->precision == DIMR_PRECISION_BF16,
    .rounded = builder->workspace,
  };

  *slice = (CpuSlice){ cpu_builder_peek (builder, node->inputs[4]), request.k };
  cpu_builder_add_product (builder, &request);
}

/* PATCHIFY (x [B, C, H, W], weight [D, C, k, k], bias): each patch becomes a row, in the order of
 * a row of the weight. A task gathers one row of patches. */
typedef struct
{
  const float *x;
  gsize channels, height, width, patch;
  float *out; /* [B·H/k·W/k, C·k·k] */
} GatherStep;

static void
run_gather (gconstpointer  data,
            gsize          task,
            guint          thread,
            GError       **error)
{
  const GatherStep *self = data;
  const gsize patch = self->patch, rows = self->height / patch, columns = self->width / patch;
  const gsize image = task / rows, row = task % rows;
  float *out = self->out + task * columns * self->channels * patch * patch;

  for (gsize column = 0; column < columns; column++)
    for (gsize c = 0; c < self->channels; c++)
      for (gsize y = 0; y < patch; y++)
        {
          const float *in = self->x + ((image * self->channels + c) * self->height + row * patch + y) * self->width + column * patch;

          for (gsize x = 0; x < patch; x++)
            *out++ = in[x];
        }
}

void
cpu_builder_add_patches (CpuBuilder *self,
                         DimrNodeId  x,
                         gsize       patch,
                         float      *out)
{
  const gint64 *dims = dimr_graph_peek_node (self->graph, x)->shape.dims;
  GatherStep *step = cpu_builder_alloc (self, sizeof *step);

  *step = (GatherStep){ cpu_builder_peek (self, x), (gsize) dims[1], (gsize) dims[2], (gsize) dims[3], patch, out };
  cpu_builder_add_step (self, run_gather, step, (gsize) dims[0] * ((gsize) dims[2] / patch));
}

static const char *
patchify_supports (const DimrGraph *graph,
                   const DimrNode  *node)
{
  if (!cpu_is_param (graph, node->inputs[1]) || !cpu_is_param (graph, node->inputs[2]))
    return _("weights and biases that are computed");
  return NULL;
}

static gsize
patchify_workspace (const CpuTarget *target,
                    const DimrGraph *graph,
                    const DimrNode  *node)
{
  return dimr_shape_n_elements (&cpu_input (graph, node, 0)->shape) * sizeof (float);
}

static void
patchify_prepare (CpuBuilder     *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  const gint64 *x = cpu_input (builder->graph, node, 0)->shape.dims;
  const gsize patch = (gsize) cpu_input (builder->graph, node, 1)->shape.dims[2];
  CpuSlice *slice = cpu_builder_alloc (builder, sizeof *slice);
  CpuProductRequest request = {
    .rows = cpu_n_rows (node),
    .n = cpu_n_channels (node),
    .k = (gsize) x[1] * patch * patch,
    .n_slices = 1,
    .slices = slice,
    .weights = node->inputs[1],
    .bias = node->inputs[2],
    .weights1 = DIMR_NODE_NONE,
    .y = cpu_builder_peek (builder, id),
  };

  *slice = (CpuSlice){ builder->workspace, request.k };
  cpu_builder_add_patches (builder, node->inputs[0], patch, builder->workspace);
  cpu_builder_add_product (builder, &request);
}

const CpuOp cpu_op_linear = { linear_supports, linear_workspace, linear_prepare };
const CpuOp cpu_op_linear_geglu = { geglu_supports, geglu_workspace, geglu_prepare };
const CpuOp cpu_op_patchify = { patchify_supports, patchify_workspace, patchify_prepare };
