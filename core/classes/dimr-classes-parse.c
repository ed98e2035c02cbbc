/* SPDX-License-Identifier: Apache-2.0 */
#include "core/classes/dimr-classes-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

#define MAX_LISTED_CLASSES 1000000

/* Levenshtein's distance in bytes, or @limit where it is no smaller than that. */
static guint
edit_distance (const char *a,
               const char *b,
               guint       limit)
{
  guint n = strlen (a), m = strlen (b);
  g_autofree guint *row = NULL;

  if (MAX (n, m) - MIN (n, m) >= limit)
    return limit;

  row = g_new (guint, m + 1);
  for (guint j = 0; j <= m; j++)
    row[j] = j;
  for (guint i = 1; i <= n; i++)
    {
      guint diagonal = row[0];
      guint smallest = row[0] = i;

      for (guint j = 1; j <= m; j++)
        {
          guint above = row[j];
          guint cost = diagonal + (a[i - 1] != b[j - 1]);

          row[j] = MIN (cost, MIN (above, row[j - 1]) + 1);
          diagonal = above;
          smallest = MIN (smallest, row[j]);
        }
      if (smallest >= limit)
        return limit;
    }
  return MIN (row[m], limit);
}

/* The class that a mistyped @text most likely means, or −1 where none is near. */
static int
nearest_class (const char *text)
{
  const DimrClassEntry *table = _dimr_classes_table ();
  g_autofree char *key = _dimr_classes_normalise (text);
  g_autoptr (GArray) found = NULL;
  guint best = strlen (key) / 3 + 2; /* more wrong letters than this are another word */
  int nearest = -1;

  /* The normal form bounds the work on absurd input: no name is longer than 100 bytes. */
  if (strlen (key) > 100)
    return -1;
  for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
    for (guint k = 0; table[i].name_keys[k] != NULL; k++)
      {
        guint distance = edit_distance (key, table[i].name_keys[k], best);

        if (distance < best)
          {
            best = distance;
            nearest = i;
          }
      }
  if (nearest >= 0 && best <= 2)
    return nearest;

  found = dimr_classes_search (text);
  return found->len > 0 ? g_array_index (found, int, 0) : nearest;
}

/* The name that a list must spell to mean the class. */
static char *
describe (int index)
{
  return g_strdup_printf ("“%s” (%d)", dimr_classes_get (index)->name, index);
}

static gboolean
append_name (GArray      *classes,
             const char  *text,
             GError     **error)
{
  g_autoptr (GArray) found = _dimr_classes_exact (text);
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  int nearest;

  if (found->len == 1)
    {
      g_array_append_val (classes, g_array_index (found, int, 0));
      return TRUE;
    }
  if (found->len > 1)
    {
      first = describe (g_array_index (found, int, 0));
      second = describe (g_array_index (found, int, 1));
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("“%s” is the name of more than one class: write %s or %s."), text, first, second);
      return FALSE;
    }

  nearest = nearest_class (text);
  if (nearest >= 0)
    {
      first = describe (nearest);
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("There is no class “%s”; did you mean %s?"), text, first);
    }
  else
    dimr_error_set (error, DIMR_ERROR_REQUEST,
                    _("There is no class “%s”; write a name, a synonym, a WordNet id or an index from 0 to 999."), text);
  return FALSE;
}

/* "207" or "1-10"; *matched is FALSE where @text is neither. */
static gboolean
append_range (GArray      *classes,
              const char  *text,
              gboolean    *matched,
              GError     **error)
{
  const char *p = text;
  guint64 first, last;
  char *end;

  *matched = FALSE;
  if (!g_ascii_isdigit (*p))
    return TRUE;
  first = last = g_ascii_strtoull (p, &end, 10);
  p = end + strspn (end, " ");
  if (*p == '-')
    {
      p += 1 + strspn (p + 1, " ");
      if (!g_ascii_isdigit (*p))
        return TRUE;
      last = g_ascii_strtoull (p, &end, 10);
      p = end;
    }
  if (*p != '\0')
    return TRUE;

  *matched = TRUE;
  if (first >= DIMR_N_IMAGENET_CLASSES || last >= DIMR_N_IMAGENET_CLASSES)
    dimr_error_set (error, DIMR_ERROR_REQUEST, _("“%s” reaches beyond the classes, which go from 0 to 999."), text);
  else if (last < first)
    dimr_error_set (error, DIMR_ERROR_REQUEST, _("The range “%s” runs backwards; write “%u-%u”."),
                    text, (guint) last, (guint) first);
  else if (classes->len + (last - first) >= MAX_LISTED_CLASSES)
    dimr_error_set (error, DIMR_ERROR_REQUEST, _("The class list is longer than %d entries; use several runs."),
                    MAX_LISTED_CLASSES);
  else
    {
      for (int i = (int) first; i <= (int) last; i++)
        g_array_append_val (classes, i);
      return TRUE;
    }
  return FALSE;
}

/* Takes one item off *p and stands on the comma or the end behind it. @item: without blanks around
 * it, and without its quotes. */
static gboolean
next_item (const char **p,
           char       **item,
           gboolean    *quoted,
           GError     **error)
{
  const char *start = *p + strspn (*p, " \t\n");
  const char *end;

  *quoted = *start == '"';
  if (*quoted)
    {
      end = strchr (start + 1, '"');
      if (end == NULL)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("The quotation mark before “%s” in the class list has no partner."), start + 1);
          return FALSE;
        }
      *item = g_strndup (start + 1, end - start - 1);
      *p = end + 1 + strspn (end + 1, " \t\n");
      if (**p != ',' && **p != '\0')
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("A comma is missing after \"%s\" in the class list."), *item);
          g_clear_pointer (item, g_free);
          return FALSE;
        }
    }
  else
    {
      *p = start + strcspn (start, ",");
      *item = g_strchomp (g_strndup (start, *p - start));
    }
  return TRUE;
}

GArray *
dimr_classes_parse (const char  *list,
                    GError     **error)
{
  g_autoptr (GArray) classes = g_array_new (FALSE, FALSE, sizeof (int));
  const char *p = list;

  g_return_val_if_fail (list != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  for (;;)
    {
      g_autofree char *item = NULL;
      gboolean quoted = FALSE, matched = FALSE;

      if (!next_item (&p, &item, &quoted, error))
        return NULL;
      if (item[0] == '\0')
        {
          g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_REQUEST,
                               list[strspn (list, " \t\n")] == '\0'
                                 ? _("The class list is empty; write for example 207, lion or 1-10.")
                                 : _("The class list has a comma with nothing beside it."));
          return NULL;
        }
      if (!quoted && !append_range (classes, item, &matched, error))
        return NULL;
      if (!matched && !append_name (classes, item, error))
        return NULL;
      if (*p == '\0')
        return g_steal_pointer (&classes);
      p++;
    }
}
