/* cpu-condition-grad.c — what the gradients of the ops of cpu-condition.c and cpu-ablation.c are made of:
 * SILU_GRAD, GELU_GRAD, GELU_TANH_GRAD, SUM_PRODUCTS, PAD_CHANNELS, ADA_RMS_NORM_GRAD and _SCALE_GRAD
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include <math.h>
#include <string.h>

/* Elements of a task, and channels that a sum takes at a time. */
#define GRAIN 16384
#define WIDTH 64

static gsize
divide (gsize a,
        gsize b)
{
  return (a + b - 1) / b;
}

/* SILU_GRAD, GELU_GRAD, GELU_TANH_GRAD (x, dy) */
typedef struct
{
  void (*run) (const float *x, const float *dy, float *y, gsize n);
  const float *x;
  const float *dy;
  float *y;
  gsize n;
} UnaryGradStep;

static void
run_unary_grad (gconstpointer  data,
                gsize          task,
                guint          thread,
                GError       **error)
{
  const UnaryGradStep *self = data;
  const gsize first = task * GRAIN;

  self->run (self->x + first, self->dy + first, self->y + first, MIN (GRAIN, self->n - first));
}

static void
unary_grad_prepare (CpuBuilder     *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  const CpuSimd *simd = builder->simd;
  UnaryGradStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (UnaryGradStep){
    node->op == DIMR_OP_SILU_GRAD ? simd->silu_grad : node->op == DIMR_OP_GELU_GRAD ? simd->gelu_grad : simd->gelu_tanh_grad,
    cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, node->inputs[1]),
    cpu_builder_peek (builder, id), dimr_shape_n_elements (&node->shape),
  };
  cpu_builder_add_step (builder, run_unary_grad, step, divide (step->n, GRAIN));
}

/* SUM_PRODUCTS (a, b): a task is some channels of one part. */
typedef struct
{
  const float *a;
  const float *b;
  float *y;
  gsize d;
  gsize rows;         /* of a part */
  gsize tasks_across;
} SumProductsStep;

static void
run_sum_products (gconstpointer  data,
                  gsize          task,
                  guint          thread,
                  GError       **error)
{
  const SumProductsStep *self = data;
  const gsize part = task / self->tasks_across, first = task % self->tasks_across * WIDTH, n = MIN (WIDTH, self->d - first);
  double sums[WIDTH] = { 0 };

  for (gsize r = 0; r < self->rows; r++)
    {
      const gsize at = (part * self->rows + r) * self->d + first;

      for (gsize i = 0; i < n; i++)
        sums[i] += (double) self->a[at + i] * self->b[at + i];
    }
  for (gsize i = 0; i < n; i++)
    self->y[part * self->d + first + i] = (float) sums[i];
}

static void
sum_products_prepare (CpuBuilder     *builder,
                      const DimrNode *node,
                      DimrNodeId      id)
{
  SumProductsStep *step = cpu_builder_alloc (builder, sizeof *step);
  const gsize parts = cpu_n_rows (node), d = cpu_n_channels (node);

  *step = (SumProductsStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, node->inputs[1]),
                             cpu_builder_peek (builder, id), d,
                             cpu_n_rows (cpu_input (builder->graph, node, 0)) / parts, divide (d, WIDTH) };
  cpu_builder_add_step (builder, run_sum_products, step, parts * step->tasks_across);
}

/* PAD_CHANNELS (x): a task is some rows. */
typedef struct
{
  const float *x;
  float *y;
  gsize rows, rows_per_task;
  gsize d;
  gsize start;
  gsize length;
} PadStep;

static void
run_pad (gconstpointer  data,
         gsize          task,
         guint          thread,
         GError       **error)
{
  const PadStep *self = data;
  const gsize end = self->start + self->d;

  for (gsize r = task * self->rows_per_task; r < MIN ((task + 1) * self->rows_per_task, self->rows); r++)
    {
      float *y = self->y + r * self->length;

      memset (y, 0, self->start * sizeof (float));
      memcpy (y + self->start, self->x + r * self->d, self->d * sizeof (float));
      memset (y + end, 0, (self->length - end) * sizeof (float));
    }
}

static void
pad_channels_prepare (CpuBuilder     *builder,
                      const DimrNode *node,
                      DimrNodeId      id)
{
  PadStep *step = cpu_builder_alloc (builder, sizeof *step);
  const gsize length = cpu_n_channels (node);

  *step = (PadStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id), cpu_n_rows (node),
                     MAX (GRAIN / length, 1), cpu_n_channels (cpu_input (builder->graph, node, 0)), node->attrs.start, length };
  cpu_builder_add_step (builder, run_pad, step, divide (step->rows, step->rows_per_task));
}

/* ADA_RMS_NORM_GRAD (x, scale, dy): a task is one row. ADA_RMS_NORM_SCALE_GRAD (x, dy): one row of the scale. */
typedef struct
{
  const float *x;
  const float *scale;
  const float *dy;
  float *y;
  gsize d;
  gsize m;
  gsize rows_per_image;
  double eps;
} AdaGradStep;

/* 1 / √(mean of x² + eps) */
static double
inverse_rms (const float *x,
             gsize        n,
             double       eps)
{
  double sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += (double) x[i] * x[i];
  return 1 / sqrt (sum / (double) n + eps);
}

/* With n = x · f: dx = f (s · dy − n · mean of (s · dy · n)), s = 1 + scale. */
static void
run_ada_grad (gconstpointer  data,
              gsize          row,
              guint          thread,
              GError       **error)
{
  const AdaGradStep *self = data;
  const gsize d = self->d, image = row / self->rows_per_image, place = row % self->rows_per_image % self->m;
  const float *x = self->x + row * d, *dy = self->dy + row * d, *scale = self->scale + (image * self->m + place) * d;
  const double f = inverse_rms (x, d, self->eps);
  double along = 0;

  for (gsize i = 0; i < d; i++)
    along += (1. + scale[i]) * dy[i] * x[i];
  along *= f * f / (double) d;
  for (gsize i = 0; i < d; i++)
    self->y[row * d + i] = (float) (f * ((1. + scale[i]) * dy[i] - along * x[i]));
}

static void
run_ada_scale_grad (gconstpointer  data,
                    gsize          task,
                    guint          thread,
                    GError       **error)
{
  const AdaGradStep *self = data;
  const gsize d = self->d, image = task / self->m;
  float *y = self->y + task * d;

  memset (y, 0, d * sizeof *y);
  for (gsize r = task % self->m; r < self->rows_per_image; r += self->m)
    {
      const gsize at = (image * self->rows_per_image + r) * d;
      const float f = (float) inverse_rms (self->x + at, d, self->eps);

      for (gsize i = 0; i < d; i++)
        y[i] += self->dy[at + i] * (self->x[at + i] * f);
    }
}

static void
ada_grad_prepare (CpuBuilder     *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  const gboolean of_scale = node->op == DIMR_OP_ADA_RMS_NORM_SCALE_GRAD;
  const DimrNode *x = cpu_input (builder->graph, node, 0);
  const gsize batch = (gsize) x->shape.dims[0];
  AdaGradStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (AdaGradStep){
    .x = cpu_builder_peek (builder, node->inputs[0]),
    .scale = of_scale ? NULL : cpu_builder_peek (builder, node->inputs[1]),
    .dy = cpu_builder_peek (builder, node->inputs[of_scale ? 1 : 2]),
    .y = cpu_builder_peek (builder, id),
    .d = cpu_n_channels (node),
    .m = of_scale ? node->attrs.length : (gsize) cpu_input (builder->graph, node, 1)->shape.dims[1],
    .rows_per_image = cpu_n_rows (x) / batch,
    .eps = node->attrs.eps,
  };
  cpu_builder_add_step (builder, of_scale ? run_ada_scale_grad : run_ada_grad, step,
                        of_scale ? batch * step->m : batch * step->rows_per_image);
}

const CpuOp cpu_op_unary_grad = { NULL, NULL, unary_grad_prepare };
const CpuOp cpu_op_sum_products = { NULL, NULL, sum_products_prepare };
const CpuOp cpu_op_pad_channels = { NULL, NULL, pad_channels_prepare };
const CpuOp cpu_op_ada_rms_norm_grad = { NULL, NULL, ada_grad_prepare };
const CpuOp cpu_op_ada_rms_norm_scale_grad = { NULL, NULL, ada_grad_prepare };
