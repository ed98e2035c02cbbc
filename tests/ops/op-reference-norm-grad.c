/* op-reference-norm-grad.c — the slow gradients of norms, and of AXIAL_ROPE, whose queries and keys are normalized too
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "op-reference-private.h"

#include <math.h>

/* ‖x‖/√D of row @r in @slot. */
static double
root_of (const Op *op,
         guint     slot,
         gint64    r)
{
  const gint64 d = channels (op, slot);
  double sum = 0;

  for (gint64 c = 0; c < d; c++)
    sum += op->in[slot][r * d + c] * op->in[slot][r * d + c];
  return sqrt (sum / (double) d);
}

void
op_reference_rms_norm_grad (const Op *op)
{
  const gint64 d = channels (op, 0), per_time = n_rows (op) / dims (op, 1)[0];

  for (gint64 r = 0; r < n_rows (op); r++)
    {
      const double root = root_of (op, 0, r), q = root + op->node->attrs.eps;
      const double *scale = op->in[1] + r / per_time * d;
      double along = 0;

      for (gint64 c = 0; c < d; c++)
        along += scale[c] * op->in[2][r * d + c] * op->in[0][r * d + c];
      for (gint64 c = 0; c < d; c++)
        op->y[r * d + c] = scale[c] * op->in[2][r * d + c] / q -
                           (root > 0 ? op->in[0][r * d + c] * along / ((double) d * root * q * q) : 0) +
                           (op->in[3] != NULL ? op->in[3][r * d + c] : 0);
    }
}

void
op_reference_rms_norm_scale_grad (const Op *op)
{
  const gint64 d = channels (op, 0), rows = rows_of (op_shape (op, 0)), per_time = rows / n_rows (op);

  zero (op);
  for (gint64 r = 0; r < rows; r++)
    for (gint64 c = 0; c < d; c++)
      op->y[r / per_time * d + c] += op->in[0][r * d + c] / (root_of (op, 0, r) + op->node->attrs.eps) * op->in[1][r * d + c];
}

/* Of the inputs from @first on, side by side, d channels in all. */
static void
moments_of (const Op *op,
            guint     first,
            gint64    d,
            gint64    r,
            double   *mean,
            double   *deviation)
{
  double variance = 0;

  *mean = 0;
  for (gint64 c = 0; c < d; c++)
    *mean += side_by_side (op, first, r, c) / (double) d;
  for (gint64 c = 0; c < d; c++)
    variance += pow (side_by_side (op, first, r, c) - *mean, 2) / (double) d;
  *deviation = sqrt (variance + op->node->attrs.eps);
}

void
op_reference_layer_norm_grad (const Op *op)
{
  const gint64 d = channels (op, 1), per_time = op->in[0] != NULL ? n_rows (op) / dims (op, 0)[0] : n_rows (op);
  g_autofree double *ones = g_new (double, d);

  for (gint64 r = 0; r < n_rows (op); r++)
    {
      const double *weight = op->in[0] != NULL ? op->in[0] + r / per_time * d : ones, *dy = op->in[1] + r * d;
      double mean, deviation, sum = 0, along = 0;

      for (gint64 c = 0; c < d; c++)
        ones[c] = 1;

      moments_of (op, 2, d, r, &mean, &deviation);
      for (gint64 c = 0; c < d; c++)
        {
          sum += weight[c] * dy[c] / (double) d;
          along += weight[c] * dy[c] * (side_by_side (op, 2, r, c) - mean) / deviation / (double) d;
        }
      for (gint64 c = 0; c < d; c++)
        op->y[r * d + c] = (weight[c] * dy[c] - sum - (side_by_side (op, 2, r, c) - mean) / deviation * along) / deviation;
    }
}

void
op_reference_layer_norm_weight_grad (const Op *op)
{
  const gint64 d = channels (op, 0), rows = rows_of (op_shape (op, 0)), per_time = rows / n_rows (op);

  zero (op);
  for (gint64 r = 0; r < rows; r++)
    {
      double mean, deviation;

      moments_of (op, 1, d, r, &mean, &deviation);
      for (gint64 c = 0; c < d; c++)
        op->y[r / per_time * d + c] += (side_by_side (op, 1, r, c) - mean) / deviation * op->in[0][r * d + c];
    }
}

static double
root_mean_square (const double *x,
                  gint64        d,
                  double        eps)
{
  double mean = 0;

  for (gint64 c = 0; c < d; c++)
    mean += x[c] * x[c] / (double) d;
  return sqrt (mean + eps);
}

void
op_reference_ada_rms_norm_grad (const Op *op)
{
  const gint64 d = last_dim (&op->node->shape), m = dims (op, 1)[1], each = n_rows (op) / op->node->shape.dims[0];

  for (gint64 r = 0; r < n_rows (op); r++)
    {
      const double *x = op->in[0] + r * d, *s = op->in[1] + (r / each * m + r % each % m) * d, *dy = op->in[2] + r * d;
      const double root = root_mean_square (x, d, op->node->attrs.eps);
      double along = 0;

      for (gint64 c = 0; c < d; c++)
        along += (1 + s[c]) * dy[c] * x[c] / (double) d;
      for (gint64 c = 0; c < d; c++)
        op->y[r * d + c] = (1 + s[c]) * dy[c] / root - x[c] * along / (root * root * root);
    }
}

void
op_reference_ada_rms_norm_scale_grad (const Op *op)
{
  const gint64 d = channels (op, 0), rows = rows_of (op_shape (op, 0)), each = rows / dims (op, 0)[0], m = op->node->attrs.length;

  zero (op);
  for (gint64 r = 0; r < rows; r++)
    {
      const double root = root_mean_square (op->in[0] + r * d, d, op->node->attrs.eps);

      for (gint64 c = 0; c < d; c++)
        op->y[(r / each * m + r % each % m) * d + c] += op->in[1][r * d + c] * op->in[0][r * d + c] / root;
    }
}

/* Both gradients of AXIAL_ROPE, every derivative from the definition: y = R(angle) u, u = n x / root. */
void
op_reference_axial_rope_grad (const Op *op)
{
  const DimrAttrs *attrs = &op->node->attrs;
  const gboolean of_params = op->node->op == DIMR_OP_AXIAL_ROPE_PARAM_GRAD;
  const gint64 *x_dims = dims (op, 0), heads = attrs->n_heads, hd = x_dims[2] / 3 / heads, f = dims (op, 1)[1];
  const gint64 width = attrs->width, height = (x_dims[1] - attrs->start) / width;
  const double limit = log (100), longer = (double) MAX (height, width);

  zero (op);
  for (gint64 row = 0; row < x_dims[0] * x_dims[1]; row++)
    for (gint64 part = 0; part < 3 * heads; part++)
      {
        const gint64 at = row * x_dims[2] + part * hd, token = row % x_dims[1] - attrs->start, h = part % heads;
        const double *x = op->in[0] + at, *dy = op->in[4] + at, root = root_mean_square (x, hd, attrs->eps);
        const double n = exp (.5 * MIN (op->in[3][h], limit) - .25 * log ((double) hd));
        g_autofree double *du = g_memdup2 (dy, (gsize) hd * sizeof *dy);
        double along = 0;

        for (gint64 k = 0; part < 2 * heads && token >= 0 && k < 2 * f; k++)
          {
            const double place = k < f ? (double) (2 * (token / width) + 1 - height) / longer
                                       : (double) (2 * (token % width) + 1 - width) / longer;
            const double angle = place * exp (op->in[k < f ? 1 : 2][h * f + k % f]);
            const double u = n * x[2 * k] / root, v = n * x[2 * k + 1] / root;

            du[2 * k] = dy[2 * k] * cos (angle) + dy[2 * k + 1] * sin (angle);
            du[2 * k + 1] = dy[2 * k + 1] * cos (angle) - dy[2 * k] * sin (angle);
            if (of_params)
              op->y[h * (2 * f + 1) + k] += angle * (dy[2 * k] * (-u * sin (angle) - v * cos (angle)) +
                                                     dy[2 * k + 1] * (u * cos (angle) - v * sin (angle)));
          }
        for (gint64 c = 0; c < hd; c++)
          along += du[c] * x[c];
        if (of_params && part < 2 * heads && op->in[3][h] < limit)
          op->y[h * (2 * f + 1) + 2 * f] += .5 * n / root * along;
        for (gint64 c = 0; !of_params && c < hd; c++)
          op->y[at + c] = part < 2 * heads ? n / root * (du[c] - x[c] * along / (root * root * (double) hd)) : dy[c];
      }
}
