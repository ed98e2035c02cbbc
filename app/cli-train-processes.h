/* cli-train-processes.h — the processes that train together: found, or started here
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "app/cli-common.h"

G_BEGIN_DECLS

typedef struct _StudioProcesses StudioProcesses;

/* Reads what a launcher left in the environment, or starts the command line @argv [@argc] again in @n − 1
 * processes of this host; 0: as the environment says. This process is rank 0 of those. Before
 * anything else is opened: what a GPU's driver has begun does not survive in a child. */
StudioProcesses *studio_processes_new   (guint                n,
                                         int                  argc,
                                         char               **argv,
                                         GError             **error);
/* Parts with the others, and waits for those that were started. TRUE where all of them ended well. */
gboolean         studio_processes_free  (StudioProcesses     *self);
/* Comes together with the others. *group: what dimr_training_run() takes; its collective is NULL for a single process. */
gboolean         studio_processes_join  (StudioProcesses     *self,
                                         DimrTrainingGroup   *group,
                                         GCancellable        *cancellable,
                                         GError             **error);
/* This process' number; 0 where it is alone. */
guint            studio_processes_get_rank (StudioProcesses  *self);

G_END_DECLS
