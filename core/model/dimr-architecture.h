/* dimr-architecture.h — the families of networks this program knows: one row each
 *
 * Whatever differs between DiMR, U-ViT, DiT and ViT is asked of the row: how a configuration is read
 * and told from weights, what is built, how the time is told, what its makers chose. A new family
 * is a new file with its row and one line in the table.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-graph.h"
#include "core/model/dimr-config-reader.h"
#include "core/model/dimr-config.h"

G_BEGIN_DECLS

/* What a builder is given: inputs of the graph. */
typedef struct
{
  DimrNodeId x;    /* [B, C, H, W] */
  DimrNodeId time; /* [T] under the architecture's name for it, T = 1 or B */
  DimrNodeId y;    /* [B] of I32; DIMR_NODE_NONE for unconditional models */
  guint      first_branch; /* where it is not 0, an input "low" stands for what is below that branch */
} DimrNetworkInputs;

struct _DimrArchitecture
{
  const char         *name;       /* "DiMR" */
  const char         *model;      /* "model" of config.json: the class of the released code */
  const char         *marker;     /* a tensor that all weights of it have, and of no other */
  const char         *time_input; /* "log_snr" or "t"; NULL: it is not told the time */
  gboolean            classifies; /* its one output "out0" [B, num_classes] says what is on x, and "features" [B, D] what
                                   * that was told from; neither time nor class go in. Else: a branch's prediction each */
  const char * const *variants;   /* published models by name, NULL-terminated */

  /* The @i-th variant, without sampling defaults (transfer full). */
  DimrConfig *(*new_for_variant)  (guint                     i);
  /* Reads the members that describe the network. */
  void        (*read)             (DimrReader               *reader,
                                   JsonObject               *object,
                                   DimrConfig               *config);
  /* How the released evaluation samples such a network. */
  void        (*set_defaults)     (DimrConfig               *config);
  /* The configuration of @weights, which have the marker; without sampling defaults. DIMR_ERROR_MODEL with what is missing. */
  DimrConfig *(*recognise)        (DimrWeights              *weights,
                                   const char               *path,
                                   GError                  **error);
  /* Branches, each with one prediction; the sampler uses the last. */
  guint       (*get_n_branches)   (const DimrConfig         *config);
  /* Channels of the last prediction: C, or 2·C with a variance. */
  guint       (*get_n_channels)   (const DimrConfig         *config);
  void        (*get_branch)       (const DimrConfig         *config,
                                   guint                     branch,
                                   DimrBranchInfo           *info);
  /* Adds the network, its taps and "out0", "out1", …. DIMR_ERROR_SHAPE where a picture of that size does not go through;
   * errors of the graph stay there. */
  gboolean    (*build)            (DimrGraph                *graph,
                                   const DimrConfig         *config,
                                   const DimrNetworkInputs  *inputs,
                                   GError                  **error);
};

/* Rows, by file. */
extern const DimrArchitecture dimr_architecture_multires; /* DiMR */
extern const DimrArchitecture dimr_architecture_uvit;
extern const DimrArchitecture dimr_architecture_dit;
extern const DimrArchitecture dimr_architecture_vit; /* the classifier */

/* All rows, NULL-terminated (static). */
const DimrArchitecture * const *dimr_architecture_list (void);

G_END_DECLS
