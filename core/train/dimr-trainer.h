/* dimr-trainer.h — the multi-scale loss and its gradients on one device
 *
 * Every branch r predicts the noise at its own resolution: its target is the noise summed over
 * squares of k × k, k = 2^(R−r), and divided by k, which keeps its variance. The loss of a sample is
 * Σ_r coeff_r · mean (prediction_r − target_r)². A batch of any size goes through the network a few
 * samples at a time, and the gradients are summed. Source: the paper's section 3 and released code.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/diffusion/dimr-schedule.h"
#include "core/graph/dimr-device.h"
#include "core/train/dimr-parameters.h"

G_BEGIN_DECLS

typedef struct _DimrTrainer DimrTrainer;
typedef struct _DimrLearner DimrLearner;

typedef enum
{
  DIMR_RECOMPUTE_NONE,   /* all values that the gradients need stay in memory */
  DIMR_RECOMPUTE_BLOCKS, /* only what enters and leaves blocks; the rest is computed twice */
} DimrRecompute;

typedef struct
{
  guint         micro_batch;    /* samples that go through the network together */
  guint         height;
  guint         width;
  DimrPrecision precision;
  DimrRecompute recompute;
  gboolean      only_loss;      /* no gradients: for validation */
} DimrTrainerOptions;

/* Samples to learn from. */
typedef struct
{
  guint         n;
  const float  *x0;     /* [n, C, H, W] */
  const float  *noise;  /* [n, C, H, W] */
  const double *t;      /* [n] in (0, 1] */
  const gint32 *y;      /* [n]; the null class where the label was dropped. NULL for unconditional models */
  const float  *weight; /* [n] of each sample's loss, or NULL: 1 */
  guint         n_all;  /* samples of the step, of which these may be a part: the loss is the mean over them; 0: n */
} DimrTrainingBatch;

/* @parameters and @schedule: borrowed for the trainer's life. DIMR_ERROR_MEMORY says what would be needed,
 * DIMR_ERROR_UNSUPPORTED where an operation has no gradient or the device cannot train. */
DimrTrainer *dimr_trainer_new              (const DimrConfig          *config,
                                            DimrSchedule              *schedule,
                                            DimrParameters            *parameters,
                                            DimrDevice                *device,
                                            const DimrTrainerOptions  *options,
                                            GCancellable              *cancellable,
                                            GError                   **error);
void         dimr_trainer_free             (DimrTrainer               *self);

guint        dimr_trainer_get_n_branches   (DimrTrainer               *self);
guint        dimr_trainer_get_micro_batch  (DimrTrainer               *self);
/* Bytes of the activations' arena. */
gsize        dimr_trainer_get_arena_size   (DimrTrainer               *self);
/* Evaluates the loss of @batch and gives the gradients of its mean over the samples of the step to
 * @learner, one micro-batch after the other; NULL where only the loss is wanted. @squares: [branches, n] mean squares. */
gboolean     dimr_trainer_evaluate         (DimrTrainer               *self,
                                            const DimrTrainingBatch   *batch,
                                            DimrLearner               *learner,
                                            float                     *squares,
                                            GCancellable              *cancellable,
                                            GError                   **error);
/* Σ_r coeff_r · squares[r, sample]: a sample's loss before its weight. */
double       dimr_trainer_get_loss         (DimrTrainer               *self,
                                            const float               *squares,
                                            guint                      n,
                                            guint                      sample);
/* [n parameters]: whether the loss depends on it (transfer none). */
const gboolean *dimr_trainer_peek_has_gradient (DimrTrainer           *self);
/* The device reads the parameters anew. */
gboolean     dimr_trainer_reload           (DimrTrainer               *self,
                                            GError                   **error);

/* noise summed over k × k squares and divided by k: [n, C, H, W] → [n, C, H/k, W/k] */
void         dimr_training_target          (const float               *noise,
                                            gsize                      n_planes,
                                            guint                      height,
                                            guint                      width,
                                            guint                      k,
                                            float                     *target);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrTrainer, dimr_trainer_free)

G_END_DECLS
