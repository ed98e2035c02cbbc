/* simd-tile.h — the one loop that all products go through: rows × one panel, in registers
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cpu/simd/simd-vector.h"

#ifdef CPU_BF16_DOT
#include <immintrin.h>
#endif

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

#ifdef CPU_BF16_DOT
          if (kind == TILE_BF16_DOT)
            {
              tile[i][0] = (vec) _mm512_dpbf16_ps ((__m512) tile[i][0], (__m512bh) ai, (__m512bh) b0);
              tile[i][1] = (vec) _mm512_dpbf16_ps ((__m512) tile[i][1], (__m512bh) ai, (__m512bh) b1);
              continue;
            }
#endif
          tile[i][0] += ai * b0;
          tile[i][1] += ai * b1;
        }
    }
}

/* Runs @call (row, rows) for all of @n_rows with constant numbers of rows: full tiles, then small
 * ones, then single rows. Three copies of the loop: one for every remainder took the compiler minutes. */
#define TILE_SMALL_ROWS MAX (TILE_ROWS / 3, 2)
#define TILE_FOR_ROWS(n_rows, call)                                                          \
  G_STMT_START {                                                                             \
    gsize row_ = 0;                                                                          \
    for (; row_ + TILE_ROWS <= (n_rows); row_ += TILE_ROWS)                                  \
      call (row_, TILE_ROWS);                                                                \
    for (; row_ + TILE_SMALL_ROWS <= (n_rows); row_ += TILE_SMALL_ROWS)                      \
      call (row_, TILE_SMALL_ROWS);                                                          \
    for (; row_ < (n_rows); row_++)                                                          \
      call (row_, 1);                                                                        \
  } G_STMT_END
