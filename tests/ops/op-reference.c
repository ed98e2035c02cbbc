/* SPDX-License-Identifier: Apache-2.0 */
#include "op-reference-private.h"

#include <math.h>

static double
gelu (double x)
{
  return .5 * x * (1 + erf (x / sqrt (2)));
}

static void
slice_tokens (const Op *op)
{
  const gint64 *x = dims (op, 0), *y = op->node->shape.dims;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 n = 0; n < y[1]; n++)
      for (gint64 d = 0; d < y[2]; d++)
        op->y[(b * y[1] + n) * y[2] + d] = op->in[0][(b * x[1] + op->node->attrs.start + n) * y[2] + d];
}

static void
concat (const Op *op)
{
  const gint64 d = last_dim (&op->node->shape);

  for (gint64 r = 0; r < n_rows (op); r++)
    for (gint64 c = 0; c < d; c++)
      op->y[r * d + c] = side_by_side (op, 0, r, c);
}

static void
elementwise (const Op *op)
{
  for (gsize i = 0; i < dimr_shape_n_elements (&op->node->shape); i++)
    op->y[i] = op->node->op == DIMR_OP_ADD ? op->in[0][i] + op->in[1][i] : gelu (op->in[0][i]) * op->in[1][i];
}

static void
average_pool (const Op *op)
{
  const gint64 *x = dims (op, 0), *y = op->node->shape.dims, f = op->node->attrs.factor;

  for (gint64 i = 0; i < y[0] * y[1]; i++)
    for (gint64 h = 0; h < y[2]; h++)
      for (gint64 w = 0; w < y[3]; w++)
        {
          double sum = 0;

          for (gint64 dy = 0; dy < f; dy++)
            for (gint64 dx = 0; dx < f; dx++)
              sum += op->in[0][(i * x[2] + h * f + dy) * x[3] + w * f + dx];
          op->y[(i * y[2] + h) * y[3] + w] = sum / (double) (f * f);
        }
}

static void
patchify (const Op *op)
{
  const gint64 *x = dims (op, 0), *w = dims (op, 1), *y = op->node->shape.dims, k = w[2];

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 h = 0; h < y[1]; h++)
      for (gint64 v = 0; v < y[2]; v++)
        for (gint64 d = 0; d < y[3]; d++)
          {
            double sum = op->in[2] != NULL ? op->in[2][d] : 0;

            for (gint64 c = 0; c < x[1]; c++)
              for (gint64 i = 0; i < k; i++)
                for (gint64 j = 0; j < k; j++)
                  sum += op->in[0][((b * x[1] + c) * x[2] + h * k + i) * x[3] + v * k + j] *
                         op->in[1][((d * x[1] + c) * k + i) * k + j];
            op->y[((b * y[1] + h) * y[2] + v) * y[3] + d] = sum;
          }
}

static void
add_position (const Op *op)
{
  const gint64 *y = op->node->shape.dims;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 h = 0; h < y[1]; h++)
      for (gint64 w = 0; w < y[2]; w++)
        for (gint64 d = 0; d < y[3]; d++)
          {
            const gint64 at = ((b * y[1] + h) * y[2] + w) * y[3] + d;
            op->y[at] = op->in[0][at] + op->in[1][(h * op->node->attrs.width + w) * y[3] + d];
          }
}

static void
embedding (const Op *op)
{
  const gint64 *y = op->node->shape.dims;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 d = 0; d < y[1]; d++)
      op->y[b * y[1] + d] = op->in[0][(gint64) op->in[1][b] * y[1] + d];
}

static void
prepend_token (const Op *op)
{
  const gint64 *y = op->node->shape.dims;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 n = 0; n < y[1]; n++)
      for (gint64 d = 0; d < y[2]; d++)
        op->y[(b * y[1] + n) * y[2] + d] = n == 0 ? op->in[1][b * y[2] + d]
                                                  : op->in[0][(b * (y[1] - 1) + n - 1) * y[2] + d];
}

static void
time_param (const Op *op)
{
  const gint64 *y = op->node->shape.dims;

  for (gint64 t = 0; t < y[0]; t++)
    for (gint64 d = 0; d < y[1]; d++)
      {
        const double s = 1 / (1 + exp (-(op->in[0][t] / 4 * (1 + op->in[3][d]) + op->in[4][d])));
        op->y[t * y[1] + d] = op->in[2][d] + s * (op->in[1][d] - op->in[2][d]);
      }
}

/* Row of a [T, D] tensor in @slot that belongs to row @r of the output. */
static gint64
time_row (const Op *op,
          guint     slot,
          gint64    r)
{
  return r / (n_rows (op) / dims (op, slot)[0]);
}

static void
rms_norm (const Op *op)
{
  const gint64 d = last_dim (&op->node->shape);

  for (gint64 r = 0; r < n_rows (op); r++)
    {
      double sum = 0;

      for (gint64 c = 0; c < d; c++)
        sum += op->in[0][r * d + c] * op->in[0][r * d + c];
      for (gint64 c = 0; c < d; c++)
        op->y[r * d + c] = op->in[1][time_row (op, 1, r) * d + c] * op->in[0][r * d + c] /
                           (sqrt (sum) / sqrt ((double) d) + op->node->attrs.eps);
    }
}

static void
layer_norm (const Op *op)
{
  const gint64 d = last_dim (&op->node->shape);

  for (gint64 r = 0; r < n_rows (op); r++)
    {
      double mean = 0, variance = 0;

      for (gint64 c = 0; c < d; c++)
        mean += side_by_side (op, 2, r, c) / (double) d;
      for (gint64 c = 0; c < d; c++)
        variance += pow (side_by_side (op, 2, r, c) - mean, 2) / (double) d;
      for (gint64 c = 0; c < d; c++)
        {
          const double y = (side_by_side (op, 2, r, c) - mean) / sqrt (variance + op->node->attrs.eps);

          op->y[r * d + c] = op->in[0] == NULL ? y : op->in[0][time_row (op, 0, r) * d + c] * y +
                                                     op->in[1][time_row (op, 1, r) * d + c];
        }
    }
}

static void
linear (const Op *op)
{
  const gint64 n = last_dim (&op->node->shape), k = dims (op, 0)[1];

  for (gint64 r = 0; r < n_rows (op); r++)
    for (gint64 c = 0; c < n; c++)
      {
        double sum = op->in[1] != NULL ? op->in[1][c] : 0;
        guint slot = 3;

        for (gint64 i = 0, first = 0; i < k; i++)
          {
            if (i - first == channels (op, slot))
              first += channels (op, slot++);
            sum += operand (op, op->in[slot][r * channels (op, slot) + i - first]) * operand (op, op->in[0][c * k + i]);
          }
        op->y[r * n + c] = sum + (op->in[2] != NULL ? op->in[2][r * n + c] : 0);
      }
}

static void
linear_geglu (const Op *op)
{
  const gint64 n = last_dim (&op->node->shape), k = dims (op, 0)[1];

  for (gint64 r = 0; r < n_rows (op); r++)
    for (gint64 c = 0; c < n; c++)
      {
        double a = op->in[1][c], b = op->in[3][c];

        for (gint64 i = 0; i < k; i++)
          {
            a += operand (op, op->in[4][r * k + i]) * operand (op, op->in[0][c * k + i]);
            b += operand (op, op->in[4][r * k + i]) * operand (op, op->in[2][c * k + i]);
          }
        op->y[r * n + c] = gelu (a) * b;
      }
}

static void
attention (const Op *op)
{
  const gint64 *y = op->node->shape.dims, n = y[1], d = y[2], hd = d / op->node->attrs.n_heads;
  g_autofree double *p = g_new (double, n);

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 first = 0; first < d; first += hd)
      for (gint64 i = 0; i < n; i++)
        {
          const double *qkv = op->in[0] + b * n * 3 * d + first;
          double sum = 0, top = -INFINITY;

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
            {
              double out = 0;

              for (gint64 j = 0; j < n; j++)
                out += p[j] / sum * qkv[j * 3 * d + 2 * d + c];
              op->y[(b * n + i) * d + first + c] = out;
            }
        }
}

static void
depthwise_conv (const Op *op)
{
  const gint64 *y = op->node->shape.dims, k = dims (op, 1)[2];

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 h = 0; h < y[1]; h++)
      for (gint64 v = 0; v < y[2]; v++)
        for (gint64 d = 0; d < y[3]; d++)
          {
            const gint64 at = ((b * y[1] + h) * y[2] + v) * y[3] + d;
            double sum = op->in[2] != NULL ? op->in[2][d] : 0;

            for (gint64 i = 0; i < k; i++)
              for (gint64 j = 0; j < k; j++)
                sum += padded (op, b, h + i - k / 2, v + j - k / 2, d) * op->in[1][(d * k + i) * k + j];
            op->y[at] = sum + (op->in[3] != NULL ? op->in[3][at] : 0);
          }
}

static void
pixel_shuffle (const Op *op)
{
  const gint64 *x = dims (op, 0), *y = op->node->shape.dims, f = op->node->attrs.factor;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 h = 0; h < y[1]; h++)
      for (gint64 v = 0; v < y[2]; v++)
        for (gint64 d = 0; d < y[3]; d++)
          op->y[((b * y[1] + h) * y[2] + v) * y[3] + d] =
            op->in[0][((b * x[1] + h / f) * x[2] + v / f) * x[3] + ((h % f) * f + v % f) * y[3] + d];
}

static void
conv_to_image (const Op *op)
{
  const gint64 *x = dims (op, 0), *y = op->node->shape.dims, k = dims (op, 1)[2];

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 c = 0; c < y[1]; c++)
      for (gint64 h = 0; h < y[2]; h++)
        for (gint64 v = 0; v < y[3]; v++)
          {
            double sum = op->in[2] != NULL ? op->in[2][c] : 0;

            for (gint64 d = 0; d < x[3]; d++)
              for (gint64 i = 0; i < k; i++)
                for (gint64 j = 0; j < k; j++)
                  sum += padded (op, b, h + i - k / 2, v + j - k / 2, d) * op->in[1][((c * x[3] + d) * k + i) * k + j];
            op->y[((b * y[1] + c) * y[2] + h) * y[3] + v] = sum;
          }
}

static void
to_image (const Op *op)
{
  const gint64 *y = op->node->shape.dims;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 c = 0; c < y[1]; c++)
      for (gint64 i = 0; i < y[2] * y[3]; i++)
        op->y[(b * y[1] + c) * y[2] * y[3] + i] = op->in[0][(b * y[2] * y[3] + i) * y[1] + c];
}

static void
slice_channels (const Op *op)
{
  const gint64 d = last_dim (&op->node->shape);

  for (gint64 r = 0; r < n_rows (op); r++)
    for (gint64 c = 0; c < d; c++)
      op->y[r * d + c] = op->in[0][r * channels (op, 0) + op->node->attrs.start + c];
}

static void
repeat (const Op *op)
{
  const gsize n = dimr_shape_n_elements (&op->node->shape) / op->node->attrs.factor;

  for (gsize i = 0; i < n * op->node->attrs.factor; i++)
    op->y[i] = op->in[0][i % n];
}

static void
timestep_embedding (const Op *op)
{
  const gint64 *y = op->node->shape.dims;

  for (gint64 t = 0; t < y[0]; t++)
    for (gint64 i = 0; i < y[1]; i++)
      {
        const double w = (float) pow (10000, -2. * (double) (i % (y[1] / 2)) / (double) y[1]);
        op->y[t * y[1] + i] = i < y[1] / 2 ? cos (op->in[0][t] * w) : sin (op->in[0][t] * w);
      }
}

static void
unary (const Op *op)
{
  for (gsize i = 0; i < dimr_shape_n_elements (&op->node->shape); i++)
    {
      const double x = op->in[0][i];

      op->y[i] = op->node->op == DIMR_OP_SILU ? x / (1 + exp (-x))
                 : op->node->op == DIMR_OP_GELU ? gelu (x)
                 : .5 * x * (1 + tanh (sqrt (2 / G_PI) * (x + 0.044715 * x * x * x)));
    }
}

static void
modulate (const Op *op)
{
  const gint64 d = last_dim (&op->node->shape);

  for (gint64 r = 0; r < n_rows (op); r++)
    for (gint64 c = 0; c < d; c++)
      op->y[r * d + c] = op->in[0][r * d + c] * (1 + (op->in[2] != NULL ? op->in[2][time_row (op, 2, r) * d + c] : 0)) +
                         op->in[1][time_row (op, 1, r) * d + c];
}

static void
ada_rms_norm (const Op *op)
{
  const gint64 d = last_dim (&op->node->shape), m = dims (op, 1)[1], each = n_rows (op) / op->node->shape.dims[0];

  for (gint64 r = 0; r < n_rows (op); r++)
    {
      double mean = 0;

      for (gint64 c = 0; c < d; c++)
        mean += op->in[0][r * d + c] * op->in[0][r * d + c] / (double) d;
      for (gint64 c = 0; c < d; c++)
        op->y[r * d + c] = (1 + op->in[1][(r / each * m + r % each % m) * d + c]) * op->in[0][r * d + c] /
                           sqrt (mean + op->node->attrs.eps);
    }
}

/* The middles of @n cells between −@end and @end. */
static double
cell (gint64 i,
      gint64 n,
      double end)
{
  return -end + (2 * (double) i + 1) * end / (double) n;
}

static void
axial_rope (const Op *op)
{
  const DimrAttrs *attrs = &op->node->attrs;
  const gint64 *y = op->node->shape.dims, heads = attrs->n_heads, hd = y[2] / 3 / heads, f = dims (op, 1)[1];
  const gint64 width = attrs->width, height = (y[1] - attrs->start) / width;
  const double ratio = (double) height / (double) width;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 n = 0; n < y[1]; n++)
      for (gint64 part = 0; part < 3 * heads; part++)
        {
          const gint64 at = (b * y[1] + n) * y[2] + part * hd, token = n - attrs->start, h = part % heads;
          double mean = 0, scale = exp (.5 * MIN (op->in[3][h], log (100)) - .25 * log ((double) hd));

          for (gint64 c = 0; c < hd; c++)
            mean += op->in[0][at + c] * op->in[0][at + c] / (double) hd;
          scale = part < 2 * heads ? scale / sqrt (mean + attrs->eps) : 1;
          for (gint64 c = 0; c < hd; c++)
            op->y[at + c] = op->in[0][at + c] * scale;
          for (gint64 k = 0; part < 2 * heads && token >= 0 && k < 2 * f; k++)
            {
              const double place = k < f ? cell (token / width, height, MIN (1, ratio)) : cell (token % width, width, MIN (1, 1 / ratio));
              const double angle = place * exp (op->in[k < f ? 1 : 2][h * f + k % f]);
              const double u = op->y[at + 2 * k], v = op->y[at + 2 * k + 1];

              op->y[at + 2 * k] = u * cos (angle) - v * sin (angle);
              op->y[at + 2 * k + 1] = v * cos (angle) + u * sin (angle);
            }
        }
}

static void
gated_add (const Op *op)
{
  const gint64 d = last_dim (&op->node->shape);

  for (gint64 r = 0; r < n_rows (op); r++)
    for (gint64 c = 0; c < d; c++)
      op->y[r * d + c] = (op->in[0] != NULL ? op->in[0][r * d + c] : 0) +
                         op->in[1][time_row (op, 1, r) * d + c] * op->in[2][r * d + c];
}

static void (* const run[DIMR_OP_FIRST_GRADIENT]) (const Op *op) = {
  [DIMR_OP_SLICE_TOKENS] = slice_tokens,
  [DIMR_OP_CONCAT] = concat,
  [DIMR_OP_ADD] = elementwise,
  [DIMR_OP_AVERAGE_POOL] = average_pool,
  [DIMR_OP_PATCHIFY] = patchify,
  [DIMR_OP_ADD_POSITION] = add_position,
  [DIMR_OP_EMBEDDING] = embedding,
  [DIMR_OP_PREPEND_TOKEN] = prepend_token,
  [DIMR_OP_TIME_PARAM] = time_param,
  [DIMR_OP_RMS_NORM] = rms_norm,
  [DIMR_OP_LAYER_NORM] = layer_norm,
  [DIMR_OP_LINEAR] = linear,
  [DIMR_OP_ATTENTION] = attention,
  [DIMR_OP_GEGLU] = elementwise,
  [DIMR_OP_LINEAR_GEGLU] = linear_geglu,
  [DIMR_OP_DEPTHWISE_CONV] = depthwise_conv,
  [DIMR_OP_PIXEL_SHUFFLE] = pixel_shuffle,
  [DIMR_OP_CONV_TO_IMAGE] = conv_to_image,
  [DIMR_OP_TO_IMAGE] = to_image,
  [DIMR_OP_SLICE_CHANNELS] = slice_channels,
  [DIMR_OP_REPEAT] = repeat,
  [DIMR_OP_TIMESTEP_EMBEDDING] = timestep_embedding,
  [DIMR_OP_SILU] = unary,
  [DIMR_OP_GELU] = unary,
  [DIMR_OP_GELU_TANH] = unary,
  [DIMR_OP_MODULATE] = modulate,
  [DIMR_OP_GATED_ADD] = gated_add,
  [DIMR_OP_ADA_RMS_NORM] = ada_rms_norm,
  [DIMR_OP_AXIAL_ROPE] = axial_rope,
  [DIMR_OP_IMAGE_TO_MAP] = op_reference_image_to_map,
  [DIMR_OP_UPSAMPLE_NEAREST] = op_reference_upsample_nearest,
  [DIMR_OP_GROUP_STATS] = op_reference_group_stats,
  [DIMR_OP_GROUP_NORM] = op_reference_group_norm,
  [DIMR_OP_CONV2D] = op_reference_conv2d,
};

double *
op_reference (const DimrGraph      *graph,
              const DimrNode       *node,
              const double * const *inputs,
              DimrPrecision         precision)
{
  Op op = { graph, node, inputs, precision == DIMR_PRECISION_BF16, NULL };
  void (*function) (const Op *op);

  op.y = g_new (double, dimr_shape_n_elements (&node->shape));
  function = node->op < DIMR_OP_FIRST_GRADIENT ? run[node->op] : op_reference_gradients[node->op - DIMR_OP_FIRST_GRADIENT];
  g_assert_nonnull (function);
  function (&op);
  return op.y;
}
