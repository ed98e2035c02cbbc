/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-tables.h"
#include "kernels/cpu/simd/simd-tile.h"

/* Columns of K that are summed before the sum goes back to memory: their panel stays in the
 * cache, and a long sum is made of short ones, which rounds less. */
#define K_BLOCK 256

/* tile += concat(slices)[row …, first … first + k) B */
CPU_INLINE void
multiply_slices (Tile tile, const guint rows, const TileKind kind, const CpuProduct *self, gsize row,
                 gsize first, gsize k, const guint8 *b)
{
  const gsize b_row = kind == TILE_BF16 ? PANEL * 2 : PANEL * 4;
  gsize s = 0;

  while (first >= self->slices[s].k)
    first -= self->slices[s++].k;
  while (k > 0)
    {
      const CpuSlice *slice = &self->slices[s++];
      gsize n = MIN (k, slice->k - first);

      tile_multiply (tile, rows, kind, n, slice->x + row * slice->k + first, slice->k, b);
      b += n * b_row;
      k -= n;
      first = 0;
    }
}

/* One tile of y over K in [first, first + k): begins with the bias, and what @base adds to it. */
CPU_INLINE void
plain_tile (const guint rows, const TileKind kind, const CpuProduct *self, gsize row, gsize column,
            gsize first, gsize k, const guint8 *b)
{
  const gsize n = self->n, at = row * n + column;
  const float *base = first == 0 ? self->residual : self->y;
  Tile tile;

  begin_tile (tile, rows, first == 0 ? self->bias + column : NULL);
  multiply_slices (tile, rows, kind, self, row, first, k, b);
  store_tile (tile, rows, n - column, base != NULL ? base + at : NULL, self->y + at, n);
}

/* One tile of both products, and the gate. */
CPU_INLINE void
gated_tile (const guint rows, const TileKind kind, const CpuProduct *self, gsize row, gsize column,
            const guint8 *b0, const guint8 *b1)
{
  Tile tile, gate;

  begin_tile (gate, rows, self->bias + column);
  multiply_slices (gate, rows, kind, self, row, 0, self->k, b0);
  begin_tile (tile, rows, self->bias1 + column);
  multiply_slices (tile, rows, kind, self, row, 0, self->k, b1);
#pragma GCC unroll 16
  for (guint i = 0; i < rows; i++)
#pragma GCC unroll 2
    for (guint v = 0; v < 2; v++)
      tile[i][v] = vec_geglu (gate[i][v], tile[i][v]);
  store_tile (tile, rows, self->n - column, NULL, self->y + row * self->n + column, self->n);
}

/* Rows [begin, end) of @n_rows fetch their share of the next panel while the last one is in use. */
CPU_INLINE void
prefetch_share (const guint8 *next, gsize bytes, gsize begin, gsize end, gsize n_rows)
{
  for (gsize at = bytes / 64 * begin / n_rows; at < bytes / 64 * end / n_rows; at++)
    __builtin_prefetch (next + at * 64, 0, 2);
}

/* Bytes of y that go on while K goes by, so that each block of K but the first finds them in the second-level
 * cache. Worth it only while the rows of A, which every group of panels reads anew, are not long. */
#define Y_BYTES 65536
#define LONG_K (8 * K_BLOCK)

CPU_INLINE void
product_range (const TileKind kind, const CpuProduct *self, gsize row, gsize n_rows, gsize panel, gsize n_panels)
{
  const gsize b_row = kind == TILE_BF16 ? PANEL * 2 : PANEL * 4;
  const gsize k_block = self->weights1 != NULL ? self->k : K_BLOCK;
  const gsize group = self->k > LONG_K ? n_panels : MAX (Y_BYTES / (n_rows * PANEL * sizeof (float)), 1);
  const gsize end = panel + n_panels;

  for (gsize at = panel; at < end; at += group)
    for (gsize first = 0; first < self->k; first += k_block)
      for (gsize p = at; p < MIN (at + group, end); p++)
        {
          const gsize k = MIN (k_block, self->k - first), offset = (p * self->k + first) * b_row;
          const guint8 *b0 = (const guint8 *) self->weights + offset;

          if (self->weights1 != NULL)
            {
              const guint8 *b1 = (const guint8 *) self->weights1 + offset;

#define GATED(i, rows) gated_tile (rows, kind, self, row + i, p * PANEL, b0, b1)
              TILE_FOR_ROWS (n_rows, GATED);
            }
          else
            {
              const guint8 *next = b0 + self->k * b_row;
#define PLAIN(i, rows)                                                                       \
  { plain_tile (rows, kind, self, row + i, p * PANEL, first, k, b0);                         \
    prefetch_share (next, k * b_row, i, i + rows, n_rows); }
              TILE_FOR_ROWS (n_rows, PLAIN);
            }
        }
}

static void
product (const CpuProduct *self, gsize row, gsize n_rows, gsize panel, gsize n_panels)
{
  if (!self->bf16)
    {
      product_range (TILE_F32, self, row, n_rows, panel, n_panels);
      return;
    }
#ifdef CPU_BF16_DOT
  {
    /* Pairs of bfloat16 take the place of floats. */
    CpuSlice slice = { self->slices[0].x, self->k / 2 };
    CpuProduct pairs = *self;

    pairs.k = self->k / 2;
    pairs.slices = &slice;
    product_range (TILE_BF16_DOT, &pairs, row, n_rows, panel, n_panels);
  }
#else
  product_range (TILE_BF16, self, row, n_rows, panel, n_panels);
#endif
}

static void
round_bf16 (const CpuSlice *slices, gsize n_slices, gsize k, gsize row, gsize n_rows, gpointer out)
{
  for (gsize r = row; r < row + n_rows; r++)
    {
#ifdef CPU_BF16_DOT
      guint16 *y = (guint16 *) out + r * k, *end = y + k;
#else
      guint32 *y = (guint32 *) out + r * k, *end = y + k;
#endif
      for (gsize s = 0; s < n_slices; s++)
        {
          const float *x = slices[s].x + r * slices[s].k;

          for (gsize i = 0; i < slices[s].k; i++)
#ifdef CPU_BF16_DOT
            *y++ = (guint16) (bf16_bits (x[i]) >> 16);
#else
            *y++ = bf16_bits (x[i]);
#endif
        }
      while (y < end)
        *y++ = 0;
    }
}

void
CPU_NAME (simd_product_fill) (CpuSimd *table)
{
  table->lanes = CPU_LANES;
  table->tile_rows = TILE_ROWS;
  table->panel = PANEL;
#ifdef CPU_BF16_DOT
  table->bf16_dot = TRUE;
#endif
  table->product = product;
  table->round_bf16 = round_bf16;
}
