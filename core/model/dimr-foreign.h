/* dimr-foreign.h — what a file of weights is that this program does not run
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

/* As it goes on after "this is " ("a LoRA, which only changes another model"); NULL where nobody knows (static). */
const char *dimr_foreign_describe (DimrWeights *weights);

G_END_DECLS
