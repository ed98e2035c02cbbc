/* dimr-vit-classifier.c — ViT: what is on a picture, told from a class token that all patches speak to
 *
 * Layout of timm's checkpoints: "cls_token", "pos_embed" over the class token and the patches,
 * "patch_embed.proj", "blocks.N.{norm1, attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2}", "norm" and
 * "head". The last norm is only taken of the class token, the one that the head reads: the others
 * would be the same with and without it.
 *
 * Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, equations 1 to 4.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/model/dimr-vit.h"

#include "core/base/dimr-i18n.h"

#define NO_ATTRS ((DimrAttrs){ 0 })
#define EPS 1e-6

static const char * const no_variants[] = { NULL };

/* "label_names": one name a row of the head; ImageNet's classes by their WordNet ids. */
static void
read_label_names (DimrReader *reader,
                  JsonObject *object,
                  DimrConfig *config)
{
  JsonNode *node = dimr_reader_find (object, "label_names");
  JsonArray *array;

  if (node == NULL)
    return;
  array = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  if (array == NULL || json_array_get_length (array) != config->num_classes)
    {
      dimr_reader_fail (reader, DIMR_ERROR_MODEL, _("\"label_names\" is no list of %u names, one for each of \"num_classes\""),
                        config->num_classes);
      return;
    }
  config->label_names = g_new0 (char *, config->num_classes + 1);
  for (guint i = 0; i < config->num_classes; i++)
    {
      JsonNode *entry = json_array_get_element (array, i);

      if (!JSON_NODE_HOLDS_VALUE (entry) || json_node_get_value_type (entry) != G_TYPE_STRING)
        dimr_reader_fail (reader, DIMR_ERROR_FORMAT, _("entry %u of \"label_names\" is no string"), i);
      config->label_names[i] = g_strdup (reader->error == NULL ? json_node_get_string (entry) : "");
    }
}

static void
read_vit (DimrReader *reader,
          JsonObject *object,
          DimrConfig *config)
{
  dimr_vit_read (reader, object, config, "embed_dim", "img_size", "in_chans");
  config->num_classes = dimr_reader_get_count (reader, object, "num_classes", 0, DIMR_MAX_CLASSES);
  config->vit.qkv_bias = dimr_reader_get_boolean (reader, object, "qkv_bias", TRUE);
  read_label_names (reader, object, config);
}

/* A classifier is not sampled; these are only valid values. */
static void
set_defaults (DimrConfig *config)
{
  config->schedule = DIMR_SCHEDULE_LINEAR;
  config->beta_0 = 0.1;
  config->beta_1 = 20.0;
  config->default_steps = 1;
  config->default_sampler = DIMR_SAMPLER_DPM_SOLVER_FAST;
  config->default_guidance = (DimrGuidance){ DIMR_GUIDANCE_CONSTANT, 1.0, 2.0 };
}

static DimrConfig *
recognise (DimrWeights  *weights,
           const char   *path,
           GError      **error)
{
  g_autoptr (DimrConfig) config = g_new0 (DimrConfig, 1);
  DimrTensor *head = dimr_weights_peek (weights, "head.weight");
  DimrVitConfig *vit = &config->vit;

  config->architecture = &dimr_architecture_vit;
  if (head == NULL || dimr_tensor_peek_shape (head)->n_dims != 2 || dimr_tensor_peek_shape (head)->dims[0] > DIMR_MAX_CLASSES ||
      dimr_tensor_peek_shape (head)->dims[0] < 1 || !dimr_vit_measure (config, weights, "patch_embed.proj.weight", "blocks.0", 1))
    {
      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("%s: these look like weights of a vision transformer classifier, but its patches, positions or head are "
                        "missing or have another form"), path);
      return NULL;
    }
  config->num_classes = (guint) dimr_tensor_peek_shape (head)->dims[0];
  vit->depth = dimr_vit_count_blocks (weights, "blocks");
  if (vit->dim % 64 != 0)
    {
      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("%s: these are weights of a ViT %u wide, whose number of attention heads cannot be told from the weights: "
                        "put its config.json into the same folder"), path, vit->dim);
      return NULL;
    }
  vit->num_heads = vit->dim / 64;
  return g_steal_pointer (&config);
}

static void
get_branch (const DimrConfig *config,
            guint             branch,
            DimrBranchInfo   *info)
{
  dimr_vit_describe_branch (config, config->vit.depth, info);
}

static DimrNodeId
build_block (DimrBuilder *self,
             const char  *prefix,
             DimrNodeId   x)
{
  g_autofree char *norm1 = g_strconcat (prefix, ".norm1", NULL), *norm2 = g_strconcat (prefix, ".norm2", NULL);

  x = dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x,
                         dimr_vit_build_attention (self, prefix, dimr_vit_build_norm (self, norm1, x, EPS)));
  x = dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x,
                         dimr_vit_build_mlp (self, prefix, dimr_vit_build_norm (self, norm2, x, EPS), DIMR_OP_GELU));
  dimr_graph_set_name (self->graph, x, "%s", prefix);
  return x;
}

/* The class token, then the patches; all of them have a position. */
static DimrNodeId
build_tokens (DimrBuilder *self,
              DimrNodeId   x,
              guint        batch)
{
  const gint64 d = self->config->vit.dim, side = self->config->image_size / self->config->vit.patch_size;
  DimrNodeId token = dimr_graph_add_param (self->graph, "cls_token", DIMR_SHAPE (1, 1, d));

  token = dimr_graph_add_reshape (self->graph, token, DIMR_SHAPE (1, d));
  token = dimr_graph_add_op (self->graph, DIMR_OP_REPEAT, ((DimrAttrs){ .factor = batch }), token);
  x = dimr_vit_build_patches (self, "patch_embed.proj", x);
  x = dimr_graph_add_reshape (self->graph, x, DIMR_SHAPE (batch, side * side, d));
  dimr_graph_set_name (self->graph, x, "patch_embed");
  x = dimr_graph_add_op (self->graph, DIMR_OP_PREPEND_TOKEN, NO_ATTRS, x, token);
  return dimr_vit_build_position (self, x);
}

static gboolean
build (DimrGraph                *graph,
       const DimrConfig         *config,
       const DimrNetworkInputs  *inputs,
       GError                  **error)
{
  const DimrShape shape = dimr_graph_peek_node (graph, inputs->x)->shape;
  DimrBuilder self = { .graph = graph, .config = config, .log_snr = DIMR_NODE_NONE, .condition = DIMR_NODE_NONE };
  DimrNodeId x;

  if (!dimr_vit_check_size (config, &shape, error))
    return FALSE;
  x = build_tokens (&self, inputs->x, (guint) shape.dims[0]);
  for (guint i = 0; i < config->vit.depth; i++)
    {
      g_autofree char *prefix = g_strdup_printf ("blocks.%u", i);

      x = build_block (&self, prefix, x);
    }
  x = dimr_graph_add_op (graph, DIMR_OP_SLICE_TOKENS, ((DimrAttrs){ .start = 0, .length = 1 }), x);
  x = dimr_graph_add_reshape (graph, x, DIMR_SHAPE (shape.dims[0], config->vit.dim));
  x = dimr_vit_build_norm (&self, "norm", x, EPS);
  dimr_graph_set_name (graph, x, "features");
  x = dimr_build_linear (&self, "head", &x, 1, config->num_classes, TRUE);
  dimr_graph_set_name (graph, x, "out0");
  return TRUE;
}

const DimrArchitecture dimr_architecture_vit = {
  .name = "ViT",
  .model = "ViT",
  .marker = "cls_token",
  .classifies = TRUE,
  .variants = no_variants,
  .read = read_vit,
  .set_defaults = set_defaults,
  .recognise = recognise,
  .get_n_branches = dimr_vit_get_n_branches,
  .get_n_channels = dimr_vit_get_n_channels,
  .get_branch = get_branch,
  .build = build,
};
