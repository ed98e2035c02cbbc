/* simd-pack.c — rows of weights turned into the columns of a panel
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/simd/simd-tables.h"
#include "kernels/cpu/simd/simd-tile.h"

/* Column @j of CPU_LANES rows. */
CPU_INLINE vec
gather (const float *rows, gsize pitch, gsize j)
{
  vec v = vec_splat (0.f);

  for (gsize l = 0; l < CPU_LANES; l++)
    v[l] = rows[l * pitch + j];
  return v;
}

static void
pack_floats (const float *rows, gsize pitch, gsize n_columns, float *out)
{
  for (gsize j = 0; j < n_columns; j++, out += PANEL)
    {
      vec_store (out, gather (rows, pitch, j));
      vec_store (out + CPU_LANES, gather (rows + CPU_LANES * pitch, pitch, j));
    }
}

#ifdef CPU_BF16_DOT
/* Two columns share a lane: rows are rounded in place, and what lies in 32 bits then is turned like floats. */
static void
pack_bf16 (float *rows, gsize pitch, gsize n_columns, guint16 *out)
{
  for (gsize r = 0; r < PANEL; r++)
    {
      float *row = rows + r * pitch;
      guint16 *rounded = (guint16 *) row;

      for (gsize i = 0; i < n_columns; i += CPU_LANES)
        vec_store_bf16 (rounded + i, vec_round_bf16 (load_rest (row + i, n_columns - i)));
    }
  pack_floats (rows, pitch, (n_columns + 1) / 2, (float *) (gpointer) out);
}
#else
static void
pack_bf16 (float *rows, gsize pitch, gsize n_columns, guint16 *out)
{
  for (gsize j = 0; j < n_columns; j++, out += PANEL)
    for (gsize half = 0; half < 2; half++)
      vec_store_bf16 (out + half * CPU_LANES, vec_round_bf16 (gather (rows + half * CPU_LANES * pitch, pitch, j)));
  if (n_columns % 2 != 0)
    memset (out, 0, PANEL * sizeof *out);
}
#endif

static void
pack (float *rows, gsize pitch, gsize n_columns, gboolean bf16, gpointer out)
{
  if (bf16)
    pack_bf16 (rows, pitch, n_columns, out);
  else
    pack_floats (rows, pitch, n_columns, out);
}

void
CPU_NAME (simd_pack_fill) (CpuSimd *table)
{
  table->pack = pack;
}
