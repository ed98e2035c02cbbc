/* test-cli-language.c — the command line in German, from the translations of the build folder
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cli-fixture.h"

#include <locale.h>
#include <string.h>

static void
speak (const char *language)
{
  g_setenv ("LANGUAGE", language, TRUE);
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
}

static void
assert_says (const CliResult *result,
             int              status,
             const char      *sentence)
{
  cli_assert_status (result, status);
  if (strstr (result->err, sentence) == NULL)
    g_error ("“%s” is not in: %s", sentence, result->err);
}

/* What no format begins with, in a file called @name, whose bytes may be any (transfer full). */
static char *
write_nonsense (const char *folder,
                const char *name)
{
  char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, "nonsense", -1, &error);
  g_assert_no_error (error);
  return path;
}

static void
test_sentences_of_the_library_are_translated (void)
{
  g_autofree char *folder = cli_make_folder (), *path = write_nonsense (folder, "weights.pth");
  g_auto (CliResult) german = { 0 }, english = { 0 };

  speak ("de");
  cli_run (&german, "info %s", path);
  assert_says (&german, 1, "weights.pth wurde bei Byte 0 abgelehnt: Sie ist weder Safetensors noch ein Checkpoint");
  speak ("C");
  cli_run (&english, "info %s", path);
  assert_says (&english, 1, "weights.pth was refused at byte 0: it is neither safetensors nor a checkpoint");
  cli_remove_folder (g_steal_pointer (&folder));
}

static void
test_numbers_and_names_come_through (void)
{
  g_auto (CliResult) result = { 0 };

  speak ("de");
  cli_run (&result, "generate --class 2000 --steps 1");
  assert_says (&result, 2, "„2000“");
  cli_run (&result, "generate --class %d --device tpu", cli_get_class ());
  assert_says (&result, 1, "Dieses Programm wurde ohne das Gerät „tpu“ gebaut; nehmen Sie --device cpu");
}

static void
test_machines_are_answered_alike (void)
{
  g_autofree char *folder = cli_make_folder (), *path = write_nonsense (folder, "weights.pth");
  g_auto (CliResult) german = { 0 }, english = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  JsonObject *event;

  /* Sentences in JSON are for people; names, numbers and words of choice are not. */
  speak ("de");
  cli_run (&german, "info --json %s", path);
  lines = cli_parse_lines (german.out);
  event = cli_find_event (lines, "error");
  g_assert_nonnull (event);
  g_assert_nonnull (strstr (json_object_get_string_member (event, "message"), "wurde bei Byte 0 abgelehnt"));
  cli_run (&german, "info --json");
  cli_assert_status (&german, 0);
  speak ("C");
  cli_run (&english, "info --json");
  g_assert_nonnull (strstr (english.out, "\"attention linears\""));
  g_assert_nonnull (strstr (german.out, "\"attention linears\""));
  cli_remove_folder (g_steal_pointer (&folder));
}

static void
test_names_that_are_no_text_are_shown (void)
{
  g_autofree char *folder = cli_make_folder (), *path = write_nonsense (folder, "B\374cher.pth");
  g_auto (CliResult) result = { 0 };

  speak ("de");
  cli_run (&result, "info %s", path);
  assert_says (&result, 1, "B\357\277\275cher.pth wurde bei Byte 0 abgelehnt");
  cli_run (&result, "generate --model %s.gone --class lion", path);
  assert_says (&result, 1, "B\357\277\275cher.pth.gone kann nicht gelesen werden");
  cli_remove_folder (g_steal_pointer (&folder));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (setlocale (LC_ALL, "C.UTF-8") == NULL)
    {
      g_print ("1..0 # SKIP there is no locale C.UTF-8\n");
      return 0;
    }
  g_test_add_func ("/cli/language/sentences-of-the-library-are-translated", test_sentences_of_the_library_are_translated);
  g_test_add_func ("/cli/language/numbers-and-names-come-through", test_numbers_and_names_come_through);
  g_test_add_func ("/cli/language/machines-are-answered-alike", test_machines_are_answered_alike);
  g_test_add_func ("/cli/language/names-that-are-no-text-are-shown", test_names_that_are_no_text_are_shown);
  return g_test_run ();
}
