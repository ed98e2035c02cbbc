/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-cost.h"

#include "core/base/dimr-i18n.h"
#include "core/model/dimr-network.h"

#include <string.h>

/* Which part a parameter belongs to: the first fragment that its name contains. DiMR, then U-ViT and DiT. */
static const struct
{
  const char *fragment;
  DimrPart part;
} fragments[] = {
  { ".condition.", DIMR_PART_CONDITION },
  { ".modulation.", DIMR_PART_CONDITION },
  { ".norm.", DIMR_PART_NORM },
  { ".qk_norm.", DIMR_PART_NORM },
  { ".pos_emb.", DIMR_PART_EMBEDDING },
  { ".join.", DIMR_PART_UPSAMPLE },
  { ".output_layer.0.", DIMR_PART_NORM },
  { ".upsample.0.", DIMR_PART_NORM },
  { ".upsample.2.", DIMR_PART_NORM },
  { ".upsample.1.", DIMR_PART_UPSAMPLE },
  { ".position_embeddings.", DIMR_PART_EMBEDDING },
  { ".class_embeds.", DIMR_PART_EMBEDDING },
  { ".input_layer.", DIMR_PART_INPUT_OUTPUT },
  { ".output_layer.", DIMR_PART_INPUT_OUTPUT },
  { ".skip_denses.", DIMR_PART_SKIP },
  { ".block1.1.", DIMR_PART_DEPTHWISE },
  { ".block1.", DIMR_PART_ATTENTION_LINEAR },
  { ".block2.", DIMR_PART_MLP },

  { "adaLN_modulation.", DIMR_PART_CONDITION },
  { "time_embed.", DIMR_PART_CONDITION },
  { "t_embedder.", DIMR_PART_CONDITION },
  { "pos_embed", DIMR_PART_EMBEDDING },
  { "label_emb.", DIMR_PART_EMBEDDING },
  { "y_embedder.", DIMR_PART_EMBEDDING },
  { ".attn.", DIMR_PART_ATTENTION_LINEAR },
  { ".mlp.", DIMR_PART_MLP },
  { ".skip_linear.", DIMR_PART_SKIP },
  { "patch_embed.", DIMR_PART_INPUT_OUTPUT },
  { "x_embedder.", DIMR_PART_INPUT_OUTPUT },
  { "decoder_pred.", DIMR_PART_INPUT_OUTPUT },
  { "final_layer.", DIMR_PART_INPUT_OUTPUT },
  { "cls_token", DIMR_PART_EMBEDDING },
  { "head.", DIMR_PART_INPUT_OUTPUT },
  { "norm", DIMR_PART_NORM },
};

static const char * const labels[DIMR_N_PARTS] = {
  [DIMR_PART_ATTENTION_LINEAR] = N_("attention linears"),
  [DIMR_PART_ATTENTION_PRODUCT] = N_("attention products"),
  [DIMR_PART_MLP] = N_("MLP"),
  [DIMR_PART_SKIP] = N_("skip linears"),
  [DIMR_PART_UPSAMPLE] = N_("upsample linear"),
  [DIMR_PART_DEPTHWISE] = N_("depthwise convolutions"),
  [DIMR_PART_INPUT_OUTPUT] = N_("patches and predictions"),
  [DIMR_PART_EMBEDDING] = N_("positions and classes"),
  [DIMR_PART_NORM] = N_("norms"),
  [DIMR_PART_CONDITION] = N_("conditioning"),
};

const char *
dimr_part_get_label (DimrPart part)
{
  g_return_val_if_fail (part < DIMR_N_PARTS, NULL);
  return labels[part];
}

static DimrPart
part_of_name (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (fragments); i++)
    if (strstr (name, fragments[i].fragment) != NULL)
      return fragments[i].part;
  g_assert_not_reached ();
}

/* "stages.12.…" → 12; networks without branches have one. */
static guint
branch_of_name (const char *name)
{
  if (!g_str_has_prefix (name, "stages."))
    return 0;
  return (guint) g_ascii_strtoull (name + strlen ("stages."), NULL, 10);
}

/* The name that says where a computing node belongs: its weight's, or else its own. */
static const char *
deciding_name (const DimrGraph *graph,
               const DimrNode  *node)
{
  for (guint i = 0; i < node->n_inputs; i++)
    if (node->inputs[i] != DIMR_NODE_NONE && dimr_graph_peek_node (graph, node->inputs[i])->op == DIMR_OP_PARAM)
      return dimr_graph_peek_node (graph, node->inputs[i])->name;
  return node->name;
}

static void
add (DimrCost   *self,
     guint       branch,
     DimrPart    part,
     guint64     parameters,
     guint64     macs)
{
  DimrCostCell *cells[] = { &self->cells[branch][part], &self->branches[branch], &self->parts[part], &self->total };

  for (guint i = 0; i < G_N_ELEMENTS (cells); i++)
    {
      cells[i]->parameters += parameters;
      cells[i]->macs += macs;
    }
}

DimrCost *
dimr_cost_new (const DimrConfig  *config,
               GError           **error)
{
  g_autoptr (DimrGraph) graph = NULL;
  DimrCost *self;

  g_return_val_if_fail (config != NULL, NULL);
  graph = dimr_network_build (config, 1, 1, config->image_size, config->image_size, error);
  if (graph == NULL)
    return NULL;

  self = g_new0 (DimrCost, 1);
  self->n_branches = dimr_config_get_n_branches (config);
  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      guint64 macs = dimr_graph_get_macs (graph, id);

      if (node->op == DIMR_OP_PARAM)
        add (self, branch_of_name (node->name), part_of_name (node->name), dimr_shape_n_elements (&node->shape), 0);
      else if (node->op == DIMR_OP_ATTENTION)
        add (self, branch_of_name (node->name), DIMR_PART_ATTENTION_PRODUCT, 0, macs);
      else if (macs > 0)
        {
          const char *name = deciding_name (graph, node);
          add (self, branch_of_name (name), part_of_name (name), 0, macs);
        }
    }
  return self;
}
