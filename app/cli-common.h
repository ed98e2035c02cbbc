/* cli-common.h — what the commands of `dimr` share: exit codes, messages, JSON lines, Ctrl+C
 *
 * Results go to standard output, everything else to standard error. With --json, standard output
 * holds one JSON object a line and nothing else.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/dimr.h"

#include <inttypes.h> /* PRIu64 in strings to translate: xgettext knows no G_GUINT64_FORMAT */
#include <glib/gi18n.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef enum
{
  STUDIO_EXIT_OK = 0,
  STUDIO_EXIT_FAILED = 1,
  STUDIO_EXIT_USAGE = 2,       /* the command line asks for something that cannot be */
  STUDIO_EXIT_CANCELLED = 130, /* what shells say of Ctrl+C */
} StudioExit;

/* The commands: argv[0] is the command's name. */
int             studio_cli_generate (int argc, char **argv);
int             studio_cli_forward  (int argc, char **argv);
int             studio_cli_gradients (int argc, char **argv);
int             studio_cli_train    (int argc, char **argv);
int             studio_cli_info     (int argc, char **argv);
int             studio_cli_convert  (int argc, char **argv);
int             studio_cli_decode   (int argc, char **argv);
int             studio_cli_encode   (int argc, char **argv);
int             studio_cli_classify (int argc, char **argv);
int             studio_cli_score    (int argc, char **argv);
int             studio_cli_fid      (int argc, char **argv);
int             studio_cli_reference (int argc, char **argv);
int             studio_cli_flag     (int argc, char **argv);
int             studio_cli_devices  (int argc, char **argv);
int             studio_cli_models   (int argc, char **argv);
int             studio_cli_import   (int argc, char **argv);
int             studio_cli_bench    (int argc, char **argv);

/* Parses @argv with @entries. @usage: what follows the command ("IN OUT.safetensors"); @summary
 * and @examples frame --help. Returns FALSE after it has printed what is wrong, for exit code 2. */
gboolean        studio_cli_parse    (const char         *usage,
                                     const char         *summary,
                                     const char         *examples,
                                     const GOptionEntry *entries,
                                     int                *argc,
                                     char             ***argv);
/* Prints @error (also as a JSON line if @json) and tells its exit code: 2 for requests, 130 for a
 * cancelled run, else 1. */
int             studio_cli_report   (const GError       *error,
                                     gboolean            json);

/* The same for a slip in the command line: prints the message and returns 2. */
int             studio_cli_refuse   (gboolean            json,
                                     const char         *format,
                                     ...) G_GNUC_PRINTF (2, 3);

/* Ctrl+C and SIGTERM cancel @cancellable, as seen by the default main context; a second one ends the
 * program at once. @ids: for unwatch, before @cancellable goes. */
void            studio_cli_watch    (GCancellable       *cancellable,
                                     guint               ids[2]);
void            studio_cli_unwatch  (guint               ids[2]);

/* Blocking work in a thread while the main loop watches for Ctrl+C. @work returns FALSE with its
 * error set. */
typedef gboolean (*StudioCliWork)   (gpointer       data,
                                     GCancellable  *cancellable,
                                     GError       **error);
gboolean        studio_cli_run      (StudioCliWork  work,
                                     gpointer       data,
                                     GError       **error);

/* A line with nothing but @path, byte for byte: g_print() would write it in the locale's characters, and
 * another program looks for a file of that name. */
void            studio_cli_print_path (const char *path);

/* Prints @text and blanks up to @width columns, on its left where @width is below 0; printf() counts bytes,
 * and "×" or "ä" has two. */
void            studio_cli_print_cell (const char *text,
                                       int         width);

/* JSON lines: an open object with its "event"; members are added, then it is printed (transfer full). */
JsonBuilder    *studio_cli_event_new    (const char  *event);
void            studio_cli_event_string (JsonBuilder *event,
                                         const char  *member,
                                         const char  *value);   /* left out where NULL; bytes that are no UTF-8, as names of files may hold, become U+FFFD */
void            studio_cli_event_int    (JsonBuilder *event,
                                         const char  *member,
                                         guint64      value);   /* a string of digits above 2^53 */
void            studio_cli_event_double (JsonBuilder *event,
                                         const char  *member,
                                         double       value);
void            studio_cli_event_print  (JsonBuilder *event);

/* The models that are known without a file: one architecture a line (transfer full). */
char           *studio_cli_list_variants (void);
/* "4.28 M", "160 G": three digits and a decimal prefix (transfer full). */
char           *studio_cli_format_count (guint64      count);
/* "16.3 MiB" (transfer full) */
char           *studio_cli_format_bytes (guint64      bytes);
/* "0:07", "1:02:45" (transfer full) */
char           *studio_cli_format_time  (double       seconds);

G_END_DECLS
