/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-traffic.h"

static DimrNodeId
find_root (const DimrGraph *graph,
           DimrNodeId       id)
{
  const DimrNode *node = dimr_graph_peek_node (graph, id);

  while (node->op == DIMR_OP_RESHAPE)
    {
      id = node->inputs[0];
      node = dimr_graph_peek_node (graph, id);
    }
  return id;
}

static gsize
element_size (DimrPlan       *plan,
              DimrNodeId      id,
              const DimrNode *node)
{
  if (node->op != DIMR_OP_PARAM)
    return dimr_dtype_size (dimr_plan_get_storage (plan, id));
  return node->shape.n_dims >= 2 && dimr_plan_get_precision (plan) != DIMR_PRECISION_F32 ? 2 : sizeof (float);
}

/* Elements of input @slot that @node looks at. */
static guint64
n_elements_read (const DimrGraph *graph,
                 const DimrNode  *node,
                 guint            slot)
{
  const guint64 all = dimr_shape_n_elements (&dimr_graph_peek_node (graph, node->inputs[slot])->shape);
  const guint64 written = dimr_shape_n_elements (&node->shape);

  /* One row of the table an image; one table for all images. */
  if (node->op == DIMR_OP_EMBEDDING && slot == 0)
    return written;
  if (node->op == DIMR_OP_ADD_POSITION && slot == 1)
    return MIN (all, written / (guint64) node->shape.dims[0]);
  return node->op == DIMR_OP_SLICE_TOKENS || node->op == DIMR_OP_SLICE_CHANNELS ? written : all;
}

static gboolean
is_repeated (const DimrGraph *graph,
             const DimrNode  *node,
             guint            slot)
{
  const DimrNodeId root = find_root (graph, node->inputs[slot]);

  for (guint i = 0; i < slot; i++)
    if (node->inputs[i] != DIMR_NODE_NONE && find_root (graph, node->inputs[i]) == root)
      return TRUE;
  return FALSE;
}

guint64
dimr_plan_get_traffic (DimrPlan   *plan,
                       DimrNodeId  id)
{
  const DimrGraph *graph;
  const DimrNode *node;
  guint64 bytes;

  g_return_val_if_fail (plan != NULL, 0);
  graph = dimr_plan_peek_graph (plan);
  node = dimr_graph_peek_node (graph, id);
  g_return_val_if_fail (node != NULL, 0);

  bytes = dimr_shape_n_elements (&node->shape) * element_size (plan, id, node);
  for (guint i = 0; i < node->n_inputs; i++)
    if (node->inputs[i] != DIMR_NODE_NONE && !is_repeated (graph, node, i))
      {
        const DimrNodeId root = find_root (graph, node->inputs[i]);

        bytes += n_elements_read (graph, node, i) * element_size (plan, root, dimr_graph_peek_node (graph, root));
      }
  return bytes;
}
