/* dimr-uvit.c — U-ViT: time, class and patches are all tokens; long skips from the first half to the second
 *
 * Layout of the released checkpoints: "patch_embed.proj", "pos_embed" over all tokens, "label_emb",
 * "in_blocks.N", "mid_block", "out_blocks.N" with "skip_linear", "norm", "decoder_pred", and in most
 * models a convolution "final_layer". Token 0 is the class (where there are classes), then the time.
 *
 * Source: Bao et al., "All are Worth Words: A ViT Backbone for Diffusion Models", CVPR 2023.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/model/dimr-vit.h"

#include "core/base/dimr-i18n.h"

#define NO_ATTRS ((DimrAttrs){ 0 })
#define EPS 1e-5

static const char * const variant_names[] = {
  "U-ViT-S/2", "U-ViT-S/4", "U-ViT-M/4", "U-ViT-L/4-64px", "U-ViT-L/2", "U-ViT-H/2", "U-ViT-L/4", "U-ViT-H/4", NULL,
};

/* In the order of the names: CIFAR-10, CelebA, ImageNet at 64, 64, 256, 256, 512 and 512 pixels. */
static const struct
{
  guint channels;
  guint image_size;
  guint patch_size;
  guint dim;
  guint depth;
  guint num_heads;
  guint num_classes;
  gboolean conv;
} variants[] = {
  { 3, 32, 2, 512, 12, 8, 0, TRUE },      { 3, 64, 4, 512, 12, 8, 0, TRUE },
  { 3, 64, 4, 768, 16, 12, 1000, TRUE },  { 3, 64, 4, 1024, 20, 16, 1000, TRUE },
  { 4, 32, 2, 1024, 20, 16, 1001, TRUE }, { 4, 32, 2, 1152, 28, 16, 1001, FALSE },
  { 4, 64, 4, 1024, 20, 16, 1001, TRUE }, { 4, 64, 4, 1152, 28, 16, 1001, FALSE },
};

G_STATIC_ASSERT (G_N_ELEMENTS (variant_names) == G_N_ELEMENTS (variants) + 1);

/* The models of ImageNet at 64 pixels have its thousand classes and no null class. */
static gboolean
guess_null_class (guint num_classes)
{
  return num_classes > 0 && num_classes != 1000;
}

static DimrConfig *
new_for_variant (guint i)
{
  DimrConfig *config = g_new0 (DimrConfig, 1);

  config->architecture = &dimr_architecture_uvit;
  config->channels = variants[i].channels;
  config->image_size = variants[i].image_size;
  config->num_classes = variants[i].num_classes;
  config->has_null_class = guess_null_class (config->num_classes);
  config->vit.patch_size = variants[i].patch_size;
  config->vit.dim = variants[i].dim;
  config->vit.hidden_dim = 4 * variants[i].dim;
  config->vit.num_heads = variants[i].num_heads;
  config->vit.depth = variants[i].depth;
  config->vit.conv = variants[i].conv;
  config->vit.skip = TRUE;
  return config;
}

static void
read_uvit (DimrReader *reader,
           JsonObject *object,
           DimrConfig *config)
{
  DimrVitConfig *vit = &config->vit;
  double classes = dimr_reader_get_number (reader, object, "num_classes", -1, -1, DIMR_MAX_CLASSES);

  dimr_vit_read (reader, object, config, "embed_dim", "img_size", "in_chans");
  config->num_classes = classes > 0 ? (guint) classes : 0;
  config->has_null_class = config->num_classes > 0 &&
                           dimr_reader_get_boolean (reader, object, "null_class", guess_null_class (config->num_classes));
  vit->depth = vit->depth / 2 * 2;
  vit->qkv_bias = dimr_reader_get_boolean (reader, object, "qkv_bias", FALSE);
  vit->mlp_time_embed = dimr_reader_get_boolean (reader, object, "mlp_time_embed", FALSE);
  vit->conv = dimr_reader_get_boolean (reader, object, "conv", TRUE);
  vit->skip = dimr_reader_get_boolean (reader, object, "skip", TRUE);
}

/* Latent models: Stable Diffusion's schedule and t in 0 … 1000; pixel models: the VP-SDE and t in 0 … 999. */
static void
set_defaults (DimrConfig *config)
{
  gboolean latent = config->channels == 4;
  double scale = config->image_size >= 64 ? 1.7 : 1.4;

  config->schedule = latent ? DIMR_SCHEDULE_DISCRETE : DIMR_SCHEDULE_LINEAR;
  config->beta_0 = latent ? 0.00085 : 0.1;
  config->beta_1 = latent ? 0.012 : 20.0;
  config->time_condition = latent ? DIMR_TIME_CONDITION_TIMESTEP : DIMR_TIME_CONDITION_TIMESTEP_999;
  config->default_steps = 50;
  config->default_sampler = DIMR_SAMPLER_DPM_SOLVER_FAST;
  config->default_guidance = (DimrGuidance){ DIMR_GUIDANCE_CONSTANT, config->has_null_class ? scale : 1.0, 2.0 };
}

static DimrConfig *
recognise (DimrWeights  *weights,
           const char   *path,
           GError      **error)
{
  g_autoptr (DimrConfig) config = g_new0 (DimrConfig, 1);
  DimrTensor *labels = dimr_weights_peek (weights, "label_emb.weight");
  DimrVitConfig *vit = &config->vit;

  config->architecture = &dimr_architecture_uvit;
  if (dimr_weights_peek (weights, "context_embed.weight") != NULL)
    {
      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("%s: this U-ViT makes pictures from text, but one that makes them from ImageNet classes is needed"), path);
      return NULL;
    }
  if (labels != NULL && dimr_tensor_peek_shape (labels)->n_dims == 2)
    config->num_classes = (guint) CLAMP (dimr_tensor_peek_shape (labels)->dims[0], 0, DIMR_MAX_CLASSES);
  config->has_null_class = guess_null_class (config->num_classes);
  if (!dimr_vit_measure (config, weights, "patch_embed.proj.weight", "mid_block", labels != NULL ? 2 : 1))
    {
      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("%s: these look like weights of a U-ViT, but its patches or positions are missing or have another form"), path);
      return NULL;
    }
  vit->depth = 2 * dimr_vit_count_blocks (weights, "in_blocks");
  vit->mlp_time_embed = dimr_weights_peek (weights, "time_embed.0.weight") != NULL;
  vit->conv = dimr_weights_peek (weights, "final_layer.weight") != NULL;
  vit->skip = dimr_weights_peek (weights, "out_blocks.0.skip_linear.weight") != NULL;
  return dimr_vit_settle (config, path, error) ? g_steal_pointer (&config) : NULL;
}

static void
get_branch (const DimrConfig *config,
            guint             branch,
            DimrBranchInfo   *info)
{
  dimr_vit_describe_branch (config, config->vit.depth + 1, info);
}

/* @skip: DIMR_NODE_NONE, or the output of the block's partner. */
static DimrNodeId
build_block (DimrBuilder *self,
             const char  *prefix,
             DimrNodeId   x,
             DimrNodeId   skip)
{
  g_autofree char *norm1 = g_strconcat (prefix, ".norm1", NULL), *norm2 = g_strconcat (prefix, ".norm2", NULL);
  g_autofree char *linear = g_strconcat (prefix, ".skip_linear", NULL);

  if (skip != DIMR_NODE_NONE && self->config->vit.skip)
    x = dimr_build_linear (self, linear, (DimrNodeId[]){ x, skip }, 2, self->config->vit.dim, TRUE);
  x = dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x,
                         dimr_vit_build_attention (self, prefix, dimr_vit_build_norm (self, norm1, x, EPS)));
  x = dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x,
                         dimr_vit_build_mlp (self, prefix, dimr_vit_build_norm (self, norm2, x, EPS), DIMR_OP_GELU));
  dimr_graph_set_name (self->graph, x, "%s", prefix);
  return x;
}

static DimrNodeId
build_blocks (DimrBuilder *self,
              DimrNodeId   x)
{
  const guint half = self->config->vit.depth / 2;
  g_autofree DimrNodeId *skips = g_new (DimrNodeId, MAX (half, 1));

  for (guint i = 0; i < half; i++)
    {
      g_autofree char *prefix = g_strdup_printf ("in_blocks.%u", i);

      skips[i] = x = build_block (self, prefix, x, DIMR_NODE_NONE);
    }
  x = build_block (self, "mid_block", x, DIMR_NODE_NONE);
  for (guint i = 0; i < half; i++)
    {
      g_autofree char *prefix = g_strdup_printf ("out_blocks.%u", i);

      x = build_block (self, prefix, x, skips[half - 1 - i]);
    }
  return x;
}

/* Class, time, patches; all of them have a position. */
static DimrNodeId
build_tokens (DimrBuilder             *self,
              const DimrNetworkInputs *inputs)
{
  const DimrVitConfig *vit = &self->config->vit;
  const DimrShape *shape = &dimr_graph_peek_node (self->graph, inputs->x)->shape;
  gint64 side = self->config->image_size / vit->patch_size, batch = shape->dims[0];
  DimrNodeId time = dimr_vit_build_time (self, inputs->time, vit->dim, vit->mlp_time_embed ? "time_embed" : NULL,
                                         4 * vit->dim, vit->dim, (guint) batch);
  DimrNodeId x = dimr_vit_build_patches (self, "patch_embed.proj", inputs->x), table, label;

  x = dimr_graph_add_reshape (self->graph, x, DIMR_SHAPE (batch, side * side, vit->dim));
  dimr_graph_set_name (self->graph, x, "patch_embed");
  x = dimr_graph_add_op (self->graph, DIMR_OP_PREPEND_TOKEN, NO_ATTRS, x, time);
  if (inputs->y != DIMR_NODE_NONE)
    {
      table = dimr_graph_add_param (self->graph, "label_emb.weight", DIMR_SHAPE (self->config->num_classes, vit->dim));
      label = dimr_graph_add_op (self->graph, DIMR_OP_EMBEDDING, NO_ATTRS, table, inputs->y);
      x = dimr_graph_add_op (self->graph, DIMR_OP_PREPEND_TOKEN, NO_ATTRS, x, label);
    }
  return dimr_vit_build_position (self, x);
}

static gboolean
build (DimrGraph                *graph,
       const DimrConfig         *config,
       const DimrNetworkInputs  *inputs,
       GError                  **error)
{
  DimrBuilder self = { .graph = graph, .config = config, .log_snr = DIMR_NODE_NONE, .condition = DIMR_NODE_NONE };
  gint64 c = config->channels, p = config->vit.patch_size, side = config->image_size / config->vit.patch_size;
  DimrNodeId x;

  if (!dimr_vit_check_size (config, &dimr_graph_peek_node (graph, inputs->x)->shape, error))
    return FALSE;
  x = build_blocks (&self, build_tokens (&self, inputs));
  x = dimr_vit_build_norm (&self, "norm", x, EPS);
  dimr_graph_set_name (graph, x, "norm");
  x = dimr_build_linear (&self, "decoder_pred", &x, 1, (guint) (p * p * c), TRUE);
  dimr_graph_set_name (graph, x, "decoder_pred");
  x = dimr_graph_add_op (graph, DIMR_OP_SLICE_TOKENS, ((DimrAttrs){ .start = inputs->y != DIMR_NODE_NONE ? 2 : 1,
                                                                    .length = (guint) (side * side) }), x);
  x = dimr_vit_build_unpatchify (&self, x);
  if (config->vit.conv)
    x = dimr_graph_add_op (graph, DIMR_OP_CONV_TO_IMAGE, NO_ATTRS, x,
                           dimr_graph_add_param (graph, "final_layer.weight", DIMR_SHAPE (c, c, 3, 3)),
                           dimr_graph_add_param (graph, "final_layer.bias", DIMR_SHAPE (c)));
  else
    x = dimr_graph_add_op (graph, DIMR_OP_TO_IMAGE, NO_ATTRS, x);
  dimr_graph_set_name (graph, x, "out0");
  return TRUE;
}

const DimrArchitecture dimr_architecture_uvit = {
  .name = "U-ViT",
  .model = "UViT",
  .marker = "mid_block.attn.qkv.weight",
  .time_input = "t",
  .variants = variant_names,
  .new_for_variant = new_for_variant,
  .read = read_uvit,
  .set_defaults = set_defaults,
  .recognise = recognise,
  .get_n_branches = dimr_vit_get_n_branches,
  .get_n_channels = dimr_vit_get_n_channels,
  .get_branch = get_branch,
  .build = build,
};
