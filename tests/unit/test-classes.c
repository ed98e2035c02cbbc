/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/classes/dimr-classes.h"

#include <string.h>

static int
first_hit (const char *text)
{
  g_autoptr (GArray) found = dimr_classes_search (text);

  return found->len > 0 ? g_array_index (found, int, 0) : -1;
}

static gboolean
has_hit (const char *text,
         int         index)
{
  g_autoptr (GArray) found = dimr_classes_search (text);

  for (guint i = 0; i < found->len; i++)
    if (g_array_index (found, int, i) == index)
      return TRUE;
  return FALSE;
}

static void
test_names_are_unique (void)
{
  g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
    {
      const DimrClass *class = dimr_classes_get (i);

      g_assert_cmpint (class->index, ==, i);
      g_assert_cmpuint (strlen (class->wnid), ==, 9);
      g_assert_true (g_hash_table_add (names, g_ascii_strdown (class->name, -1)));
      g_assert_cmpint (dimr_classes_find (class->name), ==, i);
      g_assert_cmpint (dimr_classes_find (class->wnid), ==, i);
    }
  g_assert_cmpstr (dimr_classes_get (0)->name, ==, "tench");
  g_assert_cmpstr (dimr_classes_get (999)->name, ==, "toilet tissue");
  g_assert_cmpstr (dimr_classes_get (134)->name, ==, "crane (bird)");
  g_assert_cmpstr (dimr_classes_get (517)->name, ==, "crane (machine)");
  g_assert_cmpstr (dimr_classes_get (639)->name, ==, "maillot (tank suit)");
}

static void
test_find_takes_every_spelling (void)
{
  g_assert_cmpint (dimr_classes_find ("LION"), ==, 291);
  g_assert_cmpint (dimr_classes_find ("king of beasts"), ==, 291);
  g_assert_cmpint (dimr_classes_find ("Red Panda"), ==, 387);
  g_assert_cmpint (dimr_classes_find ("n02129165"), ==, 291);
  g_assert_cmpint (dimr_classes_find ("291"), ==, 291);
  g_assert_cmpint (dimr_classes_find ("flat coated  retriever"), ==, 205);
  g_assert_cmpint (dimr_classes_find ("jack o lantern"), ==, 607);
  g_assert_cmpint (dimr_classes_find ("missile"), ==, 657);
  g_assert_cmpint (dimr_classes_find ("crane"), ==, -1);
  g_assert_cmpint (dimr_classes_find ("panda"), ==, -1);
  g_assert_cmpint (dimr_classes_find ("1000"), ==, -1);
  g_assert_cmpint (dimr_classes_find ("-1"), ==, -1);
  g_assert_cmpint (dimr_classes_find (""), ==, -1);
  g_assert_cmpint (dimr_classes_find ("\xff\xfe"), ==, -1);
}

static void
test_search_puts_the_best_first (void)
{
  g_autoptr (GArray) all = dimr_classes_search ("");
  g_autoptr (GArray) shark = dimr_classes_search ("shark");
  g_autoptr (GArray) twenty = dimr_classes_search ("20");

  g_assert_cmpuint (all->len, ==, 1000);
  g_assert_cmpint (g_array_index (all, int, 7), ==, 7);
  g_assert_cmpint (first_hit ("lion"), ==, 291);
  g_assert_true (has_hit ("lion", 150) && has_hit ("lion", 396));
  g_assert_cmpint (first_hit ("lio"), ==, 291);
  g_assert_cmpint (first_hit ("orca"), ==, 148);
  g_assert_cmpint (first_hit ("shark tiger"), ==, 3);
  g_assert_true (has_hit ("hark", 3));
  g_assert_cmpint (g_array_index (twenty, int, 0), ==, 20);
  g_assert_cmpint (g_array_index (twenty, int, 1), ==, 200);
  g_assert_cmpint (first_hit ("n0212"), >=, 0);
  g_assert_cmpint (first_hit ("n02129165"), ==, 291);
  g_assert_cmpint (first_hit ("zzzz"), ==, -1);
  g_assert_cmpuint (shark->len, ==, 3);
  g_assert_true (has_hit ("crane", 134) && has_hit ("crane", 517));
}

/* A keystroke has 2 ms. Measured as the best of many, so that a busy machine does not matter. */
static void
test_search_is_fast (void)
{
  static const char *const texts[] = { "s", "sh", "american st", "e", "n0", "1", "blue dog ear" };
  gint64 best[G_N_ELEMENTS (texts)];

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      best[i] = G_MAXINT64;
      for (guint k = 0; k < 20; k++)
        {
          gint64 start = g_get_monotonic_time ();
          g_autoptr (GArray) found = dimr_classes_search (texts[i]);

          best[i] = MIN (best[i], g_get_monotonic_time () - start);
        }
      g_test_message ("“%s”: %" G_GINT64_FORMAT " µs", texts[i], best[i]);
      g_assert_cmpint (best[i], <, 2000);
    }
}

static void
assert_list (const char *list,
             guint       n,
             const int  *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GArray) classes = dimr_classes_parse (list, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (classes->data, classes->len * sizeof (int), expected, n * sizeof (int));
}

static void
assert_refused (const char *list,
                const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (dimr_classes_parse (list, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  if (strstr (error->message, part) == NULL)
    g_error ("“%s” does not say “%s”", error->message, part);
}

static void
test_lists_keep_their_order (void)
{
  assert_list ("1-3,207,lion,\"tiger shark\"", 6, (int[]){ 1, 2, 3, 207, 291, 3 });
  assert_list (" tiger shark , Red panda,7 - 8 , 7", 5, (int[]){ 3, 387, 7, 8, 7 });
  assert_list ("crane (bird),n02129165", 2, (int[]){ 134, 291 });
  assert_list ("999", 1, (int[]){ 999 });
}

static void
test_wrong_lists_are_explained (void)
{
  assert_refused ("lion,tigr shark", "did you mean “tiger shark” (3)?");
  assert_refused ("lyon", "“lion” (291)");
  assert_refused ("goldfsh", "“goldfish” (1)");
  assert_refused ("qqqqqqqqqqq", "no class “qqqqqqqqqqq”");
  assert_refused ("crane", "write “crane (bird)” (134) or “crane (machine)” (517)");
  assert_refused ("panda", "more than one class");
  assert_refused ("5-2", "write “2-5”");
  assert_refused ("995-1005", "“995-1005” reaches beyond");
  assert_refused ("1000", "from 0 to 999");
  assert_refused ("99999999999999999999999", "from 0 to 999");
  assert_refused ("1,,2", "comma");
  assert_refused ("1,", "comma");
  assert_refused ("", "empty");
  assert_refused ("\"lion", "no partner");
  assert_refused ("\"lion\" tiger", "comma is missing");
  assert_refused ("-5", "“-5”");
}

static void
test_groups_hold_what_they_say (void)
{
  static const struct
  {
    const char *name;
    DimrClassGroup group;
  } cases[] = {
    { "goldfish", DIMR_CLASS_GROUP_SEA_LIFE }, { "hen", DIMR_CLASS_GROUP_BIRDS },
    { "king penguin", DIMR_CLASS_GROUP_BIRDS }, { "axolotl", DIMR_CLASS_GROUP_REPTILES },
    { "tarantula", DIMR_CLASS_GROUP_INSECTS }, { "tusker", DIMR_CLASS_GROUP_MAMMALS },
    { "jellyfish", DIMR_CLASS_GROUP_SEA_LIFE }, { "Chihuahua", DIMR_CLASS_GROUP_DOGS },
    { "Mexican hairless", DIMR_CLASS_GROUP_DOGS }, { "timber wolf", DIMR_CLASS_GROUP_MAMMALS },
    { "monarch", DIMR_CLASS_GROUP_INSECTS }, { "puffer", DIMR_CLASS_GROUP_SEA_LIFE },
    { "giant panda", DIMR_CLASS_GROUP_MAMMALS }, { "abacus", DIMR_CLASS_GROUP_OBJECTS },
    { "sports car", DIMR_CLASS_GROUP_VEHICLES }, { "wreck", DIMR_CLASS_GROUP_VEHICLES },
    { "streetcar", DIMR_CLASS_GROUP_VEHICLES }, { "castle", DIMR_CLASS_GROUP_PLACES },
    { "viaduct", DIMR_CLASS_GROUP_PLACES }, { "volcano", DIMR_CLASS_GROUP_PLACES },
    { "lemon", DIMR_CLASS_GROUP_FOOD }, { "pizza", DIMR_CLASS_GROUP_FOOD },
    { "daisy", DIMR_CLASS_GROUP_FOOD }, { "scuba diver", DIMR_CLASS_GROUP_OBJECTS },
    { "cup", DIMR_CLASS_GROUP_OBJECTS }, { "toilet tissue", DIMR_CLASS_GROUP_OBJECTS },
  };
  guint n[DIMR_N_CLASS_GROUPS] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      int index = dimr_classes_find (cases[i].name);

      g_assert_cmpint (index, >=, 0);
      g_assert_cmpint (dimr_classes_get (index)->group, ==, cases[i].group);
    }
  for (int i = 0; i < DIMR_N_IMAGENET_CLASSES; i++)
    n[dimr_classes_get (i)->group]++;
  /* 59 birds and 118 dogs are the well-known counts of ImageNet-1K. */
  g_assert_cmpuint (n[DIMR_CLASS_GROUP_BIRDS], ==, 59);
  g_assert_cmpuint (n[DIMR_CLASS_GROUP_DOGS], ==, 118);
  for (guint g = 0; g < DIMR_N_CLASS_GROUPS; g++)
    g_assert_cmpuint (n[g], >=, 30);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/classes/names/are-unique", test_names_are_unique);
  g_test_add_func ("/classes/find/takes-every-spelling", test_find_takes_every_spelling);
  g_test_add_func ("/classes/search/puts-the-best-first", test_search_puts_the_best_first);
  g_test_add_func ("/classes/search/is-fast", test_search_is_fast);
  g_test_add_func ("/classes/list/keeps-its-order", test_lists_keep_their_order);
  g_test_add_func ("/classes/list/mistakes-are-explained", test_wrong_lists_are_explained);
  g_test_add_func ("/classes/groups/hold-what-they-say", test_groups_hold_what_they_say);
  return g_test_run ();
}
