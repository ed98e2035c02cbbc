/* dimr-traffic.h — the bytes that an operation has to move, for setting its time against the memory's speed
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-plan.h"

G_BEGIN_DECLS

/* Bytes that step @node of @plan reads and writes when every element crosses the memory once: its
 * output, each distinct input as far as the op reads it, and its parameters. Activations count as
 * the device stores them; parameters of two and more dimensions in the plan's precision, vectors as
 * F32. No fewer can do where nothing stays in a cache; scratch memory is not counted. */
guint64 dimr_plan_get_traffic (DimrPlan   *plan,
                               DimrNodeId  node);

G_END_DECLS
