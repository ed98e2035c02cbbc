/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-training-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <math.h>
#include <string.h>

DimrTrainingOptions *
dimr_training_read_options (const char  *output,
                            GError     **error)
{
  g_autofree char *path = g_build_filename (output, "run.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (DimrTrainingOptions) options = dimr_training_options_new ();
  g_autoptr (GError) local_error = NULL;

  if (!json_parser_load_from_file (parser, path, &local_error) || !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("“%s” holds no run to go on with: %s"), output,
                      local_error != NULL ? local_error->message : _("run.json is no object"));
      return NULL;
    }
  if (!dimr_training_options_read (options, json_node_get_object (json_parser_get_root (parser)), error))
    return NULL;
  /* Moved as a whole, a run stays what it is. */
  if (!dimr_training_options_set (options, "output", output, error))
    return NULL;
  return g_steal_pointer (&options);
}

/* Of the step that is made now: linear growth, then constant or a falling cosine. */
static double
learning_rate (DimrRun *self)
{
  const DimrTrainingOptions *o = self->options;
  const double step = (double) self->step + 1, warmup = (double) o->warmup;

  if (step < warmup)
    return o->lr * step / warmup;
  if (strcmp (o->decay, "cosine") == 0 && (double) o->steps > warmup)
    {
      const double done = (step - warmup) / ((double) o->steps - warmup);

      return o->lr * (.01 + .99 * .5 * (1 + cos (G_PI * CLAMP (done, 0, 1))));
    }
  return o->lr;
}

/* Of the step that is made now. Early on, the usual rate would keep the random weights in the average for
 * thousands of steps. */
static double
average_rate (DimrRun *self)
{
  const double step = (double) self->step;

  return self->options->ema_ramp ? MIN (self->options->ema, (1 + step) / (10 + step)) : self->options->ema;
}

/* The loss and gradient of a step, looked at before anything is changed by them. */
static gboolean
check (DimrRun  *self,
       double    loss,
       double    norm,
       GError  **error)
{
  if (isfinite (loss) && isfinite (norm))
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_REQUEST,
                  isfinite (loss)
                    ? _("The gradient of step %" PRIu64 " is not a number: use a lower learning rate or --clip; the last good snapshot is %s")
                    : _("The loss of step %" PRIu64 " is not a number: use a lower learning rate or --clip; the last good snapshot is %s"),
                  self->step + 1, self->last_snapshot != NULL ? self->last_snapshot : _("the beginning"));
  return FALSE;
}

static void
take_errors (DimrRun *self)
{
  g_autoptr (GPtrArray) errors = dimr_batches_take_errors (self->batches);

  for (guint i = 0; errors != NULL && i < errors->len; i++)
    dimr_run_warn (self, g_ptr_array_index (errors, i));
}

static gboolean
make_step (DimrRun  *self,
           GError  **error)
{
  const DimrTrainingOptions *o = self->options;
  const DimrTrainingBatch *batch = dimr_batches_next (self->batches, error);
  const guint n = (guint) o->batch, n_terms = dimr_trainer_get_n_terms (self->trainer);
  DimrAdamW adam = { 0, o->beta1, o->beta2, 1e-8, o->weight_decay };
  double loss = 0, norm, scale = 1;

  take_errors (self);
  if (batch == NULL)
    return FALSE;
  dimr_learner_begin (self->learner, self->n_leaves, self->first_leaf);
  if (!dimr_trainer_evaluate (self->trainer, batch, self->learner, self->own_terms != NULL ? self->own_terms : self->terms,
                              self->cancellable, error) ||
      !dimr_run_gather_terms (self, error) ||
      !dimr_learner_sum (self->learner, &norm, self->cancellable, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    loss += dimr_trainer_get_loss (self->trainer, self->terms, n, i) / n;
  if (!check (self, loss, norm, error))
    return FALSE;
  if (o->clip > 0 && norm > o->clip)
    scale = o->clip / norm;

  adam.lr = learning_rate (self);
  if (!dimr_learner_update (self->learner, &adam, scale, average_rate (self), error))
    return FALSE;
  self->step++;

  self->n_seen++;
  self->sum_loss += loss;
  for (guint r = 0; r < n_terms; r++)
    for (guint i = 0; i < n; i++)
      self->sums[r] += (double) self->terms[r * n + i] / n;
  self->gradient_norm = norm;
  return TRUE;
}

static gboolean
write_log (DimrRun                  *self,
           const DimrTrainingEvent  *event,
           GError                  **error)
{
  double values[6 + 2 * DIMR_TRAINING_MAX_TERMS + 2];
  guint n = 0;

  values[n++] = event->loss;
  for (guint r = 0; r < event->n_terms; r++)
    values[n++] = event->terms[r];
  values[n++] = event->gradient_norm;
  values[n++] = event->lr;
  values[n++] = event->images_per_second;
  values[n++] = event->waiting;
  values[n++] = self->validation_loss;
  for (guint r = 0; r < event->n_terms; r++)
    values[n++] = isnan (self->validation_loss) ? NAN : self->validation_terms[r];
  self->validation_loss = NAN;
  return dimr_training_log_add (self->log, self->step, values, error);
}

static void
begin_interval (DimrRun *self)
{
  self->n_seen = 0;
  self->sum_loss = 0;
  memset (self->sums, 0, sizeof self->sums);
  self->began = g_get_monotonic_time ();
  self->waited = dimr_batches_get_waited (self->batches);
}

static gboolean
tell_step (DimrRun  *self,
           GError  **error)
{
  const gint64 now = g_get_monotonic_time ();
  const double seconds = MAX ((double) (now - self->began) / G_USEC_PER_SEC, 1e-6);
  const double all = (double) (now - self->run_began) / G_USEC_PER_SEC, made = (double) (self->step - self->run_first_step);
  const double n = (double) self->n_seen;
  DimrTrainingEvent event = {
    .kind = DIMR_TRAINING_STEP,
    .loss = self->sum_loss / n,
    .n_terms = dimr_trainer_get_n_terms (self->trainer),
    .gradient_norm = self->gradient_norm,
    .images_per_second = n * (double) self->options->batch / seconds,
    .waiting = (dimr_batches_get_waited (self->batches) - self->waited) / seconds,
    .seconds_left = all / made * (double) (self->options->steps - self->step),
  };

  for (guint r = 0; r < event.n_terms; r++)
    event.terms[r] = self->sums[r] / n;
  self->step--; /* the rate of the step that was made */
  event.lr = learning_rate (self);
  self->step++;
  dimr_run_tell (self, &event);
  if (!write_log (self, &event, error))
    return FALSE;
  begin_interval (self);
  return TRUE;
}

static gboolean
make_steps (DimrRun  *self,
            GError  **error)
{
  const DimrTrainingOptions *o = self->options;

  self->run_began = g_get_monotonic_time ();
  self->run_first_step = self->step;
  begin_interval (self);
  while (self->step < o->steps)
    {
      const gboolean snapshot = (self->step + 1) % o->snapshot_every == 0 || self->step + 1 == o->steps;

      if (g_cancellable_set_error_if_cancelled (self->cancellable, error) || !make_step (self, error))
        return FALSE;
      if (snapshot && (!dimr_learner_fetch (self->learner, error) || !dimr_run_compare (self, error)))
        return FALSE;
      if (snapshot && self->validator != NULL && !dimr_run_validate (self, error))
        return FALSE;
      if (snapshot && self->rank == 0 && !dimr_run_save (self, error))
        return FALSE;
      if (self->rank == 0 && (self->step % o->log_every == 0 || snapshot) && !tell_step (self, error))
        return FALSE;
    }
  return TRUE;
}

/* What was learnt before a stop, or before another process was lost, is kept: the weights are those after the
 * last whole step. A snapshot that fails now is worse news than the stop. */
static void
keep (DimrRun  *self,
      GError  **problem)
{
  const gboolean lost = g_error_matches (*problem, DIMR_ERROR, DIMR_ERROR_PEER);
  g_autoptr (GError) unsaved = NULL;

  if (self->rank > 0 || self->batches == NULL || self->step == 0 || !(lost || g_error_matches (*problem, G_IO_ERROR, G_IO_ERROR_CANCELLED)))
    return;
  self->stopping = TRUE;
  if (!dimr_learner_fetch (self->learner, &unsaved) || !dimr_run_save (self, &unsaved))
    {
      g_clear_error (problem);
      *problem = g_steal_pointer (&unsaved);
    }
  else if (lost)
    {
      GError *said = NULL;

      dimr_error_set (&said, DIMR_ERROR_PEER, _("%s; the %" PRIu64 " steps until then are kept in “%s”: go on with --resume"),
                      (*problem)->message, self->step, self->last_snapshot);
      g_clear_error (problem);
      *problem = said;
    }
}

gboolean
dimr_training_run (const DimrTrainingOptions  *options,
                   gboolean                    resume,
                   const DimrTrainingGroup    *group,
                   DimrTrainingFunc            func,
                   gpointer                    user_data,
                   GCancellable               *cancellable,
                   GError                    **error)
{
  DimrCollective *collective = group != NULL ? group->collective : NULL;
  DimrRun run = {
    .options = options, .func = func, .user_data = user_data, .cancellable = cancellable, .validation_loss = NAN,
    .group = collective,
    .local_rank = group != NULL ? group->local_rank : 0,
    .local_size = group != NULL ? group->local_size : 1,
    .rank = collective != NULL ? dimr_collective_get_rank (collective) : 0,
    .n_ranks = collective != NULL ? dimr_collective_get_size (collective) : 1,
  };
  GError *problem = NULL;
  gboolean ok;

  g_return_val_if_fail (options != NULL, FALSE);

  /* Nobody goes before rank 0 has written the last snapshot. */
  ok = dimr_run_open (&run, resume, &problem) && make_steps (&run, &problem) &&
       (collective == NULL || dimr_collective_barrier (collective, cancellable, &problem));
  if (!ok)
    {
      /* Ctrl+C stops all processes, and what is heard first is that another one was told to. */
      if (g_error_matches (problem, DIMR_ERROR, DIMR_ERROR_PEER) && g_cancellable_is_cancelled (cancellable))
        {
          g_clear_error (&problem);
          g_cancellable_set_error_if_cancelled (cancellable, &problem);
        }
      if (collective != NULL)
        dimr_collective_leave (collective, g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? _("it was told to") : problem->message);
      keep (&run, &problem);
      g_propagate_error (error, problem);
    }
  dimr_run_clear (&run);
  return ok;
}
