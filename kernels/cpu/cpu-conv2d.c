/* cpu-conv2d.c — CONV2D: bands of rows, each packed once by the thread that needs it
 *
 * The group norm and SiLU before a convolution, the rounding to bfloat16 and the zeros around the
 * map are made while a band is packed, so none of them costs a pass over memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include "core/base/dimr-i18n.h"

#define STATS 4   /* the first slot of the norm */

/* A task is a band of rows by a range of panels. */
typedef struct
{
  CpuConv2d conv;
  const CpuSimd *simd;
  float *scratch;       /* [threads][scratch_size] */
  gsize scratch_size;
  gsize rows;           /* of an image: output rows, with upsampling those of the small map */
  gsize rows_per_task;
  gsize tasks_down;     /* of an image */
  gsize panels;
  gsize panels_per_task;
  gsize tasks_across;
} ConvStep;

static gsize
divide (gsize a,
        gsize b)
{
  return (a + b - 1) / b;
}

static void
run_conv (gconstpointer  data,
          gsize          task,
          guint          thread,
          GError       **error)
{
  const ConvStep *self = data;
  const gsize panel = task % self->tasks_across * self->panels_per_task, strip = task / self->tasks_across;
  const gsize row = strip % self->tasks_down * self->rows_per_task;

  self->simd->conv2d (&self->conv, strip / self->tasks_down, row, MIN (self->rows_per_task, self->rows - row),
                      panel, MIN (self->panels_per_task, self->panels - panel),
                      self->scratch + thread * self->scratch_size);
}

/* Everything about the shapes. */
static void
describe (CpuConv2d       *conv,
          DimrPrecision    precision,
          const DimrGraph *graph,
          const DimrNode  *node)
{
  const gint64 *x = cpu_input (graph, node, 0)->shape.dims, *y = node->shape.dims;

  conv->height = (gsize) x[1];
  conv->width = (gsize) x[2];
  conv->d = (gsize) x[3];
  conv->out_height = (gsize) y[1];
  conv->out_width = (gsize) y[2];
  conv->n = (gsize) y[3];
  conv->kernel = (gsize) cpu_input (graph, node, 1)->shape.dims[2];
  conv->stride = node->attrs.stride;
  conv->pad_before = node->attrs.pad_before;
  conv->pad_after = node->attrs.pad_after;
  conv->n_phases = node->attrs.factor == 2 ? 4 : 1;
  conv->bf16 = precision == DIMR_PRECISION_BF16;
}

/* Bands that stay in the second-level cache together with a panel, and are large enough for the rows that
 * two of them share not to matter; all threads find work. */
static void
divide_conv (ConvStep      *self,
             const CpuSimd *simd,
             guint          n_threads,
             gsize          batch)
{
  gsize rows, tasks;

  self->rows = self->conv.n_phases > 1 ? self->conv.height : self->conv.out_height;
  rows = MIN (8, MAX (self->rows * batch / (2 * n_threads), 1));
  while (rows > 2 && simd->conv2d_scratch (&self->conv, rows) > 96 * 1024)
    rows--;
  self->rows_per_task = MIN (rows, self->rows);
  self->tasks_down = divide (self->rows, self->rows_per_task);
  self->panels = divide (self->conv.n, simd->panel);
  tasks = batch * self->tasks_down;
  self->panels_per_task = tasks >= n_threads ? self->panels : divide (self->panels, divide (n_threads, tasks));
  self->tasks_across = divide (self->panels, self->panels_per_task);
  /* Whole cache lines. */
  self->scratch_size = (simd->conv2d_scratch (&self->conv, self->rows_per_task) + 15) / 16 * 16;
}

/* Floats of the scale and the shift of a norm, each a multiple of a cache line. */
static gsize
affine_size (const DimrNode *node,
             gsize           d)
{
  return node->n_inputs > STATS ? ((gsize) node->shape.dims[0] * d + 15) / 16 * 16 : 0;
}

static const char *
conv_supports (const DimrGraph *graph,
               const DimrNode  *node)
{
  if (!cpu_is_param (graph, node->inputs[1]) || !cpu_is_param (graph, node->inputs[2]))
    return _("weights and biases that are computed");
  if (node->attrs.factor > 1 && (node->attrs.factor != 2 || node->attrs.stride != 1 || node->attrs.pad_before != 1 ||
                                 node->attrs.pad_after != 1 || cpu_input (graph, node, 1)->shape.dims[2] != 3))
    return _("upsampling other than ×2 before a 3 × 3 kernel");
  return NULL;
}

static gsize
conv_workspace (const CpuTarget *target,
                const DimrGraph *graph,
                const DimrNode  *node)
{
  ConvStep step = { .simd = target->simd };

  describe (&step.conv, target->precision, graph, node);
  divide_conv (&step, target->simd, target->n_threads, (gsize) node->shape.dims[0]);
  return (2 * affine_size (node, step.conv.d) + target->n_threads * step.scratch_size) * sizeof (float);
}

static void
conv_prepare (CpuBuilder     *builder,
              const DimrNode *node,
              DimrNodeId      id)
{
  ConvStep *step = cpu_builder_alloc (builder, sizeof *step);
  CpuConv2d *conv = &step->conv;
  const gsize batch = (gsize) node->shape.dims[0];
  CpuLayout layout;

  describe (conv, builder->precision, builder->graph, node);
  divide_conv (step, builder->simd, builder->n_threads, batch);
  layout = (CpuLayout){
    .kind = !conv->bf16 ? CPU_LAYOUT_PANELS_F32
            : builder->simd->bf16_dot ? CPU_LAYOUT_PANELS_BF16_PAIRS : CPU_LAYOUT_PANELS_BF16,
    .n = conv->n,
    .k = conv->d * conv->kernel * conv->kernel,
    .taps = conv->kernel * conv->kernel,
    .width = builder->simd->panel,
  };
  for (guint i = 0; i < conv->n_phases; i++)
    {
      layout.phase = conv->n_phases > 1 ? 1 + i : 0;
      conv->weights[i] = cpu_builder_param (builder, node->inputs[1], &layout);
    }
  conv->bias = cpu_builder_vector (builder, node->inputs[2], conv->n, builder->simd->panel);
  conv->x = cpu_builder_peek (builder, node->inputs[0]);
  conv->residual = cpu_builder_peek (builder, node->inputs[3]);
  conv->y = cpu_builder_peek (builder, id);

  step->simd = builder->simd;
  step->scratch = (float *) builder->workspace + 2 * affine_size (node, conv->d);
  if (node->n_inputs > STATS)
    {
      float *scale = builder->workspace, *shift = scale + affine_size (node, conv->d);

      cpu_builder_add_group_affine (builder, node, STATS, scale, shift);
      conv->scale = scale;
      conv->shift = shift;
      conv->silu = node->attrs.silu;
    }
  cpu_builder_add_step (builder, run_conv, step, batch * step->tasks_down * step->tasks_across);
}

const CpuOp cpu_op_conv2d = { conv_supports, conv_workspace, conv_prepare };
