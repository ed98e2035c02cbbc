/* dimr-gradient-rules.c — each op's gradient, in ops
 *
 * One function an op, one row each in the table at the end. dy is the gradient of the result; a
 * rule gives every input that wants it its share. Formulas: the chain rule, unless said otherwise.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/graph/dimr-gradient-private.h"

#define RULE(name)                                                                           \
  static void rule_##name (DimrBackward *self, const DimrNode *node, DimrNodeId id, DimrNodeId dy)
#define ATTRS(...) ((DimrAttrs){ __VA_ARGS__ })
#define EMIT(op, attrs, ...)                                                                 \
  dimr_backward_add (self, (op), (attrs), (const DimrNodeId[]){ __VA_ARGS__ },               \
                     sizeof ((const DimrNodeId[]){ __VA_ARGS__ }) / sizeof (DimrNodeId))
#define WANTS(slot) dimr_backward_wants (self, node->inputs[slot])
#define VALUE(slot) dimr_backward_value (self, node->inputs[slot])
#define GIVE(slot, gradient) dimr_backward_give (self, node->inputs[slot], gradient)
#define SHAPE(slot) dimr_backward_shape (self, node->inputs[slot])
#define LAST(shape) ((shape)->dims[(shape)->n_dims - 1])
#define NONE DIMR_NODE_NONE

/* Σ over all rows: the gradient of a bias [N]. */
static DimrNodeId
sum_all_rows (DimrBackward *self,
              DimrNodeId    dy)
{
  return EMIT (DIMR_OP_SUM_ROWS, ATTRS (.length = 1), dy);
}

/* The forward values of inputs [first, n) behind @head. Free with g_free(). */
static DimrNodeId *
with_values (DimrBackward     *self,
             const DimrNode   *node,
             guint             first,
             const DimrNodeId *head,
             guint             n_head)
{
  DimrNodeId *inputs = g_new (DimrNodeId, n_head + node->n_inputs - first);

  for (guint i = 0; i < n_head; i++)
    inputs[i] = head[i];
  for (guint i = first; i < node->n_inputs; i++)
    inputs[n_head + i - first] = VALUE (i);
  return inputs;
}

RULE (reshape)
{
  GIVE (0, dy);
}

RULE (slice_tokens)
{
  GIVE (0, EMIT (DIMR_OP_PAD_TOKENS, ATTRS (.start = node->attrs.start, .length = (guint) SHAPE (0)->dims[1]), dy));
}

RULE (concat)
{
  guint start = 0;

  for (guint i = 0; i < node->n_inputs; i++)
    {
      const guint length = (guint) LAST (SHAPE (i));

      if (WANTS (i))
        GIVE (i, EMIT (DIMR_OP_SLICE_CHANNELS, ATTRS (.start = start, .length = length), dy));
      start += length;
    }
}

RULE (add)
{
  for (guint i = 0; i < 2; i++)
    if (WANTS (i))
      GIVE (i, dy);
}

RULE (average_pool)
{
  GIVE (0, EMIT (DIMR_OP_SPREAD, ATTRS (.factor = node->attrs.factor), dy));
}

/* A product of the weight as a matrix [D, C·k·k] with the patches as rows. */
RULE (patchify)
{
  const DimrShape *w = SHAPE (1);
  const guint k = (guint) w->dims[2];
  const gint64 columns = w->dims[1] * k * k;

  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_LINEAR_WEIGHT_GRAD, ATTRS (0), dy, EMIT (DIMR_OP_PATCHES, ATTRS (.factor = k), VALUE (0))));
  if (WANTS (2))
    GIVE (2, sum_all_rows (self, dy));
  if (WANTS (0))
    {
      DimrNodeId matrix = dimr_backward_reshape (self, node->inputs[1], DIMR_SHAPE (w->dims[0], columns));
      DimrNodeId rows = EMIT (DIMR_OP_LINEAR_INPUT_GRAD, ATTRS (.length = (guint) columns), matrix, NONE, dy);

      GIVE (0, EMIT (DIMR_OP_UNPATCH, ATTRS (.factor = k), rows));
    }
}

RULE (add_position)
{
  if (WANTS (0))
    GIVE (0, dy);
  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_POSITION_GRAD, ATTRS (.width = node->attrs.width, .length = (guint) SHAPE (1)->dims[0]), dy));
}

RULE (embedding)
{
  if (WANTS (0))
    GIVE (0, EMIT (DIMR_OP_EMBEDDING_GRAD, ATTRS (.length = (guint) SHAPE (0)->dims[0]), dy, node->inputs[1]));
}

RULE (prepend_token)
{
  const guint n = (guint) SHAPE (0)->dims[1];

  if (WANTS (0))
    GIVE (0, EMIT (DIMR_OP_SLICE_TOKENS, ATTRS (.start = 1, .length = n), dy));
  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_SLICE_TOKENS, ATTRS (.start = 0, .length = 1), dy));
}

/* All four at once, then one row each. */
RULE (time_param)
{
  const gint64 d = LAST (&node->shape);
  DimrNodeId all = EMIT (DIMR_OP_TIME_PARAM_GRAD, ATTRS (0), dy, VALUE (0), VALUE (1), VALUE (2), VALUE (3), VALUE (4));

  all = dimr_backward_reshape (self, all, DIMR_SHAPE (1, 4, d));
  for (guint i = 0; i < 4; i++)
    if (WANTS (1 + i))
      GIVE (1 + i, EMIT (DIMR_OP_SLICE_TOKENS, ATTRS (.start = i, .length = 1), all));
}

RULE (rms_norm)
{
  const DimrAttrs attrs = { .length = (guint) SHAPE (1)->dims[0], .eps = node->attrs.eps };

  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_RMS_NORM_SCALE_GRAD, attrs, VALUE (0), dy));
  if (WANTS (0))
    GIVE (0, EMIT (DIMR_OP_RMS_NORM_GRAD, ATTRS (.eps = node->attrs.eps), VALUE (0), VALUE (1), dy, NONE));
}

/* (weight, bias, x0, x1, …): the inputs' gradients are computed side by side and taken apart. */
RULE (layer_norm)
{
  const DimrAttrs times = { .length = node->inputs[0] != NONE ? (guint) SHAPE (0)->dims[0] : 1, .eps = node->attrs.eps };
  const guint n_x = node->n_inputs - 2;
  gboolean any = FALSE;
  guint start = 0;

  for (guint i = 2; i < node->n_inputs; i++)
    any |= WANTS (i);
  if (WANTS (0))
    {
      g_autofree DimrNodeId *inputs = with_values (self, node, 2, &dy, 1);
      GIVE (0, dimr_backward_add (self, DIMR_OP_LAYER_NORM_WEIGHT_GRAD, times, inputs, n_x + 1));
    }
  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_SUM_ROWS, ATTRS (.length = (guint) SHAPE (1)->dims[0]), dy));
  if (any)
    {
      const DimrNodeId head[2] = { VALUE (0), dy };
      g_autofree DimrNodeId *inputs = with_values (self, node, 2, head, 2);
      DimrNodeId dx = dimr_backward_add (self, DIMR_OP_LAYER_NORM_GRAD, ATTRS (.eps = node->attrs.eps), inputs, n_x + 2);

      if (n_x == 1)
        GIVE (2, dx);
      for (guint i = 2; n_x > 1 && i < node->n_inputs; i++)
        {
          const guint length = (guint) LAST (SHAPE (i));

          if (WANTS (i))
            GIVE (i, EMIT (DIMR_OP_SLICE_CHANNELS, ATTRS (.start = start, .length = length), dx));
          start += length;
        }
    }
}

/* (weight, bias, residual, x0, x1, …) */
RULE (linear)
{
  guint start = 0;

  if (WANTS (0))
    {
      g_autofree DimrNodeId *inputs = with_values (self, node, 3, &dy, 1);
      GIVE (0, dimr_backward_add (self, DIMR_OP_LINEAR_WEIGHT_GRAD, ATTRS (0), inputs, node->n_inputs - 2));
    }
  if (WANTS (1))
    GIVE (1, sum_all_rows (self, dy));
  if (WANTS (2))
    GIVE (2, dy);
  for (guint i = 3; i < node->n_inputs; i++)
    {
      const guint length = (guint) LAST (SHAPE (i));

      if (WANTS (i))
        GIVE (i, EMIT (DIMR_OP_LINEAR_INPUT_GRAD, ATTRS (.start = start, .length = length), node->inputs[0], NONE, dy));
      start += length;
    }
}

RULE (attention)
{
  GIVE (0, EMIT (DIMR_OP_ATTENTION_GRAD, ATTRS (.n_heads = node->attrs.n_heads), VALUE (0), dimr_backward_value (self, id), dy));
}

RULE (geglu)
{
  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_GEGLU, ATTRS (0), VALUE (0), dy));
  if (WANTS (0))
    GIVE (0, EMIT (DIMR_OP_GEGLU_GRAD, ATTRS (0), VALUE (0), VALUE (1), dy));
}

/* (x, weight, bias, residual) */
RULE (depthwise_conv)
{
  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_DEPTHWISE_WEIGHT_GRAD, ATTRS (.factor = (guint) SHAPE (1)->dims[2]), VALUE (0), dy));
  if (WANTS (2))
    GIVE (2, sum_all_rows (self, dy));
  if (WANTS (3))
    GIVE (3, dy);
  if (WANTS (0))
    GIVE (0, EMIT (DIMR_OP_DEPTHWISE_INPUT_GRAD, ATTRS (0), dy, node->inputs[1], NONE));
}

RULE (pixel_shuffle)
{
  GIVE (0, EMIT (DIMR_OP_PIXEL_UNSHUFFLE, ATTRS (.factor = node->attrs.factor), dy));
}

/* (x, weight, bias). The weight's gradient is a product of the windows of dy with x as rows, which
 * gives [C·k², D] where the weight is [C, D, k²]. */
RULE (conv_to_image)
{
  const DimrShape *w = SHAPE (1), *image = dimr_backward_shape (self, dy);
  const gint64 c = w->dims[0], d = w->dims[1], k = w->dims[2];

  if (WANTS (1))
    {
      DimrNodeId windows = EMIT (DIMR_OP_WINDOWS, ATTRS (.factor = (guint) k), dy);
      DimrNodeId product = EMIT (DIMR_OP_LINEAR_WEIGHT_GRAD, ATTRS (0), windows, VALUE (0));

      product = dimr_backward_reshape (self, product, DIMR_SHAPE (c, k * k, d));
      GIVE (1, EMIT (DIMR_OP_TRANSPOSE, ATTRS (0), product));
    }
  if (WANTS (2))
    {
      DimrNodeId planes = dimr_backward_reshape (self, dy, DIMR_SHAPE (image->dims[0], c, image->dims[2] * image->dims[3]));

      GIVE (2, sum_all_rows (self, EMIT (DIMR_OP_TRANSPOSE, ATTRS (0), planes)));
    }
  if (WANTS (0))
    GIVE (0, EMIT (DIMR_OP_CONV_TO_IMAGE_INPUT_GRAD, ATTRS (0), node->inputs[1], dy));
}

RULE (to_image)
{
  GIVE (0, EMIT (DIMR_OP_IMAGE_TO_MAP, ATTRS (0), dy));
}

RULE (image_to_map)
{
  GIVE (0, EMIT (DIMR_OP_TO_IMAGE, ATTRS (0), dy));
}

RULE (slice_channels)
{
  GIVE (0, EMIT (DIMR_OP_PAD_CHANNELS, ATTRS (.start = node->attrs.start, .length = (guint) LAST (SHAPE (0))), dy));
}

/* Sums over the copies, which are the rows of a matrix. */
RULE (repeat)
{
  const gint64 factor = node->attrs.factor, n = (gint64) dimr_shape_n_elements (&node->shape) / factor;

  GIVE (0, sum_all_rows (self, dimr_backward_reshape (self, dy, DIMR_SHAPE (factor, n))));
}

/* The f · f copies of a pixel become the rows of a part. */
RULE (upsample_nearest)
{
  const DimrShape *x = SHAPE (0);
  const gint64 f = node->attrs.factor, places = x->dims[0] * x->dims[1] * x->dims[2];
  DimrNodeId copies = EMIT (DIMR_OP_PIXEL_UNSHUFFLE, ATTRS (.factor = (guint) f), dy);

  copies = dimr_backward_reshape (self, copies, DIMR_SHAPE (places, f * f, x->dims[3]));
  GIVE (0, EMIT (DIMR_OP_SUM_ROWS, ATTRS (.length = (guint) places), copies));
}

RULE (silu)
{
  GIVE (0, EMIT (DIMR_OP_SILU_GRAD, ATTRS (0), VALUE (0), dy));
}

RULE (gelu)
{
  GIVE (0, EMIT (DIMR_OP_GELU_GRAD, ATTRS (0), VALUE (0), dy));
}

RULE (gelu_tanh)
{
  GIVE (0, EMIT (DIMR_OP_GELU_TANH_GRAD, ATTRS (0), VALUE (0), dy));
}

/* (x, shift, scale) */
RULE (modulate)
{
  const DimrAttrs times = { .length = (guint) SHAPE (1)->dims[0] };

  if (WANTS (0))
    GIVE (0, node->inputs[2] == NONE ? dy : EMIT (DIMR_OP_GATED_ADD, ATTRS (0), dy, VALUE (2), dy));
  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_SUM_ROWS, times, dy));
  if (WANTS (2))
    GIVE (2, EMIT (DIMR_OP_SUM_PRODUCTS, times, VALUE (0), dy));
}

/* (x, gate, y) */
RULE (gated_add)
{
  if (WANTS (0))
    GIVE (0, dy);
  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_SUM_PRODUCTS, ATTRS (.length = (guint) SHAPE (1)->dims[0]), VALUE (2), dy));
  if (WANTS (2))
    GIVE (2, EMIT (DIMR_OP_GATED_ADD, ATTRS (0), NONE, VALUE (1), dy));
}

RULE (ada_rms_norm)
{
  if (WANTS (0))
    GIVE (0, EMIT (DIMR_OP_ADA_RMS_NORM_GRAD, ATTRS (.eps = node->attrs.eps), VALUE (0), VALUE (1), dy));
  if (WANTS (1))
    GIVE (1, EMIT (DIMR_OP_ADA_RMS_NORM_SCALE_GRAD, ATTRS (.length = (guint) SHAPE (1)->dims[1], .eps = node->attrs.eps),
                   VALUE (0), dy));
}

/* (qkv, freqs_h, freqs_w, scale): the parameters' gradients are computed side by side and taken apart. */
RULE (axial_rope)
{
  const guint f = (guint) LAST (SHAPE (1));
  const guint starts[3] = { 0, f, 2 * f }, lengths[3] = { f, f, 1 };

  if (WANTS (0))
    GIVE (0, EMIT (DIMR_OP_AXIAL_ROPE_GRAD, node->attrs, VALUE (0), VALUE (1), VALUE (2), VALUE (3), dy));
  if (WANTS (1) || WANTS (2) || WANTS (3))
    {
      DimrNodeId all = EMIT (DIMR_OP_AXIAL_ROPE_PARAM_GRAD, node->attrs, VALUE (0), VALUE (1), VALUE (2), VALUE (3), dy);

      for (guint i = 0; i < 3; i++)
        if (WANTS (1 + i))
          GIVE (1 + i, EMIT (DIMR_OP_SLICE_CHANNELS, ATTRS (.start = starts[i], .length = lengths[i]), all));
    }
}

RULE (mean_square)
{
  for (guint i = 0; i < 2; i++)
    if (WANTS (i))
      GIVE (i, EMIT (DIMR_OP_MEAN_SQUARE_GRAD, ATTRS (0), VALUE (i), VALUE (1 - i), dy));
}

/* (x, target) */
RULE (cross_entropy)
{
  if (WANTS (0))
    GIVE (0, EMIT (DIMR_OP_CROSS_ENTROPY_GRAD, ATTRS (0), VALUE (0), VALUE (1), dy));
}

static const DimrGradientRule rules[DIMR_N_OPS] = {
  [DIMR_OP_RESHAPE] = rule_reshape,
  [DIMR_OP_SLICE_TOKENS] = rule_slice_tokens,
  [DIMR_OP_CONCAT] = rule_concat,
  [DIMR_OP_ADD] = rule_add,
  [DIMR_OP_AVERAGE_POOL] = rule_average_pool,
  [DIMR_OP_PATCHIFY] = rule_patchify,
  [DIMR_OP_ADD_POSITION] = rule_add_position,
  [DIMR_OP_EMBEDDING] = rule_embedding,
  [DIMR_OP_PREPEND_TOKEN] = rule_prepend_token,
  [DIMR_OP_TIME_PARAM] = rule_time_param,
  [DIMR_OP_RMS_NORM] = rule_rms_norm,
  [DIMR_OP_LAYER_NORM] = rule_layer_norm,
  [DIMR_OP_LINEAR] = rule_linear,
  [DIMR_OP_ATTENTION] = rule_attention,
  [DIMR_OP_GEGLU] = rule_geglu,
  [DIMR_OP_DEPTHWISE_CONV] = rule_depthwise_conv,
  [DIMR_OP_PIXEL_SHUFFLE] = rule_pixel_shuffle,
  [DIMR_OP_CONV_TO_IMAGE] = rule_conv_to_image,
  [DIMR_OP_TO_IMAGE] = rule_to_image,
  [DIMR_OP_IMAGE_TO_MAP] = rule_image_to_map,
  [DIMR_OP_SLICE_CHANNELS] = rule_slice_channels,
  [DIMR_OP_REPEAT] = rule_repeat,
  [DIMR_OP_UPSAMPLE_NEAREST] = rule_upsample_nearest,
  [DIMR_OP_SILU] = rule_silu,
  [DIMR_OP_GELU] = rule_gelu,
  [DIMR_OP_GELU_TANH] = rule_gelu_tanh,
  [DIMR_OP_MODULATE] = rule_modulate,
  [DIMR_OP_GATED_ADD] = rule_gated_add,
  [DIMR_OP_ADA_RMS_NORM] = rule_ada_rms_norm,
  [DIMR_OP_AXIAL_ROPE] = rule_axial_rope,
  [DIMR_OP_MEAN_SQUARE] = rule_mean_square,
  [DIMR_OP_CROSS_ENTROPY] = rule_cross_entropy,
};

DimrGradientRule
dimr_gradient_get_rule (DimrOp op)
{
  return rules[op];
}
