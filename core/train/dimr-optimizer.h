/* dimr-optimizer.h — AdamW with a group that does not decay, and the moving average of what it makes
 *
 * p ← p (1 − lr·decay); m, v: moving averages of g and g²; p ← p − lr m̂ / (√v̂ + eps), where the hats
 * divide by 1 − betaᵗ. Parameters without a gradient are left alone, decay included. Source:
 * Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device-training.h"
#include "core/train/dimr-parameters.h"

G_BEGIN_DECLS

typedef struct
{
  double lr;
  double beta1;
  double beta2;
  double eps;
  double weight_decay;
} DimrAdamW;

/* The recipe of the paper, but for the learning rate. */
#define DIMR_ADAMW_PAPER(rate) ((DimrAdamW){ .lr = (rate), .beta1 = .99, .beta2 = .99, .eps = 1e-8, .weight_decay = .03 })

typedef struct _DimrOptimizer DimrOptimizer;

DimrOptimizer *dimr_optimizer_new      (DimrParameters       *parameters);
void           dimr_optimizer_free     (DimrOptimizer        *self);

/* Steps made so far, from which the corrections of the moments follow. */
guint64        dimr_optimizer_get_step (const DimrOptimizer  *self);
void           dimr_optimizer_set_step (DimrOptimizer        *self,
                                        guint64               step);
/* [length of the parameters]: the moments, to be kept and restored. */
float         *dimr_optimizer_get_m    (DimrOptimizer        *self);
float         *dimr_optimizer_get_v    (DimrOptimizer        *self);

/* The numbers of the next step, which is counted as made: whoever asks makes it. */
void           dimr_optimizer_plan     (DimrOptimizer        *self,
                                        const DimrAdamW      *options,
                                        double                scale,
                                        DimrTrainingUpdate   *update);
/* Changes the parameters by @gradients times @scale. @has_gradient: [n parameters]. */
void           dimr_optimizer_update   (DimrOptimizer        *self,
                                        const DimrAdamW      *options,
                                        const float          *gradients,
                                        double                scale,
                                        const gboolean       *has_gradient);
/* average ← rate·average + (1 − rate)·values, [n] */
void           dimr_average_update     (float                *average,
                                        const float          *values,
                                        gsize                 n,
                                        double                rate);
/* ‖x‖, summed in an order that depends on @n alone. */
double         dimr_norm               (const float          *x,
                                        gsize                 n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrOptimizer, dimr_optimizer_free)

G_END_DECLS
