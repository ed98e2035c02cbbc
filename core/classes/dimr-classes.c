/* SPDX-License-Identifier: Apache-2.0 */
#include "core/classes/dimr-classes-private.h"

#include "dimr-classes-resource.h"

#include <string.h>

#define TABLE_PATH "/io/github/dimr_studio/dimr/imagenet-1k-classes.tsv"

/* What tells apart classes whose first names are the same, ignoring case. The table itself does so
 * for none of them but "maillot, tank suit"; pictures of 638 and 639 hardly differ. */
static const struct
{
  int index;
  const char *mark;
} marks[] = {
  { 134, "bird" }, { 264, "dog" }, { 474, "garment" }, { 517, "machine" }, { 638, "638" }, { 639, "tank suit" },
};

char *
_dimr_classes_normalise (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  g_autofree char *folded = g_utf8_strdown (valid, -1);
  GString *out = g_string_new (NULL);

  for (const char *p = folded; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (c == '\'' || c == '.' || c == 0x2019)
        continue;
      if (c == '-' || c == '_' || g_unichar_isspace (c))
        {
          if (out->len > 0 && out->str[out->len - 1] != ' ')
            g_string_append_c (out, ' ');
        }
      else
        g_string_append_unichar (out, c);
    }
  if (out->len > 0 && out->str[out->len - 1] == ' ')
    g_string_truncate (out, out->len - 1);
  return g_string_free (out, FALSE);
}

static void
fill_entry (DimrClassEntry *entry,
            int             index,
            char          **fields)
{
  const char *name = fields[2];

  for (guint i = 0; i < G_N_ELEMENTS (marks); i++)
    if (marks[i].index == index)
      name = g_strdup_printf ("%s (%s)", fields[2], marks[i].mark);
  if (name == fields[2])
    name = g_strdup (name);

  entry->public.index = index;
  entry->public.wnid = g_strdup (fields[1]);
  entry->public.name = name;
  entry->public.names = g_strdup (fields[3]);
  entry->public.group = _dimr_classes_group (index);

  entry->key = _dimr_classes_normalise (name);
  entry->name_keys = g_strsplit (fields[3], ", ", -1);
  for (guint i = 0; entry->name_keys[i] != NULL; i++)
    {
      char *key = _dimr_classes_normalise (entry->name_keys[i]);
      g_free (entry->name_keys[i]);
      entry->name_keys[i] = key;
    }
}

const DimrClassEntry *
_dimr_classes_table (void)
{
  static DimrClassEntry *table = NULL;

  if (g_once_init_enter (&table))
    {
      g_autoptr (GBytes) bytes = NULL;
      DimrClassEntry *entries = g_new0 (DimrClassEntry, DIMR_N_IMAGENET_CLASSES);
      g_auto (GStrv) lines = NULL;

      dimr_classes_resource_register_resource ();
      bytes = g_resource_lookup_data (dimr_classes_resource_get_resource (), TABLE_PATH,
                                      G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);
      g_assert (bytes != NULL);
      /* Resources end in a NUL byte that their size does not count. Line 0 names the columns:
       * index, wnid, short_name, names, in_tiny_imagenet. */
      lines = g_strsplit (g_bytes_get_data (bytes, NULL), "\n", -1);
      g_assert (g_strv_length (lines) > DIMR_N_IMAGENET_CLASSES);
      for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
        {
          g_auto (GStrv) fields = g_strsplit (lines[i + 1], "\t", -1);

          g_assert (g_strv_length (fields) == 5);
          fill_entry (&entries[i], i, fields);
        }
      g_once_init_leave (&table, entries);
    }
  return table;
}

const DimrClass *
dimr_classes_get (int index)
{
  g_return_val_if_fail (index >= 0 && index < DIMR_N_IMAGENET_CLASSES, NULL);
  return &_dimr_classes_table ()[index].public;
}

static gboolean
parse_index (const char *text,
             int        *index)
{
  guint64 value;

  if (!g_ascii_string_to_unsigned (text, 10, 0, DIMR_N_IMAGENET_CLASSES - 1, &value, NULL))
    return FALSE;
  *index = (int) value;
  return TRUE;
}

GArray *
_dimr_classes_exact (const char *text)
{
  const DimrClassEntry *table = _dimr_classes_table ();
  GArray *found = g_array_new (FALSE, FALSE, sizeof (int));
  g_autofree char *key = _dimr_classes_normalise (text);
  int index;

  if (parse_index (text, &index))
    {
      g_array_append_val (found, index);
      return found;
    }

  for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
    if (strcmp (table[i].key, key) == 0 || strcmp (table[i].public.wnid, key) == 0)
      g_array_append_val (found, i);
  if (found->len > 0)
    return found;

  /* The first of a class's names weighs more than the others: "missile" is 657, not 744. */
  for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
    if (strcmp (table[i].name_keys[0], key) == 0)
      g_array_append_val (found, i);
  if (found->len > 0)
    return found;

  for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
    if (g_strv_contains ((const char *const *) table[i].name_keys, key))
      g_array_append_val (found, i);
  return found;
}

int
dimr_classes_find (const char *text)
{
  g_autoptr (GArray) found = NULL;

  g_return_val_if_fail (text != NULL, -1);

  found = _dimr_classes_exact (text);
  return found->len == 1 ? g_array_index (found, int, 0) : -1;
}
