/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-gradient-private.h"

#include "core/graph/dimr-graph-private.h"

/* Only nodes below @n are differentiated: what is added while walking is the backward pass itself. */
struct _DimrBackward
{
  DimrGraph *graph;
  guint n;
  gboolean *wanted;      /* [n] a wanted node, or one that depends on one */
  DimrNodeId *gradients; /* [n] what has been contributed so far, or DIMR_NODE_NONE */
  const gboolean *kept;  /* [n] or NULL */
  DimrNodeId *copies;    /* [n] the node computed again, or DIMR_NODE_NONE */
};

static const DimrNode *
peek (const DimrBackward *self,
      DimrNodeId          id)
{
  return dimr_graph_peek_node (self->graph, id);
}

gboolean
dimr_backward_wants (DimrBackward *self,
                     DimrNodeId    id)
{
  return id != DIMR_NODE_NONE && self->wanted[id];
}

const DimrShape *
dimr_backward_shape (DimrBackward *self,
                     DimrNodeId    id)
{
  return &peek (self, id)->shape;
}

DimrNodeId
dimr_backward_add (DimrBackward     *self,
                   DimrOp            op,
                   DimrAttrs         attrs,
                   const DimrNodeId *inputs,
                   guint             n_inputs)
{
  return dimr_graph_add (self->graph, op, attrs, inputs, n_inputs);
}

DimrNodeId
dimr_backward_reshape (DimrBackward *self,
                       DimrNodeId    x,
                       DimrShape     shape)
{
  if (x == DIMR_NODE_NONE || dimr_shape_equal (dimr_backward_shape (self, x), &shape))
    return x;
  return dimr_graph_add_reshape (self->graph, x, shape);
}

/* The same node on top of other inputs. */
static DimrNodeId
repeat (DimrGraph        *graph,
        const DimrNode   *node,
        const DimrNodeId *inputs)
{
  if (node->op == DIMR_OP_RESHAPE && node->attrs.constant)
    return dimr_graph_add_constant (graph, inputs[0]);
  if (node->op == DIMR_OP_RESHAPE)
    return inputs[0] != DIMR_NODE_NONE ? dimr_graph_add_reshape (graph, inputs[0], node->shape) : DIMR_NODE_NONE;
  return dimr_graph_add (graph, node->op, node->attrs, inputs, node->n_inputs);
}

DimrNodeId
dimr_backward_value (DimrBackward *self,
                     DimrNodeId    id)
{
  const DimrNode *node;
  g_autofree DimrNodeId *inputs = NULL;

  if (id == DIMR_NODE_NONE || self->kept == NULL || self->kept[id])
    return id;
  node = peek (self, id);
  if (node->op == DIMR_OP_INPUT || node->op == DIMR_OP_PARAM)
    return id;
  if (self->copies[id] != DIMR_NODE_NONE)
    return self->copies[id];

  inputs = g_new (DimrNodeId, node->n_inputs);
  for (guint i = 0; i < node->n_inputs; i++)
    inputs[i] = dimr_backward_value (self, node->inputs[i]);
  self->copies[id] = repeat (self->graph, node, inputs);
  return self->copies[id];
}

void
dimr_backward_give (DimrBackward *self,
                    DimrNodeId    id,
                    DimrNodeId    gradient)
{
  DimrNodeId sum = self->gradients[id];

  if (gradient == DIMR_NODE_NONE)
    return; /* the graph remembers why */
  gradient = dimr_backward_reshape (self, gradient, peek (self, id)->shape);
  /* The newest second: fusion tries that one first as the product whose residual the sum becomes. */
  self->gradients[id] = sum == DIMR_NODE_NONE
                          ? gradient
                          : dimr_graph_add_op (self->graph, DIMR_OP_ADD, ((DimrAttrs){ 0 }), sum, gradient);
}

static void
find_wanted (DimrBackward     *self,
             const DimrNodeId *wanted,
             guint             n_wanted)
{
  for (guint i = 0; i < n_wanted; i++)
    self->wanted[wanted[i]] = TRUE;
  for (guint id = 0; id < self->n; id++)
    {
      const DimrNode *node = peek (self, id);

      for (guint i = 0; i < node->n_inputs && !node->attrs.constant; i++)
        self->wanted[id] |= node->inputs[i] != DIMR_NODE_NONE && self->wanted[node->inputs[i]];
    }
}

static void
walk_back (DimrBackward *self)
{
  for (guint id = self->n; id-- > 0;)
    {
      const DimrNode *node = peek (self, id);
      const DimrNodeId dy = self->gradients[id];
      DimrGradientRule rule;

      if (dy == DIMR_NODE_NONE || !self->wanted[id] || node->n_inputs == 0)
        continue;
      rule = dimr_gradient_get_rule (node->op);
      if (rule == NULL)
        {
          dimr_graph_fail (self->graph, "The gradient of the operation %s is not known", dimr_op_get_info (node->op)->name);
          return;
        }
      rule (self, node, id, dy);
    }
}

void
dimr_graph_add_gradients (DimrGraph        *self,
                          const DimrSeed   *seeds,
                          guint             n_seeds,
                          const DimrNodeId *wanted,
                          guint             n_wanted,
                          const gboolean   *kept,
                          DimrNodeId       *gradients)
{
  const guint n = dimr_graph_get_n_nodes (self);
  g_autofree gboolean *is_wanted = g_new0 (gboolean, MAX (n, 1));
  g_autofree DimrNodeId *sums = g_new (DimrNodeId, MAX (n, 1)), *copies = g_new (DimrNodeId, MAX (n, 1));
  DimrBackward backward = { self, n, is_wanted, sums, kept, copies };

  for (guint id = 0; id < n; id++)
    sums[id] = copies[id] = DIMR_NODE_NONE;
  find_wanted (&backward, wanted, n_wanted);
  for (guint i = 0; i < n_seeds; i++)
    dimr_backward_give (&backward, seeds[i].node, seeds[i].gradient);
  walk_back (&backward);
  for (guint i = 0; i < n_wanted; i++)
    gradients[i] = sums[wanted[i]];
}

DimrGraph *
dimr_graph_extend (const DimrGraph *self)
{
  DimrGraph *copy = dimr_graph_new ();

  for (guint id = 0; id < dimr_graph_get_n_nodes (self); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (self, id);
      DimrNodeId same;

      if (node->op == DIMR_OP_INPUT)
        same = dimr_graph_add_input (copy, node->name, node->dtype, node->shape);
      else if (node->op == DIMR_OP_PARAM)
        same = dimr_graph_add_param (copy, node->name, node->shape);
      else
        {
          same = repeat (copy, node, node->inputs);
          if (node->name != NULL)
            dimr_graph_set_name (copy, same, "%s", node->name);
        }
      g_assert (same == id);
    }
  return copy;
}
