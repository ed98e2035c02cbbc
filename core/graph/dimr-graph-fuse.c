/* dimr-graph-fuse.c — fewer passes over memory, the same numbers up to rounding
 *
 * Two patterns carry all the gain in a DiMR block: `x + linear (…)` and `x + depthwise_conv (…)`
 * become the residual of the product, and `geglu (linear (x), linear (x))` becomes one node. So do
 * the sums of gradients in a backward pass. In an autoencoder a convolution also takes over what is
 * done to its input: group norm, SiLU, upsampling. A node that somebody looks at (kept, or used
 * twice) is never fused away.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/graph/dimr-graph.h"

#define LINEAR_RESIDUAL 2
#define CONV2D_RESIDUAL 3

/* The slot of @op that adds something to its result; −1 where there is none. */
static int
residual_slot (DimrOp op)
{
  switch (op)
    {
    case DIMR_OP_LINEAR: return LINEAR_RESIDUAL;
    case DIMR_OP_DEPTHWISE_CONV: return 3;
    case DIMR_OP_CONV2D: return CONV2D_RESIDUAL;
    case DIMR_OP_LINEAR_INPUT_GRAD: return 1;
    case DIMR_OP_RMS_NORM_GRAD: return 3;
    case DIMR_OP_DEPTHWISE_INPUT_GRAD: return 2;
    default: return -1;
    }
}

typedef struct
{
  const DimrGraph *source;
  DimrGraph *target;
  DimrNodeId *map;   /* [n] source id → target id */
  guint *uses;       /* [n] live users, kept ones counted once more */
  gboolean *fused;   /* [n] became part of its only user */
} Fusion;

static const DimrNode *
peek (const Fusion *self,
      DimrNodeId    id)
{
  return dimr_graph_peek_node (self->source, id);
}

static void
count_uses (Fusion           *self,
            const DimrNodeId *keep,
            guint             n_keep)
{
  for (guint i = 0; i < n_keep; i++)
    self->uses[keep[i]]++;
  /* Inputs have smaller ids than their users, so one pass from the end sees every live user first. */
  for (guint id = dimr_graph_get_n_nodes (self->source); id-- > 0;)
    {
      const DimrNode *node = peek (self, id);

      if (self->uses[id] == 0)
        continue;
      for (guint i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] != DIMR_NODE_NONE)
          self->uses[node->inputs[i]]++;
    }
}

/* Nobody but its one user will miss it. */
static gboolean
is_private (const Fusion *self,
            DimrNodeId    id)
{
  return self->uses[id] == 1 && !self->fused[id];
}

static gboolean
is_private_op (const Fusion *self,
               DimrNodeId    id,
               DimrOp        op)
{
  return is_private (self, id) && peek (self, id)->op == op;
}

/* Does convolution @node read @f × @f copies of its pixels with the zeros that keep their number? */
static gboolean
can_upsample (const DimrNode *node,
              guint           f)
{
  return f == 2 && node->attrs.factor == 0 && node->attrs.stride == 1 &&
         node->attrs.pad_before == 1 && node->attrs.pad_after == 1;
}

/* What is done to the input of convolution @node and can be done while it reads: a norm with or without SiLU, or
 * upsampling of a 3 × 3 kernel's input. */
static void
mark_conv_input (Fusion         *self,
                 const DimrNode *node)
{
  DimrNodeId x = node->inputs[0], norm = x;

  if (node->n_inputs != 4)
    return;
  if (is_private_op (self, x, DIMR_OP_UPSAMPLE_NEAREST))
    self->fused[x] = can_upsample (node, peek (self, x)->attrs.factor) && peek (self, node->inputs[1])->shape.dims[2] == 3;
  if (is_private_op (self, x, DIMR_OP_SILU))
    norm = peek (self, x)->inputs[0];
  if (is_private_op (self, norm, DIMR_OP_GROUP_NORM) && (norm == x || !peek (self, norm)->attrs.silu))
    self->fused[x] = self->fused[norm] = TRUE;
}

/* Which slot of addition @id is a product that can take the other one as its residual; −1: none. */
static int
find_product (const Fusion *self,
              DimrNodeId    id)
{
  const DimrNode *add = peek (self, id);

  /* The second operand first: models write x + f(x). */
  for (int slot = 1; slot >= 0; slot--)
    {
      const DimrNode *product = peek (self, add->inputs[slot]);
      const int residual = residual_slot (product->op);

      if (residual >= 0 && is_private (self, add->inputs[slot]) && product->inputs[residual] == DIMR_NODE_NONE)
        return slot;
    }
  return -1;
}

/* Two products of one input with biases and nothing else, made for this gate only. */
static gboolean
is_gated_pair (const Fusion *self,
               DimrNodeId    id)
{
  const DimrNode *gate = peek (self, id);
  const DimrNode *a, *b;

  if (gate->inputs[0] == gate->inputs[1] ||
      !is_private_op (self, gate->inputs[0], DIMR_OP_LINEAR) || !is_private_op (self, gate->inputs[1], DIMR_OP_LINEAR))
    return FALSE;
  a = peek (self, gate->inputs[0]);
  b = peek (self, gate->inputs[1]);
  return a->n_inputs == 4 && b->n_inputs == 4 && a->inputs[3] == b->inputs[3] &&
         a->inputs[1] != DIMR_NODE_NONE && b->inputs[1] != DIMR_NODE_NONE &&
         a->inputs[LINEAR_RESIDUAL] == DIMR_NODE_NONE && b->inputs[LINEAR_RESIDUAL] == DIMR_NODE_NONE;
}

static void
mark_fused (Fusion *self)
{
  for (guint id = 0; id < dimr_graph_get_n_nodes (self->source); id++)
    {
      const DimrNode *node = peek (self, id);

      if (self->uses[id] == 0)
        continue;
      if (node->op == DIMR_OP_ADD)
        {
          int slot = find_product (self, id);
          if (slot >= 0)
            self->fused[node->inputs[slot]] = TRUE;
        }
      else if (node->op == DIMR_OP_GEGLU && is_gated_pair (self, id))
        self->fused[node->inputs[0]] = self->fused[node->inputs[1]] = TRUE;
      else if (node->op == DIMR_OP_CONV2D)
        mark_conv_input (self, node);
    }
  /* A SiLU that no convolution takes over becomes part of its norm. */
  for (guint id = 0; id < dimr_graph_get_n_nodes (self->source); id++)
    {
      const DimrNode *node = peek (self, id);

      if (node->op == DIMR_OP_SILU && self->uses[id] > 0 && !self->fused[id] &&
          is_private_op (self, node->inputs[0], DIMR_OP_GROUP_NORM) && !peek (self, node->inputs[0])->attrs.silu)
        self->fused[node->inputs[0]] = TRUE;
    }
}

static DimrNodeId
mapped (const Fusion *self,
        DimrNodeId    id)
{
  return id == DIMR_NODE_NONE ? DIMR_NODE_NONE : self->map[id];
}

/* @conv with what is done to its input, and @residual. */
static DimrNodeId
emit_conv (Fusion         *self,
           const DimrNode *conv,
           DimrNodeId      residual)
{
  DimrNodeId inputs[7] = { conv->inputs[0], mapped (self, conv->inputs[1]), mapped (self, conv->inputs[2]), residual };
  DimrAttrs attrs = conv->attrs;
  guint n = conv->n_inputs;

  for (guint i = 4; i < n; i++)
    inputs[i] = mapped (self, conv->inputs[i]);
  while (self->fused[inputs[0]])
    {
      const DimrNode *node = peek (self, inputs[0]);

      if (node->op == DIMR_OP_UPSAMPLE_NEAREST)
        attrs.factor = node->attrs.factor;
      else if (node->op == DIMR_OP_SILU)
        attrs.silu = TRUE;
      else
        {
          attrs.silu |= node->attrs.silu;
          attrs.eps = node->attrs.eps;
          for (n = 4; n < 7; n++)
            inputs[n] = mapped (self, node->inputs[n - 3]);
        }
      inputs[0] = node->inputs[0];
    }
  inputs[0] = mapped (self, inputs[0]);
  return dimr_graph_add (self->target, DIMR_OP_CONV2D, attrs, inputs, n);
}

static DimrNodeId
emit_product (Fusion         *self,
              const DimrNode *product,
              DimrNodeId      residual)
{
  const guint slot = (guint) residual_slot (product->op);
  g_autofree DimrNodeId *inputs = g_new (DimrNodeId, product->n_inputs);

  if (product->op == DIMR_OP_CONV2D)
    return emit_conv (self, product, residual);
  for (guint i = 0; i < product->n_inputs; i++)
    inputs[i] = i == slot ? residual : mapped (self, product->inputs[i]);
  return dimr_graph_add (self->target, product->op, product->attrs, inputs, product->n_inputs);
}

static DimrNodeId
emit_gated_pair (Fusion         *self,
                 const DimrNode *gate)
{
  const DimrNode *a = peek (self, gate->inputs[0]), *b = peek (self, gate->inputs[1]);

  return dimr_graph_add_op (self->target, DIMR_OP_LINEAR_GEGLU, ((DimrAttrs){ 0 }),
                            mapped (self, a->inputs[0]), mapped (self, a->inputs[1]),
                            mapped (self, b->inputs[0]), mapped (self, b->inputs[1]),
                            mapped (self, a->inputs[3]));
}

static DimrNodeId
emit_norm_with_silu (Fusion         *self,
                     const DimrNode *norm)
{
  DimrAttrs attrs = norm->attrs;

  attrs.silu = TRUE;
  return dimr_graph_add_op (self->target, DIMR_OP_GROUP_NORM, attrs, mapped (self, norm->inputs[0]), mapped (self, norm->inputs[1]),
                            mapped (self, norm->inputs[2]), mapped (self, norm->inputs[3]));
}

static DimrNodeId
emit (Fusion     *self,
      DimrNodeId  id)
{
  const DimrNode *node = peek (self, id);
  g_autofree DimrNodeId *inputs = NULL;

  switch (node->op)
    {
    case DIMR_OP_INPUT: return dimr_graph_add_input (self->target, node->name, node->dtype, node->shape);
    case DIMR_OP_PARAM: return dimr_graph_add_param (self->target, node->name, node->shape);
    case DIMR_OP_RESHAPE: return dimr_graph_add_reshape (self->target, mapped (self, node->inputs[0]), node->shape);
    case DIMR_OP_ADD:
      for (guint slot = 0; slot < 2; slot++)
        if (self->fused[node->inputs[slot]])
          return emit_product (self, peek (self, node->inputs[slot]), mapped (self, node->inputs[1 - slot]));
      break;
    case DIMR_OP_GEGLU:
      if (self->fused[node->inputs[0]])
        return emit_gated_pair (self, node);
      break;
    case DIMR_OP_SILU:
      if (self->fused[node->inputs[0]])
        return emit_norm_with_silu (self, peek (self, node->inputs[0]));
      break;
    case DIMR_OP_CONV2D: return emit_conv (self, node, mapped (self, node->inputs[CONV2D_RESIDUAL]));
    default:
      break;
    }

  inputs = g_new (DimrNodeId, MAX (node->n_inputs, 1));
  for (guint i = 0; i < node->n_inputs; i++)
    inputs[i] = mapped (self, node->inputs[i]);
  return dimr_graph_add (self->target, node->op, node->attrs, inputs, node->n_inputs);
}

DimrGraph *
dimr_graph_fuse (const DimrGraph  *self,
                 const DimrNodeId *keep,
                 guint             n_keep,
                 DimrNodeId       *map)
{
  guint n = dimr_graph_get_n_nodes (self);
  g_autofree guint *uses = g_new0 (guint, MAX (n, 1));
  g_autofree gboolean *fused = g_new0 (gboolean, MAX (n, 1));
  Fusion fusion = { self, dimr_graph_new (), map, uses, fused };

  count_uses (&fusion, keep, n_keep);
  mark_fused (&fusion);
  for (guint id = 0; id < n; id++)
    {
      const DimrNode *node = peek (&fusion, id);

      map[id] = DIMR_NODE_NONE;
      if (uses[id] == 0 || fused[id])
        continue;
      map[id] = emit (&fusion, id);
      if (node->name != NULL && node->op != DIMR_OP_INPUT && node->op != DIMR_OP_PARAM)
        dimr_graph_set_name (fusion.target, map[id], "%s", node->name);
    }
  if (!dimr_graph_finish (fusion.target, NULL))
    g_assert_not_reached (); /* every node was valid before */
  return fusion.target;
}
