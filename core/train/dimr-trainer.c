/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-trainer.h"

#include "core/graph/dimr-gradient.h"
#include "core/model/dimr-network.h"
#include "core/train/dimr-learner.h"

#include <string.h>

struct _DimrTrainer
{
  DimrParameters *parameters;
  DimrTrainerOptions options;
  DimrLoss *loss;
  DimrPlan *plan;
  DimrProgram *program;
  DimrNodeId *gradients;   /* [n parameters] outputs, or NONE */
  gboolean *has_gradient;  /* [n parameters] */
};

void
dimr_trainer_free (DimrTrainer *self)
{
  g_return_if_fail (self != NULL);
  g_clear_object (&self->program);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_clear_pointer (&self->loss, dimr_loss_free);
  g_free (self->gradients);
  g_free (self->has_gradient);
  g_free (self);
}

/* What stays in memory although the rest is computed again: what enters and leaves the blocks. */
static gboolean *
list_kept (const DimrGraph *graph,
           DimrRecompute    recompute)
{
  const guint n = dimr_graph_get_n_nodes (graph);
  gboolean *kept;

  if (recompute == DIMR_RECOMPUTE_NONE)
    return NULL;
  kept = g_new0 (gboolean, n);
  for (guint id = 0; id < n; id++)
    {
      const char *name = dimr_graph_peek_node (graph, id)->name;

      kept[id] = name != NULL && strncmp (name, "td.", 3) != 0 && strstr (name, ".block1.") == NULL &&
                 strstr (name, ".block2.") == NULL;
    }
  return kept;
}

static void
add_gradients (DimrTrainer    *self,
               DimrGraph      *graph,
               const gboolean *kept)
{
  const guint n = dimr_parameters_get_n (self->parameters);
  g_autofree DimrNodeId *wanted = g_new (DimrNodeId, MAX (n, 1));

  for (guint i = 0; i < n; i++)
    wanted[i] = dimr_graph_find (graph, dimr_parameters_peek (self->parameters, i)->name);
  dimr_graph_add_gradients (graph, self->loss->seeds, self->loss->n_seeds, wanted, n, kept, self->gradients);
}

/* The outputs: those of the loss, then the gradients there are. Fusion changes ids. */
static gboolean
compile (DimrTrainer   *self,
         DimrGraph     *graph,
         DimrDevice    *device,
         GCancellable  *cancellable,
         GError       **error)
{
  const guint n = dimr_parameters_get_n (self->parameters);
  g_autoptr (GArray) outputs = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));
  guint o = 0;

  g_array_append_vals (outputs, self->loss->outputs, self->loss->n_outputs);
  for (guint i = 0; i < n; i++)
    if (self->gradients[i] != DIMR_NODE_NONE)
      g_array_append_val (outputs, self->gradients[i]);
  self->plan = dimr_plan_new (graph, &g_array_index (outputs, DimrNodeId, 0), outputs->len, device, self->options.precision, error);
  if (self->plan == NULL)
    return FALSE;
  self->program = dimr_device_compile (device, self->plan, dimr_parameters_peek_weights (self->parameters), cancellable, error);
  if (self->program == NULL)
    return FALSE;

  while (o < self->loss->n_outputs)
    {
      self->loss->outputs[o] = dimr_plan_get_output (self->plan, o);
      o++;
    }
  for (guint i = 0; i < n; i++)
    if (self->gradients[i] != DIMR_NODE_NONE)
      {
        self->gradients[i] = dimr_plan_get_output (self->plan, o++);
        self->has_gradient[i] = TRUE;
      }
  self->loss->info->bind (self->loss, self->plan);
  return TRUE;
}

DimrTrainer *
dimr_trainer_new (const DimrConfig          *config,
                  DimrSchedule              *schedule,
                  DimrParameters            *parameters,
                  DimrDevice                *device,
                  const DimrTrainerOptions  *options,
                  GCancellable              *cancellable,
                  GError                   **error)
{
  g_autoptr (DimrTrainer) self = NULL;
  g_autoptr (DimrGraph) network = NULL;
  g_autoptr (DimrGraph) graph = NULL;
  g_autofree gboolean *kept = NULL;
  guint n;

  g_return_val_if_fail (config != NULL && schedule != NULL && parameters != NULL && DIMR_IS_DEVICE (device), NULL);
  g_return_val_if_fail (options != NULL && options->micro_batch > 0, NULL);

  n = dimr_parameters_get_n (parameters);
  self = g_new0 (DimrTrainer, 1);
  self->parameters = parameters;
  self->options = *options;
  self->loss = dimr_loss_new (config, schedule, options);
  self->gradients = g_new (DimrNodeId, MAX (n, 1));
  self->has_gradient = g_new0 (gboolean, MAX (n, 1));
  for (guint i = 0; i < n; i++)
    self->gradients[i] = DIMR_NODE_NONE;

  network = dimr_network_build (config, options->micro_batch, options->micro_batch, options->height, options->width, error);
  if (network == NULL)
    return NULL;
  graph = dimr_graph_extend (network);
  if (!self->loss->info->build (self->loss, graph, error))
    return NULL;
  kept = list_kept (graph, options->recompute);
  if (!options->only_loss)
    add_gradients (self, graph, kept);
  if (!dimr_graph_finish (graph, error) || !compile (self, graph, device, cancellable, error))
    return NULL;
  return g_steal_pointer (&self);
}

guint
dimr_trainer_get_n_terms (DimrTrainer *self)
{
  return self->loss->n_terms;
}

const char *
dimr_trainer_get_term_name (DimrTrainer *self,
                            guint        term)
{
  g_return_val_if_fail (term < self->loss->n_terms, NULL);
  return self->loss->terms[term].name;
}

guint
dimr_trainer_get_micro_batch (DimrTrainer *self)
{
  return self->options.micro_batch;
}

gsize
dimr_trainer_get_arena_size (DimrTrainer *self)
{
  return dimr_plan_get_arena_size (self->plan);
}

const gboolean *
dimr_trainer_peek_has_gradient (DimrTrainer *self)
{
  return self->has_gradient;
}

gboolean
dimr_trainer_reload (DimrTrainer  *self,
                     GError      **error)
{
  return dimr_program_reload (self->program, error);
}

double
dimr_trainer_get_loss (DimrTrainer *self,
                       const float *terms,
                       guint        n,
                       guint        sample)
{
  double loss = 0;

  for (guint r = 0; r < self->loss->n_terms; r++)
    loss += self->loss->terms[r].coefficient * (double) terms[r * n + sample];
  return loss;
}

gboolean
dimr_trainer_evaluate (DimrTrainer              *self,
                       const DimrTrainingBatch  *batch,
                       DimrLearner              *learner,
                       float                    *terms,
                       GCancellable             *cancellable,
                       GError                  **error)
{
  const guint micro = self->options.micro_batch;

  g_return_val_if_fail (batch != NULL && terms != NULL, FALSE);
  g_return_val_if_fail (learner == NULL || !self->options.only_loss, FALSE);

  for (guint first = 0; first < batch->n; first += micro)
    {
      const guint count = MIN (micro, batch->n - first);

      self->loss->info->write (self->loss, self->program, batch, first, count);
      if (!dimr_program_run (self->program, cancellable, error))
        return FALSE;
      self->loss->info->read (self->loss, self->program, batch, first, count, terms);
      if (learner != NULL && !dimr_learner_add (learner, self->program, self->gradients, error))
        return FALSE;
    }
  return TRUE;
}
