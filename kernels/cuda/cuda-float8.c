/* cuda-float8.c — products in float8: which, and their inputs as e4m3 with a scale a row
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include <string.h>

/* LINEAR (weight, bias, residual, x0, x1, …) */
#define FIRST_INPUT 3
/* What the products of 8 bits want of n and k. */
#define MULTIPLE 16

static const char *
weight_name (const DimrGraph *graph,
             DimrNodeId       id)
{
  const DimrNode *node = dimr_graph_peek_node (graph, id);

  while (node->op == DIMR_OP_RESHAPE)
    node = dimr_graph_peek_node (graph, node->inputs[0]);
  return node->op == DIMR_OP_PARAM ? node->name : NULL;
}

/* The block of a branch that @name belongs to: 3 for "stages.0.blocks.3.block2.w0.weight", with the length of
 * "stages.0.blocks." as *prefix. FALSE where it belongs to none. */
static gboolean
parse_block (const char *name,
             gsize      *prefix,
             guint64    *block)
{
  static const char * const lists[] = { "blocks.", "in_blocks.", "out_blocks." };

  for (const char *part = name; part != NULL; part = strchr (part, '.'))
    {
      part += *part == '.';
      for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
        if (g_str_has_prefix (part, lists[i]) && g_ascii_isdigit (part[strlen (lists[i])]))
          {
            *prefix = (gsize) (part - name) + strlen (lists[i]);
            *block = g_ascii_strtoull (name + *prefix, NULL, 10);
            return TRUE;
          }
    }
  return FALSE;
}

/* Neither the first block of its branch nor the last. */
static gboolean
is_inner_block (const DimrGraph *graph,
                const char      *name)
{
  gsize prefix, other_prefix;
  guint64 block, other;

  if (name == NULL || !parse_block (name, &prefix, &block) || block == 0)
    return FALSE;
  for (DimrNodeId id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);

      if (node->op == DIMR_OP_PARAM && strncmp (node->name, name, prefix) == 0 &&
          parse_block (node->name, &other_prefix, &other) && other_prefix == prefix && other > block)
        return TRUE;
    }
  return FALSE;
}

/* The products of the inner blocks of every branch, which are nearly all of the work. In bfloat16 stay
 * - what comes first and last: patches, heads, and the first and last block, whose errors nothing later
 *   mends or hides;
 * - the cascade between two branches, through which everything that a branch knows goes once;
 * - skips (lists of inputs): they carry the residual stream itself, with its few large channels, where the
 *   others read what a norm has evened out and add a correction to it;
 * - vectors of whole images, which are no work. */
gboolean
cuda_is_float8 (const DimrGraph *graph,
                const DimrNode  *node,
                DimrPrecision    precision)
{
  const gint64 k = cuda_n_channels (cuda_input (graph, node, 0)), n = cuda_n_channels (node);

  if (precision != DIMR_PRECISION_F8 || k % MULTIPLE != 0 || n % MULTIPLE != 0 || node->shape.n_dims < 3)
    return FALSE;
  if (node->op == DIMR_OP_LINEAR && node->n_inputs != FIRST_INPUT + 1)
    return FALSE;
  return is_inner_block (graph, weight_name (graph, node->inputs[0]));
}

gsize
cuda_float8_workspace (gsize rows,
                       gsize k)
{
  return cuda_align (rows * k) + cuda_align (rows * sizeof (float));
}

typedef struct
{
  gconstpointer x;
  gpointer out;
  float *scales;
  int rows, k;
} QuantizeLaunch;

static gboolean
launch_quantize (CudaDevice     *device,
                 gconstpointer   data,
                 cudaStream_t    stream,
                 GError        **error)
{
  const QuantizeLaunch *self = data;

  return cuda_device_check (device, cuda_quantize_rows (stream, self->x, self->out, self->scales, self->rows, self->k), error);
}

void
cuda_builder_add_quantize (CudaBuilder     *self,
                           CudaProductData *data,
                           gsize            rows,
                           gsize            k)
{
  QuantizeLaunch *launch = cuda_builder_alloc (self, sizeof *launch);

  *launch = (QuantizeLaunch){
    .x = data->x,
    .out = cuda_builder_scratch (self, rows * k),
    .scales = cuda_builder_scratch (self, rows * sizeof (float)),
    .rows = (int) rows,
    .k = (int) k,
  };
  cuda_builder_add (self, launch_quantize, launch);
  data->x = launch->out;
  data->x_scales = launch->scales;
}
