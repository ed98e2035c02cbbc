/* dimr-plan.h — memory decided before anything runs
 *
 * Liveness of every node → one arena with fixed offsets. What the device cannot do, or what does
 * not fit into its memory, is refused here with an error that names it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-graph.h"

G_BEGIN_DECLS

/* Arithmetic of the products. Sums, norms and the sampler are float in all. */
typedef enum
{
  DIMR_PRECISION_F32,
  DIMR_PRECISION_BF16, /* weights and the inputs of products rounded to bfloat16 */
  /* As BF16, but the inner products in float8 e4m3: a scale for each row of the input and each channel
   * of the weight. Which those are the backend decides. Never a default. */
  DIMR_PRECISION_F8,
  DIMR_PRECISION_AUTO, /* in requests: what suits the device; a plan has one of the above */
} DimrPrecision;

#define DIMR_ARENA_ALIGNMENT 256 /* what the math libraries of GPUs like best */
#define DIMR_OFFSET_NONE G_MAXSIZE

typedef struct _DimrDevice DimrDevice;
typedef struct _DimrPlan DimrPlan; /* immutable, reference-counted */

/* Plans the evaluation of @outputs (ids of @graph, which must be finished). */
DimrPlan         *dimr_plan_new              (DimrGraph         *graph,
                                              const DimrNodeId  *outputs,
                                              guint              n_outputs,
                                              DimrDevice        *device,
                                              DimrPrecision      precision,
                                              GError           **error);
/* The same whether or not it fits into the memory that is free now: to weigh up what could be run. */
DimrPlan         *dimr_plan_new_forecast     (DimrGraph         *graph,
                                              const DimrNodeId  *outputs,
                                              guint              n_outputs,
                                              DimrDevice        *device,
                                              DimrPrecision      precision,
                                              GError           **error);
DimrPlan         *dimr_plan_ref              (DimrPlan          *self);
void              dimr_plan_unref            (DimrPlan          *self);

/* The fused graph that the plan runs; its ids are not those of the graph it was made from. */
DimrGraph        *dimr_plan_peek_graph       (DimrPlan          *self);
DimrPrecision     dimr_plan_get_precision    (DimrPlan          *self);
/* Ids to compute, in order; no inputs, parameters or reshapes among them (transfer none). */
const DimrNodeId *dimr_plan_peek_steps       (DimrPlan          *self,
                                              guint             *n_steps);
/* Where a node's elements lie in the arena; DIMR_OFFSET_NONE for parameters and their reshapes. */
gsize             dimr_plan_get_offset       (DimrPlan          *self,
                                              DimrNodeId         node);
/* How they lie there: what the device said of the node, or of the node that a reshape stands for. */
DimrDType         dimr_plan_get_storage      (DimrPlan          *self,
                                              DimrNodeId         node);
/* The parameter behind @node, through reshapes; DIMR_NODE_NONE where it is no parameter. */
DimrNodeId        dimr_plan_get_param        (DimrPlan          *self,
                                              DimrNodeId         node);
/* The i-th output asked for, as an id of the fused graph. */
DimrNodeId        dimr_plan_get_output       (DimrPlan          *self,
                                              guint              i);
/* The input of that name; DIMR_NODE_NONE where the outputs do not depend on it. */
DimrNodeId        dimr_plan_get_input        (DimrPlan          *self,
                                              const char        *name);
/* Bytes of the arena: all activations, and the workspace after them. */
gsize             dimr_plan_get_arena_size   (DimrPlan          *self);
/* Where the workspace of the running step begins, and its size (the largest any step asked for). */
gsize             dimr_plan_get_workspace    (DimrPlan          *self,
                                              gsize             *size);
/* Bytes of all parameters in the plan's precision, before any packing by a device; in F8 as in BF16, which
 * is what some of them stay. */
gsize             dimr_plan_get_param_bytes  (DimrPlan          *self);
guint64           dimr_plan_get_macs         (DimrPlan          *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrPlan, dimr_plan_unref)

G_END_DECLS
