/* dimr-gradient.h — gradients of a graph, as more nodes of it
 *
 * Reverse-mode differentiation over the op table: each op's rule (dimr-gradient-rules.c) says in
 * ops what its inputs' gradients are. What comes out is a graph like any other: it is planned, its
 * memory forecast and its steps run by the same code as a picture's.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-graph.h"

G_BEGIN_DECLS

/* Where the differentiation begins: @gradient (of the shape of @node) is that of the whole. */
typedef struct
{
  DimrNodeId node;
  DimrNodeId gradient;
} DimrSeed;

/* Appends to @self, which must not be finished, what computes the gradients of Σ seeds with respect
 * to the nodes @wanted (parameters as a rule). @gradients: [n_wanted] their nodes, of the shapes of
 * @wanted; DIMR_NODE_NONE where the seeds do not depend on it.
 *
 * @kept: [nodes of @self before the call] forward values that stay in memory until the backward
 * pass needs them; the others are computed again from those (activation recomputation). NULL: all stay.
 *
 * An op without a rule becomes the graph's error: dimr_graph_finish() says which. */
void       dimr_graph_add_gradients (DimrGraph        *self,
                                     const DimrSeed   *seeds,
                                     guint             n_seeds,
                                     const DimrNodeId *wanted,
                                     guint             n_wanted,
                                     const gboolean   *kept,
                                     DimrNodeId       *gradients);
/* An unfinished graph with the same nodes under the same ids, to add to. */
DimrGraph *dimr_graph_extend        (const DimrGraph  *self);

G_END_DECLS
