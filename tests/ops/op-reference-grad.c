/* op-reference-grad.c — the ops that gradients are made of, one number at a time
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "op-reference-private.h"

#include <math.h>

static void
linear_input_grad (const Op *op)
{
  const gint64 k = dims (op, 0)[1], n = dims (op, 0)[0], length = last_dim (&op->node->shape);

  for (gint64 r = 0; r < n_rows (op); r++)
    for (gint64 c = 0; c < length; c++)
      {
        double sum = op->in[1] != NULL ? op->in[1][r * length + c] : 0;

        for (gint64 i = 0; i < n; i++)
          sum += operand (op, op->in[2][r * n + i]) * operand (op, op->in[0][i * k + op->node->attrs.start + c]);
        op->y[r * length + c] = sum;
      }
}

static void
linear_weight_grad (const Op *op)
{
  const gint64 n = channels (op, 0), k = last_dim (&op->node->shape);

  zero (op);
  for (gint64 r = 0; r < rows_of (op_shape (op, 0)); r++)
    for (gint64 i = 0; i < n; i++)
      for (gint64 c = 0; c < k; c++)
        op->y[i * k + c] += operand (op, op->in[0][r * n + i]) * operand (op, side_by_side (op, 1, r, c));
}

static void
sum_rows (const Op *op)
{
  const gint64 d = channels (op, 0), rows = rows_of (op_shape (op, 0)), per_group = rows / n_rows (op);

  zero (op);
  for (gint64 r = 0; r < rows; r++)
    for (gint64 c = 0; c < d; c++)
      op->y[r / per_group * d + c] += op->in[0][r * d + c];
}

static void
pad_tokens (const Op *op)
{
  const gint64 *x = dims (op, 0), *y = op->node->shape.dims;

  zero (op);
  for (gint64 b = 0; b < x[0]; b++)
    for (gint64 n = 0; n < x[1]; n++)
      for (gint64 d = 0; d < x[2]; d++)
        op->y[(b * y[1] + n + op->node->attrs.start) * x[2] + d] = op->in[0][(b * x[1] + n) * x[2] + d];
}

static void
transpose (const Op *op)
{
  const gint64 *x = dims (op, 0);

  for (gint64 b = 0; b < x[0]; b++)
    for (gint64 n = 0; n < x[1]; n++)
      for (gint64 d = 0; d < x[2]; d++)
        op->y[(b * x[2] + d) * x[1] + n] = op->in[0][(b * x[1] + n) * x[2] + d];
}

static void
spread (const Op *op)
{
  const gint64 *x = dims (op, 0), f = op->node->attrs.factor;

  for (gint64 i = 0; i < x[0] * x[1]; i++)
    for (gint64 h = 0; h < x[2] * f; h++)
      for (gint64 w = 0; w < x[3] * f; w++)
        op->y[(i * x[2] * f + h) * x[3] * f + w] = op->in[0][(i * x[2] + h / f) * x[3] + w / f] / (double) (f * f);
}

/* PATCHES and UNPATCH: the same pairs of places, read one way or the other. */
static void
patches (const Op *op)
{
  const gboolean back = op->node->op == DIMR_OP_UNPATCH;
  const gint64 *image = back ? op->node->shape.dims : dims (op, 0), f = op->node->attrs.factor;
  const gint64 c = image[1], height = image[2], width = image[3];

  for (gint64 b = 0; b < image[0]; b++)
    for (gint64 i = 0; i < c; i++)
      for (gint64 h = 0; h < height; h++)
        for (gint64 w = 0; w < width; w++)
          {
            const gint64 picture = ((b * c + i) * height + h) * width + w;
            const gint64 row = (b * (height / f) + h / f) * (width / f) + w / f;
            const gint64 features = row * c * f * f + (i * f + h % f) * f + w % f;

            op->y[back ? picture : features] = op->in[0][back ? features : picture];
          }
}

static void
windows (const Op *op)
{
  const gint64 *x = dims (op, 0), k = op->node->attrs.factor;
  double *y = op->y;

  for (gint64 b = 0; b < x[0]; b++)
    for (gint64 h = 0; h < x[2]; h++)
      for (gint64 w = 0; w < x[3]; w++)
        for (gint64 c = 0; c < x[1]; c++)
          for (gint64 i = 0; i < k; i++)
            for (gint64 j = 0; j < k; j++)
              {
                const gint64 row = h + k / 2 - i, column = w + k / 2 - j;
                const gboolean inside = row >= 0 && column >= 0 && row < x[2] && column < x[3];

                *y++ = inside ? op->in[0][((b * x[1] + c) * x[2] + row) * x[3] + column] : 0;
              }
}

static void
position_grad (const Op *op)
{
  const gint64 *dy = dims (op, 0);

  zero (op);
  for (gint64 b = 0; b < dy[0]; b++)
    for (gint64 h = 0; h < dy[1]; h++)
      for (gint64 w = 0; w < dy[2]; w++)
        for (gint64 d = 0; d < dy[3]; d++)
          op->y[(h * op->node->attrs.width + w) * dy[3] + d] += op->in[0][((b * dy[1] + h) * dy[2] + w) * dy[3] + d];
}

static void
embedding_grad (const Op *op)
{
  const gint64 *dy = dims (op, 0);

  zero (op);
  for (gint64 b = 0; b < dy[0]; b++)
    for (gint64 d = 0; d < dy[1]; d++)
      op->y[(gint64) op->in[1][b] * dy[1] + d] += op->in[0][b * dy[1] + d];
}

static void
time_param_grad (const Op *op)
{
  const gint64 *dy = dims (op, 0), d = dy[1];

  zero (op);
  for (gint64 t = 0; t < dy[0]; t++)
    for (gint64 i = 0; i < d; i++)
      {
        const double tau = op->in[1][t] / 4, s = 1 / (1 + exp (-(tau * (1 + op->in[4][i]) + op->in[5][i])));
        const double g = op->in[0][t * d + i], inner = g * (op->in[2][i] - op->in[3][i]) * s * (1 - s);

        op->y[i] += g * s;
        op->y[d + i] += g * (1 - s);
        op->y[2 * d + i] += inner * tau;
        op->y[3 * d + i] += inner;
      }
}

/* With s = softmax(scores): dv_j = Σ_i s_ij dy_i and, for the scores, s_ij (dy_i·v_j − dy_i·y_i). */
static void
attention_grad (const Op *op)
{
  const gint64 *y = dims (op, 1), n = y[1], d = y[2], hd = d / op->node->attrs.n_heads;
  g_autofree double *p = g_new (double, n);

  zero (op);
  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 first = 0; first < d; first += hd)
      for (gint64 i = 0; i < n; i++)
        {
          const double *qkv = op->in[0] + b * n * 3 * d + first, *dy = op->in[2] + (b * n + i) * d + first;
          double *out = op->y + b * n * 3 * d + first;
          double top = -INFINITY, sum = 0, along = 0;

          for (gint64 j = 0; j < n; j++)
            {
              p[j] = 0;
              for (gint64 c = 0; c < hd; c++)
                p[j] += qkv[i * 3 * d + c] * qkv[j * 3 * d + d + c] / sqrt ((double) hd);
              top = MAX (top, p[j]);
            }
          for (gint64 j = 0; j < n; j++)
            sum += p[j] = exp (p[j] - top);
          for (gint64 c = 0; c < hd; c++)
            along += dy[c] * op->in[1][(b * n + i) * d + first + c];
          for (gint64 j = 0; j < n; j++)
            {
              double s = p[j] / sum, value = 0, score;

              for (gint64 c = 0; c < hd; c++)
                value += dy[c] * qkv[j * 3 * d + 2 * d + c];
              score = s * (value - along) / sqrt ((double) hd);
              for (gint64 c = 0; c < hd; c++)
                {
                  out[i * 3 * d + c] += score * qkv[j * 3 * d + d + c];
                  out[j * 3 * d + d + c] += score * qkv[i * 3 * d + c];
                  out[j * 3 * d + 2 * d + c] += s * dy[c];
                }
            }
        }
}

static void
geglu_grad (const Op *op)
{
  for (gsize i = 0; i < n_elements (op); i++)
    {
      const double a = op->in[0][i];
      const double slope = .5 * (1 + erf (a / sqrt (2))) + a * exp (-a * a / 2) / sqrt (2 * G_PI);

      op->y[i] = slope * op->in[1][i] * op->in[2][i];
    }
}

static void
depthwise_input_grad (const Op *op)
{
  const gint64 *y = op->node->shape.dims, k = dims (op, 1)[2];

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 h = 0; h < y[1]; h++)
      for (gint64 v = 0; v < y[2]; v++)
        for (gint64 d = 0; d < y[3]; d++)
          {
            const gint64 at = ((b * y[1] + h) * y[2] + v) * y[3] + d;
            double sum = op->in[2] != NULL ? op->in[2][at] : 0;

            for (gint64 i = 0; i < k; i++)
              for (gint64 j = 0; j < k; j++)
                {
                  const gint64 row = h - (i - k / 2), column = v - (j - k / 2);

                  if (row >= 0 && column >= 0 && row < y[1] && column < y[2])
                    sum += op->in[0][((b * y[1] + row) * y[2] + column) * y[3] + d] * op->in[1][(d * k + i) * k + j];
                }
            op->y[at] = sum;
          }
}

static void
depthwise_weight_grad (const Op *op)
{
  const gint64 *x = dims (op, 0), k = op->node->attrs.factor;

  zero (op);
  for (gint64 b = 0; b < x[0]; b++)
    for (gint64 h = 0; h < x[1]; h++)
      for (gint64 v = 0; v < x[2]; v++)
        for (gint64 d = 0; d < x[3]; d++)
          for (gint64 i = 0; i < k; i++)
            for (gint64 j = 0; j < k; j++)
              {
                const gint64 row = h + i - k / 2, column = v + j - k / 2;

                if (row >= 0 && column >= 0 && row < x[1] && column < x[2])
                  op->y[(d * k + i) * k + j] += op->in[1][((b * x[1] + h) * x[2] + v) * x[3] + d] *
                                                op->in[0][((b * x[1] + row) * x[2] + column) * x[3] + d];
              }
}

static void
pixel_unshuffle (const Op *op)
{
  const gint64 *x = dims (op, 0), *y = op->node->shape.dims, f = op->node->attrs.factor;

  for (gint64 b = 0; b < x[0]; b++)
    for (gint64 h = 0; h < x[1]; h++)
      for (gint64 v = 0; v < x[2]; v++)
        for (gint64 d = 0; d < x[3]; d++)
          op->y[((b * y[1] + h / f) * y[2] + v / f) * y[3] + ((h % f) * f + v % f) * x[3] + d] =
            op->in[0][((b * x[1] + h) * x[2] + v) * x[3] + d];
}

static void
conv_to_image_input_grad (const Op *op)
{
  const gint64 *w = dims (op, 0), *dy = dims (op, 1), k = w[2];

  zero (op);
  for (gint64 b = 0; b < dy[0]; b++)
    for (gint64 c = 0; c < w[0]; c++)
      for (gint64 h = 0; h < dy[2]; h++)
        for (gint64 v = 0; v < dy[3]; v++)
          for (gint64 d = 0; d < w[1]; d++)
            for (gint64 i = 0; i < k; i++)
              for (gint64 j = 0; j < k; j++)
                {
                  const gint64 row = h + i - k / 2, column = v + j - k / 2;

                  if (row >= 0 && column >= 0 && row < dy[2] && column < dy[3])
                    op->y[((b * dy[2] + row) * dy[3] + column) * w[1] + d] +=
                      op->in[1][((b * w[0] + c) * dy[2] + h) * dy[3] + v] * op->in[0][((c * w[1] + d) * k + i) * k + j];
                }
}

static void
mean_square (const Op *op)
{
  const gsize n = dimr_shape_n_elements (op_shape (op, 0)) / (gsize) dims (op, 0)[0];

  zero (op);
  for (gsize i = 0; i < n * (gsize) dims (op, 0)[0]; i++)
    op->y[i / n] += pow (op->in[0][i] - op->in[1][i], 2) / (double) n;
}

static void
mean_square_grad (const Op *op)
{
  const gsize n = n_elements (op) / (gsize) dims (op, 0)[0];

  for (gsize i = 0; i < n_elements (op); i++)
    op->y[i] = 2 / (double) n * op->in[2][i / n] * (op->in[0][i] - op->in[1][i]);
}

/* softmax (row) at @k, by its definition: the rows of tests are small numbers */
static double
softmax_at (const double *row,
            gsize         n,
            gsize         k)
{
  double sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += exp (row[i] - row[k]);
  return 1 / sum;
}

static void
cross_entropy (const Op *op)
{
  const gsize n = (gsize) dims (op, 0)[1];

  zero (op);
  for (gsize i = 0; i < n * (gsize) dims (op, 0)[0]; i++)
    op->y[i / n] -= op->in[1][i] * log (softmax_at (op->in[0] + i / n * n, n, i % n));
}

static void
cross_entropy_grad (const Op *op)
{
  const gsize n = (gsize) dims (op, 0)[1];

  for (gsize i = 0; i < n_elements (op); i++)
    {
      double mass = 0;

      for (gsize k = 0; k < n; k++)
        mass += op->in[1][i / n * n + k];
      op->y[i] = op->in[2][i / n] * (mass * softmax_at (op->in[0] + i / n * n, n, i % n) - op->in[1][i]);
    }
}

static void
unary_grad (const Op *op)
{
  for (gsize i = 0; i < n_elements (op); i++)
    {
      const double x = op->in[0][i], s = 1 / (1 + exp (-x)), k = sqrt (2 / G_PI);
      const double t = tanh (k * (x + 0.044715 * x * x * x));
      double slope = s + x * s * (1 - s);

      if (op->node->op == DIMR_OP_GELU_GRAD)
        slope = .5 * (1 + erf (x / sqrt (2))) + x * exp (-x * x / 2) / sqrt (2 * G_PI);
      else if (op->node->op == DIMR_OP_GELU_TANH_GRAD)
        slope = .5 * (1 + t) + .5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x);
      op->y[i] = slope * op->in[1][i];
    }
}

static void
sum_products (const Op *op)
{
  const gint64 d = channels (op, 0), rows = rows_of (op_shape (op, 0)), per_group = rows / n_rows (op);

  zero (op);
  for (gint64 r = 0; r < rows; r++)
    for (gint64 c = 0; c < d; c++)
      op->y[r / per_group * d + c] += op->in[0][r * d + c] * op->in[1][r * d + c];
}

static void
pad_channels (const Op *op)
{
  const gint64 d = channels (op, 0), length = last_dim (&op->node->shape);

  zero (op);
  for (gint64 r = 0; r < n_rows (op); r++)
    for (gint64 c = 0; c < d; c++)
      op->y[r * length + op->node->attrs.start + c] = op->in[0][r * d + c];
}

#define ROW(op) [(op) - DIMR_OP_FIRST_GRADIENT]
void (* const op_reference_gradients[DIMR_N_OPS - DIMR_OP_FIRST_GRADIENT]) (const Op *op) = {
  ROW (DIMR_OP_LINEAR_INPUT_GRAD) = linear_input_grad,
  ROW (DIMR_OP_LINEAR_WEIGHT_GRAD) = linear_weight_grad,
  ROW (DIMR_OP_SUM_ROWS) = sum_rows,
  ROW (DIMR_OP_PAD_TOKENS) = pad_tokens,
  ROW (DIMR_OP_TRANSPOSE) = transpose,
  ROW (DIMR_OP_SPREAD) = spread,
  ROW (DIMR_OP_PATCHES) = patches,
  ROW (DIMR_OP_UNPATCH) = patches,
  ROW (DIMR_OP_WINDOWS) = windows,
  ROW (DIMR_OP_POSITION_GRAD) = position_grad,
  ROW (DIMR_OP_EMBEDDING_GRAD) = embedding_grad,
  ROW (DIMR_OP_TIME_PARAM_GRAD) = time_param_grad,
  ROW (DIMR_OP_RMS_NORM_GRAD) = op_reference_rms_norm_grad,
  ROW (DIMR_OP_RMS_NORM_SCALE_GRAD) = op_reference_rms_norm_scale_grad,
  ROW (DIMR_OP_LAYER_NORM_GRAD) = op_reference_layer_norm_grad,
  ROW (DIMR_OP_LAYER_NORM_WEIGHT_GRAD) = op_reference_layer_norm_weight_grad,
  ROW (DIMR_OP_ATTENTION_GRAD) = attention_grad,
  ROW (DIMR_OP_GEGLU_GRAD) = geglu_grad,
  ROW (DIMR_OP_DEPTHWISE_INPUT_GRAD) = depthwise_input_grad,
  ROW (DIMR_OP_DEPTHWISE_WEIGHT_GRAD) = depthwise_weight_grad,
  ROW (DIMR_OP_PIXEL_UNSHUFFLE) = pixel_unshuffle,
  ROW (DIMR_OP_CONV_TO_IMAGE_INPUT_GRAD) = conv_to_image_input_grad,
  ROW (DIMR_OP_SILU_GRAD) = unary_grad,
  ROW (DIMR_OP_GELU_GRAD) = unary_grad,
  ROW (DIMR_OP_GELU_TANH_GRAD) = unary_grad,
  ROW (DIMR_OP_SUM_PRODUCTS) = sum_products,
  ROW (DIMR_OP_PAD_CHANNELS) = pad_channels,
  ROW (DIMR_OP_ADA_RMS_NORM_GRAD) = op_reference_ada_rms_norm_grad,
  ROW (DIMR_OP_ADA_RMS_NORM_SCALE_GRAD) = op_reference_ada_rms_norm_scale_grad,
  ROW (DIMR_OP_AXIAL_ROPE_GRAD) = op_reference_axial_rope_grad,
  ROW (DIMR_OP_AXIAL_ROPE_PARAM_GRAD) = op_reference_axial_rope_grad,
  ROW (DIMR_OP_MEAN_SQUARE) = mean_square,
  ROW (DIMR_OP_MEAN_SQUARE_GRAD) = mean_square_grad,
  ROW (DIMR_OP_CROSS_ENTROPY) = cross_entropy,
  ROW (DIMR_OP_CROSS_ENTROPY_GRAD) = cross_entropy_grad,
};
