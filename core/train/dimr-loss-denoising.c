/* dimr-loss-denoising.c — every branch predicts the noise at its own resolution
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-loss.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/model/dimr-network.h"

/* What belongs to a branch, beside its output: the mean squares [B]. */
typedef struct
{
  DimrNodeId target;   /* input [B, C, h, w] */
  DimrNodeId slope;    /* input [B]: d loss / d squares; NONE without gradients */
  guint height;
  guint width;
  guint k;
} Branch;

typedef struct
{
  DimrLoss parent;
  Branch branches[DIMR_MAX_BRANCHES];
  DimrNodeId x, time, y;
  gsize image_len;     /* C · H · W */
  float *noisy;        /* [micro_batch, C, H, W] */
  float *target;       /* the same, for every branch in turn */
  float *times;        /* [micro_batch] */
  float *slopes;       /* [micro_batch] */
  gint32 *labels;      /* [micro_batch] */
} Denoising;

G_STATIC_ASSERT (DIMR_MAX_BRANCHES <= DIMR_LOSS_MAX_TERMS && DIMR_MAX_BRANCHES <= DIMR_LOSS_MAX_OUTPUTS);

static void
allocate (Denoising *self)
{
  const DimrTrainerOptions *options = &self->parent.options;
  const gsize n = options->micro_batch;

  self->image_len = (gsize) self->parent.config->channels * options->height * options->width;
  self->noisy = g_new (float, n * self->image_len);
  self->target = g_new (float, n * self->image_len);
  self->times = g_new (float, n);
  self->slopes = g_new (float, n);
  self->labels = g_new (gint32, n);
}

/* Adds the loss of each branch to the network. */
static gboolean
build_loss (DimrLoss   *loss,
            DimrGraph  *graph,
            GError    **error)
{
  Denoising *self = (Denoising *) loss;
  const DimrTrainerOptions *options = &loss->options;

  while (loss->n_outputs < DIMR_MAX_BRANCHES && dimr_network_find_output (graph, loss->n_outputs) != DIMR_NODE_NONE)
    loss->n_outputs++;
  loss->n_terms = loss->n_outputs;
  for (guint r = 0; r < loss->n_outputs; r++)
    {
      Branch *branch = &self->branches[r];
      const DimrNodeId prediction = dimr_network_find_output (graph, r);
      const DimrShape shape = dimr_graph_peek_node (graph, prediction)->shape;
      g_autofree char *target = g_strdup_printf ("target%u", r), *slope = g_strdup_printf ("slope%u", r);

      if (shape.dims[1] != (gint64) loss->config->channels || options->height % shape.dims[2] != 0 ||
          options->width % shape.dims[3] != 0 || options->height / shape.dims[2] != options->width / shape.dims[3])
        {
          dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                          _("Branch %u of this network does not predict the noise, so it cannot be trained with this loss"), r);
          return FALSE;
        }
      branch->height = (guint) shape.dims[2];
      branch->width = (guint) shape.dims[3];
      branch->k = options->height / branch->height;
      /* Networks of one branch have no coefficients. */
      loss->terms[r].coefficient = loss->n_terms > 1 ? (double) loss->config->loss_coeffs[r] : 1;
      g_snprintf (loss->terms[r].name, sizeof loss->terms[r].name, "branch%u", r);
      branch->target = dimr_graph_add_input (graph, target, DIMR_DTYPE_F32, shape);
      loss->outputs[r] = dimr_graph_add_op (graph, DIMR_OP_MEAN_SQUARE, ((DimrAttrs){ 0 }), prediction, branch->target);
      if (options->only_loss)
        continue;
      branch->slope = dimr_graph_add_input (graph, slope, DIMR_DTYPE_F32, DIMR_SHAPE (options->micro_batch));
      loss->seeds[loss->n_seeds++] = (DimrSeed){ loss->outputs[r], branch->slope };
    }
  allocate (self);
  return TRUE;
}

static void
bind_inputs (DimrLoss *loss,
             DimrPlan *plan)
{
  Denoising *self = (Denoising *) loss;

  for (guint r = 0; r < loss->n_outputs; r++)
    {
      g_autofree char *target = g_strdup_printf ("target%u", r), *slope = g_strdup_printf ("slope%u", r);

      self->branches[r].target = dimr_plan_get_input (plan, target);
      self->branches[r].slope = dimr_plan_get_input (plan, slope);
    }
  self->x = dimr_plan_get_input (plan, "x");
  self->y = dimr_plan_get_input (plan, "y");
  self->time = dimr_plan_get_input (plan, dimr_network_get_time_input (loss->config));
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

static void
write_inputs (Denoising               *self,
              DimrProgram             *program,
              const DimrTrainingBatch *batch,
              guint                    first,
              guint                    count)
{
  const guint micro = self->parent.options.micro_batch;
  DimrSchedule *schedule = self->parent.schedule;

  for (guint i = 0; i < micro; i++)
    {
      const guint sample = first + MIN (i, count - 1);
      const float *x0 = batch->x0 + sample * self->image_len, *noise = batch->noise + sample * self->image_len;
      const double t = batch->t[sample];
      const float alpha = (float) dimr_schedule_alpha (schedule, t), sigma = (float) dimr_schedule_sigma (schedule, t);
      float *noisy = self->noisy + i * self->image_len;

      for (gsize k = 0; k < self->image_len; k++)
        noisy[k] = alpha * x0[k] + sigma * noise[k];
      self->times[i] = (float) dimr_schedule_condition (schedule, self->parent.config->time_condition, t);
      if (batch->y != NULL)
        self->labels[i] = batch->y[sample];
    }
  dimr_program_write (program, self->x, self->noisy, micro * self->image_len * sizeof (float));
  if (self->time != DIMR_NODE_NONE)
    dimr_program_write (program, self->time, self->times, micro * sizeof (float));
  if (self->y != DIMR_NODE_NONE)
    dimr_program_write (program, self->y, self->labels, micro * sizeof (gint32));
}

static void
write_targets (Denoising               *self,
               DimrProgram             *program,
               const DimrTrainingBatch *batch,
               guint                    first,
               guint                    count)
{
  const DimrTrainerOptions *options = &self->parent.options;
  const guint micro = options->micro_batch, channels = self->parent.config->channels;

  for (guint r = 0; r < self->parent.n_outputs; r++)
    {
      const Branch *branch = &self->branches[r];
      const gsize length = (gsize) channels * branch->height * branch->width;

      for (guint i = 0; i < micro; i++)
        {
          const guint sample = first + MIN (i, count - 1);
          const double weight = batch->weight != NULL ? (double) batch->weight[sample] : 1;

          dimr_training_target (batch->noise + sample * self->image_len, channels, options->height, options->width, branch->k,
                                self->target + i * length);
          self->slopes[i] = i < count ? (float) (self->parent.terms[r].coefficient * weight / (batch->n_all > 0 ? batch->n_all : batch->n)) : 0;
        }
      dimr_program_write (program, branch->target, self->target, micro * length * sizeof (float));
      if (branch->slope != DIMR_NODE_NONE)
        dimr_program_write (program, branch->slope, self->slopes, micro * sizeof (float));
    }
}

static void
write_batch (DimrLoss                *loss,
             DimrProgram             *program,
             const DimrTrainingBatch *batch,
             guint                    first,
             guint                    count)
{
  write_inputs ((Denoising *) loss, program, batch, first, count);
  write_targets ((Denoising *) loss, program, batch, first, count);
}

static void
read_terms (DimrLoss                *loss,
            DimrProgram             *program,
            const DimrTrainingBatch *batch,
            guint                    first,
            guint                    count,
            float                   *terms)
{
  Denoising *self = (Denoising *) loss;

  for (guint r = 0; r < loss->n_terms; r++)
    {
      dimr_program_read (program, loss->outputs[r], self->slopes, loss->options.micro_batch);
      for (guint i = 0; i < count; i++)
        terms[r * batch->n + first + i] = self->slopes[i];
    }
}

static void
denoising_free (DimrLoss *loss)
{
  Denoising *self = (Denoising *) loss;

  g_free (self->noisy);
  g_free (self->target);
  g_free (self->times);
  g_free (self->slopes);
  g_free (self->labels);
  g_free (self);
}

DimrLoss *
dimr_loss_new_denoising (void)
{
  static const DimrLossInfo info = { build_loss, bind_inputs, write_batch, read_terms, denoising_free };
  Denoising *self = g_new0 (Denoising, 1);

  self->parent.info = &info;
  return &self->parent;
}
