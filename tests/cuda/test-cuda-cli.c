/* The command line on an emulated GPU: pictures, stopping, short memory, a lost device, and modules that cannot be used.
 * With DIMR_TEST_DEVICE on the real one, where there is one: pictures and stopping.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../cli/cli-fixture.h"

#include "core/image/dimr-png.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

/* A small network of three branches, guided, two images an evaluation; from the folder of test data, whose own path
 * may have blanks. */
#define GENERATE "generate --model reference/B_dimr_3r_pixel --class 1 --seed 3 --cfg 1.5 --steps 2 "
#define ON_CUDA GENERATE "--device cuda --micro-batch 2 "

/* The environment of the programs that follow; NULL: as it was. */
static void
set_variable (const char *name,
              const char *value)
{
  if (value != NULL)
    g_setenv (name, value, TRUE);
  else
    g_unsetenv (name);
}

/* The paths of @n pictures that @options made in @folder/@name (transfer full). */
static char **
make (const char *folder,
      const char *name,
      const char *options,
      guint       n)
{
  g_auto (CliResult) result = { 0 };
  g_auto (GStrv) paths = NULL;

  cli_run (&result, ON_CUDA "%s --out %s/%s", options, folder, name);
  cli_assert_status (&result, 0);
  paths = g_strsplit (g_strchomp (result.out), "\n", -1);
  g_assert_cmpuint (g_strv_length (paths), ==, n);
  return g_steal_pointer (&paths);
}

/* In a second run, however many were asked for, advance together or are looked at, launched one by one, and whenever
 * the device gets to its work. */
static void
test_same_bytes (void)
{
  static const struct { const char *options; guint first, n; const char *variable; } others[] = {
    { "--count 3 --batch 3", 0, 3, NULL },
    { "--count 3 --batch 1", 0, 3, "DIMR_CUDA_EAGER" },
    { "--count 3 --batch 2 --no-previews", 0, 3, NULL },
    { "--count 3 --batch 4 --no-previews", 0, 3, "FAKE_CUDA_DEFERRED" },
    { "--count 2 --batch 3 --index 1", 1, 2, "FAKE_CUDA_DEFERRED" },
    { "--count 1 --index 2", 2, 1, NULL },
  };
  char *folder = cli_make_folder ();
  g_auto (GStrv) three = make (folder, "three", "--count 3 --batch 3", 3);

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);
      g_auto (GStrv) pictures = NULL;

      if (others[i].variable != NULL)
        set_variable (others[i].variable, "1");
      pictures = make (folder, name, others[i].options, others[i].n);
      if (others[i].variable != NULL)
        set_variable (others[i].variable, NULL);
      for (guint k = 0; k < others[i].n; k++)
        cli_assert_same_files (three[others[i].first + k], pictures[k]);
    }
  cli_remove_folder (folder);
}

/* Steps that were told before the signal and at the end. */
static void
test_stop (void)
{
  char *folder = cli_make_folder ();
  g_autoptr (GSubprocess) process = cli_start (ON_CUDA "--json --count 2 --steps 1000 --out %s", folder);
  g_autoptr (GDataInputStream) lines = g_data_input_stream_new (g_subprocess_get_stdout_pipe (process));
  gint64 first = -1, last = -1;
  gboolean cancelled = FALSE;

  for (;;)
    {
      g_autofree char *line = g_data_input_stream_read_line (lines, NULL, NULL, NULL);
      g_autoptr (GPtrArray) events = line != NULL ? cli_parse_lines (line) : NULL;
      JsonObject *progress = events != NULL ? cli_find_event (events, "progress") : NULL;

      if (line == NULL)
        break;
      cancelled |= cli_find_event (events, "cancelled") != NULL;
      if (progress == NULL)
        continue;
      last = json_object_get_int_member (progress, "step");
      if (first >= 0)
        continue;
      first = last;
      g_subprocess_send_signal (process, SIGINT);
    }
  g_assert_true (g_subprocess_wait (process, NULL, NULL));
  g_assert_true (cancelled);
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 130);
  g_assert_cmpint (first, >=, 0);
  /* The one that ran, and one that had been told before the signal arrived. */
  g_assert_cmpint (last - first, <=, 2);
  g_assert_cmpuint (cli_count_files (folder), ==, 0);
  cli_remove_folder (folder);
}

/* Of the least memory that is enough: the device's own micro-batch gives way, and the recipe says to what; one that
 * was asked for does not. With less there is an error with figures. */
static void
test_short_memory (void)
{
  g_auto (CliResult) result = { 0 }, refused = { 0 };
  g_autoptr (DimrRecipe) recipe = NULL;
  g_autoptr (DimrImage) image = NULL;
  char *folder = cli_make_folder ();
  guint n_refused = 0;

  /* Others have 1024 MiB, and 512 are kept free. */
  for (guint memory = 1565;; memory++)
    {
      g_autofree char *text = g_strdup_printf ("%u", memory);

      g_assert_cmpuint (memory, <, 1700);
      set_variable ("FAKE_CUDA_MEMORY", text);
      cli_run (&result, GENERATE "--device cuda --steps 1 --out %s", folder);
      if (result.status == 0)
        break;
      cli_assert_status (&result, 1);
      g_assert_true (g_regex_match_simple ("needs [0-9]+ MiB .* has [0-9]+ MiB free", result.err, 0, 0));
      n_refused++;
    }
  g_assert_cmpuint (n_refused, >, 0);
  g_assert_nonnull (strstr (result.err, "per evaluation instead of 4"));
  image = dimr_png_load (g_strchomp (result.out), &recipe, NULL);
  g_assert_nonnull (image);
  g_assert_cmpuint (recipe->micro_batch, <, 4);
  cli_run (&refused, GENERATE "--device cuda --micro-batch 4 --steps 1 --out %s", folder);
  cli_assert_status (&refused, 1);
  g_assert_true (g_regex_match_simple ("needs [0-9]+ MiB .* has [0-9]+ MiB free", refused.err, 0, 0));
  set_variable ("FAKE_CUDA_MEMORY", NULL);
  cli_remove_folder (folder);
}

/* In the middle of the walk: one sentence, no picture, and the same command computes on the CPU. */
static void
test_lost_device (void)
{
  g_auto (CliResult) lost = { 0 }, there = { 0 };
  char *folder = cli_make_folder ();

  set_variable ("FAKE_CUDA_FAIL", "2000:719");
  cli_run (&lost, ON_CUDA "--steps 50 --out %s", folder);
  cli_assert_status (&lost, 1);
  g_assert_nonnull (strstr (lost.err, "Emulated GPU has stopped: a kernel failed (CUDA error 719)"));
  g_assert_nonnull (strstr (lost.err, "--device cpu"));
  g_assert_cmpuint (cli_count_files (folder), ==, 0);
  set_variable ("FAKE_CUDA_FAIL", NULL);
  cli_run (&there, GENERATE "--device cpu --out %s", folder);
  cli_assert_status (&there, 0);
  g_assert_cmpuint (cli_count_files (folder), ==, 1);
  cli_remove_folder (folder);
}

/* ---- no device at all ---- */

typedef struct
{
  const char *path;
  const char *module;     /* NULL: the emulated one; "": a file of text */
  const char *variable, *value;
  const char *part;       /* of the sentence */
} Absence;

static const Absence absences[] = {
  { "/cuda/cli/absent/no-file", TEST_BUILD_DIR "/there-is-none.so", NULL, NULL, "there is no" },
  { "/cuda/cli/absent/text", "", NULL, NULL, "cannot be opened" },
  { "/cuda/cli/absent/other-library", OTHER_LIBRARY, NULL, NULL, "is no NVIDIA part of this program" },
  { "/cuda/cli/absent/other-version", TEST_BUILD_DIR "/libdimr-cuda-other-version.so", NULL, NULL, "belongs to version 0.0.9" },
  { "/cuda/cli/absent/other-sources", TEST_BUILD_DIR "/libdimr-cuda-other-sources.so", NULL, NULL, "was built from other sources" },
  { "/cuda/cli/absent/no-driver", NULL, "FAKE_CUDA_DRIVER", "0", "No NVIDIA driver answers" },
  { "/cuda/cli/absent/old-driver", NULL, "FAKE_CUDA_DRIVER", "11080", "too old: it knows CUDA 11.8" },
  { "/cuda/cli/absent/no-device", NULL, "FAKE_CUDA_DEVICES", "0", "No NVIDIA GPU was found" },
};

static void
assert_sentence (const char *text,
                 const char *part)
{
  g_assert_nonnull (strstr (text, part));
  g_assert_cmpuint (strlen (text), <, 400);
  g_assert_null (strstr (text, ". "));
}

/* In the list of devices, to who asks for the GPU, and to nobody else: there the CPU computes. */
static void
test_absence (gconstpointer data)
{
  const Absence *absence = data;
  g_autofree char *module = g_strdup (g_getenv ("DIMR_CUDA_MODULE"));
  g_auto (CliResult) listed = { 0 }, wanted = { 0 }, automatic = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  char *folder = cli_make_folder ();
  g_autofree char *text = g_build_filename (folder, "text.so", NULL);
  JsonObject *event;

  if (absence->module != NULL && absence->module[0] == '\0')
    g_assert_true (g_file_set_contents (text, "no library\n", -1, NULL));
  if (absence->module != NULL)
    set_variable ("DIMR_CUDA_MODULE", absence->module[0] != '\0' ? absence->module : text);
  if (absence->variable != NULL)
    set_variable (absence->variable, absence->value);

  cli_run (&listed, "devices --json");
  cli_assert_status (&listed, 0);
  lines = cli_parse_lines (listed.out);
  event = cli_find_event (lines, "backend");
  g_assert_cmpstr (json_object_get_string_member (event, "backend"), ==, "cuda");
  assert_sentence (json_object_get_string_member (event, "error"), absence->part);
  g_assert_nonnull (cli_find_event (lines, "device"));   /* the CPU */

  cli_run (&wanted, ON_CUDA "--out %s", folder);
  cli_assert_status (&wanted, 1);
  g_assert_nonnull (strstr (wanted.err, absence->part));

  cli_run (&automatic, GENERATE "--steps 1 --json --out %s", folder);
  cli_assert_status (&automatic, 0);
  g_assert_null (strstr (automatic.out, "Emulated GPU"));

  if (absence->variable != NULL)
    set_variable (absence->variable, NULL);
  set_variable ("DIMR_CUDA_MODULE", module);
  cli_remove_folder (folder);
}

static gboolean
is_there (const char *device)
{
  g_auto (CliResult) listed = { 0 };
  g_autoptr (GPtrArray) lines = NULL;

  cli_run (&listed, "devices --json");
  lines = cli_parse_lines (listed.out);
  for (guint i = 0; i < lines->len; i++)
    if (json_object_has_member (lines->pdata[i], "device") &&
        g_strcmp0 (json_object_get_string_member (lines->pdata[i], "device"), device) == 0)
      return TRUE;
  return FALSE;
}

int
main (int    argc,
      char **argv)
{
  const char *real = g_getenv ("DIMR_TEST_DEVICE");

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (g_chdir (TEST_DATA_DIR), ==, 0);
  if (real != NULL && !is_there (real))
    {
      g_print ("1..0 # SKIP there is no device '%s' here\n", real);
      return 0;
    }
  g_setenv ("DIMR_CUDA_FIRST_ALGORITHM", "1", TRUE);
  g_test_add_func ("/cuda/cli/same-bytes", test_same_bytes);
  g_test_add_func ("/cuda/cli/stop", test_stop);
  if (real != NULL)
    return g_test_run ();
  g_test_add_func ("/cuda/cli/short-memory", test_short_memory);
  g_test_add_func ("/cuda/cli/lost-device", test_lost_device);
  for (guint i = 0; i < G_N_ELEMENTS (absences); i++)
    g_test_add_data_func (absences[i].path, &absences[i], test_absence);
  return g_test_run ();
}
