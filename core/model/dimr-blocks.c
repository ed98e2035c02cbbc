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

/* The norm in front of a sub-block, under "@prefix.norm"; its form is the model's choice. */
static DimrNodeId
build_norm (DimrBuilder *self,
            const char  *prefix,
            DimrNodeId   x)
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
    default:
      g_assert_not_reached ();
    }
  dimr_graph_set_name (self->graph, y, "%s", full);
  return y;
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
  DimrNodeId h = build_norm (self, prefix, x), qkv, attention, y;

  qkv = dimr_build_linear (self, qkv_name, &h, 1, 3 * d, FALSE);
  dimr_graph_set_name (self->graph, qkv, "%s.qkv", prefix);
  attention = dimr_graph_add_op (self->graph, DIMR_OP_ATTENTION, ((DimrAttrs){ .n_heads = n_heads }), qkv);
  dimr_graph_set_name (self->graph, attention, "%s.attn", prefix);
  y = dimr_build_linear (self, dense_name, &attention, 1, d, TRUE);
  dimr_graph_set_name (self->graph, y, "%s.out", prefix);
  return dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x, y);
}

DimrNodeId
dimr_build_depthwise (DimrBuilder *self,
                      const char  *prefix,
                      DimrNodeId   x,
                      guint        kernel_size)
{
  g_autofree char *conv_name = g_strconcat (prefix, ".1", NULL);
  gint64 d = channels_of (self, x), k = kernel_size;
  DimrNodeId y = dimr_graph_add_op (self->graph, DIMR_OP_DEPTHWISE_CONV, NO_ATTRS, x,
                                    add_param (self, conv_name, "weight", DIMR_SHAPE (d, 1, k, k)),
                                    add_param (self, conv_name, "bias", DIMR_SHAPE (d)), DIMR_NODE_NONE);

  dimr_graph_set_name (self->graph, y, "%s.out", prefix);
  return dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x, y);
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
  DimrNodeId h = build_norm (self, prefix, x), a, b, gated, y;

  a = dimr_build_linear (self, w0, &h, 1, hidden_dim, TRUE);
  dimr_graph_set_name (self->graph, a, "%s", w0);
  b = dimr_build_linear (self, w1, &h, 1, hidden_dim, TRUE);
  dimr_graph_set_name (self->graph, b, "%s", w1);
  gated = dimr_graph_add_op (self->graph, DIMR_OP_GEGLU, NO_ATTRS, a, b);
  dimr_graph_set_name (self->graph, gated, "%s.gated", prefix);
  y = dimr_build_linear (self, w2, &gated, 1, (guint) channels_of (self, x), TRUE);
  dimr_graph_set_name (self->graph, y, "%s.out", prefix);
  return dimr_graph_add_op (self->graph, DIMR_OP_ADD, NO_ATTRS, x, y);
}
