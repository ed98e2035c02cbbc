/* cpu-layout.c — numbers that move and stay what they are: PAD_TOKENS, TRANSPOSE,
 * SPREAD, PATCHES, UNPATCH, WINDOWS, PIXEL_UNSHUFFLE
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include <string.h>

/* PAD_TOKENS: a task is one image. */
typedef struct
{
  const float *x;
  float *y;
  gsize before; /* floats */
  gsize length;
  gsize after;
} PadStep;

static void
run_pad (gconstpointer  data,
         gsize          task,
         guint          thread,
         GError       **error)
{
  const PadStep *self = data;
  float *y = self->y + task * (self->before + self->length + self->after);

  memset (y, 0, self->before * sizeof *y);
  memcpy (y + self->before, self->x + task * self->length, self->length * sizeof *y);
  memset (y + self->before + self->length, 0, self->after * sizeof *y);
}

static void
pad_tokens_prepare (CpuBuilder     *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  const gint64 *in = cpu_input (builder->graph, node, 0)->shape.dims;
  const gsize d = (gsize) in[2], n = (gsize) in[1];
  PadStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (PadStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id),
                     node->attrs.start * d, n * d, (node->attrs.length - node->attrs.start - n) * d };
  cpu_builder_add_step (builder, run_pad, step, (gsize) in[0]);
}

/* TRANSPOSE: a task is a band of rows of one matrix. */
#define BAND 64

typedef struct
{
  const float *x;
  float *y;
  gsize rows;     /* of x */
  gsize columns;
  gsize bands;
} TransposeStep;

static void
run_transpose (gconstpointer  data,
               gsize          task,
               guint          thread,
               GError       **error)
{
  const TransposeStep *self = data;
  const gsize matrix = task / self->bands * self->rows * self->columns, first = task % self->bands * BAND;

  for (gsize c = 0; c < self->columns; c++)
    for (gsize r = first; r < MIN (first + BAND, self->rows); r++)
      self->y[matrix + c * self->rows + r] = self->x[matrix + r * self->columns + c];
}

static void
transpose_prepare (CpuBuilder     *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  const gint64 *in = cpu_input (builder->graph, node, 0)->shape.dims;
  TransposeStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (TransposeStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id),
                           (gsize) in[1], (gsize) in[2], ((gsize) in[1] + BAND - 1) / BAND };
  cpu_builder_add_step (builder, run_transpose, step, (gsize) in[0] * step->bands);
}

/* What is left: a task is one plane or one row of a picture [B, C, H, W] beside features [B, H, W, …]. */
typedef struct
{
  const float *x;
  float *y;
  gsize channels;  /* C of the picture, D of the features */
  gsize height;    /* of the smaller of both */
  gsize width;
  gsize factor;
} PictureStep;

static void
run_spread (gconstpointer  data,
            gsize          plane,
            guint          thread,
            GError       **error)
{
  const PictureStep *self = data;
  const gsize f = self->factor, width = self->width * f;
  const float share = 1.f / (float) (f * f);
  const float *x = self->x + plane * self->height * self->width;
  float *y = self->y + plane * self->height * f * width;

  for (gsize h = 0; h < self->height * f; h++)
    for (gsize w = 0; w < width; w++)
      y[h * width + w] = x[h / f * self->width + w / f] * share;
}

/* One row of patches back into the picture. */
static void
run_unpatch (gconstpointer  data,
             gsize          task,
             guint          thread,
             GError       **error)
{
  const PictureStep *self = data;
  const gsize f = self->factor, image = task / self->height, row = task % self->height;
  const float *in = self->x + task * self->width * self->channels * f * f;

  for (gsize w = 0; w < self->width; w++)
    for (gsize c = 0; c < self->channels; c++)
      for (gsize dy = 0; dy < f; dy++, in += f)
        memcpy (self->y + ((image * self->channels + c) * self->height * f + row * f + dy) * self->width * f + w * f, in,
                f * sizeof *in);
}

/* One row of windows. */
static void
run_windows (gconstpointer  data,
             gsize          task,
             guint          thread,
             GError       **error)
{
  const PictureStep *self = data;
  const gsize k = self->factor, reach = k / 2, image = task / self->height, row = task % self->height;
  float *out = self->y + task * self->width * self->channels * k * k;

  for (gsize w = 0; w < self->width; w++)
    for (gsize c = 0; c < self->channels; c++)
      for (gsize tap = 0; tap < k * k; tap++)
        {
          const gsize y = row + reach - tap / k, x = w + reach - tap % k; /* wrap to something large outside */

          *out++ = y < self->height && x < self->width
                     ? self->x[((image * self->channels + c) * self->height + y) * self->width + x] : 0.f;
        }
}

/* The f rows of the input that one row of the output is made of. */
static void
run_unshuffle (gconstpointer  data,
               gsize          task,
               guint          thread,
               GError       **error)
{
  const PictureStep *self = data;
  const gsize f = self->factor, row = f * self->channels;

  for (gsize dy = 0; dy < f; dy++)
    for (gsize w = 0; w < self->width; w++)
      memcpy (self->y + (task * self->width + w) * f * row + dy * row,
              self->x + ((task * f + dy) * self->width + w) * row, row * sizeof (float));
}

static PictureStep *
new_picture_step (CpuBuilder     *builder,
                  const DimrNode *node,
                  DimrNodeId      id,
                  gint64          channels,
                  gint64          height,
                  gint64          width)
{
  PictureStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (PictureStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id),
                         (gsize) channels, (gsize) height, (gsize) width, node->attrs.factor };
  return step;
}

static void
spread_prepare (CpuBuilder     *builder,
                const DimrNode *node,
                DimrNodeId      id)
{
  const gint64 *in = cpu_input (builder->graph, node, 0)->shape.dims;

  cpu_builder_add_step (builder, run_spread, new_picture_step (builder, node, id, in[1], in[2], in[3]), (gsize) (in[0] * in[1]));
}

static void
unpatch_prepare (CpuBuilder     *builder,
                 const DimrNode *node,
                 DimrNodeId      id)
{
  const gint64 *in = cpu_input (builder->graph, node, 0)->shape.dims, *out = node->shape.dims;

  cpu_builder_add_step (builder, run_unpatch, new_picture_step (builder, node, id, out[1], in[1], in[2]), (gsize) (in[0] * in[1]));
}

static void
windows_prepare (CpuBuilder     *builder,
                 const DimrNode *node,
                 DimrNodeId      id)
{
  const gint64 *in = cpu_input (builder->graph, node, 0)->shape.dims;

  cpu_builder_add_step (builder, run_windows, new_picture_step (builder, node, id, in[1], in[2], in[3]), (gsize) (in[0] * in[2]));
}

static void
pixel_unshuffle_prepare (CpuBuilder     *builder,
                         const DimrNode *node,
                         DimrNodeId      id)
{
  const gint64 *in = cpu_input (builder->graph, node, 0)->shape.dims, *out = node->shape.dims;

  cpu_builder_add_step (builder, run_unshuffle, new_picture_step (builder, node, id, in[3], out[1], out[2]), (gsize) (out[0] * out[1]));
}

static void
patches_prepare (CpuBuilder     *builder,
                 const DimrNode *node,
                 DimrNodeId      id)
{
  cpu_builder_add_patches (builder, node->inputs[0], node->attrs.factor, cpu_builder_peek (builder, id));
}

const CpuOp cpu_op_pad_tokens = { NULL, NULL, pad_tokens_prepare };
const CpuOp cpu_op_transpose = { NULL, NULL, transpose_prepare };
const CpuOp cpu_op_spread = { NULL, NULL, spread_prepare };
const CpuOp cpu_op_patches = { NULL, NULL, patches_prepare };
const CpuOp cpu_op_unpatch = { NULL, NULL, unpatch_prepare };
const CpuOp cpu_op_windows = { NULL, NULL, windows_prepare };
const CpuOp cpu_op_pixel_unshuffle = { NULL, NULL, pixel_unshuffle_prepare };
