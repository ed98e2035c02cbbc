/* cuda-linear-grad.c — LINEAR_INPUT_GRAD and LINEAR_WEIGHT_GRAD as products of cuBLASLt
 *
 * dx = dy W is a product whose weight is read as it lies; a range of its columns is one of its first
 * address. dW = dyᵀ x has both operands turned, is float, and goes source by source into its columns. Its
 * sum is over all rows: where the result has too few tiles for the device, the rows are divided into
 * equal parts, a batch of products, whose results are added up in order. (cuBLASLt's own way of dividing
 * sums is left out by cuda-product.c.) Into how many depends on the shape alone.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-i18n.h"

/* Tiles of a result that keep a device busy, and their size; rows that a part has at least; floats of all parts. */
#define ENOUGH_TILES 96
#define TILE 128
#define MIN_ROWS 512
#define MAX_PARTS 32
#define MAX_PART_FLOATS ((gsize) 16 << 20)

/* LINEAR_INPUT_GRAD (weight [N, K], residual, dy) */
static const char *
input_grad_supports (const DimrGraph *graph,
                     const DimrNode  *node)
{
  return cuda_is_param (graph, node->inputs[0]) ? NULL : _("weights that are computed");
}

static gsize
input_grad_workspace (const CudaDevice *device,
                      const DimrGraph  *graph,
                      const DimrNode   *node,
                      DimrPrecision     precision)
{
  return device->product_workspace;
}

static void
input_grad_prepare (CudaBuilder    *builder,
                    const DimrNode *node,
                    DimrNodeId      id)
{
  const gint64 *weight = cuda_input (builder->graph, node, 0)->shape.dims;
  const gsize column = node->attrs.start * cuda_type_size (builder->type);
  const CudaLayout layout = {
    .kind = builder->type == CUDA_TYPE_F32 ? CUDA_LAYOUT_F32 : CUDA_LAYOUT_BF16, .n_elements = (gsize) (weight[0] * weight[1]),
  };
  const guint8 *w = cuda_builder_param (builder, &node->inputs[0], 1, &layout);
  const CudaProductData data = {
    .weight = w != NULL ? w + column : NULL,
    .x = cuda_builder_read (builder, id, 2),
    .c = cuda_builder_read (builder, id, 1),
    .y = cuda_builder_write (builder, id),
    .workspace = cuda_builder_scratch (builder, builder->device->product_workspace),
  };
  const CudaProductKey key = {
    .m = (gsize) cuda_n_rows (node),
    .n = (gsize) cuda_n_channels (node),
    .k = (gsize) weight[0],
    .weight_stride = (gsize) weight[1],
    .turned = TRUE,
    .type = builder->type,
    .out = cuda_slot_type (builder->graph, id, CUDA_SLOT_RESULT, builder->precision),
    .add = data.c != NULL,
    .alignment = cuda_alignment_after (column),
  };

  cuda_builder_add_product (builder, &key, &data);
}

/* LINEAR_WEIGHT_GRAD (dy […, N], x0, x1, …) */

static gsize
divide_up (gsize a,
           gsize b)
{
  return (a + b - 1) / b;
}

/* How many parts the rows are divided into. */
static gsize
find_parts (const DimrGraph *graph,
            const DimrNode  *node)
{
  const gsize rows = (gsize) cuda_n_rows (cuda_input (graph, node, 0));
  const gsize n = (gsize) node->shape.dims[0], k = (gsize) node->shape.dims[1];
  gsize parts = 1;

  while (parts < MAX_PARTS && rows % (2 * parts) == 0 && rows / (2 * parts) >= MIN_ROWS && 2 * parts * n * k <= MAX_PART_FLOATS &&
         parts * divide_up (n, TILE) * divide_up (k, TILE) < ENOUGH_TILES)
    parts *= 2;
  return parts;
}

static gsize
parts_bytes (const DimrNode *node,
             gsize           parts)
{
  return parts > 1 ? cuda_align (parts * dimr_shape_n_elements (&node->shape) * sizeof (float)) : 0;
}

static gsize
weight_grad_workspace (const CudaDevice *device,
                       const DimrGraph  *graph,
                       const DimrNode   *node,
                       DimrPrecision     precision)
{
  return device->product_workspace + parts_bytes (node, find_parts (graph, node));
}

typedef struct
{
  const float *parts;
  float *out;
  int n_parts, n;
} AddPartsLaunch;

/* Few enough that they are one chunk, which needs no scratch memory. */
static gboolean
launch_add_parts (CudaDevice     *device,
                  gconstpointer   data,
                  cudaStream_t    stream,
                  GError        **error)
{
  const AddPartsLaunch *self = data;

  return cuda_device_check (device, cuda_sum_rows (stream, CUDA_TYPE_F32, self->parts, NULL, NULL, self->out, 1, self->n_parts,
                                                   self->n), error);
}

static void
weight_grad_prepare (CudaBuilder    *builder,
                     const DimrNode *node,
                     DimrNodeId      id)
{
  const gsize parts = find_parts (builder->graph, node), n = (gsize) node->shape.dims[0], k = (gsize) node->shape.dims[1];
  float *out = cuda_builder_write (builder, id);
  float *y = parts > 1 ? cuda_builder_scratch (builder, parts_bytes (node, parts)) : out;
  gpointer workspace = cuda_builder_scratch (builder, builder->device->product_workspace);
  gconstpointer dy = cuda_builder_read (builder, id, 0);
  gsize column = 0;

  for (guint i = 1; i < node->n_inputs; i++)
    {
      const gsize width = (gsize) cuda_n_channels (cuda_input (builder->graph, node, i));
      const CudaProductKey key = {
        .m = n,
        .n = width,
        .k = (gsize) cuda_n_rows (cuda_input (builder->graph, node, 0)) / parts,
        .weight_stride = width,
        .y_stride = k,
        .turned = TRUE,
        .x_turned = TRUE,
        .batch = parts,
        .type = builder->type,
        .out = CUDA_TYPE_F32,
        .alignment = cuda_alignment_after (column * sizeof (float)),
      };
      const CudaProductData data = {
        .weight = cuda_builder_read (builder, id, i), .x = dy, .y = y + column, .workspace = workspace,
      };

      cuda_builder_add_product (builder, &key, &data);
      column += width;
    }
  if (parts > 1)
    {
      AddPartsLaunch *launch = cuda_builder_alloc (builder, sizeof *launch);

      *launch = (AddPartsLaunch){ y, out, (int) parts, (int) (n * k) };
      cuda_builder_add (builder, launch_add_parts, launch);
    }
}

#define RESIDUAL 1
const CudaOp cuda_op_linear_input_grad = {
  input_grad_supports, input_grad_workspace, input_grad_prepare, 0, CUDA_SLOT (RESIDUAL) | CUDA_SLOT (CUDA_SLOT_RESULT),
};
const CudaOp cuda_op_linear_weight_grad = { NULL, weight_grad_workspace, weight_grad_prepare, CUDA_SLOT (CUDA_SLOT_RESULT) };
