/* dimr-training.h — a training run from its options to its last snapshot
 *
 * The output folder holds run.json (the options), log.csv, event files and the snapshots. Everything that
 * a step depends on is a function of its number, so a run that was stopped, or killed, goes on from its
 * newest snapshot to the same bytes as if nothing had happened, on one device and build.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/graph/dimr-plan.h"
#include "core/train/dimr-collective.h"
#include "core/train/dimr-training-options.h"

G_BEGIN_DECLS

#define DIMR_TRAINING_MAX_TERMS 8 /* as many as a loss has */

typedef enum
{
  DIMR_TRAINING_STARTED,   /* @text: what will be trained on what */
  DIMR_TRAINING_STEP,
  DIMR_TRAINING_SNAPSHOT,  /* @text: its folder */
  DIMR_TRAINING_VALIDATED, /* loss and terms are those of the validation pictures */
  DIMR_TRAINING_WARNING,   /* @text: a sentence; the run goes on */
} DimrTrainingEventKind;

typedef struct
{
  DimrTrainingEventKind kind;
  const char *text;
  guint64     step;         /* done */
  guint64     n_steps;
  double      loss;         /* mean of the last log interval, unweighted */
  guint       n_terms;
  double      terms[DIMR_TRAINING_MAX_TERMS];       /* mean squares of the branches; a classifier's entropy and hits */
  const char *term_names[DIMR_TRAINING_MAX_TERMS];  /* "branch0", "top1" */
  double      gradient_norm;
  double      lr;
  double      images_per_second;
  double      waiting;      /* share of the time in which data were waited for */
  double      seconds_left;
} DimrTrainingEvent;

/* The processes that share the work, of which this is one. */
typedef struct
{
  DimrCollective *collective;  /* NULL: this process alone */
  guint           local_rank;  /* its number among those of its host */
  guint           local_size;  /* how many those are; 0: not known */
} DimrTrainingGroup;

/* On the thread that trains. */
typedef void (*DimrTrainingFunc) (const DimrTrainingEvent *event, gpointer user_data);

/* Trains to the last step, from the newest snapshot in the output folder where @resume is set; blocks.
 * Of a @group (NULL: none) all processes call it alike; rank 0 alone writes, and tells more than warnings.
 * Where @cancellable is cancelled, the steps made so far are saved, and the error is
 * G_IO_ERROR_CANCELLED. Other errors say the step and name the last good snapshot. */
gboolean dimr_training_run      (const DimrTrainingOptions  *options,
                                 gboolean                    resume,
                                 const DimrTrainingGroup    *group,
                                 DimrTrainingFunc            func,
                                 gpointer                    user_data,
                                 GCancellable               *cancellable,
                                 GError                    **error);
/* The options of the run in @output (transfer full). DIMR_ERROR_FILE where there is none. */
DimrTrainingOptions *dimr_training_read_options (const char *output,
                                                 GError    **error);

G_END_DECLS
