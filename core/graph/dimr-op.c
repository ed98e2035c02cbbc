/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-op-private.h"

INFER (leaf)
{
  g_assert_not_reached ();
}

INFER (slice_tokens)
{
  EXPECT (in[0]->n_dims == 3, "[B, N, D]");
  EXPECT (attrs->length > 0 && (gint64) attrs->start + attrs->length <= in[0]->dims[1], "a range of the tokens");
  *out = *in[0];
  out->dims[1] = attrs->length;
  return TRUE;
}

INFER (concat)
{
  gint64 channels = list_channels (in, 0, n);

  EXPECT (channels > 0, "tensors that differ in their channels only");
  *out = *in[0];
  LAST (out) = channels;
  return TRUE;
}

INFER (same)
{
  EXPECT (dimr_shape_equal (in[0], in[1]), "two equal shapes");
  *out = *in[0];
  return TRUE;
}

INFER (average_pool)
{
  gint64 f = attrs->factor;

  EXPECT (in[0]->n_dims == 4 && f > 0, "[B, C, H, W]");
  EXPECT (in[0]->dims[2] % f == 0 && in[0]->dims[3] % f == 0, "H and W that the factor divides");
  *out = DIMR_SHAPE (in[0]->dims[0], in[0]->dims[1], in[0]->dims[2] / f, in[0]->dims[3] / f);
  return TRUE;
}

INFER (patchify)
{
  const DimrShape *x = in[0], *w = in[1];
  gint64 k;

  EXPECT (x->n_dims == 4, "a picture [B, C, H, W]");
  EXPECT (is (w, 4, -1, x->dims[1], -1, -1) && w->dims[2] == w->dims[3] && w->dims[2] > 0, "a weight [D, C, k, k]");
  k = w->dims[2];
  EXPECT (in[2] == NULL || is_vector (in[2], w->dims[0]), "a bias [D]");
  EXPECT (x->dims[2] % k == 0 && x->dims[3] % k == 0, "H and W that the patch size divides");
  *out = DIMR_SHAPE (x->dims[0], x->dims[2] / k, x->dims[3] / k, w->dims[0]);
  return TRUE;
}

MACS (patchify)
{
  return dimr_shape_n_elements (out) * in[1]->dims[1] * in[1]->dims[2] * in[1]->dims[3];
}

INFER (add_position)
{
  const DimrShape *x = in[0], *table = in[1];

  EXPECT (x->n_dims == 4, "[B, H, W, D]");
  EXPECT (table->n_dims == 2 && table->dims[1] == LAST (x), "a table [rows, D]");
  EXPECT (x->dims[2] <= (gint64) attrs->width && x->dims[1] * (gint64) attrs->width <= table->dims[0] +
          (gint64) attrs->width - x->dims[2], "a map no larger than the table's grid");
  *out = *x;
  return TRUE;
}

INFER (embedding)
{
  EXPECT (in[0]->n_dims == 2 && in[1]->n_dims == 1, "a table [K, D] and indices [B]");
  *out = DIMR_SHAPE (in[1]->dims[0], in[0]->dims[1]);
  return TRUE;
}

INFER (prepend_token)
{
  const DimrShape *x = in[0];

  EXPECT (x->n_dims == 3, "[B, N, D]");
  EXPECT (is (in[1], 2, x->dims[0], x->dims[2], 0, 0), "a token [B, D]");
  *out = DIMR_SHAPE (x->dims[0], x->dims[1] + 1, x->dims[2]);
  return TRUE;
}

INFER (time_param)
{
  gint64 d = in[1]->n_dims == 1 ? in[1]->dims[0] : -2;

  EXPECT (in[0]->n_dims == 1, "log_snr [T]");
  EXPECT (is_vector (in[1], d) && is_vector (in[2], d) && is_vector (in[3], d) && is_vector (in[4], d),
          "four parameters [D]");
  *out = DIMR_SHAPE (in[0]->dims[0], d);
  return TRUE;
}

INFER (rms_norm)
{
  EXPECT (in[0]->n_dims >= 2, "[…, D]");
  EXPECT (is_per_time (in[1], in[0], LAST (in[0])), "a scale [T, D]");
  *out = *in[0];
  return TRUE;
}

INFER (layer_norm)
{
  gint64 channels = list_channels (in, 2, n);

  EXPECT (channels > 0, "tensors that differ in their channels only");
  EXPECT ((in[0] == NULL) == (in[1] == NULL), "weight and bias, or neither");
  EXPECT (in[0] == NULL || (is_per_time (in[0], in[2], channels) && is_per_time (in[1], in[2], channels)),
          "weight and bias [T, ΣD]");
  *out = *in[2];
  LAST (out) = channels;
  return TRUE;
}

INFER (linear)
{
  gint64 channels = list_channels (in, 3, n);

  EXPECT (in[0]->n_dims == 2 && in[0]->dims[1] == channels, "a weight [N, K] with K the channels of the inputs");
  EXPECT (in[1] == NULL || is_vector (in[1], in[0]->dims[0]), "a bias [N]");
  *out = *in[3];
  LAST (out) = in[0]->dims[0];
  EXPECT (in[2] == NULL || dimr_shape_equal (in[2], out), "a residual of the output's shape");
  return TRUE;
}

MACS (linear)
{
  return dimr_shape_n_elements (out) * in[0]->dims[1];
}

INFER (attention)
{
  const DimrShape *x = in[0];

  EXPECT (x->n_dims == 3 && attrs->n_heads > 0 && x->dims[2] % (3 * (gint64) attrs->n_heads) == 0,
          "[B, N, 3·D] with D a multiple of the number of heads");
  *out = DIMR_SHAPE (x->dims[0], x->dims[1], x->dims[2] / 3);
  return TRUE;
}

MACS (attention)
{
  return 2 * dimr_shape_n_elements (out) * in[0]->dims[1];
}

INFER (linear_geglu)
{
  const DimrShape *w0 = in[0], *x = in[4];

  EXPECT (x->n_dims >= 2 && w0->n_dims == 2 && w0->dims[1] == LAST (x) && dimr_shape_equal (w0, in[2]),
          "two weights [N, K]");
  EXPECT (is_vector (in[1], w0->dims[0]) && is_vector (in[3], w0->dims[0]), "two biases [N]");
  *out = *x;
  LAST (out) = w0->dims[0];
  return TRUE;
}

MACS (linear_geglu)
{
  return 2 * dimr_shape_n_elements (out) * in[0]->dims[1];
}

INFER (depthwise_conv)
{
  const DimrShape *x = in[0], *w = in[1];

  EXPECT (x->n_dims == 4, "[B, H, W, D]");
  EXPECT (is (w, 4, LAST (x), 1, -1, -1) && w->dims[2] == w->dims[3] && w->dims[2] % 2 == 1,
          "a weight [D, 1, k, k] with odd k");
  EXPECT (in[2] == NULL || is_vector (in[2], LAST (x)), "a bias [D]");
  EXPECT (in[3] == NULL || dimr_shape_equal (in[3], x), "a residual of the input's shape");
  *out = *x;
  return TRUE;
}

MACS (depthwise_conv)
{
  return dimr_shape_n_elements (out) * in[1]->dims[2] * in[1]->dims[3];
}

INFER (pixel_shuffle)
{
  const DimrShape *x = in[0];
  gint64 f = attrs->factor;

  EXPECT (x->n_dims == 4 && f > 0 && LAST (x) % (f * f) == 0, "[B, H, W, f·f·D]");
  *out = DIMR_SHAPE (x->dims[0], x->dims[1] * f, x->dims[2] * f, LAST (x) / (f * f));
  return TRUE;
}

INFER (conv_to_image)
{
  const DimrShape *x = in[0], *w = in[1];

  EXPECT (x->n_dims == 4, "[B, H, W, D]");
  EXPECT (is (w, 4, -1, LAST (x), -1, -1) && w->dims[2] == w->dims[3] && w->dims[2] % 2 == 1,
          "a weight [C, D, k, k] with odd k");
  EXPECT (in[2] == NULL || is_vector (in[2], w->dims[0]), "a bias [C]");
  *out = DIMR_SHAPE (x->dims[0], w->dims[0], x->dims[1], x->dims[2]);
  return TRUE;
}

MACS (conv_to_image)
{
  return dimr_shape_n_elements (out) * in[1]->dims[1] * in[1]->dims[2] * in[1]->dims[3];
}

INFER (to_image)
{
  const DimrShape *x = in[0];

  EXPECT (x->n_dims == 4, "[B, H, W, C]");
  *out = DIMR_SHAPE (x->dims[0], x->dims[3], x->dims[1], x->dims[2]);
  return TRUE;
}

INFER (slice_channels)
{
  EXPECT (in[0]->n_dims >= 1, "[…, D]");
  EXPECT (attrs->length > 0 && (gint64) attrs->start + attrs->length <= LAST (in[0]), "a range of the channels");
  *out = *in[0];
  LAST (out) = attrs->length;
  return TRUE;
}

INFER (repeat)
{
  EXPECT (in[0]->n_dims >= 1 && in[0]->dims[0] == 1 && attrs->factor > 0, "[1, …]");
  *out = *in[0];
  out->dims[0] = attrs->factor;
  return TRUE;
}

INFER (timestep_embedding)
{
  EXPECT (in[0]->n_dims == 1, "t [T]");
  EXPECT (attrs->length > 0 && attrs->length % 2 == 0, "an even number of channels");
  *out = DIMR_SHAPE (in[0]->dims[0], attrs->length);
  return TRUE;
}

INFER (unary)
{
  *out = *in[0];
  return TRUE;
}

INFER (modulate)
{
  EXPECT (in[0]->n_dims >= 2, "[B, …, D]");
  EXPECT (is_per_time (in[1], in[0], LAST (in[0])) && (in[2] == NULL || dimr_shape_equal (in[1], in[2])),
          "shift and scale [T, D]");
  *out = *in[0];
  return TRUE;
}

INFER (ada_rms_norm)
{
  const DimrShape *x = in[0];

  EXPECT (x->n_dims >= 3, "[B, …, D]");
  EXPECT (is (in[1], 3, x->dims[0], -1, LAST (x), 0) && in[1]->dims[1] > 0 &&
          dimr_shape_n_elements (x) % (guint64) (x->dims[0] * in[1]->dims[1] * LAST (x)) == 0,
          "a scale [B, M, D], M dividing the rows of an image");
  *out = *x;
  return TRUE;
}

INFER (axial_rope)
{
  const DimrShape *x = in[0];
  gint64 heads = attrs->n_heads, tokens, width = attrs->width;

  EXPECT (x->n_dims == 3 && heads > 0 && x->dims[2] % (3 * heads) == 0,
          "[B, N, 3·D] with D a multiple of the number of heads");
  EXPECT (is (in[1], 2, heads, -1, 0, 0) && dimr_shape_equal (in[1], in[2]) && is_vector (in[3], heads) &&
          4 * in[1]->dims[1] <= x->dims[2] / 3 / heads,
          "frequencies [NH, F] with 4·F at most the width of a head, and a scale [NH]");
  tokens = x->dims[1] - attrs->start;
  EXPECT (width > 0 && tokens > 0 && tokens % width == 0, "tokens of whole rows of the map");
  *out = *x;
  return TRUE;
}

INFER (gated_add)
{
  EXPECT (in[2]->n_dims >= 2, "[B, …, D]");
  EXPECT (is_per_time (in[1], in[2], LAST (in[2])), "a gate [T, D]");
  EXPECT (in[0] == NULL || dimr_shape_equal (in[0], in[2]), "two equal shapes");
  *out = *in[2];
  return TRUE;
}

INFER (image_to_map)
{
  EXPECT (in[0]->n_dims == 4, "a picture [B, C, H, W]");
  *out = DIMR_SHAPE (in[0]->dims[0], in[0]->dims[2], in[0]->dims[3], in[0]->dims[1]);
  return TRUE;
}

INFER (upsample_nearest)
{
  EXPECT (in[0]->n_dims == 4 && attrs->factor > 0, "[B, H, W, D]");
  *out = *in[0];
  out->dims[1] *= attrs->factor;
  out->dims[2] *= attrs->factor;
  return TRUE;
}

INFER (group_stats)
{
  const DimrShape *x = in[0];
  const DimrRegion *region = &attrs->region;

  EXPECT (x->n_dims == 4 && attrs->n_groups > 0 && x->dims[3] % attrs->n_groups == 0,
          "[B, H, W, D] with D a multiple of the number of groups");
  EXPECT ((region->height > 0) == (region->width > 0) && (gint64) region->top + region->height <= x->dims[1] &&
          (gint64) region->left + region->width <= x->dims[2], "a region inside the map");
  *out = DIMR_SHAPE (x->dims[0], attrs->n_groups, 2);
  return TRUE;
}

/* Statistics of groups of the channels of @x. */
static gboolean
is_group_stats (const DimrShape *shape, const DimrShape *x)
{
  return shape->n_dims == 3 && shape->dims[2] == 2 && (shape->dims[0] == 1 || shape->dims[0] == x->dims[0]) &&
         LAST (x) % shape->dims[1] == 0;
}

INFER (group_norm)
{
  EXPECT (in[0]->n_dims == 4, "[B, H, W, D]");
  EXPECT (is_group_stats (in[1], in[0]), "statistics [B, groups, 2] with a number of groups that divides D");
  EXPECT (is_vector (in[2], LAST (in[0])) && is_vector (in[3], LAST (in[0])), "weight and bias [D]");
  *out = *in[0];
  return TRUE;
}

INFER (conv2d)
{
  const DimrShape *x = in[0], *w = in[1];
  gint64 factor = MAX (attrs->factor, 1), height, width, k;

  EXPECT (x->n_dims == 4 && attrs->stride > 0, "[B, H, W, D]");
  EXPECT (is (w, 4, -1, LAST (x), -1, -1) && w->dims[2] == w->dims[3] && w->dims[2] > 0, "a weight [N, D, k, k]");
  EXPECT (in[2] == NULL || is_vector (in[2], w->dims[0]), "a bias [N]");
  k = w->dims[2];
  height = x->dims[1] * factor + attrs->pad_before + attrs->pad_after - k;
  width = x->dims[2] * factor + attrs->pad_before + attrs->pad_after - k;
  EXPECT (height >= 0 && width >= 0, "a map no smaller than the kernel");
  *out = DIMR_SHAPE (x->dims[0], height / attrs->stride + 1, width / attrs->stride + 1, w->dims[0]);
  EXPECT (in[3] == NULL || dimr_shape_equal (in[3], out), "a residual of the output's shape");
  EXPECT (n == 4 || n == 7, "all of a norm or nothing of it");
  EXPECT (n == 4 || (is_group_stats (in[4], x) && is_vector (in[5], LAST (x)) && is_vector (in[6], LAST (x))),
          "statistics [B, groups, 2], weight and bias [D] of a norm");
  return TRUE;
}

MACS (conv2d)
{
  return dimr_shape_n_elements (out) * in[1]->dims[1] * in[1]->dims[2] * in[1]->dims[3];
}

/* A depthwise convolution reads its neighbours, so it can never write over its input; a product
 * may write over its residual. Whether a buffer is free to be taken over is the plan's business. */
static const DimrOpInfo infos[DIMR_OP_FIRST_GRADIENT] = {
  [DIMR_OP_INPUT] = { "input", 0, 0, 0, 0, infer_leaf, NULL },
  [DIMR_OP_PARAM] = { "param", 0, 0, 0, 0, infer_leaf, NULL },
  [DIMR_OP_RESHAPE] = { "reshape", 1, 1, 0, 0, infer_leaf, NULL },
  [DIMR_OP_SLICE_TOKENS] = { "slice-tokens", 1, 1, 0, 0, infer_slice_tokens, NULL },
  [DIMR_OP_CONCAT] = { "concat", 1, G_MAXUINT, 0, 0, infer_concat, NULL },
  [DIMR_OP_ADD] = { "add", 2, 2, 0, SLOT (0) | SLOT (1), infer_same, NULL },
  [DIMR_OP_AVERAGE_POOL] = { "average-pool", 1, 1, 0, 0, infer_average_pool, NULL },
  [DIMR_OP_PATCHIFY] = { "patchify", 3, 3, SLOT (2), 0, infer_patchify, macs_patchify },
  [DIMR_OP_ADD_POSITION] = { "add-position", 2, 2, 0, SLOT (0), infer_add_position, NULL },
  [DIMR_OP_EMBEDDING] = { "embedding", 2, 2, 0, 0, infer_embedding, NULL },
  [DIMR_OP_PREPEND_TOKEN] = { "prepend-token", 2, 2, 0, 0, infer_prepend_token, NULL },
  [DIMR_OP_TIME_PARAM] = { "time-param", 5, 5, 0, 0, infer_time_param, NULL },
  [DIMR_OP_RMS_NORM] = { "rms-norm", 2, 2, 0, SLOT (0), infer_rms_norm, NULL },
  [DIMR_OP_LAYER_NORM] = { "layer-norm", 3, G_MAXUINT, SLOT (0) | SLOT (1), 0, infer_layer_norm, NULL },
  [DIMR_OP_LINEAR] = { "linear", 4, G_MAXUINT, SLOT (1) | SLOT (2), SLOT (2), infer_linear, macs_linear },
  [DIMR_OP_ATTENTION] = { "attention", 1, 1, 0, 0, infer_attention, macs_attention },
  [DIMR_OP_GEGLU] = { "geglu", 2, 2, 0, SLOT (0) | SLOT (1), infer_same, NULL },
  [DIMR_OP_LINEAR_GEGLU] = { "linear-geglu", 5, 5, 0, 0, infer_linear_geglu, macs_linear_geglu },
  [DIMR_OP_DEPTHWISE_CONV] = { "depthwise-conv", 4, 4, SLOT (2) | SLOT (3), 0, infer_depthwise_conv, macs_depthwise_conv },
  [DIMR_OP_PIXEL_SHUFFLE] = { "pixel-shuffle", 1, 1, 0, 0, infer_pixel_shuffle, NULL },
  [DIMR_OP_CONV_TO_IMAGE] = { "conv-to-image", 3, 3, SLOT (2), 0, infer_conv_to_image, macs_conv_to_image },
  [DIMR_OP_TO_IMAGE] = { "to-image", 1, 1, 0, 0, infer_to_image, NULL },
  [DIMR_OP_SLICE_CHANNELS] = { "slice-channels", 1, 1, 0, 0, infer_slice_channels, NULL },
  [DIMR_OP_REPEAT] = { "repeat", 1, 1, 0, 0, infer_repeat, NULL },
  [DIMR_OP_TIMESTEP_EMBEDDING] = { "timestep-embedding", 1, 1, 0, 0, infer_timestep_embedding, NULL },
  [DIMR_OP_SILU] = { "silu", 1, 1, 0, SLOT (0), infer_unary, NULL },
  [DIMR_OP_GELU] = { "gelu", 1, 1, 0, SLOT (0), infer_unary, NULL },
  [DIMR_OP_GELU_TANH] = { "gelu-tanh", 1, 1, 0, SLOT (0), infer_unary, NULL },
  [DIMR_OP_MODULATE] = { "modulate", 3, 3, SLOT (2), SLOT (0), infer_modulate, NULL },
  [DIMR_OP_GATED_ADD] = { "gated-add", 3, 3, SLOT (0), SLOT (0) | SLOT (2), infer_gated_add, NULL },
  [DIMR_OP_ADA_RMS_NORM] = { "ada-rms-norm", 2, 2, 0, SLOT (0), infer_ada_rms_norm, NULL },
  [DIMR_OP_AXIAL_ROPE] = { "axial-rope", 4, 4, 0, SLOT (0), infer_axial_rope, NULL },
  [DIMR_OP_IMAGE_TO_MAP] = { "image-to-map", 1, 1, 0, 0, infer_image_to_map, NULL },
  [DIMR_OP_UPSAMPLE_NEAREST] = { "upsample-nearest", 1, 1, 0, 0, infer_upsample_nearest, NULL },
  [DIMR_OP_GROUP_STATS] = { "group-stats", 1, 1, 0, 0, infer_group_stats, NULL },
  [DIMR_OP_GROUP_NORM] = { "group-norm", 4, 4, 0, SLOT (0), infer_group_norm, NULL },
  [DIMR_OP_CONV2D] = { "conv2d", 4, 7, SLOT (2) | SLOT (3), SLOT (3), infer_conv2d, macs_conv2d },
};

const DimrOpInfo *
dimr_op_get_info (DimrOp op)
{
  g_return_val_if_fail (op < DIMR_N_OPS, NULL);
  return op < DIMR_OP_FIRST_GRADIENT ? &infos[op] : &dimr_op_gradient_infos[op - DIMR_OP_FIRST_GRADIENT];
}
