/* dimr-arena.h — offsets in one block of memory, given and taken back at planning time
 *
 * Best fit over a sorted list of holes; nothing is allocated but the list.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _DimrArena DimrArena;

DimrArena *dimr_arena_new      (gsize      alignment);
void       dimr_arena_free     (DimrArena *self);
/* Offset of @size bytes, a multiple of the alignment. */
gsize      dimr_arena_reserve  (DimrArena *self,
                                gsize      size);
/* Gives back what reserve (size) returned as @offset. */
void       dimr_arena_release  (DimrArena *self,
                                gsize      offset,
                                gsize      size);
/* Bytes from the beginning to the highest end there ever was. */
gsize      dimr_arena_get_size (DimrArena *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrArena, dimr_arena_free)

G_END_DECLS
