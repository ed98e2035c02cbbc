/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu-pack.h"

#include "core/base/dimr-checked.h"

#include <string.h>

static gboolean
is_bf16 (const CpuLayout *layout)
{
  return layout->kind == CPU_LAYOUT_PANELS_BF16 || layout->kind == CPU_LAYOUT_PANELS_BF16_PAIRS;
}

/* Channels of one tap as they are packed. */
static gsize
packed_channels (const CpuLayout *layout)
{
  const gsize d = layout->k / layout->taps;

  return is_bf16 (layout) ? (d + 1) / 2 * 2 : d;
}

/* Columns of K as they are packed. */
static gsize
packed_depth (const CpuLayout *layout)
{
  if (layout->kind == CPU_LAYOUT_IMAGE_CONV || layout->taps == 0)
    return layout->k;
  return (layout->phase > 0 ? 4 : layout->taps) * packed_channels (layout);
}

gboolean
cpu_layout_get_bytes (const CpuLayout *layout,
                      guint64         *bytes)
{
  const guint64 width = layout->width, panels = (layout->n + width - 1) / width, k = packed_depth (layout);
  guint64 n = 0, d;
  gboolean fits = TRUE;

  switch (layout->kind)
    {
    case CPU_LAYOUT_PLAIN:
      fits = dimr_checked_mul (layout->n, layout->k, &n) && dimr_checked_add (n, width - 1, &n) &&
             dimr_checked_mul (n / width * width, 4, &n);
      break;
    case CPU_LAYOUT_PANELS_F32:
    case CPU_LAYOUT_DEPTHWISE:
    case CPU_LAYOUT_DEPTHWISE_FLIPPED:
      fits = dimr_checked_mul (panels * width, k, &n) && dimr_checked_mul (n, 4, &n);
      break;
    case CPU_LAYOUT_PANELS_BF16:
    case CPU_LAYOUT_PANELS_BF16_PAIRS:
      fits = dimr_checked_mul (panels * width, (k + 1) / 2, &n) && dimr_checked_mul (n, 4, &n);
      break;
    case CPU_LAYOUT_IMAGE_CONV:
      d = (layout->k / layout->taps + width - 1) / width * width;
      fits = dimr_checked_mul (layout->n * layout->taps, d, &n) && dimr_checked_mul (n, 4, &n);
      break;
    default:
      g_assert_not_reached ();
    }
  *bytes = n;
  return fits;
}

/* Columns of K that are read from the file at a time: those of a panel's rows stay in the cache. */
#define CHUNK 256
/* Floats from one row to the next, which do not fall on the same lines of the cache. */
#define PITCH (CHUNK + 16)
#define MAX_PANEL 32

/* Bytes of one panel whose K is layout->k. */
static gsize
panel_bytes (const CpuLayout *layout)
{
  return layout->width * (is_bf16 (layout) ? (layout->k + 1) / 2 * 2 * sizeof (guint16) : layout->k * sizeof (float));
}

/* Puts @value where the layout has row @row and column @at. */
static inline void
put (const CpuLayout *layout,
     gpointer         data,
     gsize            row,
     gsize            at,
     float            value)
{
  const gsize width = layout->width, k = layout->k, even = (k + 1) / 2 * 2, panel = row / width, c = row % width;

  switch (layout->kind)
    {
    case CPU_LAYOUT_PANELS_BF16:
      ((guint16 *) data)[(panel * even + at) * width + c] = dimr_f32_to_bf16 (value);
      break;
    case CPU_LAYOUT_PANELS_BF16_PAIRS:
      ((guint16 *) data)[((panel * even / 2 + at / 2) * width + c) * 2 + at % 2] = dimr_f32_to_bf16 (value);
      break;
    default:
      ((float *) data)[(panel * k + at) * width + c] = value;
      break;
    }
}

/* One panel of a matrix whose columns stand in for rows. */
static void
pack_columns (const DimrTensor *tensor,
              const CpuLayout  *layout,
              gsize             panel,
              gpointer          data)
{
  const gsize first = panel * layout->width, count = MIN (layout->width, layout->n - first);
  float chunk[CHUNK];

  g_assert (count <= CHUNK);
  memset ((guint8 *) data + panel * panel_bytes (layout), 0, panel_bytes (layout));
  for (gsize at = 0; at < layout->k; at++)
    {
      dimr_tensor_read_f32 (tensor, at * layout->stride + layout->first + first, count, chunk);
      if (layout->kind == CPU_LAYOUT_PANELS_F32)
        memcpy ((float *) data + (panel * layout->k + at) * layout->width, chunk, count * sizeof chunk[0]);
      else
        for (gsize c = 0; c < count; c++)
          put (layout, data, first + c, at, chunk[c]);
    }
}

/* Rows [panel · width, (panel + 1) · width) of [n, k], as far as there are any. */
static void
pack_rows (const CpuSimd    *simd,
           const DimrTensor *tensor,
           const CpuLayout  *layout,
           gsize             panel,
           guint8           *data)
{
  const gsize k = layout->k, first = panel * layout->width, count = MIN (layout->width, layout->n - first);
  const gboolean bf16 = is_bf16 (layout);
  float rows[MAX_PANEL * PITCH];

  memset (rows + count * PITCH, 0, (layout->width - count) * PITCH * sizeof *rows);
  data += panel * panel_bytes (layout);
  for (gsize from = 0; from < k; from += CHUNK)
    {
      const gsize n = MIN (CHUNK, k - from);

      for (gsize row = 0; row < count; row++)
        dimr_tensor_read_f32 (tensor, (first + row) * k + from, n, rows + row * PITCH);
      simd->pack (rows, PITCH, n, bf16, data + from * layout->width * (bf16 ? sizeof (guint16) : sizeof (float)));
    }
}

/* One block of a depthwise convolution's channels. */
static void
pack_channels (const DimrTensor *tensor,
               const CpuLayout  *layout,
               gsize             block,
               float            *data)
{
  const gsize width = layout->width, k = layout->k, first = block * width, count = MIN (width, layout->n - first);
  const gboolean flipped = layout->kind == CPU_LAYOUT_DEPTHWISE_FLIPPED;
  g_autofree float *taps = g_new (float, k);

  data += block * k * width;
  memset (data, 0, k * width * sizeof *data);
  for (gsize c = 0; c < count; c++)
    {
      dimr_tensor_read_f32 (tensor, (first + c) * k, k, taps);
      for (gsize i = 0; i < k; i++)
        data[(flipped ? k - 1 - i : i) * width + c] = taps[i];
    }
}

/* One filter [d, taps] → [taps][channels], or the 2 × 2 kernel that a phase of an upsampled map sees: of two
 * neighbouring rows (columns) of the map, an even row of the output meets one row of the kernel in
 * the first and two in the second; an odd one two and one. */
static void
order_filter (const CpuLayout *layout,
              const float     *filter,
              float           *out)
{
  const gsize taps = layout->taps, d = layout->k / taps, channels = packed_channels (layout);
  const gsize dy = (layout->phase - 1) / 2, dx = (layout->phase - 1) % 2;

  for (gsize tap = 0; tap < taps; tap++)
    {
      gsize place = tap;

      if (layout->phase > 0)
        place = 2 * ((tap / 3 + 1 - dy) / 2) + (tap % 3 + 1 - dx) / 2;
      for (gsize i = 0; i < d; i++)
        out[place * channels + i] += filter[i * taps + tap];
    }
}

/* The same as pack_rows() of a convolution's weights. */
static void
pack_filters (const CpuSimd    *simd,
              const DimrTensor *tensor,
              const CpuLayout  *layout,
              gsize             panel,
              guint8           *data)
{
  const gsize width = layout->width, depth = packed_depth (layout), pitch = (depth + width - 1) / width * width + 16;
  const gboolean bf16 = is_bf16 (layout);
  g_autofree float *filter = g_new (float, layout->k);
  g_autofree float *rows = g_new0 (float, width * pitch);

  for (gsize c = 0; c < width && panel * width + c < layout->n; c++)
    {
      dimr_tensor_read_f32 (tensor, (panel * width + c) * layout->k, layout->k, filter);
      order_filter (layout, filter, rows + c * pitch);
    }
  simd->pack (rows, pitch, depth, bf16, data + panel * width * depth * (bf16 ? sizeof (guint16) : sizeof (float)));
}

static void
pack_image_conv (const DimrTensor *tensor,
                 const CpuLayout  *layout,
                 float            *data)
{
  const gsize taps = layout->taps, d = layout->k / taps, padded = (d + layout->width - 1) / layout->width * layout->width;

  memset (data, 0, layout->n * taps * padded * sizeof *data);
  for (gsize n = 0; n < layout->n; n++)
    for (gsize i = 0; i < d; i++)
      for (gsize tap = 0; tap < taps; tap++)
        dimr_tensor_read_f32 (tensor, (n * d + i) * taps + tap, 1, data + (n * taps + tap) * padded + i);
}

typedef struct
{
  const CpuSimd *simd;
  const DimrTensor *tensor;
  const CpuLayout *layout;
  gpointer data;
} PanelWork;

static gboolean
run_pack_panel (gpointer data,
                guint    phase,
                gsize    task,
                guint    thread)
{
  const PanelWork *work = data;

  if (work->layout->kind == CPU_LAYOUT_DEPTHWISE || work->layout->kind == CPU_LAYOUT_DEPTHWISE_FLIPPED)
    pack_channels (work->tensor, work->layout, task, work->data);
  else if (work->layout->stride != 0)
    pack_columns (work->tensor, work->layout, task, work->data);
  else if (work->layout->taps > 0)
    pack_filters (work->simd, work->tensor, work->layout, task, work->data);
  else
    pack_rows (work->simd, work->tensor, work->layout, task, work->data);
  return TRUE;
}

void
cpu_pack (CpuTeam          *team,
          const CpuSimd    *simd,
          const DimrTensor *tensor,
          const CpuLayout  *layout,
          gpointer          data)
{
  const gsize width = layout->width, n = layout->n * layout->k;
  CpuTeamPhase panels = { .n_tasks = (layout->n + width - 1) / width };
  PanelWork work = { simd, tensor, layout, data };

  switch (layout->kind)
    {
    case CPU_LAYOUT_PLAIN:
      dimr_tensor_read_f32 (tensor, 0, n, data);
      memset ((float *) data + n, 0, ((n + width - 1) / width * width - n) * sizeof (float));
      break;
    case CPU_LAYOUT_IMAGE_CONV:
      pack_image_conv (tensor, layout, data);
      break;
    default:
      g_assert (width <= MAX_PANEL);
      cpu_team_run (team, &panels, 1, run_pack_panel, &work);
      break;
    }
}
