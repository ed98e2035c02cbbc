/* simd-tile.h — the one loop that all products go through: rows × one panel, in registers
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cpu/simd/simd-vector.h"

/* As many accumulators as leave room for the two vectors of B and one of A. */
#if CPU_LANES == 16
#define TILE_ROWS 12
#elif CPU_LANES == 8
#define TILE_ROWS 6
#else
#define TILE_ROWS 4
#endif
#define PANEL (2 * CPU_LANES)

typedef enum
{
  TILE_F32,      /* A and B are floats */
  TILE_BF16,     /* A is floats, B bfloat16 */
  TILE_BF16_DOT, /* A and B are pairs of bfloat16; k and lda count floats' worth of them: pairs */
} TileKind;

typedef vec Tile[TILE_ROWS][2];

/* tile[i] += a[i, 0 … k) B for @rows rows, B [k][PANEL]. @rows and @kind are constants where this
 * is expanded, so that the loops over them vanish and the tile stays in registers. */
CPU_INLINE void
tile_multiply (Tile tile, const guint rows, const TileKind kind, gsize k, const float *a, gsize lda,
               const void *b)
{
  const guint8 *p = b;

  for (gsize j = 0; j < k; j++)
    {
      vec b0, b1;

      if (kind == TILE_BF16)
        {
          b0 = vec_load_bf16 ((const guint16 *) (const void *) p);
          b1 = vec_load_bf16 ((const guint16 *) (const void *) p + CPU_LANES);
          p += PANEL * 2;
        }
      else
        {
          b0 = vec_load ((const float *) (const void *) p);
          b1 = vec_load ((const float *) (const void *) p + CPU_LANES);
          p += PANEL * 4;
        }
#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        {
          vec ai = vec_splat (a[i * lda + j]);

          if (kind == TILE_BF16_DOT)
            {
              tile[i][0] = vec_dot_bf16 (tile[i][0], ai, b0);
              tile[i][1] = vec_dot_bf16 (tile[i][1], ai, b1);
            }
          else
            {
              tile[i][0] += ai * b0;
              tile[i][1] += ai * b1;
            }
        }
    }
}

/* tile[i] += Σ_j a[j, i] b[j] for @rows columns of A, B [k][PANEL]: the same with A on its side. */
CPU_INLINE void
tile_multiply_transposed (Tile tile, const guint rows, const TileKind kind, gsize k, const float *a, gsize lda,
                          const float *b)
{
  for (gsize j = 0; j < k; j++)
    {
      vec b0 = vec_load (b + j * PANEL), b1 = vec_load (b + j * PANEL + CPU_LANES);

#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        {
          vec ai = vec_splat (a[j * lda + i]);

          if (kind == TILE_BF16_DOT)
            {
              tile[i][0] = vec_dot_bf16 (tile[i][0], ai, b0);
              tile[i][1] = vec_dot_bf16 (tile[i][1], ai, b1);
            }
          else
            {
              tile[i][0] += ai * b0;
              tile[i][1] += ai * b1;
            }
        }
    }
}

/* The last panel may stick out over the last column: its tile goes through memory.
 * y[i, c] = tile[i, c] + base[i, c] */
static __attribute__ ((noinline, unused)) void
store_part (const float *tile, gsize rows, gsize columns, const float *base, float *y, gsize n)
{
  for (gsize i = 0; i < rows; i++)
    for (gsize c = 0; c < columns; c++)
      y[i * n + c] = tile[i * PANEL + c] + (base != NULL ? base[i * n + c] : 0.f);
}

/* One tile to y, whose rows are @n apart; @base likewise, or NULL. */
CPU_INLINE void
store_tile (Tile tile, const guint rows, gsize columns, const float *base, float *y, gsize n)
{
  if (columns < PANEL)
    {
      float part[TILE_ROWS * PANEL];

#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (guint v = 0; v < 2; v++)
          vec_store (part + i * PANEL + v * CPU_LANES, tile[i][v]);
      store_part (part, rows, columns, base, y, n);
      return;
    }
#pragma GCC unroll 16
  for (guint i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (guint v = 0; v < 2; v++)
      {
        vec sum = tile[i][v];

        if (base != NULL)
          sum += vec_load (base + i * n + v * CPU_LANES);
        vec_store (y + i * n + v * CPU_LANES, sum);
      }
}

/* Every row of the tile is @bias, or zeros. */
CPU_INLINE void
begin_tile (Tile tile, const guint rows, const float *bias)
{
#pragma GCC unroll 2
  for (guint v = 0; v < 2; v++)
    {
      vec b = bias != NULL ? vec_load (bias + v * CPU_LANES) : vec_splat (0.f);

#pragma GCC unroll 16
      for (guint i = 0; i < rows; i++)
        tile[i][v] = b;
    }
}

/* Runs @call (row, rows) for all of @n_rows with constant numbers of rows: full tiles, then small
 * ones, then single rows. Three copies of the loop: one for every remainder took the compiler minutes. */
#define TILE_SMALL_ROWS MAX (TILE_ROWS / 3, 2)
#define TILE_FOR_ROWS(n_rows, call)                                                          \
  G_STMT_START {                                                                             \
    gsize row_ = 0;                                                                          \
    for (; row_ + TILE_ROWS <= (n_rows); row_ += TILE_ROWS)                                  \
      { call (row_, TILE_ROWS); }                                                            \
    for (; row_ + TILE_SMALL_ROWS <= (n_rows); row_ += TILE_SMALL_ROWS)                      \
      call (row_, TILE_SMALL_ROWS);                                                          \
    for (; row_ < (n_rows); row_++)                                                          \
      call (row_, 1);                                                                        \
  } G_STMT_END
