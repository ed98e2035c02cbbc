/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-autoencoder-network.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

#define NO_ATTRS ((DimrAttrs){ 0 })
#define N_GROUPS 32
#define MAX_SIDE 16384 /* of a picture */

typedef struct
{
  DimrGraph *graph;
  const DimrAutoencoderConfig *config;
  DimrStatistics statistics;
  DimrRegion region; /* in the scale of the map that is worked on */
} Builder;

/* Features [B, H, W, D] on their way. */
typedef struct
{
  DimrNodeId node;
  gint64 batch, height, width, d;
} Map;

static DimrNodeId
add_param (Builder    *self,
           const char *prefix,
           const char *name,
           DimrShape   shape)
{
  g_autofree char *full = g_strconcat (prefix, ".", name, NULL);

  return dimr_graph_add_param (self->graph, full, shape);
}

/* Names what has no name yet. */
static void
name_tap (Builder    *self,
          DimrNodeId  node,
          const char *name)
{
  if (node != DIMR_NODE_NONE && dimr_graph_peek_node (self->graph, node)->name == NULL)
    dimr_graph_set_name (self->graph, node, "%s", name);
}

/* A square kernel. Stride 2 is the encoder's: its zeros lie below and on the right only. The tap of a convolution
 * that is all of a module, ".conv", has the module's name. */
static Map
build_conv (Builder    *self,
            const char *prefix,
            Map         x,
            gint64      n,
            gint64      kernel,
            guint       stride)
{
  const DimrAttrs attrs = {
    .stride = stride,
    .pad_before = stride == 1 ? (guint) kernel / 2 : 0,
    .pad_after = (guint) kernel / 2,
  };
  g_autofree char *tap = NULL;

  x.node = dimr_graph_add_op (self->graph, DIMR_OP_CONV2D, attrs, x.node,
                              add_param (self, prefix, "weight", DIMR_SHAPE (n, x.d, kernel, kernel)),
                              add_param (self, prefix, "bias", DIMR_SHAPE (n)), DIMR_NODE_NONE);
  if (g_str_has_suffix (prefix, ".conv"))
    tap = g_strndup (prefix, strlen (prefix) - strlen (".conv"));
  name_tap (self, x.node, tap != NULL ? tap : prefix);
  x.height /= stride;
  x.width /= stride;
  x.d = n;
  return x;
}

static Map
build_norm (Builder    *self,
            const char *prefix,
            Map         x,
            gboolean    silu)
{
  const DimrAttrs own = { .n_groups = N_GROUPS, .region = self->region };
  DimrNodeId stats = dimr_graph_add_op (self->graph, DIMR_OP_GROUP_STATS, own, x.node);

  if (stats != DIMR_NODE_NONE)
    dimr_graph_set_name (self->graph, stats, "found.%s", prefix);
  if (self->statistics == DIMR_STATISTICS_GIVEN)
    {
      g_autofree char *name = g_strconcat ("given.", prefix, NULL);

      stats = dimr_graph_add_input (self->graph, name, DIMR_DTYPE_F32, DIMR_SHAPE (1, N_GROUPS, 2));
    }
  x.node = dimr_graph_add_op (self->graph, DIMR_OP_GROUP_NORM, ((DimrAttrs){ .eps = 1e-6 }), x.node, stats,
                              add_param (self, prefix, "weight", DIMR_SHAPE (x.d)),
                              add_param (self, prefix, "bias", DIMR_SHAPE (x.d)));
  name_tap (self, x.node, prefix);
  if (silu)
    x.node = dimr_graph_add_op (self->graph, DIMR_OP_SILU, NO_ATTRS, x.node);
  return x;
}

static Map
build_block (Builder    *self,
             const char *prefix,
             Map         x,
             gint64      n)
{
  g_autofree char *norm1 = g_strconcat (prefix, ".norm1", NULL), *conv1 = g_strconcat (prefix, ".conv1", NULL);
  g_autofree char *norm2 = g_strconcat (prefix, ".norm2", NULL), *conv2 = g_strconcat (prefix, ".conv2", NULL);
  g_autofree char *shortcut = g_strconcat (prefix, ".nin_shortcut", NULL);
  Map h = build_conv (self, conv1, build_norm (self, norm1, x, TRUE), n, 3, 1);

  /* Before the second convolution, so that its input, the largest map of a level, is free by then. */
  if (x.d != n)
    x = build_conv (self, shortcut, x, n, 1, 1);
  h = build_conv (self, conv2, build_norm (self, norm2, h, TRUE), n, 3, 1);
  h.node = dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x.node, h.node);
  name_tap (self, h.node, prefix);
  return h;
}

/* A 1 × 1 convolution of tokens: [B, N, D] → [B, N, D]. */
static DimrNodeId
build_token_linear (Builder    *self,
                    const char *prefix,
                    const char *name,
                    DimrNodeId  x,
                    gint64      d)
{
  g_autofree char *full = g_strconcat (prefix, ".", name, NULL);
  DimrNodeId weight = add_param (self, full, "weight", DIMR_SHAPE (d, d, 1, 1));

  if (weight == DIMR_NODE_NONE)
    return DIMR_NODE_NONE;
  x = dimr_graph_add_op (self->graph, DIMR_OP_LINEAR, NO_ATTRS, dimr_graph_add_reshape (self->graph, weight, DIMR_SHAPE (d, d)),
                         add_param (self, full, "bias", DIMR_SHAPE (d)), DIMR_NODE_NONE, x);
  name_tap (self, x, full);
  return x;
}

static Map
build_attention (Builder    *self,
                 const char *prefix,
                 Map         x)
{
  g_autofree char *norm = g_strconcat (prefix, ".norm", NULL);
  const DimrShape map = DIMR_SHAPE (x.batch, x.height, x.width, x.d);
  DimrNodeId h = build_norm (self, norm, x, FALSE).node, q, k, v;

  if (h == DIMR_NODE_NONE)
    return x;
  h = dimr_graph_add_reshape (self->graph, h, DIMR_SHAPE (x.batch, x.height * x.width, x.d));
  q = build_token_linear (self, prefix, "q", h, x.d);
  k = build_token_linear (self, prefix, "k", h, x.d);
  v = build_token_linear (self, prefix, "v", h, x.d);
  h = dimr_graph_add_op (self->graph, DIMR_OP_CONCAT, NO_ATTRS, q, k, v);
  h = dimr_graph_add_op (self->graph, DIMR_OP_ATTENTION, ((DimrAttrs){ .n_heads = 1 }), h);
  h = build_token_linear (self, prefix, "proj_out", h, x.d);
  if (h == DIMR_NODE_NONE)
    return x;
  h = dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS,
                         dimr_graph_add_reshape (self->graph, x.node, DIMR_SHAPE (x.batch, x.height * x.width, x.d)), h);
  if (h != DIMR_NODE_NONE)
    x.node = dimr_graph_add_reshape (self->graph, h, map);
  name_tap (self, x.node, prefix);
  return x;
}

/* @network: "encoder" or "decoder". */
static Map
build_mid (Builder    *self,
           const char *network,
           Map         x)
{
  g_autofree char *block_1 = g_strconcat (network, ".mid.block_1", NULL);
  g_autofree char *attention = g_strconcat (network, ".mid.attn_1", NULL);
  g_autofree char *block_2 = g_strconcat (network, ".mid.block_2", NULL);

  x = build_block (self, block_1, x, x.d);
  x = build_attention (self, attention, x);
  return build_block (self, block_2, x, x.d);
}

/* The blocks of a level: "decoder.up.2.block.0", … */
static Map
build_level (Builder    *self,
             const char *network,
             guint       level,
             guint       n_blocks,
             Map         x)
{
  for (guint i = 0; i < n_blocks; i++)
    {
      g_autofree char *prefix = g_strdup_printf ("%s.%u.block.%u", network, level, i);

      x = build_block (self, prefix, x, self->config->channels[level]);
    }
  return x;
}

static Map
build_upsample (Builder *self,
                guint    level,
                Map      x)
{
  g_autofree char *prefix = g_strdup_printf ("decoder.up.%u.upsample.conv", level);

  x.node = dimr_graph_add_op (self->graph, DIMR_OP_UPSAMPLE_NEAREST, ((DimrAttrs){ .factor = 2 }), x.node);
  x.height *= 2;
  x.width *= 2;
  self->region = (DimrRegion){ 2 * self->region.top, 2 * self->region.left, 2 * self->region.height, 2 * self->region.width };
  return build_conv (self, prefix, x, x.d, 3, 1);
}

/* post_quant_conv up to the middle. */
static Map
build_decoder_start (Builder               *self,
                     const DimrDecoderPart *part)
{
  const DimrAutoencoderConfig *config = self->config;
  const gint64 c = config->latent_channels;
  Map x = { DIMR_NODE_NONE, part->batch, part->height, part->width, config->z_channels };
  DimrNodeId z = dimr_graph_add_input (self->graph, "z", DIMR_DTYPE_F32, DIMR_SHAPE (part->batch, c, part->height, part->width));

  /* Patches of one pixel: a 1 × 1 convolution that turns the picture into a map. */
  x.node = dimr_graph_add_op (self->graph, DIMR_OP_PATCHIFY, NO_ATTRS, z,
                              add_param (self, "post_quant_conv", "weight", DIMR_SHAPE (x.d, c, 1, 1)),
                              add_param (self, "post_quant_conv", "bias", DIMR_SHAPE (x.d)));
  name_tap (self, x.node, "post_quant_conv");
  x = build_conv (self, "decoder.conv_in", x, config->channels[config->n_levels - 1], 3, 1);
  return build_mid (self, "decoder", x);
}

static void
build_to_image (Builder    *self,
                const char *prefix,
                Map         x,
                gint64      channels,
                gint64      kernel)
{
  x.node = dimr_graph_add_op (self->graph, DIMR_OP_CONV_TO_IMAGE, NO_ATTRS, x.node,
                              add_param (self, prefix, "weight", DIMR_SHAPE (channels, x.d, kernel, kernel)),
                              add_param (self, prefix, "bias", DIMR_SHAPE (channels)));
  name_tap (self, x.node, prefix);
}

static gboolean
check_size (guint    height,
            guint    width,
            guint    multiple,
            guint    most,
            GError **error)
{
  if (height > 0 && width > 0 && height % multiple == 0 && width % multiple == 0 && height <= most && width <= most)
    return TRUE;
  if (multiple > 1)
    dimr_error_set (error, DIMR_ERROR_SHAPE,
                    _("A picture of %u × %u cannot be encoded: its sides must be multiples of %u and at most %u"), width, height, multiple, most);
  else
    dimr_error_set (error, DIMR_ERROR_SHAPE,
                    _("A latent of %u × %u cannot be decoded: its sides must be at most %u"), width, height, most);
  return FALSE;
}

DimrGraph *
dimr_autoencoder_build_decoder (const DimrAutoencoderConfig *config,
                                const DimrDecoderPart       *part,
                                GError                     **error)
{
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  Builder self = { graph, config, part->statistics, part->region };
  Map x;

  g_return_val_if_fail (config != NULL && config->decoder_blocks > 0 && part->batch > 0, NULL);
  g_return_val_if_fail (part->from <= config->n_levels && part->to <= config->n_levels && (part->from == 0 || part->to < part->from), NULL);

  if (!check_size (part->height, part->width, 1, MAX_SIDE >> (MIN (part->from > 0 ? part->from : config->n_levels, config->n_levels - 1)), error))
    return NULL;
  if (part->from == 0)
    x = build_decoder_start (&self, part);
  else
    {
      x = (Map){ DIMR_NODE_NONE, part->batch, part->height, part->width, config->channels[MIN (part->from, config->n_levels - 1)] };
      x.node = dimr_graph_add_input (graph, "cut", DIMR_DTYPE_F32, DIMR_SHAPE (x.batch, x.height, x.width, x.d));
    }

  for (guint level = part->from > 0 ? part->from : config->n_levels; level-- > part->to;)
    {
      if (level + 1 < config->n_levels)
        x = build_upsample (&self, level + 1, x);
      x = build_level (&self, "decoder.up", level, config->decoder_blocks, x);
    }
  if (part->to > 0)
    {
      x.node = x.node != DIMR_NODE_NONE
                 ? dimr_graph_add_reshape (graph, x.node, DIMR_SHAPE (x.batch, x.height, x.width, x.d)) : DIMR_NODE_NONE;
      name_tap (&self, x.node, "cut");
    }
  else
    build_to_image (&self, "decoder.conv_out", build_norm (&self, "decoder.norm_out", x, TRUE), config->image_channels, 3);
  return dimr_graph_finish (graph, error) ? g_steal_pointer (&graph) : NULL;
}

DimrGraph *
dimr_autoencoder_build_encoder (const DimrAutoencoderConfig *config,
                                guint                        batch,
                                guint                        height,
                                guint                        width,
                                GError                     **error)
{
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  Builder self = { graph, config, DIMR_STATISTICS_OWN, { 0 } };
  const gint64 c = config->image_channels;
  Map x = { DIMR_NODE_NONE, batch, height, width, c };

  g_return_val_if_fail (config != NULL && config->encoder_blocks > 0 && batch > 0, NULL);

  if (!check_size (height, width, dimr_autoencoder_get_factor (config), MAX_SIDE, error))
    return NULL;
  x.node = dimr_graph_add_op (graph, DIMR_OP_IMAGE_TO_MAP, NO_ATTRS,
                              dimr_graph_add_input (graph, "image", DIMR_DTYPE_F32, DIMR_SHAPE (batch, c, height, width)));
  x = build_conv (&self, "encoder.conv_in", x, config->channels[0], 3, 1);
  for (guint level = 0; level < config->n_levels; level++)
    {
      x = build_level (&self, "encoder.down", level, config->encoder_blocks, x);
      if (level + 1 < config->n_levels)
        {
          g_autofree char *prefix = g_strdup_printf ("encoder.down.%u.downsample.conv", level);

          x = build_conv (&self, prefix, x, x.d, 3, 2);
        }
    }
  x = build_norm (&self, "encoder.norm_out", build_mid (&self, "encoder", x), TRUE);
  x = build_conv (&self, "encoder.conv_out", x, 2 * (gint64) config->z_channels, 3, 1);
  build_to_image (&self, "quant_conv", x, 2 * (gint64) config->latent_channels, 1);
  return dimr_graph_finish (graph, error) ? g_steal_pointer (&graph) : NULL;
}

guint
dimr_autoencoder_get_factor (const DimrAutoencoderConfig *config)
{
  g_return_val_if_fail (config != NULL && config->n_levels > 0, 1);
  return 1u << (config->n_levels - 1);
}
