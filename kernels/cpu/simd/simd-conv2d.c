/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/simd/simd-tables.h"
#include "kernels/cpu/simd/simd-tile.h"

/* A convolution as a product whose left side is never made. The rows of the map that a task needs
 * are packed into a band with its zeros around them; there the pixels of one row of the kernel lie
 * side by side, so a tile of neighbouring outputs reads rows of the band that overlap. */
typedef struct
{
  const CpuConv2d *conv;
  const float *x;   /* the packed rows */
  gsize pixel;      /* floats' worth of a pixel */
  gsize line;       /* of a row */
  gsize image;
  gsize row;        /* outputs [row, row + n_rows) of the image; with upsampling, of one of its four phases */
  gsize n_rows;
} Band;

/* One of the products that make the output: all of it, or the outputs of one parity (dy, dx). */
typedef struct
{
  gsize kernel;
  gsize dy;
  gsize dx;
  gsize step;       /* from one output to the next */
  gconstpointer weights;
} Phase;

/* Columns of K that are summed before the sum goes back to memory. */
#define K_BLOCK 768

static gsize
conv2d_depth (const CpuConv2d *self)
{
  return self->bf16 ? (self->d + 1) / 2 * 2 : self->d;
}

/* Of a packed pixel, in floats. */
CPU_INLINE gsize
pixel_floats (const CpuConv2d *self)
{
#ifdef CPU_BF16_DOT
  if (self->bf16)
    return conv2d_depth (self) / 2;
#endif
  return conv2d_depth (self);
}

CPU_INLINE gsize
line_pixels (const CpuConv2d *self)
{
  return self->pad_before + self->width + self->pad_after;
}

CPU_INLINE gsize
band_rows (const CpuConv2d *self, gsize n_rows)
{
  return (n_rows - 1) * self->stride + self->kernel;
}

static gsize
conv2d_scratch (const CpuConv2d *self, gsize n_rows)
{
  return band_rows (self, n_rows) * line_pixels (self) * pixel_floats (self);
}

/* @n numbers of a pixel, normalised and rounded as the products take them. */
CPU_INLINE void
pack_numbers (const gboolean norm, const gboolean silu, const gboolean bf16, const float *x, const float *scale,
              const float *shift, gsize n, float *out)
{
  for (gsize i = 0; i < n; i += CPU_LANES)
    {
      vec v = load_rest (x + i, n - i);

      if (norm)
        v = v * load_rest (scale + i, n - i) + load_rest (shift + i, n - i);
      if (silu)
        v = vec_silu (v);
      if (!bf16)
        {
          store_rest (out + i, v, n - i);
          continue;
        }
      v = vec_round_bf16 (v);
#ifdef CPU_BF16_DOT
      if (n - i >= CPU_LANES)
        vec_store_bf16 ((uint16_t *) (gpointer) out + i, v);
      else
        for (gsize j = 0; j < n - i; j++)
          ((uint16_t *) (gpointer) out)[i + j] = (uint16_t) (((uvec) v)[j] >> 16);
#else
      store_rest (out + i, v, n - i);
#endif
    }
}

/* Row @y of the map without what is around it. */
CPU_INLINE void
pack_row (const gboolean norm, const gboolean silu, const gboolean bf16, const CpuConv2d *self, gsize image, gsize y,
          float *out)
{
  const gsize d = self->d, pixel = pixel_floats (self);
  const float *x = self->x + (image * self->height + y) * self->width * d;
  const float *scale = norm ? self->scale + image * d : NULL, *shift = norm ? self->shift + image * d : NULL;

  if (!norm && d == conv2d_depth (self))
    {
      /* Pixels need not be told apart. */
      pack_numbers (FALSE, FALSE, bf16, x, NULL, NULL, self->width * d, out);
      return;
    }
  for (gsize c = 0; c < self->width; c++)
    {
      if (d < conv2d_depth (self))
        out[(c + 1) * pixel - 1] = 0.f; /* the channel that makes their number even */
      pack_numbers (norm, silu, bf16, x + c * d, scale, shift, d, out + c * pixel);
    }
}

CPU_INLINE void
pack_band (const gboolean norm, const gboolean silu, const gboolean bf16, const Band *band, float *out)
{
  const CpuConv2d *self = band->conv;
  const gsize n = band_rows (self, band->n_rows), before = self->pad_before * band->pixel;
  const gsize after = self->pad_after * band->pixel;

  for (gsize i = 0; i < n; i++, out += band->line)
    {
      const gsize y = band->row * self->stride + i - self->pad_before; /* wraps to something large above the top */

      if (y >= self->height)
        {
          memset (out, 0, band->line * sizeof *out);
          continue;
        }
      memset (out, 0, before * sizeof *out);
      pack_row (norm, silu, bf16, self, band->image, y, out + before);
      memset (out + band->line - after, 0, after * sizeof *out);
    }
}

static void
pack (const Band *band, float *out)
{
  const CpuConv2d *self = band->conv;

#define PACK(norm, silu)                                                                     \
  G_STMT_START {                                                                             \
    if (self->bf16)                                                                          \
      pack_band (norm, silu, TRUE, band, out);                                               \
    else                                                                                     \
      pack_band (norm, silu, FALSE, band, out);                                              \
  } G_STMT_END
  if (self->scale == NULL)
    PACK (FALSE, FALSE);
  else if (self->silu)
    PACK (TRUE, TRUE);
  else
    PACK (TRUE, FALSE);
#undef PACK
}

/* @rows outputs from column @column on, one panel, K in [first, first + k). */
CPU_INLINE void
conv_tile (const guint rows, const TileKind kind, const Band *band, const Phase *phase, gsize row, gsize column,
           gsize panel, gsize first, gsize k, const guint8 *b)
{
  const CpuConv2d *self = band->conv;
  const gsize b_row = kind == TILE_BF16 ? PANEL * 2 : PANEL * 4;
  const gsize run = phase->kernel * band->pixel, stride = self->stride * band->pixel;
  const gsize out_row = phase->step * (band->row + row) + phase->dy, out_column = phase->step * column + phase->dx;
  const gsize at = ((band->image * self->out_height + out_row) * self->out_width + out_column) * self->n + panel * PANEL;
  const float *a = band->x + (row * self->stride + phase->dy) * band->line + column * stride + phase->dx * band->pixel;
  const float *base = first == 0 ? self->residual : self->y;
  gsize i = first / run, from = first % run;
  Tile tile;

  begin_tile (tile, rows, first == 0 ? self->bias + panel * PANEL : NULL);
  while (k > 0)
    {
      const gsize n = MIN (k, run - from);

      tile_multiply (tile, rows, kind, n, a + i * band->line + from, stride, b);
      b += n * b_row;
      k -= n;
      from = 0;
      i++;
    }
  store_tile (tile, rows, self->n - panel * PANEL, base != NULL ? base + at : NULL, self->y + at,
                    phase->step * self->n);
}

CPU_INLINE void
conv_phase (const TileKind kind, const Band *band, const Phase *phase, gsize panel, gsize n_panels)
{
  const CpuConv2d *self = band->conv;
  const gsize b_row = kind == TILE_BF16 ? PANEL * 2 : PANEL * 4;
  const gsize depth = phase->kernel * phase->kernel * band->pixel, columns = self->out_width / phase->step;

  for (gsize first = 0; first < depth; first += K_BLOCK)
    for (gsize p = panel; p < panel + n_panels; p++)
      {
        const gsize k = MIN (K_BLOCK, depth - first);
        const guint8 *b = (const guint8 *) phase->weights + (p * depth + first) * b_row;

        for (gsize r = 0; r < band->n_rows; r++)
          {
#define CONV(i, rows) conv_tile (rows, kind, band, phase, r, i, p, first, k, b)
            TILE_FOR_ROWS (columns, CONV);
          }
      }
}

static void
conv2d (const CpuConv2d *self, gsize image, gsize row, gsize n_rows, gsize panel, gsize n_panels, float *scratch)
{
  const Band band = {
    self, scratch, pixel_floats (self), line_pixels (self) * pixel_floats (self), image, row, n_rows,
  };

  pack (&band, scratch);
  for (guint i = 0; i < self->n_phases; i++)
    {
      const Phase phase = {
        .kernel = self->n_phases > 1 ? 2 : self->kernel, .dy = i / 2, .dx = i % 2, .step = self->n_phases > 1 ? 2 : 1,
        .weights = self->weights[i],
      };

      if (!self->bf16)
        conv_phase (TILE_F32, &band, &phase, panel, n_panels);
      else
#ifdef CPU_BF16_DOT
        conv_phase (TILE_BF16_DOT, &band, &phase, panel, n_panels);
#else
        conv_phase (TILE_BF16, &band, &phase, panel, n_panels);
#endif
    }
}

void
CPU_NAME (simd_conv2d_fill) (CpuSimd *table)
{
  table->conv2d = conv2d;
  table->conv2d_scratch = conv2d_scratch;
}
