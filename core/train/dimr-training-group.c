/* dimr-training-group.c — a run that is shared by several processes: what they have to agree on
 *
 * Every process has all weights and makes the gradients of its part of a step's micro-batches; what a
 * sample is, is a function of its number, so only sums travel. Rank 0 alone reads and writes snapshots.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-training-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

#define HASH 32

DimrDevice *
dimr_run_open_device (DimrRun  *self,
                      GError  **error)
{
  guint n_threads = (guint) self->options->threads;
  const char *wanted = self->options->device;
  g_autofree char *own = NULL;
  guint n_backends;
  const DimrBackend * const *backends = dimr_backend_list (&n_backends);

  for (guint i = 0; self->n_ranks > 1 && own == NULL && i < n_backends; i++)
    {
      const guint n = strcmp (wanted, "auto") == 0 || strcmp (wanted, backends[i]->id) == 0 ? backends[i]->get_n_devices (NULL) : 0;

      if (n == 0 || strcmp (backends[i]->id, "cpu") == 0)
        continue;
      /* Of some launchers each process sees a single device, its own. */
      if (n > 1 && self->local_rank >= n)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("This host has %u devices “%s”, and process %u is number %u on it: start one process a device, or use --device cpu"), n,
                          backends[i]->id, self->rank, self->local_rank + 1);
          return NULL;
        }
      own = g_strdup_printf ("%s:%u", backends[i]->id, n > 1 ? self->local_rank : 0);
    }
  /* The processor's cores are shared too. */
  if (n_threads == 0 && self->local_size > 1)
    n_threads = MAX (g_get_num_processors () / self->local_size, 1);
  return dimr_device_open (own != NULL ? own : wanted, n_threads, error);
}

/* Of everything that a step depends on; how it is computed is each process' own matter. */
static void
make_hash (DimrRun *self,
           guint8   hash[HASH])
{
  static const char * const own[] = { "config", "data", "validation", "from", "output", "device", "threads", "data-threads" };
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  g_autoptr (JsonObject) object = dimr_training_options_write (self->options);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *text = NULL;
  gsize size = HASH;

  for (guint i = 0; i < G_N_ELEMENTS (own); i++)
    if (json_object_has_member (object, own[i]))
      json_object_remove_member (object, own[i]);
  json_node_set_object (root, object);
  text = json_to_string (root, FALSE);
  g_checksum_update (checksum, (const guchar *) text, -1);
  g_checksum_update (checksum, (const guchar *) self->config_text, -1);
  g_checksum_update (checksum, (const guchar *) self->fingerprint, -1);
  g_checksum_get_digest (checksum, hash, &size);
}

/* The rank whose hash is not that of rank 0; 0: none. */
static gboolean
find_other (DimrRun       *self,
            const guint8   hash[HASH],
            guint         *other,
            GError       **error)
{
  g_autofree guint8 *all = g_malloc (self->n_ranks * HASH);

  *other = 0;
  if (!dimr_collective_gather (self->group, hash, HASH, all, self->cancellable, error))
    return FALSE;
  for (guint r = 1; r < self->n_ranks && *other == 0; r++)
    if (memcmp (all + r * HASH, all, HASH) != 0)
      *other = r;
  return TRUE;
}

static gboolean
broadcast_state (DimrRun  *self,
                 GError  **error)
{
  const gsize size = dimr_parameters_get_length (self->parameters) * sizeof (float);
  float * const arrays[] = {
    dimr_parameters_get_values (self->parameters), dimr_parameters_get_values (self->average),
    dimr_optimizer_get_m (self->optimizer), dimr_optimizer_get_v (self->optimizer),
  };
  guint64 steps[] = { self->step, dimr_optimizer_get_step (self->optimizer) };

  if (!dimr_collective_broadcast (self->group, steps, sizeof steps, self->cancellable, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (arrays); i++)
    if (!dimr_collective_broadcast (self->group, arrays[i], size, self->cancellable, error))
      return FALSE;
  self->step = steps[0];
  dimr_optimizer_set_step (self->optimizer, steps[1]);
  return TRUE;
}

gboolean
dimr_run_agree (DimrRun  *self,
                GError  **error)
{
  guint8 hash[HASH];
  guint other;

  if (self->group == NULL)
    return TRUE;
  make_hash (self, hash);
  if (!find_other (self, hash, &other, error))
    return FALSE;
  if (other > 0)
    {
      dimr_error_set (error, DIMR_ERROR_PEER,
                      _("Process %u has other options, another configuration or other data than process 0: start all of them alike"), other);
      return FALSE;
    }
  return broadcast_state (self, error);
}

gboolean
dimr_run_agree_micro_batch (DimrRun             *self,
                            DimrTrainerOptions  *options,
                            gboolean            *same,
                            GError             **error)
{
  const guint32 own[] = { options->micro_batch, options->recompute };
  g_autofree guint32 *all = NULL;

  *same = TRUE;
  if (self->group == NULL)
    return TRUE;
  all = g_new (guint32, G_N_ELEMENTS (own) * self->n_ranks);
  if (!dimr_collective_gather (self->group, own, sizeof own, all, self->cancellable, error))
    return FALSE;
  for (guint r = 0; r < self->n_ranks; r++)
    {
      *same &= memcmp (all + 2 * r, all, sizeof own) == 0;
      options->micro_batch = MIN (options->micro_batch, all[2 * r]);
      options->recompute = MAX (options->recompute, (DimrRecompute) all[2 * r + 1]);
    }
  return TRUE;
}

gboolean
dimr_run_open_learner (DimrRun  *self,
                       GError  **error)
{
  const guint micro = dimr_trainer_get_micro_batch (self->trainer);
  guint64 first, end;

  self->n_leaves = (self->options->batch + micro - 1) / micro;
  dimr_tree_share (self->n_leaves, self->rank, self->n_ranks, &first, &end);
  self->learner = dimr_learner_new (self->parameters, self->average, self->optimizer, self->trainer, self->device,
                                    dimr_tree_get_depth (first, end), error);
  return self->learner != NULL;
}

/* The first sample of micro-batch @leaf. */
static guint
first_sample (DimrRun *self,
              guint64  leaf)
{
  return (guint) MIN (leaf * dimr_trainer_get_micro_batch (self->trainer), self->options->batch);
}

gboolean
dimr_run_share (DimrRun             *self,
                DimrBatchesOptions  *options,
                GError             **error)
{
  const guint micro = dimr_trainer_get_micro_batch (self->trainer);
  guint64 end;

  if (self->n_leaves < self->n_ranks)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("A batch of %" PRIu64 " is %" PRIu64 " micro-batches of %u, too few for %u processes: "
                        "use a larger --batch, a smaller --micro-batch or fewer processes"),
                      self->options->batch, self->n_leaves, micro, self->n_ranks);
      return FALSE;
    }
  dimr_tree_share (self->n_leaves, self->rank, self->n_ranks, &self->first_leaf, &end);
  options->first = first_sample (self, self->first_leaf);
  options->count = first_sample (self, end) - options->first;
  if (self->group != NULL)
    self->own_terms = g_new (float, (gsize) DIMR_TRAINING_MAX_TERMS * options->count);
  return TRUE;
}

gboolean
dimr_run_gather_terms (DimrRun  *self,
                         GError  **error)
{
  const guint n_terms = dimr_trainer_get_n_terms (self->trainer), batch = (guint) self->options->batch;
  g_autofree gsize *sizes = NULL;
  g_autofree float *all = NULL;
  const float *next;

  if (self->group == NULL)
    return TRUE;
  sizes = g_new (gsize, self->n_ranks);
  all = g_new (float, (gsize) n_terms * batch);
  for (guint r = 0; r < self->n_ranks; r++)
    {
      guint64 first, end;

      dimr_tree_share (self->n_leaves, r, self->n_ranks, &first, &end);
      sizes[r] = n_terms * (gsize) (first_sample (self, end) - first_sample (self, first)) * sizeof (float);
    }
  if (!dimr_collective_gather_sizes (self->group, self->own_terms, sizes, all, self->cancellable, error))
    return FALSE;
  next = all;
  for (guint r = 0, at = 0; r < self->n_ranks; r++)
    {
      const guint n = (guint) (sizes[r] / sizeof (float) / n_terms);

      for (guint b = 0; b < n_terms; b++, next += n)
        memcpy (self->terms + b * batch + at, next, n * sizeof (float));
      at += n;
    }
  return TRUE;
}

gboolean
dimr_run_compare (DimrRun  *self,
                  GError  **error)
{
  const float *values = dimr_parameters_get_values (self->parameters);
  const gsize length = dimr_parameters_get_length (self->parameters);
  guint64 sum = 14695981039346656037u; /* FNV-1a of words: gigabytes a second, and nobody means ill */
  guint8 hash[HASH] = { 0 };
  guint other;

  if (self->group == NULL)
    return TRUE;
  for (gsize i = 0; i < length; i++)
    {
      guint32 word;

      memcpy (&word, values + i, sizeof word);
      sum = (sum ^ word) * 1099511628211u;
    }
  memcpy (hash, &sum, sizeof sum);
  if (!find_other (self, hash, &other, error))
    return FALSE;
  if (other == 0)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_PEER,
                  _("The weights of process %u are no longer those of process 0, as on processors that round otherwise: use hosts of one kind"), other);
  return FALSE;
}
