/* `dimr bench`: that its figures fit together, never that they are good.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cli-fixture.h"

#include <math.h>
#include <signal.h>
#include <string.h>

static double
get_median (JsonObject *object,
            const char *member)
{
  return json_object_get_double_member (json_object_get_object_member (object, member), "median");
}

/* One op or a whole evaluation: rates and shares are those of its work, its time and the peaks. */
static void
check_work (JsonObject *work,
            double      seconds,
            JsonObject *peaks)
{
  const double macs = json_object_get_double_member (work, "macs"), bytes = json_object_get_double_member (work, "bytes");
  const double flops = json_object_get_double_member (peaks, "flops_per_second");
  const double memory = json_object_get_double_member (peaks, "bytes_per_second");

  g_assert_cmpfloat (bytes, >, 0);
  if (seconds <= 0)
    return;
  g_assert_cmpfloat_with_epsilon (json_object_get_double_member (work, "flops_per_second") * seconds, 2 * macs, 1e-3 * macs + 1e-3);
  g_assert_cmpfloat_with_epsilon (json_object_get_double_member (work, "flops_share") * seconds * flops, 2 * macs, 1e-3 * macs + 1e-3);
  g_assert_cmpfloat_with_epsilon (json_object_get_double_member (work, "bytes_share") * seconds * memory, bytes, 1e-3 * bytes);
}

static void
check_step (JsonObject *step,
            guint       batch,
            JsonObject *peaks)
{
  JsonArray *ops = json_object_get_array_member (step, "ops");
  const double seconds = get_median (step, "seconds"), all = json_object_get_double_member (step, "ops_seconds");
  gint64 macs = 0, bytes = 0;
  double sum = 0, shares = 0;

  g_assert_cmpint (json_object_get_int_member (step, "batch"), ==, batch);
  g_assert_cmpint (json_object_get_int_member (step, "samples"), ==, 2 * batch);
  g_assert_cmpfloat_with_epsilon (json_object_get_double_member (step, "seconds_per_picture") * batch, seconds, 1e-9);
  check_work (step, seconds, peaks);
  for (guint i = 0; i < json_array_get_length (ops); i++)
    {
      JsonObject *op = json_array_get_object_element (ops, i);

      macs += json_object_get_int_member (op, "macs");
      bytes += json_object_get_int_member (op, "bytes");
      sum += json_object_get_double_member (op, "seconds");
      shares += json_object_get_double_member (op, "share");
      g_assert_cmpint (json_object_get_int_member (op, "count"), >=, 1);
      g_assert_cmpint (strlen (json_object_get_string_member (op, "shape")), >, 0);
      check_work (op, json_object_get_double_member (op, "seconds"), peaks);
    }
  g_assert_cmpint (macs, ==, json_object_get_int_member (step, "macs"));
  g_assert_cmpint (bytes, ==, json_object_get_int_member (step, "bytes"));
  g_assert_cmpfloat_with_epsilon (sum, all, 1e-6);
  g_assert_cmpfloat_with_epsilon (shares, 1, 1e-3);
  /* One by one they take what they take together, but for the waits between them. On a busy machine either
   * may be several times as long; a wrong unit, or most of the network left out, is still seen. */
  g_assert_cmpfloat (all, >, seconds / 20);
  g_assert_cmpfloat (all, <, seconds * 20);
}

static void
test_lines_fit_together (void)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  JsonObject *start, *peaks, *pictures;
  guint n_steps = 0;

  cli_run (&result, "bench --json --device cpu --time 0.3 --steps 4 --batches 1,3");
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  start = cli_find_event (lines, "start");
  g_assert_true (lines->pdata[0] == (gpointer) start);
  g_assert_cmpstr (json_object_get_string_member (start, "precision"), ==, "f32");
  g_assert_false (json_object_get_boolean_member (start, "random_weights"));
  g_assert_nonnull (json_object_get_string_member (start, "date"));
  peaks = cli_find_event (lines, "peaks");
  g_assert_cmpfloat (json_object_get_double_member (peaks, "flops_per_second"), >, 0);
  for (guint i = 0; i < lines->len; i++)
    if (strcmp (json_object_get_string_member (lines->pdata[i], "event"), "step") == 0)
      check_step (lines->pdata[i], n_steps++ == 0 ? 1 : 3, peaks);
  g_assert_cmpuint (n_steps, ==, 2);

  pictures = cli_find_event (lines, "pictures");
  g_assert_cmpint (json_object_get_int_member (pictures, "steps"), ==, 4);
  g_assert_cmpfloat (json_object_get_double_member (pictures, "pictures_per_second"), >, 0);
  g_assert_cmpfloat (get_median (pictures, "preview_seconds"), <=, get_median (pictures, "picture_seconds"));
  g_assert_true (lines->pdata[lines->len - 1] == (gpointer) cli_find_event (lines, "done"));
  g_assert_cmpint (json_object_get_int_member (cli_find_event (lines, "done"), "peak_memory_bytes"), >, 1 << 20);
}

static void
test_only_what_is_asked_for (void)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;

  cli_run (&result, "bench --json --device cpu --time 0 --measure step --precision bf16");
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  g_assert_cmpuint (lines->len, ==, 3);
  g_assert_cmpstr (json_object_get_string_member (lines->pdata[0], "precision"), ==, "bf16");
  g_assert_false (json_object_has_member (lines->pdata[1], "ops"));
  g_assert_false (json_object_has_member (lines->pdata[1], "flops_share"));
}

/* A processor has none, and says so once; the name is known all the same. */
static void
test_float8_needs_a_device (void)
{
  static const char *const commands[] = { "bench --device cpu --time 0 --measure step --precision f8",
                                          "generate --device cpu --steps 1 --precision f8" };

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      g_auto (CliResult) result = { 0 };

      cli_run (&result, "%s", commands[i]);
      cli_assert_status (&result, 1);
      g_assert_nonnull (strstr (result.err, "float8"));
      g_assert_nonnull (strstr (result.err, "--precision bf16 or f32"));
    }
}

static void
test_table_is_for_people (void)
{
  static const char *const parts[] = { "Starter", "Device", "GFLOP/s", "linear-geglu", "A picture", "First preview", "Throughput",
                                       "Memory" };
  g_auto (CliResult) result = { 0 };

  cli_run (&result, "bench --device cpu --time 0.1 --steps 2");
  cli_assert_status (&result, 0);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    if (strstr (result.out, parts[i]) == NULL)
      g_error ("“%s” is not in “%s”", parts[i], result.out);
}

/* Sets the median of a stored run's first evaluation. */
static void
set_stored_median (const char *path,
                   double      seconds)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  JsonObject *root;

  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  root = json_node_get_object (json_parser_get_root (parser));
  g_assert_cmpstr (json_object_get_string_member (root, "event"), ==, "bench");
  json_object_set_double_member (json_object_get_object_member (
    json_array_get_object_element (json_object_get_array_member (root, "steps"), 0), "seconds"), "median", seconds);
  text = json_to_string (json_parser_get_root (parser), TRUE);
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

static void
test_compares_with_a_stored_run (void)
{
  g_auto (CliResult) result = { 0 };
  char *folder = cli_make_folder ();

  cli_run (&result, "bench --device cpu --time 0 --measure step --output %s/run.json", folder);
  cli_assert_status (&result, 0);
  for (gboolean faster = FALSE; faster <= TRUE; faster++)
    {
      g_autofree char *path = g_build_filename (folder, "run.json", NULL);
      g_autoptr (GPtrArray) lines = NULL;
      JsonObject *compare;

      set_stored_median (path, faster ? 1e3 : 1e-9);
      cli_run (&result, "bench --json --device cpu --time 0 --measure step --compare %s", path);
      cli_assert_status (&result, 0);
      lines = cli_parse_lines (result.out);
      compare = cli_find_event (lines, "compare");
      g_assert_cmpfloat (json_object_get_double_member (compare, "then"), ==, faster ? 1e3 : 1e-9);
      g_assert_true (json_object_get_boolean_member (compare, "drop") != faster);
      g_assert_true ((json_object_get_double_member (compare, "ratio") > 1) == faster);
      g_assert_true ((strstr (result.err, "Warning: 1 figure") != NULL) != faster);
    }
  cli_run (&result, "bench --device cpu --time 0 --measure step --precision bf16 --compare %s/run.json", folder);
  cli_assert_status (&result, 2);
  g_assert_nonnull (strstr (result.err, "was measured with “f32”, not with “bf16”"));
  cli_run (&result, "bench --device cpu --time 0 --measure step --output %s/no/such/folder.json", folder);
  cli_assert_status (&result, 1);
  g_assert_nonnull (strstr (result.err, "no/such/folder.json"));
  cli_run (&result, "bench --compare %s/nothing.json", folder);
  cli_assert_status (&result, 1);
  cli_remove_folder (folder);
}

/* A stored run is a file, and a file can be anything. */
static void
test_hostile_stored_runs (void)
{
  static const char *const texts[] = {
    "", "[]", "7", "{", "{\"event\":\"start\"}", "{\"event\":7}", "\"event\"",
  };
  g_auto (CliResult) result = { 0 };
  char *folder = cli_make_folder ();
  g_autofree char *path = g_build_filename (folder, "run.json", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_file_set_contents (path, texts[i], -1, NULL);
      cli_run (&result, "bench --compare %s", path);
      cli_assert_status (&result, 1);
      g_assert_nonnull (strstr (result.err, "no result of “dimr bench --output”"));
    }
  cli_remove_folder (folder);
}

static void
test_stops (void)
{
  g_autoptr (GSubprocess) process = cli_start ("bench --json --device cpu --time 600 --measure step");
  GInputStream *out = g_subprocess_get_stdout_pipe (process);
  char byte;

  /* The first line is there: it is measuring. */
  g_assert_cmpint (g_input_stream_read (out, &byte, 1, NULL, NULL), ==, 1);
  g_subprocess_send_signal (process, SIGINT);
  g_subprocess_wait (process, NULL, NULL);
  g_assert_true (g_subprocess_get_if_exited (process));
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 130);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/bench/lines-fit-together", test_lines_fit_together);
  g_test_add_func ("/cli/bench/float8-needs-a-device", test_float8_needs_a_device);
  g_test_add_func ("/cli/bench/only-what-is-asked-for", test_only_what_is_asked_for);
  g_test_add_func ("/cli/bench/table-is-for-people", test_table_is_for_people);
  g_test_add_func ("/cli/bench/compares-with-a-stored-run", test_compares_with_a_stored_run);
  g_test_add_func ("/cli/bench/hostile-stored-runs", test_hostile_stored_runs);
  g_test_add_func ("/cli/bench/stops", test_stops);
  return g_test_run ();
}
