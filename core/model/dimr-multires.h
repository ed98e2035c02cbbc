/* dimr-multires.h — DiMR: a Transformer on the lowest resolution, ConvNeXt above it, each branch fed by the one below
 *
 * Taps: "stages.S.input_layer", "stages.S.blocks.J.out", "stages.S.blocks.J.block2.gated",
 * "td.stages.S.blocks.J.block1.norm.scale", …
 *
 * Source: Liu et al., "Alleviating Distortion in Image Generation via Multi-Resolution Diffusion
 * Models and Time-Dependent Layer Normalization", NeurIPS 2024, section 3.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/model/dimr-architecture.h"
#include "core/model/dimr-network.h"

G_BEGIN_DECLS

/* Configurations (dimr-multires-config.c), as the architecture's row asks for them. */
extern const char * const dimr_multires_variants[6];
DimrConfig *dimr_multires_new_for_variant (guint          i);
void        dimr_multires_read            (DimrReader    *reader,
                                           JsonObject    *object,
                                           DimrConfig    *config);
void        dimr_multires_set_defaults    (DimrConfig    *config);
DimrConfig *dimr_multires_recognise       (DimrWeights   *weights,
                                           const char    *path,
                                           GError       **error);

G_END_DECLS
