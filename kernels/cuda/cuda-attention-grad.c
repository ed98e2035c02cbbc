/* cuda-attention-grad.c — ATTENTION_GRAD (qkv, y, dy)
 *
 * Nothing of the forward pass is kept but qkv and y: what the softmax was is computed again, so no
 * matrix of scores is ever in memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

#define MAX_HEAD_WIDTH 128

typedef struct
{
  CudaType type;
  gconstpointer qkv, y, dy;
  float *scratch;
  gpointer out;
  int batch, n_tokens, n_heads, head_width;
} AttentionGradLaunch;

static gboolean
launch_attention_grad (CudaDevice     *device,
                       gconstpointer   data,
                       cudaStream_t    stream,
                       GError        **error)
{
  const AttentionGradLaunch *self = data;

  return cuda_device_check (device, cuda_attention_grad (stream, self->type, self->qkv, self->y, self->dy, self->scratch, self->out,
                                                         self->batch, self->n_tokens, self->n_heads, self->head_width), error);
}

static int
head_width (const DimrNode *node)
{
  return cuda_n_channels (node) / 3 / (int) node->attrs.n_heads;
}

static const char *
attention_grad_supports (const DimrGraph *graph,
                         const DimrNode  *node)
{
  return head_width (node) <= MAX_HEAD_WIDTH ? NULL : _("heads of more than 128 channels");
}

static gsize
scratch_bytes (const DimrNode *node)
{
  return cuda_align (cuda_attention_grad_scratch ((int) node->shape.dims[0], (int) node->shape.dims[1], (int) node->attrs.n_heads) *
                     sizeof (float));
}

static gsize
attention_grad_workspace (const CudaDevice *device,
                          const DimrGraph  *graph,
                          const DimrNode   *node,
                          DimrPrecision     precision)
{
  return scratch_bytes (node);
}

static void
attention_grad_prepare (CudaBuilder    *builder,
                        const DimrNode *node,
                        DimrNodeId      id)
{
  AttentionGradLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (AttentionGradLaunch){
    .type = builder->type,
    .qkv = cuda_builder_read (builder, id, 0),
    .y = cuda_builder_read (builder, id, 1),
    .dy = cuda_builder_read (builder, id, 2),
    .scratch = cuda_builder_scratch (builder, scratch_bytes (node)),
    .out = cuda_builder_write (builder, id),
    .batch = (int) node->shape.dims[0],
    .n_tokens = (int) node->shape.dims[1],
    .n_heads = (int) node->attrs.n_heads,
    .head_width = head_width (node),
  };
  cuda_builder_add (builder, launch_attention_grad, launch);
}

const CudaOp cuda_op_attention_grad = { attention_grad_supports, attention_grad_workspace, attention_grad_prepare };
