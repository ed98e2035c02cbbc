/* dimr-trainer.h — the loss of a network and its gradients on one device
 *
 * Which loss it is, the architecture decides (dimr-loss.h). A batch of any size goes through the network a few
 * samples at a time, and the gradients are summed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/train/dimr-loss.h"
#include "core/train/dimr-parameters.h"

G_BEGIN_DECLS

typedef struct _DimrTrainer DimrTrainer;
typedef struct _DimrLearner DimrLearner;

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

/* What is told of every sample: a mean square for each branch; a classifier's cross entropy and hits. */
guint        dimr_trainer_get_n_terms      (DimrTrainer               *self);
/* "branch0", "top1" (transfer none) */
const char  *dimr_trainer_get_term_name    (DimrTrainer               *self,
                                            guint                      term);
guint        dimr_trainer_get_micro_batch  (DimrTrainer               *self);
/* Bytes of the activations' arena. */
gsize        dimr_trainer_get_arena_size   (DimrTrainer               *self);
/* Evaluates the loss of @batch and gives the gradients of its mean over the samples of the step to
 * @learner, one micro-batch after the other; NULL where only the loss is wanted. @terms: [terms, n]. */
gboolean     dimr_trainer_evaluate         (DimrTrainer               *self,
                                            const DimrTrainingBatch   *batch,
                                            DimrLearner               *learner,
                                            float                     *terms,
                                            GCancellable              *cancellable,
                                            GError                   **error);
/* Σ_r coeff_r · terms[r, sample]: a sample's loss before its weight. */
double       dimr_trainer_get_loss         (DimrTrainer               *self,
                                            const float               *terms,
                                            guint                      n,
                                            guint                      sample);
/* [n parameters]: whether the loss depends on it (transfer none). */
const gboolean *dimr_trainer_peek_has_gradient (DimrTrainer           *self);
/* The device reads the parameters anew. */
gboolean     dimr_trainer_reload           (DimrTrainer               *self,
                                            GError                   **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrTrainer, dimr_trainer_free)

G_END_DECLS
