/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu-params.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct _CpuParam
{
  guint ref_count;  /* the table's own reference is one of them */
  DimrWeights *weights;
  char *name;
  CpuLayout layout;
  gpointer data;
};

/* Invariant: a key of @table holds the address of the weights, which the value keeps alive, so an
 * address is never taken for that of newer weights. */
struct _CpuParams
{
  GHashTable *table;
  CpuTeam *team;
};

void
cpu_get_memory (guint64 *total,
                guint64 *available)
{
  g_autofree char *text = NULL;
  const guint64 page = (guint64) sysconf (_SC_PAGESIZE);

  *total = (guint64) sysconf (_SC_PHYS_PAGES) * page;
  *available = (guint64) sysconf (_SC_AVPHYS_PAGES) * page;
  /* The kernel's estimate counts caches that it would give up. */
  if (g_file_get_contents ("/proc/meminfo", &text, NULL, NULL))
    {
      const char *line = strstr (text, "MemAvailable:");

      if (line != NULL)
        *available = g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10) << 10;
    }
}

gpointer
cpu_try_alloc (gsize        size,
               const char  *what,
               GError     **error)
{
  guint64 total, available;
  gpointer data = NULL;

  cpu_get_memory (&total, &available);
  if (size > available || posix_memalign (&data, 64, MAX (size, 64)) != 0)
    {
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY,
                   "%s needs %" G_GUINT64_FORMAT " MiB of memory and %" G_GUINT64_FORMAT
                   " MiB are free; use a smaller batch or a smaller model",
                   what, ((guint64) size >> 20) + 1, available >> 20);
      return NULL;
    }
  memset (data, 0xff, MAX (size, 64));
  return data;
}

static void
cpu_param_free (CpuParam *self)
{
  dimr_weights_unref (self->weights);
  g_free (self->name);
  free (self->data);
  g_free (self);
}

gconstpointer
cpu_param_peek (const CpuParam *self)
{
  return self->data;
}

void
cpu_param_unref (CpuParam *self)
{
  g_assert (self->ref_count > 0);
  if (--self->ref_count == 0)
    cpu_param_free (self);
}

CpuParams *
cpu_params_new (CpuTeam *team)
{
  CpuParams *self = g_new0 (CpuParams, 1);

  self->team = team;
  self->table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) cpu_param_unref);
  return self;
}

void
cpu_params_free (CpuParams *self)
{
  g_hash_table_unref (self->table);
  g_free (self);
}

static gboolean
is_unused (gpointer key,
           gpointer value,
           gpointer data)
{
  return ((CpuParam *) value)->ref_count == 1;
}

void
cpu_params_trim (CpuParams *self)
{
  g_hash_table_foreach_remove (self->table, is_unused, NULL);
}

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

/* Bytes of a layout; FALSE where they overflow. */
static gboolean
layout_bytes (const CpuLayout *layout,
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

/* Columns of K that are read from the file at a time. */
#define CHUNK 512

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

/* Rows [first, first + width) of [n, k] into one panel. */
static void
pack_panel (const DimrTensor *tensor,
            const CpuLayout  *layout,
            gsize             panel,
            gpointer          data)
{
  const gsize width = layout->width, k = layout->k;
  const gboolean flipped = layout->kind == CPU_LAYOUT_DEPTHWISE_FLIPPED;
  float chunk[CHUNK];

  if (layout->stride != 0)
    {
      pack_columns (tensor, layout, panel, data);
      return;
    }

  for (gsize from = 0; from < k; from += CHUNK)
    for (gsize c = 0; c < width; c++)
      {
        const gsize row = panel * width + c, count = MIN (CHUNK, k - from);

        if (row >= layout->n)
          continue;
        dimr_tensor_read_f32 (tensor, row * k + from, count, chunk);
        for (gsize i = 0; i < count; i++)
          put (layout, data, row, flipped ? k - 1 - (from + i) : from + i, chunk[i]);
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

/* The same as pack_panel() of a convolution's weights. */
static void
pack_filter_panel (const DimrTensor *tensor,
                   const CpuLayout  *layout,
                   gsize             panel,
                   gpointer          data)
{
  const gsize width = layout->width, depth = packed_depth (layout);
  g_autofree float *filter = g_new (float, layout->k);
  g_autofree float *ordered = g_new (float, depth);

  for (gsize c = 0; c < width && panel * width + c < layout->n; c++)
    {
      dimr_tensor_read_f32 (tensor, (panel * width + c) * layout->k, layout->k, filter);
      memset (ordered, 0, depth * sizeof *ordered);
      order_filter (layout, filter, ordered);
      for (gsize i = 0; i < depth; i++)
        switch (layout->kind)
          {
          case CPU_LAYOUT_PANELS_BF16:
            ((guint16 *) data)[(panel * depth + i) * width + c] = dimr_f32_to_bf16 (ordered[i]);
            break;
          case CPU_LAYOUT_PANELS_BF16_PAIRS:
            ((guint16 *) data)[((panel * depth / 2 + i / 2) * width + c) * 2 + i % 2] = dimr_f32_to_bf16 (ordered[i]);
            break;
          default:
            ((float *) data)[(panel * depth + i) * width + c] = ordered[i];
            break;
          }
    }
}

static void
pack_image_conv (const DimrTensor *tensor,
                 const CpuLayout  *layout,
                 float            *data)
{
  const gsize taps = layout->taps, d = layout->k / taps, padded = (d + layout->width - 1) / layout->width * layout->width;

  for (gsize n = 0; n < layout->n; n++)
    for (gsize i = 0; i < d; i++)
      for (gsize tap = 0; tap < taps; tap++)
        dimr_tensor_read_f32 (tensor, (n * d + i) * taps + tap, 1, data + (n * taps + tap) * padded + i);
}

typedef struct
{
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

  if (work->layout->taps > 0)
    pack_filter_panel (work->tensor, work->layout, task, work->data);
  else
    pack_panel (work->tensor, work->layout, task, work->data);
  return TRUE;
}

static void
pack (CpuParams        *self,
      const DimrTensor *tensor,
      const CpuLayout  *layout,
      gpointer          data)
{
  CpuTeamPhase panels = { .n_tasks = (layout->n + layout->width - 1) / layout->width };
  PanelWork work = { tensor, layout, data };

  switch (layout->kind)
    {
    case CPU_LAYOUT_PLAIN:
      dimr_tensor_read_f32 (tensor, 0, layout->n * layout->k, data);
      break;
    case CPU_LAYOUT_IMAGE_CONV:
      pack_image_conv (tensor, layout, data);
      break;
    default:
      cpu_team_run (self->team, &panels, 1, run_pack_panel, &work);
      break;
    }
}

static CpuParam *
prepare (CpuParams        *self,
         DimrWeights      *weights,
         const char       *name,
         const CpuLayout  *layout,
         GError          **error)
{
  DimrTensor *tensor = dimr_weights_peek (weights, name);
  g_autofree char *what = NULL;
  guint64 bytes;
  gpointer data;
  CpuParam *param;

  if (tensor == NULL)
    {
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_MODEL, "The weights have no tensor '%s'", name);
      return NULL;
    }
  if (dimr_tensor_get_n_elements (tensor) != (layout->stride != 0 ? layout->stride : layout->n) * layout->k)
    {
      g_autofree char *shape = dimr_shape_to_string (dimr_tensor_peek_shape (tensor));
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_MODEL,
                   "The tensor '%s' of the weights has shape %s, but the model needs %" G_GSIZE_FORMAT " numbers there",
                   name, shape, (layout->stride != 0 ? layout->stride : layout->n) * layout->k);
      return NULL;
    }

  what = g_strdup_printf ("The parameter '%s'", name);
  if (!layout_bytes (layout, &bytes))
    bytes = G_MAXSIZE;
  data = cpu_try_alloc (bytes, what, error);
  if (data == NULL)
    return NULL;
  memset (data, 0, bytes);
  pack (self, tensor, layout, data);

  param = g_new0 (CpuParam, 1);
  param->ref_count = 1;
  param->weights = dimr_weights_ref (weights);
  param->name = g_strdup (name);
  param->layout = *layout;
  param->data = data;
  return param;
}

CpuParam *
cpu_params_get (CpuParams        *self,
                DimrWeights      *weights,
                const char       *name,
                const CpuLayout  *layout,
                GError          **error)
{
  g_autofree char *key = g_strdup_printf ("%p %d %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT " %u %" G_GSIZE_FORMAT
                                          " %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT " %s",
                                          (void *) weights, layout->kind, layout->n, layout->k, layout->taps,
                                          layout->phase, layout->width, layout->stride, layout->first, name);
  CpuParam *param = g_hash_table_lookup (self->table, key);

  if (param == NULL)
    {
      param = prepare (self, weights, name, layout, error);
      if (param == NULL)
        return NULL;
      g_hash_table_insert (self->table, g_steal_pointer (&key), param);
    }
  param->ref_count++;
  return param;
}

void
cpu_params_reload (CpuParams   *self,
                   DimrWeights *weights)
{
  GHashTableIter iter;
  CpuParam *param;

  g_hash_table_iter_init (&iter, self->table);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &param))
    if (param->weights == weights)
      pack (self, dimr_weights_peek (weights, param->name), &param->layout, param->data);
}
