/* SPDX-License-Identifier: Apache-2.0 */
#include "cli-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

void
cli_result_clear (CliResult *self)
{
  g_clear_pointer (&self->out, g_free);
  g_clear_pointer (&self->err, g_free);
}

static GSubprocess *
spawn (const char         *words,
       GSubprocessFlags    flags)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (flags);
  /* Words are parted by spaces; the program's own path may have some. */
  g_autofree char *line = g_strconcat ("dimr ", words, NULL);
  g_auto (GStrv) argv = g_strsplit (g_strchomp (line), " ", -1);
  g_autoptr (GError) error = NULL;
  GSubprocess *process;

  g_free (argv[0]);
  argv[0] = g_strdup (DIMR_PROGRAM);
  g_subprocess_launcher_setenv (launcher, "DIMR_DATA_DIR", SOURCE_DATA_DIR, TRUE);
  process = g_subprocess_launcher_spawnv (launcher, (const char *const *) argv, &error);
  g_assert_no_error (error);
  return process;
}

void
cli_run (CliResult  *result,
         const char *format,
         ...)
{
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *words = NULL;
  va_list args;

  va_start (args, format);
  words = g_strdup_vprintf (format, args);
  va_end (args);
  cli_result_clear (result);
  process = spawn (words, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_subprocess_communicate_utf8 (process, NULL, NULL, &result->out, &result->err, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  result->status = g_subprocess_get_exit_status (process);
}

GSubprocess *
cli_start (const char *format,
           ...)
{
  g_autofree char *words = NULL;
  va_list args;

  va_start (args, format);
  words = g_strdup_vprintf (format, args);
  va_end (args);
  return spawn (words, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
}

GSubprocess *
cli_start_loudly (const char *format,
                  ...)
{
  g_autofree char *words = NULL;
  va_list args;

  va_start (args, format);
  words = g_strdup_vprintf (format, args);
  va_end (args);
  return spawn (words, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
}

void
cli_assert_status (const CliResult *result,
                   int              status)
{
  if (result->status != status)
    g_error ("exit code %d instead of %d\n%s\n%s", result->status, status, result->out, result->err);
}

GPtrArray *
cli_parse_lines (const char *text)
{
  GPtrArray *lines = g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);
  g_auto (GStrv) split = g_strsplit (text, "\n", -1);

  for (guint i = 0; split[i] != NULL && split[i][0] != '\0'; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonNode) node = json_from_string (split[i], &error);

      g_assert_no_error (error);
      g_assert_true (JSON_NODE_HOLDS_OBJECT (node));
      g_ptr_array_add (lines, json_node_dup_object (node));
    }
  return lines;
}

JsonObject *
cli_find_event (GPtrArray  *lines,
                const char *event)
{
  for (guint i = 0; i < lines->len; i++)
    if (strcmp (json_object_get_string_member (lines->pdata[i], "event"), event) == 0)
      return lines->pdata[i];
  return NULL;
}

JsonObject *
cli_dup_model_info (void)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  JsonObject *info;

  cli_run (&result, "info --json");
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  info = cli_find_event (lines, "info");
  g_assert_nonnull (info);
  return json_object_ref (info);
}

int
cli_get_class (void)
{
  g_autoptr (JsonObject) info = cli_dup_model_info ();
  JsonArray *trained = json_object_get_array_member (info, "trained_classes");

  return json_array_get_length (trained) > 0 ? (int) json_array_get_int_element (trained, 0) : 291;
}

char *
cli_make_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("dimr-cli-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

void
cli_remove_folder (char *folder)
{
  remove_tree (folder);
  g_free (folder);
}

guint
cli_count_files (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
read_file (const char  *path,
           char       **content,
           gsize       *length)
{
  g_autoptr (GError) error = NULL;

  g_file_get_contents (path, content, length, &error);
  g_assert_no_error (error);
}

void
cli_assert_same_files (const char *a,
                       const char *b)
{
  g_autofree char *x = NULL;
  g_autofree char *y = NULL;
  gsize n, m;

  read_file (a, &x, &n);
  read_file (b, &y, &m);
  if (n != m || memcmp (x, y, n) != 0)
    g_error ("%s and %s differ", a, b);
}
