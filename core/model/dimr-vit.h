/* dimr-vit.h — what U-ViT, DiT and ViT have in common: one Transformer over the patches of a picture
 *
 * Snippets of graph as in dimr-blocks.h. Features are tokens [B, N, D].
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/model/dimr-architecture.h"
#include "core/model/dimr-blocks.h"

G_BEGIN_DECLS

/* Patches under "@prefix.weight" and "@prefix.bias" → [B, H/p, W/p, D]. */
DimrNodeId  dimr_vit_build_patches    (DimrBuilder       *self,
                                       const char        *prefix,
                                       DimrNodeId         x);
/* x + the parameter "pos_embed" [1, N, D], row by row; x is [B, h, w, D] with h·w = N, or [B, N, D]. */
DimrNodeId  dimr_vit_build_position   (DimrBuilder       *self,
                                       DimrNodeId         x);
/* What the time says to the network [B, length], under "timestep_embedding"; through the MLP "@mlp.0", SiLU, "@mlp.2"
 * with widths @hidden and @length_out where @mlp is not NULL. */
DimrNodeId  dimr_vit_build_time       (DimrBuilder       *self,
                                       DimrNodeId         time,
                                       guint              length,
                                       const char        *mlp,
                                       guint              hidden,
                                       guint              n_out,
                                       guint              batch);
/* Layer norm over the channels under "@prefix.weight" and "@prefix.bias". */
DimrNodeId  dimr_vit_build_norm       (DimrBuilder       *self,
                                       const char        *prefix,
                                       DimrNodeId         x,
                                       double             eps);
/* The output of "@prefix.attn" for normed tokens @h. */
DimrNodeId  dimr_vit_build_attention  (DimrBuilder       *self,
                                       const char        *prefix,
                                       DimrNodeId         h);
/* The output of "@prefix.mlp" for normed tokens @h; @gelu: DIMR_OP_GELU or DIMR_OP_GELU_TANH. */
DimrNodeId  dimr_vit_build_mlp        (DimrBuilder       *self,
                                       const char        *prefix,
                                       DimrNodeId         h,
                                       DimrOp             gelu);
/* Tokens [B, N, p·p·C] of square maps, channels ordered (dy, dx, c) → [B, H, W, C] */
DimrNodeId  dimr_vit_build_unpatchify (DimrBuilder       *self,
                                       DimrNodeId         x);

/* Members "patch_size", "depth", "num_heads", "mlp_ratio" and the names under which the two have width and size. */
void        dimr_vit_read             (DimrReader        *reader,
                                       JsonObject        *object,
                                       DimrConfig        *config,
                                       const char        *width_name,
                                       const char        *size_name,
                                       const char        *channels_name);
/* Fills in what the shapes of weights tell: channels, patch size, width, image size, MLP. FALSE where
 * a tensor is missing or has another number of dimensions. @block: a block's prefix, "mid_block". */
gboolean    dimr_vit_measure          (DimrConfig        *config,
                                       DimrWeights       *weights,
                                       const char        *patches,
                                       const char        *block,
                                       guint              n_extra_tokens);
/* Blocks "@prefix.0", "@prefix.1", … that are there. */
guint       dimr_vit_count_blocks     (DimrWeights       *weights,
                                       const char        *prefix);
/* The last of what a recognised model's width tells: heads, and the title if it is a published one. FALSE with DIMR_ERROR_MODEL,
 * which names @path, where no published model is that wide. */
gboolean    dimr_vit_settle           (DimrConfig        *config,
                                       const char        *path,
                                       GError           **error);
/* The one branch, of @depth blocks. */
void        dimr_vit_describe_branch  (const DimrConfig  *config,
                                       guint              depth,
                                       DimrBranchInfo    *info);
gboolean    dimr_vit_check_size       (const DimrConfig  *config,
                                       const DimrShape   *x,
                                       GError           **error);
guint       dimr_vit_get_n_branches   (const DimrConfig  *config);
guint       dimr_vit_get_n_channels   (const DimrConfig  *config);

G_END_DECLS
