/* dimr-cost.h — what a network costs: parameters and multiply-accumulates, by branch and part
 *
 * Counted from the graph that runs, so it cannot drift from it. Convention of the paper's
 * "Gflops": multiply-accumulates of one sample's forward pass without guidance, attention
 * products included, the low branches' own predictions included.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/model/dimr-config.h"

G_BEGIN_DECLS

typedef enum
{
  DIMR_PART_ATTENTION_LINEAR,
  DIMR_PART_ATTENTION_PRODUCT, /* q kᵀ and its product with v */
  DIMR_PART_MLP,
  DIMR_PART_SKIP,
  DIMR_PART_UPSAMPLE,
  DIMR_PART_DEPTHWISE,
  DIMR_PART_INPUT_OUTPUT,      /* patches and predictions */
  DIMR_PART_EMBEDDING,         /* positions and classes */
  DIMR_PART_NORM,              /* time-dependent and constant norm parameters */
  DIMR_PART_CONDITION,         /* MLPs of the time, and what makes shifts, scales and gates of time and class */
} DimrPart;

#define DIMR_N_PARTS (DIMR_PART_CONDITION + 1)

/* "attention linears", … (static, English, as in JSON; people are shown its translation) */
const char *dimr_part_get_label (DimrPart part);

typedef struct
{
  guint64 parameters;
  guint64 macs;
} DimrCostCell;

typedef struct
{
  guint        n_branches;
  DimrCostCell cells[DIMR_MAX_BRANCHES][DIMR_N_PARTS];
  DimrCostCell branches[DIMR_MAX_BRANCHES];
  DimrCostCell parts[DIMR_N_PARTS];
  DimrCostCell total;
} DimrCost;

/* For one sample at the configuration's image size (transfer full; g_free). */
DimrCost *dimr_cost_new (const DimrConfig  *config,
                         GError           **error);

G_END_DECLS
