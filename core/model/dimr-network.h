/* dimr-network.h — a configuration as a graph, whatever its architecture
 *
 * Inputs of the graph: "x" [B, C, H, W], the time [T] under the name that the architecture has for
 * it ("log_snr" or "t"), and for conditional models "y" [B] of I32, whose last class may be the
 * null class. Outputs "out0", "out1", …: one prediction a branch, for DiMR's branch r
 * [B, C, H/2^(R−r), W/2^(R−r)]; the sampler uses the last. A classifier has neither time nor "y", and
 * its outputs are "out0" [B, classes] (logits) and "features" [B, D]. Parameters carry the checkpoint's names;
 * every other node that a person may want to see carries the name of the reference data's taps.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-graph.h"
#include "core/model/dimr-config.h"

G_BEGIN_DECLS

/* The network for @batch samples of @height × @width; @times is 1 where all samples share their
 * time, else @batch. DIMR_ERROR_SHAPE where the sizes do not fit the branches. */
DimrGraph  *dimr_network_build        (const DimrConfig  *config,
                                       guint              batch,
                                       guint              times,
                                       guint              height,
                                       guint              width,
                                       GError           **error);
/* Only the last branch, for a network whose lower branches are taken from an earlier evaluation: its
 * input "low" [B, H, W, D] stands for what dimr_network_find_low() names in the whole network, so the
 * time-dependent norm behind it still follows "log_snr". DIMR_ERROR_UNSUPPORTED for a single branch. */
DimrGraph  *dimr_network_build_last_branch (const DimrConfig  *config,
                                       guint              batch,
                                       guint              times,
                                       guint              height,
                                       guint              width,
                                       GError           **error);
/* The i-th branch's prediction in a graph that dimr_network_build() made. */
DimrNodeId  dimr_network_find_output  (const DimrGraph   *graph,
                                       guint              branch);
/* What a sampler takes as the noise, [B, C, H, W]: the last branch's prediction without the channels
 * that are no noise. */
DimrNodeId  dimr_network_find_noise   (const DimrGraph   *graph,
                                       const DimrConfig  *config);
/* The name of the graph's time input: "log_snr" or "t"; NULL for a classifier (static). */
const char *dimr_network_get_time_input (const DimrConfig *config);
/* What the last branch takes from the ones below it, "stages.S.upsample.1", before the norm; NONE where
 * there is none. */
DimrNodeId  dimr_network_find_low     (const DimrGraph   *graph,
                                       const DimrConfig  *config);
/* Checks that @weights hold every parameter of the network in its shape. DIMR_ERROR_MODEL names
 * the first that does not fit and how many more; tensors the network does not use are counted in @n_unused (out, optional). */
gboolean    dimr_network_check        (const DimrConfig  *config,
                                       DimrWeights       *weights,
                                       guint             *n_unused,
                                       GError           **error);

G_END_DECLS
