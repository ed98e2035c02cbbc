/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-tables.h"
#include "kernels/cpu/simd/simd-sums.h"

static void
rms_norm (const CpuNorm *self, gsize row, gsize n_rows)
{
  const gsize d = self->d;

  for (gsize r = row; r < row + n_rows; r++)
    {
      const float *x = self->slices[0].x + r * d, *scale = self->scale + r / self->rows_per_time * d;
      float *y = self->y + r * d;
      double root = __builtin_sqrt (squares_of (x, d, 0.f) / (double) d) + self->eps;
      vec f = vec_splat ((float) (1. / root));

      FOR_VECTORS (i, d)
        store_rest (y + i, load_rest (scale + i, d - i) * (load_rest (x + i, d - i) * f), d - i);
    }
}

static void
layer_norm (const CpuNorm *self, gsize row, gsize n_rows)
{
  for (gsize r = row; r < row + n_rows; r++)
    {
      const float *scale = self->scale + r / self->rows_per_time * self->d;
      const float *bias = self->bias + r / self->rows_per_time * self->d;
      float *y = self->y + r * self->d;
      double sum = 0, squares = 0;
      vec mean, f;

      for (gsize s = 0; s < self->n_slices; s++)
        sum += sum_of (self->slices[s].x + r * self->slices[s].k, self->slices[s].k);
      mean = vec_splat ((float) (sum / (double) self->d));
      for (gsize s = 0; s < self->n_slices; s++)
        squares += squares_of (self->slices[s].x + r * self->slices[s].k, self->slices[s].k, mean[0]);
      f = vec_splat ((float) (1. / __builtin_sqrt (squares / (double) self->d + self->eps)));

      for (gsize s = 0; s < self->n_slices; s++)
        {
          const gsize k = self->slices[s].k;
          const float *x = self->slices[s].x + r * k;

          FOR_VECTORS (i, k)
            store_rest (y + i, load_rest (scale + i, k - i) * ((load_rest (x + i, k - i) - mean) * f) +
                               load_rest (bias + i, k - i), k - i);
          y += k;
          scale += k;
          bias += k;
        }
    }
}

static void
time_param (const CpuTimeParam *self, gsize row, gsize n_rows)
{
  const vec one = vec_splat (1.f);

  for (gsize r = row; r < row + n_rows; r++)
    {
      const vec tau = vec_splat (self->log_snr[r] * .25f);
      float *y = self->y + r * self->d;

      FOR_VECTORS (i, self->d)
        {
          const gsize rest = self->d - i;
          vec p0 = load_rest (self->param0 + i, rest), p1 = load_rest (self->param1 + i, rest);
          vec a = tau * (one + load_rest (self->weight + i, rest)) + load_rest (self->bias + i, rest);
          vec s = one / (one + vec_exp (-a));

          store_rest (y + i, p1 + s * (p0 - p1), rest);
        }
    }
}

static void
add (const float *a, const float *b, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, load_rest (a + i, n - i) + load_rest (b + i, n - i), n - i);
}

static void
geglu (const float *a, const float *b, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, vec_geglu (load_rest (a + i, n - i), load_rest (b + i, n - i)), n - i);
}

static void
silu (const float *x, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, vec_silu (load_rest (x + i, n - i)), n - i);
}

static void
gelu (const float *x, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, vec_geglu (load_rest (x + i, n - i), vec_splat (1.f)), n - i);
}

static void
gelu_tanh (const float *x, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, vec_gelu_tanh (load_rest (x + i, n - i)), n - i);
}

static void
modulate (const float *x, const float *shift, const float *scale, float *y, gsize n)
{
  const vec one = vec_splat (1.f);

  FOR_VECTORS (i, n)
    store_rest (y + i, load_rest (x + i, n - i) * (one + load_rest (scale + i, n - i)) + load_rest (shift + i, n - i), n - i);
}

static void
gated_add (const float *x, const float *gate, const float *f, float *y, gsize n)
{
  FOR_VECTORS (i, n)
    store_rest (y + i, load_rest (x + i, n - i) + load_rest (gate + i, n - i) * load_rest (f + i, n - i), n - i);
}

void
CPU_NAME (simd_rows_fill) (CpuSimd *table)
{
  table->rms_norm = rms_norm;
  table->layer_norm = layer_norm;
  table->time_param = time_param;
  table->add = add;
  table->geglu = geglu;
  table->silu = silu;
  table->gelu = gelu;
  table->gelu_tanh = gelu_tanh;
  table->modulate = modulate;
  table->gated_add = gated_add;
}
