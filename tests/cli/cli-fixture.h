/* cli-fixture.h — runs the real `dimr` and looks at what it printed
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef struct
{
  int   status; /* exit code */
  char *out;
  char *err;
} CliResult;

void         cli_result_clear  (CliResult     *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CliResult, cli_result_clear)

/* Runs `dimr` with the blank-separated words of @format's result and waits for it. The bundled
 * model is that of the sources. No word may hold a blank. */
void         cli_run           (CliResult     *result,
                                const char    *format,
                                ...) G_GNUC_PRINTF (2, 3);
/* The same, started only; standard output is a pipe (transfer full). */
GSubprocess *cli_start         (const char    *format,
                                ...) G_GNUC_PRINTF (1, 2);
/* Standard error is one too. */
GSubprocess *cli_start_loudly  (const char    *format,
                                ...) G_GNUC_PRINTF (1, 2);
/* Fails the test, with everything printed, unless the exit code is @status. */
void         cli_assert_status (const CliResult *result,
                                int            status);

/* The JSON object of every line of @text; a line that is none fails the test (transfer full). */
GPtrArray   *cli_parse_lines   (const char    *text);
/* The first of @lines whose "event" is @event; NULL where there is none (transfer none). */
JsonObject  *cli_find_event    (GPtrArray     *lines,
                                const char    *event);
/* What `dimr info --json` tells of the bundled model (transfer full). */
JsonObject  *cli_dup_model_info (void);
/* Index of a class that the bundled model knows. */
int          cli_get_class     (void);

/* A new folder, removed with all files in it by cli_remove_folder() (transfer full). */
char        *cli_make_folder   (void);
void         cli_remove_folder (char          *folder);
guint        cli_count_files   (const char    *folder);
void         cli_assert_same_files (const char *a,
                                    const char *b);

G_END_DECLS
