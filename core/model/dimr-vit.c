/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-vit.h"

#include "core/base/dimr-i18n.h"

#include <math.h>
#include <string.h>

#define NO_ATTRS ((DimrAttrs){ 0 })

static const DimrShape *
shape_of (DimrBuilder *self,
          DimrNodeId   x)
{
  return &dimr_graph_peek_node (self->graph, x)->shape;
}

static DimrNodeId
add_param (DimrBuilder *self,
           const char  *prefix,
           const char  *name,
           DimrShape    shape)
{
  g_autofree char *full = g_strconcat (prefix, ".", name, NULL);

  return dimr_graph_add_param (self->graph, full, shape);
}

DimrNodeId
dimr_vit_build_patches (DimrBuilder *self,
                        const char  *prefix,
                        DimrNodeId   x)
{
  const DimrConfig *config = self->config;
  gint64 d = config->vit.dim, c = config->channels, p = config->vit.patch_size;

  return dimr_graph_add_op (self->graph, DIMR_OP_PATCHIFY, NO_ATTRS, x,
                            add_param (self, prefix, "weight", DIMR_SHAPE (d, c, p, p)),
                            add_param (self, prefix, "bias", DIMR_SHAPE (d)));
}

DimrNodeId
dimr_vit_build_position (DimrBuilder *self,
                         DimrNodeId   x)
{
  const DimrShape shape = *shape_of (self, x);
  gboolean tokens = shape.n_dims == 3;
  gint64 rows = tokens ? 1 : shape.dims[1], columns = shape.dims[tokens ? 1 : 2], d = shape.dims[shape.n_dims - 1];
  DimrNodeId table = dimr_graph_add_param (self->graph, "pos_embed", DIMR_SHAPE (1, rows * columns, d));

  table = dimr_graph_add_reshape (self->graph, table, DIMR_SHAPE (rows * columns, d));
  x = dimr_graph_add_reshape (self->graph, x, DIMR_SHAPE (shape.dims[0], rows, columns, d));
  x = dimr_graph_add_op (self->graph, DIMR_OP_ADD_POSITION, ((DimrAttrs){ .width = (guint) columns }), x, table);
  return dimr_graph_add_reshape (self->graph, x, DIMR_SHAPE (shape.dims[0], rows * columns, d));
}

DimrNodeId
dimr_vit_build_time (DimrBuilder *self,
                     DimrNodeId   time,
                     guint        length,
                     const char  *mlp,
                     guint        hidden,
                     guint        n_out,
                     guint        batch)
{
  DimrNodeId t = dimr_graph_add_op (self->graph, DIMR_OP_TIMESTEP_EMBEDDING, ((DimrAttrs){ .length = length }), time);

  dimr_graph_set_name (self->graph, t, "timestep_embedding");
  if (mlp != NULL)
    {
      g_autofree char *first = g_strconcat (mlp, ".0", NULL);
      g_autofree char *second = g_strconcat (mlp, ".2", NULL);

      t = dimr_build_linear (self, first, &t, 1, hidden, TRUE);
      t = dimr_graph_add_op (self->graph, DIMR_OP_SILU, NO_ATTRS, t);
      t = dimr_build_linear (self, second, &t, 1, n_out, TRUE);
    }
  if (shape_of (self, t)->dims[0] == (gint64) batch)
    return t;
  return dimr_graph_add_op (self->graph, DIMR_OP_REPEAT, ((DimrAttrs){ .factor = batch }), t);
}

DimrNodeId
dimr_vit_build_norm (DimrBuilder *self,
                     const char  *prefix,
                     DimrNodeId   x,
                     double       eps)
{
  const gint64 d = self->config->vit.dim;
  DimrNodeId weight = dimr_graph_add_reshape (self->graph, add_param (self, prefix, "weight", DIMR_SHAPE (d)), DIMR_SHAPE (1, d));
  DimrNodeId bias = dimr_graph_add_reshape (self->graph, add_param (self, prefix, "bias", DIMR_SHAPE (d)), DIMR_SHAPE (1, d));

  return dimr_graph_add_op (self->graph, DIMR_OP_LAYER_NORM, ((DimrAttrs){ .eps = eps }), weight, bias, x);
}

DimrNodeId
dimr_vit_build_attention (DimrBuilder *self,
                          const char  *prefix,
                          DimrNodeId   h)
{
  const DimrVitConfig *vit = &self->config->vit;
  g_autofree char *qkv_name = g_strconcat (prefix, ".attn.qkv", NULL);
  g_autofree char *proj_name = g_strconcat (prefix, ".attn.proj", NULL);
  DimrNodeId qkv = dimr_build_linear (self, qkv_name, &h, 1, 3 * vit->dim, vit->qkv_bias), attention, y;

  dimr_graph_set_name (self->graph, qkv, "%s", qkv_name);
  attention = dimr_graph_add_op (self->graph, DIMR_OP_ATTENTION, ((DimrAttrs){ .n_heads = vit->num_heads }), qkv);
  dimr_graph_set_name (self->graph, attention, "%s.attn.heads", prefix);
  y = dimr_build_linear (self, proj_name, &attention, 1, vit->dim, TRUE);
  dimr_graph_set_name (self->graph, y, "%s.attn", prefix);
  return y;
}

DimrNodeId
dimr_vit_build_mlp (DimrBuilder *self,
                    const char  *prefix,
                    DimrNodeId   h,
                    DimrOp       gelu)
{
  const DimrVitConfig *vit = &self->config->vit;
  g_autofree char *fc1 = g_strconcat (prefix, ".mlp.fc1", NULL);
  g_autofree char *fc2 = g_strconcat (prefix, ".mlp.fc2", NULL);
  DimrNodeId y = dimr_build_linear (self, fc1, &h, 1, vit->hidden_dim, TRUE);

  y = dimr_graph_add_op (self->graph, gelu, NO_ATTRS, y);
  y = dimr_build_linear (self, fc2, &y, 1, vit->dim, TRUE);
  dimr_graph_set_name (self->graph, y, "%s.mlp", prefix);
  return y;
}

DimrNodeId
dimr_vit_build_unpatchify (DimrBuilder *self,
                           DimrNodeId   x)
{
  const DimrShape *shape = shape_of (self, x);
  gint64 side = self->config->image_size / self->config->vit.patch_size;

  x = dimr_graph_add_reshape (self->graph, x, DIMR_SHAPE (shape->dims[0], side, side, shape->dims[2]));
  return dimr_graph_add_op (self->graph, DIMR_OP_PIXEL_SHUFFLE, ((DimrAttrs){ .factor = self->config->vit.patch_size }), x);
}

void
dimr_vit_read (DimrReader *reader,
               JsonObject *object,
               DimrConfig *config,
               const char *width_name,
               const char *size_name,
               const char *channels_name)
{
  DimrVitConfig *vit = &config->vit;

  config->image_size = dimr_reader_get_count (reader, object, size_name, 0, DIMR_MAX_SIDE);
  config->channels = dimr_reader_get_count (reader, object, channels_name, 3, 64);
  vit->patch_size = dimr_reader_get_count (reader, object, "patch_size", 0, 64);
  vit->dim = dimr_reader_get_count (reader, object, width_name, 0, DIMR_MAX_DIM);
  vit->depth = dimr_reader_get_count (reader, object, "depth", 0, DIMR_MAX_BLOCKS);
  vit->num_heads = dimr_reader_get_count (reader, object, "num_heads", 0, DIMR_MAX_DIM);
  vit->hidden_dim = (guint) (vit->dim * dimr_reader_get_number (reader, object, "mlp_ratio", 4, 0.01, 64));

  if (vit->dim % vit->num_heads != 0)
    dimr_reader_fail (reader, DIMR_ERROR_MODEL, _("\"%s\" %u is not a multiple of \"num_heads\" %u"), width_name, vit->dim,
                      vit->num_heads);
  if (vit->dim % 2 != 0 || vit->hidden_dim == 0)
    dimr_reader_fail (reader, DIMR_ERROR_MODEL, _("\"%s\" %u is odd, or \"mlp_ratio\" leaves nothing of it"), width_name, vit->dim);
  if (config->image_size % vit->patch_size != 0)
    dimr_reader_fail (reader, DIMR_ERROR_MODEL, _("\"%s\" %u is not a multiple of \"patch_size\" %u"), size_name,
                      config->image_size, vit->patch_size);
}

static const DimrShape *
find_shape (DimrWeights *weights,
            const char  *name,
            guint        n_dims)
{
  DimrTensor *tensor = dimr_weights_peek (weights, name);
  const DimrShape *shape = tensor != NULL ? dimr_tensor_peek_shape (tensor) : NULL;

  if (shape == NULL || shape->n_dims != n_dims)
    return NULL;
  for (guint i = 0; i < n_dims; i++)
    if (shape->dims[i] < 1 || shape->dims[i] > DIMR_MAX_CLASSES)
      return NULL;
  return shape;
}

gboolean
dimr_vit_measure (DimrConfig  *config,
                  DimrWeights *weights,
                  const char  *patches,
                  const char  *block,
                  guint        n_extra_tokens)
{
  g_autofree char *fc1 = g_strconcat (block, ".mlp.fc1.weight", NULL);
  g_autofree char *qkv_bias = g_strconcat (block, ".attn.qkv.bias", NULL);
  const DimrShape *patch = find_shape (weights, patches, 4), *position = find_shape (weights, "pos_embed", 3);
  const DimrShape *mlp = find_shape (weights, fc1, 2);
  guint side;

  if (patch == NULL || position == NULL || mlp == NULL || position->dims[1] <= (gint64) n_extra_tokens ||
      patch->dims[0] > DIMR_MAX_DIM || patch->dims[1] > 64 || patch->dims[2] > 64)
    return FALSE;
  side = (guint) lround (sqrt ((double) (position->dims[1] - n_extra_tokens)));
  config->channels = (guint) patch->dims[1];
  config->vit.patch_size = (guint) patch->dims[2];
  config->vit.dim = (guint) patch->dims[0];
  config->vit.hidden_dim = (guint) mlp->dims[0];
  config->vit.qkv_bias = dimr_weights_peek (weights, qkv_bias) != NULL;
  config->image_size = side * config->vit.patch_size;
  return (gint64) side * side == position->dims[1] - n_extra_tokens && config->image_size <= DIMR_MAX_SIDE;
}

guint
dimr_vit_count_blocks (DimrWeights *weights,
                       const char  *prefix)
{
  for (guint i = 0; i < DIMR_MAX_BLOCKS; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s.%u.attn.qkv.weight", prefix, i);

      if (dimr_weights_peek (weights, name) == NULL)
        return i;
    }
  return DIMR_MAX_BLOCKS;
}

/* Of the published models of that width; 0 where there is none. */
static guint
guess_heads (guint width)
{
  static const guint published[][2] = { { 384, 6 }, { 512, 8 }, { 768, 12 }, { 1024, 16 }, { 1152, 16 } };

  for (guint i = 0; i < G_N_ELEMENTS (published); i++)
    if (published[i][0] == width)
      return published[i][1];
  return 0;
}

/* The published model of that size, or NULL. */
static const char *
find_variant (const DimrConfig *config)
{
  const DimrArchitecture *architecture = config->architecture;

  for (guint i = 0; architecture->variants[i] != NULL; i++)
    {
      g_autoptr (DimrConfig) variant = architecture->new_for_variant (i);

      if (memcmp (&variant->vit, &config->vit, sizeof config->vit) == 0 && variant->image_size == config->image_size &&
          variant->channels == config->channels && variant->num_classes == config->num_classes)
        return architecture->variants[i];
    }
  return NULL;
}

gboolean
dimr_vit_settle (DimrConfig  *config,
                 const char  *path,
                 GError     **error)
{
  DimrVitConfig *vit = &config->vit;

  vit->num_heads = guess_heads (vit->dim);
  if (vit->num_heads == 0)
    {
      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("%s: these are weights of a %s %u wide, which is none of the published ones, and its number of "
                        "attention heads cannot be told from the weights: put its config.json into the same folder"), path,
                      config->architecture->name, vit->dim);
      return FALSE;
    }
  config->title = g_strdup (find_variant (config));
  return TRUE;
}

void
dimr_vit_describe_branch (const DimrConfig *config,
                          guint             depth,
                          DimrBranchInfo   *info)
{
  const DimrVitConfig *vit = &config->vit;

  *info = (DimrBranchInfo){ "Transformer", depth, vit->dim, config->image_size / vit->patch_size, vit->num_heads };
}

gboolean
dimr_vit_check_size (const DimrConfig  *config,
                     const DimrShape   *x,
                     GError           **error)
{
  if (x->dims[2] == (gint64) config->image_size && x->dims[3] == (gint64) config->image_size)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_SHAPE,
                  _("An input of %" PRId64 " × %" PRId64 " does not fit this model, whose positions are those of %u × %u"),
                  x->dims[2], x->dims[3], config->image_size, config->image_size);
  return FALSE;
}

guint
dimr_vit_get_n_branches (const DimrConfig *config)
{
  return 1;
}

guint
dimr_vit_get_n_channels (const DimrConfig *config)
{
  return (config->vit.learn_sigma ? 2 : 1) * config->channels;
}
