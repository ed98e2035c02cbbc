/* dimr-learner.h — what a step does with its gradients: sums them, measures them, and learns from them
 *
 * The gradients of a step's micro-batches are summed in the order of a tree (dimr-tree.h), over the
 * processes of a group too; then AdamW changes the parameters, and the moving average follows. A device that can
 * (dimr-device-training.h) keeps all of that in its own memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/train/dimr-collective.h"
#include "core/train/dimr-optimizer.h"
#include "core/train/dimr-trainer.h"

G_BEGIN_DECLS

/* Begins with what @parameters, @optimizer and @average (NULL: none) are now. @trainer says which parameters have
 * gradients; all are borrowed for the learner's life. @n_sums: dimr_tree_get_depth() of this process' leaves.
 * DIMR_ERROR_MEMORY where @device has no room. */
DimrLearner *dimr_learner_new            (DimrParameters    *parameters,
                                          DimrParameters    *average,
                                          DimrOptimizer     *optimizer,
                                          DimrTrainer       *trainer,
                                          DimrDevice        *device,
                                          guint              n_sums,
                                          GError           **error);
void         dimr_learner_free           (DimrLearner       *self);
/* Sums with the processes of @group from now on; all of them call it. */
gboolean     dimr_learner_set_group      (DimrLearner       *self,
                                          DimrCollective    *group,
                                          GCancellable      *cancellable,
                                          GError           **error);
/* Whether the device keeps what is learnt. */
gboolean     dimr_learner_is_resident    (DimrLearner       *self);
/* What is slower than it might be, in one sentence; NULL: nothing (transfer none). */
const char  *dimr_learner_get_remark     (DimrLearner       *self);

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
/* Sums what was added, and what the others of the group have, and measures it: ‖gradient‖. */
gboolean     dimr_learner_sum            (DimrLearner       *self,
                                          double            *norm,
                                          GCancellable      *cancellable,
                                          GError           **error);
/* Learns from the sum times @scale. What the learner was made of is old until it is fetched. */
gboolean     dimr_learner_update         (DimrLearner       *self,
                                          const DimrAdamW   *adam,
                                          double             scale,
                                          double             average_rate,
                                          GError           **error);
/* Parameters, moments and average are what was learnt. */
gboolean     dimr_learner_fetch          (DimrLearner       *self,
                                          GError           **error);
/* The sum, [length of the parameters], until the next step begins (transfer none). */
const float *dimr_learner_fetch_gradients (DimrLearner      *self,
                                          GError           **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrLearner, dimr_learner_free)

G_END_DECLS
