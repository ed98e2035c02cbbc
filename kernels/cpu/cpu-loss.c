/* cpu-loss.c — where a backward pass begins and ends: MEAN_SQUARE and CROSS_ENTROPY with their
 * gradients, GEGLU_GRAD, and the tables' gradients, POSITION_GRAD and EMBEDDING_GRAD
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <math.h>
#include <string.h>

/* Elements of a task. */
#define GRAIN 16384

/* MEAN_SQUARE and MEAN_SQUARE_GRAD: a task is one sample. */
typedef struct
{
  const float *a;
  const float *b;
  const float *dy;  /* [B]; NULL for MEAN_SQUARE */
  float *y;
  gsize n;          /* numbers of a sample */
} SquareStep;

static void
run_mean_square (gconstpointer  data,
                 gsize          sample,
                 guint          thread,
                 GError       **error)
{
  const SquareStep *self = data;
  const float *a = self->a + sample * self->n, *b = self->b + sample * self->n;
  double sum = 0;

  for (gsize i = 0; i < self->n; i++)
    sum += ((double) a[i] - (double) b[i]) * ((double) a[i] - (double) b[i]);
  self->y[sample] = (float) (sum / (double) self->n);
}

static void
run_mean_square_grad (gconstpointer  data,
                      gsize          sample,
                      guint          thread,
                      GError       **error)
{
  const SquareStep *self = data;
  const float *a = self->a + sample * self->n, *b = self->b + sample * self->n;
  const float slope = (float) (2. / (double) self->n * (double) self->dy[sample]);
  float *y = self->y + sample * self->n;

  for (gsize i = 0; i < self->n; i++)
    y[i] = slope * (a[i] - b[i]);
}

static void
mean_square_prepare (CpuBuilder     *builder,
                     const DimrNode *node,
                     DimrNodeId      id)
{
  const DimrShape *in = &cpu_input (builder->graph, node, 0)->shape;
  const gboolean is_grad = node->op == DIMR_OP_MEAN_SQUARE_GRAD;
  SquareStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (SquareStep){
    .a = cpu_builder_peek (builder, node->inputs[0]),
    .b = cpu_builder_peek (builder, node->inputs[1]),
    .dy = is_grad ? cpu_builder_peek (builder, node->inputs[2]) : NULL,
    .y = cpu_builder_peek (builder, id),
    .n = dimr_shape_n_elements (in) / (gsize) in->dims[0],
  };
  cpu_builder_add_step (builder, is_grad ? run_mean_square_grad : run_mean_square, step, (gsize) in->dims[0]);
}

/* CROSS_ENTROPY and CROSS_ENTROPY_GRAD: a task is one sample. In double: classes are few beside what made them. */
typedef struct
{
  const float *x;
  const float *target;
  const float *dy;  /* [B]; NULL for CROSS_ENTROPY */
  float *y;
  gsize n;          /* classes */
} EntropyStep;

/* log Σ e^x, without overflow */
static double
log_sum_exp (const float *x,
             gsize        n)
{
  float top = x[0];
  double sum = 0;

  for (gsize i = 1; i < n; i++)
    top = MAX (top, x[i]);
  for (gsize i = 0; i < n; i++)
    sum += exp ((double) x[i] - (double) top);
  return (double) top + log (sum);
}

static void
run_cross_entropy (gconstpointer  data,
                   gsize          sample,
                   guint          thread,
                   GError       **error)
{
  const EntropyStep *self = data;
  const float *x = self->x + sample * self->n, *target = self->target + sample * self->n;
  const double norm = log_sum_exp (x, self->n);
  double sum = 0;

  for (gsize i = 0; i < self->n; i++)
    sum += (double) target[i] * (norm - (double) x[i]);
  self->y[sample] = (float) sum;
}

static void
run_cross_entropy_grad (gconstpointer  data,
                        gsize          sample,
                        guint          thread,
                        GError       **error)
{
  const EntropyStep *self = data;
  const float *x = self->x + sample * self->n, *target = self->target + sample * self->n;
  const double norm = log_sum_exp (x, self->n), dy = (double) self->dy[sample];
  float *y = self->y + sample * self->n;
  double mass = 0;

  for (gsize i = 0; i < self->n; i++)
    mass += (double) target[i];
  for (gsize i = 0; i < self->n; i++)
    y[i] = (float) (dy * (mass * exp ((double) x[i] - norm) - (double) target[i]));
}

static void
cross_entropy_prepare (CpuBuilder     *builder,
                       const DimrNode *node,
                       DimrNodeId      id)
{
  const DimrShape *in = &cpu_input (builder->graph, node, 0)->shape;
  const gboolean is_grad = node->op == DIMR_OP_CROSS_ENTROPY_GRAD;
  EntropyStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (EntropyStep){
    .x = cpu_builder_peek (builder, node->inputs[0]),
    .target = cpu_builder_peek (builder, node->inputs[1]),
    .dy = is_grad ? cpu_builder_peek (builder, node->inputs[2]) : NULL,
    .y = cpu_builder_peek (builder, id),
    .n = (gsize) in->dims[1],
  };
  cpu_builder_add_step (builder, is_grad ? run_cross_entropy_grad : run_cross_entropy, step, (gsize) in->dims[0]);
}

/* GEGLU_GRAD (a, b, dy) */
typedef struct
{
  const CpuSimd *simd;
  const float *a;
  const float *b;
  const float *dy;
  float *y;
  gsize n;
} GateStep;

static void
run_gate (gconstpointer  data,
          gsize          task,
          guint          thread,
          GError       **error)
{
  const GateStep *self = data;
  const gsize first = task * GRAIN;

  self->simd->geglu_grad (self->a + first, self->b + first, self->dy + first, self->y + first, MIN (GRAIN, self->n - first));
}

static void
geglu_grad_prepare (CpuBuilder     *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  GateStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (GateStep){
    builder->simd, cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, node->inputs[1]),
    cpu_builder_peek (builder, node->inputs[2]), cpu_builder_peek (builder, id), dimr_shape_n_elements (&node->shape),
  };
  cpu_builder_add_step (builder, run_gate, step, (step->n + GRAIN - 1) / GRAIN);
}

/* POSITION_GRAD: a task is one row of the table's grid. */
typedef struct
{
  const CpuSimd *simd;
  const float *dy;
  float *y;
  gsize batch, height, width, d;
  gsize grid_width;
  gsize rows;       /* of the table */
} PositionGradStep;

static void
run_position_grad (gconstpointer  data,
                   gsize          h,
                   guint          thread,
                   GError       **error)
{
  const PositionGradStep *self = data;
  const gsize line = self->width * self->d, first = h * self->grid_width;
  const gsize n = MIN (self->grid_width, self->rows - first) * self->d;
  float *y = self->y + first * self->d;

  memset (y, 0, n * sizeof *y);
  if (h < self->height)
    for (gsize b = 0; b < self->batch; b++)
      self->simd->add (y, self->dy + (b * self->height + h) * line, y, line);
}

static void
position_grad_prepare (CpuBuilder     *builder,
                       const DimrNode *node,
                       DimrNodeId      id)
{
  const gint64 *dims = cpu_input (builder->graph, node, 0)->shape.dims;
  PositionGradStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (PositionGradStep){
    builder->simd, cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id),
    (gsize) dims[0], (gsize) dims[1], (gsize) dims[2], (gsize) dims[3], node->attrs.width, node->attrs.length,
  };
  cpu_builder_add_step (builder, run_position_grad, step, (step->rows + step->grid_width - 1) / step->grid_width);
}

/* EMBEDDING_GRAD (dy, index): samples of one class are summed in their order, so one task does all. */
typedef struct
{
  const CpuSimd *simd;
  const float *dy;
  const gint32 *index;
  float *y;
  gsize n;     /* indices */
  gsize d;
  gsize rows;  /* of the table */
} EmbeddingGradStep;

static void
run_embedding_grad (gconstpointer  data,
                    gsize          task,
                    guint          thread,
                    GError       **error)
{
  const EmbeddingGradStep *self = data;

  memset (self->y, 0, self->rows * self->d * sizeof *self->y);
  for (gsize i = 0; i < self->n; i++)
    {
      float *row = self->y + (gsize) self->index[i] * self->d;

      if (self->index[i] < 0 || (gsize) self->index[i] >= self->rows)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("Class %d does not exist: the labels of this model are 0 to %zu"),
                          self->index[i], self->rows - 1);
          return;
        }
      self->simd->add (row, self->dy + i * self->d, row, self->d);
    }
}

static const char *
embedding_grad_supports (const DimrGraph *graph,
                         const DimrNode  *node)
{
  return cpu_input (graph, node, 1)->dtype == DIMR_DTYPE_I32 ? NULL : _("indices that are no 32-bit integers");
}

static void
embedding_grad_prepare (CpuBuilder     *builder,
                        const DimrNode *node,
                        DimrNodeId      id)
{
  EmbeddingGradStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (EmbeddingGradStep){
    builder->simd, cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, node->inputs[1]),
    cpu_builder_peek (builder, id), cpu_n_rows (cpu_input (builder->graph, node, 0)), cpu_n_channels (node), cpu_n_rows (node),
  };
  cpu_builder_add_step (builder, run_embedding_grad, step, 1);
}

const CpuOp cpu_op_mean_square = { NULL, NULL, mean_square_prepare };
const CpuOp cpu_op_mean_square_grad = { NULL, NULL, mean_square_prepare };
const CpuOp cpu_op_cross_entropy = { NULL, NULL, cross_entropy_prepare };
const CpuOp cpu_op_cross_entropy_grad = { NULL, NULL, cross_entropy_prepare };
const CpuOp cpu_op_geglu_grad = { NULL, NULL, geglu_grad_prepare };
const CpuOp cpu_op_position_grad = { NULL, NULL, position_grad_prepare };
const CpuOp cpu_op_embedding_grad = { embedding_grad_supports, NULL, embedding_grad_prepare };
