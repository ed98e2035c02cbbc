/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-json-strict.h"

#include "core/base/dimr-i18n.h"

#include <string.h>

#define MAX_INTEGER (G_GUINT64_CONSTANT (1) << 53)

static gboolean
fail (DimrJsonScanner *self,
      const char      *problem)
{
  self->problem = problem;
  return FALSE;
}

char
dimr_json_peek (DimrJsonScanner *self)
{
  while (self->position < self->size && strchr (" \t\r\n", self->text[self->position]) != NULL &&
         self->text[self->position] != '\0')
    self->position++;
  return self->position < self->size ? self->text[self->position] : '\0';
}

gboolean
dimr_json_expect (DimrJsonScanner *self,
                  char             c)
{
  if (dimr_json_peek (self) != c)
    switch (c)
      {
      case '{': return fail (self, _("an object was expected"));
      case '}': return fail (self, _("'}' was expected"));
      case '[': return fail (self, _("a list was expected"));
      case ']': return fail (self, _("']' was expected"));
      case ':': return fail (self, _("':' was expected"));
      default: return fail (self, _("another character was expected"));
      }
  self->position++;
  return TRUE;
}

gboolean
dimr_json_next_item (DimrJsonScanner *self,
                     gboolean        *first,
                     char             close)
{
  char c = dimr_json_peek (self);

  if (c == close)
    {
      self->position++;
      return FALSE;
    }
  if (*first)
    {
      *first = FALSE;
      return TRUE;
    }
  if (c != ',')
    return fail (self, _("a comma was expected"));
  self->position++;
  return TRUE;
}

static gboolean
read_hex4 (DimrJsonScanner *self,
           gunichar        *out)
{
  *out = 0;
  if (self->size - self->position < 4)
    return fail (self, _("an escape is cut off"));
  for (guint i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (self->text[self->position]);

      if (digit < 0)
        return fail (self, _("an escape is not hexadecimal"));
      *out = *out << 4 | (gunichar) digit;
      self->position++;
    }
  return TRUE;
}

/* After "\u". */
static gboolean
read_unicode_escape (DimrJsonScanner *self,
                     GString         *out)
{
  gunichar c, low;

  if (!read_hex4 (self, &c))
    return FALSE;
  if (c >= 0xD800 && c < 0xDC00)
    {
      if (self->size - self->position < 2 || memcmp (self->text + self->position, "\\u", 2) != 0)
        return fail (self, _("half of a surrogate pair is missing"));
      self->position += 2;
      if (!read_hex4 (self, &low))
        return FALSE;
      if (low < 0xDC00 || low > 0xDFFF)
        return fail (self, _("half of a surrogate pair is missing"));
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
  if (c == 0 || (c >= 0xDC00 && c < 0xE000))
    return fail (self, _("an escape stands for no character"));
  g_string_append_unichar (out, c);
  return TRUE;
}

static gboolean
read_escape (DimrJsonScanner *self,
             GString         *out)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *found;
  char c;

  if (self->position == self->size)
    return fail (self, _("a string is cut off"));
  c = self->text[self->position];
  if (c == 'u')
    {
      self->position++;
      return read_unicode_escape (self, out);
    }
  found = c != '\0' ? strchr (from, c) : NULL;
  if (found == NULL)
    return fail (self, _("an escape is unknown"));
  self->position++;
  g_string_append_c (out, to[found - from]);
  return TRUE;
}

gboolean
dimr_json_read_string (DimrJsonScanner *self,
                       gsize            max_length,
                       char           **out)
{
  g_autoptr (GString) string = g_string_new (NULL);
  gsize start;

  if (dimr_json_peek (self) != '"')
    return fail (self, _("a string was expected"));
  start = self->position++;
  while (self->position < self->size && self->text[self->position] != '"')
    {
      char c = self->text[self->position];

      if ((guchar) c < 0x20)
        return fail (self, _("a string holds a control character"));
      self->position++;
      if (c != '\\')
        g_string_append_c (string, c);
      else if (!read_escape (self, string))
        return FALSE;
      if (string->len > max_length)
        return fail (self, _("a string is too long"));
    }
  if (self->position == self->size)
    return fail (self, _("a string is cut off"));
  self->position++;
  if (!g_utf8_validate (string->str, (gssize) string->len, NULL))
    {
      self->position = start;
      return fail (self, _("a string is not UTF-8"));
    }
  *out = g_strdup (string->str);
  return TRUE;
}

gboolean
dimr_json_read_uint (DimrJsonScanner *self,
                     guint64         *out)
{
  guint64 value = 0;
  gsize start;

  if (!g_ascii_isdigit (dimr_json_peek (self)))
    return fail (self, _("a whole number was expected"));
  start = self->position;
  while (self->position < self->size && g_ascii_isdigit (self->text[self->position]))
    {
      value = value * 10 + (guint64) (self->text[self->position] - '0');
      if (value > MAX_INTEGER)
        return fail (self, _("a number is larger than 2^53"));
      self->position++;
    }
  if (self->position - start > 1 && self->text[start] == '0')
    return fail (self, _("a number has a leading zero"));
  if (self->position < self->size && strchr (".eE", self->text[self->position]) != NULL &&
      self->text[self->position] != '\0')
    return fail (self, _("a number is not whole"));
  *out = value;
  return TRUE;
}
