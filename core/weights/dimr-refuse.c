/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-refuse.h"

#include "core/base/dimr-i18n.h"

#define MAX_QUOTED 80

void
dimr_refuse_with (GError    **error,
                  DimrError   code,
                  const char *file,
                  guint64     offset,
                  const char *format,
                  ...)
{
  g_autofree char *reason = NULL;
  va_list args;

  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);
  dimr_error_set (error, code, _("%s was refused at byte %" PRIu64 ": %s"), file, offset, reason);
}

char *
dimr_refuse_quote (const char *text,
                   gsize       length)
{
  g_autofree char *valid = g_utf8_make_valid (text, (gssize) MIN (length, MAX_QUOTED));
  GString *out = g_string_new (NULL);

  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (g_unichar_isprint (c))
        g_string_append_unichar (out, c);
      else
        g_string_append_printf (out, "\\u%04x", c);
    }
  if (length > MAX_QUOTED)
    g_string_append (out, "…");
  return g_string_free (out, FALSE);
}
