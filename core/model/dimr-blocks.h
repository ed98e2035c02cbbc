/* dimr-blocks.h — the pieces of a branch as snippets of graph
 *
 * Each takes features [B, N, D] or [B, H, W, D] and a parameter prefix such as
 * "stages.0.blocks.3.block1", and returns features of the same shape unless said otherwise.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-graph.h"
#include "core/model/dimr-config.h"

G_BEGIN_DECLS

/* What all snippets of one network share. */
typedef struct
{
  DimrGraph        *graph;
  const DimrConfig *config;
  DimrNodeId        log_snr;   /* [T]; of DiMR */
  /* Of the branch that is being built: */
  DimrNodeId        condition; /* AdaLN-Zero: SiLU of what time and class say together [B, D] */
  guint             map_height, map_width;
} DimrBuilder;

/* x concat(x0, …) Wᵀ [+ b] with W [n_out, K] under "@prefix.weight" and "@prefix.bias". */
DimrNodeId dimr_build_linear      (DimrBuilder      *self,
                                   const char       *prefix,
                                   const DimrNodeId *x,
                                   guint             n_x,
                                   guint             n_out,
                                   gboolean          bias);
/* Time-dependent layer norm (eps 1e-5) over the channels of all inputs together → […, ΣD]. */
DimrNodeId dimr_build_layer_norm  (DimrBuilder      *self,
                                   const char       *prefix,
                                   const DimrNodeId *x,
                                   guint             n_x);
/* x + attention (norm (x)): @prefix is that of "block1". Here and below the norm, the gate and the positions are
 * those of the configuration's form. */
DimrNodeId dimr_build_attention   (DimrBuilder      *self,
                                   const char       *prefix,
                                   DimrNodeId        x,
                                   guint             n_heads);
/* x + depthwise (x): no norm before it. */
DimrNodeId dimr_build_depthwise   (DimrBuilder      *self,
                                   const char       *prefix,
                                   DimrNodeId        x,
                                   guint             kernel_size);
/* x + w2 (gelu (w0 h) · w1 h), h = norm (x): @prefix is that of "block2". */
DimrNodeId dimr_build_mlp         (DimrBuilder      *self,
                                   const char       *prefix,
                                   DimrNodeId        x,
                                   guint             hidden_dim);

G_END_DECLS
