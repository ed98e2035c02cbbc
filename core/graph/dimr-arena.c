/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-arena.h"

typedef struct
{
  gsize offset;
  gsize size;
} Hole;

/* Invariants: holes are sorted by offset, never touch each other, and never reach @size: the end
 * of the arena is not a hole but room to grow. */
struct _DimrArena
{
  gsize alignment;
  gsize size; /* end of the highest reservation alive */
  gsize peak;
  GArray *holes;
};

DimrArena *
dimr_arena_new (gsize alignment)
{
  DimrArena *self = g_new0 (DimrArena, 1);

  self->alignment = alignment;
  self->holes = g_array_new (FALSE, FALSE, sizeof (Hole));
  return self;
}

void
dimr_arena_free (DimrArena *self)
{
  g_return_if_fail (self != NULL);
  g_array_unref (self->holes);
  g_free (self);
}

static gsize
rounded (DimrArena *self,
         gsize      size)
{
  return (MAX (size, 1) + self->alignment - 1) / self->alignment * self->alignment;
}

gsize
dimr_arena_reserve (DimrArena *self,
                    gsize      size)
{
  gsize wanted, offset;
  int best = -1;

  g_return_val_if_fail (self != NULL, 0);
  wanted = rounded (self, size);
  for (guint i = 0; i < self->holes->len; i++)
    {
      const Hole *hole = &g_array_index (self->holes, Hole, i);

      if (hole->size >= wanted && (best < 0 || hole->size < g_array_index (self->holes, Hole, best).size))
        best = (int) i;
    }
  if (best >= 0)
    {
      Hole *hole = &g_array_index (self->holes, Hole, best);

      offset = hole->offset;
      hole->offset += wanted;
      hole->size -= wanted;
      if (hole->size == 0)
        g_array_remove_index (self->holes, (guint) best);
      return offset;
    }
  offset = self->size;
  self->size += wanted;
  self->peak = MAX (self->peak, self->size);
  return offset;
}

void
dimr_arena_release (DimrArena *self,
                    gsize      offset,
                    gsize      size)
{
  Hole hole;
  guint i = 0;

  g_return_if_fail (self != NULL);
  hole = (Hole){ offset, rounded (self, size) };
  while (i < self->holes->len && g_array_index (self->holes, Hole, i).offset < offset)
    i++;
  g_array_insert_val (self->holes, i, hole);

  /* Join with the next hole, then with the one before. */
  for (guint k = MIN (i + 1, self->holes->len - 1); k > 0 && k + 1 >= i; k--)
    {
      Hole *left = &g_array_index (self->holes, Hole, k - 1), *right = &g_array_index (self->holes, Hole, k);

      g_assert (left->offset + left->size <= right->offset);
      if (left->offset + left->size == right->offset)
        {
          left->size += right->size;
          g_array_remove_index (self->holes, k);
        }
    }
  if (self->holes->len > 0)
    {
      const Hole *end = &g_array_index (self->holes, Hole, self->holes->len - 1);

      if (end->offset + end->size == self->size)
        {
          self->size = end->offset;
          g_array_set_size (self->holes, self->holes->len - 1);
        }
    }
}

gsize
dimr_arena_get_size (DimrArena *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->peak;
}
