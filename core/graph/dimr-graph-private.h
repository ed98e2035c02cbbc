/* dimr-graph-private.h — for those who build parts of a graph inside this folder
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-graph.h"

G_BEGIN_DECLS

/* Makes the graph remember an error, unless it has one already. */
void dimr_graph_fail (DimrGraph  *self,
                      const char *format,
                      ...) G_GNUC_PRINTF (2, 3);

G_END_DECLS
