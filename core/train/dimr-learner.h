/* dimr-learner.h — what a step does with its gradients: sums them, measures them, and learns from them
 *
 * The gradients of a step's micro-batches are summed in the order of a tree (dimr-tree.h), over the
 * processes of a group too; then AdamW changes the parameters, and the moving average follows.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/train/dimr-collective.h"
#include "core/train/dimr-optimizer.h"
#include "core/train/dimr-trainer.h"

G_BEGIN_DECLS

/* @trainer says which parameters have gradients. @average: NULL for none. All are borrowed for the learner's life. */
DimrLearner *dimr_learner_new            (DimrParameters    *parameters,
                                          DimrParameters    *average,
                                          DimrOptimizer     *optimizer,
                                          DimrTrainer       *trainer);
void         dimr_learner_free           (DimrLearner       *self);

/* A step of @n_leaves micro-batches begins, of which this process gives @first and what follows. */
void         dimr_learner_begin          (DimrLearner       *self,
                                          guint64            n_leaves,
                                          guint64            first);
/* The gradients of the next micro-batch: outputs of @program's last run, [n parameters], DIMR_NODE_NONE
 * where there is none. DIMR_ERROR_MEMORY where there is no room for their sums. */
gboolean     dimr_learner_add            (DimrLearner       *self,
                                          DimrProgram       *program,
                                          const DimrNodeId  *gradients,
                                          GError           **error);
/* Sums what was added, and what the others of @group have (NULL: none), and measures it: ‖gradient‖. */
gboolean     dimr_learner_sum            (DimrLearner       *self,
                                          DimrCollective    *group,
                                          double            *norm,
                                          GCancellable      *cancellable,
                                          GError           **error);
/* Learns from the sum times @scale: everything that @parameters, @optimizer and @average are changes. */
gboolean     dimr_learner_update         (DimrLearner       *self,
                                          const DimrAdamW   *adam,
                                          double             scale,
                                          double             average_rate,
                                          GError           **error);
/* The sum, [length of the parameters], until the next step begins (transfer none). */
const float *dimr_learner_peek_gradients (DimrLearner       *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrLearner, dimr_learner_free)

G_END_DECLS
