/* dimr-synthetic.h — weights of a network that nobody has trained
 *
 * For measuring speed and memory where the released files are not at hand: the time of a product
 * does not depend on what it multiplies, but power and clocks do a little, so the values are
 * random and of a trained network's sizes, never zeros.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/model/dimr-config.h"

G_BEGIN_DECLS

/* Every parameter of @config's network as @dtype (F32 or BF16; vectors are F32 in both). Matrices are
 * about normal with a deviation of 1/√(inputs of an output), so that activations keep their size along
 * the depth; scales of norms lie around 1, biases around 0. Equal arguments give equal values. DIMR_ERROR_MEMORY where
 * they do not fit, G_IO_ERROR_CANCELLED, and what dimr_network_build() says of a size. */
DimrWeights *dimr_weights_new_synthetic (const DimrConfig  *config,
                                         DimrDType          dtype,
                                         guint64            seed,
                                         GCancellable      *cancellable,
                                         GError           **error);

G_END_DECLS
