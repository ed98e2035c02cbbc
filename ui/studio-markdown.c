/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-markdown.h"

#include <string.h>

static void append_inline (GString    *out,
                           const char *text,
                           gsize       length);

/* If @text begins with @mark and the same mark closes it, appends what lies between in @tag and
 * returns how much was used; 0 otherwise. */
static gsize
append_span (GString    *out,
             const char *text,
             gsize       length,
             const char *mark,
             const char *tag,
             gboolean    nested)
{
  gsize n = strlen (mark);
  const char *end;

  if (length < 2 * n + 1 || strncmp (text, mark, n) != 0 || text[n] == ' ')
    return 0;
  end = g_strstr_len (text + n, length - n, mark);
  if (!end || end == text + n)
    return 0;

  g_string_append_printf (out, "<%s>", tag);
  if (nested)
    {
      append_inline (out, text + n, end - text - n);
    }
  else
    {
      g_autofree char *escaped = g_markup_escape_text (text + n, end - text - n);

      g_string_append (out, escaped);
    }
  g_string_append_printf (out, "</%s>", tag);
  return end + n - text;
}

/* "[text](address)" for addresses of the web. */
static gsize
append_link (GString    *out,
             const char *text,
             gsize       length)
{
  const char *middle, *end;
  g_autofree char *address = NULL;
  g_autofree char *escaped = NULL;

  if (*text != '[')
    return 0;
  middle = g_strstr_len (text, length, "](");
  end = middle ? g_strstr_len (middle, length - (middle - text), ")") : NULL;
  if (!end)
    return 0;
  address = g_strndup (middle + 2, end - middle - 2);
  if (!g_str_has_prefix (address, "https://") && !g_str_has_prefix (address, "http://"))
    return 0;

  escaped = g_markup_escape_text (address, -1);
  g_string_append_printf (out, "<a href=\"%s\">", escaped);
  append_inline (out, text + 1, middle - text - 1);
  g_string_append (out, "</a>");
  return end + 1 - text;
}

static void
append_inline (GString    *out,
               const char *text,
               gsize       length)
{
  while (length > 0)
    {
      gsize used = append_span (out, text, length, "`", "tt", FALSE);

      if (!used)
        used = append_span (out, text, length, "**", "b", TRUE);
      if (!used)
        used = append_span (out, text, length, "*", "i", TRUE);
      if (!used)
        used = append_link (out, text, length);
      if (!used)
        {
          g_autofree char *escaped = NULL;

          used = MIN (length, (gsize) (g_utf8_next_char (text) - text));
          escaped = g_markup_escape_text (text, used);
          g_string_append (out, escaped);
        }
      text += used;
      length -= used;
    }
}

static const char *
skip_header (const char *markdown)
{
  const char *end;

  if (!g_str_has_prefix (markdown, "---\n"))
    return markdown;
  end = strstr (markdown + 4, "\n---\n");
  return end ? end + 5 : markdown;
}

char *
studio_markdown_to_markup (const char *markdown)
{
  g_autofree char *valid = g_utf8_make_valid (markdown, -1);
  g_auto(GStrv) lines = g_strsplit (skip_header (valid), "\n", -1);
  GString *out = g_string_new (NULL);
  gboolean in_paragraph = FALSE;

  for (guint i = 0; lines[i]; i++)
    {
      const char *line = g_strstrip (lines[i]);
      gsize level = strspn (line, "#");

      if (*line == '\0')
        {
          in_paragraph = FALSE;
          continue;
        }

      if (level > 0 && line[level] == ' ')
        {
          g_string_append_printf (out, "%s<span weight=\"bold\" size=\"%s\">", out->len ? "\n\n" : "",
                                  level == 1 ? "large" : "medium");
          append_inline (out, line + level + 1, strlen (line + level + 1));
          g_string_append (out, "</span>");
          in_paragraph = FALSE;
          continue;
        }

      if (g_str_has_prefix (line, "- ") || g_str_has_prefix (line, "* "))
        {
          g_string_append (out, out->len ? "\n• " : "• ");
          line += 2;
        }
      else if (in_paragraph)
        {
          g_string_append_c (out, ' ');
        }
      else if (out->len)
        {
          g_string_append (out, "\n\n");
        }
      append_inline (out, line, strlen (line));
      in_paragraph = TRUE;
    }
  return g_string_free (out, FALSE);
}
