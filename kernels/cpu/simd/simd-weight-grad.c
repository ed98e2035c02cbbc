/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-tables.h"
#include "kernels/cpu/simd/simd-tile.h"

/* Rows that are summed in registers before the sum goes back to memory: their part of x is packed
 * and stays in the cache for all of y's rows. Even: in bfloat16 rows go in pairs. */
#define ROW_BLOCK 256

#ifdef CPU_BF16_DOT
#define BF16_KIND TILE_BF16_DOT
#else
#define BF16_KIND TILE_F32
#endif

/* Rounded to bfloat16, which is the upper half of each lane; a NaN stays one. */
CPU_INLINE uvec
rounded (vec v)
{
  const uvec u = (uvec) v;

  return (uvec) vec_select (v == v, (vec) ((u + 0x7fff + (u >> 16 & 1)) & 0xffff0000), v);
}

/* Two rows for a product: in pairs of bfloat16, or each as floats. */
CPU_INLINE void
store_rows (float *out, gsize row, gsize width, vec first, vec second, const gboolean bf16)
{
#ifdef CPU_BF16_DOT
  if (bf16)
    {
      vec_store (out + row / 2 * width, (vec) (rounded (first) >> 16 | rounded (second)));
      return;
    }
#endif
  vec_store (out + row * width, bf16 ? (vec) rounded (first) : first);
  vec_store (out + (row + 1) * width, bf16 ? (vec) rounded (second) : second);
}

/* Columns [column, column + CPU_LANES) of row @row of the slices side by side, zeros past the end. */
CPU_INLINE vec
load_columns (const CpuWeightGrad *self, gsize row, gsize column)
{
  gsize s = 0, lane = 0, rest;
  vec v;

  while (s < self->n_slices && column >= self->slices[s].k)
    column -= self->slices[s++].k;
  if (s < self->n_slices && column + CPU_LANES <= self->slices[s].k)
    return vec_load (self->slices[s].x + row * self->slices[s].k + column);

  v = vec_splat (0.f);
  for (; s < self->n_slices && lane < CPU_LANES; s++, column = 0)
    for (rest = self->slices[s].k; column < rest && lane < CPU_LANES; column++)
      v[lane++] = self->slices[s].x[row * rest + column];
  return v;
}

/* Rows [row, row + n) of panels of x: [panels][n or n / 2][PANEL]. */
CPU_INLINE void
pack_x (const CpuWeightGrad *self, gsize row, gsize n, gsize panel, gsize n_panels, const gboolean bf16, float *out)
{
  for (gsize p = 0; p < n_panels; p++)
    for (gsize half = 0; half < 2; half++)
      {
        const gsize column = (panel + p) * PANEL + half * CPU_LANES;
        float *to = out + p * ROW_BLOCK * PANEL + half * CPU_LANES;

        for (gsize r = 0; r < n; r += 2)
          store_rows (to, r, PANEL, load_columns (self, row + r, column),
                      r + 1 < n ? load_columns (self, row + r + 1, column) : vec_splat (0.f), bf16);
      }
}

/* The same of dy: [rows or rows / 2][columns rounded up to vectors]. Only in bfloat16; floats are
 * read in place. */
CPU_INLINE gsize
packed_width (const CpuWeightGrad *self)
{
  return (self->n + CPU_LANES - 1) / CPU_LANES * CPU_LANES;
}

#ifdef CPU_BF16_DOT
#define PACKED_ROWS(n) (((n) + 1) / 2)
#else
#define PACKED_ROWS(n) (((n) + 1) / 2 * 2)
#endif

static gsize
weight_grad_packed (const CpuWeightGrad *self, gsize n_rows)
{
  return PACKED_ROWS (n_rows) * packed_width (self) * sizeof (float);
}

static void
weight_grad_pack (const CpuWeightGrad *self, gsize row, gsize n_rows)
{
  const gsize width = packed_width (self), n = self->n;

  for (gsize r = row; r < row + n_rows; r += 2)
    for (gsize c = 0; c < n; c += CPU_LANES)
      {
        const float *x = self->dy + r * n + c;
        vec first = load_rest (x, n - c), second = r + 1 < row + n_rows ? load_rest (x + n, n - c) : vec_splat (0.f);

        store_rows (self->packed + c, r, width, first, second, TRUE);
      }
}

static gsize
weight_grad_scratch (const CpuWeightGrad *self, gsize n_panels)
{
  return ROW_BLOCK * n_panels * PANEL;
}

/* @rows rows of y at @column, over @k rows of the operands. */
CPU_INLINE void
grad_tile (const guint rows, const TileKind kind, const CpuWeightGrad *self, gsize k, const float *dy, gsize stride,
           const float *x, gsize column, gboolean first, float *y)
{
  Tile tile;

#pragma GCC unroll 16
  for (guint i = 0; i < rows; i++)
    tile[i][0] = tile[i][1] = vec_splat (0.f);
  tile_multiply_transposed (tile, rows, kind, k, dy, stride, x);
  y += column;
  if (y == NULL)
    __builtin_unreachable (); /* else gcc follows the addend's "none" into the store */
  store_tile (tile, rows, self->k - column, first ? NULL : y, y, self->k);
}

CPU_INLINE void
grad_range (const TileKind kind, const gboolean bf16, const CpuWeightGrad *self, gsize row, gsize n_rows,
            gsize panel, gsize n_panels, float *scratch, float *y)
{
  for (gsize from = 0; from < n_rows; from += ROW_BLOCK)
    {
      const gsize n = MIN (ROW_BLOCK, n_rows - from), even = (n + 1) / 2 * 2;
      const gsize k = !bf16 ? n : kind == TILE_BF16_DOT ? even / 2 : even;
      const gsize stride = bf16 ? packed_width (self) : self->n;
      const float *dy = bf16 ? self->packed + PACKED_ROWS (row + from) * stride : self->dy + (row + from) * self->n;

      pack_x (self, row + from, n, panel, n_panels, bf16, scratch);
      for (gsize p = 0; p < n_panels; p++)
        {
          const float *x = scratch + p * ROW_BLOCK * PANEL;

#define GRAD(i, rows)                                                                        \
  grad_tile (rows, kind, self, k, dy + (i), stride, x, (panel + p) * PANEL, from == 0, y + (i) * self->k)
          TILE_FOR_ROWS (self->n, GRAD);
        }
    }
}

static void
weight_grad (const CpuWeightGrad *self, gsize row, gsize n_rows, gsize panel, gsize n_panels, float *scratch, float *y)
{
  if (self->bf16)
    grad_range (BF16_KIND, TRUE, self, row, n_rows, panel, n_panels, scratch, y);
  else
    grad_range (TILE_F32, FALSE, self, row, n_rows, panel, n_panels, scratch, y);
}

void
CPU_NAME (simd_weight_grad_fill) (CpuSimd *table)
{
  table->weight_grad_packed = weight_grad_packed;
  table->weight_grad_pack = weight_grad_pack;
  table->weight_grad_scratch = weight_grad_scratch;
  table->weight_grad = weight_grad;
}
