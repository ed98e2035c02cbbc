/* dimr-tree.h — the one order in which the gradients of a step are summed
 *
 * The micro-batches of a step are the leaves of a binary tree: node i of level l + 1 is node 2i plus node
 * 2i + 1 of level l, and where a right one is missing the left one rises. What is summed with what follows
 * from their number alone. So a process that has all of them and many that have some each, and then add
 * up the nodes they have, round alike: to the same bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Nodes that one process can have at a time: two for every level. */
#define DIMR_TREE_MAX_NODES 128

typedef struct
{
  guint   level;
  guint64 index;
} DimrTreeNode;

/* Nodes in the order of their leaves, none of which is the other half of its neighbour. */
typedef struct
{
  DimrTreeNode nodes[DIMR_TREE_MAX_NODES];
  guint        n;
} DimrTreeStack;

/* Adds the node that follows. TRUE where the last two are halves of one: the caller adds the last one's
 * numbers to those of the one before it, calls dimr_tree_merge(), and asks again with dimr_tree_is_pair(). */
gboolean dimr_tree_push    (DimrTreeStack       *self,
                            DimrTreeNode         node);
gboolean dimr_tree_is_pair (const DimrTreeStack *self);
/* The last two become one: their parent, or where all leaves are there and they are none, simply a sum. */
void     dimr_tree_merge   (DimrTreeStack       *self);

/* The leaves [*first, *end) of process @rank: as many for each as can be. */
void     dimr_tree_share   (guint64              n_leaves,
                            guint                rank,
                            guint                size,
                            guint64             *first,
                            guint64             *end);
/* The nodes that remain of the leaves [first, end). */
void     dimr_tree_list    (DimrTreeStack       *self,
                            guint64              first,
                            guint64              end);

/* Sums that a process with these leaves keeps at a time: a second half is added where it comes from. */
guint    dimr_tree_get_depth (guint64            first,
                            guint64              end);

G_END_DECLS
