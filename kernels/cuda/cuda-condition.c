/* cuda-condition.c — what U-ViT, DiT and the autoencoder need beside DiMR's ops: SILU, GELU, GELU_TANH,
 * MODULATE, GATED_ADD, TIMESTEP_EMBEDDING, SLICE_CHANNELS, REPEAT, TO_IMAGE, IMAGE_TO_MAP, UPSAMPLE_NEAREST
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

/* SILU, GELU and GELU_TANH */
typedef struct
{
  CudaType type;
  CudaFunction function;
  gconstpointer x;
  gpointer out;
  gsize n;
} ApplyLaunch;

static gboolean
launch_apply (CudaDevice     *device,
              gconstpointer   data,
              cudaStream_t    stream,
              GError        **error)
{
  const ApplyLaunch *self = data;

  return cuda_device_check (device, cuda_apply (stream, self->type, self->function, self->x, self->out, self->n), error);
}

static void
apply_prepare (CudaBuilder    *builder,
               const DimrNode *node,
               DimrNodeId      id)
{
  ApplyLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (ApplyLaunch){
    .type = builder->type,
    .function = node->op == DIMR_OP_SILU   ? CUDA_FUNCTION_SILU
                : node->op == DIMR_OP_GELU ? CUDA_FUNCTION_GELU
                                           : CUDA_FUNCTION_GELU_TANH,
    .x = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .n = dimr_shape_n_elements (&node->shape),
  };
  cuda_builder_add (builder, launch_apply, launch);
}

/* MODULATE (x, shift, scale) and GATED_ADD (x, gate, y) */
typedef struct
{
  CudaType type;
  gconstpointer inputs[3];
  gsize image_stride;      /* of the vectors */
  gpointer out;
  int rows, rows_per_image, d;
} ModulateLaunch;

static gboolean
launch_modulate (CudaDevice     *device,
                 gconstpointer   data,
                 cudaStream_t    stream,
                 GError        **error)
{
  const ModulateLaunch *self = data;

  return cuda_device_check (device, cuda_modulate (stream, self->type, self->inputs[0], self->inputs[1], self->inputs[2],
                                                   self->image_stride, self->out, self->rows, self->rows_per_image, self->d),
                            error);
}

static gboolean
launch_gated_add (CudaDevice     *device,
                  gconstpointer   data,
                  cudaStream_t    stream,
                  GError        **error)
{
  const ModulateLaunch *self = data;

  return cuda_device_check (device, cuda_gated_add (stream, self->type, self->inputs[0], self->inputs[1], self->inputs[2],
                                                    self->image_stride, self->out, self->rows, self->rows_per_image, self->d),
                            error);
}

static void
modulate_prepare (CudaBuilder    *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  const DimrNode *vector = cuda_input (builder->graph, node, 1);
  ModulateLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  for (guint i = 0; i < 3; i++)
    launch->inputs[i] = node->inputs[i] != DIMR_NODE_NONE ? cuda_builder_read (builder, id, i) : NULL;
  launch->type = builder->type;
  launch->image_stride = vector->shape.dims[0] > 1 ? (gsize) cuda_n_channels (vector) : 0;
  launch->out = cuda_builder_write (builder, id);
  launch->rows = cuda_n_rows (node);
  launch->rows_per_image = cuda_rows_per_image (node);
  launch->d = cuda_n_channels (node);
  cuda_builder_add (builder, node->op == DIMR_OP_MODULATE ? launch_modulate : launch_gated_add, launch);
}

/* TIMESTEP_EMBEDDING (t) */
typedef struct
{
  CudaType type;
  const float *t;
  gpointer out;
  int n_times, length;
} EmbedTimeLaunch;

static gboolean
launch_embed_time (CudaDevice     *device,
                   gconstpointer   data,
                   cudaStream_t    stream,
                   GError        **error)
{
  const EmbedTimeLaunch *self = data;

  return cuda_device_check (device, cuda_timestep_embedding (stream, self->type, self->t, self->out, self->n_times,
                                                             self->length), error);
}

static void
embed_time_prepare (CudaBuilder    *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  EmbedTimeLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (EmbedTimeLaunch){
    .type = builder->type,
    .t = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .n_times = (int) node->shape.dims[0],
    .length = (int) node->shape.dims[1],
  };
  cuda_builder_add (builder, launch_embed_time, launch);
}

/* SLICE_CHANNELS (x) and REPEAT (x) */
typedef struct
{
  CudaType type;
  gconstpointer x;
  gpointer out;
  gsize n;          /* REPEAT: elements of x */
  int rows, d, start, length, copies;
} CopyLaunch;

static gboolean
launch_slice_channels (CudaDevice     *device,
                       gconstpointer   data,
                       cudaStream_t    stream,
                       GError        **error)
{
  const CopyLaunch *self = data;

  return cuda_device_check (device, cuda_slice_channels (stream, self->type, self->x, self->out, self->rows, self->d,
                                                         self->start, self->length), error);
}

static gboolean
launch_repeat (CudaDevice     *device,
               gconstpointer   data,
               cudaStream_t    stream,
               GError        **error)
{
  const CopyLaunch *self = data;

  return cuda_device_check (device, cuda_repeat (stream, self->type, self->x, self->out, self->n, self->copies), error);
}

static void
copy_prepare (CudaBuilder    *builder,
              const DimrNode *node,
              DimrNodeId      id)
{
  const DimrNode *x = cuda_input (builder->graph, node, 0);
  CopyLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (CopyLaunch){
    .type = cuda_slot_type (builder->graph, id, CUDA_SLOT_RESULT, builder->precision),
    .x = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .n = dimr_shape_n_elements (&x->shape),
    .rows = cuda_n_rows (node),
    .d = cuda_n_channels (x),
    .start = (int) node->attrs.start,
    .length = (int) node->attrs.length,
    .copies = (int) node->attrs.factor,
  };
  cuda_builder_add (builder, node->op == DIMR_OP_REPEAT ? launch_repeat : launch_slice_channels, launch);
}

/* TO_IMAGE (x [B, H, W, C]), IMAGE_TO_MAP (x [B, C, H, W]) and UPSAMPLE_NEAREST (x [B, H, W, D]): @shape
 * is the map's, channels last. */
typedef struct
{
  CudaType type;
  gconstpointer x;
  gpointer out;
  int batch, height, width, channels, f;
} MapLaunch;

static gboolean
launch_to_image (CudaDevice     *device,
                 gconstpointer   data,
                 cudaStream_t    stream,
                 GError        **error)
{
  const MapLaunch *self = data;

  return cuda_device_check (device, cuda_to_image (stream, self->type, self->x, self->out, self->batch, self->height,
                                                   self->width, self->channels), error);
}

static gboolean
launch_image_to_map (CudaDevice     *device,
                     gconstpointer   data,
                     cudaStream_t    stream,
                     GError        **error)
{
  const MapLaunch *self = data;

  return cuda_device_check (device, cuda_image_to_map (stream, self->type, self->x, self->out, self->batch, self->channels,
                                                       self->height, self->width), error);
}

static gboolean
launch_upsample (CudaDevice     *device,
                 gconstpointer   data,
                 cudaStream_t    stream,
                 GError        **error)
{
  const MapLaunch *self = data;

  return cuda_device_check (device, cuda_upsample_nearest (stream, self->type, self->x, self->out, self->batch, self->height,
                                                           self->width, self->channels, self->f), error);
}

static void
map_prepare (CudaBuilder    *builder,
             const DimrNode *node,
             DimrNodeId      id)
{
  const gint64 *map = node->op == DIMR_OP_IMAGE_TO_MAP ? node->shape.dims : cuda_input (builder->graph, node, 0)->shape.dims;
  MapLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (MapLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .batch = (int) map[0],
    .height = (int) map[1],
    .width = (int) map[2],
    .channels = (int) map[3],
    .f = (int) node->attrs.factor,
  };
  cuda_builder_add (builder,
                    node->op == DIMR_OP_TO_IMAGE         ? launch_to_image
                    : node->op == DIMR_OP_IMAGE_TO_MAP   ? launch_image_to_map
                                                         : launch_upsample,
                    launch);
}

const CudaOp cuda_op_silu = { .prepare = apply_prepare };
const CudaOp cuda_op_gelu = { .prepare = apply_prepare };
const CudaOp cuda_op_gelu_tanh = { .prepare = apply_prepare };
const CudaOp cuda_op_modulate = { .prepare = modulate_prepare };
const CudaOp cuda_op_gated_add = { .prepare = modulate_prepare };
const CudaOp cuda_op_timestep_embedding = { .prepare = embed_time_prepare, .wide = CUDA_SLOT (0) };
const CudaOp cuda_op_slice_channels = {
  .prepare = copy_prepare, .as_stored = CUDA_SLOT (0) | CUDA_SLOT (CUDA_SLOT_RESULT), .follows = TRUE,
};
const CudaOp cuda_op_repeat = { .prepare = copy_prepare };
const CudaOp cuda_op_to_image = { .prepare = map_prepare, .wide = CUDA_SLOT (CUDA_SLOT_RESULT) };
const CudaOp cuda_op_image_to_map = { .prepare = map_prepare, .wide = CUDA_SLOT (0) };
const CudaOp cuda_op_upsample_nearest = { .prepare = map_prepare };
