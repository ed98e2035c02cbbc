/* cpu-attention-grad.c — ATTENTION_GRAD: a task is one head of one image
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

typedef struct
{
  CpuAttentionGrad grad;
  const CpuSimd *simd;
  float *scratch;  /* [threads][scratch_size] */
  gsize scratch_size;
} AttentionGradStep;

static void
run_attention_grad (gconstpointer  data,
                    gsize          task,
                    guint          thread,
                    GError       **error)
{
  const AttentionGradStep *self = data;

  self->simd->attention_grad (&self->grad, task / self->grad.n_heads, task % self->grad.n_heads,
                              self->scratch + thread * self->scratch_size);
}

/* In floats, a multiple of a cache line. */
static gsize
scratch_size (const CpuSimd  *simd,
              const DimrNode *node)
{
  return (simd->attention_grad_scratch ((gsize) node->shape.dims[1],
                                        (gsize) node->shape.dims[2] / 3 / node->attrs.n_heads) + 15) / 16 * 16;
}

static gsize
attention_grad_workspace (const CpuTarget *target,
                          const DimrGraph *graph,
                          const DimrNode  *node)
{
  return scratch_size (target->simd, node) * target->n_threads * sizeof (float);
}

static void
attention_grad_prepare (CpuBuilder     *builder,
                        const DimrNode *node,
                        DimrNodeId      id)
{
  AttentionGradStep *step = cpu_builder_alloc (builder, sizeof *step);

  step->grad = (CpuAttentionGrad){
    .n_tokens = (gsize) node->shape.dims[1],
    .n_heads = node->attrs.n_heads,
    .head_width = (gsize) node->shape.dims[2] / 3 / node->attrs.n_heads,
    .qkv = cpu_builder_peek (builder, node->inputs[0]),
    .y = cpu_builder_peek (builder, node->inputs[1]),
    .dy = cpu_builder_peek (builder, node->inputs[2]),
    .dqkv = cpu_builder_peek (builder, id),
  };
  step->simd = builder->simd;
  step->scratch = builder->workspace;
  step->scratch_size = scratch_size (builder->simd, node);
  cpu_builder_add_step (builder, run_attention_grad, step, (gsize) node->shape.dims[0] * node->attrs.n_heads);
}

const CpuOp cpu_op_attention_grad = { NULL, attention_grad_workspace, attention_grad_prepare };
