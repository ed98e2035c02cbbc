/* cpu-attention.c — ATTENTION: each head of each image by itself
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

typedef struct
{
  CpuAttention attention;
  const CpuSimd *simd;
  gsize chunks;           /* of the queries of one head */
  gsize tokens_per_chunk;
  float *scratch;         /* [threads][scratch_size] */
  gsize scratch_size;
} AttentionStep;

static void
run_attention (gconstpointer  data,
               gsize          task,
               guint          thread,
               GError       **error)
{
  const AttentionStep *self = data;
  const gsize head = task / self->chunks, token = task % self->chunks * self->tokens_per_chunk;

  self->simd->attention (&self->attention, head / self->attention.n_heads, head % self->attention.n_heads,
                         token, MIN (self->tokens_per_chunk, self->attention.n_tokens - token),
                         self->scratch + thread * self->scratch_size);
}

/* In floats, a multiple of a cache line. */
static gsize
scratch_size (const CpuSimd  *simd,
              const DimrNode *node)
{
  return (simd->attention_scratch ((gsize) node->shape.dims[1],
                                   (gsize) node->shape.dims[2] / node->attrs.n_heads) + 15) / 16 * 16;
}

static gsize
attention_workspace (const CpuTarget *target,
                     const DimrGraph *graph,
                     const DimrNode  *node)
{
  return scratch_size (target->simd, node) * target->n_threads * sizeof (float);
}

static void
attention_prepare (CpuBuilder     *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  AttentionStep *step = cpu_builder_alloc (builder, sizeof *step);
  const gsize batch = (gsize) node->shape.dims[0], tokens = (gsize) node->shape.dims[1];
  const gsize heads = batch * node->attrs.n_heads, tile = builder->simd->tile_rows;

  step->attention = (CpuAttention){
    .n_tokens = tokens,
    .n_heads = node->attrs.n_heads,
    .head_width = (gsize) node->shape.dims[2] / node->attrs.n_heads,
    .qkv = cpu_builder_peek (builder, node->inputs[0]),
    .y = cpu_builder_peek (builder, id),
  };
  step->simd = builder->simd;
  step->scratch = builder->workspace;
  step->scratch_size = scratch_size (builder->simd, node);

  /* Each chunk packs the keys and values anew, so a head is divided only for lack of heads. */
  step->chunks = CLAMP (2 * builder->n_threads / heads, 1, MAX (tokens / 32, 1));
  if (builder->n_threads == 1)
    step->chunks = 1;
  step->tokens_per_chunk = ((tokens + step->chunks - 1) / step->chunks + tile - 1) / tile * tile;
  step->chunks = (tokens + step->tokens_per_chunk - 1) / step->tokens_per_chunk;
  cpu_builder_add_step (builder, run_attention, step, heads * step->chunks);
}

const CpuOp cpu_op_attention = { NULL, attention_workspace, attention_prepare };
