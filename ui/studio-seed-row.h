/* studio-seed-row.h — the seed: −1 for a new one each time, or a number that is kept
 *
 * A seed holds the noise of any number of pictures; "first index" says with which of them a run
 * begins, so that the third picture of a batch can be made again alone. It shows while it is not 0.
 *
 * Signal "changed".
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define STUDIO_TYPE_SEED_ROW (studio_seed_row_get_type ())
G_DECLARE_FINAL_TYPE (StudioSeedRow, studio_seed_row, STUDIO, SEED_ROW, GtkBox)

/* FALSE where the seed is to be drawn anew; @seed and @first_index are left alone then. */
gboolean studio_seed_row_get_seed      (StudioSeedRow *self,
                                        guint64       *seed,
                                        guint64       *first_index);
void     studio_seed_row_set_seed      (StudioSeedRow *self,
                                        guint64        seed,
                                        guint64        first_index);
void     studio_seed_row_set_random    (StudioSeedRow *self);
/* What the lock keeps when it is closed. */
void     studio_seed_row_set_used_seed (StudioSeedRow *self,
                                        guint64        seed);
/* Where the text is no seed: explains it, puts the focus there and returns FALSE. */
gboolean studio_seed_row_check         (StudioSeedRow *self);

G_END_DECLS
