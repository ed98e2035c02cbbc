/* cuda-conv2d.c — CONV2D as products of cuBLASLt
 *
 * What lies under the kernel at each output pixel becomes a row in scratch memory; the norm, SiLU,
 * upsampling and the zeros around the map are made on the way. Rows of a large map take more memory
 * than anything else of a network, so they are made and multiplied chunk by chunk. A 1 × 1 kernel without
 * a norm finds its rows where they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

/* CONV2D (x, weight [N, D, k, k], bias, residual, stats, norm weight, norm bias) */
#define RESIDUAL 3
#define STATS 4

typedef struct
{
  CudaType type;
  CudaConv2d conv;
  gpointer out;
  int first, rows;
} ConvRowsLaunch;

static gboolean
launch_conv_rows (CudaDevice     *device,
                  gconstpointer   data,
                  cudaStream_t    stream,
                  GError        **error)
{
  const ConvRowsLaunch *self = data;

  return cuda_device_check (device, cuda_conv_rows (stream, self->type, &self->conv, self->out, self->first, self->rows), error);
}

static gboolean
has_norm (const DimrNode *node)
{
  return node->n_inputs > STATS;
}

static const char *
conv2d_supports (const DimrGraph *graph,
                 const DimrNode  *node)
{
  if (!cuda_is_param (graph, node->inputs[1]) || !cuda_is_param (graph, node->inputs[2]) ||
      (has_norm (node) && (!cuda_is_param (graph, node->inputs[STATS + 1]) || !cuda_is_param (graph, node->inputs[STATS + 2]))))
    return _("weights and biases that are computed");
  return NULL;
}

static CudaConv2d
describe (const DimrGraph *graph,
          const DimrNode  *node)
{
  const gint64 *x = cuda_input (graph, node, 0)->shape.dims, *out = node->shape.dims;

  return (CudaConv2d){
    .silu = node->attrs.silu,
    .height = (int) x[1],
    .width = (int) x[2],
    .d = (int) x[3],
    .k = (int) cuda_input (graph, node, 1)->shape.dims[2],
    .stride = (int) node->attrs.stride,
    .pad_before = (int) node->attrs.pad_before,
    .factor = (int) MAX (node->attrs.factor, 1),
    .out_height = (int) out[1],
    .out_width = (int) out[2],
  };
}

/* TRUE where x is the matrix already. */
static gboolean
is_plain (const DimrNode   *node,
          const CudaConv2d *conv)
{
  return conv->k == 1 && conv->stride == 1 && conv->factor == 1 && !has_norm (node) &&
         node->attrs.pad_before == 0 && node->attrs.pad_after == 0;
}

static gsize
row_bytes (const CudaConv2d *conv,
           CudaType          type)
{
  return (gsize) conv->k * (gsize) conv->k * (gsize) conv->d * cuda_type_size (type);
}

static gsize
chunk_rows (const CudaDevice *device,
            const DimrNode   *node,
            const CudaConv2d *conv,
            CudaType          type)
{
  return cuda_chunk_rows (device, (gsize) cuda_n_rows (node), row_bytes (conv, type));
}

static gsize
conv2d_workspace (const CudaDevice *device,
                  const DimrGraph  *graph,
                  const DimrNode   *node,
                  DimrPrecision     precision)
{
  const CudaConv2d conv = describe (graph, node);
  const CudaType type = cuda_type (precision);
  gsize bytes = device->product_workspace;

  if (has_norm (node))
    bytes += cuda_folded_norm_bytes (graph, node);
  if (!is_plain (node, &conv))
    bytes += cuda_align (chunk_rows (device, node, &conv, type) * row_bytes (&conv, type));
  return bytes;
}

/* The kernels of all outputs, [N, k · k · D]. */
static gconstpointer
read_weight (CudaBuilder      *builder,
             const DimrNode   *node,
             const CudaConv2d *conv,
             gsize             n)
{
  const gsize taps = (gsize) conv->k * (gsize) conv->k;
  const CudaLayout layout = {
    .kind = builder->type == CUDA_TYPE_F32 ? CUDA_LAYOUT_IMAGE_CONV : CUDA_LAYOUT_IMAGE_CONV_BF16,
    .n_elements = n * taps * (gsize) conv->d,
    .n = n,
    .taps = taps,
  };

  return cuda_builder_param (builder, &node->inputs[1], 1, &layout);
}

static gconstpointer
skip_rows (gconstpointer matrix,
           gsize         rows,
           gsize         bytes)
{
  return matrix != NULL ? (const guint8 *) matrix + rows * bytes : NULL;
}

/* Each output row is that of a product, whose sum, bias and residual are rounded once. */
static void
add_chunks (CudaBuilder           *builder,
            const DimrNode        *node,
            const CudaConv2d      *conv,
            CudaProductKey        *key,
            const CudaProductData *all,
            gpointer               chunk)
{
  const gsize n_rows = (gsize) cuda_n_rows (node), rows = chunk_rows (builder->device, node, conv, builder->type);
  const gsize out_bytes = key->n * cuda_type_size (key->out);

  for (gsize first = 0; first < n_rows; first += rows)
    {
      ConvRowsLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);
      CudaProductData data = *all;

      key->m = MIN (rows, n_rows - first);
      data.x = chunk;
      data.c = skip_rows (all->c, first, out_bytes);
      data.y = (gpointer) skip_rows (all->y, first, out_bytes);
      *launch = (ConvRowsLaunch){ builder->type, *conv, chunk, (int) first, (int) key->m };
      cuda_builder_add (builder, launch_conv_rows, launch);
      cuda_builder_add_product (builder, key, &data);
    }
}

static void
conv2d_prepare (CudaBuilder    *builder,
                const DimrNode *node,
                DimrNodeId      id)
{
  const CudaType out = cuda_slot_type (builder->graph, id, CUDA_SLOT_RESULT, builder->precision);
  const gsize n = (gsize) cuda_n_channels (node);
  CudaConv2d conv = describe (builder->graph, node);
  const CudaLayout bias = { .kind = out == CUDA_TYPE_F32 ? CUDA_LAYOUT_F32 : CUDA_LAYOUT_BF16, .n_elements = n };
  const gsize k = (gsize) conv.k * (gsize) conv.k * (gsize) conv.d;
  gconstpointer x = cuda_builder_read (builder, id, 0);
  CudaProductData data = {
    .weight = read_weight (builder, node, &conv, n),
    .bias = node->inputs[2] != DIMR_NODE_NONE ? cuda_builder_param (builder, &node->inputs[2], 1, &bias) : NULL,
    .c = cuda_builder_read (builder, id, RESIDUAL),
    .y = cuda_builder_write (builder, id),
    .workspace = cuda_builder_scratch (builder, builder->device->product_workspace),
  };
  CudaProductKey key = {
    .m = (gsize) cuda_n_rows (node),
    .n = n,
    .k = k,
    .weight_stride = k,
    .type = builder->type,
    .out = out,
    .bias = data.bias != NULL,
    .add = data.c != NULL,
    .alignment = CUDA_ALIGNMENT,
  };

  if (is_plain (node, &conv))
    {
      data.x = x;
      cuda_builder_add_product (builder, &key, &data);
      return;
    }
  conv.x = x;
  if (has_norm (node))
    conv.folded = cuda_builder_add_folded_norm (builder, node, id, STATS);
  add_chunks (builder, node, &conv, &key, &data,
              cuda_builder_scratch (builder, chunk_rows (builder->device, node, &conv, builder->type) *
                                    row_bytes (&conv, builder->type)));
}

const CudaOp cuda_op_conv2d = {
  conv2d_supports, conv2d_workspace, conv2d_prepare, CUDA_SLOT (STATS), CUDA_SLOT (RESIDUAL) | CUDA_SLOT (CUDA_SLOT_RESULT),
};
