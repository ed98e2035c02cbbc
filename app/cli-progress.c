/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-progress.h"

#include "app/cli-common.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_INTERVAL (50 * 1000)           /* µs between two drawings of the bar */
#define LINE_INTERVAL (10 * G_USEC_PER_SEC) /* µs between two lines where there is no terminal */
#define MAX_BAR_WIDTH 30
#define MIN_BAR_WIDTH 5

typedef enum
{
  MODE_SILENT,
  MODE_BAR,
  MODE_LINES,
} Mode;

struct _StudioProgress
{
  Mode mode;
  gboolean drawn;  /* a bar is on the terminal's last line */
  gboolean utf8;
  gint64 last;     /* time of the last drawing; of the start in MODE_LINES */
};

static gboolean
is_terminal (void)
{
  return isatty (STDERR_FILENO) && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
}

StudioProgress *
studio_progress_new (gboolean silent)
{
  StudioProgress *self = g_new0 (StudioProgress, 1);

  self->mode = silent ? MODE_SILENT : is_terminal () ? MODE_BAR : MODE_LINES;
  self->utf8 = g_get_charset (NULL);
  self->last = self->mode == MODE_LINES ? g_get_monotonic_time () : 0;
  return self;
}

void
studio_progress_free (StudioProgress *self)
{
  studio_progress_clear (self);
  g_free (self);
}

void
studio_progress_clear (StudioProgress *self)
{
  g_return_if_fail (self != NULL);

  if (!self->drawn)
    return;
  fputs ("\r\033[K", stderr);
  fflush (stderr);
  self->drawn = FALSE;
}

static guint
terminal_width (void)
{
  struct winsize size;

  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  return 80;
}

static void
draw_bar (StudioProgress *self,
          double          fraction,
          const char     *text)
{
  guint columns = terminal_width ();
  guint length = (guint) g_utf8_strlen (text, -1);
  guint room = columns > length + 4 ? columns - length - 4 : 0;
  guint width = MIN (room, MAX_BAR_WIDTH);
  guint filled = (guint) (fraction * width + 0.5);
  g_autoptr (GString) line = g_string_new ("\r\033[K");

  if (width >= MIN_BAR_WIDTH)
    {
      for (guint i = 0; i < width; i++)
        g_string_append (line, i < filled ? (self->utf8 ? "━" : "#") : (self->utf8 ? "┄" : "-"));
      g_string_append (line, "  ");
    }
  /* A line that is longer than the terminal would scroll at every drawing. */
  if (length >= columns)
    g_string_append_len (line, text, g_utf8_offset_to_pointer (text, columns - 1) - text);
  else
    g_string_append (line, text);
  g_printerr ("%s", line->str);
  self->drawn = TRUE;
}

void
studio_progress_update (StudioProgress *self,
                        double          fraction,
                        double          seconds_left,
                        const char     *detail)
{
  gint64 now = g_get_monotonic_time ();
  g_autofree char *left = NULL;
  g_autofree char *text = NULL;

  g_return_if_fail (self != NULL && detail != NULL);

  if (self->mode == MODE_SILENT || now - self->last < (self->mode == MODE_BAR ? DRAW_INTERVAL : LINE_INTERVAL))
    return;
  self->last = now;
  fraction = CLAMP (fraction, 0, 1);
  if (seconds_left > 0)
    {
      g_autofree char *time = studio_cli_format_time (seconds_left);

      left = g_strdup_printf (_(" · %s left"), time);
    }
  text = g_strdup_printf ("%3.0f %% · %s%s", 100 * fraction, detail, left != NULL ? left : "");
  if (self->mode == MODE_BAR)
    draw_bar (self, fraction, text);
  else
    g_printerr ("%s\n", text);
}

void
studio_progress_update_bytes (StudioProgress *self,
                              gint64          began,
                              guint64         n_done,
                              guint64         n_total)
{
  const double fraction = n_total > 0 ? (double) n_done / (double) n_total : 1;
  const double elapsed = (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC;
  g_autofree char *done = studio_cli_format_bytes (n_done);
  g_autofree char *total = studio_cli_format_bytes (n_total);
  g_autofree char *detail = g_strdup_printf (_("%s of %s"), done, total);

  studio_progress_update (self, fraction, fraction > 0 ? elapsed / fraction - elapsed : 0, detail);
}
