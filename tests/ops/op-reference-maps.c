/* SPDX-License-Identifier: Apache-2.0 */
#include "op-reference-private.h"

#include <math.h>

static double
silu_of (double x)
{
  return x / (1 + exp (-x));
}

void
op_reference_image_to_map (const Op *op)
{
  const gint64 *y = op->node->shape.dims;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 h = 0; h < y[1]; h++)
      for (gint64 v = 0; v < y[2]; v++)
        for (gint64 d = 0; d < y[3]; d++)
          op->y[((b * y[1] + h) * y[2] + v) * y[3] + d] = op->in[0][((b * y[3] + d) * y[1] + h) * y[2] + v];
}

void
op_reference_upsample_nearest (const Op *op)
{
  const gint64 *y = op->node->shape.dims, f = op->node->attrs.factor;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 h = 0; h < y[1]; h++)
      for (gint64 v = 0; v < y[2]; v++)
        for (gint64 d = 0; d < y[3]; d++)
          op->y[((b * y[1] + h) * y[2] + v) * y[3] + d] = padded (op, b, h / f, v / f, d);
}

void
op_reference_group_stats (const Op *op)
{
  const gint64 *x = dims (op, 0), groups = op->node->attrs.n_groups, width = x[3] / groups;
  DimrRegion region = op->node->attrs.region;
  double n;

  if (region.height == 0)
    region = (DimrRegion){ 0, 0, (guint) x[1], (guint) x[2] };
  n = (double) (region.height * region.width * width);
  for (gint64 b = 0; b < x[0]; b++)
    for (gint64 g = 0; g < groups; g++)
      {
        double mean = 0, variance = 0;

        for (guint pass = 0; pass < 2; pass++)
          for (gint64 h = region.top; h < region.top + region.height; h++)
            for (gint64 v = region.left; v < region.left + region.width; v++)
              for (gint64 d = g * width; d < (g + 1) * width; d++)
                {
                  if (pass == 0)
                    mean += padded (op, b, h, v, d) / n;
                  else
                    variance += pow (padded (op, b, h, v, d) - mean, 2) / n;
                }
        op->y[(b * groups + g) * 2] = mean;
        op->y[(b * groups + g) * 2 + 1] = variance;
      }
}

/* Element [b, h, v, d] of the map after the norm whose statistics are in @slot. */
static double
normalised (const Op *op,
            guint     slot,
            gint64    b,
            gint64    h,
            gint64    v,
            gint64    d)
{
  const gint64 *x = dims (op, 0), *stats = dims (op, slot), g = d / (x[3] / stats[1]);
  const double *s = op->in[slot] + ((stats[0] > 1 ? b : 0) * stats[1] + g) * 2;
  const double y = op->in[slot + 1][d] * (padded (op, b, h, v, d) - s[0]) / sqrt (s[1] + op->node->attrs.eps) + op->in[slot + 2][d];

  return op->node->attrs.silu ? silu_of (y) : y;
}

void
op_reference_group_norm (const Op *op)
{
  const gint64 *y = op->node->shape.dims;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 h = 0; h < y[1]; h++)
      for (gint64 v = 0; v < y[2]; v++)
        for (gint64 d = 0; d < y[3]; d++)
          op->y[((b * y[1] + h) * y[2] + v) * y[3] + d] = normalised (op, 1, b, h, v, d);
}

/* What the kernel multiplies at row @h and column @v of the map that it walks over. */
static double
conv_input (const Op *op,
            gint64    b,
            gint64    h,
            gint64    v,
            gint64    d)
{
  const gint64 *x = dims (op, 0), f = MAX (op->node->attrs.factor, 1);

  if (h < 0 || v < 0 || h >= x[1] * f || v >= x[2] * f)
    return 0;
  return operand (op, op->node->n_inputs > 4 ? normalised (op, 4, b, h / f, v / f, d) : padded (op, b, h / f, v / f, d));
}

/* What stands at tap (i, j) for output (h, v). Of an upsampled map each pixel is met by one, two or four taps, whose
 * sum is rounded, not they: it stands at the first of them, and zeros at the others. */
static double
conv_weight (const Op *op,
             gint64    c,
             gint64    d,
             gint64    i,
             gint64    j,
             gint64    h,
             gint64    v)
{
  const gint64 *w = dims (op, 1);
  const double *filter = op->in[1] + (c * w[1] + d) * w[2] * w[3];
  float sum = 0;

  if (op->node->attrs.factor != 2)
    return operand (op, filter[i * w[3] + j]);
  for (gint64 p = 0; p < 3; p++)
    for (gint64 q = 0; q < 3; q++)
      {
        if ((h + p - 1 + 2) / 2 != (h + i - 1 + 2) / 2 || (v + q - 1 + 2) / 2 != (v + j - 1 + 2) / 2)
          continue;
        if (p < i || q < j)
          return 0;
        sum += (float) filter[p * w[3] + q];
      }
  return operand (op, sum);
}

void
op_reference_conv2d (const Op *op)
{
  const gint64 *x = dims (op, 0), *y = op->node->shape.dims, k = dims (op, 1)[2];
  const gint64 stride = op->node->attrs.stride, pad = op->node->attrs.pad_before;

  for (gint64 b = 0; b < y[0]; b++)
    for (gint64 h = 0; h < y[1]; h++)
      for (gint64 v = 0; v < y[2]; v++)
        for (gint64 c = 0; c < y[3]; c++)
          {
            const gint64 at = ((b * y[1] + h) * y[2] + v) * y[3] + c;
            double sum = op->in[2] != NULL ? op->in[2][c] : 0;

            for (gint64 i = 0; i < k; i++)
              for (gint64 j = 0; j < k; j++)
                for (gint64 d = 0; d < x[3]; d++)
                  sum += conv_input (op, b, h * stride + i - pad, v * stride + j - pad, d) * conv_weight (op, c, d, i, j, h, v);
            op->y[at] = sum + (op->in[3] != NULL ? op->in[3][at] : 0);
          }
}
