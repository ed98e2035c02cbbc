/* dimr-op-gradient.c — the rows of the ops that gradients are made of
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/graph/dimr-op-private.h"

/* Rows of a tensor: all dimensions but the last. */
static gint64
rows_of (const DimrShape *shape)
{
  return (gint64) dimr_shape_n_elements (shape) / LAST (shape);
}

INFER (linear_input_grad)
{
  const DimrShape *w = in[0], *residual = in[1], *dy = in[2];

  EXPECT (w->n_dims == 2 && dy->n_dims >= 2 && LAST (dy) == w->dims[0], "a weight [N, K] and a gradient […, N]");
  EXPECT (attrs->length > 0 && (gint64) attrs->start + attrs->length <= w->dims[1], "a range of the weight's columns");
  *out = *dy;
  LAST (out) = attrs->length;
  EXPECT (residual == NULL || dimr_shape_equal (residual, out), "a residual of the output's shape");
  return TRUE;
}

MACS (linear_input_grad)
{
  return dimr_shape_n_elements (out) * in[0]->dims[0];
}

INFER (linear_weight_grad)
{
  gint64 channels = list_channels (in, 1, n);

  EXPECT (channels > 0 && in[0]->n_dims >= 2 && same_leading (in[0], in[1]), "a gradient and inputs with the same rows");
  *out = DIMR_SHAPE (LAST (in[0]), channels);
  return TRUE;
}

MACS (linear_weight_grad)
{
  return dimr_shape_n_elements (in[0]) * out->dims[1];
}

INFER (sum_rows)
{
  EXPECT (in[0]->n_dims >= 2 && attrs->length > 0 && rows_of (in[0]) % attrs->length == 0, "rows in @length equal parts");
  *out = DIMR_SHAPE (attrs->length, LAST (in[0]));
  return TRUE;
}

INFER (pad_tokens)
{
  EXPECT (in[0]->n_dims == 3, "[B, N, D]");
  EXPECT (in[0]->dims[1] + (gint64) attrs->start <= (gint64) attrs->length, "room for the tokens");
  *out = *in[0];
  out->dims[1] = attrs->length;
  return TRUE;
}

INFER (transpose)
{
  EXPECT (in[0]->n_dims == 3, "[B, N, D]");
  *out = DIMR_SHAPE (in[0]->dims[0], in[0]->dims[2], in[0]->dims[1]);
  return TRUE;
}

INFER (spread)
{
  gint64 f = attrs->factor;

  EXPECT (in[0]->n_dims == 4 && f > 0, "[B, C, H, W]");
  *out = DIMR_SHAPE (in[0]->dims[0], in[0]->dims[1], in[0]->dims[2] * f, in[0]->dims[3] * f);
  return TRUE;
}

INFER (patches)
{
  const DimrShape *x = in[0];
  gint64 f = attrs->factor;

  EXPECT (x->n_dims == 4 && f > 0 && x->dims[2] % f == 0 && x->dims[3] % f == 0, "H and W that the factor divides");
  *out = DIMR_SHAPE (x->dims[0], x->dims[2] / f, x->dims[3] / f, x->dims[1] * f * f);
  return TRUE;
}

INFER (unpatch)
{
  const DimrShape *x = in[0];
  gint64 f = attrs->factor;

  EXPECT (x->n_dims == 4 && f > 0 && LAST (x) % (f * f) == 0, "[B, H, W, C·f·f]");
  *out = DIMR_SHAPE (x->dims[0], LAST (x) / (f * f), x->dims[1] * f, x->dims[2] * f);
  return TRUE;
}

INFER (windows)
{
  const DimrShape *x = in[0];
  gint64 k = attrs->factor;

  EXPECT (x->n_dims == 4 && k % 2 == 1, "[B, C, H, W] and an odd kernel");
  *out = DIMR_SHAPE (x->dims[0], x->dims[2], x->dims[3], x->dims[1] * k * k);
  return TRUE;
}

INFER (position_grad)
{
  const DimrShape *dy = in[0];
  gint64 width = attrs->width;

  EXPECT (dy->n_dims == 4, "[B, H, W, D]");
  EXPECT (dy->dims[2] <= width && dy->dims[1] * width <= (gint64) attrs->length + width - dy->dims[2],
          "a map no larger than the table's grid");
  *out = DIMR_SHAPE (attrs->length, dy->dims[3]);
  return TRUE;
}

INFER (embedding_grad)
{
  EXPECT (in[0]->n_dims == 2 && in[1]->n_dims == 1 && in[0]->dims[0] == in[1]->dims[0] && attrs->length > 0,
          "a gradient [B, D] and indices [B]");
  *out = DIMR_SHAPE (attrs->length, in[0]->dims[1]);
  return TRUE;
}

INFER (time_param_grad)
{
  gint64 d = in[0]->n_dims == 2 ? in[0]->dims[1] : -2;

  EXPECT (in[1]->n_dims == 1 && in[0]->n_dims == 2 && in[0]->dims[0] == in[1]->dims[0], "a gradient [T, D] and log_snr [T]");
  EXPECT (is_vector (in[2], d) && is_vector (in[3], d) && is_vector (in[4], d) && is_vector (in[5], d),
          "four parameters [D]");
  *out = DIMR_SHAPE (4, d);
  return TRUE;
}

INFER (rms_norm_grad)
{
  EXPECT (in[0]->n_dims >= 2 && dimr_shape_equal (in[0], in[2]), "[…, D] twice");
  EXPECT (is_per_time (in[1], in[0], LAST (in[0])), "a scale [T, D]");
  EXPECT (in[3] == NULL || dimr_shape_equal (in[3], in[0]), "a residual of the input's shape");
  *out = *in[0];
  return TRUE;
}

INFER (rms_norm_scale_grad)
{
  EXPECT (in[0]->n_dims >= 2 && dimr_shape_equal (in[0], in[1]), "[…, D] twice");
  EXPECT (attrs->length == 1 || (gint64) attrs->length == in[0]->dims[0], "one scale, or one for each sample");
  *out = DIMR_SHAPE (attrs->length, LAST (in[0]));
  return TRUE;
}

INFER (layer_norm_grad)
{
  gint64 channels = list_channels (in, 2, n);

  EXPECT (channels > 0 && same_leading (in[1], in[2]) && LAST (in[1]) == channels, "inputs with the channels of the gradient");
  EXPECT (in[0] == NULL || is_per_time (in[0], in[1], channels), "a weight [T, ΣD]");
  *out = *in[1];
  return TRUE;
}

INFER (layer_norm_weight_grad)
{
  gint64 channels = list_channels (in, 1, n);

  EXPECT (channels > 0 && same_leading (in[0], in[1]) && LAST (in[0]) == channels, "inputs with the channels of the gradient");
  EXPECT (attrs->length == 1 || (gint64) attrs->length == in[0]->dims[0], "one weight, or one for each sample");
  *out = DIMR_SHAPE (attrs->length, channels);
  return TRUE;
}

INFER (attention_grad)
{
  const DimrShape *qkv = in[0], *y = in[1];

  EXPECT (qkv->n_dims == 3 && attrs->n_heads > 0 && qkv->dims[2] % (3 * (gint64) attrs->n_heads) == 0,
          "[B, N, 3·D] with D a multiple of the number of heads");
  EXPECT (is (y, 3, qkv->dims[0], qkv->dims[1], qkv->dims[2] / 3, 0) && dimr_shape_equal (y, in[2]),
          "a result and a gradient [B, N, D]");
  *out = *qkv;
  return TRUE;
}

/* The scores once more, and a product for each of q, k, v and for the weights. */
MACS (attention_grad)
{
  return 5 * dimr_shape_n_elements (in[1]) * in[0]->dims[1];
}

INFER (three_same)
{
  EXPECT (dimr_shape_equal (in[0], in[1]) && dimr_shape_equal (in[0], in[2]), "three equal shapes");
  *out = *in[0];
  return TRUE;
}

INFER (depthwise_input_grad)
{
  const DimrShape *dy = in[0], *w = in[1];

  EXPECT (dy->n_dims == 4, "[B, H, W, D]");
  EXPECT (is (w, 4, LAST (dy), 1, -1, -1) && w->dims[2] == w->dims[3] && w->dims[2] % 2 == 1,
          "a weight [D, 1, k, k] with odd k");
  EXPECT (in[2] == NULL || dimr_shape_equal (in[2], dy), "a residual of the input's shape");
  *out = *dy;
  return TRUE;
}

MACS (depthwise_input_grad)
{
  return dimr_shape_n_elements (out) * in[1]->dims[2] * in[1]->dims[3];
}

INFER (depthwise_weight_grad)
{
  EXPECT (in[0]->n_dims == 4 && dimr_shape_equal (in[0], in[1]) && attrs->factor % 2 == 1, "[B, H, W, D] twice and an odd kernel");
  *out = DIMR_SHAPE (LAST (in[0]), 1, attrs->factor, attrs->factor);
  return TRUE;
}

MACS (depthwise_weight_grad)
{
  return dimr_shape_n_elements (in[0]) * out->dims[2] * out->dims[3];
}

INFER (pixel_unshuffle)
{
  const DimrShape *x = in[0];
  gint64 f = attrs->factor;

  EXPECT (x->n_dims == 4 && f > 0 && x->dims[1] % f == 0 && x->dims[2] % f == 0, "H and W that the factor divides");
  *out = DIMR_SHAPE (x->dims[0], x->dims[1] / f, x->dims[2] / f, x->dims[3] * f * f);
  return TRUE;
}

INFER (conv_to_image_input_grad)
{
  const DimrShape *w = in[0], *dy = in[1];

  EXPECT (dy->n_dims == 4, "[B, C, H, W]");
  EXPECT (is (w, 4, dy->dims[1], -1, -1, -1) && w->dims[2] == w->dims[3] && w->dims[2] % 2 == 1,
          "a weight [C, D, k, k] with odd k");
  *out = DIMR_SHAPE (dy->dims[0], dy->dims[2], dy->dims[3], w->dims[1]);
  return TRUE;
}

MACS (conv_to_image_input_grad)
{
  return dimr_shape_n_elements (out) * in[0]->dims[0] * in[0]->dims[2] * in[0]->dims[3];
}

INFER (two_same)
{
  EXPECT (dimr_shape_equal (in[0], in[1]), "two equal shapes");
  *out = *in[0];
  return TRUE;
}

INFER (sum_products)
{
  EXPECT (in[0]->n_dims >= 2 && dimr_shape_equal (in[0], in[1]), "two equal shapes […, D]");
  EXPECT (attrs->length > 0 && rows_of (in[0]) % attrs->length == 0, "rows in @length equal parts");
  *out = DIMR_SHAPE (attrs->length, LAST (in[0]));
  return TRUE;
}

INFER (pad_channels)
{
  EXPECT (in[0]->n_dims >= 1 && LAST (in[0]) + (gint64) attrs->start <= (gint64) attrs->length, "room for the channels");
  *out = *in[0];
  LAST (out) = attrs->length;
  return TRUE;
}

INFER (ada_rms_norm_grad)
{
  EXPECT (in[0]->n_dims >= 3 && dimr_shape_equal (in[0], in[2]), "two equal shapes [B, …, D]");
  EXPECT (is (in[1], 3, in[0]->dims[0], -1, LAST (in[0]), 0) &&
          rows_of (in[0]) % (in[0]->dims[0] * in[1]->dims[1]) == 0, "a scale [B, M, D], M dividing the rows of an image");
  *out = *in[0];
  return TRUE;
}

INFER (ada_rms_norm_scale_grad)
{
  EXPECT (in[0]->n_dims >= 3 && dimr_shape_equal (in[0], in[1]), "two equal shapes [B, …, D]");
  EXPECT (attrs->length > 0 && rows_of (in[0]) % (in[0]->dims[0] * (gint64) attrs->length) == 0,
          "a length that divides the rows of an image");
  *out = DIMR_SHAPE (in[0]->dims[0], attrs->length, LAST (in[0]));
  return TRUE;
}

INFER (axial_rope_grad)
{
  EXPECT (in[0]->n_dims == 3 && attrs->n_heads > 0 && dimr_shape_equal (in[0], in[4]), "two equal shapes [B, N, 3·D]");
  EXPECT (is (in[1], 2, attrs->n_heads, -1, 0, 0) && dimr_shape_equal (in[1], in[2]) && is_vector (in[3], attrs->n_heads),
          "frequencies [NH, F] and a scale [NH]");
  *out = *in[0];
  return TRUE;
}

INFER (axial_rope_param_grad)
{
  if (!infer_axial_rope_grad (attrs, in, n, out, error))
    return FALSE;
  *out = DIMR_SHAPE (attrs->n_heads, 2 * in[1]->dims[1] + 1);
  return TRUE;
}

INFER (mean_square)
{
  EXPECT (in[0]->n_dims >= 2 && dimr_shape_equal (in[0], in[1]), "two equal shapes [B, …]");
  *out = DIMR_SHAPE (in[0]->dims[0]);
  return TRUE;
}

INFER (mean_square_grad)
{
  EXPECT (in[0]->n_dims >= 2 && dimr_shape_equal (in[0], in[1]), "two equal shapes [B, …]");
  EXPECT (is_vector (in[2], in[0]->dims[0]), "a gradient [B]");
  *out = *in[0];
  return TRUE;
}

INFER (cross_entropy)
{
  EXPECT (in[0]->n_dims == 2 && dimr_shape_equal (in[0], in[1]), "two equal shapes [B, K]");
  *out = DIMR_SHAPE (in[0]->dims[0]);
  return TRUE;
}

INFER (cross_entropy_grad)
{
  EXPECT (in[0]->n_dims == 2 && dimr_shape_equal (in[0], in[1]), "two equal shapes [B, K]");
  EXPECT (is_vector (in[2], in[0]->dims[0]), "a gradient [B]");
  *out = *in[0];
  return TRUE;
}

/* Rows of a norm are read whole before they are written, so its gradient may take over any of them. */
#define ROW(op) [(op) - DIMR_OP_FIRST_GRADIENT]
const DimrOpInfo dimr_op_gradient_infos[DIMR_N_OPS - DIMR_OP_FIRST_GRADIENT] = {
  ROW (DIMR_OP_LINEAR_INPUT_GRAD) = { "linear-input-grad", 3, 3, SLOT (1), SLOT (1), infer_linear_input_grad, macs_linear_input_grad },
  ROW (DIMR_OP_LINEAR_WEIGHT_GRAD) = { "linear-weight-grad", 2, G_MAXUINT, 0, 0, infer_linear_weight_grad, macs_linear_weight_grad },
  ROW (DIMR_OP_SUM_ROWS) = { "sum-rows", 1, 1, 0, 0, infer_sum_rows, NULL },
  ROW (DIMR_OP_PAD_TOKENS) = { "pad-tokens", 1, 1, 0, 0, infer_pad_tokens, NULL },
  ROW (DIMR_OP_TRANSPOSE) = { "transpose", 1, 1, 0, 0, infer_transpose, NULL },
  ROW (DIMR_OP_SPREAD) = { "spread", 1, 1, 0, 0, infer_spread, NULL },
  ROW (DIMR_OP_PATCHES) = { "patches", 1, 1, 0, 0, infer_patches, NULL },
  ROW (DIMR_OP_UNPATCH) = { "unpatch", 1, 1, 0, 0, infer_unpatch, NULL },
  ROW (DIMR_OP_WINDOWS) = { "windows", 1, 1, 0, 0, infer_windows, NULL },
  ROW (DIMR_OP_POSITION_GRAD) = { "position-grad", 1, 1, 0, 0, infer_position_grad, NULL },
  ROW (DIMR_OP_EMBEDDING_GRAD) = { "embedding-grad", 2, 2, 0, 0, infer_embedding_grad, NULL },
  ROW (DIMR_OP_TIME_PARAM_GRAD) = { "time-param-grad", 6, 6, 0, 0, infer_time_param_grad, NULL },
  ROW (DIMR_OP_RMS_NORM_GRAD) = { "rms-norm-grad", 4, 4, SLOT (3), SLOT (0) | SLOT (2) | SLOT (3), infer_rms_norm_grad, NULL },
  ROW (DIMR_OP_RMS_NORM_SCALE_GRAD) = { "rms-norm-scale-grad", 2, 2, 0, 0, infer_rms_norm_scale_grad, NULL },
  ROW (DIMR_OP_LAYER_NORM_GRAD) = { "layer-norm-grad", 3, G_MAXUINT, SLOT (0), SLOT (1), infer_layer_norm_grad, NULL },
  ROW (DIMR_OP_LAYER_NORM_WEIGHT_GRAD) = { "layer-norm-weight-grad", 2, G_MAXUINT, 0, 0, infer_layer_norm_weight_grad, NULL },
  ROW (DIMR_OP_ATTENTION_GRAD) = { "attention-grad", 3, 3, 0, 0, infer_attention_grad, macs_attention_grad },
  ROW (DIMR_OP_GEGLU_GRAD) = { "geglu-grad", 3, 3, 0, SLOT (0) | SLOT (1) | SLOT (2), infer_three_same, NULL },
  ROW (DIMR_OP_DEPTHWISE_INPUT_GRAD) = { "depthwise-input-grad", 3, 3, SLOT (2), 0, infer_depthwise_input_grad, macs_depthwise_input_grad },
  ROW (DIMR_OP_DEPTHWISE_WEIGHT_GRAD) = { "depthwise-weight-grad", 2, 2, 0, 0, infer_depthwise_weight_grad, macs_depthwise_weight_grad },
  ROW (DIMR_OP_PIXEL_UNSHUFFLE) = { "pixel-unshuffle", 1, 1, 0, 0, infer_pixel_unshuffle, NULL },
  ROW (DIMR_OP_CONV_TO_IMAGE_INPUT_GRAD) = { "conv-to-image-input-grad", 2, 2, 0, 0, infer_conv_to_image_input_grad, macs_conv_to_image_input_grad },
  ROW (DIMR_OP_SILU_GRAD) = { "silu-grad", 2, 2, 0, SLOT (0) | SLOT (1), infer_two_same, NULL },
  ROW (DIMR_OP_GELU_GRAD) = { "gelu-grad", 2, 2, 0, SLOT (0) | SLOT (1), infer_two_same, NULL },
  ROW (DIMR_OP_GELU_TANH_GRAD) = { "gelu-tanh-grad", 2, 2, 0, SLOT (0) | SLOT (1), infer_two_same, NULL },
  ROW (DIMR_OP_SUM_PRODUCTS) = { "sum-products", 2, 2, 0, 0, infer_sum_products, NULL },
  ROW (DIMR_OP_PAD_CHANNELS) = { "pad-channels", 1, 1, 0, 0, infer_pad_channels, NULL },
  ROW (DIMR_OP_ADA_RMS_NORM_GRAD) = { "ada-rms-norm-grad", 3, 3, 0, SLOT (0) | SLOT (2), infer_ada_rms_norm_grad, NULL },
  ROW (DIMR_OP_ADA_RMS_NORM_SCALE_GRAD) = { "ada-rms-norm-scale-grad", 2, 2, 0, 0, infer_ada_rms_norm_scale_grad, NULL },
  ROW (DIMR_OP_AXIAL_ROPE_GRAD) = { "axial-rope-grad", 5, 5, 0, SLOT (0), infer_axial_rope_grad, NULL },
  ROW (DIMR_OP_AXIAL_ROPE_PARAM_GRAD) = { "axial-rope-param-grad", 5, 5, 0, 0, infer_axial_rope_param_grad, NULL },
  ROW (DIMR_OP_MEAN_SQUARE) = { "mean-square", 2, 2, 0, 0, infer_mean_square, NULL },
  ROW (DIMR_OP_MEAN_SQUARE_GRAD) = { "mean-square-grad", 3, 3, 0, 0, infer_mean_square_grad, NULL },
  ROW (DIMR_OP_CROSS_ENTROPY) = { "cross-entropy", 2, 2, 0, 0, infer_cross_entropy, NULL },
  ROW (DIMR_OP_CROSS_ENTROPY_GRAD) = { "cross-entropy-grad", 3, 3, 0, 0, infer_cross_entropy_grad, NULL },
};
