/* cpu-elementwise.c — what moves or adds numbers: ADD, GEGLU, PIXEL_SHUFFLE, SLICE_TOKENS, CONCAT,
 * SLICE_CHANNELS, REPEAT, TO_IMAGE, AVERAGE_POOL, ADD_POSITION, EMBEDDING, PREPEND_TOKEN
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

/* Elements of a task. */
#define GRAIN 16384

static gsize
divide (gsize a,
        gsize b)
{
  return (a + b - 1) / b;
}

/* ADD and GEGLU: y[i] = f (a[i], b[i]) */
typedef struct
{
  void (*run) (const float *a, const float *b, float *y, gsize n);
  const float *a;
  const float *b;
  float *y;
  gsize n;
} BinaryStep;

static void
run_binary (gconstpointer  data,
            gsize          task,
            guint          thread,
            GError       **error)
{
  const BinaryStep *self = data;
  const gsize first = task * GRAIN;

  self->run (self->a + first, self->b + first, self->y + first, MIN (GRAIN, self->n - first));
}

static void
binary_prepare (CpuBuilder     *builder,
                const DimrNode *node,
                DimrNodeId      id)
{
  BinaryStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->run = node->op == DIMR_OP_ADD ? builder->simd->add : builder->simd->geglu;
  step->a = cpu_builder_peek (builder, node->inputs[0]);
  step->b = cpu_builder_peek (builder, node->inputs[1]);
  step->y = cpu_builder_peek (builder, id);
  step->n = dimr_shape_n_elements (&node->shape);
  cpu_builder_add_step (builder, run_binary, step, divide (step->n, GRAIN));
}

/* Copies of @width floats at regular distances. One step moves one
 * input: SLICE_TOKENS and PREPEND_TOKEN copy once an image, CONCAT once a row. */
typedef struct
{
  const float *x;
  float *y;
  gsize width;     /* floats of one copy */
  gsize x_stride;
  gsize y_stride;
  gsize n;         /* copies */
  gsize per_task;
} CopyStep;

static void
run_copy (gconstpointer  data,
          gsize          task,
          guint          thread,
          GError       **error)
{
  const CopyStep *self = data;
  const gsize first = task * self->per_task, end = MIN (first + self->per_task, self->n);

  for (gsize i = first; i < end; i++)
    memcpy (self->y + i * self->y_stride, self->x + i * self->x_stride, self->width * sizeof (float));
}

void
cpu_builder_add_copy (CpuBuilder  *builder,
                      const float *x,
                      gsize        x_stride,
                      float       *y,
                      gsize        y_stride,
                      gsize        width,
                      gsize        n)
{
  CopyStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (CopyStep){ x, y, width, x_stride, y_stride, n, MAX (GRAIN / width, 1) };
  cpu_builder_add_side_step (builder, run_copy, step, divide (n, step->per_task));
}

/* @p + @n floats; NULL stays NULL, as after an error. */
#define AT(p, n) ((p) != NULL ? (float *) (p) + (n) : NULL)

static void
slice_tokens_prepare (CpuBuilder     *builder,
                      const DimrNode *node,
                      DimrNodeId      id)
{
  const gint64 *in = cpu_input (builder->graph, node, 0)->shape.dims;
  const gsize d = (gsize) in[2], n = (gsize) in[1], length = node->attrs.length;

  cpu_builder_add_copy (builder, AT (cpu_builder_peek (builder, node->inputs[0]), node->attrs.start * d), n * d,
                        cpu_builder_peek (builder, id), length * d, length * d, (gsize) in[0]);
}

static void
prepend_token_prepare (CpuBuilder     *builder,
                       const DimrNode *node,
                       DimrNodeId      id)
{
  const gsize batch = (gsize) node->shape.dims[0], n = (gsize) node->shape.dims[1], d = (gsize) node->shape.dims[2];
  float *y = cpu_builder_peek (builder, id);

  cpu_builder_add_copy (builder, cpu_builder_peek (builder, node->inputs[1]), d, y, n * d, d, batch);
  cpu_builder_add_copy (builder, cpu_builder_peek (builder, node->inputs[0]), (n - 1) * d, AT (y, d), n * d, (n - 1) * d, batch);
}

static void
concat_prepare (CpuBuilder     *builder,
                const DimrNode *node,
                DimrNodeId      id)
{
  const gsize d = cpu_n_channels (node), rows = cpu_n_rows (node);
  float *y = cpu_builder_peek (builder, id);
  gsize at = 0;

  for (guint i = 0; i < node->n_inputs; i++)
    {
      const gsize k = cpu_n_channels (cpu_input (builder->graph, node, i));

      cpu_builder_add_copy (builder, cpu_builder_peek (builder, node->inputs[i]), k, AT (y, at), d, k, rows);
      at += k;
    }
}

static void
slice_channels_prepare (CpuBuilder     *builder,
                        const DimrNode *node,
                        DimrNodeId      id)
{
  cpu_builder_add_copy (builder, AT (cpu_builder_peek (builder, node->inputs[0]), node->attrs.start),
                        cpu_n_channels (cpu_input (builder->graph, node, 0)), cpu_builder_peek (builder, id),
                        node->attrs.length, node->attrs.length, cpu_n_rows (node));
}

static void
repeat_prepare (CpuBuilder     *builder,
                const DimrNode *node,
                DimrNodeId      id)
{
  const gsize n = dimr_shape_n_elements (&node->shape) / node->attrs.factor;

  cpu_builder_add_copy (builder, cpu_builder_peek (builder, node->inputs[0]), 0, cpu_builder_peek (builder, id), n, n,
                        node->attrs.factor);
}

/* TO_IMAGE: a task is one channel of one image. */
typedef struct
{
  const float *x;
  float *y;
  gsize n;        /* H · W */
  gsize channels;
} ImageStep;

static void
run_to_image (gconstpointer  data,
              gsize          task,
              guint          thread,
              GError       **error)
{
  const ImageStep *self = data;
  const float *x = self->x + task / self->channels * self->n * self->channels + task % self->channels;
  float *y = self->y + task * self->n;

  for (gsize i = 0; i < self->n; i++)
    y[i] = x[i * self->channels];
}

static void
to_image_prepare (CpuBuilder     *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  const gint64 *out = node->shape.dims;
  ImageStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (ImageStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id),
                       (gsize) (out[2] * out[3]), (gsize) out[1] };
  cpu_builder_add_step (builder, run_to_image, step, (gsize) (out[0] * out[1]));
}

/* PIXEL_SHUFFLE: a task makes the f output rows of one input row. */
typedef struct
{
  const float *x;
  float *y;
  gsize width; /* of the input */
  gsize factor;
  gsize d;     /* of the output */
} ShuffleStep;

static void
run_shuffle (gconstpointer  data,
             gsize          task,
             guint          thread,
             GError       **error)
{
  const ShuffleStep *self = data;
  const gsize f = self->factor, row = f * self->d;

  for (gsize dy = 0; dy < f; dy++)
    for (gsize w = 0; w < self->width; w++)
      memcpy (self->y + ((task * f + dy) * self->width + w) * row,
              self->x + (task * self->width + w) * f * row + dy * row, row * sizeof (float));
}

static void
pixel_shuffle_prepare (CpuBuilder     *builder,
                       const DimrNode *node,
                       DimrNodeId      id)
{
  const gint64 *in = cpu_input (builder->graph, node, 0)->shape.dims;
  ShuffleStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (ShuffleStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id),
                         (gsize) in[2], node->attrs.factor, (gsize) node->shape.dims[3] };
  cpu_builder_add_step (builder, run_shuffle, step, (gsize) (in[0] * in[1]));
}

/* AVERAGE_POOL: a task is one channel of one image. */
typedef struct
{
  const float *x;
  float *y;
  gsize height; /* of the output */
  gsize width;
  gsize factor;
} PoolStep;

static void
run_pool (gconstpointer  data,
          gsize          task,
          guint          thread,
          GError       **error)
{
  const PoolStep *self = data;
  const gsize f = self->factor, in_width = self->width * f;
  const float *x = self->x + task * self->height * f * in_width, inverse = 1.f / (float) (f * f);
  float *y = self->y + task * self->height * self->width;

  for (gsize h = 0; h < self->height; h++)
    for (gsize w = 0; w < self->width; w++)
      {
        float sum = 0;

        for (gsize i = 0; i < f; i++)
          for (gsize j = 0; j < f; j++)
            sum += x[(h * f + i) * in_width + w * f + j];
        y[h * self->width + w] = sum * inverse;
      }
}

static void
average_pool_prepare (CpuBuilder     *builder,
                      const DimrNode *node,
                      DimrNodeId      id)
{
  const gint64 *out = node->shape.dims;
  PoolStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (PoolStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id),
                      (gsize) out[2], (gsize) out[3], node->attrs.factor };
  cpu_builder_add_step (builder, run_pool, step, (gsize) (out[0] * out[1]));
}

/* ADD_POSITION: a task is one row of one image. */
typedef struct
{
  const CpuSimd *simd;
  const float *x;
  const float *table;
  float *y;
  gsize height;
  gsize row;     /* floats of a row of the map */
  gsize stride;  /* floats of a row of the table's grid */
} PositionStep;

static void
run_position (gconstpointer  data,
              gsize          task,
              guint          thread,
              GError       **error)
{
  const PositionStep *self = data;

  self->simd->add (self->x + task * self->row, self->table + task % self->height * self->stride,
                   self->y + task * self->row, self->row);
}

static void
add_position_prepare (CpuBuilder     *builder,
                      const DimrNode *node,
                      DimrNodeId      id)
{
  const gint64 *dims = node->shape.dims;
  PositionStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (PositionStep){ builder->simd, cpu_builder_peek (builder, node->inputs[0]),
                          cpu_builder_peek (builder, node->inputs[1]), cpu_builder_peek (builder, id),
                          (gsize) dims[1], (gsize) (dims[2] * dims[3]), (gsize) dims[3] * node->attrs.width };
  cpu_builder_add_step (builder, run_position, step, (gsize) (dims[0] * dims[1]));
}

/* EMBEDDING (table, index) */
typedef struct
{
  const float *table;
  const gint32 *index;
  float *y;
  gsize n;     /* indices */
  gsize d;
  gsize rows;  /* of the table */
} EmbeddingStep;

static void
run_embedding (gconstpointer  data,
               gsize          task,
               guint          thread,
               GError       **error)
{
  const EmbeddingStep *self = data;

  for (gsize i = 0; i < self->n; i++)
    {
      if (self->index[i] < 0 || (gsize) self->index[i] >= self->rows)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("Class %d does not exist: the labels of this model are 0 to %zu"),
                          self->index[i], self->rows - 1);
          return;
        }
      memcpy (self->y + i * self->d, self->table + (gsize) self->index[i] * self->d, self->d * sizeof (float));
    }
}

static const char *
embedding_supports (const DimrGraph *graph,
                    const DimrNode  *node)
{
  return cpu_input (graph, node, 1)->dtype == DIMR_DTYPE_I32 ? NULL : _("indices that are no 32-bit integers");
}

static void
embedding_prepare (CpuBuilder     *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  EmbeddingStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (EmbeddingStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, node->inputs[1]),
                           cpu_builder_peek (builder, id), (gsize) node->shape.dims[0], (gsize) node->shape.dims[1],
                           (gsize) cpu_input (builder->graph, node, 0)->shape.dims[0] };
  cpu_builder_add_step (builder, run_embedding, step, 1);
}

const CpuOp cpu_op_add = { NULL, NULL, binary_prepare };
const CpuOp cpu_op_geglu = { NULL, NULL, binary_prepare };
const CpuOp cpu_op_pixel_shuffle = { NULL, NULL, pixel_shuffle_prepare };
const CpuOp cpu_op_slice_tokens = { NULL, NULL, slice_tokens_prepare };
const CpuOp cpu_op_concat = { NULL, NULL, concat_prepare };
const CpuOp cpu_op_average_pool = { NULL, NULL, average_pool_prepare };
const CpuOp cpu_op_add_position = { NULL, NULL, add_position_prepare };
const CpuOp cpu_op_embedding = { embedding_supports, NULL, embedding_prepare };
const CpuOp cpu_op_prepend_token = { NULL, NULL, prepend_token_prepare };
const CpuOp cpu_op_to_image = { NULL, NULL, to_image_prepare };
const CpuOp cpu_op_slice_channels = { NULL, NULL, slice_channels_prepare };
const CpuOp cpu_op_repeat = { NULL, NULL, repeat_prepare };
