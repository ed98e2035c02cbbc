/* cuda-attention.c — ATTENTION: each head of each image by itself
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#define MAX_HEAD_WIDTH 128

typedef struct
{
  CudaType type;
  gconstpointer qkv;
  gpointer out;
  int batch, n_tokens, n_heads, head_width;
} AttentionLaunch;

static gboolean
launch_attention (CudaDevice     *device,
                  gconstpointer   data,
                  cudaStream_t    stream,
                  GError        **error)
{
  const AttentionLaunch *self = data;

  return cuda_device_check (device, cuda_attention (stream, self->type, self->qkv, self->out, self->batch, self->n_tokens,
                                                    self->n_heads, self->head_width), error);
}

static int
head_width (const DimrNode *node)
{
  return cuda_n_channels (node) / (int) node->attrs.n_heads;
}

static const char *
attention_supports (const DimrGraph *graph,
                    const DimrNode  *node)
{
  return head_width (node) <= MAX_HEAD_WIDTH ? NULL : "heads of more than 128 channels";
}

static void
attention_prepare (CudaBuilder    *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  AttentionLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

  *launch = (AttentionLaunch){
    .type = builder->type,
    .qkv = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .batch = (int) node->shape.dims[0],
    .n_tokens = (int) node->shape.dims[1],
    .n_heads = (int) node->attrs.n_heads,
    .head_width = head_width (node),
  };
  cuda_builder_add (builder, launch_attention, launch);
}

const CudaOp cuda_op_attention = { attention_supports, NULL, attention_prepare };
