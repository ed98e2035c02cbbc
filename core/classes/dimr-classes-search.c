/* SPDX-License-Identifier: Apache-2.0 */
#include "core/classes/dimr-classes-private.h"

#include <string.h>

/* How well a class fits what was typed; smaller is better. */
typedef enum
{
  RANK_EXACT,          /* its name, index or WordNet id */
  RANK_EXACT_SYNONYM,
  RANK_PREFIX,
  RANK_SYNONYM_PREFIX,
  RANK_WORD_PREFIX,    /* of a word inside a name */
  RANK_WORDS,          /* each word typed begins some word of the names: "shark tiger" */
  RANK_SUBSTRING,
  RANK_NONE,
} Rank;

typedef struct
{
  Rank rank;
  guint length; /* of the name that fits: what is nearly all typed comes first */
  int index;
} Hit;

static gboolean
has_word_prefix (const char *name,
                 const char *prefix)
{
  for (const char *p = name; (p = strstr (p, prefix)) != NULL; p++)
    if (p == name || p[-1] == ' ' || p[-1] == '(')
      return TRUE;
  return FALSE;
}

static Rank
rank_name (const char *name,
           const char *query,
           gboolean    first)
{
  const char *at = strstr (name, query);

  if (at == NULL)
    return RANK_NONE;
  if (at == name && strlen (name) == strlen (query))
    return first ? RANK_EXACT : RANK_EXACT_SYNONYM;
  if (at == name)
    return first ? RANK_PREFIX : RANK_SYNONYM_PREFIX;
  return has_word_prefix (name, query) ? RANK_WORD_PREFIX : RANK_SUBSTRING;
}

static gboolean
has_all_words (const DimrClassEntry *entry,
               char                **words)
{
  for (guint w = 0; words[w] != NULL; w++)
    {
      gboolean found = has_word_prefix (entry->key, words[w]);

      for (guint i = 0; !found && entry->name_keys[i] != NULL; i++)
        found = has_word_prefix (entry->name_keys[i], words[w]);
      if (!found)
        return FALSE;
    }
  return TRUE;
}

static Hit
rank_entry (const DimrClassEntry *entry,
            const char           *query,
            char                **words)
{
  Hit best = { rank_name (entry->key, query, TRUE), strlen (entry->key), entry->public.index };
  char digits[12];

  for (guint i = 0; entry->name_keys[i] != NULL; i++)
    {
      Rank rank = rank_name (entry->name_keys[i], query, i == 0);
      guint length = strlen (entry->name_keys[i]);

      if (rank < best.rank || (rank == best.rank && length < best.length))
        {
          best.rank = rank;
          best.length = length;
        }
    }

  if (strcmp (entry->public.wnid, query) == 0)
    best.rank = RANK_EXACT;
  else if (query[0] == 'n' && g_ascii_isdigit (query[1]) && g_str_has_prefix (entry->public.wnid, query))
    best.rank = MIN (best.rank, RANK_PREFIX);

  if (g_ascii_isdigit (query[0]))
    {
      g_snprintf (digits, sizeof digits, "%d", entry->public.index);
      if (strcmp (digits, query) == 0)
        best.rank = RANK_EXACT;
      else if (g_str_has_prefix (digits, query))
        best = (Hit){ MIN (best.rank, RANK_PREFIX), strlen (digits), best.index };
    }

  if (best.rank > RANK_WORDS && words[0] != NULL && words[1] != NULL && has_all_words (entry, words))
    best.rank = RANK_WORDS;
  return best;
}

static int
compare_hits (gconstpointer a,
              gconstpointer b)
{
  const Hit *x = a, *y = b;

  if (x->rank != y->rank)
    return x->rank < y->rank ? -1 : 1;
  if (x->length != y->length)
    return x->length < y->length ? -1 : 1;
  return x->index - y->index;
}

GArray *
dimr_classes_search (const char *text)
{
  const DimrClassEntry *table = _dimr_classes_table ();
  g_autofree char *query = NULL;
  g_auto (GStrv) words = NULL;
  g_autoptr (GArray) hits = g_array_new (FALSE, FALSE, sizeof (Hit));
  GArray *indices = g_array_sized_new (FALSE, FALSE, sizeof (int), DIMR_N_IMAGENET_CLASSES);

  g_return_val_if_fail (text != NULL, indices);

  query = _dimr_classes_normalise (text);
  words = g_strsplit (query, " ", -1);
  for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
    {
      if (query[0] == '\0')
        g_array_append_val (indices, i);
      else
        {
          Hit hit = rank_entry (&table[i], query, words);

          if (hit.rank != RANK_NONE)
            g_array_append_val (hits, hit);
        }
    }
  g_array_sort (hits, compare_hits);
  for (guint i = 0; i < hits->len; i++)
    g_array_append_val (indices, g_array_index (hits, Hit, i).index);
  return indices;
}
