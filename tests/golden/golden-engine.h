/* golden-engine.h — the engine with a model of the reference data, for whole trajectories
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/dimr.h"
#include "tests/reference.h"

G_BEGIN_DECLS

/* On the CPU, with the model of @folder loaded (transfer full). */
DimrEngine *golden_engine_open       (const char   *folder);
/* Runs @request to its end (transfer full). */
DimrJob    *golden_engine_run        (DimrEngine   *engine,
                                      DimrRequest  *request);
/* Largest difference of @n elements from @first on of @tensor against @wanted. */
double      golden_tensor_difference (DimrTensor   *tensor,
                                      gsize         first,
                                      const double *wanted,
                                      gsize         n);

G_END_DECLS
