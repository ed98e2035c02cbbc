/* dimr-loss-classification.c — a classifier names what is on a picture
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-loss.h"

#include "core/base/dimr-error.h"
#include "core/model/dimr-network.h"

#include <string.h>

typedef enum
{
  TERM_CROSS_ENTROPY,
  TERM_TOP1,
  TERM_TOP5,
} Term;

typedef enum
{
  OUTPUT_CROSS_ENTROPY, /* [B] */
  OUTPUT_LOGITS,        /* [B, K] */
} Output;

typedef struct
{
  DimrLoss parent;
  DimrNodeId x;
  DimrNodeId target;   /* input [B, K] */
  DimrNodeId slope;    /* input [B]: d loss / d cross entropy; NONE without gradients */
  gsize image_len;     /* C · H · W */
  float *pictures;     /* [micro_batch, C, H, W] */
  float *values;       /* [micro_batch, K] */
} Classification;

static void
add_term (DimrLoss   *loss,
          const char *name,
          double      coefficient)
{
  g_strlcpy (loss->terms[loss->n_terms].name, name, sizeof loss->terms[0].name);
  loss->terms[loss->n_terms++].coefficient = coefficient;
}

static gboolean
build_loss (DimrLoss   *loss,
            DimrGraph  *graph,
            GError    **error)
{
  Classification *self = (Classification *) loss;
  const DimrTrainerOptions *options = &loss->options;
  const DimrNodeId logits = dimr_network_find_output (graph, 0);
  const DimrShape shape = DIMR_SHAPE (options->micro_batch, loss->config->num_classes);

  add_term (loss, "cross_entropy", 1);
  add_term (loss, "top1", 0);
  add_term (loss, "top5", 0);
  self->target = dimr_graph_add_input (graph, "target", DIMR_DTYPE_F32, shape);
  loss->outputs[OUTPUT_CROSS_ENTROPY] = dimr_graph_add_op (graph, DIMR_OP_CROSS_ENTROPY, ((DimrAttrs){ 0 }), logits, self->target);
  loss->outputs[OUTPUT_LOGITS] = logits;
  loss->n_outputs = 2;
  if (!options->only_loss)
    {
      self->slope = dimr_graph_add_input (graph, "slope", DIMR_DTYPE_F32, DIMR_SHAPE (options->micro_batch));
      loss->seeds[loss->n_seeds++] = (DimrSeed){ loss->outputs[OUTPUT_CROSS_ENTROPY], self->slope };
    }
  self->image_len = (gsize) loss->config->channels * options->height * options->width;
  self->pictures = g_new (float, options->micro_batch * self->image_len);
  self->values = g_new (float, (gsize) options->micro_batch * loss->config->num_classes);
  return TRUE;
}

static void
bind_inputs (DimrLoss *loss,
             DimrPlan *plan)
{
  Classification *self = (Classification *) loss;

  self->x = dimr_plan_get_input (plan, "x");
  self->target = dimr_plan_get_input (plan, "target");
  self->slope = dimr_plan_get_input (plan, "slope");
}

/* Validation measures against the plain labels. */
static void
write_targets (Classification          *self,
               DimrProgram             *program,
               const DimrTrainingBatch *batch,
               guint                    first,
               guint                    count)
{
  const DimrTrainerOptions *options = &self->parent.options;
  const guint n = self->parent.config->num_classes, micro = options->micro_batch;
  const double smoothing = options->only_loss ? 0 : options->label_smoothing;

  for (guint i = 0; i < micro; i++)
    {
      const gint32 label = batch->y[first + MIN (i, count - 1)];

      for (guint k = 0; k < n; k++)
        self->values[i * n + k] = (float) (smoothing / n + (k == (guint) label ? 1 - smoothing : 0));
    }
  dimr_program_write (program, self->target, self->values, (gsize) micro * n * sizeof (float));
  if (self->slope == DIMR_NODE_NONE)
    return;
  for (guint i = 0; i < micro; i++)
    self->values[i] = i < count ? (batch->weight != NULL ? batch->weight[first + i] : 1) / (float) (batch->n_all > 0 ? batch->n_all : batch->n) : 0;
  dimr_program_write (program, self->slope, self->values, micro * sizeof (float));
}

static void
write_batch (DimrLoss                *loss,
             DimrProgram             *program,
             const DimrTrainingBatch *batch,
             guint                    first,
             guint                    count)
{
  Classification *self = (Classification *) loss;
  const guint micro = loss->options.micro_batch;

  for (guint i = 0; i < micro; i++)
    memcpy (self->pictures + i * self->image_len, batch->x0 + (first + MIN (i, count - 1)) * self->image_len,
            self->image_len * sizeof (float));
  dimr_program_write (program, self->x, self->pictures, micro * self->image_len * sizeof (float));
  write_targets (self, program, batch, first, count);
}

/* How many classes the network would name before @label: those with larger logits, and equal ones before it. */
static guint
rank (const float *logits,
      guint        n,
      guint        label)
{
  guint before = 0;

  for (guint k = 0; k < n; k++)
    before += logits[k] > logits[label] || (k < label && !(logits[k] < logits[label]));
  return before;
}

static void
read_terms (DimrLoss                *loss,
            DimrProgram             *program,
            const DimrTrainingBatch *batch,
            guint                    first,
            guint                    count,
            float                   *terms)
{
  Classification *self = (Classification *) loss;
  const guint n = loss->config->num_classes, micro = loss->options.micro_batch;

  dimr_program_read (program, loss->outputs[OUTPUT_CROSS_ENTROPY], self->values, micro);
  for (guint i = 0; i < count; i++)
    terms[TERM_CROSS_ENTROPY * batch->n + first + i] = self->values[i];
  dimr_program_read (program, loss->outputs[OUTPUT_LOGITS], self->values, (gsize) micro * n);
  for (guint i = 0; i < count; i++)
    {
      const guint before = rank (self->values + (gsize) i * n, n, (guint) batch->y[first + i]);

      terms[TERM_TOP1 * batch->n + first + i] = before < 1;
      terms[TERM_TOP5 * batch->n + first + i] = before < 5;
    }
}

static void
classification_free (DimrLoss *loss)
{
  Classification *self = (Classification *) loss;

  g_free (self->pictures);
  g_free (self->values);
  g_free (self);
}

DimrLoss *
dimr_loss_new_classification (void)
{
  static const DimrLossInfo info = { build_loss, bind_inputs, write_batch, read_terms, classification_free };
  Classification *self = g_new0 (Classification, 1);

  self->parent.info = &info;
  return &self->parent;
}
