/* op-reference.h — every op again, slowly, one number at a time, in double
 *
 * Written from the op table's definitions (core/graph/dimr-op.h) and nothing else: no vectors, no
 * blocks, no threads, no fusion.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-graph.h"
#include "core/graph/dimr-plan.h"

G_BEGIN_DECLS

/* Elements of @node (transfer full). @inputs: one array a slot, NULL for an absent one. In
 * DIMR_PRECISION_BF16 the operands of LINEAR, LINEAR_GEGLU and the gradients of LINEAR are rounded first. */
double *op_reference (const DimrGraph      *graph,
                      const DimrNode       *node,
                      const double * const *inputs,
                      DimrPrecision         precision);

G_END_DECLS
