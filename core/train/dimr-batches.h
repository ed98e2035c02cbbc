/* dimr-batches.h — batches of training samples, made ahead by threads
 *
 * Sample s of a run (counted from its first step on) is a pure function of (seed, s): which picture
 * it is, mirrored or not, with its label or without, at what time, under what noise. So batch k is
 * the same bytes whichever thread makes it, and a run that goes on from step k continues exactly.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/diffusion/dimr-schedule.h"
#include "core/train/dimr-dataset.h"
#include "core/train/dimr-trainer.h"

G_BEGIN_DECLS

typedef struct
{
  guint64  seed;
  guint    batch;         /* samples of a step */
  guint    first;         /* of them only [first, first + count) are made: this process' part */
  guint    count;         /* 0: all */
  guint    channels;
  guint    side;
  gint32   null_class;    /* −1: labels are never dropped */
  gboolean has_classes;
  double   drop_label;    /* probability */
  gboolean flip;          /* half of the pictures mirrored */
  gboolean shuffle;       /* FALSE: in the order of the set */
  guint    crop;          /* pictures are moved by up to so many pixels, and what comes in is grey; 0: not moved */
  gboolean only_pictures; /* neither noise nor times are drawn: for classifiers */
  const int *classes;     /* sorted: y is the place of the picture's class in here; NULL: the class itself. Borrowed */
  guint    n_classes;     /* of these */
  double   max_weight;    /* loss weight min (max (1/SNR, 1), max_weight); 1: none */
  guint    n_threads;
} DimrBatchesOptions;

typedef struct _DimrBatches DimrBatches;

/* @schedule: discrete ones draw t = n/1000 with n in 1 … 1000, others t in (0, 1]. */
DimrBatches             *dimr_batches_new         (DimrDataset               *dataset,
                                                   DimrSchedule              *schedule,
                                                   const DimrBatchesOptions  *options,
                                                   guint64                    first_step);
void                     dimr_batches_free        (DimrBatches               *self);
/* The batch of the next step (transfer none, valid until the next call). NULL where no picture of
 * the set can be read. */
const DimrTrainingBatch *dimr_batches_next        (DimrBatches               *self,
                                                   GError                   **error);
/* Pictures that could not be read since the last call: each once, as sentences (transfer full, nullable). */
GPtrArray               *dimr_batches_take_errors (DimrBatches               *self);
/* Seconds that next() has waited in all. */
double                   dimr_batches_get_waited  (DimrBatches               *self);

/* The place of @i among @n in epoch @epoch's order: a permutation. */
guint64                  dimr_batches_permute     (guint64                    seed,
                                                   guint64                    epoch,
                                                   guint64                    i,
                                                   guint64                    n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrBatches, dimr_batches_free)

G_END_DECLS
