/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-blocks.h"

#define NO_ATTRS ((DimrAttrs){ 0 })

static gint64
channels_of (DimrBuilder *self,
             DimrNodeId   x)
{
  const DimrShape *shape = &dimr_graph_peek_node (self->graph, x)->shape;

  return shape->dims[shape->n_dims - 1];
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

/* p(t) [T, D] of the time-dependent vector "@prefix.@name". */
static DimrNodeId
add_time_param (DimrBuilder *self,
                const char  *prefix,
                const char  *name,
                gint64       d)
{
  g_autofree char *full = g_strconcat (prefix, ".", name, NULL);
  DimrNodeId p = dimr_graph_add_op (self->graph, DIMR_OP_TIME_PARAM, NO_ATTRS, self->log_snr,
                                    add_param (self, full, "param0", DIMR_SHAPE (d)),
                                    add_param (self, full, "param1", DIMR_SHAPE (d)),
                                    add_param (self, full, "nodecay_weight", DIMR_SHAPE (d)),
                                    add_param (self, full, "nodecay_bias", DIMR_SHAPE (d)));

  dimr_graph_set_name (self->graph, p, "td.%s", full);
  return p;
}

DimrNodeId
dimr_build_linear (DimrBuilder      *self,
                   const char       *prefix,
                   const DimrNodeId *x,
                   guint             n_x,
                   guint             n_out,
                   gboolean          bias)
{
  g_autofree DimrNodeId *inputs = g_new (DimrNodeId, n_x + 3);
  gint64 k = 0;

  for (guint i = 0; i < n_x; i++)
    {
      inputs[3 + i] = x[i];
      k += channels_of (self, x[i]);
    }
  inputs[0] = add_param (self, prefix, "weight", DIMR_SHAPE (n_out, k));
  inputs[1] = bias ? add_param (self, prefix, "bias", DIMR_SHAPE (n_out)) : DIMR_NODE_NONE;
  inputs[2] = DIMR_NODE_NONE;
  return dimr_graph_add (self->graph, DIMR_OP_LINEAR, NO_ATTRS, inputs, n_x + 3);
}

DimrNodeId
dimr_build_layer_norm (DimrBuilder      *self,
                       const char       *prefix,
                       const DimrNodeId *x,
                       guint             n_x)
{
  g_autofree DimrNodeId *inputs = g_new (DimrNodeId, n_x + 2);
  gint64 d = 0;

  for (guint i = 0; i < n_x; i++)
    {
      inputs[2 + i] = x[i];
      d += channels_of (self, x[i]);
    }
  inputs[0] = add_time_param (self, prefix, "weight", d);
  inputs[1] = add_time_param (self, prefix, "bias", d);
  return dimr_graph_add (self->graph, DIMR_OP_LAYER_NORM, ((DimrAttrs){ .eps = 1e-5 }), inputs, n_x + 2);
}

/* What time and class do to a sub-block in AdaLN-Zero, each [B, D]; NONE in the other forms. */
typedef struct
{
  DimrNodeId shift;
  DimrNodeId scale;
  DimrNodeId gate;
} Modulation;

/* Under "@prefix.modulation"; @gate_only: a sub-block without a norm. */
static Modulation
build_modulation (DimrBuilder *self,
                  const char  *prefix,
                  guint        d,
                  gboolean     gate_only)
{
  static const char * const names[] = { "gate", "shift", "scale" };
  g_autofree char *linear = g_strconcat (prefix, ".modulation", NULL);
  guint n = gate_only ? 1 : 3;
  DimrNodeId parts[3] = { DIMR_NODE_NONE, DIMR_NODE_NONE, DIMR_NODE_NONE }, all;

  if (self->config->norm_type == DIMR_NORM_ADALN_ZERO)
    {
      all = dimr_build_linear (self, linear, &self->condition, 1, n * d, TRUE);
      for (guint i = 0; i < n; i++)
        {
          parts[i] = dimr_graph_add_op (self->graph, DIMR_OP_SLICE_CHANNELS, ((DimrAttrs){ .start = i * d, .length = d }), all);
          dimr_graph_set_name (self->graph, parts[i], "ada.%s.%s", prefix, names[i]);
        }
    }
  return (Modulation){ .gate = parts[0], .shift = parts[1], .scale = parts[2] };
}

/* x + y, or x + gate · y */
static DimrNodeId
add_residual (DimrBuilder      *self,
              DimrNodeId        x,
              DimrNodeId        y,
              const Modulation *modulation)
{
  if (modulation->gate == DIMR_NODE_NONE)
    return dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x, y);
  return dimr_graph_add_op (self->graph, DIMR_OP_GATED_ADD, NO_ATTRS, x, modulation->gate, y);
}

/* RMS norm whose scale is 1 + a linear of the first token, or column by column of the map's first row. */
static DimrNodeId
build_ada_rms_norm (DimrBuilder *self,
                    const char  *full,
                    DimrNodeId   x)
{
  g_autofree char *linear = g_strconcat (full, ".linear", NULL);
  const DimrShape shape = dimr_graph_peek_node (self->graph, x)->shape;
  gint64 d = channels_of (self, x), n = dimr_shape_n_elements (&shape) / (guint64) (shape.dims[0] * d);
  guint length = shape.n_dims == 4 ? (guint) shape.dims[2] : 1;
  DimrNodeId first = dimr_graph_add_reshape (self->graph, x, DIMR_SHAPE (shape.dims[0], n, d)), scale;

  first = dimr_graph_add_op (self->graph, DIMR_OP_SLICE_TOKENS, ((DimrAttrs){ .length = length }), first);
  scale = dimr_build_linear (self, linear, &first, 1, (guint) d, FALSE);
  return dimr_graph_add_op (self->graph, DIMR_OP_ADA_RMS_NORM, ((DimrAttrs){ .eps = 1e-6 }), x, scale);
}

/* The norm in front of a sub-block, under "@prefix.norm"; its form is the model's choice. */
static DimrNodeId
build_norm (DimrBuilder      *self,
            const char       *prefix,
            DimrNodeId        x,
            const Modulation *modulation)
{
  g_autofree char *full = g_strconcat (prefix, ".norm", NULL);
  const DimrAttrs eps = { .eps = 1e-8 }; /* added to the root, not inside it */
  gint64 d = channels_of (self, x);
  DimrNodeId y = DIMR_NODE_NONE, scale;

  switch (self->config->norm_type)
    {
    case DIMR_NORM_LN:
      y = dimr_build_layer_norm (self, full, &x, 1);
      break;
    case DIMR_NORM_TDRMSN:
      scale = add_time_param (self, full, "scale", d);
      y = dimr_graph_add_op (self->graph, DIMR_OP_RMS_NORM, eps, x, scale);
      break;
    case DIMR_NORM_RMSN:
      scale = dimr_graph_add_reshape (self->graph, add_param (self, full, "scale", DIMR_SHAPE (d)), DIMR_SHAPE (1, d));
      y = dimr_graph_add_op (self->graph, DIMR_OP_RMS_NORM, eps, x, scale);
      break;
    case DIMR_NORM_ADARMSN:
      y = build_ada_rms_norm (self, full, x);
      break;
    case DIMR_NORM_ADALN_ZERO:
      y = dimr_graph_add_op (self->graph, DIMR_OP_LAYER_NORM, ((DimrAttrs){ .eps = 1e-6 }), DIMR_NODE_NONE, DIMR_NODE_NONE, x);
      y = dimr_graph_add_op (self->graph, DIMR_OP_MODULATE, NO_ATTRS, y, modulation->shift, modulation->scale);
      break;
    default:
      g_assert_not_reached ();
    }
  dimr_graph_set_name (self->graph, y, "%s", full);
  return y;
}

/* Queries and keys normed and turned by their place on the map; tokens in front of it are not turned. */
static DimrNodeId
build_axial_rope (DimrBuilder *self,
                  const char  *prefix,
                  DimrNodeId   qkv,
                  guint        n_heads)
{
  const DimrShape *shape = &dimr_graph_peek_node (self->graph, qkv)->shape;
  const DimrShape table = DIMR_SHAPE (n_heads, shape->dims[2] / 3 / n_heads / 4);
  const DimrAttrs attrs = { .n_heads = n_heads, .width = self->map_width, .eps = 1e-6,
                            .start = (guint) shape->dims[1] - self->map_height * self->map_width };

  return dimr_graph_add_op (self->graph, DIMR_OP_AXIAL_ROPE, attrs, qkv, add_param (self, prefix, "pos_emb.freqs_h", table),
                            add_param (self, prefix, "pos_emb.freqs_w", table),
                            add_param (self, prefix, "qk_norm.scale", DIMR_SHAPE (n_heads)));
}

DimrNodeId
dimr_build_attention (DimrBuilder *self,
                      const char  *prefix,
                      DimrNodeId   x,
                      guint        n_heads)
{
  g_autofree char *qkv_name = g_strconcat (prefix, ".query_key_value", NULL);
  g_autofree char *dense_name = g_strconcat (prefix, ".dense", NULL);
  guint d = (guint) channels_of (self, x);
  Modulation modulation = build_modulation (self, prefix, d, FALSE);
  DimrNodeId h = build_norm (self, prefix, x, &modulation), qkv, attention, y;

  qkv = dimr_build_linear (self, qkv_name, &h, 1, 3 * d, FALSE);
  dimr_graph_set_name (self->graph, qkv, "%s.qkv", prefix);
  if (self->config->position_type == DIMR_POSITION_AXIAL_ROPE)
    qkv = build_axial_rope (self, prefix, qkv, n_heads);
  attention = dimr_graph_add_op (self->graph, DIMR_OP_ATTENTION, ((DimrAttrs){ .n_heads = n_heads }), qkv);
  dimr_graph_set_name (self->graph, attention, "%s.attn", prefix);
  y = dimr_build_linear (self, dense_name, &attention, 1, d, TRUE);
  dimr_graph_set_name (self->graph, y, "%s.out", prefix);
  return add_residual (self, x, y, &modulation);
}

DimrNodeId
dimr_build_depthwise (DimrBuilder *self,
                      const char  *prefix,
                      DimrNodeId   x,
                      guint        kernel_size)
{
  g_autofree char *conv_name = g_strconcat (prefix, ".1", NULL);
  gint64 d = channels_of (self, x), k = kernel_size;
  Modulation modulation = build_modulation (self, prefix, (guint) d, TRUE);
  DimrNodeId y = dimr_graph_add_op (self->graph, DIMR_OP_DEPTHWISE_CONV, NO_ATTRS, x,
                                    add_param (self, conv_name, "weight", DIMR_SHAPE (d, 1, k, k)),
                                    add_param (self, conv_name, "bias", DIMR_SHAPE (d)), DIMR_NODE_NONE);

  dimr_graph_set_name (self->graph, y, "%s.out", prefix);
  return add_residual (self, x, y, &modulation);
}

DimrNodeId
dimr_build_mlp (DimrBuilder *self,
                const char  *prefix,
                DimrNodeId   x,
                guint        hidden_dim)
{
  g_autofree char *w0 = g_strconcat (prefix, ".w0", NULL);
  g_autofree char *w1 = g_strconcat (prefix, ".w1", NULL);
  g_autofree char *w2 = g_strconcat (prefix, ".w2", NULL);
  Modulation modulation = build_modulation (self, prefix, (guint) channels_of (self, x), FALSE);
  DimrNodeId h = build_norm (self, prefix, x, &modulation), a, b, gated, y;

  a = dimr_build_linear (self, w0, &h, 1, hidden_dim, TRUE);
  dimr_graph_set_name (self->graph, a, "%s", w0);
  if (self->config->mlp_type == DIMR_MLP_GEGLU)
    {
      b = dimr_build_linear (self, w1, &h, 1, hidden_dim, TRUE);
      dimr_graph_set_name (self->graph, b, "%s", w1);
      gated = dimr_graph_add_op (self->graph, DIMR_OP_GEGLU, NO_ATTRS, a, b);
    }
  else
    gated = dimr_graph_add_op (self->graph, DIMR_OP_GELU, NO_ATTRS, a);
  dimr_graph_set_name (self->graph, gated, "%s.gated", prefix);
  y = dimr_build_linear (self, w2, &gated, 1, (guint) channels_of (self, x), TRUE);
  dimr_graph_set_name (self->graph, y, "%s.out", prefix);
  return add_residual (self, x, y, &modulation);
}
