/* dimr-training-private.h — a run between its parts: setting up, stepping, looking
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/train/dimr-batches.h"
#include "core/train/dimr-snapshot.h"
#include "core/train/dimr-training-log.h"
#include "core/train/dimr-training.h"

G_BEGIN_DECLS

typedef struct
{
  const DimrTrainingOptions *options;
  DimrTrainingFunc func;
  gpointer user_data;
  GCancellable *cancellable;

  char *config_text;          /* of the snapshots */
  DimrConfig *config;
  gboolean classifies;        /* the network is a classifier */
  DimrSchedule *schedule;
  DimrPrecision precision;
  DimrDevice *device;
  DimrDataset *data;
  DimrDataset *validation;    /* NULL: none */
  DimrParameters *parameters;
  DimrParameters *average;
  DimrOptimizer *optimizer;
  DimrTrainer *trainer;
  DimrTrainer *validator;     /* of the average; NULL: none */
  DimrBatches *batches;
  DimrTrainingLog *log;
  char *fingerprint;

  guint64 step;               /* done */
  char *last_snapshot;
  float *gradients;           /* [length] */
  float *terms;             /* [terms, batch] */

  /* Since the last line of the log. */
  guint64 n_seen;             /* steps */
  double sum_loss;
  double sums[DIMR_TRAINING_MAX_TERMS];
  double gradient_norm;
  gint64 began;               /* of the interval */
  gint64 run_began;
  guint64 run_first_step;
  double waited;              /* of the data at its beginning */
  double validation_loss;     /* NaN: not yet told */
  double validation_terms[DIMR_TRAINING_MAX_TERMS];
} DimrRun;

/* Reads everything and compiles; with @resume from the newest whole snapshot. */
gboolean dimr_run_open      (DimrRun             *self,
                             gboolean             resume,
                             GError             **error);
void     dimr_run_clear     (DimrRun             *self);
/* The loss of the average on the validation pictures, with the same times and noise every time. */
gboolean dimr_run_validate  (DimrRun             *self,
                             GError             **error);
gboolean dimr_run_save      (DimrRun             *self,
                             GError             **error);
void     dimr_run_tell      (DimrRun             *self,
                             DimrTrainingEvent   *event);
void     dimr_run_warn      (DimrRun             *self,
                             const char          *text);

G_END_DECLS
