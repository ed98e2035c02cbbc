/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-head.h"
#include "kernels/cpu/simd/simd-tables.h"

/* One head of one image: keys and values go into panels once, then, for as many queries as a
 * tile has rows: scores, softmax, and the product with the values, all in the first-level cache.
 * Scratch memory: key panels, value panels, one tile of scores, [rows, columns].
 *
 * Of many tokens, some keys and values at a time. Then the softmax is that of the keys so far: each query
 * keeps its largest score and the sum of its exponentials, and what it has summed is scaled down
 * whenever a larger score turns up. y is where it sums. */
typedef struct
{
  gsize n;          /* tokens */
  gsize hd;
  gsize stride;     /* floats from one token's q to the next one's */
  gsize columns;    /* n rounded up to panels */
  float *keys;      /* [columns / PANEL][hd][PANEL] */
  float *values;    /* [panels of hd][n][PANEL] */
  float *scores;    /* [TILE_ROWS][columns] */
} Head;

/* Tokens above which keys come in parts, and how many at a time: those of a head as wide as an autoencoder's
 * stay in the second-level cache. */
#define WHOLE 512
#define PART 192

static gsize
attention_scratch (gsize n_tokens, gsize head_width)
{
  if (n_tokens > WHOLE)
    return round_up (PART) * (head_width + TILE_ROWS) + PART * round_up (head_width) + 2 * round_up (n_tokens);
  return round_up (n_tokens) * (head_width + TILE_ROWS) + n_tokens * round_up (head_width);
}

/* scores[i] = q[i] kᵀ */
CPU_INLINE void
score (const guint rows, const Head *self, const float *q)
{
  Tile tile;

  for (gsize c = 0; c < self->columns; c += PANEL)
    {
#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        tile[i][0] = tile[i][1] = vec_splat (0.f);
      tile_multiply (tile, rows, TILE_F32, self->hd, q, self->stride, self->keys + c * self->hd);
#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        {
          vec_store (self->scores + i * self->columns + c, tile[i][0]);
          vec_store (self->scores + i * self->columns + c + CPU_LANES, tile[i][1]);
        }
    }

}

CPU_INLINE void
attend (const guint rows, const Head *self, const float *q, float *y, gsize y_stride)
{
  const float scale = 1.f / __builtin_sqrtf ((float) self->hd);
  float inverse[TILE_ROWS];
  Tile tile;

  score (rows, self, q);
  for (guint i = 0; i < rows; i++)
    inverse[i] = 1.f / soften (self->scores + i * self->columns, self->n, scale);

  for (gsize c = 0; c < self->hd; c += PANEL)
    {
#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        tile[i][0] = tile[i][1] = vec_splat (0.f);
      tile_multiply (tile, rows, TILE_F32, self->n, self->scores, self->columns, self->values + c * self->n);
#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        for (guint v = 0; v < 2; v++)
          {
            const gsize first = c + v * CPU_LANES;
            vec out = tile[i][v] * vec_splat (inverse[i]);

            if (first + CPU_LANES <= self->hd)
              vec_store (y + i * y_stride + first, out);
            else if (first < self->hd)
              vec_store_part (y + i * y_stride + first, out, self->hd - first);
          }
    }
}

/* The same with a part of the keys. @top, @sum: of each query, over the parts before this one. */
CPU_INLINE void
attend_part (const guint rows, const Head *self, const float *q, float *y, gsize y_stride, float *top, float *sum,
             gboolean first)
{
  const float scale = 1.f / __builtin_sqrtf ((float) self->hd);
  Tile tile;

  score (rows, self, q);
  for (guint i = 0; i < rows; i++)
    {
      float *scores = self->scores + i * self->columns, largest = largest_of (scores, self->n), keep;

      if (!first && top[i] < largest)
        {
          keep = vec_exp (vec_splat ((top[i] - largest) * scale))[0];
          sum[i] *= keep;
          for (gsize c = 0; c < self->hd; c++)
            y[i * y_stride + c] *= keep;
        }
      else if (!first)
        largest = top[i];
      top[i] = largest;
      sum[i] = (first ? 0.f : sum[i]) + soften_below (scores, self->n, scale, largest);
    }

  for (gsize c = 0; c < self->hd; c += PANEL)
    {
      begin_tile (tile, rows, NULL);
      tile_multiply (tile, rows, TILE_F32, self->n, self->scores, self->columns, self->values + c * self->n);
      store_tile (tile, rows, self->hd - c, first ? NULL : y + c, y + c, y_stride);
    }
}

static void
attention_in_parts (const CpuAttention *self, const float *q, float *y, gsize token, gsize n_tokens, float *scratch)
{
  const gsize hd = self->head_width, d = self->n_heads * hd;
  Head h = {
    .hd = hd, .stride = 3 * d,
    .keys = scratch,
    .values = scratch + round_up (PART) * hd,
    .scores = scratch + round_up (PART) * hd + PART * round_up (hd),
  };
  float *top = h.scores + TILE_ROWS * round_up (PART), *sum = top + round_up (self->n_tokens);

  for (gsize first = 0; first < self->n_tokens; first += PART)
    {
      h.n = MIN (PART, self->n_tokens - first);
      h.columns = round_up (h.n);
      pack_keys (q + d + first * 3 * d, h.n, hd, 3 * d, h.keys);
      pack_values (q + 2 * d + first * 3 * d, h.n, hd, 3 * d, h.values);
#define ATTEND_PART(i, rows)                                                                 \
  attend_part (rows, &h, q + (token + i) * 3 * d, y + (token + i) * d, d, top + i, sum + i, first == 0)
      TILE_FOR_ROWS (n_tokens, ATTEND_PART);
    }
  for (gsize i = 0; i < n_tokens; i++)
    for (gsize c = 0; c < hd; c++)
      y[(token + i) * d + c] /= sum[i];
}

static void
attention (const CpuAttention *self, gsize image, gsize head, gsize token, gsize n_tokens, float *scratch)
{
  const gsize n = self->n_tokens, hd = self->head_width, d = self->n_heads * hd, columns = round_up (n);
  const float *q = self->qkv + image * n * 3 * d + head * hd;
  float *y = self->y + image * n * d + head * hd;
  Head h = {
    .n = n, .hd = hd, .stride = 3 * d, .columns = columns,
    .keys = scratch,
    .values = scratch + columns * hd,
    .scores = scratch + columns * hd + n * round_up (hd),
  };

  if (n > WHOLE)
    {
      attention_in_parts (self, q, y, token, n_tokens, scratch);
      return;
    }
  pack_keys (q + d, n, hd, 3 * d, h.keys);
  pack_values (q + 2 * d, n, hd, 3 * d, h.values);
#define ATTEND(i, rows) attend (rows, &h, q + (token + i) * 3 * d, y + (token + i) * d, d)
  TILE_FOR_ROWS (n_tokens, ATTEND);
}

void
CPU_NAME (simd_attention_fill) (CpuSimd *table)
{
  table->attention = attention;
  table->attention_scratch = attention_scratch;
}
