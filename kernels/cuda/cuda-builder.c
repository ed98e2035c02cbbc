/* cuda-builder.c — the table of ops, and what their prepare() functions ask for
 *
 * An op computes in one type of activations. What lies in the arena in another one — the pictures
 * that come in as float, an op that is tested by itself — is converted into scratch memory by a launch
 * of its own, so no op knows of it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include <string.h>

static const CudaOp * const ops[DIMR_N_OPS] = {
  [DIMR_OP_SLICE_TOKENS] = &cuda_op_slice_tokens,
  [DIMR_OP_CONCAT] = &cuda_op_concat,
  [DIMR_OP_ADD] = &cuda_op_add,
  [DIMR_OP_AVERAGE_POOL] = &cuda_op_average_pool,
  [DIMR_OP_PATCHIFY] = &cuda_op_patchify,
  [DIMR_OP_ADD_POSITION] = &cuda_op_add_position,
  [DIMR_OP_EMBEDDING] = &cuda_op_embedding,
  [DIMR_OP_PREPEND_TOKEN] = &cuda_op_prepend_token,
  [DIMR_OP_TIME_PARAM] = &cuda_op_time_param,
  [DIMR_OP_RMS_NORM] = &cuda_op_rms_norm,
  [DIMR_OP_LAYER_NORM] = &cuda_op_layer_norm,
  [DIMR_OP_LINEAR] = &cuda_op_linear,
  [DIMR_OP_ATTENTION] = &cuda_op_attention,
  [DIMR_OP_GEGLU] = &cuda_op_geglu,
  [DIMR_OP_LINEAR_GEGLU] = &cuda_op_linear_geglu,
  [DIMR_OP_DEPTHWISE_CONV] = &cuda_op_depthwise_conv,
  [DIMR_OP_PIXEL_SHUFFLE] = &cuda_op_pixel_shuffle,
  [DIMR_OP_CONV_TO_IMAGE] = &cuda_op_conv_to_image,
  [DIMR_OP_TO_IMAGE] = &cuda_op_to_image,
  [DIMR_OP_SLICE_CHANNELS] = &cuda_op_slice_channels,
  [DIMR_OP_REPEAT] = &cuda_op_repeat,
  [DIMR_OP_TIMESTEP_EMBEDDING] = &cuda_op_timestep_embedding,
  [DIMR_OP_SILU] = &cuda_op_silu,
  [DIMR_OP_GELU] = &cuda_op_gelu,
  [DIMR_OP_GELU_TANH] = &cuda_op_gelu_tanh,
  [DIMR_OP_MODULATE] = &cuda_op_modulate,
  [DIMR_OP_GATED_ADD] = &cuda_op_gated_add,
  [DIMR_OP_ADA_RMS_NORM] = &cuda_op_ada_rms_norm,
  [DIMR_OP_AXIAL_ROPE] = &cuda_op_axial_rope,
  [DIMR_OP_IMAGE_TO_MAP] = &cuda_op_image_to_map,
  [DIMR_OP_UPSAMPLE_NEAREST] = &cuda_op_upsample_nearest,
  [DIMR_OP_GROUP_STATS] = &cuda_op_group_stats,
  [DIMR_OP_GROUP_NORM] = &cuda_op_group_norm,
  [DIMR_OP_CONV2D] = &cuda_op_conv2d,

  [DIMR_OP_LINEAR_INPUT_GRAD] = &cuda_op_linear_input_grad,
  [DIMR_OP_LINEAR_WEIGHT_GRAD] = &cuda_op_linear_weight_grad,
  [DIMR_OP_SUM_ROWS] = &cuda_op_sum_rows,
  [DIMR_OP_PAD_TOKENS] = &cuda_op_pad_tokens,
  [DIMR_OP_TRANSPOSE] = &cuda_op_transpose,
  [DIMR_OP_SPREAD] = &cuda_op_spread,
  [DIMR_OP_PATCHES] = &cuda_op_patches,
  [DIMR_OP_UNPATCH] = &cuda_op_unpatch,
  [DIMR_OP_WINDOWS] = &cuda_op_windows,
  [DIMR_OP_POSITION_GRAD] = &cuda_op_position_grad,
  [DIMR_OP_EMBEDDING_GRAD] = &cuda_op_embedding_grad,
  [DIMR_OP_TIME_PARAM_GRAD] = &cuda_op_time_param_grad,
  [DIMR_OP_RMS_NORM_GRAD] = &cuda_op_rms_norm_grad,
  [DIMR_OP_RMS_NORM_SCALE_GRAD] = &cuda_op_rms_norm_scale_grad,
  [DIMR_OP_LAYER_NORM_GRAD] = &cuda_op_layer_norm_grad,
  [DIMR_OP_LAYER_NORM_WEIGHT_GRAD] = &cuda_op_layer_norm_weight_grad,
  [DIMR_OP_ATTENTION_GRAD] = &cuda_op_attention_grad,
  [DIMR_OP_GEGLU_GRAD] = &cuda_op_geglu_grad,
  [DIMR_OP_DEPTHWISE_INPUT_GRAD] = &cuda_op_depthwise_input_grad,
  [DIMR_OP_DEPTHWISE_WEIGHT_GRAD] = &cuda_op_depthwise_weight_grad,
  [DIMR_OP_PIXEL_UNSHUFFLE] = &cuda_op_pixel_unshuffle,
  [DIMR_OP_CONV_TO_IMAGE_INPUT_GRAD] = &cuda_op_conv_to_image_input_grad,
  [DIMR_OP_SILU_GRAD] = &cuda_op_silu_grad,
  [DIMR_OP_GELU_GRAD] = &cuda_op_gelu_grad,
  [DIMR_OP_GELU_TANH_GRAD] = &cuda_op_gelu_tanh_grad,
  [DIMR_OP_SUM_PRODUCTS] = &cuda_op_sum_products,
  [DIMR_OP_PAD_CHANNELS] = &cuda_op_pad_channels,
  [DIMR_OP_ADA_RMS_NORM_GRAD] = &cuda_op_ada_rms_norm_grad,
  [DIMR_OP_ADA_RMS_NORM_SCALE_GRAD] = &cuda_op_ada_rms_norm_scale_grad,
  [DIMR_OP_AXIAL_ROPE_GRAD] = &cuda_op_axial_rope_grad,
  [DIMR_OP_AXIAL_ROPE_PARAM_GRAD] = &cuda_op_axial_rope_param_grad,
  [DIMR_OP_MEAN_SQUARE] = &cuda_op_mean_square,
  [DIMR_OP_MEAN_SQUARE_GRAD] = &cuda_op_mean_square_grad,
  [DIMR_OP_CROSS_ENTROPY] = &cuda_op_cross_entropy,
  [DIMR_OP_CROSS_ENTROPY_GRAD] = &cuda_op_cross_entropy_grad,
};

const CudaOp *
cuda_op_get (DimrOp op)
{
  return op < DIMR_N_OPS ? ops[op] : NULL;
}

CudaType
cuda_type (DimrPrecision precision)
{
  return precision == DIMR_PRECISION_F32 ? CUDA_TYPE_F32 : CUDA_TYPE_BF16;
}

gsize
cuda_type_size (CudaType type)
{
  return type == CUDA_TYPE_F32 ? 4 : 2;
}

static const DimrNode *
find_root (const DimrGraph *graph,
           DimrNodeId       id)
{
  const DimrNode *node = dimr_graph_peek_node (graph, id);

  while (node->op == DIMR_OP_RESHAPE)
    node = dimr_graph_peek_node (graph, node->inputs[0]);
  return node;
}

gboolean
cuda_is_param (const DimrGraph *graph,
               DimrNodeId       id)
{
  return id == DIMR_NODE_NONE || find_root (graph, id)->op == DIMR_OP_PARAM;
}

const DimrNode *
cuda_input (const DimrGraph *graph,
            const DimrNode  *node,
            guint            slot)
{
  return dimr_graph_peek_node (graph, node->inputs[slot]);
}

int
cuda_n_channels (const DimrNode *node)
{
  return (int) node->shape.dims[node->shape.n_dims - 1];
}

int
cuda_n_rows (const DimrNode *node)
{
  return (int) (dimr_shape_n_elements (&node->shape) / (gsize) cuda_n_channels (node));
}

int
cuda_rows_per_image (const DimrNode *node)
{
  return node->shape.n_dims > 1 ? cuda_n_rows (node) / (int) node->shape.dims[0] : 1;
}

CudaType
cuda_slot_type (const DimrGraph *graph,
                DimrNodeId       id,
                guint            slot,
                DimrPrecision    precision)
{
  const DimrNode *node = dimr_graph_peek_node (graph, id);
  const CudaOp *op = cuda_op_get (node->op);
  const guint bit = slot <= CUDA_SLOT_RESULT ? CUDA_SLOT (slot) : 0;

  /* Only nodes that the device supports come here. */
  g_assert (op != NULL);
  if ((op->as_stored | op->either) & bit)
    {
      const DimrNodeId stored = op->either & bit ? node->inputs[slot] : id;

      return cuda_storage (graph, stored, precision) == DIMR_DTYPE_F32 ? CUDA_TYPE_F32 : CUDA_TYPE_BF16;
    }
  return op->wide & bit ? CUDA_TYPE_F32 : cuda_type (precision);
}

/* Of an input @node (through reshapes) that slot @slot of @id reads, or of the result where they are the same. */
static gboolean
needs_conversion (const DimrGraph *graph,
                  DimrNodeId       id,
                  guint            slot,
                  DimrNodeId       stored,
                  DimrPrecision    precision)
{
  const DimrNode *root = find_root (graph, stored);
  const DimrDType wanted = cuda_slot_type (graph, id, slot, precision) == CUDA_TYPE_F32 ? DIMR_DTYPE_F32 : DIMR_DTYPE_BF16;

  if (root->op == DIMR_OP_PARAM || root->dtype != DIMR_DTYPE_F32)
    return FALSE;
  return cuda_storage (graph, stored, precision) != wanted;
}

static gsize
slot_bytes (const DimrGraph *graph,
            DimrNodeId       id,
            guint            slot,
            DimrNodeId       stored,
            DimrPrecision    precision)
{
  return cuda_align (dimr_shape_n_elements (&dimr_graph_peek_node (graph, stored)->shape) *
                     cuda_type_size (cuda_slot_type (graph, id, slot, precision)));
}

gsize
cuda_conversion_bytes (const DimrGraph *graph,
                       DimrNodeId       id,
                       DimrPrecision    precision)
{
  const DimrNode *node = dimr_graph_peek_node (graph, id);
  gsize bytes = 0;

  for (guint i = 0; i < node->n_inputs; i++)
    if (node->inputs[i] != DIMR_NODE_NONE && needs_conversion (graph, id, i, node->inputs[i], precision))
      bytes += slot_bytes (graph, id, i, node->inputs[i], precision);
  if (needs_conversion (graph, id, CUDA_SLOT_RESULT, id, precision))
    bytes += slot_bytes (graph, id, CUDA_SLOT_RESULT, id, precision);
  return bytes;
}

gpointer
cuda_builder_alloc (CudaBuilder *self,
                    gsize        size)
{
  gpointer data = g_malloc0 (size);

  g_ptr_array_add (self->memory, data);
  return data;
}

gpointer
cuda_builder_scratch (CudaBuilder *self,
                      gsize        size)
{
  gsize available;
  guint8 *workspace = self->arena + dimr_plan_get_workspace (self->plan, &available);
  const gsize at = self->scratch;

  self->scratch += cuda_align (size);
  g_assert (self->scratch <= available);
  return workspace + at;
}

static void
add_launch (CudaBuilder    *self,
            GArray         *list,
            CudaLaunchFunc  launch,
            gconstpointer   data)
{
  CudaLaunch item = { launch, data, self->place };

  g_array_append_val (list, item);
}

void
cuda_builder_add (CudaBuilder    *self,
                  CudaLaunchFunc  launch,
                  gconstpointer   data)
{
  add_launch (self, self->launches, launch, data);
}

typedef struct
{
  CudaType from, to;
  gconstpointer x;
  gpointer out;
  gsize n;
} ConvertLaunch;

static gboolean
launch_convert (CudaDevice     *device,
                gconstpointer   data,
                cudaStream_t    stream,
                GError        **error)
{
  const ConvertLaunch *self = data;

  return cuda_device_check (device, cuda_convert (stream, self->from, self->x, self->to, self->out, self->n), error);
}

static void
add_convert (CudaBuilder   *self,
             GArray        *list,
             CudaType       from,
             gconstpointer  x,
             CudaType       to,
             gpointer       out,
             gsize          n)
{
  ConvertLaunch *launch = cuda_builder_alloc (self, sizeof *launch);

  *launch = (ConvertLaunch){ from, to, x, out, n };
  add_launch (self, list, launch_convert, launch);
}

void
cuda_builder_add_convert (CudaBuilder   *self,
                          CudaType       from,
                          gconstpointer  x,
                          CudaType       to,
                          gpointer       out,
                          gsize          n)
{
  add_convert (self, self->launches, from, x, to, out, n);
}

static CudaType
other_type (CudaType type)
{
  return type == CUDA_TYPE_F32 ? CUDA_TYPE_BF16 : CUDA_TYPE_F32;
}

gconstpointer
cuda_builder_param (CudaBuilder      *self,
                    const DimrNodeId *ids,
                    guint             n_ids,
                    const CudaLayout *layout)
{
  const char *names[4];
  CudaParam *param;

  if (self->error != NULL)
    return NULL;
  g_assert (n_ids <= G_N_ELEMENTS (names));
  for (guint i = 0; i < n_ids; i++)
    names[i] = dimr_graph_peek_node (self->graph, dimr_plan_get_param (self->plan, ids[i]))->name;
  param = cuda_params_get (self->device->params, self->weights, names, n_ids, layout, &self->error);
  if (param == NULL)
    return NULL;
  g_ptr_array_add (self->used, param);
  return cuda_param_peek (param);
}

static gconstpointer
read_param (CudaBuilder *self,
            DimrNodeId   id,
            CudaType     type)
{
  const CudaLayout layout = {
    .kind = type == CUDA_TYPE_F32 ? CUDA_LAYOUT_F32 : CUDA_LAYOUT_BF16,
    .n_elements = dimr_shape_n_elements (&dimr_graph_peek_node (self->graph, id)->shape),
  };

  return cuda_builder_param (self, &id, 1, &layout);
}

const float *
cuda_builder_floats (CudaBuilder *self,
                     DimrNodeId   id)
{
  return id != DIMR_NODE_NONE ? read_param (self, id, CUDA_TYPE_F32) : NULL;
}

gconstpointer
cuda_builder_read (CudaBuilder *self,
                   DimrNodeId   id,
                   guint        slot)
{
  const DimrNodeId input = dimr_graph_peek_node (self->graph, id)->inputs[slot];
  const CudaType type = cuda_slot_type (self->graph, id, slot, self->precision);
  gconstpointer elements;
  gpointer converted;

  if (input == DIMR_NODE_NONE)
    return NULL;
  if (dimr_plan_get_offset (self->plan, input) == DIMR_OFFSET_NONE)
    return read_param (self, input, type);
  elements = self->arena + dimr_plan_get_offset (self->plan, input);
  if (!needs_conversion (self->graph, id, slot, input, self->precision))
    return elements;
  converted = cuda_builder_scratch (self, slot_bytes (self->graph, id, slot, input, self->precision));
  add_convert (self, self->launches, other_type (type), elements, type, converted,
               dimr_shape_n_elements (&dimr_graph_peek_node (self->graph, input)->shape));
  return converted;
}

gpointer
cuda_builder_write (CudaBuilder *self,
                    DimrNodeId   id)
{
  const CudaType type = cuda_slot_type (self->graph, id, CUDA_SLOT_RESULT, self->precision);
  gpointer elements = self->arena + dimr_plan_get_offset (self->plan, id), made;

  if (!needs_conversion (self->graph, id, CUDA_SLOT_RESULT, id, self->precision))
    return elements;
  made = cuda_builder_scratch (self, slot_bytes (self->graph, id, CUDA_SLOT_RESULT, id, self->precision));
  add_convert (self, self->closing, type, made, other_type (type), elements,
               dimr_shape_n_elements (&dimr_graph_peek_node (self->graph, id)->shape));
  return made;
}

CudaSources
cuda_builder_sources (CudaBuilder *self,
                      DimrNodeId   id,
                      guint        first)
{
  const DimrNode *node = dimr_graph_peek_node (self->graph, id);
  CudaSources sources = { 0 };

  for (guint i = first; i < node->n_inputs && sources.n < CUDA_MAX_SOURCES; i++)
    {
      sources.data[sources.n] = cuda_builder_read (self, id, i);
      sources.widths[sources.n++] = cuda_n_channels (cuda_input (self->graph, node, i));
    }
  return sources;
}

CudaTimedRef
cuda_builder_timed (CudaBuilder *self,
                    DimrNodeId   id,
                    guint        slot)
{
  const DimrNodeId input = dimr_graph_peek_node (self->graph, id)->inputs[slot];
  const DimrNode *vector;
  CudaTimedRef ref = { 0 };

  if (input == DIMR_NODE_NONE)
    return ref;
  if (cuda_series_find (self->series, input, &ref.entry))
    {
      ref.series = self->series;
      return ref;
    }
  vector = dimr_graph_peek_node (self->graph, input);
  ref.fixed.values = cuda_builder_read (self, id, slot);
  ref.fixed.image_stride = vector->shape.dims[0] > 1 ? (gsize) cuda_n_channels (vector) : 0;
  return ref;
}

void
cuda_builder_prepare (CudaBuilder *self,
                      DimrNodeId   id)
{
  const DimrNode *node = dimr_graph_peek_node (self->graph, id);
  const CudaOp *op = cuda_op_get (node->op);

  g_assert (op != NULL);
  self->scratch = 0;
  g_array_set_size (self->closing, 0);
  op->prepare (self, node, id);
  g_array_append_vals (self->launches, self->closing->data, self->closing->len);
}
