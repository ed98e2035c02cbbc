/* cpu-builder.c — the table of ops, and what their prepare() functions ask for
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include <string.h>

static const CpuOp * const ops[DIMR_N_OPS] = {
  [DIMR_OP_SLICE_TOKENS] = &cpu_op_slice_tokens,
  [DIMR_OP_CONCAT] = &cpu_op_concat,
  [DIMR_OP_ADD] = &cpu_op_add,
  [DIMR_OP_AVERAGE_POOL] = &cpu_op_average_pool,
  [DIMR_OP_PATCHIFY] = &cpu_op_patchify,
  [DIMR_OP_ADD_POSITION] = &cpu_op_add_position,
  [DIMR_OP_EMBEDDING] = &cpu_op_embedding,
  [DIMR_OP_PREPEND_TOKEN] = &cpu_op_prepend_token,
  [DIMR_OP_TIME_PARAM] = &cpu_op_time_param,
  [DIMR_OP_RMS_NORM] = &cpu_op_rms_norm,
  [DIMR_OP_LAYER_NORM] = &cpu_op_layer_norm,
  [DIMR_OP_LINEAR] = &cpu_op_linear,
  [DIMR_OP_ATTENTION] = &cpu_op_attention,
  [DIMR_OP_GEGLU] = &cpu_op_geglu,
  [DIMR_OP_LINEAR_GEGLU] = &cpu_op_linear_geglu,
  [DIMR_OP_DEPTHWISE_CONV] = &cpu_op_depthwise_conv,
  [DIMR_OP_PIXEL_SHUFFLE] = &cpu_op_pixel_shuffle,
  [DIMR_OP_CONV_TO_IMAGE] = &cpu_op_conv_to_image,
  [DIMR_OP_TO_IMAGE] = &cpu_op_to_image,
  [DIMR_OP_SLICE_CHANNELS] = &cpu_op_slice_channels,
  [DIMR_OP_REPEAT] = &cpu_op_repeat,
  [DIMR_OP_TIMESTEP_EMBEDDING] = &cpu_op_timestep_embedding,
  [DIMR_OP_SILU] = &cpu_op_unary,
  [DIMR_OP_GELU] = &cpu_op_unary,
  [DIMR_OP_GELU_TANH] = &cpu_op_unary,
  [DIMR_OP_MODULATE] = &cpu_op_modulate,
  [DIMR_OP_GATED_ADD] = &cpu_op_gated_add,
  [DIMR_OP_ADA_RMS_NORM] = &cpu_op_ada_rms_norm,
  [DIMR_OP_AXIAL_ROPE] = &cpu_op_axial_rope,
  [DIMR_OP_IMAGE_TO_MAP] = &cpu_op_image_to_map,
  [DIMR_OP_UPSAMPLE_NEAREST] = &cpu_op_upsample_nearest,
  [DIMR_OP_GROUP_STATS] = &cpu_op_group_stats,
  [DIMR_OP_GROUP_NORM] = &cpu_op_group_norm,
  [DIMR_OP_CONV2D] = &cpu_op_conv2d,

  [DIMR_OP_LINEAR_INPUT_GRAD] = &cpu_op_linear_input_grad,
  [DIMR_OP_LINEAR_WEIGHT_GRAD] = &cpu_op_linear_weight_grad,
  [DIMR_OP_SUM_ROWS] = &cpu_op_sum_rows,
  [DIMR_OP_PAD_TOKENS] = &cpu_op_pad_tokens,
  [DIMR_OP_TRANSPOSE] = &cpu_op_transpose,
  [DIMR_OP_SPREAD] = &cpu_op_spread,
  [DIMR_OP_PATCHES] = &cpu_op_patches,
  [DIMR_OP_UNPATCH] = &cpu_op_unpatch,
  [DIMR_OP_WINDOWS] = &cpu_op_windows,
  [DIMR_OP_POSITION_GRAD] = &cpu_op_position_grad,
  [DIMR_OP_EMBEDDING_GRAD] = &cpu_op_embedding_grad,
  [DIMR_OP_TIME_PARAM_GRAD] = &cpu_op_time_param_grad,
  [DIMR_OP_RMS_NORM_GRAD] = &cpu_op_rms_norm_grad,
  [DIMR_OP_RMS_NORM_SCALE_GRAD] = &cpu_op_rms_norm_scale_grad,
  [DIMR_OP_LAYER_NORM_GRAD] = &cpu_op_layer_norm_grad,
  [DIMR_OP_LAYER_NORM_WEIGHT_GRAD] = &cpu_op_layer_norm_weight_grad,
  [DIMR_OP_ATTENTION_GRAD] = &cpu_op_attention_grad,
  [DIMR_OP_GEGLU_GRAD] = &cpu_op_geglu_grad,
  [DIMR_OP_DEPTHWISE_INPUT_GRAD] = &cpu_op_depthwise_input_grad,
  [DIMR_OP_DEPTHWISE_WEIGHT_GRAD] = &cpu_op_depthwise_weight_grad,
  [DIMR_OP_PIXEL_UNSHUFFLE] = &cpu_op_pixel_unshuffle,
  [DIMR_OP_CONV_TO_IMAGE_INPUT_GRAD] = &cpu_op_conv_to_image_input_grad,
  [DIMR_OP_SILU_GRAD] = &cpu_op_unary_grad,
  [DIMR_OP_GELU_GRAD] = &cpu_op_unary_grad,
  [DIMR_OP_GELU_TANH_GRAD] = &cpu_op_unary_grad,
  [DIMR_OP_SUM_PRODUCTS] = &cpu_op_sum_products,
  [DIMR_OP_PAD_CHANNELS] = &cpu_op_pad_channels,
  [DIMR_OP_ADA_RMS_NORM_GRAD] = &cpu_op_ada_rms_norm_grad,
  [DIMR_OP_ADA_RMS_NORM_SCALE_GRAD] = &cpu_op_ada_rms_norm_scale_grad,
  [DIMR_OP_AXIAL_ROPE_GRAD] = &cpu_op_axial_rope_grad,
  [DIMR_OP_AXIAL_ROPE_PARAM_GRAD] = &cpu_op_axial_rope_grad,
  [DIMR_OP_MEAN_SQUARE] = &cpu_op_mean_square,
  [DIMR_OP_MEAN_SQUARE_GRAD] = &cpu_op_mean_square_grad,
  [DIMR_OP_CROSS_ENTROPY] = &cpu_op_cross_entropy,
  [DIMR_OP_CROSS_ENTROPY_GRAD] = &cpu_op_cross_entropy_grad,
};

const CpuOp *
cpu_op_get (DimrOp op)
{
  return op < DIMR_N_OPS ? ops[op] : NULL;
}

gboolean
cpu_is_param (const DimrGraph *graph,
              DimrNodeId       id)
{
  const DimrNode *node;

  if (id == DIMR_NODE_NONE)
    return TRUE;
  for (node = dimr_graph_peek_node (graph, id); node->op == DIMR_OP_RESHAPE;)
    node = dimr_graph_peek_node (graph, node->inputs[0]);
  return node->op == DIMR_OP_PARAM;
}

const DimrNode *
cpu_input (const DimrGraph *graph,
           const DimrNode  *node,
           guint            slot)
{
  return dimr_graph_peek_node (graph, node->inputs[slot]);
}

gsize
cpu_n_channels (const DimrNode *node)
{
  return (gsize) node->shape.dims[node->shape.n_dims - 1];
}

gsize
cpu_n_rows (const DimrNode *node)
{
  gsize n = 1;

  for (guint i = 0; i + 1 < node->shape.n_dims; i++)
    n *= (gsize) node->shape.dims[i];
  return n;
}

gconstpointer
cpu_builder_param (CpuBuilder      *self,
                   DimrNodeId       id,
                   const CpuLayout *layout)
{
  const DimrNode *node = dimr_graph_peek_node (self->graph, dimr_plan_get_param (self->plan, id));
  CpuParam *param;

  if (self->error != NULL)
    return NULL;
  param = cpu_params_get (self->params, self->weights, node->name, layout, &self->error);
  if (param == NULL)
    return NULL;
  g_ptr_array_add (self->used, param);
  return cpu_param_peek (param);
}

gpointer
cpu_builder_peek (CpuBuilder *self,
                  DimrNodeId  id)
{
  gsize offset;

  if (id == DIMR_NODE_NONE)
    return NULL;
  offset = dimr_plan_get_offset (self->plan, id);
  if (offset == DIMR_OFFSET_NONE)
    return (gpointer) cpu_builder_vector (self, id, dimr_shape_n_elements (&dimr_graph_peek_node (self->graph, id)->shape), 1);
  return self->arena + offset;
}

const float *
cpu_builder_vector (CpuBuilder *self,
                    DimrNodeId  id,
                    gsize       n,
                    gsize       width)
{
  const CpuLayout layout = { .kind = CPU_LAYOUT_PLAIN, .n = n, .k = 1, .width = width };

  if (id == DIMR_NODE_NONE)
    return cpu_builder_alloc (self, (n + width - 1) / width * width * sizeof (float));
  return cpu_builder_param (self, id, &layout);
}

gpointer
cpu_builder_alloc (CpuBuilder *self,
                   gsize       size)
{
  gpointer data = g_malloc0 (size);

  g_ptr_array_add (self->memory, data);
  return data;
}

const float *
cpu_builder_add_ones (CpuBuilder *self,
                      gsize       n)
{
  float *ones = cpu_builder_alloc (self, n * sizeof *ones);

  for (gsize i = 0; i < n; i++)
    ones[i] = 1;
  return ones;
}

static void
add_step (CpuBuilder    *self,
          CpuTaskFunc    run,
          gconstpointer  data,
          gsize          n_tasks,
          gboolean       beside)
{
  CpuStep step = { run, data, n_tasks, self->place, beside };

  g_array_append_val (self->steps, step);
}

void
cpu_builder_add_step (CpuBuilder    *self,
                      CpuTaskFunc    run,
                      gconstpointer  data,
                      gsize          n_tasks)
{
  add_step (self, run, data, n_tasks, FALSE);
}

void
cpu_builder_add_side_step (CpuBuilder    *self,
                           CpuTaskFunc    run,
                           gconstpointer  data,
                           gsize          n_tasks)
{
  const CpuStep *last = self->steps->len > 0 ? &g_array_index (self->steps, CpuStep, self->steps->len - 1) : NULL;

  add_step (self, run, data, n_tasks, last != NULL && last->place == self->place);
}
