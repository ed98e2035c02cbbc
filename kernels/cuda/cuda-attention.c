/* cuda-attention.c — ATTENTION: each head of each image by itself
 *
 * One kernel for heads of up to 128 channels, as those of the diffusion models. Wider ones, as the
 * autoencoder's single head of 512, are two products with a softmax between them, for a chunk of queries
 * at a time: what q kᵀ needs is planned, and does not grow with the square of the tokens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include <math.h>

#define MAX_HEAD_WIDTH 128
/* Rows of probabilities begin at multiples of 16 bytes. */
#define PROBABILITIES_MULTIPLE 8

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

/* q kᵀ as floats, then its softmax in the type of the products, in the same place where that is float. */
typedef struct
{
  CudaType type;
  const float *scores;
  float scale;
  gpointer probabilities;
  gsize stride;
  int rows, n_tokens;
} SoftmaxLaunch;

static gboolean
launch_softmax (CudaDevice     *device,
                gconstpointer   data,
                cudaStream_t    stream,
                GError        **error)
{
  const SoftmaxLaunch *self = data;

  return cuda_device_check (device, cuda_softmax (stream, self->type, self->scores, self->scale, self->probabilities, self->stride,
                                                  self->rows, self->n_tokens), error);
}

/* What a chunk of queries needs beside the products' workspace. */
typedef struct
{
  gsize rows;
  gsize scores;         /* bytes */
  gsize stride;         /* of probabilities, in elements */
  gsize probabilities;  /* bytes; 0: where the scores are */
} Chunk;

static Chunk
describe_chunk (const CudaDevice *device,
                const DimrNode   *node,
                CudaType          type)
{
  const gsize n = (gsize) node->shape.dims[1];
  const gsize padded = (n + PROBABILITIES_MULTIPLE - 1) / PROBABILITIES_MULTIPLE * PROBABILITIES_MULTIPLE;
  const gsize row = type == CUDA_TYPE_F32 ? 0 : padded * cuda_type_size (type);
  const gsize rows = cuda_chunk_rows (device, n, n * sizeof (float) + row);

  return (Chunk){
    .rows = rows,
    .scores = cuda_align (rows * n * sizeof (float)),
    .stride = type == CUDA_TYPE_F32 ? n : padded,
    .probabilities = cuda_align (rows * row),
  };
}

static gsize
attention_workspace (const CudaDevice *device,
                     const DimrGraph  *graph,
                     const DimrNode   *node,
                     DimrPrecision     precision)
{
  const Chunk chunk = describe_chunk (device, node, cuda_type (precision));

  return head_width (node) > MAX_HEAD_WIDTH ? device->product_workspace + chunk.scores + chunk.probabilities : 0;
}

/* What all chunks of a node have in common. */
typedef struct
{
  Chunk chunk;
  const guint8 *qkv;    /* of the image */
  guint8 *out;
  float *scores;
  gpointer probabilities, workspace;
  gsize image;          /* its number */
  gsize n, d, width;
} WideAttention;

/* Queries [first, first + rows) of @head. */
static void
add_chunk (CudaBuilder         *builder,
           const WideAttention *self,
           gsize                head,
           gsize                first,
           gsize                rows)
{
  const gsize size = cuda_type_size (builder->type), d = self->d, column = head * self->width;
  const guint alignment = cuda_alignment_after (((self->image * self->n * d) | d | column) * size);
  const CudaProductKey of_scores = {
    .m = rows, .n = self->n, .k = self->width, .weight_stride = 3 * d, .x_stride = 3 * d,
    .type = builder->type, .out = CUDA_TYPE_F32, .alignment = alignment,
  };
  const CudaProductKey of_values = {
    .m = rows, .n = self->width, .k = self->n, .weight_stride = 3 * d, .x_stride = self->chunk.stride, .y_stride = d, .turned = TRUE,
    .type = builder->type, .out = builder->type, .alignment = alignment,
  };
  const CudaProductData scores = {
    .x = self->qkv + (first * 3 * d + column) * size,
    .weight = self->qkv + (d + column) * size,
    .y = self->scores,
    .workspace = self->workspace,
  };
  const CudaProductData values = {
    .x = self->probabilities,
    .weight = self->qkv + (2 * d + column) * size,
    .y = self->out + (first * d + column) * size,
    .workspace = self->workspace,
  };
  SoftmaxLaunch *softmax = cuda_builder_alloc (builder, sizeof *softmax);

  *softmax = (SoftmaxLaunch){ builder->type, self->scores, (float) (1 / sqrt ((double) self->width)), self->probabilities,
                              self->chunk.stride, (int) rows, (int) self->n };
  cuda_builder_add_product (builder, &of_scores, &scores);
  cuda_builder_add (builder, launch_softmax, softmax);
  cuda_builder_add_product (builder, &of_values, &values);
}

static void
prepare_wide (CudaBuilder    *builder,
              const DimrNode *node,
              DimrNodeId      id)
{
  WideAttention self = {
    .chunk = describe_chunk (builder->device, node, builder->type),
    .qkv = cuda_builder_read (builder, id, 0),
    .out = cuda_builder_write (builder, id),
    .workspace = cuda_builder_scratch (builder, builder->device->product_workspace),
    .n = (gsize) node->shape.dims[1],
    .d = (gsize) cuda_n_channels (node),
    .width = (gsize) head_width (node),
  };
  const gsize image = self.n * self.d * cuda_type_size (builder->type);

  self.scores = cuda_builder_scratch (builder, self.chunk.scores);
  self.probabilities = self.chunk.probabilities > 0 ? cuda_builder_scratch (builder, self.chunk.probabilities) : self.scores;
  for (; self.image < (gsize) node->shape.dims[0]; self.image++, self.qkv += 3 * image, self.out += image)
    for (gsize head = 0; head < node->attrs.n_heads; head++)
      for (gsize first = 0; first < self.n; first += self.chunk.rows)
        add_chunk (builder, &self, head, first, MIN (self.chunk.rows, self.n - first));
}

static void
attention_prepare (CudaBuilder    *builder,
                   const DimrNode *node,
                   DimrNodeId      id)
{
  AttentionLaunch *launch;

  if (head_width (node) > MAX_HEAD_WIDTH)
    {
      prepare_wide (builder, node, id);
      return;
    }
  launch = cuda_builder_alloc (builder, sizeof *launch);
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

const CudaOp cuda_op_attention = { NULL, attention_workspace, attention_prepare };
