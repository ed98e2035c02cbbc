/* dimr-multires.c — DiMR as a graph: its branches from the lowest resolution up, and the cascade between them
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/model/dimr-multires.h"

#include "core/base/dimr-i18n.h"
#include "core/model/dimr-blocks.h"

#define NO_ATTRS ((DimrAttrs){ 0 })

/* What a branch hands to the next one: its input and every block's output, without class token,
 * each [B, H, W, D]; the next branch reads them as one tensor of Σ D channels. */
typedef struct
{
  GArray *features; /* DimrNodeId */
  GArray *skips;    /* DimrNodeId: outputs of its in blocks, for the form that hands them on too */
  guint max_height;
  gint64 height;
  gint64 width;
} Collected;

static const DimrShape *
shape_of (DimrBuilder *self,
          DimrNodeId   node)
{
  return &dimr_graph_peek_node (self->graph, node)->shape;
}

/* The parameter "stages.@stage.@name". */
static DimrNodeId
add_weight (DimrBuilder *self,
            DimrShape    shape,
            guint        stage,
            const char  *name)
{
  g_autofree char *full = g_strdup_printf ("stages.%u.%s", stage, name);

  return dimr_graph_add_param (self->graph, full, shape);
}

/* Steps 1 and 2: patches of the noisy picture, and where each lies. */
static DimrNodeId
build_input_layer (DimrBuilder           *self,
                   const DimrStageConfig *stage,
                   guint                  s,
                   DimrNodeId             x)
{
  gint64 d = stage->dim, k = stage->input_feature_ratio, c = self->config->channels;
  gint64 rows = (gint64) stage->max_height * stage->max_width;

  if (stage->image_input_ratio > 1)
    x = dimr_graph_add_op (self->graph, DIMR_OP_AVERAGE_POOL, ((DimrAttrs){ .factor = stage->image_input_ratio }), x);
  x = dimr_graph_add_op (self->graph, DIMR_OP_PATCHIFY, NO_ATTRS, x,
                         add_weight (self, DIMR_SHAPE (d, c, k, k), s, "input_layer.1.weight"),
                         add_weight (self, DIMR_SHAPE (d), s, "input_layer.1.bias"));
  if (self->config->position_type == DIMR_POSITION_TABLE || stage->block_type != DIMR_BLOCK_TRANSFORMER)
    x = dimr_graph_add_op (self->graph, DIMR_OP_ADD_POSITION, ((DimrAttrs){ .width = stage->max_width }), x,
                           add_weight (self, DIMR_SHAPE (rows, d),
                                       s, "input_layer.3.position_embeddings.weight"));
  if (x != DIMR_NODE_NONE)
    dimr_graph_set_name (self->graph, x, "stages.%u.input_layer", s);
  return x;
}

/* Step 3, first half: what the lower branch saw, brought to this branch's resolution. */
static DimrNodeId
build_upsample (DimrBuilder           *self,
                const DimrStageConfig *stage,
                guint                  s,
                const Collected       *low)
{
  g_autofree char *norm0 = g_strdup_printf ("stages.%u.upsample.0", s);
  g_autofree char *kernel = g_strdup_printf ("stages.%u.upsample.1.kernel", s);
  g_autoptr (GArray) features = g_array_copy (low->features);
  guint ratio = stage->max_height / low->max_height;
  DimrNodeId y;

  if (self->config->block_grad_to_lowres)
    for (guint i = 0; i < features->len; i++)
      g_array_index (features, DimrNodeId, i) = dimr_graph_add_constant (self->graph, g_array_index (features, DimrNodeId, i));
  y = dimr_build_layer_norm (self, norm0, &g_array_index (features, DimrNodeId, 0), features->len);
  dimr_graph_set_name (self->graph, y, "%s", norm0);
  y = dimr_build_linear (self, kernel, &y, 1, ratio * ratio * stage->dim, TRUE);
  y = dimr_graph_add_op (self->graph, DIMR_OP_PIXEL_SHUFFLE, ((DimrAttrs){ .factor = ratio }), y);
  dimr_graph_set_name (self->graph, y, "stages.%u.upsample.1", s);
  return y;
}

/* Second half: normed and added, or put beside x. */
static DimrNodeId
build_join (DimrBuilder *self,
            guint        s,
            DimrNodeId   x,
            DimrNodeId   low)
{
  g_autofree char *norm2 = g_strdup_printf ("stages.%u.upsample.2", s);
  g_autofree char *join = g_strdup_printf ("stages.%u.join", s);
  DimrNodeId y = dimr_build_layer_norm (self, norm2, &low, 1);

  dimr_graph_set_name (self->graph, y, "%s", norm2);
  if (self->config->cascade_type == DIMR_CASCADE_ADD)
    return dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x, y);
  return dimr_build_linear (self, join, (DimrNodeId[]){ x, y }, 2, self->config->stages[s].dim, TRUE);
}

/* A first branch that has no tokens takes in the class by adding it everywhere. */
static DimrNodeId
build_class_map (DimrBuilder           *self,
                 const DimrStageConfig *stage,
                 guint                  s,
                 DimrNodeId             x,
                 DimrNodeId             y)
{
  DimrNodeId table = add_weight (self, DIMR_SHAPE (self->config->num_classes, stage->dim), s, "class_embeds.weight");
  DimrNodeId label = dimr_graph_add_op (self->graph, DIMR_OP_EMBEDDING, NO_ATTRS, table, y);

  return dimr_graph_add_op (self->graph, DIMR_OP_MODULATE, NO_ATTRS, x, label, DIMR_NODE_NONE);
}

/* AdaLN-Zero: an MLP of the time's sines and the class, under "stages.@s.condition" → [B, D]. */
static DimrNodeId
build_condition (DimrBuilder           *self,
                 const DimrStageConfig *stage,
                 guint                  s,
                 gint64                 batch,
                 DimrNodeId             y)
{
  g_autofree char *first = g_strdup_printf ("stages.%u.condition.mlp.0", s);
  g_autofree char *second = g_strdup_printf ("stages.%u.condition.mlp.2", s);
  DimrNodeId c = dimr_graph_add_op (self->graph, DIMR_OP_TIMESTEP_EMBEDDING, ((DimrAttrs){ .length = 256 }), self->log_snr);

  c = dimr_build_linear (self, first, &c, 1, stage->dim, TRUE);
  c = dimr_graph_add_op (self->graph, DIMR_OP_SILU, NO_ATTRS, c);
  c = dimr_build_linear (self, second, &c, 1, stage->dim, TRUE);
  if (shape_of (self, c)->dims[0] != batch)
    c = dimr_graph_add_op (self->graph, DIMR_OP_REPEAT, ((DimrAttrs){ .factor = (guint) batch }), c);
  if (y != DIMR_NODE_NONE)
    {
      DimrNodeId table = add_weight (self, DIMR_SHAPE (self->config->num_classes, stage->dim), s,
                                     "condition.class_embeds.weight");

      c = dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, c,
                             dimr_graph_add_op (self->graph, DIMR_OP_EMBEDDING, NO_ATTRS, table, y));
    }
  return dimr_graph_add_op (self->graph, DIMR_OP_SILU, NO_ATTRS, c);
}

/* Step 4: tokens, the class in front. */
static DimrNodeId
build_tokens (DimrBuilder           *self,
              const DimrStageConfig *stage,
              guint                  s,
              DimrNodeId             x,
              DimrNodeId             y)
{
  const DimrShape map = *shape_of (self, x);
  DimrNodeId table, token;

  x = dimr_graph_add_reshape (self->graph, x, DIMR_SHAPE (map.dims[0], map.dims[1] * map.dims[2], map.dims[3]));
  if (y == DIMR_NODE_NONE)
    return x;
  table = add_weight (self, DIMR_SHAPE (self->config->num_classes, stage->dim), s, "class_embeds.weight");
  token = dimr_graph_add_op (self->graph, DIMR_OP_EMBEDDING, NO_ATTRS, table, y);
  return dimr_graph_add_op (self->graph, DIMR_OP_PREPEND_TOKEN, NO_ATTRS, x, token);
}

/* The features of one block as a map [B, H, W, D], for the head and the next branch. */
static DimrNodeId
as_map (DimrBuilder *self,
        DimrNodeId   x,
        DimrShape    map)
{
  const DimrShape *shape = shape_of (self, x);
  gint64 n = map.dims[1] * map.dims[2];

  if (shape->n_dims == 4)
    return x;
  if (shape->dims[1] == n + 1)
    x = dimr_graph_add_op (self->graph, DIMR_OP_SLICE_TOKENS, ((DimrAttrs){ .start = 1, .length = (guint) n }), x);
  return dimr_graph_add_reshape (self->graph, x, map);
}

static DimrNodeId
build_block (DimrBuilder           *self,
             const DimrStageConfig *stage,
             guint                  s,
             guint                  j,
             DimrNodeId             x)
{
  g_autofree char *block1 = g_strdup_printf ("stages.%u.blocks.%u.block1", s, j);
  g_autofree char *block2 = g_strdup_printf ("stages.%u.blocks.%u.block2", s, j);

  x = stage->block_type == DIMR_BLOCK_TRANSFORMER
        ? dimr_build_attention (self, block1, x, stage->num_attention_heads)
        : dimr_build_depthwise (self, block1, x, stage->kernel_size);
  x = dimr_build_mlp (self, block2, x, stage->hidden_dim);
  dimr_graph_set_name (self->graph, x, "stages.%u.blocks.%u.out", s, j);
  return x;
}

/* What out block @k of a branch takes in: x, its partner, and in the form with skips between branches the
 * partner's place in the branch below, brought to this branch's size. */
static DimrNodeId
build_skip (DimrBuilder           *self,
            const DimrStageConfig *stage,
            guint                  s,
            guint                  k,
            DimrNodeId             x,
            DimrNodeId             partner,
            const Collected       *low)
{
  g_autofree char *name = g_strdup_printf ("stages.%u.skip_denses.%u", s, k);
  DimrNodeId inputs[3] = { x, partner };
  guint n = 2;

  if (self->config->branch_skips && k < low->skips->len)
    inputs[n++] = dimr_graph_add_op (self->graph, DIMR_OP_UPSAMPLE_NEAREST,
                                     ((DimrAttrs){ .factor = stage->max_height / low->max_height }),
                                     g_array_index (low->skips, DimrNodeId, low->skips->len - 1 - k));
  x = dimr_build_linear (self, name, inputs, n, stage->dim, TRUE);
  dimr_graph_set_name (self->graph, x, "%s", name);
  return x;
}

/* Step 5: in blocks, a middle one, out blocks; each out block first takes in the output of its
 * partner among the in blocks, last in first out. @collected is the branch below's and becomes this one's;
 * returns the last map. */
static DimrNodeId
build_blocks (DimrBuilder           *self,
              const DimrStageConfig *stage,
              guint                  s,
              DimrNodeId             x,
              DimrShape              map,
              Collected             *collected)
{
  guint n = dimr_stage_config_get_n_blocks (stage), half = n / 2;
  g_autoptr (GArray) skips = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));
  DimrNodeId feature;

  g_array_set_size (collected->features, 0);
  x = dimr_graph_add_reshape (self->graph, x, *shape_of (self, x));
  dimr_graph_set_name (self->graph, x, "stages.%u.blocks.0.in", s);
  feature = as_map (self, x, map);
  g_array_append_val (collected->features, feature);

  for (guint j = 0; j < n; j++)
    {
      if (j > half)
        {
          x = build_skip (self, stage, s, j - half - 1, x, g_array_index (skips, DimrNodeId, skips->len - 1), collected);
          g_array_set_size (skips, skips->len - 1);
        }
      x = build_block (self, stage, s, j, x);
      feature = as_map (self, x, map);
      g_array_append_val (collected->features, feature);
      if (j < half)
        g_array_append_val (skips, x);
    }
  g_array_set_size (collected->skips, 0);
  g_array_append_vals (collected->skips, &g_array_index (collected->features, DimrNodeId, 1), half);
  return feature;
}

/* Step 6: the branch's own noise prediction. */
static void
build_head (DimrBuilder           *self,
            const DimrStageConfig *stage,
            guint                  s,
            DimrNodeId             x)
{
  g_autofree char *norm = g_strdup_printf ("stages.%u.output_layer.0", s);
  gint64 c = self->config->channels, d = stage->dim, k = stage->final_kernel_size;

  x = dimr_build_layer_norm (self, norm, &x, 1);
  dimr_graph_set_name (self->graph, x, "%s", norm);
  x = dimr_graph_add_op (self->graph, DIMR_OP_CONV_TO_IMAGE, NO_ATTRS, x,
                         add_weight (self, DIMR_SHAPE (c, d, k, k), s, "output_layer.2.weight"),
                         add_weight (self, DIMR_SHAPE (c), s, "output_layer.2.bias"));
  dimr_graph_set_name (self->graph, x, "out%u", s);
}

/* FALSE where a picture of @height × @width cannot go through @stage. */
static gboolean
check_size (const DimrStageConfig  *stage,
            const Collected        *low,
            guint                   s,
            guint                   height,
            guint                   width,
            GError                **error)
{
  guint scale = stage->image_input_ratio * stage->input_feature_ratio;
  guint h = height / scale, w = width / scale;

  if (height % scale != 0 || width % scale != 0 || h == 0 || w == 0)
    return dimr_error_set (error, DIMR_ERROR_SHAPE, _("An input of %u × %u is not a multiple of the patch size in branch %u"),
                           height, width, s + 1);
  if (h > stage->max_height || w > stage->max_width)
    return dimr_error_set (error, DIMR_ERROR_SHAPE, _("An input of %u × %u is larger than the position table in branch %u"),
                           height, width, s + 1);
  if (low->features->len > 0 &&
      (h != low->height * (stage->max_height / low->max_height) ||
       w != low->width * (stage->max_height / low->max_height)))
    return dimr_error_set (error, DIMR_ERROR_SHAPE, _("An input of %u × %u does not match the branch below in branch %u"),
                           height, width, s + 1);
  return TRUE;
}

/* Branches from @first on; where that is not the lowest, "low" stands for what is below it. */
static gboolean
build_stages (DimrBuilder  *self,
              guint         first,
              DimrNodeId    x,
              DimrNodeId    y,
              guint         height,
              guint         width,
              GError      **error)
{
  g_autoptr (GArray) features = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));
  g_autoptr (GArray) skips = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));
  Collected low = { features, skips, 0, 0, 0 };

  for (guint s = first; s < self->config->n_stages; s++)
    {
      const DimrStageConfig *stage = &self->config->stages[s];
      DimrNodeId h;
      DimrShape map;

      if (!check_size (stage, &low, s, height, width, error))
        return FALSE;
      h = build_input_layer (self, stage, s, x);
      if (h == DIMR_NODE_NONE)
        return TRUE; /* the graph remembers why */
      map = *shape_of (self, h);
      self->map_height = (guint) map.dims[1];
      self->map_width = (guint) map.dims[2];
      if (self->config->norm_type == DIMR_NORM_ADALN_ZERO)
        self->condition = build_condition (self, stage, s, map.dims[0], y);
      if (s > 0)
        h = build_join (self, s, h, s > first ? build_upsample (self, stage, s, &low)
                                              : dimr_graph_add_input (self->graph, "low", DIMR_DTYPE_F32, map));
      if (stage->block_type == DIMR_BLOCK_TRANSFORMER)
        h = build_tokens (self, stage, s, h, y);
      else if (s == 0 && y != DIMR_NODE_NONE)
        h = build_class_map (self, stage, s, h, y);
      h = build_blocks (self, stage, s, h, map, &low);
      low.max_height = stage->max_height;
      low.height = map.dims[1];
      low.width = map.dims[2];
      build_head (self, stage, s, h);
    }
  return TRUE;
}

static gboolean
build (DimrGraph                *graph,
       const DimrConfig         *config,
       const DimrNetworkInputs  *inputs,
       GError                  **error)
{
  const DimrShape *x = &dimr_graph_peek_node (graph, inputs->x)->shape;
  DimrBuilder self = { graph, config, inputs->time, DIMR_NODE_NONE, 0, 0 };

  if (inputs->first_branch > 0 && config->branch_skips)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED,
                           _("Lower branches cannot be reused in this model, whose skips lead from them into every block"));
      return FALSE;
    }

  return build_stages (&self, inputs->first_branch, inputs->x, inputs->y, (guint) x->dims[2], (guint) x->dims[3], error);
}

static guint
get_n_branches (const DimrConfig *config)
{
  return config->n_stages;
}

static guint
get_n_channels (const DimrConfig *config)
{
  return config->channels;
}

static void
get_branch (const DimrConfig *config,
            guint             branch,
            DimrBranchInfo   *info)
{
  const DimrStageConfig *stage = &config->stages[branch];
  gboolean transformer = stage->block_type == DIMR_BLOCK_TRANSFORMER;

  *info = (DimrBranchInfo){
    .block = transformer ? "Transformer" : "ConvNeXt",
    .n_blocks = dimr_stage_config_get_n_blocks (stage),
    .width = stage->dim,
    .side = config->image_size / (stage->input_feature_ratio * stage->image_input_ratio),
    .n_heads = transformer ? stage->num_attention_heads : 0,
  };
}

const DimrArchitecture dimr_architecture_multires = {
  .name = "DiMR",
  .model = "MRModel",
  .marker = "stages.0.input_layer.1.weight",
  .time_input = "log_snr",
  .variants = dimr_multires_variants,
  .new_for_variant = dimr_multires_new_for_variant,
  .read = dimr_multires_read,
  .set_defaults = dimr_multires_set_defaults,
  .recognise = dimr_multires_recognise,
  .get_n_branches = get_n_branches,
  .get_n_channels = get_n_channels,
  .get_branch = get_branch,
  .build = build,
};
