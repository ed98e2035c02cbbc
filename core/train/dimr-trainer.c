/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-trainer.h"

#include "core/base/dimr-error.h"
#include "core/graph/dimr-gradient.h"
#include "core/model/dimr-network.h"
#include "core/train/dimr-learner.h"

#include <string.h>

/* A branch's part of the loss, as ids of the plan's graph. */
typedef struct
{
  DimrNodeId target;   /* input [B, C, h, w] */
  DimrNodeId slope;    /* input [B]: d loss / d squares; NONE without gradients */
  DimrNodeId squares;  /* output [B] */
  guint height;
  guint width;
  guint k;
  double coefficient;
} Branch;

struct _DimrTrainer
{
  const DimrConfig *config;
  DimrSchedule *schedule;
  DimrParameters *parameters;
  DimrTrainerOptions options;
  DimrPlan *plan;
  DimrProgram *program;
  guint n_branches;
  Branch branches[DIMR_MAX_BRANCHES];
  DimrNodeId x, time, y;
  DimrNodeId *gradients;   /* [n parameters] outputs, or NONE */
  gboolean *has_gradient;  /* [n parameters] */
  gsize image_len;         /* C · H · W */
  float *noisy;            /* [micro_batch, C, H, W] */
  float *target;           /* the same, for every branch in turn */
  float *times;            /* [micro_batch] */
  float *slopes;           /* [micro_batch] */
  gint32 *labels;          /* [micro_batch] */
  float *buffer;           /* [micro_batch] */
};

void
dimr_trainer_free (DimrTrainer *self)
{
  g_return_if_fail (self != NULL);
  g_clear_object (&self->program);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_free (self->gradients);
  g_free (self->has_gradient);
  g_free (self->noisy);
  g_free (self->target);
  g_free (self->times);
  g_free (self->slopes);
  g_free (self->labels);
  g_free (self->buffer);
  g_free (self);
}

static const DimrShape *
shape_of (const DimrGraph *graph,
          DimrNodeId       node)
{
  return &dimr_graph_peek_node (graph, node)->shape;
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

/* Adds the loss of each branch to the network: nodes by name, since fusion changes ids. */
static gboolean
add_losses (DimrTrainer  *self,
            DimrGraph    *graph,
            DimrSeed     *seeds,
            GError      **error)
{
  for (guint r = 0; r < self->n_branches; r++)
    {
      Branch *branch = &self->branches[r];
      const DimrNodeId prediction = dimr_network_find_output (graph, r);
      const DimrShape shape = *shape_of (graph, prediction);
      g_autofree char *target = g_strdup_printf ("target%u", r), *slope = g_strdup_printf ("slope%u", r);

      if (shape.dims[1] != (gint64) self->config->channels || self->options.height % shape.dims[2] != 0 ||
          self->options.width % shape.dims[3] != 0 ||
          self->options.height / shape.dims[2] != self->options.width / shape.dims[3])
        {
          g_set_error (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED,
                       "Branch %u of this network does not predict the noise, so it cannot be trained with this loss", r);
          return FALSE;
        }
      branch->height = (guint) shape.dims[2];
      branch->width = (guint) shape.dims[3];
      branch->k = self->options.height / branch->height;
      /* Networks of one branch have no coefficients. */
      branch->coefficient = self->n_branches > 1 ? (double) self->config->loss_coeffs[r] : 1;
      branch->target = dimr_graph_add_input (graph, target, DIMR_DTYPE_F32, shape);
      branch->squares = dimr_graph_add_op (graph, DIMR_OP_MEAN_SQUARE, ((DimrAttrs){ 0 }), prediction, branch->target);
      branch->slope = DIMR_NODE_NONE;
      if (!self->options.only_loss)
        branch->slope = dimr_graph_add_input (graph, slope, DIMR_DTYPE_F32, DIMR_SHAPE (self->options.micro_batch));
      seeds[r] = (DimrSeed){ branch->squares, branch->slope };
    }
  return TRUE;
}

static void
add_gradients (DimrTrainer    *self,
               DimrGraph      *graph,
               const DimrSeed *seeds,
               const gboolean *kept)
{
  const guint n = dimr_parameters_get_n (self->parameters);
  g_autofree DimrNodeId *wanted = g_new (DimrNodeId, MAX (n, 1));

  for (guint i = 0; i < n; i++)
    wanted[i] = dimr_graph_find (graph, dimr_parameters_peek (self->parameters, i)->name);
  dimr_graph_add_gradients (graph, seeds, self->n_branches, wanted, n, kept, self->gradients);
}

/* The outputs: squares of every branch, then the gradients there are. */
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

  for (guint r = 0; r < self->n_branches; r++)
    g_array_append_val (outputs, self->branches[r].squares);
  for (guint i = 0; i < n; i++)
    if (self->gradients[i] != DIMR_NODE_NONE)
      g_array_append_val (outputs, self->gradients[i]);
  self->plan = dimr_plan_new (graph, &g_array_index (outputs, DimrNodeId, 0), outputs->len, device, self->options.precision, error);
  if (self->plan == NULL)
    return FALSE;
  self->program = dimr_device_compile (device, self->plan, dimr_parameters_peek_weights (self->parameters), cancellable, error);
  if (self->program == NULL)
    return FALSE;

  for (guint r = 0; r < self->n_branches; r++)
    {
      g_autofree char *target = g_strdup_printf ("target%u", r), *slope = g_strdup_printf ("slope%u", r);

      self->branches[r].squares = dimr_plan_get_output (self->plan, o++);
      self->branches[r].target = dimr_plan_get_input (self->plan, target);
      self->branches[r].slope = dimr_plan_get_input (self->plan, slope);
    }
  for (guint i = 0; i < n; i++)
    if (self->gradients[i] != DIMR_NODE_NONE)
      {
        self->gradients[i] = dimr_plan_get_output (self->plan, o++);
        self->has_gradient[i] = TRUE;
      }
  self->x = dimr_plan_get_input (self->plan, "x");
  self->y = dimr_plan_get_input (self->plan, "y");
  self->time = dimr_plan_get_input (self->plan, dimr_network_get_time_input (self->config));
  self->buffer = g_new (float, self->options.micro_batch);
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
  DimrSeed seeds[DIMR_MAX_BRANCHES];
  guint n;

  g_return_val_if_fail (config != NULL && schedule != NULL && parameters != NULL && DIMR_IS_DEVICE (device), NULL);
  g_return_val_if_fail (options != NULL && options->micro_batch > 0, NULL);

  n = dimr_parameters_get_n (parameters);
  self = g_new0 (DimrTrainer, 1);
  self->config = config;
  self->schedule = schedule;
  self->parameters = parameters;
  self->options = *options;
  self->gradients = g_new (DimrNodeId, MAX (n, 1));
  self->has_gradient = g_new0 (gboolean, MAX (n, 1));
  for (guint i = 0; i < n; i++)
    self->gradients[i] = DIMR_NODE_NONE;

  network = dimr_network_build (config, options->micro_batch, options->micro_batch, options->height, options->width, error);
  if (network == NULL)
    return NULL;
  while (self->n_branches < DIMR_MAX_BRANCHES && dimr_network_find_output (network, self->n_branches) != DIMR_NODE_NONE)
    self->n_branches++;
  graph = dimr_graph_extend (network);
  if (!add_losses (self, graph, seeds, error))
    return NULL;
  kept = list_kept (graph, options->recompute);
  if (!options->only_loss)
    add_gradients (self, graph, seeds, kept);
  if (!dimr_graph_finish (graph, error) || !compile (self, graph, device, cancellable, error))
    return NULL;

  self->image_len = (gsize) config->channels * options->height * options->width;
  self->noisy = g_new (float, options->micro_batch * self->image_len);
  self->target = g_new (float, options->micro_batch * self->image_len);
  self->times = g_new (float, options->micro_batch);
  self->slopes = g_new (float, options->micro_batch);
  self->labels = g_new (gint32, options->micro_batch);
  return g_steal_pointer (&self);
}

guint
dimr_trainer_get_n_branches (DimrTrainer *self)
{
  return self->n_branches;
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
                       const float *squares,
                       guint        n,
                       guint        sample)
{
  double loss = 0;

  for (guint r = 0; r < self->n_branches; r++)
    loss += self->branches[r].coefficient * (double) squares[r * n + sample];
  return loss;
}

void
dimr_training_target (const float *noise,
                      gsize        n_planes,
                      guint        height,
                      guint        width,
                      guint        k,
                      float       *target)
{
  for (gsize p = 0; p < n_planes; p++)
    for (guint h = 0; h < height / k; h++)
      for (guint w = 0; w < width / k; w++)
        {
          const float *block = noise + (p * height + h * k) * width + w * k;
          double sum = 0;

          for (guint i = 0; i < k; i++)
            for (guint j = 0; j < k; j++)
              sum += (double) block[i * width + j];
          *target++ = (float) (sum / k);
        }
}

/* Samples [first, first + count) into the program; what is left of the micro-batch repeats the
 * last one, and its loss counts for nothing. */
static void
write_inputs (DimrTrainer             *self,
              const DimrTrainingBatch *batch,
              guint                    first,
              guint                    count)
{
  const guint micro = self->options.micro_batch;

  for (guint i = 0; i < micro; i++)
    {
      const guint sample = first + MIN (i, count - 1);
      const float *x0 = batch->x0 + sample * self->image_len, *noise = batch->noise + sample * self->image_len;
      const double t = batch->t[sample];
      const float alpha = (float) dimr_schedule_alpha (self->schedule, t), sigma = (float) dimr_schedule_sigma (self->schedule, t);
      float *noisy = self->noisy + i * self->image_len;

      for (gsize k = 0; k < self->image_len; k++)
        noisy[k] = alpha * x0[k] + sigma * noise[k];
      self->times[i] = (float) dimr_schedule_condition (self->schedule, self->config->time_condition, t);
      if (batch->y != NULL)
        self->labels[i] = batch->y[sample];
    }
  dimr_program_write (self->program, self->x, self->noisy, micro * self->image_len * sizeof (float));
  if (self->time != DIMR_NODE_NONE)
    dimr_program_write (self->program, self->time, self->times, micro * sizeof (float));
  if (self->y != DIMR_NODE_NONE)
    dimr_program_write (self->program, self->y, self->labels, micro * sizeof (gint32));
}

static void
write_targets (DimrTrainer             *self,
               const DimrTrainingBatch *batch,
               guint                    first,
               guint                    count)
{
  const guint micro = self->options.micro_batch, channels = self->config->channels;

  for (guint r = 0; r < self->n_branches; r++)
    {
      const Branch *branch = &self->branches[r];
      const gsize length = (gsize) channels * branch->height * branch->width;

      for (guint i = 0; i < micro; i++)
        {
          const guint sample = first + MIN (i, count - 1);
          const double weight = batch->weight != NULL ? (double) batch->weight[sample] : 1;

          dimr_training_target (batch->noise + sample * self->image_len, channels, self->options.height, self->options.width,
                                branch->k, self->target + i * length);
          self->slopes[i] = i < count ? (float) (branch->coefficient * weight / (batch->n_all > 0 ? batch->n_all : batch->n)) : 0;
        }
      dimr_program_write (self->program, branch->target, self->target, micro * length * sizeof (float));
      if (branch->slope != DIMR_NODE_NONE)
        dimr_program_write (self->program, branch->slope, self->slopes, micro * sizeof (float));
    }
}

gboolean
dimr_trainer_evaluate (DimrTrainer              *self,
                       const DimrTrainingBatch  *batch,
                       DimrLearner              *learner,
                       float                    *squares,
                       GCancellable             *cancellable,
                       GError                  **error)
{
  const guint micro = self->options.micro_batch;

  g_return_val_if_fail (batch != NULL && squares != NULL, FALSE);
  g_return_val_if_fail (learner == NULL || !self->options.only_loss, FALSE);

  for (guint first = 0; first < batch->n; first += micro)
    {
      const guint count = MIN (micro, batch->n - first);

      write_inputs (self, batch, first, count);
      write_targets (self, batch, first, count);
      if (!dimr_program_run (self->program, cancellable, error))
        return FALSE;
      for (guint r = 0; r < self->n_branches; r++)
        {
          dimr_program_read (self->program, self->branches[r].squares, self->buffer, micro);
          memcpy (squares + r * batch->n + first, self->buffer, count * sizeof (float));
        }
      if (learner != NULL && !dimr_learner_add (learner, self->program, self->gradients, error))
        return FALSE;
    }
  return TRUE;
}
