/* cpu-ablation.c — the ops of DiMR's ablation forms: ADA_RMS_NORM and AXIAL_ROPE
 *
 * Plain loops: no released model computes these.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include <math.h>

/* Elements of a task. */
#define GRAIN 16384

static gsize
divide (gsize a,
        gsize b)
{
  return (a + b - 1) / b;
}

/* 1 / √(mean of x² + eps) */
static float
inverse_rms (const float *x,
             gsize        n,
             double       eps)
{
  double sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += (double) x[i] * x[i];
  return (float) (1 / sqrt (sum / (double) n + eps));
}

/* ADA_RMS_NORM (x, scale) */
typedef struct
{
  const float *x;
  const float *scale;  /* [B, M, D] */
  float *y;
  gsize d;
  gsize m;
  gsize rows;
  gsize rows_per_image;
  gsize rows_per_task;
  double eps;
} AdaNormStep;

static void
run_ada_norm (gconstpointer  data,
              gsize          task,
              guint          thread,
              GError       **error)
{
  const AdaNormStep *self = data;
  const gsize first = task * self->rows_per_task, end = MIN (first + self->rows_per_task, self->rows), d = self->d;

  for (gsize row = first; row < end; row++)
    {
      const gsize image = row / self->rows_per_image, place = row % self->rows_per_image % self->m;
      const float *x = self->x + row * d, *scale = self->scale + (image * self->m + place) * d;
      const float f = inverse_rms (x, d, self->eps);
      float *y = self->y + row * d;

      for (gsize i = 0; i < d; i++)
        y[i] = (1.f + scale[i]) * (x[i] * f);
    }
}

static void
ada_norm_prepare (CpuBuilder     *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  AdaNormStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (AdaNormStep){
    .x = cpu_builder_peek (builder, node->inputs[0]),
    .scale = cpu_builder_peek (builder, node->inputs[1]),
    .y = cpu_builder_peek (builder, id),
    .d = cpu_n_channels (node),
    .m = (gsize) cpu_input (builder->graph, node, 1)->shape.dims[1],
    .rows = cpu_n_rows (node),
    .rows_per_image = cpu_n_rows (node) / (gsize) node->shape.dims[0],
    .eps = node->attrs.eps,
  };
  step->rows_per_task = MAX (GRAIN / step->d, 1);
  cpu_builder_add_step (builder, run_ada_norm, step, divide (step->rows, step->rows_per_task));
}

/* AXIAL_ROPE (qkv, freqs_h, freqs_w, scale): a task is one token of one image. */
typedef struct
{
  const float *x;
  const float *freqs[2];  /* [NH, F]: along the columns of the map, along its rows */
  const float *scale;     /* [NH] */
  float *y;
  gsize n_tokens;
  gsize n_heads;
  gsize head_width;
  gsize n_freqs;
  gsize start;
  gsize height;
  gsize width;
  double eps;
} RopeStep;

/* The middle of cell @i of @n, where the longer side of the map goes from −1 to 1. */
static double
middle_of (gsize i,
           gsize n,
           gsize other)
{
  return (2. * (double) i + 1 - (double) n) / (double) MAX (n, other);
}

/* One head of q or k, at (@at[0], @at[1]) = (y, x); NULL where it is not turned. */
static void
turn (const RopeStep *self,
      gsize           head,
      const double   *at,
      const float    *x,
      float          *y)
{
  const gsize hd = self->head_width;
  const double norm = exp (MIN ((double) self->scale[head], log (100.)) / 2) / sqrt (sqrt ((double) hd));
  const float f = (float) (norm * inverse_rms (x, hd, self->eps));
  gsize i = 0;

  for (gsize axis = 0; at != NULL && axis < 2; axis++)
    for (gsize k = 0; k < self->n_freqs; k++, i += 2)
      {
        const double angle = at[axis] * exp (self->freqs[axis][head * self->n_freqs + k]);
        const float c = (float) cos (angle), s = (float) sin (angle), a = x[i] * f, b = x[i + 1] * f;

        y[i] = a * c - b * s;
        y[i + 1] = b * c + a * s;
      }
  for (; i < hd; i++)
    y[i] = x[i] * f;
}

static void
run_rope (gconstpointer  data,
          gsize          task,
          guint          thread,
          GError       **error)
{
  const RopeStep *self = data;
  const gsize d = self->n_heads * self->head_width, token = task % self->n_tokens;
  const float *x = self->x + task * 3 * d;
  float *y = self->y + task * 3 * d;
  double at[2];

  if (token >= self->start)
    {
      at[0] = middle_of ((token - self->start) / self->width, self->height, self->width);
      at[1] = middle_of ((token - self->start) % self->width, self->width, self->height);
    }
  for (gsize part = 0; part < 2 * self->n_heads; part++)
    turn (self, part % self->n_heads, token >= self->start ? at : NULL, x + part * self->head_width, y + part * self->head_width);
  for (gsize i = 2 * d; i < 3 * d; i++)
    y[i] = x[i];
}

static void
rope_prepare (CpuBuilder     *builder,
              const DimrNode *node,
              DimrNodeId      id)
{
  const gsize batch = (gsize) node->shape.dims[0], tokens = (gsize) node->shape.dims[1];
  RopeStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (RopeStep){
    .x = cpu_builder_peek (builder, node->inputs[0]),
    .freqs = { cpu_builder_peek (builder, node->inputs[1]), cpu_builder_peek (builder, node->inputs[2]) },
    .scale = cpu_builder_peek (builder, node->inputs[3]),
    .y = cpu_builder_peek (builder, id),
    .n_tokens = tokens,
    .n_heads = node->attrs.n_heads,
    .head_width = cpu_n_channels (node) / (3 * (gsize) node->attrs.n_heads),
    .n_freqs = (gsize) cpu_input (builder->graph, node, 1)->shape.dims[1],
    .start = node->attrs.start,
    .height = (tokens - node->attrs.start) / node->attrs.width,
    .width = node->attrs.width,
    .eps = node->attrs.eps,
  };
  cpu_builder_add_step (builder, run_rope, step, batch * tokens);
}

const CpuOp cpu_op_ada_rms_norm = { NULL, NULL, ada_norm_prepare };
const CpuOp cpu_op_axial_rope = { NULL, NULL, rope_prepare };
