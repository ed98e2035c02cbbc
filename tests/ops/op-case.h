/* op-case.h — a small graph with random leaves, computed by a device (op-device.h) and by op-reference
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-graph.h"

G_BEGIN_DECLS

typedef struct _OpCase OpCase;

OpCase      *op_case_new      (void);
void         op_case_free     (OpCase        *self);
DimrGraph   *op_case_graph    (OpCase        *self);
/* Leaves of normal random numbers times @scale, or plus @mean. */
DimrNodeId   op_case_input    (OpCase        *self,
                               DimrShape      shape,
                               double         mean,
                               double         scale);
DimrNodeId   op_case_param    (OpCase        *self,
                               DimrShape      shape,
                               double         mean,
                               double         scale);
/* [n] of I32 below @limit. */
DimrNodeId   op_case_indices  (OpCase        *self,
                               gint64         n,
                               guint          limit);

/* Computes @output on every kind and variant of the device in both precisions, and checks that
 * - it is what op-reference says, up to ‖error‖² ≤ @bound · ‖reference‖² (in bfloat16 the device's bound, unless exact),
 * - all variants, and a second run, give the same bytes,
 * - the inputs and every byte of the arena that belongs to nothing are left alone,
 * - nothing is read before it is written (the arena begins as NaN). */
void         op_case_check    (OpCase        *self,
                               DimrNodeId     output,
                               double         bound);

/* Differentiates Σ y · r for a random r and checks the gradients of @wanted:
 * - their graph, computed in double by op-reference, against central differences of Σ y · r in double,
 * - what the device makes of it, as op_case_check() does. */
void         op_case_check_gradients (OpCase           *self,
                                      DimrNodeId        y,
                                      const DimrNodeId *wanted,
                                      guint             n_wanted,
                                      double            bound);
#define op_case_check_gradients_of(self, y, bound, ...)                                      \
  op_case_check_gradients ((self), (y), (const DimrNodeId[]){ __VA_ARGS__ },                 \
                           sizeof ((const DimrNodeId[]){ __VA_ARGS__ }) / sizeof (DimrNodeId), (bound))
/* @n blocks follow each other in this case, and their roundings to bfloat16 add up. */
void         op_case_set_depth(OpCase        *self,
                               guint          n);
/* OP_F32 for a sum of @n products, or more where the device sums in one row. */
double       op_case_sum_bound(gint64         n);
/* FALSE, and the TAP line that says so, where this computer has no such device. */
gboolean     op_case_can_run  (void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OpCase, op_case_free)

/* The usual bounds: sums of floats, and functions of them. */
#define OP_EXACT 0.
#define OP_F32 1e-12

G_END_DECLS
