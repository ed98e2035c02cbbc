/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-head.h"
#include "kernels/cpu/simd/simd-tables.h"

/* One head of one image: keys and values go into panels once, then, for as many queries as a
 * tile has rows: scores, softmax, and the product with the values, all in the first-level cache.
 * Scratch memory: key panels, value panels, one tile of scores, [rows, columns]. */
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

static gsize
attention_scratch (gsize n_tokens, gsize head_width)
{
  return round_up (n_tokens) * (head_width + TILE_ROWS) + n_tokens * round_up (head_width);
}

CPU_INLINE void
attend (const guint rows, const Head *self, const float *q, float *y, gsize y_stride)
{
  const float scale = 1.f / __builtin_sqrtf ((float) self->hd);
  float inverse[TILE_ROWS];
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
