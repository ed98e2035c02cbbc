/* dimr-launch.h — which process of how many this one is, and where the first one is met
 *
 * From the environment that a launcher makes: torchrun's variables and those of this program's own
 * children (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), Slurm's (a step of srun), Open MPI's
 * and those of PMI, as MPICH and Intel MPI set them. DIMR_TOKEN is a secret that all processes share:
 * without it any process that can reach the port could take part. DIMR_PATIENCE is how many seconds the processes wait
 * for each other at the beginning (300).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct
{
  guint    rank;
  guint    size;
  guint    local_rank;  /* among the processes of this host: which GPU */
  guint    local_size;  /* processes of this host; 0: not known */
  char    *host;        /* of rank 0 */
  guint16  port;
  char    *token;       /* never NULL, may be empty */
  guint    patience;    /* seconds until all must have come together */
} DimrLaunch;

/* NULL without an error where nothing was launched, or a single process; DIMR_ERROR_REQUEST where the
 * variables contradict each other, or none says where rank 0 is. @environment as of g_get_environ(). */
DimrLaunch *dimr_launch_new_from_environment (const char * const  *environment,
                                              GError             **error);
/* Processes of this host that are started by rank 0: @port is that of @rank 0's socket. */
DimrLaunch *dimr_launch_new_local            (guint                size,
                                              guint16              port);
void        dimr_launch_free                 (DimrLaunch          *self);
/* The variables from which the process of @rank reads the same (transfer full); @environment is taken. */
char      **dimr_launch_set_environment      (const DimrLaunch    *self,
                                              guint                rank,
                                              char               **environment);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrLaunch, dimr_launch_free)

G_END_DECLS
