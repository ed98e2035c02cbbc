/* cli-progress.h — how far a command is, on standard error
 *
 * On a terminal one line that is drawn over and over; elsewhere (a log, a pipe) an occasional
 * line; or nothing at all. Used from one thread at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _StudioProgress StudioProgress;

/* @silent: --quiet and --json. */
StudioProgress *studio_progress_new    (gboolean        silent);
void            studio_progress_free   (StudioProgress *self);
/* @fraction: 0 … 1; @seconds_left: 0 while not known; @detail: what is being done, a few words. */
void            studio_progress_update (StudioProgress *self,
                                        double          fraction,
                                        double          seconds_left,
                                        const char     *detail);
/* The same for bytes, of which @n_total take as long each as those that are done have since @began (monotonic). */
void            studio_progress_update_bytes (StudioProgress *self,
                                        gint64          began,
                                        guint64         n_done,
                                        guint64         n_total);
/* Takes the line off the terminal, so that something else can be printed. */
void            studio_progress_clear  (StudioProgress *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StudioProgress, studio_progress_free)

G_END_DECLS
