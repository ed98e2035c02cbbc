/* cuda-layout-grad.c — the ways back of what moves numbers: PAD_TOKENS, PAD_CHANNELS, PIXEL_UNSHUFFLE, TRANSPOSE,
 * SPREAD, PATCHES, UNPATCH, WINDOWS
 *
 * Pictures, [B, C, H, W], are float in every precision.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

/* What all of them are made of; each uses what it needs. */
typedef struct
{
  DimrOp op;
  CudaType type;
  gconstpointer x;
  gpointer out;
  int batch, channels, height, width; /* of the map that is no picture */
  int rows, d, start, length, f;
} LayoutLaunch;

static cudaError_t
run (const LayoutLaunch *self,
     cudaStream_t        stream)
{
  switch (self->op)
    {
    case DIMR_OP_PAD_TOKENS:
      return cuda_pad_tokens (stream, self->type, self->x, self->out, self->batch, self->rows, self->start, self->length, self->d);
    case DIMR_OP_PAD_CHANNELS:
      return cuda_pad_channels (stream, self->type, self->x, self->out, self->rows, self->d, self->start, self->length);
    case DIMR_OP_PIXEL_UNSHUFFLE:
      return cuda_pixel_unshuffle (stream, self->type, self->x, self->out, self->batch, self->height, self->width, self->d, self->f);
    case DIMR_OP_SPREAD:
      return cuda_spread (stream, self->x, self->out, self->batch * self->channels, self->height, self->width, self->f);
    case DIMR_OP_PATCHES:
      return cuda_patches (stream, self->type, self->x, self->out, self->batch, self->channels, self->height, self->width, self->f);
    case DIMR_OP_UNPATCH:
      return cuda_unpatch (stream, self->type, self->x, self->out, self->batch, self->channels, self->height, self->width, self->f);
    case DIMR_OP_WINDOWS:
      return cuda_windows (stream, self->type, self->x, self->out, self->length, self->batch, self->channels, self->height,
                           self->width, self->f);
    default: /* TRANSPOSE: a picture of N channels and one row */
      return cuda_image_to_map (stream, CUDA_TYPE_F32, self->x, self->out, self->batch, self->rows, 1, self->d);
    }
}

static gboolean
launch_layout (CudaDevice     *device,
               gconstpointer   data,
               cudaStream_t    stream,
               GError        **error)
{
  return cuda_device_check (device, run (data, stream), error);
}

/* Tokens and channels; x [B, N, D] or […, D] */
static void
pad_prepare (CudaBuilder    *builder,
             const DimrNode *node,
             DimrNodeId      id)
{
  const DimrNode *x = cuda_input (builder->graph, node, 0);
  LayoutLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (LayoutLaunch){
    .op = node->op,
    .type = cuda_slot_type (builder->graph, id, CUDA_SLOT_RESULT, builder->precision),
    .x = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .batch = (int) x->shape.dims[0],
    .rows = node->op == DIMR_OP_PAD_CHANNELS ? cuda_n_rows (x) : (int) x->shape.dims[1],
    .d = cuda_n_channels (x),
    .start = (int) node->attrs.start,
    .length = (int) node->attrs.length,
  };
  cuda_builder_add (builder, launch_layout, launch);
}

/* Maps. Of PATCHES, UNPATCH and WINDOWS one side is a picture, [B, C, H, W], the other a map, [B, H, W, D]; SPREAD has pictures on
 * both sides, PIXEL_UNSHUFFLE maps. */
static void
map_prepare (CudaBuilder    *builder,
             const DimrNode *node,
             DimrNodeId      id)
{
  const gint64 *x = cuda_input (builder->graph, node, 0)->shape.dims, *y = node->shape.dims;
  const gint64 *map = node->op == DIMR_OP_UNPATCH ? x : y, *picture = node->op == DIMR_OP_UNPATCH ? y : x;
  LayoutLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (LayoutLaunch){
    .op = node->op,
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .batch = (int) map[0],
    .channels = (int) picture[1],
    .height = (int) map[1],
    .width = (int) map[2],
    .d = (int) x[3],
    .length = (int) map[3],
    .f = (int) node->attrs.factor,
  };
  if (node->op == DIMR_OP_SPREAD)
    {
      launch->height = (int) x[2];
      launch->width = (int) x[3];
    }
  cuda_builder_add (builder, launch_layout, launch);
}

#define MOVED CUDA_SLOT (0) | CUDA_SLOT (CUDA_SLOT_RESULT)
const CudaOp cuda_op_pad_tokens = { .prepare = pad_prepare, .as_stored = MOVED, .follows = TRUE };
const CudaOp cuda_op_pad_channels = { .prepare = pad_prepare, .as_stored = MOVED, .follows = TRUE };
const CudaOp cuda_op_transpose = { .prepare = pad_prepare, .wide = MOVED };
const CudaOp cuda_op_pixel_unshuffle = { .prepare = map_prepare };
const CudaOp cuda_op_spread = { .prepare = map_prepare, .wide = MOVED };
const CudaOp cuda_op_patches = { .prepare = map_prepare, .wide = CUDA_SLOT (0) };
const CudaOp cuda_op_unpatch = { .prepare = map_prepare, .wide = CUDA_SLOT (CUDA_SLOT_RESULT) };
const CudaOp cuda_op_windows = { .prepare = map_prepare, .wide = CUDA_SLOT (0) };
