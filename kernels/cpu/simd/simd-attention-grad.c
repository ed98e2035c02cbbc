/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-head.h"
#include "kernels/cpu/simd/simd-sums.h"
#include "kernels/cpu/simd/simd-tables.h"

/* One head of one image. With P = softmax(q kᵀ a), a = HD^-½, and y = P v:
 *   dv = Pᵀ dy,  dP = dy vᵀ,  dS = P ∘ (dP − rowsum(dy ∘ y)) a,  dq = dS k,  dk = dSᵀ q
 * P and dS are [n, columns], as the scores of the forward pass. */
typedef struct
{
  gsize n;
  gsize hd;
  gsize columns;
  gsize stride;     /* floats from one token's q to the next one's */
  gsize y_stride;
  const float *q;
  const float *y;
  const float *dy;
  float *dq;
  float *keys;      /* as columns */
  float *values;    /* as columns */
  float *key_rows;
  float *query_rows;
  float *dy_rows;
  float *p;
  float *ds;
} HeadGrad;

static gsize
attention_grad_scratch (gsize n_tokens, gsize head_width)
{
  const gsize columns = round_up (n_tokens);

  return 2 * columns * head_width + 3 * n_tokens * round_up (head_width) + 2 * n_tokens * columns;
}

/* out [rows, columns] = a [rows, hd] B */
CPU_INLINE void
score_tile (const guint rows, const HeadGrad *self, const float *a, gsize stride, const float *b, float *out)
{
  for (gsize c = 0; c < self->columns; c += PANEL)
    {
      Tile tile;

#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        tile[i][0] = tile[i][1] = vec_splat (0.f);
      tile_multiply (tile, rows, TILE_F32, self->hd, a, stride, b + c * self->hd);
#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        {
          vec_store (out + i * self->columns + c, tile[i][0]);
          vec_store (out + i * self->columns + c + CPU_LANES, tile[i][1]);
        }
    }
}

/* out [rows, hd] = a [rows, n] B, or with @transposed a [n, rows]ᵀ B */
CPU_INLINE void
row_tile (const guint rows, const gboolean transposed, const HeadGrad *self, const float *a, const float *b, float *out)
{
  for (gsize c = 0; c < self->hd; c += PANEL)
    {
      Tile tile;

#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        tile[i][0] = tile[i][1] = vec_splat (0.f);
      if (transposed)
        tile_multiply_transposed (tile, rows, TILE_F32, self->n, a, self->columns, b + c * self->n);
      else
        tile_multiply (tile, rows, TILE_F32, self->n, a, self->columns, b + c * self->n);
#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (guint v = 0; v < 2; v++)
          {
            const gsize first = c + v * CPU_LANES;

            if (first < self->hd)
              store_rest (out + i * self->stride + first, tile[i][v], self->hd - first);
          }
    }
}

/* Row @i of P from its scores, and of dS from dP. */
static void
soften_row (const HeadGrad *self, gsize i, float scale)
{
  float *p = self->p + i * self->columns, *ds = self->ds + i * self->columns;
  const float *y = self->y + i * self->y_stride, *dy = self->dy + i * self->y_stride;
  const vec inverse = vec_splat (1.f / soften (p, self->n, scale)), a = vec_splat (scale);
  vec sum = vec_splat (0.f), along;

  FOR_VECTORS (c, self->hd)
    sum += load_rest (y + c, self->hd - c) * load_rest (dy + c, self->hd - c);
  along = vec_splat (vec_sum (sum));
  for (gsize c = 0; c < self->columns; c += CPU_LANES)
    {
      const vec v = vec_load (p + c) * inverse;

      vec_store (p + c, v);
      vec_store (ds + c, v * (vec_load (ds + c) - along) * a);
    }
}

static void
attention_grad (const CpuAttentionGrad *self, gsize image, gsize head, float *scratch)
{
  const gsize n = self->n_tokens, hd = self->head_width, d = self->n_heads * hd, columns = round_up (n);
  const gsize first = image * n * 3 * d + head * hd;
  HeadGrad h = {
    .n = n, .hd = hd, .columns = columns, .stride = 3 * d, .y_stride = d,
    .q = self->qkv + first,
    .y = self->y + image * n * d + head * hd,
    .dy = self->dy + image * n * d + head * hd,
    .dq = self->dqkv + first,
    .keys = scratch,
  };

  h.values = h.keys + columns * hd;
  h.key_rows = h.values + columns * hd;
  h.query_rows = h.key_rows + n * round_up (hd);
  h.dy_rows = h.query_rows + n * round_up (hd);
  h.p = h.dy_rows + n * round_up (hd);
  h.ds = h.p + n * columns;
  pack_keys (h.q + d, n, hd, 3 * d, h.keys);
  pack_keys (h.q + 2 * d, n, hd, 3 * d, h.values);
  pack_values (h.q + d, n, hd, 3 * d, h.key_rows);
  pack_values (h.q, n, hd, 3 * d, h.query_rows);
  pack_values (h.dy, n, hd, d, h.dy_rows);

#define SCORES(i, rows)                                                                      \
  { score_tile (rows, &h, h.q + (i) * h.stride, h.stride, h.keys, h.p + (i) * columns);      \
    score_tile (rows, &h, h.dy + (i) * d, d, h.values, h.ds + (i) * columns); }
  TILE_FOR_ROWS (n, SCORES);
  for (gsize i = 0; i < n; i++)
    soften_row (&h, i, 1.f / __builtin_sqrtf ((float) hd));
#define ROWS(i, rows)                                                                        \
  { row_tile (rows, FALSE, &h, h.ds + (i) * columns, h.key_rows, h.dq + (i) * h.stride);     \
    row_tile (rows, TRUE, &h, h.ds + (i), h.query_rows, h.dq + d + (i) * h.stride);          \
    row_tile (rows, TRUE, &h, h.p + (i), h.dy_rows, h.dq + 2 * d + (i) * h.stride); }
  TILE_FOR_ROWS (n, ROWS);
}

void
CPU_NAME (simd_attention_grad_fill) (CpuSimd *table)
{
  table->attention_grad = attention_grad;
  table->attention_grad_scratch = attention_grad_scratch;
}
