/* dimr-dataset-list.c — what pictures a folder or a tar archive has
 *
 * Source of the archive format: POSIX.1-1988 ustar, with GNU's and pax's ways to write long names.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-dataset-private.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/image/dimr-photo.h"

#include <errno.h>
#include <string.h>

static int
compare_items (gconstpointer a,
               gconstpointer b)
{
  return strcmp (((const DimrDatasetItem *) a)->path, ((const DimrDatasetItem *) b)->path);
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char * const *) a, *(const char * const *) b);
}

/* Every picture below @folder, however deep. */
static gboolean
add_folder (const char    *folder,
            guint          group,
            GArray        *items,
            GCancellable  *cancellable,
            GError       **error)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new ();

  if (!dimr_photo_list_folder (folder, paths, cancellable, error))
    return FALSE;
  for (guint i = 0; i < paths->len; i++)
    {
      const DimrDatasetItem item = { .path = g_ptr_array_index (paths, i), .group = group };
      g_array_append_val (items, item);
    }
  return TRUE;
}

gboolean
dimr_dataset_list_folder (const char    *path,
                          GArray        *items,
                          GPtrArray     *groups,
                          GCancellable  *cancellable,
                          GError       **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GDir) dir = g_dir_open (path, 0, &local_error);
  const char *name;

  if (dir == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("The data folder “%s” could not be read: %s."), path, local_error->message);
      return FALSE;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *folder = g_build_filename (path, name, NULL);

      if (name[0] != '.' && g_file_test (folder, G_FILE_TEST_IS_DIR))
        g_ptr_array_add (groups, g_strdup (name));
    }
  g_ptr_array_sort (groups, compare_names);
  for (guint i = 0; i < groups->len; i++)
    {
      g_autofree char *folder = g_build_filename (path, g_ptr_array_index (groups, i), NULL);

      if (!add_folder (folder, i, items, cancellable, error))
        return FALSE;
    }
  g_array_sort (items, compare_items);
  return TRUE;
}

#define TAR_BLOCK 512

/* An octal number, or with the highest bit of the first byte set a binary one. */
static gboolean
read_number (const guint8 *field,
             gsize         length,
             guint64      *value)
{
  *value = 0;
  if (field[0] & 0x80)
    {
      for (gsize i = 1; i < length; i++)
        {
          if (*value >> 56 != 0)
            return FALSE;
          *value = *value << 8 | field[i];
        }
      return TRUE;
    }
  for (gsize i = 0; i < length && field[i] != '\0' && field[i] != ' '; i++)
    {
      if (field[i] < '0' || field[i] > '7')
        return FALSE;
      *value = *value << 3 | (guint64) (field[i] - '0');
    }
  return TRUE;
}

/* The name of a header: prefix and name. */
static char *
dup_name (const guint8 *header)
{
  g_autofree char *name = g_strndup ((const char *) header, 100);
  g_autofree char *prefix = g_strndup ((const char *) header + 345, 155);

  if (memcmp (header + 257, "ustar\0", 6) == 0 && prefix[0] != '\0')
    return g_strconcat (prefix, "/", name, NULL);
  return g_steal_pointer (&name);
}

/* "27 path=…\n" among the records of a pax header; NULL where there is none. */
static char *
find_pax_path (const guint8 *data,
               gsize         size)
{
  gsize at = 0;

  while (at < size)
    {
      const char *record = (const char *) data + at, *space = memchr (record, ' ', size - at);
      guint64 length = 0;

      for (const char *c = record; space != NULL && c < space && c < record + 10; c++)
        length = g_ascii_isdigit (*c) ? length * 10 + (guint64) g_ascii_digit_value (*c) : G_MAXUINT32;
      if (space == NULL || length == 0 || length > size - at || record + length <= space + 6)
        return NULL;
      if (memcmp (space + 1, "path=", 5) == 0)
        return g_strndup (space + 6, (gsize) (record + length - 1 - (space + 6)));
      at += length;
    }
  return NULL;
}

/* The folder that directly holds the picture is its class. */
static void
add_member (GArray     *items,
            GHashTable *seen,
            GPtrArray  *groups,
            char       *path,
            guint64     offset,
            guint64     size)
{
  g_autofree char *base = g_path_get_basename (path), *folder = g_path_get_dirname (path);
  g_autofree char *group = g_path_get_basename (folder);
  const DimrDatasetItem item = { .path = path, .offset = offset, .size = size };

  if (!dimr_photo_is_name (base))
    {
      g_free (path);
      return;
    }
  if (!g_hash_table_contains (seen, group))
    {
      g_hash_table_add (seen, g_strdup (group));
      g_ptr_array_add (groups, g_strdup (group));
    }
  g_array_append_val (items, item);
}

static void
set_groups (GArray    *items,
            GPtrArray *groups)
{
  g_autoptr (GHashTable) places = g_hash_table_new (g_str_hash, g_str_equal);

  g_ptr_array_sort (groups, compare_names);
  for (guint g = 0; g < groups->len; g++)
    g_hash_table_insert (places, g_ptr_array_index (groups, g), GUINT_TO_POINTER (g));
  for (guint i = 0; i < items->len; i++)
    {
      DimrDatasetItem *item = &g_array_index (items, DimrDatasetItem, i);
      g_autofree char *folder = g_path_get_dirname (item->path), *group = g_path_get_basename (folder);

      item->group = GPOINTER_TO_UINT (g_hash_table_lookup (places, group));
    }
  g_array_sort (items, compare_items);
}

gboolean
dimr_dataset_list_archive (const char    *path,
                           const guint8  *data,
                           gsize          size,
                           GArray        *items,
                           GPtrArray     *groups,
                           GError       **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *long_name = NULL;
  guint64 at = 0;

  while (at + TAR_BLOCK <= size && data[at] != '\0')
    {
      const guint8 *header = data + at;
      const char kind = (char) header[156];
      guint64 length, padded;

      if (!read_number (header + 124, 12, &length) || !dimr_checked_add (length, TAR_BLOCK - 1, &padded) ||
          !dimr_checked_range (at + TAR_BLOCK, length, size))
        {
          dimr_error_set (error, DIMR_ERROR_FORMAT,
                          _("“%s” is no tar archive, or it ends too early: the entry at byte %" PRIu64 " is damaged."), path, at);
          return FALSE;
        }
      if (kind == 'L')
        {
          g_free (long_name);
          long_name = g_strndup ((const char *) data + at + TAR_BLOCK, length);
        }
      else if (kind == 'x')
        {
          g_free (long_name);
          long_name = find_pax_path (data + at + TAR_BLOCK, length);
        }
      else
        {
          char *name = long_name != NULL ? g_steal_pointer (&long_name) : dup_name (header);

          if (kind == '0' || kind == '\0')
            add_member (items, seen, groups, name, at + TAR_BLOCK, length);
          else
            g_free (name);
        }
      at += TAR_BLOCK + padded / TAR_BLOCK * TAR_BLOCK;
    }
  set_groups (items, groups);
  return TRUE;
}
