/* cpu-map.c — IMAGE_TO_MAP and UPSAMPLE_NEAREST
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include <string.h>

/* IMAGE_TO_MAP: a task is a row of an image. */
typedef struct
{
  const float *x; /* [B, d, H, W] */
  float *y;
  gsize height;
  gsize width;
  gsize d;
} MapStep;

static void
run_map (gconstpointer  data,
         gsize          task,
         guint          thread,
         GError       **error)
{
  const MapStep *self = data;
  const gsize image = task / self->height, row = task % self->height;
  float *y = self->y + task * self->width * self->d;

  for (gsize c = 0; c < self->d; c++)
    {
      const float *x = self->x + ((image * self->d + c) * self->height + row) * self->width;

      for (gsize w = 0; w < self->width; w++)
        y[w * self->d + c] = x[w];
    }
}

static void
image_to_map_prepare (CpuBuilder     *builder,
                      const DimrNode *node,
                      DimrNodeId      id)
{
  const gint64 *dims = node->shape.dims;
  MapStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (MapStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id),
                     (gsize) dims[1], (gsize) dims[2], (gsize) dims[3] };
  cpu_builder_add_step (builder, run_map, step, (gsize) (dims[0] * dims[1]));
}

/* UPSAMPLE_NEAREST: a task makes the f output rows of one input row. */
typedef struct
{
  const float *x;
  float *y;
  gsize width; /* of the input */
  gsize d;
  gsize factor;
} UpsampleStep;

static void
run_upsample (gconstpointer  data,
              gsize          task,
              guint          thread,
              GError       **error)
{
  const UpsampleStep *self = data;
  const gsize f = self->factor, row = f * self->width * self->d;
  const float *x = self->x + task * self->width * self->d;
  float *y = self->y + task * f * row;

  for (gsize w = 0; w < self->width; w++)
    for (gsize i = 0; i < f; i++)
      memcpy (y + (w * f + i) * self->d, x + w * self->d, self->d * sizeof *y);
  for (gsize i = 1; i < f; i++)
    memcpy (y + i * row, y, row * sizeof *y);
}

static void
upsample_prepare (CpuBuilder     *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  const gint64 *in = cpu_input (builder->graph, node, 0)->shape.dims;
  UpsampleStep *step = cpu_builder_alloc (builder, sizeof *step);

  *step = (UpsampleStep){ cpu_builder_peek (builder, node->inputs[0]), cpu_builder_peek (builder, id),
                          (gsize) in[2], (gsize) in[3], node->attrs.factor };
  cpu_builder_add_step (builder, run_upsample, step, (gsize) (in[0] * in[1]));
}

const CpuOp cpu_op_image_to_map = { NULL, NULL, image_to_map_prepare };
const CpuOp cpu_op_upsample_nearest = { NULL, NULL, upsample_prepare };
