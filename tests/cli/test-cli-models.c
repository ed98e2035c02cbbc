/* SPDX-License-Identifier: Apache-2.0 */
#include "cli-fixture.h"

#include <glib/gstdio.h>

#include <string.h>

/* Relative, since the words of a command line are parted by spaces: main() goes to the data's folder. */
#define REFERENCE "reference/"

static JsonObject *
find_path (GPtrArray  *lines,
           const char *ending)
{
  for (guint i = 0; i < lines->len; i++)
    {
      JsonObject *line = lines->pdata[i];

      if (g_str_has_suffix (json_object_get_string_member_with_default (line, "path", ""), ending))
        return line;
    }
  return NULL;
}

static void
test_models_lists_the_bundled_one (void)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  g_autofree char *folder = cli_make_folder ();
  JsonObject *starter, *classifier;

  cli_run (&result, "models --json --hash --folder %s", folder);
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  starter = find_path (lines, "models/starter");
  g_assert_nonnull (starter);
  g_assert_cmpstr (json_object_get_string_member (starter, "event"), ==, "model");
  g_assert_cmpuint (strlen (json_object_get_string_member (starter, "sha256")), ==, 64);
  g_assert_cmpint (json_object_get_int_member (starter, "parameters"), >, 1000000);
  g_assert_cmpint (json_object_get_int_member (starter, "macs"), >, 1000000);
  g_assert_cmpint (json_object_get_int_member (starter, "memory_weights"), >, 4000000);
  g_assert_cmpint (json_object_get_int_member (starter, "memory_arena"), >, 100000);
  g_assert_cmpint (json_object_get_int_member (starter, "trained_classes"), >, 1);
  g_assert_nonnull (json_object_get_string_member (starter, "licence"));
  classifier = find_path (lines, "models/classifier");
  g_assert_nonnull (classifier);
  g_assert_cmpstr (json_object_get_string_member (classifier, "event"), ==, "classifier");
  g_assert_nonnull (json_object_get_string_member (classifier, "licence"));
  cli_remove_folder (g_steal_pointer (&folder));
}

static void
test_import_then_list (void)
{
  g_auto (CliResult) first = { 0 }, again = { 0 }, list = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  g_autofree char *folder = cli_make_folder ();

  cli_run (&first, "import --folder %s " REFERENCE "A_dimr_2r_latent", folder);
  cli_assert_status (&first, 0);
  g_assert_true (g_str_has_suffix (first.out, "A_dimr_2r_latent\n"));
  cli_run (&again, "import --folder %s " REFERENCE "A_dimr_2r_latent", folder);
  cli_assert_status (&again, 0);
  g_assert_cmpstr (again.out, ==, first.out);
  g_assert_cmpuint (cli_count_files (folder), ==, 1);

  cli_run (&list, "models --json --folder %s", folder);
  cli_assert_status (&list, 0);
  lines = cli_parse_lines (list.out);
  g_assert_nonnull (find_path (lines, "A_dimr_2r_latent"));
  cli_remove_folder (g_steal_pointer (&folder));
}

static void
test_import_refuses (void)
{
  g_auto (CliResult) evil = { 0 }, none = { 0 };
  g_autofree char *folder = cli_make_folder ();

  cli_run (&evil, "import --folder %s " REFERENCE "I_formats/bad/evil_reduce.pth", folder);
  cli_assert_status (&evil, 1);
  g_assert_nonnull (strstr (evil.err, "os.system"));
  g_assert_cmpuint (cli_count_files (folder), ==, 0);
  cli_run (&none, "import");
  cli_assert_status (&none, 2);
  cli_remove_folder (g_steal_pointer (&folder));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (g_chdir (TEST_DATA_DIR), ==, 0);
  g_test_add_func ("/cli/models/lists-the-bundled-one", test_models_lists_the_bundled_one);
  g_test_add_func ("/cli/import/then-list", test_import_then_list);
  g_test_add_func ("/cli/import/refuses-what-is-no-model", test_import_refuses);
  return g_test_run ();
}
