/* cpu-ablation.c — the ops of DiMR's ablation forms: ADA_RMS_NORM, AXIAL_ROPE and its gradients
 *
 * Plain loops: no released model computes these.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include <math.h>
#include <string.h>

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
  const float *dy;        /* gradients only */
  double *sums;           /* [NH, 2·F + 1], AXIAL_ROPE_PARAM_GRAD only */
  float *y;
  gsize batch;
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

/* Where token @token lies; FALSE for those in front of the map. */
static gboolean
find_place (const RopeStep *self,
            gsize           token,
            double         *at)
{
  if (token < self->start)
    return FALSE;
  at[0] = middle_of ((token - self->start) / self->width, self->height, self->width);
  at[1] = middle_of ((token - self->start) % self->width, self->width, self->height);
  return TRUE;
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
  const gboolean on_map = find_place (self, token, at);

  for (gsize part = 0; part < 2 * self->n_heads; part++)
    turn (self, part % self->n_heads, on_map ? at : NULL, x + part * self->head_width, y + part * self->head_width);
  for (gsize i = 2 * d; i < 3 * d; i++)
    y[i] = x[i];
}

/* With u = x · f · norm, the head before it is turned, and du the gradient turned back:
 * dx = norm f (du − x f² mean of (x du)), d scale = Σ u du / 2, d angle = dy₁ y₀ − dy₀ y₁. */
typedef struct
{
  double norm;  /* what the scale says */
  double f;     /* inverse root mean square of x */
  double along; /* Σ x du */
} TurnBack;

/* One pair of channels turned back. */
static void
turn_pair_back (const float *dy,
                double       angle,
                double      *da,
                double      *db)
{
  const double c = cos (angle), s = sin (angle);

  *da = dy[0] * c + dy[1] * s;
  *db = dy[1] * c - dy[0] * s;
}

/* The angle of pair @k of all 2·F. */
static double
angle_of (const RopeStep *self,
          gsize           head,
          const double   *at,
          gsize           k)
{
  const gsize f = self->n_freqs;

  return at[k / f] * exp (self->freqs[k / f][head * f + k % f]);
}

static TurnBack
begin_turn_back (const RopeStep *self,
                 gsize           head,
                 const double   *at,
                 const float    *x,
                 const float    *dy)
{
  const gsize hd = self->head_width, turned = at != NULL ? 2 * self->n_freqs : 0;
  TurnBack back = { exp (MIN ((double) self->scale[head], log (100.)) / 2) / sqrt (sqrt ((double) hd)),
                    inverse_rms (x, hd, self->eps), 0 };

  for (gsize k = 0; k < turned; k++)
    {
      double da, db;

      turn_pair_back (dy + 2 * k, angle_of (self, head, at, k), &da, &db);
      back.along += x[2 * k] * da + x[2 * k + 1] * db;
    }
  for (gsize i = 2 * turned; i < hd; i++)
    back.along += (double) x[i] * dy[i];
  return back;
}

/* AXIAL_ROPE_GRAD: a task is one token of one image. */
static void
run_rope_grad (gconstpointer  data,
               gsize          task,
               guint          thread,
               GError       **error)
{
  const RopeStep *self = data;
  const gsize d = self->n_heads * self->head_width, hd = self->head_width;
  double place[2];
  const double *at = find_place (self, task % self->n_tokens, place) ? place : NULL;

  for (gsize part = 0; part < 2 * self->n_heads; part++)
    {
      const gsize first = task * 3 * d + part * hd, head = part % self->n_heads, turned = at != NULL ? 2 * self->n_freqs : 0;
      const float *x = self->x + first, *dy = self->dy + first;
      const TurnBack back = begin_turn_back (self, head, at, x, dy);
      const double along = back.along * back.f * back.f / (double) hd, factor = back.norm * back.f;
      float *dx = self->y + first;

      for (gsize k = 0; k < turned; k++)
        {
          double da, db;

          turn_pair_back (dy + 2 * k, angle_of (self, head, at, k), &da, &db);
          dx[2 * k] = (float) (factor * (da - x[2 * k] * along));
          dx[2 * k + 1] = (float) (factor * (db - x[2 * k + 1] * along));
        }
      for (gsize i = 2 * turned; i < hd; i++)
        dx[i] = (float) (factor * (dy[i] - x[i] * along));
    }
  for (gsize i = task * 3 * d + 2 * d; i < (task + 1) * 3 * d; i++)
    self->y[i] = self->dy[i];
}

/* AXIAL_ROPE_PARAM_GRAD: a task is one head, over all tokens. */
static void
run_rope_param_grad (gconstpointer  data,
                     gsize          head,
                     guint          thread,
                     GError       **error)
{
  const RopeStep *self = data;
  const gsize d = self->n_heads * self->head_width, hd = self->head_width, n = 2 * self->n_freqs;
  double *sums = self->sums + head * (n + 1), place[2];

  memset (sums, 0, (n + 1) * sizeof *sums);
  for (gsize token = 0; token < self->batch * self->n_tokens; token++)
    {
      const double *at = find_place (self, token % self->n_tokens, place) ? place : NULL;

      for (gsize part = head; part < 2 * self->n_heads; part += self->n_heads)
        {
          const float *x = self->x + token * 3 * d + part * hd, *dy = self->dy + token * 3 * d + part * hd;
          const TurnBack back = begin_turn_back (self, head, at, x, dy);

          for (gsize k = 0; at != NULL && k < n; k++)
            {
              const double angle = angle_of (self, head, at, k);
              double da, db;

              turn_pair_back (dy + 2 * k, angle, &da, &db);
              sums[k] += back.norm * back.f * (x[2 * k] * db - x[2 * k + 1] * da) * angle;
            }
          if (self->scale[head] < log (100.))
            sums[n] += back.norm * back.f * back.along / 2;
        }
    }
  for (gsize k = 0; k <= n; k++)
    self->y[head * (n + 1) + k] = (float) sums[k];
}

/* Of the op and both of its gradients. */
static void
rope_prepare (CpuBuilder     *builder,
              const DimrNode *node,
              DimrNodeId      id)
{
  const DimrNode *qkv = cpu_input (builder->graph, node, 0);
  const gsize batch = (gsize) qkv->shape.dims[0], tokens = (gsize) qkv->shape.dims[1];
  RopeStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (RopeStep){
    .x = cpu_builder_peek (builder, node->inputs[0]),
    .freqs = { cpu_builder_peek (builder, node->inputs[1]), cpu_builder_peek (builder, node->inputs[2]) },
    .scale = cpu_builder_peek (builder, node->inputs[3]),
    .dy = node->op != DIMR_OP_AXIAL_ROPE ? cpu_builder_peek (builder, node->inputs[4]) : NULL,
    .y = cpu_builder_peek (builder, id),
    .batch = batch,
    .n_tokens = tokens,
    .n_heads = node->attrs.n_heads,
    .head_width = cpu_n_channels (qkv) / (3 * (gsize) node->attrs.n_heads),
    .n_freqs = (gsize) cpu_input (builder->graph, node, 1)->shape.dims[1],
    .start = node->attrs.start,
    .height = (tokens - node->attrs.start) / node->attrs.width,
    .width = node->attrs.width,
    .eps = node->attrs.eps,
  };
  if (node->op == DIMR_OP_AXIAL_ROPE_PARAM_GRAD)
    step->sums = cpu_builder_alloc (builder, step->n_heads * (2 * step->n_freqs + 1) * sizeof *step->sums);
  if (node->op == DIMR_OP_AXIAL_ROPE)
    cpu_builder_add_step (builder, run_rope, step, batch * tokens);
  else if (node->op == DIMR_OP_AXIAL_ROPE_GRAD)
    cpu_builder_add_step (builder, run_rope_grad, step, batch * tokens);
  else
    cpu_builder_add_step (builder, run_rope_param_grad, step, step->n_heads);
}

const CpuOp cpu_op_ada_rms_norm = { NULL, NULL, ada_norm_prepare };
const CpuOp cpu_op_axial_rope = { NULL, NULL, rope_prepare };
const CpuOp cpu_op_axial_rope_grad = { NULL, NULL, rope_prepare };
