/* dimr-dit.c — DiT: time and class shift, scale and gate every block (adaLN-Zero)
 *
 * Layout of the released checkpoints: "x_embedder.proj", "pos_embed" (fixed sines, in the file),
 * "t_embedder.mlp", "y_embedder.embedding_table" with the null class last, "blocks.N" with
 * "adaLN_modulation.1", and "final_layer". Its 2·C output channels are the noise and, as a number
 * between the two bounds that the posterior has, the variance of a step.
 *
 * Source: Peebles and Xie, "Scalable Diffusion Models with Transformers", ICCV 2023.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/model/dimr-vit.h"

#include "core/base/dimr-i18n.h"

#define NO_ATTRS ((DimrAttrs){ 0 })
#define EPS 1e-6
#define FREQUENCIES 256

static const char * const variant_names[] = {
  "DiT-S/2", "DiT-S/4", "DiT-S/8", "DiT-B/2", "DiT-B/4", "DiT-B/8", "DiT-L/2", "DiT-L/4", "DiT-L/8",
  "DiT-XL/2", "DiT-XL/4", "DiT-XL/8", "DiT-XL/2-512px", NULL,
};

static const struct
{
  guint dim;
  guint depth;
  guint num_heads;
} sizes[] = { { 384, 12, 6 }, { 768, 12, 12 }, { 1024, 24, 16 }, { 1152, 28, 16 } };

#define N_SMALL_VARIANTS (3 * G_N_ELEMENTS (sizes))

G_STATIC_ASSERT (G_N_ELEMENTS (variant_names) == N_SMALL_VARIANTS + 2);

/* In the order of the names: sizes by patches, of 256 pixels; and the largest of 512. */
static DimrConfig *
new_for_variant (guint i)
{
  const gboolean large = i == N_SMALL_VARIANTS;
  const guint size = large ? G_N_ELEMENTS (sizes) - 1 : i / 3;
  DimrConfig *config = g_new0 (DimrConfig, 1);

  config->architecture = &dimr_architecture_dit;
  config->channels = 4;
  config->image_size = large ? 64 : 32;
  config->num_classes = 1001;
  config->has_null_class = TRUE;
  config->vit = (DimrVitConfig){
    .patch_size = large ? 2 : 2u << i % 3,
    .dim = sizes[size].dim,
    .hidden_dim = 4 * sizes[size].dim,
    .num_heads = sizes[size].num_heads,
    .depth = sizes[size].depth,
    .qkv_bias = TRUE,
    .learn_sigma = TRUE,
  };
  return config;
}

static void
read_dit (DimrReader *reader,
          JsonObject *object,
          DimrConfig *config)
{
  guint n_classes = dimr_reader_get_count (reader, object, "num_classes", 1000, DIMR_MAX_CLASSES - 1);

  dimr_vit_read (reader, object, config, "hidden_size", "input_size", "in_channels");
  config->has_null_class = dimr_reader_get_number (reader, object, "class_dropout_prob", 0.1, 0, 1) > 0;
  config->num_classes = n_classes + (config->has_null_class ? 1 : 0);
  config->vit.qkv_bias = TRUE;
  config->vit.learn_sigma = dimr_reader_get_boolean (reader, object, "learn_sigma", TRUE);
}

static void
set_defaults (DimrConfig *config)
{
  config->schedule = DIMR_SCHEDULE_DDPM;
  config->beta_0 = 0.0001;
  config->beta_1 = 0.02;
  config->time_condition = DIMR_TIME_CONDITION_INDEX;
  config->default_steps = 250;
  config->default_sampler = DIMR_SAMPLER_DDPM;
  config->default_guidance = (DimrGuidance){ DIMR_GUIDANCE_CONSTANT, config->has_null_class ? 4.0 : 1.0, 2.0,
                                             MIN (config->channels, 3) };
}

static DimrConfig *
recognise (DimrWeights  *weights,
           const char   *path,
           GError      **error)
{
  g_autoptr (DimrConfig) config = g_new0 (DimrConfig, 1);
  DimrTensor *table = dimr_weights_peek (weights, "y_embedder.embedding_table.weight");
  DimrTensor *out = dimr_weights_peek (weights, "final_layer.linear.weight");
  DimrVitConfig *vit = &config->vit;

  config->architecture = &dimr_architecture_dit;
  if (out == NULL || dimr_tensor_peek_shape (table)->n_dims != 2 || dimr_tensor_peek_shape (out)->n_dims != 2 ||
      !dimr_vit_measure (config, weights, "x_embedder.proj.weight", "blocks.0", 0))
    {
      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("%s: these look like weights of a DiT, but its patches, positions or output are missing or have another form"),
                      path);
      return NULL;
    }
  config->num_classes = (guint) CLAMP (dimr_tensor_peek_shape (table)->dims[0], 1, DIMR_MAX_CLASSES);
  config->has_null_class = config->num_classes != 1000;
  vit->depth = dimr_vit_count_blocks (weights, "blocks");
  vit->learn_sigma = dimr_tensor_peek_shape (out)->dims[0] == 2 * (gint64) config->channels * vit->patch_size * vit->patch_size;
  return dimr_vit_settle (config, path, error) ? g_steal_pointer (&config) : NULL;
}

static void
get_branch (const DimrConfig *config,
            guint             branch,
            DimrBranchInfo   *info)
{
  dimr_vit_describe_branch (config, config->vit.depth, info);
}

/* What time and class say together [B, D]. */
static DimrNodeId
build_condition (DimrBuilder             *self,
                 const DimrNetworkInputs *inputs)
{
  const guint d = self->config->vit.dim;
  guint batch = (guint) dimr_graph_peek_node (self->graph, inputs->x)->shape.dims[0];
  DimrNodeId table = dimr_graph_add_param (self->graph, "y_embedder.embedding_table.weight",
                                           DIMR_SHAPE (self->config->num_classes, d));
  DimrNodeId time = dimr_vit_build_time (self, inputs->time, FREQUENCIES, "t_embedder.mlp", d, d, batch), label;

  dimr_graph_set_name (self->graph, time, "t_embedder");
  label = dimr_graph_add_op (self->graph, DIMR_OP_EMBEDDING, NO_ATTRS, table, inputs->y);
  dimr_graph_set_name (self->graph, label, "y_embedder");
  return dimr_graph_add_op (self->graph, DIMR_OP_SILU, NO_ATTRS,
                            dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, time, label));
}

/* @n vectors [B, D] under "@prefix.adaLN_modulation.1", as taps "ada.@prefix.NAME". */
static void
build_modulation (DimrBuilder        *self,
                  const char         *prefix,
                  DimrNodeId          condition,
                  const char * const *names,
                  guint               n,
                  DimrNodeId         *vectors)
{
  const guint d = self->config->vit.dim;
  g_autofree char *linear = g_strconcat (prefix, ".adaLN_modulation.1", NULL);
  DimrNodeId all = dimr_build_linear (self, linear, &condition, 1, n * d, TRUE);

  dimr_graph_set_name (self->graph, all, "%s.adaLN_modulation", prefix);
  for (guint i = 0; i < n; i++)
    {
      vectors[i] = dimr_graph_add_op (self->graph, DIMR_OP_SLICE_CHANNELS, ((DimrAttrs){ .start = i * d, .length = d }), all);
      dimr_graph_set_name (self->graph, vectors[i], "ada.%s.%s", prefix, names[i]);
    }
}

/* The plain norm of x, shifted and scaled; @name: tap of the norm, or NULL. */
static DimrNodeId
build_modulated (DimrBuilder *self,
                 const char  *name,
                 DimrNodeId   x,
                 DimrNodeId   shift,
                 DimrNodeId   scale)
{
  DimrNodeId h = dimr_graph_add_op (self->graph, DIMR_OP_LAYER_NORM, ((DimrAttrs){ .eps = EPS }), DIMR_NODE_NONE,
                                    DIMR_NODE_NONE, x);

  dimr_graph_set_name (self->graph, h, "%s", name);
  return dimr_graph_add_op (self->graph, DIMR_OP_MODULATE, NO_ATTRS, h, shift, scale);
}

static DimrNodeId
build_block (DimrBuilder *self,
             guint        i,
             DimrNodeId   x,
             DimrNodeId   condition)
{
  static const char * const names[] = { "shift_msa", "scale_msa", "gate_msa", "shift_mlp", "scale_mlp", "gate_mlp" };
  g_autofree char *prefix = g_strdup_printf ("blocks.%u", i);
  g_autofree char *norm1 = g_strconcat (prefix, ".norm1", NULL), *norm2 = g_strconcat (prefix, ".norm2", NULL);
  DimrNodeId ada[6], h;

  build_modulation (self, prefix, condition, names, 6, ada);
  h = build_modulated (self, norm1, x, ada[0], ada[1]);
  h = dimr_vit_build_attention (self, prefix, h);
  x = dimr_graph_add_op (self->graph, DIMR_OP_GATED_ADD, NO_ATTRS, x, ada[2], h);
  h = build_modulated (self, norm2, x, ada[3], ada[4]);
  h = dimr_vit_build_mlp (self, prefix, h, DIMR_OP_GELU_TANH);
  x = dimr_graph_add_op (self->graph, DIMR_OP_GATED_ADD, NO_ATTRS, x, ada[5], h);
  dimr_graph_set_name (self->graph, x, "%s", prefix);
  return x;
}

/* "out0" has all channels of the output; "eps" the first C of them, which are the noise. */
static void
build_head (DimrBuilder *self,
            DimrNodeId   x,
            DimrNodeId   condition)
{
  static const char * const names[] = { "shift", "scale" };
  const DimrVitConfig *vit = &self->config->vit;
  const guint c = self->config->channels, n_out = dimr_vit_get_n_channels (self->config);
  DimrNodeId ada[2], eps;

  build_modulation (self, "final_layer", condition, names, 2, ada);
  x = build_modulated (self, "final_layer.norm_final", x, ada[0], ada[1]);
  x = dimr_build_linear (self, "final_layer.linear", &x, 1, vit->patch_size * vit->patch_size * n_out, TRUE);
  dimr_graph_set_name (self->graph, x, "final_layer");
  x = dimr_vit_build_unpatchify (self, x);
  eps = dimr_graph_add_op (self->graph, DIMR_OP_SLICE_CHANNELS, ((DimrAttrs){ .length = c }), x);
  eps = dimr_graph_add_op (self->graph, DIMR_OP_TO_IMAGE, NO_ATTRS, eps);
  dimr_graph_set_name (self->graph, eps, "eps");
  x = dimr_graph_add_op (self->graph, DIMR_OP_TO_IMAGE, NO_ATTRS, x);
  dimr_graph_set_name (self->graph, x, "out0");
}

static gboolean
build (DimrGraph                *graph,
       const DimrConfig         *config,
       const DimrNetworkInputs  *inputs,
       GError                  **error)
{
  DimrBuilder self = { .graph = graph, .config = config, .log_snr = DIMR_NODE_NONE, .condition = DIMR_NODE_NONE };
  const gint64 side = config->image_size / config->vit.patch_size;
  const DimrShape shape = dimr_graph_peek_node (graph, inputs->x)->shape;
  DimrNodeId x, condition;

  if (!dimr_vit_check_size (config, &shape, error))
    return FALSE;
  condition = build_condition (&self, inputs);
  x = dimr_vit_build_patches (&self, "x_embedder.proj", inputs->x);
  x = dimr_graph_add_reshape (graph, x, DIMR_SHAPE (shape.dims[0], side * side, config->vit.dim));
  dimr_graph_set_name (graph, x, "x_embedder");
  x = dimr_vit_build_position (&self, x);
  for (guint i = 0; i < config->vit.depth; i++)
    x = build_block (&self, i, x, condition);
  build_head (&self, x, condition);
  return TRUE;
}

const DimrArchitecture dimr_architecture_dit = {
  .name = "DiT",
  .model = "DiT",
  .marker = "y_embedder.embedding_table.weight",
  .time_input = "t",
  .variants = variant_names,
  .new_for_variant = new_for_variant,
  .read = read_dit,
  .set_defaults = set_defaults,
  .recognise = recognise,
  .get_n_branches = dimr_vit_get_n_branches,
  .get_n_channels = dimr_vit_get_n_channels,
  .get_branch = get_branch,
  .build = build,
};
