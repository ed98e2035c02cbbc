/* cpu-condition.c — how time and class act on features in U-ViT and DiT: TIMESTEP_EMBEDDING,
 * MODULATE, GATED_ADD, and the functions of one number SILU, GELU, GELU_TANH
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

/* SILU, GELU, GELU_TANH: y[i] = f (x[i]) */
typedef struct
{
  void (*run) (const float *x, float *y, gsize n);
  const float *x;
  float *y;
  gsize n;
} UnaryStep;

static void
run_unary (gconstpointer  data,
           gsize          task,
           guint          thread,
           GError       **error)
{
  const UnaryStep *self = data;
  const gsize first = task * GRAIN;

  self->run (self->x + first, self->y + first, MIN (GRAIN, self->n - first));
}

static void
unary_prepare (CpuBuilder     *builder,
               const DimrNode *node,
               DimrNodeId      id)
{
  const CpuSimd *simd = builder->simd;
  UnaryStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->run = node->op == DIMR_OP_SILU ? simd->silu : node->op == DIMR_OP_GELU ? simd->gelu : simd->gelu_tanh;
  step->x = cpu_builder_peek (builder, node->inputs[0]);
  step->y = cpu_builder_peek (builder, id);
  step->n = dimr_shape_n_elements (&node->shape);
  cpu_builder_add_step (builder, run_unary, step, divide (step->n, GRAIN));
}

/* MODULATE (x, shift, scale) and GATED_ADD (x, gate, y): rows of D under vectors that an image shares. */
typedef struct
{
  const CpuSimd *simd;
  const float *x;
  const float *a;      /* [T, D]: shift, or gate */
  const float *scale;  /* [T, D]; NULL: GATED_ADD */
  const float *f;      /* GATED_ADD: what the gate lets through */
  float *y;
  gsize d;
  gsize rows;
  gsize rows_per_time;
  gsize rows_per_task;
} ConditionStep;

static void
run_condition (gconstpointer  data,
               gsize          task,
               guint          thread,
               GError       **error)
{
  const ConditionStep *self = data;
  const gsize first = task * self->rows_per_task, end = MIN (first + self->rows_per_task, self->rows);

  for (gsize row = first; row < end; row++)
    {
      const gsize at = row * self->d, time = row / self->rows_per_time * self->d;

      if (self->x == NULL)
        for (gsize i = 0; i < self->d; i++)
          self->y[at + i] = self->a[time + i] * self->f[at + i];
      else if (self->scale != NULL)
        self->simd->modulate (self->x + at, self->a + time, self->scale + time, self->y + at, self->d);
      else
        self->simd->gated_add (self->x + at, self->a + time, self->f + at, self->y + at, self->d);
    }
}

static void
condition_prepare (CpuBuilder     *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  ConditionStep *step = cpu_builder_alloc (builder, sizeof *step);
  const gsize n = dimr_shape_n_elements (&cpu_input (builder->graph, node, 1)->shape);
  const float *third = node->inputs[2] != DIMR_NODE_NONE ? cpu_builder_peek (builder, node->inputs[2])
                                                         : cpu_builder_alloc (builder, n * sizeof (float));

  *step = (ConditionStep){
    .simd = builder->simd,
    .x = node->inputs[0] != DIMR_NODE_NONE ? cpu_builder_peek (builder, node->inputs[0]) : NULL,
    .a = cpu_builder_peek (builder, node->inputs[1]),
    .scale = node->op == DIMR_OP_MODULATE ? third : NULL,
    .f = node->op == DIMR_OP_GATED_ADD ? third : NULL,
    .y = cpu_builder_peek (builder, id),
    .d = cpu_n_channels (node),
    .rows = cpu_n_rows (node),
  };
  step->rows_per_time = step->rows / (gsize) cpu_input (builder->graph, node, 1)->shape.dims[0];
  step->rows_per_task = MAX (GRAIN / step->d, 1);
  cpu_builder_add_step (builder, run_condition, step, divide (step->rows, step->rows_per_task));
}

/* TIMESTEP_EMBEDDING (t) */
typedef struct
{
  const float *t;
  float *y;
  gsize rows;
  gsize half;
  float *frequencies; /* [half] */
} EmbeddingStep;

static void
run_timestep_embedding (gconstpointer  data,
                        gsize          task,
                        guint          thread,
                        GError       **error)
{
  const EmbeddingStep *self = data;

  for (gsize row = 0; row < self->rows; row++)
    for (gsize i = 0; i < self->half; i++)
      {
        const double angle = self->t[row] * self->frequencies[i];

        self->y[row * 2 * self->half + i] = (float) cos (angle);
        self->y[row * 2 * self->half + self->half + i] = (float) sin (angle);
      }
}

static void
timestep_embedding_prepare (CpuBuilder     *builder,
                            const DimrNode *node,
                            DimrNodeId      id)
{
  EmbeddingStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->t = cpu_builder_peek (builder, node->inputs[0]);
  step->y = cpu_builder_peek (builder, id);
  step->rows = cpu_n_rows (node);
  step->half = cpu_n_channels (node) / 2;
  step->frequencies = cpu_builder_alloc (builder, step->half * sizeof (float));
  /* In float throughout: at t = 1000 a frequency's last bit turns the angle by 6e-5. */
  for (gsize i = 0; i < step->half; i++)
    step->frequencies[i] = expf (-9.21034037f * (float) i / (float) step->half);
  cpu_builder_add_step (builder, run_timestep_embedding, step, 1);
}

const CpuOp cpu_op_timestep_embedding = { NULL, NULL, timestep_embedding_prepare };
const CpuOp cpu_op_unary = { NULL, NULL, unary_prepare };
const CpuOp cpu_op_modulate = { NULL, NULL, condition_prepare };
const CpuOp cpu_op_gated_add = { NULL, NULL, condition_prepare };
