/* SPDX-License-Identifier: Apache-2.0 */
#include "cli-fixture.h"

#include <string.h>

static const char *const commands[] = { "generate", "info", "forward", "convert", "devices", "bench" };

static void
assert_says (const CliResult *result,
             int              status,
             const char      *part)
{
  cli_assert_status (result, status);
  if (strstr (result->err, part) == NULL)
    g_error ("“%s” does not say “%s”", result->err, part);
}

static void
test_commands_explain_themselves (void)
{
  g_auto (CliResult) result = { 0 };

  cli_run (&result, "--help");
  cli_assert_status (&result, 0);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    g_assert_nonnull (strstr (result.out, commands[i]));
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      g_autofree char *usage = g_strdup_printf ("dimr %s [", commands[i]);
      g_autofree char *example = g_strdup_printf ("\n  dimr %s", commands[i]);
      g_autofree char *direct = NULL;

      cli_run (&result, "%s --help", commands[i]);
      cli_assert_status (&result, 0);
      g_assert_nonnull (strstr (result.out, usage));
      g_assert_nonnull (strstr (strstr (result.out, "Examples:"), example));
      direct = g_strdup (result.out);
      cli_run (&result, "help %s", commands[i]);
      cli_assert_status (&result, 0);
      g_assert_cmpstr (result.out, ==, direct);
    }
}

static void
test_version (void)
{
  g_auto (CliResult) result = { 0 };

  cli_run (&result, "--version");
  cli_assert_status (&result, 0);
  g_assert_true (g_str_has_prefix (result.out, "dimr 0."));
}

static void
test_wrong_usage_is_exit_code_two (void)
{
  static const struct
  {
    const char *words;
    const char *message;
  } cases[] = {
    { "paint", "no command “paint”" },
    { "generate --colour red", "--colour" },
    { "generate lion", "“lion” is one argument too many" },
    { "generate --steps many", "many" },
    { "devices now", "one argument too many" },
    { "convert", "IN and OUT" },
    { "convert a b c", "IN and OUT" },
    { "convert a b --dtype f8", "f32, f16 or bf16, not “f8”" },
    { "forward --input a", "--output" },
    { "forward --input a --output b --threads 5000", "--threads is from 0 to 1024, not 5000" },
    { "info DiMR-XXL/9R", "dimr info --help" },
    { "info --batch 0", "--batch is from 1" },
    { "info a b", "one model at a time" },
    { "bench a b", "one model at a time" },
    { "bench DiMR-XXL/9R", "dimr info --help" },
    { "bench --batches 1,0", "from 1 to 4096 with commas between them, not “1,0”" },
    { "bench --batches 1,", "not “1,”" },
    { "bench --batches 5000", "not “5000”" },
    { "bench --measure speed", "peaks, step, ops and pictures with commas between them, not “speed”" },
    { "bench --precision f64", "f32, bf16 or f8, not “f64”" },
    { "bench --threads -1", "--threads is from 0 to 1024, not -1" },
    { "bench --steps 1001", "--steps is from 1 to 1000, not 1001" },
    { "bench --time -1", "--time is from 0 to 3600 seconds, not -1" },
  };
  g_auto (CliResult) result = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      cli_run (&result, "%s", cases[i].words);
      assert_says (&result, 2, cases[i].message);
      g_assert_cmpstr (result.out, ==, "");
    }
}

/* Explained, never clipped: nothing may be written either. */
static void
test_values_out_of_range_are_explained (void)
{
  static const struct
  {
    const char *words;
    const char *message;
  } cases[] = {
    { "--steps 0", "--steps is from 1 to 1000, not 0" },
    { "--steps 1001", "--steps is from 1 to 1000, not 1001" },
    { "--steps -5", "--steps is from 1 to 1000, not -5" },
    { "--count 0", "--count is from 1" },
    { "--count 2000000", "not 2000000" },
    { "--class 0-999 --count 5000", "at most 1000000 pictures" },
    { "--batch 0", "--batch is from 1" },
    { "--threads -1", "--threads is from 0" },
    { "--cfg -1", "--cfg is a number from 0 to 100, not “-1”" },
    { "--cfg 101", "not “101”" },
    { "--cfg nan", "not “nan”" },
    { "--cfg 1,5", "not “1,5”" },
    { "--guidance cosine --power 0", "--power is a number above 0" },
    { "--guidance linear", "constant or cosine, not “linear”" },
    { "--guidance constant --power 2", "--power belongs to --guidance cosine" },
    { "--sampler euler", "dpm-solver-2m" },
    { "--grid quadratic", "uniform or log-snr" },
    { "--micro-batch 0", "--micro-batch is from 1" },
    { "--micro-batch 257", "--micro-batch is from 1 to 256" },
    { "--reuse-low-branches 1", "--reuse-low-branches is from 2" },
    { "--precision f64", "f32, bf16 or f8, not “f64”" },
    { "--seed -2", "not “-2”" },
    { "--seed 18446744073709551616", "18446744073709551615" },
    { "--index x", "not “x”" },
    { "--index 18446744073709551615 --count 2", "leaves no numbers" },
    { "--index 281474976710655 --count 2", "the last number is 281474976710655" },
    { "--index 281474976710656", "leaves no numbers" },
    { "--class tigr", "did you mean “tiger” (292)?" },
    { "--class crane", "“crane (machine)” (517)" },
    { "--class 1-1000", "beyond the classes" },
    { "--class lion --count 2 --out one.png", "names one picture, but 2" },
  };
  g_auto (CliResult) result = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      char *folder = cli_make_folder ();

      if (strstr (cases[i].words, "--out") != NULL)
        cli_run (&result, "generate %s", cases[i].words);
      else
        cli_run (&result, "generate %s --out %s", cases[i].words, folder);
      assert_says (&result, 2, cases[i].message);
      g_assert_cmpuint (cli_count_files (folder), ==, 0);
      cli_remove_folder (folder);
    }
}

static void
test_failures_are_exit_code_one (void)
{
  g_auto (CliResult) result = { 0 };
  char *folder = cli_make_folder ();

  cli_run (&result, "generate --model %s/nothing --class lion --out %s", folder, folder);
  assert_says (&result, 1, "nothing");
  cli_run (&result, "generate --class lion --out /proc/none/here");
  assert_says (&result, 1, "/proc/none/here");
  cli_run (&result, "convert %s/nothing %s/out.safetensors", folder, folder);
  assert_says (&result, 1, "nothing");
  g_assert_cmpuint (cli_count_files (folder), ==, 0);
  cli_remove_folder (folder);
}

/* Members above 2^53 are strings, so that no reader rounds them. */
static void
test_errors_are_json_lines_too (void)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;

  cli_run (&result, "generate --json --class tigr");
  cli_assert_status (&result, 2);
  lines = cli_parse_lines (result.out);
  g_assert_cmpuint (lines->len, ==, 1);
  g_assert_cmpstr (json_object_get_string_member (lines->pdata[0], "event"), ==, "error");
  g_assert_cmpint (json_object_get_int_member (lines->pdata[0], "exit"), ==, 2);
  g_assert_nonnull (strstr (json_object_get_string_member (lines->pdata[0], "message"), "tiger"));
}

static void
test_devices_lists_the_cpu (void)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  JsonObject *device;

  cli_run (&result, "devices --json");
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  device = cli_find_event (lines, "device");
  g_assert_nonnull (device);
  g_assert_cmpint (json_object_get_int_member (device, "memory_bytes"), >, 1 << 20);
  g_assert_nonnull (strstr (result.out, "\"device\":\"cpu\""));
  cli_run (&result, "devices");
  cli_assert_status (&result, 0);
  g_assert_nonnull (strstr (result.out, "cpu"));
}

/* Runs @script with sh, where $dimr is the program; returns its exit code. */
static int
run_script (const char  *script,
            char       **out,
            char       **err)
{
  g_autofree char *all = g_strdup_printf ("DIMR_DATA_DIR='%s' export DIMR_DATA_DIR; dimr='%s'; %s", SOURCE_DATA_DIR, DIMR_PROGRAM, script);
  const char *words[] = { "sh", "-c", all, NULL };
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GBytes) out_bytes = NULL, err_bytes = NULL;
  g_autoptr (GError) error = NULL;

  process = g_subprocess_newv (words, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &error);
  g_assert_no_error (error);
  g_subprocess_communicate (process, NULL, NULL, &out_bytes, &err_bytes, &error);
  g_assert_no_error (error);
  *out = g_strndup (g_bytes_get_data (out_bytes, NULL), g_bytes_get_size (out_bytes));
  *err = g_strndup (g_bytes_get_data (err_bytes, NULL), g_bytes_get_size (err_bytes));
  return g_subprocess_get_exit_status (process);
}

static void
test_lost_output_is_a_failure (void)
{
  static const char * const scripts[] = { "\"$dimr\" devices >/dev/full", "\"$dimr\" devices --json >/dev/full",
                                          "\"$dimr\" --help >/dev/full" };

  if (!g_file_test ("/dev/full", G_FILE_TEST_EXISTS))
    {
      g_test_skip ("there is no /dev/full");
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (scripts); i++)
    {
      g_autofree char *out = NULL, *err = NULL;

      g_assert_cmpint (run_script (scripts[i], &out, &err), ==, 1);
      g_assert_nonnull (strstr (err, "standard output"));
    }
}

static void
test_paths_are_printed_as_they_are (void)
{
  g_autofree char *folder = cli_make_folder (), *script = NULL, *out = NULL, *err = NULL, *json = NULL;

  /* A script that runs in no locale still finds its files. */
  script = g_strdup_printf ("cd %s && name=$(printf 'B\303\274cher') && LC_ALL=C \"$dimr\" generate --class %d --steps 1 --seed 1 -q --out $name",
                            folder, cli_get_class ());
  g_assert_cmpint (run_script (script, &out, &err), ==, 0);
  g_assert_true (g_str_has_prefix (out, "B\303\274cher/000000-"));

  /* JSON is UTF-8 whatever files are called. */
  g_free (script);
  g_free (err);
  script = g_strdup_printf ("cd %s && name=$(printf 'B\374cher') && \"$dimr\" generate --class %d --steps 1 --seed 1 --json --out $name; rm -rf B*",
                            folder, cli_get_class ());
  g_assert_cmpint (run_script (script, &json, &err), ==, 0);
  g_assert_true (g_utf8_validate (json, -1, NULL));
  cli_remove_folder (g_steal_pointer (&folder));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/help/commands-explain-themselves", test_commands_explain_themselves);
  g_test_add_func ("/cli/help/version-is-told", test_version);
  g_test_add_func ("/cli/usage/wrong-usage-is-exit-code-2", test_wrong_usage_is_exit_code_two);
  g_test_add_func ("/cli/usage/values-out-of-range-are-explained", test_values_out_of_range_are_explained);
  g_test_add_func ("/cli/usage/failures-are-exit-code-1", test_failures_are_exit_code_one);
  g_test_add_func ("/cli/usage/errors-are-json-lines-too", test_errors_are_json_lines_too);
  g_test_add_func ("/cli/output/lost-output-is-a-failure", test_lost_output_is_a_failure);
  g_test_add_func ("/cli/output/paths-are-printed-as-they-are", test_paths_are_printed_as_they_are);
  g_test_add_func ("/cli/devices/lists-the-cpu", test_devices_lists_the_cpu);
  return g_test_run ();
}
