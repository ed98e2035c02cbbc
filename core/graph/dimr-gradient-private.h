/* dimr-gradient-private.h — what a gradient rule works with
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-gradient.h"

G_BEGIN_DECLS

typedef struct _DimrBackward DimrBackward;

/* Adds, for every input of @node whose gradient is wanted, what the gradient @dy of its result
 * contributes. @id: of @node. */
typedef void (*DimrGradientRule) (DimrBackward   *self,
                                  const DimrNode *node,
                                  DimrNodeId      id,
                                  DimrNodeId      dy);

/* The rule of @op, or NULL. */
DimrGradientRule dimr_gradient_get_rule (DimrOp op);

/* Whether anybody asks for the gradient of @id; FALSE for DIMR_NODE_NONE. */
gboolean         dimr_backward_wants    (DimrBackward     *self,
                                         DimrNodeId        id);
/* The forward value of @id, which may be computed again here. */
DimrNodeId       dimr_backward_value    (DimrBackward     *self,
                                         DimrNodeId        id);
/* Contributes @gradient, as many numbers as @id has, to the gradient of @id. */
void             dimr_backward_give     (DimrBackward     *self,
                                         DimrNodeId        id,
                                         DimrNodeId        gradient);
const DimrShape *dimr_backward_shape    (DimrBackward     *self,
                                         DimrNodeId        id);
DimrNodeId       dimr_backward_add      (DimrBackward     *self,
                                         DimrOp            op,
                                         DimrAttrs         attrs,
                                         const DimrNodeId *inputs,
                                         guint             n_inputs);
DimrNodeId       dimr_backward_reshape  (DimrBackward     *self,
                                         DimrNodeId        x,
                                         DimrShape         shape);

G_END_DECLS
