/* cuda-ablation.c — what the paper's ablations need: ADA_RMS_NORM and AXIAL_ROPE, and their gradients
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

#define MAX_HEAD_WIDTH 128

/* ADA_RMS_NORM (x, scale [B, M, D]) and ADA_RMS_NORM_GRAD (x, scale, dy) */
typedef struct
{
  CudaType type;
  gconstpointer x, scale, dy;
  gpointer out;
  int rows, rows_per_image, cycle, d;
  float eps;
} AdaNormLaunch;

static gboolean
launch_ada_norm (CudaDevice     *device,
                 gconstpointer   data,
                 cudaStream_t    stream,
                 GError        **error)
{
  const AdaNormLaunch *self = data;

  return cuda_device_check (device, cuda_ada_rms_norm (stream, self->type, self->x, self->scale, self->dy, self->out, self->rows,
                                                       self->rows_per_image, self->cycle, self->d, self->eps), error);
}

static void
ada_norm_prepare (CudaBuilder    *builder,
                  const DimrNode *node,
                  DimrNodeId      id)
{
  AdaNormLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (AdaNormLaunch){
    .type = builder->type,
    .x = cuda_builder_read (builder, id, 0),
    .scale = cuda_builder_read (builder, id, 1),
    .dy = node->op == DIMR_OP_ADA_RMS_NORM_GRAD ? cuda_builder_read (builder, id, 2) : NULL,
    .out = cuda_builder_write (builder, id),
    .rows = cuda_n_rows (node),
    .rows_per_image = cuda_rows_per_image (node),
    .cycle = (int) cuda_input (builder->graph, node, 1)->shape.dims[1],
    .d = cuda_n_channels (node),
    .eps = (float) node->attrs.eps,
  };
  cuda_builder_add (builder, launch_ada_norm, launch);
}

/* ADA_RMS_NORM_SCALE_GRAD (x [B, …, D], dy) → [B, length, D] */
typedef struct
{
  CudaType type;
  CudaSources x;
  gconstpointer dy;
  float *scratch;
  float *out;
  int parts, rows, cycle, d;
  float eps;
} AdaScaleLaunch;

static gboolean
launch_ada_scale (CudaDevice     *device,
                  gconstpointer   data,
                  cudaStream_t    stream,
                  GError        **error)
{
  const AdaScaleLaunch *self = data;

  return cuda_device_check (device, cuda_norm_scale_grad (stream, self->type, CUDA_NORM_ADA_RMS, &self->x, self->dy, self->scratch,
                                                          self->out, self->parts, self->rows, self->cycle, self->d, self->eps),
                            error);
}

/* Rows that share a row of a scale. */
static int
rows_of_part (const DimrGraph *graph,
              const DimrNode  *node)
{
  return cuda_rows_per_image (cuda_input (graph, node, 0)) / (int) node->attrs.length;
}

static gsize
ada_scale_bytes (const DimrGraph *graph,
                 const DimrNode  *node)
{
  return cuda_align (cuda_norm_scale_scratch (cuda_n_rows (node), rows_of_part (graph, node), cuda_n_channels (node)) *
                     sizeof (float));
}

static gsize
ada_scale_workspace (const CudaDevice *device,
                     const DimrGraph  *graph,
                     const DimrNode   *node,
                     DimrPrecision     precision)
{
  return ada_scale_bytes (graph, node);
}

static void
ada_scale_prepare (CudaBuilder    *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  AdaScaleLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (AdaScaleLaunch){
    .type = builder->type,
    .x = { .n = 1, .widths = { cuda_n_channels (node) }, .data = { cuda_builder_read (builder, id, 0) } },
    .dy = cuda_builder_read (builder, id, 1),
    .scratch = cuda_builder_scratch (builder, ada_scale_bytes (builder->graph, node)),
    .out = cuda_builder_write (builder, id),
    .parts = cuda_n_rows (node),
    .rows = rows_of_part (builder->graph, node),
    .cycle = (int) node->attrs.length,
    .d = cuda_n_channels (node),
    .eps = (float) node->attrs.eps,
  };
  cuda_builder_add (builder, launch_ada_scale, launch);
}

/* AXIAL_ROPE (qkv, freqs_h, freqs_w, scale), AXIAL_ROPE_GRAD and AXIAL_ROPE_PARAM_GRAD (the same, dy) */
typedef struct
{
  CudaType type;
  CudaRope rope;
  gconstpointer qkv, dy;
  float *scratch;  /* of the parameters' gradients only */
  gpointer out;
} RopeLaunch;

static gboolean
launch_rope (CudaDevice     *device,
             gconstpointer   data,
             cudaStream_t    stream,
             GError        **error)
{
  const RopeLaunch *self = data;
  const cudaError_t status =
    self->scratch != NULL ? cuda_axial_rope_param_grad (stream, self->type, &self->rope, self->qkv, self->dy, self->scratch, self->out)
                          : cuda_axial_rope (stream, self->type, &self->rope, self->qkv, self->dy, self->out);

  return cuda_device_check (device, status, error);
}

static CudaRope
describe_rope (const DimrGraph *graph,
               const DimrNode  *node)
{
  const gint64 *qkv = cuda_input (graph, node, 0)->shape.dims;

  return (CudaRope){
    .batch = (int) qkv[0],
    .n_tokens = (int) qkv[1],
    .n_heads = (int) node->attrs.n_heads,
    .head_width = (int) qkv[2] / 3 / (int) node->attrs.n_heads,
    .n_freqs = cuda_n_channels (cuda_input (graph, node, 1)),
    .width = (int) node->attrs.width,
    .start = (int) node->attrs.start,
    .eps = (float) node->attrs.eps,
  };
}

static const char *
rope_supports (const DimrGraph *graph,
               const DimrNode  *node)
{
  return describe_rope (graph, node).head_width <= MAX_HEAD_WIDTH ? NULL : _("heads of more than 128 channels");
}

static gsize
rope_param_bytes (const DimrGraph *graph,
                  const DimrNode  *node)
{
  const CudaRope rope = describe_rope (graph, node);

  return cuda_align (cuda_axial_rope_param_scratch (&rope) * sizeof (float));
}

static gsize
rope_param_workspace (const CudaDevice *device,
                      const DimrGraph  *graph,
                      const DimrNode   *node,
                      DimrPrecision     precision)
{
  return rope_param_bytes (graph, node);
}

static void
rope_prepare (CudaBuilder    *builder,
              const DimrNode *node,
              DimrNodeId      id)
{
  RopeLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (RopeLaunch){
    .type = builder->type,
    .rope = describe_rope (builder->graph, node),
    .qkv = cuda_builder_read (builder, id, 0),
    .dy = node->op != DIMR_OP_AXIAL_ROPE ? cuda_builder_read (builder, id, 4) : NULL,
  };
  launch->rope.freqs_h = cuda_builder_read (builder, id, 1);
  launch->rope.freqs_w = cuda_builder_read (builder, id, 2);
  launch->rope.scale = cuda_builder_read (builder, id, 3);
  if (node->op == DIMR_OP_AXIAL_ROPE_PARAM_GRAD)
    launch->scratch = cuda_builder_scratch (builder, rope_param_bytes (builder->graph, node));
  launch->out = cuda_builder_write (builder, id);
  cuda_builder_add (builder, launch_rope, launch);
}

#define PARAMETERS CUDA_SLOT (1) | CUDA_SLOT (2) | CUDA_SLOT (3)
const CudaOp cuda_op_ada_rms_norm = { .prepare = ada_norm_prepare };
const CudaOp cuda_op_ada_rms_norm_grad = { .prepare = ada_norm_prepare };
const CudaOp cuda_op_ada_rms_norm_scale_grad = { NULL, ada_scale_workspace, ada_scale_prepare, CUDA_SLOT (CUDA_SLOT_RESULT) };
const CudaOp cuda_op_axial_rope = { rope_supports, NULL, rope_prepare, PARAMETERS };
const CudaOp cuda_op_axial_rope_grad = { rope_supports, NULL, rope_prepare, PARAMETERS };
const CudaOp cuda_op_axial_rope_param_grad = {
  rope_supports, rope_param_workspace, rope_prepare, PARAMETERS | CUDA_SLOT (CUDA_SLOT_RESULT),
};
