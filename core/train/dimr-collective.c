/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-collective.h"

#include <string.h>

/* Numbers of each rank's part that are on their way at a time: 1 MiB a node. */
#define SEGMENT ((gsize) 1 << 18)

typedef struct
{
  guint rank;
  guint size;
} DimrCollectivePrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (DimrCollective, dimr_collective, G_TYPE_OBJECT)

static void
dimr_collective_class_init (DimrCollectiveClass *klass)
{
}

static void
dimr_collective_init (DimrCollective *self)
{
  dimr_collective_set_place (self, 0, 1);
}

void
dimr_collective_set_place (DimrCollective *self,
                           guint           rank,
                           guint           size)
{
  DimrCollectivePrivate *priv = dimr_collective_get_instance_private (self);

  g_return_if_fail (rank < size && size <= DIMR_COLLECTIVE_MAX);
  priv->rank = rank;
  priv->size = size;
}

guint
dimr_collective_get_rank (DimrCollective *self)
{
  return ((DimrCollectivePrivate *) dimr_collective_get_instance_private (self))->rank;
}

guint
dimr_collective_get_size (DimrCollective *self)
{
  return ((DimrCollectivePrivate *) dimr_collective_get_instance_private (self))->size;
}

gboolean
dimr_collective_exchange (DimrCollective     *self,
                          const DimrMessage  *out,
                          const DimrMessage  *in,
                          GCancellable       *cancellable,
                          GError            **error)
{
  g_return_val_if_fail (DIMR_IS_COLLECTIVE (self), FALSE);
  return dimr_collective_get_size (self) == 1 ||
         DIMR_COLLECTIVE_GET_CLASS (self)->exchange (self, out, in, cancellable, error);
}

gboolean
dimr_collective_gather_sizes (DimrCollective  *self,
                              gconstpointer    data,
                              const gsize     *sizes,
                              gpointer         all,
                              GCancellable    *cancellable,
                              GError         **error)
{
  const guint n = dimr_collective_get_size (self), rank = dimr_collective_get_rank (self);
  g_autofree DimrMessage *out = g_new0 (DimrMessage, n), *in = g_new0 (DimrMessage, n);
  guint8 *at = all;

  for (guint r = 0; r < n; r++, at += sizes[r - 1])
    {
      in[r] = (DimrMessage){ at, sizes[r] };
      out[r] = (DimrMessage){ (gpointer) data, sizes[rank] };
    }
  if (in[rank].data != data)
    memmove (in[rank].data, data, sizes[rank]);
  return dimr_collective_exchange (self, out, in, cancellable, error);
}

gboolean
dimr_collective_gather (DimrCollective  *self,
                        gconstpointer    data,
                        gsize            size,
                        gpointer         all,
                        GCancellable    *cancellable,
                        GError         **error)
{
  const guint n = dimr_collective_get_size (self);
  g_autofree gsize *sizes = g_new (gsize, n);

  for (guint r = 0; r < n; r++)
    sizes[r] = size;
  return dimr_collective_gather_sizes (self, data, sizes, all, cancellable, error);
}

gboolean
dimr_collective_broadcast (DimrCollective  *self,
                           gpointer         data,
                           gsize            size,
                           GCancellable    *cancellable,
                           GError         **error)
{
  const guint n = dimr_collective_get_size (self);
  const gboolean first = dimr_collective_get_rank (self) == 0;
  g_autofree DimrMessage *out = g_new0 (DimrMessage, n), *in = g_new0 (DimrMessage, n);

  for (guint r = 0; first && r < n; r++)
    out[r] = (DimrMessage){ data, size };
  if (!first)
    in[0] = (DimrMessage){ data, size };
  return dimr_collective_exchange (self, out, in, cancellable, error);
}

gboolean
dimr_collective_barrier (DimrCollective  *self,
                         GCancellable    *cancellable,
                         GError         **error)
{
  const guint n = dimr_collective_get_size (self);
  g_autofree DimrMessage *nothing = g_new0 (DimrMessage, n);

  return dimr_collective_exchange (self, nothing, nothing, cancellable, error);
}

static void
add (float       * restrict sum,
     const float * restrict x,
     gsize                  n)
{
  for (gsize i = 0; i < n; i++)
    sum[i] += x[i];
}

/* How the nodes of all ranks become one. */
typedef struct
{
  DimrTreeStack *lists;  /* [ranks] */
  guint n_nodes;         /* of all ranks */
} Nodes;

static void
nodes_clear (Nodes *self)
{
  g_free (self->lists);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Nodes, nodes_clear)

static void
nodes_init (Nodes   *self,
            guint64  n_leaves,
            guint    n_ranks)
{
  self->lists = g_new (DimrTreeStack, n_ranks);
  self->n_nodes = 0;
  for (guint r = 0; r < n_ranks; r++)
    {
      guint64 first, end;

      dimr_tree_share (n_leaves, r, n_ranks, &first, &end);
      dimr_tree_list (&self->lists[r], first, end);
      self->n_nodes += self->lists[r].n;
    }
}

/* Adds up @parts [n_nodes][n], which are in the order of their leaves, into the first. */
static void
nodes_add_up (const Nodes *self,
              guint        n_ranks,
              float       *parts,
              gsize        n)
{
  g_autofree gsize *places = g_new (gsize, self->n_nodes);
  DimrTreeStack stack = { .n = 0 };
  guint next = 0;

  for (guint r = 0; r < n_ranks; r++)
    for (guint i = 0; i < self->lists[r].n; i++)
      {
        places[stack.n] = next++;
        for (gboolean pair = dimr_tree_push (&stack, self->lists[r].nodes[i]); pair; pair = dimr_tree_is_pair (&stack))
          {
            add (parts + places[stack.n - 2] * n, parts + places[stack.n - 1] * n, n);
            dimr_tree_merge (&stack);
          }
      }
  while (stack.n > 1)
    {
      add (parts + places[stack.n - 2] * n, parts + places[stack.n - 1] * n, n);
      dimr_tree_merge (&stack);
    }
}

/* What the ranks send of the numbers [first, first + length): rank r adds up its part of them and gives
 * the result to all, so that every number travels twice, whatever the number of ranks. */
static gboolean
sum_piece (DimrCollective  *self,
           const Nodes     *nodes,
           float * const   *own,
           float           *sum,
           gsize            first,
           gsize            length,
           float           *sent,
           float           *received,
           GCancellable    *cancellable,
           GError         **error)
{
  const guint n_ranks = dimr_collective_get_size (self), rank = dimr_collective_get_rank (self);
  const guint n_own = nodes->lists[rank].n;
  g_autofree DimrMessage *out = g_new0 (DimrMessage, n_ranks), *in = g_new0 (DimrMessage, n_ranks);
  g_autofree gsize *sizes = g_new (gsize, n_ranks);
  gsize mine = 0;
  float *from = received, *to = sent;

  for (guint r = 0; r < n_ranks; r++)
    {
      const gsize begin = length * r / n_ranks, part = length * (r + 1) / n_ranks - begin;

      sizes[r] = part * sizeof (float);
      if (r == rank)
        mine = part;
    }
  for (guint r = 0; r < n_ranks; r++)
    {
      const gsize begin = first + length * r / n_ranks, part = sizes[r] / sizeof (float);

      in[r] = (DimrMessage){ from, nodes->lists[r].n * mine * sizeof (float) };
      from += nodes->lists[r].n * mine;
      out[r] = (DimrMessage){ r == rank ? in[r].data : to, n_own * sizes[r] };
      for (guint i = 0; i < n_own; i++)
        memcpy ((float *) out[r].data + i * part, own[i] + begin, sizes[r]);
      if (r != rank)
        to += n_own * part;
    }
  if (!dimr_collective_exchange (self, out, in, cancellable, error))
    return FALSE;
  nodes_add_up (nodes, n_ranks, received, mine);
  return dimr_collective_gather_sizes (self, received, sizes, sum + first, cancellable, error);
}

gboolean
dimr_collective_sum (DimrCollective  *self,
                     guint64          n_leaves,
                     float * const   *nodes,
                     float           *sum,
                     gsize            n,
                     GCancellable    *cancellable,
                     GError         **error)
{
  const guint n_ranks = dimr_collective_get_size (self), rank = dimr_collective_get_rank (self);
  const gsize piece = MIN (SEGMENT * n_ranks, MAX (n, 1));
  g_autofree float *sent = NULL, *received = NULL;
  g_auto (Nodes) all = { NULL };

  g_return_val_if_fail (DIMR_IS_COLLECTIVE (self) && n_leaves >= n_ranks, FALSE);

  nodes_init (&all, n_leaves, n_ranks);
  sent = g_new (float, all.lists[rank].n * piece);
  received = g_new (float, all.n_nodes * (piece / n_ranks + 1));
  for (gsize first = 0; first < n; first += piece)
    if (!sum_piece (self, &all, nodes, sum, first, MIN (piece, n - first), sent, received, cancellable, error))
      return FALSE;
  return TRUE;
}

gboolean
dimr_collective_check (DimrCollective  *self,
                       GError         **error)
{
  g_return_val_if_fail (DIMR_IS_COLLECTIVE (self), FALSE);
  return DIMR_COLLECTIVE_GET_CLASS (self)->check == NULL || DIMR_COLLECTIVE_GET_CLASS (self)->check (self, error);
}

void
dimr_collective_leave (DimrCollective *self,
                       const char     *reason)
{
  g_return_if_fail (DIMR_IS_COLLECTIVE (self));
  if (DIMR_COLLECTIVE_GET_CLASS (self)->leave != NULL)
    DIMR_COLLECTIVE_GET_CLASS (self)->leave (self, reason);
}
