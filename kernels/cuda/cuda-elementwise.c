/* cuda-elementwise.c — what moves or adds numbers: ADD, GEGLU, PIXEL_SHUFFLE, SLICE_TOKENS, CONCAT,
 * AVERAGE_POOL, ADD_POSITION, EMBEDDING, PREPEND_TOKEN
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

/* ADD and GEGLU */
typedef struct
{
  CudaType type;
  gboolean gate;
  gconstpointer a, b;
  gpointer out;
  int rows, d;
} BinaryLaunch;

static gboolean
launch_binary (CudaDevice     *device,
               gconstpointer   data,
               cudaStream_t    stream,
               GError        **error)
{
  const BinaryLaunch *self = data;
  const cudaError_t status =
    self->gate ? cuda_geglu (stream, self->type, self->a, self->b, (size_t) self->d, self->out, self->rows, self->d)
               : cuda_add (stream, self->type, self->a, self->b, self->out, (size_t) self->rows * (size_t) self->d);

  return cuda_device_check (device, status, error);
}

static void
binary_prepare (CudaBuilder    *builder,
                const DimrNode *node,
                DimrNodeId      id)
{
  BinaryLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (BinaryLaunch){
    .type = cuda_slot_type (builder->graph, id, CUDA_SLOT_RESULT, builder->precision),
    .gate = node->op == DIMR_OP_GEGLU,
    .a = cuda_builder_read (builder, id, 0),
    .b = cuda_builder_read (builder, id, 1),
    .out = cuda_builder_write (builder, id),
    .rows = cuda_n_rows (node),
    .d = cuda_n_channels (node),
  };
  cuda_builder_add (builder, launch_binary, launch);
}

/* PIXEL_SHUFFLE (x [B, H, W, f·f·D]) */
typedef struct
{
  CudaType type;
  gconstpointer x;
  gpointer out;
  int batch, height, width, d, f;
} ShuffleLaunch;

static gboolean
launch_shuffle (CudaDevice     *device,
                gconstpointer   data,
                cudaStream_t    stream,
                GError        **error)
{
  const ShuffleLaunch *self = data;

  return cuda_device_check (device, cuda_pixel_shuffle (stream, self->type, self->x, self->out, self->batch, self->height,
                                                        self->width, self->d, self->f), error);
}

static void
shuffle_prepare (CudaBuilder    *builder,
                 const DimrNode *node,
                 DimrNodeId      id)
{
  const gint64 *in = cuda_input (builder->graph, node, 0)->shape.dims;
  ShuffleLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (ShuffleLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .batch = (int) in[0],
    .height = (int) in[1],
    .width = (int) in[2],
    .d = cuda_n_channels (node),
    .f = (int) node->attrs.factor,
  };
  cuda_builder_add (builder, launch_shuffle, launch);
}

/* SLICE_TOKENS (x [B, N, D]) */
typedef struct
{
  CudaType type;
  gconstpointer x;
  gpointer out;
  int batch, n_tokens, start, length, d;
} SliceLaunch;

static gboolean
launch_slice (CudaDevice     *device,
              gconstpointer   data,
              cudaStream_t    stream,
              GError        **error)
{
  const SliceLaunch *self = data;

  return cuda_device_check (device, cuda_slice_tokens (stream, self->type, self->x, self->out, self->batch, self->n_tokens,
                                                       self->start, self->length, self->d), error);
}

static void
slice_prepare (CudaBuilder    *builder,
               const DimrNode *node,
               DimrNodeId      id)
{
  const gint64 *in = cuda_input (builder->graph, node, 0)->shape.dims;
  SliceLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (SliceLaunch){
    .type = cuda_slot_type (builder->graph, id, CUDA_SLOT_RESULT, builder->precision),
    .x = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .batch = (int) in[0],
    .n_tokens = (int) in[1],
    .start = (int) node->attrs.start,
    .length = (int) node->attrs.length,
    .d = (int) in[2],
  };
  cuda_builder_add (builder, launch_slice, launch);
}

/* PREPEND_TOKEN (x [B, N, D], token [B, D]) */
typedef struct
{
  CudaType type;
  gconstpointer x, token;
  gpointer out;
  int batch, n_tokens, d;
} PrependLaunch;

static gboolean
launch_prepend (CudaDevice     *device,
                gconstpointer   data,
                cudaStream_t    stream,
                GError        **error)
{
  const PrependLaunch *self = data;

  return cuda_device_check (device, cuda_prepend_token (stream, self->type, self->x, self->token, self->out, self->batch,
                                                        self->n_tokens, self->d), error);
}

static void
prepend_prepare (CudaBuilder    *builder,
                 const DimrNode *node,
                 DimrNodeId      id)
{
  PrependLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (PrependLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .token = cuda_builder_read (builder, id, 1),
    .out = cuda_builder_write (builder, id),
    .batch = (int) node->shape.dims[0],
    .n_tokens = (int) node->shape.dims[1] - 1,
    .d = (int) node->shape.dims[2],
  };
  cuda_builder_add (builder, launch_prepend, launch);
}

/* CONCAT (x0, x1, …) */
typedef struct
{
  CudaType type;
  CudaSources sources;
  gpointer out;
  int rows, rows_per_image;
} ConcatLaunch;

static gboolean
launch_concat (CudaDevice     *device,
               gconstpointer   data,
               cudaStream_t    stream,
               GError        **error)
{
  const ConcatLaunch *self = data;

  return cuda_device_check (device, cuda_concat (stream, self->type, &self->sources, self->out, self->rows,
                                                 self->rows_per_image), error);
}

static const char *
concat_supports (const DimrGraph *graph,
                 const DimrNode  *node)
{
  return node->n_inputs <= CUDA_MAX_SOURCES ? NULL : _("more than 64 inputs");
}

static void
concat_prepare (CudaBuilder    *builder,
                const DimrNode *node,
                DimrNodeId      id)
{
  ConcatLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  launch->type = builder->type;
  launch->sources = cuda_builder_sources (builder, id, 0);
  launch->out = cuda_builder_write (builder, id);
  launch->rows = cuda_n_rows (node);
  launch->rows_per_image = cuda_rows_per_image (node);
  cuda_builder_add (builder, launch_concat, launch);
}

/* AVERAGE_POOL (x [B, C, H, W]): float in every precision */
typedef struct
{
  const float *x;
  float *out;
  int planes, height, width, f;
} PoolLaunch;

static gboolean
launch_pool (CudaDevice     *device,
             gconstpointer   data,
             cudaStream_t    stream,
             GError        **error)
{
  const PoolLaunch *self = data;

  return cuda_device_check (device, cuda_average_pool (stream, self->x, self->out, self->planes, self->height, self->width,
                                                       self->f), error);
}

static void
pool_prepare (CudaBuilder    *builder,
              const DimrNode *node,
              DimrNodeId      id)
{
  const gint64 *in = cuda_input (builder->graph, node, 0)->shape.dims;
  PoolLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (PoolLaunch){
    .x = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .planes = (int) (in[0] * in[1]),
    .height = (int) in[2],
    .width = (int) in[3],
    .f = (int) node->attrs.factor,
  };
  cuda_builder_add (builder, launch_pool, launch);
}

/* ADD_POSITION (x [B, H, W, D], table) */
typedef struct
{
  CudaType type;
  gconstpointer x;
  const float *table;
  gpointer out;
  int table_width, batch, height, width, d;
} PositionLaunch;

static gboolean
launch_position (CudaDevice     *device,
                 gconstpointer   data,
                 cudaStream_t    stream,
                 GError        **error)
{
  const PositionLaunch *self = data;

  return cuda_device_check (device, cuda_add_position (stream, self->type, self->x, self->table, self->table_width, self->out,
                                                       self->batch, self->height, self->width, self->d), error);
}

static const char *
table_supports (const DimrGraph *graph,
                const DimrNode  *node)
{
  return cuda_is_param (graph, node->inputs[1]) ? NULL : _("tables that are computed");
}

static void
position_prepare (CudaBuilder    *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  const gint64 *dims = node->shape.dims;
  PositionLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (PositionLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .table = cuda_builder_floats (builder, node->inputs[1]),
    .out = cuda_builder_write (builder, id),
    .table_width = (int) node->attrs.width,
    .batch = (int) dims[0],
    .height = (int) dims[1],
    .width = (int) dims[2],
    .d = (int) dims[3],
  };
  cuda_builder_add (builder, launch_position, launch);
}

/* EMBEDDING (table, index): the program looks at the indices when they are written. */
typedef struct
{
  CudaType type;
  const float *table;
  const int *index;
  gpointer out;
  int batch, k, d;
} EmbeddingLaunch;

static gboolean
launch_embedding (CudaDevice     *device,
                  gconstpointer   data,
                  cudaStream_t    stream,
                  GError        **error)
{
  const EmbeddingLaunch *self = data;

  return cuda_device_check (device, cuda_embedding (stream, self->type, self->table, self->index, self->out, self->batch,
                                                    self->k, self->d), error);
}

static const char *
embedding_supports (const DimrGraph *graph,
                    const DimrNode  *node)
{
  const DimrNode *index = cuda_input (graph, node, 1);

  if (!cuda_is_param (graph, node->inputs[0]))
    return _("tables that are computed");
  return index->op == DIMR_OP_INPUT && index->dtype == DIMR_DTYPE_I32 ? NULL : _("indices that are no input of 32-bit integers");
}

static void
embedding_prepare (CudaBuilder    *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  EmbeddingLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (EmbeddingLaunch){
    .type = builder->type,
    .table = cuda_builder_floats (builder, node->inputs[0]),
    .index = cuda_builder_read (builder, id, 1),
    .out = cuda_builder_write (builder, id),
    .batch = (int) node->shape.dims[0],
    .k = (int) cuda_input (builder->graph, node, 0)->shape.dims[0],
    .d = (int) node->shape.dims[1],
  };
  cuda_builder_add (builder, launch_embedding, launch);
}

#define MOVED CUDA_SLOT (0) | CUDA_SLOT (CUDA_SLOT_RESULT)
const CudaOp cuda_op_add = { .prepare = binary_prepare, .as_stored = MOVED | CUDA_SLOT (1), .follows = TRUE };
const CudaOp cuda_op_geglu = { .prepare = binary_prepare };
const CudaOp cuda_op_pixel_shuffle = { .prepare = shuffle_prepare };
const CudaOp cuda_op_slice_tokens = { .prepare = slice_prepare, .as_stored = MOVED, .follows = TRUE };
const CudaOp cuda_op_prepend_token = { .prepare = prepend_prepare };
const CudaOp cuda_op_concat = { concat_supports, NULL, concat_prepare };
const CudaOp cuda_op_average_pool = { .prepare = pool_prepare, .wide = CUDA_SLOT (0) | CUDA_SLOT (CUDA_SLOT_RESULT) };
const CudaOp cuda_op_add_position = { table_supports, NULL, position_prepare };
const CudaOp cuda_op_embedding = { embedding_supports, NULL, embedding_prepare };
