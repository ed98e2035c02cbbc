/* dimr-training-look.c — how a run is doing: validation, snapshots with their sample sheets
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-training-private.h"

#include "core/model/dimr-model.h"
#include "core/train/dimr-sample-sheet.h"

#include <math.h>
#include <string.h>

#define MAX_SHEET_ROWS 16

void
dimr_run_tell (DimrRun           *self,
               DimrTrainingEvent *event)
{
  event->step = self->step;
  event->n_steps = self->options->steps;
  for (guint r = 0; r < event->n_terms; r++)
    event->term_names[r] = dimr_trainer_get_term_name (self->trainer, r);
  if (self->func != NULL && (self->rank == 0 || event->kind == DIMR_TRAINING_WARNING))
    self->func (event, self->user_data);
}

void
dimr_run_warn (DimrRun    *self,
               const char *text)
{
  DimrTrainingEvent event = { .kind = DIMR_TRAINING_WARNING, .text = text };

  dimr_run_tell (self, &event);
}

/* Whole batches, always of the same pictures: their times and noise are those of a run that began at step 0. */
gboolean
dimr_run_validate (DimrRun  *self,
                   GError  **error)
{
  const guint n_terms = dimr_trainer_get_n_terms (self->trainer), n = (guint) self->options->batch;
  DimrBatchesOptions options = {
    .seed = 1,
    .batch = n,
    .channels = self->config->channels,
    .side = self->config->image_size,
    .null_class = -1,
    .has_classes = self->config->num_classes > 0,
    .max_weight = 1,
    .n_threads = 1,
    /* The first pictures of a set are of its first classes, which say little of the others. */
    .shuffle = TRUE,
    .only_pictures = self->classifies,
  };
  const guint64 wanted = MIN (self->options->validate_n, dimr_dataset_get_n (self->validation)), n_batches = MAX (wanted / n, 1);
  g_autoptr (DimrBatches) batches = NULL;
  g_autofree float *terms = g_new (float, DIMR_TRAINING_MAX_TERMS * n);
  DimrTrainingEvent event = { .kind = DIMR_TRAINING_VALIDATED, .n_terms = n_terms };

  if (self->classifies)
    options.classes = dimr_dataset_peek_classes (self->data, &options.n_classes);
  batches = dimr_batches_new (self->validation, self->schedule, &options, 0);
  if (!dimr_trainer_reload (self->validator, error))
    return FALSE;
  for (guint64 b = 0; b < n_batches; b++)
    {
      const DimrTrainingBatch *batch = dimr_batches_next (batches, error);

      if (batch == NULL || !dimr_trainer_evaluate (self->validator, batch, NULL, terms, self->cancellable, error))
        return FALSE;
      for (guint i = 0; i < n; i++)
        {
          event.loss += dimr_trainer_get_loss (self->validator, terms, n, i) / (double) (n * n_batches);
          for (guint r = 0; r < n_terms; r++)
            event.terms[r] += (double) terms[r * n + i] / (double) (n * n_batches);
        }
    }
  self->validation_loss = event.loss;
  memcpy (self->validation_terms, event.terms, sizeof event.terms);
  dimr_run_tell (self, &event);
  return TRUE;
}

/* Not more rows than one can look at, spread over the classes. */
static gboolean
add_sheet (const char  *folder,
           gpointer     user_data,
           GError     **error)
{
  DimrRun *self = user_data;
  g_autofree char *path = g_build_filename (folder, "samples.png", NULL);
  g_autoptr (DimrModel) model = NULL;
  guint n, rows;
  const int *classes = dimr_dataset_peek_classes (self->data, &n);
  int chosen[MAX_SHEET_ROWS];

  rows = self->config->num_classes > 0 ? MIN (n, MAX_SHEET_ROWS) : 1;
  for (guint i = 0; i < rows; i++)
    chosen[i] = classes[i * n / rows];
  model = dimr_model_load (folder, self->cancellable, error);
  return model != NULL &&
         dimr_sample_sheet_save (model, self->device,
                                 &(DimrSheetOptions){
                                   .classes = self->config->num_classes > 0 ? chosen : NULL,
                                   .n_classes = rows,
                                   .n_columns = (guint) self->options->sheet_columns,
                                   .n_steps = (guint) self->options->sheet_steps,
                                   .cfg = self->options->sheet_cfg,
                                   .seed = 1,
                                 }, path, self->cancellable, error);
}

static char *
dup_card (DimrRun *self)
{
  const DimrTrainingOptions *o = self->options;
  GString *card = g_string_new (NULL);
  guint n;

  dimr_dataset_peek_classes (self->data, &n);
  g_string_append_printf (card, "# %s\n\n", self->config->title != NULL ? self->config->title : "A model in training");
  g_string_append_printf (card, "**Training.** %" G_GUINT64_FORMAT " pictures of %u classes (\"%s\"), batches of %" G_GUINT64_FORMAT
                          "; %" G_GUINT64_FORMAT " steps, %" G_GUINT64_FORMAT " images seen. AdamW (%g, %g), learning rate %g, decay of weights %g; "
                          "moving average %g; ",
                          dimr_dataset_get_n (self->data), n, o->data, o->batch, self->step, self->step * o->batch, o->beta1, o->beta2,
                          o->lr, o->weight_decay, o->ema);
  if (self->classifies)
    g_string_append_printf (card, "cross entropy, labels smoothed by %g", o->label_smoothing);
  else
    g_string_append_printf (card, "multi-scale loss%s; label dropped with p = %g",
                            o->max_weight > 1 ? " with more weight on noisy samples" : "", o->drop_label);
  if (o->crop > 0)
    g_string_append_printf (card, "; moved by up to %" G_GUINT64_FORMAT " pixels", o->crop);
  g_string_append_printf (card, "%s. `dimr train`, %s.\n", o->flip ? "; mirrored at random" : "", o->precision);
  if (o->from != NULL)
    g_string_append_printf (card, "\nIt went on from the weights of \"%s\".\n", o->from);
  if (!isnan (self->validation_loss))
    {
      g_string_append_printf (card, "\n**Validation loss.** %.5f;", self->validation_loss);
      for (guint r = 0; r < dimr_trainer_get_n_terms (self->trainer); r++)
        g_string_append_printf (card, "%s %s %.5f", r > 0 ? "," : "", dimr_trainer_get_term_name (self->trainer, r), self->validation_terms[r]);
      g_string_append (card, ".\n");
    }
  return g_string_free (card, FALSE);
}

gboolean
dimr_run_save (DimrRun  *self,
               GError  **error)
{
  const DimrTrainingState state = { self->parameters, self->average, self->optimizer, self->step, self->fingerprint };
  const gboolean sheet = !self->classifies && self->options->sheet_columns > 0 && self->config->channels == 3 && !self->stopping;
  g_autofree char *card = dup_card (self), *path = NULL;
  DimrTrainingEvent event = { .kind = DIMR_TRAINING_SNAPSHOT };

  if (!dimr_snapshot_write (self->options->output, &state, self->config_text, card, (guint) self->options->keep,
                            sheet ? add_sheet : NULL, self, &path, error))
    return FALSE;
  g_free (self->last_snapshot);
  self->last_snapshot = g_steal_pointer (&path);
  event.text = self->last_snapshot;
  dimr_run_tell (self, &event);
  return TRUE;
}
