/* dimr-collective.h — processes that train one model together
 *
 * A group of size processes, each with its rank from 0 on. Every call is made by all of them, in the same
 * order with the same sizes; it returns when this process has what it was to get. After a failure the group
 * is over: each process says why, and stops. Who is lost is named by rank.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/train/dimr-tree.h"

G_BEGIN_DECLS

#define DIMR_TYPE_COLLECTIVE (dimr_collective_get_type ())
G_DECLARE_DERIVABLE_TYPE (DimrCollective, dimr_collective, DIMR, COLLECTIVE, GObject)

/* Processes of a group at most. */
#define DIMR_COLLECTIVE_MAX 1024

/* What goes to one rank, or comes from it. */
typedef struct
{
  gpointer data;
  gsize    size;
} DimrMessage;

struct _DimrCollectiveClass
{
  GObjectClass parent_class;

  /* Sends out[r] to every other rank r and receives in[r] from it, all at once; [size] each, the own ones
   * are not looked at. DIMR_ERROR_PEER where a process is gone, has stopped, or sends something else. */
  gboolean      (*exchange)  (DimrCollective        *self,
                              const DimrMessage     *out,
                              const DimrMessage     *in,
                              GCancellable          *cancellable,
                              GError               **error);
  /* FALSE where another one is known to be gone or to have stopped; does not wait. */
  gboolean      (*check)     (DimrCollective        *self,
                              GError               **error);
  /* Tells the others that this one stops, and why; waits a second at most for them to hear it. Optional. */
  void          (*leave)     (DimrCollective        *self,
                              const char            *reason);
};

/* For implementations, when they know. */
void            dimr_collective_set_place   (DimrCollective      *self,
                                             guint                rank,
                                             guint                size);

guint           dimr_collective_get_rank    (DimrCollective      *self);
guint           dimr_collective_get_size    (DimrCollective      *self);

gboolean        dimr_collective_exchange    (DimrCollective      *self,
                                             const DimrMessage   *out,
                                             const DimrMessage   *in,
                                             GCancellable        *cancellable,
                                             GError             **error);
/* @data [size] of every rank in their order into @all [ranks, size], which may hold @data in its place. */
gboolean        dimr_collective_gather      (DimrCollective      *self,
                                             gconstpointer        data,
                                             gsize                size,
                                             gpointer             all,
                                             GCancellable        *cancellable,
                                             GError             **error);
/* The same where rank r has @sizes[r] bytes. */
gboolean        dimr_collective_gather_sizes (DimrCollective     *self,
                                             gconstpointer        data,
                                             const gsize         *sizes,
                                             gpointer             all,
                                             GCancellable        *cancellable,
                                             GError             **error);
/* @data of rank 0 to all. */
gboolean        dimr_collective_broadcast   (DimrCollective      *self,
                                             gpointer             data,
                                             gsize                size,
                                             GCancellable        *cancellable,
                                             GError             **error);
/* Returns when all have called it. */
gboolean        dimr_collective_barrier     (DimrCollective      *self,
                                             GCancellable        *cancellable,
                                             GError             **error);
/* The sum over all leaves in the order of the tree, [n], to all. @nodes: this process' own,
 * dimr_tree_list() of its share of @n_leaves; what they hold is lost, and the first one may be @sum. */
gboolean        dimr_collective_sum         (DimrCollective      *self,
                                             guint64              n_leaves,
                                             float * const       *nodes,
                                             float               *sum,
                                             gsize                n,
                                             GCancellable        *cancellable,
                                             GError             **error);
/* Between two exchanges: whether all are still there, as far as one can tell without waiting. */
gboolean        dimr_collective_check       (DimrCollective      *self,
                                             GError             **error);
void            dimr_collective_leave       (DimrCollective      *self,
                                             const char          *reason);

G_END_DECLS
