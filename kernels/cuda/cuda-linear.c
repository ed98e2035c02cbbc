/* cuda-linear.c — LINEAR and LINEAR_GEGLU as products of cuBLASLt
 *
 * A concatenation is never made: each input of the list is multiplied with its columns of the weight,
 * the first product with the bias and the residual, the following ones adding to the result. In
 * bfloat16 the sum between two products is rounded once where there are two inputs, as in the skips;
 * for longer lists it is kept as float in scratch memory.
 *
 * In float8 (cuda-float8.c says which) a product's input is quantised by a launch of its own before it;
 * the result, the bias and the residual are those of bfloat16.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

/* LINEAR (weight, bias, residual, x0, x1, …) */
#define RESIDUAL 2
#define FIRST_INPUT 3
/* Products whose sum may be rounded between them. */
#define MAX_ROUNDED_PRODUCTS 2

typedef struct
{
  CudaProduct *product;
  CudaProductData data;
} ProductLaunch;

static gboolean
launch_product (CudaDevice     *device,
                gconstpointer   data,
                cudaStream_t    stream,
                GError        **error)
{
  const ProductLaunch *self = data;

  return cuda_product_run (self->product, device, &self->data, stream, error);
}

void
cuda_builder_add_product (CudaBuilder           *self,
                          const CudaProductKey  *key,
                          const CudaProductData *data)
{
  ProductLaunch *launch = cuda_builder_alloc (self, sizeof *launch);

  launch->data = *data;
  if (self->error == NULL)
    launch->product = cuda_products_get (self->device->products, key, data, &self->error);
  cuda_builder_add (self, launch_product, launch);
}

static gsize
align_up (gsize n,
          gsize to)
{
  return (n + to - 1) / to * to;
}

static CudaLayout
layout_of (CudaType type,
           gsize    n_elements,
           gsize    stride)
{
  return (CudaLayout){
    .kind = type == CUDA_TYPE_F32 ? CUDA_LAYOUT_F32 : CUDA_LAYOUT_BF16, .n_elements = n_elements, .stride = stride,
  };
}

static const char *
linear_supports (const DimrGraph *graph,
                 const DimrNode  *node)
{
  if (!cuda_is_param (graph, node->inputs[0]) || !cuda_is_param (graph, node->inputs[1]))
    return _("weights and biases that are computed");
  return NULL;
}

/* W [n, k] of each name, as the product of @node reads it. */
static CudaLayout
weight_layout_of (const CudaBuilder *builder,
                  gboolean           f8,
                  gsize              n,
                  gsize              k,
                  gsize              stride)
{
  CudaLayout layout = layout_of (builder->type, n * k, stride);

  if (f8)
    {
      layout.kind = CUDA_LAYOUT_E4M3;
      layout.n = n;
    }
  return layout;
}

/* NULL for a weight that has none. */
static const float *
scales_of (const CudaLayout *layout,
           guint             n_names,
           const guint8     *weight)
{
  return layout->kind == CUDA_LAYOUT_E4M3 && weight != NULL
           ? (const float *) (weight + cuda_layout_scales (layout, n_names)) : NULL;
}

/* Whether the products of a list add up in a float buffer of their own. */
static gboolean
sums_apart (const DimrNode *node,
            CudaType        out)
{
  return out == CUDA_TYPE_BF16 && node->n_inputs - FIRST_INPUT > MAX_ROUNDED_PRODUCTS;
}

static gsize
linear_workspace (const CudaDevice *device,
                  const DimrGraph  *graph,
                  const DimrNode   *node,
                  DimrPrecision     precision)
{
  const gsize rows = (gsize) cuda_n_rows (node), n = rows * (gsize) cuda_n_channels (node);
  gsize bytes = device->product_workspace;

  if (sums_apart (node, cuda_type (precision)))
    bytes += cuda_align (n * sizeof (float));
  if (cuda_is_float8 (graph, node, precision))
    bytes += cuda_float8_workspace (rows, (gsize) cuda_n_channels (cuda_input (graph, node, FIRST_INPUT)));
  return bytes;
}

/* The products of a list into @data->y of type @out; @data->c is what the first one adds. */
static void
add_products (CudaBuilder     *builder,
              const DimrNode  *node,
              DimrNodeId       id,
              CudaType         out,
              CudaProductData *data)
{
  const guint8 *weight = data->weight;
  const gboolean f8 = cuda_is_float8 (builder->graph, node, builder->precision);
  const gsize size = f8 ? 1 : cuda_type_size (builder->type);
  gsize column = 0;

  for (guint i = FIRST_INPUT; i < node->n_inputs; i++)
    {
      const CudaProductKey key = {
        .m = (gsize) cuda_n_rows (node),
        .n = (gsize) cuda_n_channels (node),
        .k = (gsize) cuda_n_channels (cuda_input (builder->graph, node, i)),
        .weight_stride = (gsize) cuda_n_channels (cuda_input (builder->graph, node, 0)),
        .type = builder->type,
        .f8 = f8,
        .out = out,
        .bias = i == FIRST_INPUT && data->bias != NULL,
        .add = data->c != NULL,
        .alignment = cuda_alignment_after (column * size),
      };

      data->x = cuda_builder_read (builder, id, i);
      data->weight = weight != NULL ? weight + column * size : NULL;
      if (f8)
        cuda_builder_add_quantize (builder, data, key.m, key.k);
      cuda_builder_add_product (builder, &key, data);
      data->c = data->y;
      column += key.k;
    }
}

static void
linear_prepare (CudaBuilder    *builder,
                const DimrNode *node,
                DimrNodeId      id)
{
  const CudaType stored = cuda_slot_type (builder->graph, id, CUDA_SLOT_RESULT, builder->precision);
  const gboolean apart = sums_apart (node, stored);
  const CudaType out = apart ? CUDA_TYPE_F32 : stored;
  const gsize n = (gsize) cuda_n_channels (node), elements = (gsize) cuda_n_rows (node) * n;
  const gsize k = (gsize) cuda_n_channels (cuda_input (builder->graph, node, 0));
  const gboolean f8 = cuda_is_float8 (builder->graph, node, builder->precision);
  const CudaLayout weight = weight_layout_of (builder, f8, n, k, 0), bias = layout_of (f8 ? CUDA_TYPE_BF16 : out, n, 0);
  gpointer y = cuda_builder_write (builder, id);
  CudaProductData data = {
    .weight = cuda_builder_param (builder, &node->inputs[0], 1, &weight),
    .bias = node->inputs[1] != DIMR_NODE_NONE ? cuda_builder_param (builder, &node->inputs[1], 1, &bias) : NULL,
    .c = cuda_builder_read (builder, id, RESIDUAL),
    .y = apart ? cuda_builder_scratch (builder, elements * sizeof (float)) : y,
    .workspace = cuda_builder_scratch (builder, builder->device->product_workspace),
  };

  data.weight_scales = scales_of (&weight, 1, data.weight);
  if (apart && data.c != NULL)
    {
      cuda_builder_add_convert (builder, stored, data.c, CUDA_TYPE_F32, data.y, elements);
      data.c = data.y;
    }
  add_products (builder, node, id, out, &data);
  if (apart)
    cuda_builder_add_convert (builder, CUDA_TYPE_F32, data.y, stored, y, elements);
}

/* LINEAR_GEGLU (weight0, bias0, weight1, bias1, x): both products as one, its columns side by side, then
 * the gate. Each half begins at a multiple of eight columns, which keeps its address aligned. */
typedef struct
{
  CudaType type;
  gconstpointer product;
  gsize half;      /* columns */
  gpointer out;
  int rows, d;
} GateLaunch;

static gboolean
launch_gate (CudaDevice     *device,
             gconstpointer   data,
             cudaStream_t    stream,
             GError        **error)
{
  const GateLaunch *self = data;
  const guint8 *b = (const guint8 *) self->product + self->half * cuda_type_size (self->type);

  return cuda_device_check (device, cuda_geglu (stream, self->type, self->product, b, 2 * self->half, self->out, self->rows,
                                                self->d), error);
}

static const char *
geglu_supports (const DimrGraph *graph,
                const DimrNode  *node)
{
  for (guint i = 0; i < 4; i++)
    if (!cuda_is_param (graph, node->inputs[i]))
      return _("weights and biases that are computed");
  return NULL;
}

static gsize
half_columns (const DimrNode *node)
{
  return align_up ((gsize) cuda_n_channels (node), 8);
}

static gsize
product_bytes (const DimrNode *node,
               CudaType        type)
{
  return cuda_align ((gsize) cuda_n_rows (node) * 2 * half_columns (node) * cuda_type_size (type));
}

static gsize
geglu_workspace (const CudaDevice *device,
                 const DimrGraph  *graph,
                 const DimrNode   *node,
                 DimrPrecision     precision)
{
  gsize bytes = device->product_workspace + product_bytes (node, cuda_type (precision));

  if (cuda_is_float8 (graph, node, precision))
    bytes += cuda_float8_workspace ((gsize) cuda_n_rows (node), (gsize) cuda_n_channels (cuda_input (graph, node, 4)));
  return bytes;
}

static void
geglu_prepare (CudaBuilder    *builder,
               const DimrNode *node,
               DimrNodeId      id)
{
  const gsize n = (gsize) cuda_n_channels (node), half = half_columns (node);
  const gsize k = (gsize) cuda_n_channels (cuda_input (builder->graph, node, 4));
  const gboolean f8 = cuda_is_float8 (builder->graph, node, builder->precision);
  const CudaLayout weights = weight_layout_of (builder, f8, n, k, half * k), biases = layout_of (builder->type, n, half);
  const CudaProductKey key = {
    .m = (gsize) cuda_n_rows (node),
    .n = 2 * half,
    .k = k,
    .weight_stride = k,
    .type = builder->type,
    .f8 = f8,
    .out = builder->type,
    .bias = TRUE,
    .alignment = CUDA_ALIGNMENT,
  };
  CudaProductData data = {
    .weight = cuda_builder_param (builder, (const DimrNodeId[]){ node->inputs[0], node->inputs[2] }, 2, &weights),
    .x = cuda_builder_read (builder, id, 4),
    .bias = cuda_builder_param (builder, (const DimrNodeId[]){ node->inputs[1], node->inputs[3] }, 2, &biases),
    .y = cuda_builder_scratch (builder, product_bytes (node, builder->type)),
    .workspace = cuda_builder_scratch (builder, builder->device->product_workspace),
  };
  GateLaunch *gate = cuda_builder_alloc (builder, sizeof *gate);

  *gate = (GateLaunch){ builder->type, data.y, half, cuda_builder_write (builder, id), cuda_n_rows (node), (int) n };
  data.weight_scales = scales_of (&weights, 2, data.weight);
  if (f8)
    cuda_builder_add_quantize (builder, &data, key.m, key.k);
  cuda_builder_add_product (builder, &key, &data);
  cuda_builder_add (builder, launch_gate, gate);
}

const CudaOp cuda_op_linear = {
  linear_supports, linear_workspace, linear_prepare, 0, CUDA_SLOT (RESIDUAL) | CUDA_SLOT (CUDA_SLOT_RESULT),
};
const CudaOp cuda_op_linear_geglu = { geglu_supports, geglu_workspace, geglu_prepare };
