/* simd-grad.c — gradients row by row: of the norms, the time-dependent parameters, the gate
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/simd/simd-sums.h"
#include "kernels/cpu/simd/simd-tables.h"

/* Blocks of columns whose sums stay in registers while the rows go by. */
static void
sum_rows (const float *x, gsize d, gsize n_rows, float *y)
{
  gsize c = 0;

  for (; c + 4 * CPU_LANES <= d; c += 4 * CPU_LANES)
    {
      vec s[4] = { vec_splat (0.f), vec_splat (0.f), vec_splat (0.f), vec_splat (0.f) };

      for (gsize r = 0; r < n_rows; r++)
#pragma GCC unroll 4
        for (guint j = 0; j < 4; j++)
          s[j] += vec_load (x + r * d + c + j * CPU_LANES);
#pragma GCC unroll 4
      for (guint j = 0; j < 4; j++)
        vec_store (y + c + j * CPU_LANES, s[j]);
    }
  for (; c < d; c += CPU_LANES)
    {
      vec s = vec_splat (0.f);

      for (gsize r = 0; r < n_rows; r++)
        s += load_rest (x + r * d + c, d - c);
      store_rest (y + c, s, d - c);
    }
}

/* Σ a · b · c; @b may be NULL. */
CPU_INLINE double
dot_of (const float *a, const float *b, const float *c, gsize n)
{
  vec s[2] = { vec_splat (0.f), vec_splat (0.f) };
  guint j = 0;

  FOR_VECTORS (i, n)
    {
      vec v = load_rest (a + i, n - i) * load_rest (c + i, n - i);

      if (b != NULL)
        v *= load_rest (b + i, n - i);
      s[j ^= 1] += v;
    }
  return (double) vec_sum (s[0] + s[1]);
}

/* y = s x / q, q = r + eps, r = ‖x‖/√D:  dx = s dy / q − x (Σ s dy x) / (D r q²). The second term
 * of a row of zeros is zero. */
static void
rms_norm_grad (const CpuNormGrad *self, gsize row, gsize n_rows)
{
  const gsize d = self->d;

  for (gsize r = row; r < row + n_rows; r++)
    {
      const float *x = self->slices[0].x + r * d, *dy = self->dy + r * d, *scale = self->scale + r / self->rows_per_time * d;
      const float *residual = self->residual != NULL ? self->residual + r * d : NULL;
      const double root = __builtin_sqrt (squares_of (x, d, 0.f) / (double) d), q = root + self->eps;
      const double along = root > 0 ? dot_of (scale, dy, x, d) / ((double) d * root * q * q) : 0;
      const vec f = vec_splat ((float) (1. / q)), g = vec_splat ((float) along);
      float *dx = self->dx + r * d;

      FOR_VECTORS (i, d)
        {
          vec v = load_rest (scale + i, d - i) * load_rest (dy + i, d - i) * f - load_rest (x + i, d - i) * g;

          if (residual != NULL)
            v += load_rest (residual + i, d - i);
          store_rest (dx + i, v, d - i);
        }
    }
}

static void
rms_norm_scale_grad (const CpuNormGrad *self, gsize row, gsize n_rows, float *y)
{
  const gsize d = self->d;

  memset (y, 0, d * sizeof *y);
  for (gsize r = row; r < row + n_rows; r++)
    {
      const float *x = self->slices[0].x + r * d, *dy = self->dy + r * d;
      const vec f = vec_splat ((float) (1. / (__builtin_sqrt (squares_of (x, d, 0.f) / (double) d) + self->eps)));

      FOR_VECTORS (i, d)
        store_rest (y + i, load_rest (y + i, d - i) + load_rest (x + i, d - i) * f * load_rest (dy + i, d - i), d - i);
    }
}

/* Mean of row @r over all slices, and 1/√(variance + eps). */
CPU_INLINE void
row_statistics (const CpuNormGrad *self, gsize r, float *mean, float *inverse)
{
  double sum = 0, squares = 0;

  for (gsize s = 0; s < self->n_slices; s++)
    sum += sum_of (self->slices[s].x + r * self->slices[s].k, self->slices[s].k);
  *mean = (float) (sum / (double) self->d);
  for (gsize s = 0; s < self->n_slices; s++)
    squares += squares_of (self->slices[s].x + r * self->slices[s].k, self->slices[s].k, *mean);
  *inverse = (float) (1. / __builtin_sqrt (squares / (double) self->d + self->eps));
}

/* With x̂ = (x − mean) f and u = w dy:  dx = f (u − mean(u) − x̂ mean(u x̂)). */
static void
layer_norm_grad (const CpuNormGrad *self, gsize row, gsize n_rows)
{
  for (gsize r = row; r < row + n_rows; r++)
    {
      const float *weight = self->scale + r / self->rows_per_time * self->d, *dy = self->dy + r * self->d;
      float *dx = self->dx + r * self->d;
      float mean, inverse;
      double sum = 0, along = 0;
      vec m, f, a, b;

      row_statistics (self, r, &mean, &inverse);
      sum = dot_of (weight, NULL, dy, self->d);
      for (gsize s = 0, at = 0; s < self->n_slices; at += self->slices[s++].k)
        along += dot_of (weight + at, dy + at, self->slices[s].x + r * self->slices[s].k, self->slices[s].k);
      along = (along - (double) mean * sum) * (double) inverse / (double) self->d;
      m = vec_splat (mean);
      f = vec_splat (inverse);
      a = vec_splat ((float) (sum / (double) self->d));
      b = vec_splat ((float) along);

      for (gsize s = 0; s < self->n_slices; s++)
        {
          const gsize k = self->slices[s].k;
          const float *x = self->slices[s].x + r * k;

          FOR_VECTORS (i, k)
            store_rest (dx + i, f * (load_rest (weight + i, k - i) * load_rest (dy + i, k - i) - a -
                                     (load_rest (x + i, k - i) - m) * f * b), k - i);
          dx += k;
          dy += k;
          weight += k;
        }
    }
}

static void
layer_norm_weight_grad (const CpuNormGrad *self, gsize row, gsize n_rows, float *y)
{
  memset (y, 0, self->d * sizeof *y);
  for (gsize r = row; r < row + n_rows; r++)
    {
      const float *dy = self->dy + r * self->d;
      float *out = y;
      float mean, inverse;
      vec m, f;

      row_statistics (self, r, &mean, &inverse);
      m = vec_splat (mean);
      f = vec_splat (inverse);
      for (gsize s = 0; s < self->n_slices; s++)
        {
          const gsize k = self->slices[s].k;
          const float *x = self->slices[s].x + r * k;

          FOR_VECTORS (i, k)
            store_rest (out + i, load_rest (out + i, k - i) + (load_rest (x + i, k - i) - m) * f * load_rest (dy + i, k - i), k - i);
          out += k;
          dy += k;
        }
    }
}

/* p = p1 + s (p0 − p1), s = sigmoid(a), a = tau (1 + w) + b */
static void
time_param_grad (const CpuTimeParamGrad *self)
{
  const gsize d = self->param.d;
  const vec one = vec_splat (1.f);

  FOR_VECTORS (i, d)
    {
      const gsize rest = d - i;
      const vec difference = load_rest (self->param.param0 + i, rest) - load_rest (self->param.param1 + i, rest);
      const vec w = one + load_rest (self->param.weight + i, rest), b = load_rest (self->param.bias + i, rest);
      vec sum[4] = { vec_splat (0.f), vec_splat (0.f), vec_splat (0.f), vec_splat (0.f) };

      for (gsize t = 0; t < self->n_times; t++)
        {
          const vec dy = load_rest (self->dy + t * d + i, rest), tau = vec_splat (self->param.log_snr[t] * .25f);
          const vec s = one / (one + vec_exp (-(tau * w + b))), slope = dy * difference * s * (one - s);

          sum[0] += dy * s;
          sum[1] += dy * (one - s);
          sum[2] += slope * tau;
          sum[3] += slope;
        }
      for (guint j = 0; j < 4; j++)
        store_rest (self->y + j * d + i, sum[j], rest);
    }
}

/* gelu'(x) = Φ(x) + x φ(x) with the normal distribution's Φ and its density φ. */
CPU_INLINE vec
vec_gelu_slope (vec x)
{
  const vec half = vec_splat (.5f);

  return half + half * vec_erf (x * vec_splat (0.707106781f)) + x * vec_splat (0.398942280f) * vec_exp (-half * x * x);
}

/* x s(x) with s the sigmoid */
CPU_INLINE vec
vec_silu_slope (vec x)
{
  const vec one = vec_splat (1.f), s = one / (one + vec_exp (-x));

  return s * (one + x * (one - s));
}

/* The same with s of 2 √(2/π) (x + 0.044715 x³). */
CPU_INLINE vec
vec_gelu_tanh_slope (vec x)
{
  const vec one = vec_splat (1.f), a = vec_splat (1.59576912f), c = vec_splat (.0713548163f), square = x * x;
  const vec s = one / (one + vec_exp (-x * (a + c * square)));

  return s * (one + x * (one - s) * (a + vec_splat (3.f) * c * square));
}

static void
silu_grad (const float *x, const float *dy, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, vec_silu_slope (load_rest (x + i, n - i)) * load_rest (dy + i, n - i), n - i);
}

static void
gelu_grad (const float *x, const float *dy, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, vec_gelu_slope (load_rest (x + i, n - i)) * load_rest (dy + i, n - i), n - i);
}

static void
gelu_tanh_grad (const float *x, const float *dy, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, vec_gelu_tanh_slope (load_rest (x + i, n - i)) * load_rest (dy + i, n - i), n - i);
}

static void
geglu_grad (const float *a, const float *b, const float *dy, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, vec_gelu_slope (load_rest (a + i, n - i)) * load_rest (b + i, n - i) * load_rest (dy + i, n - i), n - i);
}

void
CPU_NAME (simd_grad_fill) (CpuSimd *table)
{
  table->sum_rows = sum_rows;
  table->rms_norm_grad = rms_norm_grad;
  table->rms_norm_scale_grad = rms_norm_scale_grad;
  table->layer_norm_grad = layer_norm_grad;
  table->layer_norm_weight_grad = layer_norm_weight_grad;
  table->time_param_grad = time_param_grad;
  table->silu_grad = silu_grad;
  table->gelu_grad = gelu_grad;
  table->gelu_tanh_grad = gelu_tanh_grad;
  table->geglu_grad = geglu_grad;
}
