/* dimr-graph.h — a network described: nodes with shapes, parameters and names
 *
 * Append-only; building does no arithmetic. A shape that does not fit makes the graph remember
 * the first error and answer DIMR_NODE_NONE from then on, so a model builder reads as a formula
 * and asks once, at the end (dimr_graph_finish()).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-op.h"

G_BEGIN_DECLS

typedef struct _DimrGraph DimrGraph; /* reference-counted; immutable once finished */

/* Invariants: every input id is smaller than the node's own id (or DIMR_NODE_NONE in an optional
 * slot), so ids are a topological order; @shape is what the op's rule gives for the inputs. */
typedef struct
{
  DimrOp            op;
  DimrDType         dtype;
  DimrShape         shape;
  DimrAttrs         attrs;
  guint             n_inputs;
  const DimrNodeId *inputs;
  const char       *name;   /* of an input, a parameter or a tap; NULL where it has none */
} DimrNode;

DimrGraph      *dimr_graph_new             (void);
DimrGraph      *dimr_graph_ref             (DimrGraph          *self);
void            dimr_graph_unref           (DimrGraph          *self);

DimrNodeId      dimr_graph_add_input       (DimrGraph          *self,
                                            const char         *name,
                                            DimrDType           dtype,
                                            DimrShape           shape);
/* A parameter that was added before is found again; another shape under the same name is an error. */
DimrNodeId      dimr_graph_add_param       (DimrGraph          *self,
                                            const char         *name,
                                            DimrShape           shape);
DimrNodeId      dimr_graph_add             (DimrGraph          *self,
                                            DimrOp              op,
                                            DimrAttrs           attrs,
                                            const DimrNodeId   *inputs,
                                            guint               n_inputs);
/* dimr_graph_add_op (graph, OP, ((DimrAttrs){ … }), a, b, …) */
#define dimr_graph_add_op(graph, op, attrs, ...)                                           \
  dimr_graph_add ((graph), (op), (attrs), (const DimrNodeId[]){ __VA_ARGS__ },             \
                  sizeof ((const DimrNodeId[]){ __VA_ARGS__ }) / sizeof (DimrNodeId))
DimrNodeId      dimr_graph_add_reshape     (DimrGraph          *self,
                                            DimrNodeId          x,
                                            DimrShape           shape);
/* @x itself, but through here no gradient goes back to it. */
DimrNodeId      dimr_graph_add_constant    (DimrGraph          *self,
                                            DimrNodeId          x);
/* Names a node so that it can be asked for as a tap. The names are those of the reference data and the weights. */
void            dimr_graph_set_name        (DimrGraph          *self,
                                            DimrNodeId          node,
                                            const char         *format,
                                            ...) G_GNUC_PRINTF (3, 4);
/* FALSE with the first error of the building, if any; no node can be added afterwards. */
gboolean        dimr_graph_finish          (DimrGraph          *self,
                                            GError            **error);

guint           dimr_graph_get_n_nodes     (const DimrGraph    *self);
const DimrNode *dimr_graph_peek_node       (const DimrGraph    *self,
                                            DimrNodeId          node);
/* DIMR_NODE_NONE where no node has that name. */
DimrNodeId      dimr_graph_find            (const DimrGraph    *self,
                                            const char         *name);
/* Multiply-accumulates of one node. */
guint64         dimr_graph_get_macs        (const DimrGraph    *self,
                                            DimrNodeId          node);
/* One line a node, for tests and for reading (transfer full). */
char           *dimr_graph_to_string       (const DimrGraph    *self);

/* A new graph that computes the same @keep nodes with fewer passes over memory: an addition after
 * a product becomes its residual, two products and their GEGLU one node. Nodes in @keep stay, and
 * nodes nobody needs are dropped. @map: [n_nodes] old id → new id or DIMR_NODE_NONE (caller's). */
DimrGraph      *dimr_graph_fuse            (const DimrGraph    *self,
                                            const DimrNodeId   *keep,
                                            guint               n_keep,
                                            DimrNodeId         *map);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrGraph, dimr_graph_unref)

G_END_DECLS
