/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/cpu-params.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIN_ASKED ((gsize) 1 << 20)

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
  const CpuSimd *simd;
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

/* Bytes aligned to a cache line, with whatever is in them. */
static gpointer
try_alloc (gsize        size,
           const char  *what,
           GError     **error)
{
  guint64 total, available = G_MAXUINT64;
  gpointer data = NULL;

  size = MAX (size, 64);
  /* Asking takes as long as filling half a megabyte, and most parameters are smaller. */
  if (size >= MIN_ASKED)
    cpu_get_memory (&total, &available);
  if (size <= available && posix_memalign (&data, 64, size) == 0)
    return data;
  cpu_get_memory (&total, &available);
  dimr_error_set (error, DIMR_ERROR_MEMORY,
                  _("%s needs %" PRIu64 " MiB of memory and %" PRIu64
                    " MiB are free; use a smaller batch or a smaller model"),
                  what, ((guint64) size >> 20) + 1, available >> 20);
  return NULL;
}

gpointer
cpu_try_alloc (gsize        size,
               const char  *what,
               GError     **error)
{
  gpointer data = try_alloc (size, what, error);

  if (data != NULL)
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
cpu_params_new (CpuTeam       *team,
                const CpuSimd *simd)
{
  CpuParams *self = g_new0 (CpuParams, 1);

  self->team = team;
  self->simd = simd;
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
      dimr_error_set (error, DIMR_ERROR_MODEL, _("The weights have no tensor '%s'"), name);
      return NULL;
    }
  if (dimr_tensor_get_n_elements (tensor) != (layout->stride != 0 ? layout->stride : layout->n) * layout->k)
    {
      g_autofree char *shape = dimr_shape_to_string (dimr_tensor_peek_shape (tensor));
      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("The tensor '%s' of the weights has shape %s, but the model needs %zu numbers there"),
                      name, shape, (layout->stride != 0 ? layout->stride : layout->n) * layout->k);
      return NULL;
    }

  what = g_strdup_printf (_("The parameter '%s'"), name);
  if (!cpu_layout_get_bytes (layout, &bytes))
    bytes = G_MAXSIZE;
  data = try_alloc (bytes, what, error);
  if (data == NULL)
    return NULL;
  dimr_weights_prefetch (weights, tensor);
  cpu_pack (self->team, self->simd, tensor, layout, data);
  dimr_weights_release (weights, tensor);

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
      cpu_pack (self->team, self->simd, dimr_weights_peek (weights, param->name), &param->layout, param->data);
}
