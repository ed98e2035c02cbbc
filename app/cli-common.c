/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-common.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MAX_EXACT_INTEGER (G_GUINT64_CONSTANT (1) << 53)

gboolean
studio_cli_parse (const char         *usage,
                  const char         *summary,
                  const char         *examples,
                  const GOptionEntry *entries,
                  int                *argc,
                  char             ***argv)
{
  g_autofree char *command = g_strdup ((*argv)[0]);
  g_autofree char *program = g_strdup_printf ("dimr %s", command);
  g_autofree char *description = g_strdup_printf (_("Examples:\n%s\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped with Ctrl+C."),
                                                  examples);
  g_autoptr (GOptionContext) context = g_option_context_new (usage);
  g_autoptr (GError) error = NULL;

  /* "Usage: dimr generate [OPTION…]" */
  g_set_prgname (program);
  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, description);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (g_option_context_parse (context, argc, argv, &error))
    {
      if (*argc <= 1)
        return TRUE;
      g_printerr (_("dimr %s: “%s” is one argument too many.\n"), command, (*argv)[1]);
    }
  else
    g_printerr ("dimr %s: %s.\n", command, error->message);
  g_printerr (_("“dimr %s --help” lists what it takes.\n"), command);
  return FALSE;
}

int
studio_cli_report (const GError *error,
                   gboolean      json)
{
  int status = STUDIO_EXIT_FAILED;
  const char *end = g_str_has_suffix (error->message, ".") || g_str_has_suffix (error->message, "?") ? "" : ".";

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    status = STUDIO_EXIT_CANCELLED;
  else if (g_error_matches (error, DIMR_ERROR, DIMR_ERROR_REQUEST))
    status = STUDIO_EXIT_USAGE;

  if (status == STUDIO_EXIT_CANCELLED)
    g_printerr (_("Stopped.\n"));
  else
    g_printerr ("dimr: %s%s\n", error->message, end);
  if (json)
    {
      JsonBuilder *event = studio_cli_event_new (status == STUDIO_EXIT_CANCELLED ? "cancelled" : "error");

      if (status != STUDIO_EXIT_CANCELLED)
        studio_cli_event_string (event, "message", error->message);
      studio_cli_event_int (event, "exit", status);
      studio_cli_event_print (event);
    }
  return status;
}

int
studio_cli_refuse (gboolean    json,
                   const char *format,
                   ...)
{
  g_autoptr (GError) error = NULL;
  va_list args;

  va_start (args, format);
  error = g_error_new_valist (DIMR_ERROR, DIMR_ERROR_REQUEST, format, args);
  va_end (args);
  return studio_cli_report (error, json);
}

typedef struct
{
  StudioCliWork work;
  gpointer data;
  GCancellable *cancellable;
  GMainLoop *loop;
  GError *error;
  gboolean ok;
} Run;

static gboolean
quit_loop (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

static gpointer
run_thread (gpointer data)
{
  Run *run = data;

  run->ok = run->work (run->data, run->cancellable, &run->error);
  g_idle_add (quit_loop, run->loop);
  return NULL;
}

static gboolean
on_interrupt (gpointer data)
{
  /* The next one is for those who cannot wait. */
  signal (SIGINT, SIG_DFL);
  signal (SIGTERM, SIG_DFL);
  g_cancellable_cancel (data);
  return G_SOURCE_CONTINUE;
}

void
studio_cli_watch (GCancellable *cancellable,
                  guint         ids[2])
{
  ids[0] = g_unix_signal_add (SIGINT, on_interrupt, cancellable);
  ids[1] = g_unix_signal_add (SIGTERM, on_interrupt, cancellable);
}

void
studio_cli_unwatch (guint ids[2])
{
  g_source_remove (ids[0]);
  g_source_remove (ids[1]);
}

gboolean
studio_cli_run (StudioCliWork  work,
                gpointer       data,
                GError       **error)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Run run = { .work = work, .data = data, .cancellable = cancellable, .loop = loop };
  GThread *thread;
  guint ids[2];

  studio_cli_watch (cancellable, ids);
  thread = g_thread_new ("dimr-cli", run_thread, &run);
  g_main_loop_run (loop);
  g_thread_join (thread);
  studio_cli_unwatch (ids);
  if (!run.ok)
    g_propagate_error (error, run.error);
  return run.ok;
}

void
studio_cli_print_path (const char *path)
{
  fputs (path, stdout);
  fputc ('\n', stdout);
  fflush (stdout);
}

void
studio_cli_print_cell (const char *text,
                       int         width)
{
  const int blanks = ABS (width) - (int) g_utf8_strlen (text, -1);

  g_print ("%*s%s%*s", width < 0 && blanks > 0 ? blanks : 0, "", text, width > 0 && blanks > 0 ? blanks : 0, "");
}

JsonBuilder *
studio_cli_event_new (const char *event)
{
  JsonBuilder *builder = json_builder_new ();

  json_builder_begin_object (builder);
  studio_cli_event_string (builder, "event", event);
  return builder;
}

void
studio_cli_event_string (JsonBuilder *event,
                         const char  *member,
                         const char  *value)
{
  g_autofree char *valid = value != NULL ? g_utf8_make_valid (value, -1) : NULL;

  if (valid == NULL)
    return;
  json_builder_set_member_name (event, member);
  json_builder_add_string_value (event, valid);
}

void
studio_cli_event_int (JsonBuilder *event,
                      const char  *member,
                      guint64      value)
{
  char digits[24];

  if (value <= MAX_EXACT_INTEGER)
    {
      json_builder_set_member_name (event, member);
      json_builder_add_int_value (event, (gint64) value);
      return;
    }
  g_snprintf (digits, sizeof digits, "%" G_GUINT64_FORMAT, value);
  studio_cli_event_string (event, member, digits);
}

void
studio_cli_event_double (JsonBuilder *event,
                         const char  *member,
                         double       value)
{
  json_builder_set_member_name (event, member);
  json_builder_add_double_value (event, value);
}

void
studio_cli_event_print (JsonBuilder *event)
{
  g_autoptr (JsonBuilder) builder = event;
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *line = NULL;

  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  line = json_to_string (root, FALSE);
  /* Written as it is: JSON is UTF-8 in every locale. */
  fputs (line, stdout);
  fputc ('\n', stdout);
  fflush (stdout);
}

char *
studio_cli_format_count (guint64 count)
{
  static const char *const prefixes[] = { "", " k", " M", " G", " T" };
  double value = (double) count;
  guint i = 0;

  /* 999.5 would be rounded to four digits. */
  while (value >= 999.5 && i + 1 < G_N_ELEMENTS (prefixes))
    {
      value /= 1000;
      i++;
    }
  return g_strdup_printf ("%.*f%s", i == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value, prefixes[i]);
}

/* "U-ViT-S/2" → 5: what comes before the size. */
static gsize
family_length (const char *variant)
{
  const char *dash = g_strrstr_len (variant, (gssize) strcspn (variant, "/"), "-");

  return dash != NULL ? (gsize) (dash - variant) : strlen (variant);
}

char *
studio_cli_list_variants (void)
{
  const char * const *names = dimr_config_list_variants ();
  GString *text = g_string_new ("  ");

  for (guint i = 0; names[i] != NULL; i++)
    {
      if (i > 0)
        g_string_append (text, strncmp (names[i - 1], names[i], family_length (names[i])) == 0 ? ", " : "\n  ");
      g_string_append (text, names[i]);
    }
  return g_string_free (text, FALSE);
}

char *
studio_cli_format_bytes (guint64 bytes)
{
  if (bytes >= G_GUINT64_CONSTANT (1) << 30)
    return g_strdup_printf ("%.1f GiB", (double) bytes / (1 << 30));
  return g_strdup_printf ("%.1f MiB", (double) bytes / (1 << 20));
}

char *
studio_cli_format_time (double seconds)
{
  guint64 s = (guint64) (CLAMP (seconds, 0, 1e9) + 0.5);

  if (s >= 3600)
    return g_strdup_printf ("%u:%02u:%02u", (guint) (s / 3600), (guint) (s / 60 % 60), (guint) (s % 60));
  return g_strdup_printf ("%u:%02u", (guint) (s / 60), (guint) (s % 60));
}
