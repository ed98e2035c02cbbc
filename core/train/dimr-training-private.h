/* dimr-training-private.h — a run between its parts: setting up, stepping, looking
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/train/dimr-batches.h"
#include "core/train/dimr-learner.h"
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
  DimrCollective *group;      /* NULL: one process */
  guint local_rank;           /* among the processes of this host */
  guint local_size;           /* those; 0: not known */
  guint rank;                 /* 0 alone writes, and tells more than warnings */
  guint n_ranks;

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
  DimrTrainer *validator;     /* of the average; NULL: none, and none but rank 0 has one */
  DimrLearner *learner;
  DimrBatches *batches;
  DimrTrainingLog *log;
  char *fingerprint;

  guint64 step;               /* done */
  char *last_snapshot;
  gboolean stopping;          /* the run is over: no sheet any more */
  guint64 n_leaves;           /* micro-batches of a step */
  guint64 first_leaf;         /* of this process */
  float *terms;               /* [terms, batch] */
  float *own_terms;           /* [terms, samples of this process]; NULL: of all */

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

/* ---- dimr-training-group.c: what the processes of a group agree on. Without one all of it holds at once ---- */

/* The device of this process: of several on one host each takes its own GPU. */
DimrDevice *dimr_run_open_device (DimrRun          *self,
                             GError             **error);
/* The same options and data for all, and rank 0's weights, optimizer and step. */
gboolean dimr_run_agree     (DimrRun             *self,
                             GError             **error);
/* The least micro-batch that fits everywhere, recomputed where that is needed anywhere. *same: nobody has to change. */
gboolean dimr_run_agree_micro_batch (DimrRun     *self,
                             DimrTrainerOptions  *options,
                             gboolean            *same,
                             GError             **error);
/* What keeps the sums of this process' micro-batches. */
gboolean dimr_run_open_learner (DimrRun          *self,
                             GError             **error);
/* Which samples of a step this process has, as its batches are to make them. */
gboolean dimr_run_share     (DimrRun             *self,
                             DimrBatchesOptions  *options,
                             GError             **error);
/* self->terms of all samples, from the own ones. */
gboolean dimr_run_gather_terms (DimrRun        *self,
                             GError             **error);
/* The weights are still the same bytes everywhere. */
gboolean dimr_run_compare   (DimrRun             *self,
                             GError             **error);

/* ---- dimr-training-look.c ---- */

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
