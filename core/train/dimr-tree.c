/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-tree.h"

gboolean
dimr_tree_is_pair (const DimrTreeStack *self)
{
  const DimrTreeNode *left, *right;

  if (self->n < 2)
    return FALSE;
  left = &self->nodes[self->n - 2];
  right = &self->nodes[self->n - 1];
  return left->level == right->level && left->index % 2 == 0 && right->index == left->index + 1;
}

gboolean
dimr_tree_push (DimrTreeStack *self,
                DimrTreeNode   node)
{
  g_assert (self->n < DIMR_TREE_MAX_NODES);
  self->nodes[self->n++] = node;
  return dimr_tree_is_pair (self);
}

void
dimr_tree_merge (DimrTreeStack *self)
{
  DimrTreeNode *left;

  g_assert (self->n >= 2);
  left = &self->nodes[self->n-- - 2];
  left->level++;
  left->index /= 2;
}

void
dimr_tree_share (guint64  n_leaves,
                 guint    rank,
                 guint    size,
                 guint64 *first,
                 guint64 *end)
{
  *first = n_leaves * rank / size;
  *end = n_leaves * (rank + 1) / size;
}

void
dimr_tree_list (DimrTreeStack *self,
                guint64        first,
                guint64        end)
{
  self->n = 0;
  for (guint64 leaf = first; leaf < end; leaf++)
    for (gboolean pair = dimr_tree_push (self, (DimrTreeNode){ 0, leaf }); pair; pair = dimr_tree_is_pair (self))
      dimr_tree_merge (self);
}

guint
dimr_tree_get_depth (guint64 first,
                     guint64 end)
{
  DimrTreeStack stack = { .n = 0 };
  guint depth = 0;

  for (guint64 leaf = first; leaf < end; leaf++)
    {
      const gboolean second = dimr_tree_push (&stack, (DimrTreeNode){ 0, leaf });

      depth = MAX (depth, stack.n - (guint) second);
      for (gboolean pair = second; pair; pair = dimr_tree_is_pair (&stack))
        dimr_tree_merge (&stack);
    }
  return depth;
}
