/* dimr-safetensors-header.c — where tensors stand in a file, and the JSON that tells it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/weights/dimr-safetensors-private.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

/* What the reader accepts; nothing is written that could not be read. */
#define MAX_NAME 1024
#define MAX_TENSORS 100000
#define MAX_HEADER 100000000

typedef DimrSafetensorsItem Item;

static void
append_quoted (GString    *out,
               const char *text)
{
  g_string_append_c (out, '"');
  for (const char *p = text; *p != '\0'; p++)
    if (*p == '"' || *p == '\\')
      g_string_append_printf (out, "\\%c", *p);
    else if ((guchar) *p < 0x20)
      g_string_append_printf (out, "\\u%04x", (guint) *p);
    else
      g_string_append_c (out, *p);
  g_string_append_c (out, '"');
}

static gboolean
append_metadata (GString     *out,
                 GHashTable  *metadata,
                 const char  *shown,
                 GError     **error)
{
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (metadata), (GCompareFunc) strcmp);

  g_string_append (out, "\"__metadata__\":{");
  for (GList *l = keys; l != NULL; l = l->next)
    {
      const char *value = g_hash_table_lookup (metadata, l->data);

      if (!g_utf8_validate (l->data, -1, NULL) || !g_utf8_validate (value, -1, NULL))
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s could not be written: a note to go with it is not UTF-8"), shown);
          return FALSE;
        }
      append_quoted (out, l->data);
      g_string_append_c (out, ':');
      append_quoted (out, value);
      if (l->next != NULL)
        g_string_append_c (out, ',');
    }
  g_string_append_c (out, '}');
  return TRUE;
}

static void
append_item (GString    *out,
             const Item *item)
{
  const DimrShape *shape = &item->shape;

  append_quoted (out, item->name);
  g_string_append_printf (out, ":{\"dtype\":\"%s\",\"shape\":[", dimr_dtype_name (item->dtype));
  for (guint i = 0; i < shape->n_dims; i++)
    g_string_append_printf (out, "%s%" G_GINT64_FORMAT, i > 0 ? "," : "", shape->dims[i]);
  g_string_append_printf (out, "],\"data_offsets\":[%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT "]}", item->begin,
                          item->end);
}

/* Length, JSON, and the spaces up to a multiple of eight. */
GString *
dimr_safetensors_make_header (GArray      *items,
                              GHashTable  *metadata,
                              const char  *shown,
                              GError     **error)
{
  g_autoptr (GString) out = g_string_new ("12345678{");
  guint64 length;

  if (metadata != NULL && g_hash_table_size (metadata) > 0)
    {
      if (!append_metadata (out, metadata, shown, error))
        return NULL;
      if (items->len > 0)
        g_string_append_c (out, ',');
    }
  for (guint i = 0; i < items->len; i++)
    {
      if (i > 0)
        g_string_append_c (out, ',');
      append_item (out, &g_array_index (items, Item, i));
    }
  g_string_append_c (out, '}');
  while (out->len % 8 != 0)
    g_string_append_c (out, ' ');
  length = out->len - 8;
  if (length > MAX_HEADER)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("%s could not be written: its names and notes are too long for the format"), shown);
      return NULL;
    }
  length = GUINT64_TO_LE (length);
  memcpy (out->str, &length, sizeof length);
  return g_steal_pointer (&out);
}

static int
compare_items (gconstpointer a,
               gconstpointer b)
{
  gsize x = dimr_dtype_size (((const Item *) a)->dtype), y = dimr_dtype_size (((const Item *) b)->dtype);
  const Item *first = a, *second = b;

  if (x != y)
    return x > y ? -1 : 1;
  /* Before the offsets are given out, "begin" holds the place in the caller's order. */
  return first->begin < second->begin ? -1 : 1;
}

static gboolean
name_can_be_written (GHashTable *seen,
                     const char *name)
{
  gsize length = strlen (name);

  return length > 0 && length <= MAX_NAME && g_utf8_validate (name, (gssize) length, NULL) &&
         strcmp (name, "__metadata__") != 0 && g_hash_table_add (seen, (gpointer) name);
}

/* What stands where. */
gboolean
dimr_safetensors_lay_out (GArray      *items,
                          const char  *shown,
                          guint64     *n_bytes,
                          GError     **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  *n_bytes = 0;
  for (guint i = 0; i < items->len; i++)
    {
      Item *item = &g_array_index (items, Item, i);

      item->begin = i;
      if (i == MAX_TENSORS || !name_can_be_written (seen, item->name))
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("%s could not be written: it would have too many tensors, or one whose name the format cannot hold"), shown);
          return FALSE;
        }
    }
  g_array_sort (items, compare_items);
  for (guint i = 0; i < items->len; i++)
    {
      Item *item = &g_array_index (items, Item, i);
      guint64 size = 0;

      item->begin = *n_bytes;
      if (!dimr_shape_n_bytes (&item->shape, item->dtype, &size) || !dimr_checked_add (*n_bytes, size, n_bytes) || *n_bytes > G_MAXINT64 / 2)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST, _("%s could not be written: it would be larger than any file"), shown);
          return FALSE;
        }
      item->end = *n_bytes;
    }
  return TRUE;
}
