/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-training-log.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-i18n.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct _DimrTrainingLog
{
  char **names;
  char *csv_path;
  FILE *csv;
  char *events_path;
  FILE *events;
  gint64 began;
};

guint32
dimr_crc32c (gconstpointer data,
             gsize         size)
{
  static guint32 table[256];
  static gsize ready;
  const guint8 *bytes = data;
  guint32 crc = 0xffffffff;

  if (g_once_init_enter (&ready))
    {
      for (guint32 i = 0; i < 256; i++)
        {
          guint32 c = i;

          for (guint bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0x82f63b78 : c >> 1;
          table[i] = c;
        }
      g_once_init_leave (&ready, 1);
    }
  for (gsize i = 0; i < size; i++)
    crc = table[(crc ^ bytes[i]) & 0xff] ^ crc >> 8;
  return ~crc;
}

/* Protocol buffers: a field's key, then its value; numbers as groups of seven bits. */
static void
add_varint (GByteArray *out,
            guint64     value)
{
  do
    {
      const guint8 byte = (guint8) ((value & 0x7f) | (value > 0x7f ? 0x80 : 0));

      g_byte_array_append (out, &byte, 1);
      value >>= 7;
    }
  while (value > 0);
}

static void
add_bytes (GByteArray    *out,
           guint          field,
           gconstpointer  data,
           gsize          size)
{
  add_varint (out, field << 3 | 2);
  add_varint (out, size);
  g_byte_array_append (out, data, (guint) size);
}

static void
add_double (GByteArray *out,
            guint       field,
            double      value)
{
  guint64 bits;

  memcpy (&bits, &value, sizeof bits);
  bits = GUINT64_TO_LE (bits);
  add_varint (out, field << 3 | 1);
  g_byte_array_append (out, (const guint8 *) &bits, sizeof bits);
}

static void
add_float (GByteArray *out,
           guint       field,
           float       value)
{
  guint32 bits;

  memcpy (&bits, &value, sizeof bits);
  bits = GUINT32_TO_LE (bits);
  add_varint (out, field << 3 | 5);
  g_byte_array_append (out, (const guint8 *) &bits, sizeof bits);
}

/* A record: length, its checksum, the bytes, theirs. Checksums are rotated, so that one of data
 * that hold checksums means something. */
static gboolean
write_record (DimrTrainingLog *self,
              GByteArray      *event)
{
  const guint64 length = GUINT64_TO_LE ((guint64) event->len);
  guint32 sums[2] = { dimr_crc32c (&length, sizeof length), dimr_crc32c (event->data, event->len) };

  for (guint i = 0; i < 2; i++)
    sums[i] = GUINT32_TO_LE ((sums[i] >> 15 | sums[i] << 17) + 0xa282ead8);
  return fwrite (&length, sizeof length, 1, self->events) == 1 && fwrite (&sums[0], sizeof sums[0], 1, self->events) == 1 &&
         fwrite (event->data, 1, event->len, self->events) == event->len &&
         fwrite (&sums[1], sizeof sums[1], 1, self->events) == 1;
}

/* Event: 1 wall time, 2 step, 3 file version, 5 summary; Summary.value: 1 tag, 2 number. */
static gboolean
write_event (DimrTrainingLog *self,
             guint64          step,
             const double    *values)
{
  g_autoptr (GByteArray) event = g_byte_array_new (), summary = g_byte_array_new ();

  add_double (event, 1, (double) g_get_real_time () / G_USEC_PER_SEC);
  if (values == NULL)
    {
      add_bytes (event, 3, "brain.Event:2", strlen ("brain.Event:2"));
      return write_record (self, event);
    }
  add_varint (event, 2 << 3);
  add_varint (event, step);
  for (guint i = 0; self->names[i] != NULL; i++)
    {
      g_autoptr (GByteArray) value = g_byte_array_new ();

      if (isnan (values[i]))
        continue;
      add_bytes (value, 1, self->names[i], strlen (self->names[i]));
      add_float (value, 2, (float) values[i]);
      add_bytes (summary, 1, value->data, value->len);
    }
  add_bytes (event, 5, summary->data, summary->len);
  return write_record (self, event);
}

static void
set_file_error (GError     **error,
                const char  *path)
{
  const int saved = errno;

  dimr_error_set (error, DIMR_ERROR_FILE, _("“%s” could not be written: %s."), path, g_strerror (saved));
}

/* The rows of an earlier part of the run, without those after @step. */
static gboolean
keep_rows (DimrTrainingLog  *self,
           guint64           step,
           GError          **error)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GString) kept = g_string_new (NULL);
  g_autoptr (GBytes) bytes = NULL;

  if (g_file_get_contents (self->csv_path, &text, NULL, NULL))
    lines = g_strsplit (text, "\n", -1);
  g_string_append (kept, "step,seconds");
  for (guint i = 0; self->names[i] != NULL; i++)
    g_string_append_printf (kept, ",%s", self->names[i]);
  g_string_append_c (kept, '\n');
  for (guint i = 1; lines != NULL && lines[i] != NULL && lines[i][0] != '\0'; i++)
    if (g_ascii_strtoull (lines[i], NULL, 10) <= step)
      g_string_append_printf (kept, "%s\n", lines[i]);
  bytes = g_bytes_new (kept->str, kept->len);
  return dimr_file_write_atomic (self->csv_path, bytes, error);
}

DimrTrainingLog *
dimr_training_log_new (const char          *output,
                       const char * const  *names,
                       guint64              step,
                       GError             **error)
{
  g_autoptr (DimrTrainingLog) self = g_new0 (DimrTrainingLog, 1);
  g_autofree char *events_name = g_strdup_printf ("events.out.tfevents.%010" G_GINT64_FORMAT ".%s", g_get_real_time () / G_USEC_PER_SEC,
                                                  g_get_host_name ());

  self->names = g_strdupv ((char **) names);
  self->csv_path = g_build_filename (output, "log.csv", NULL);
  self->events_path = g_build_filename (output, events_name, NULL);
  self->began = g_get_monotonic_time ();
  if (!keep_rows (self, step, error))
    return NULL;
  self->csv = fopen (self->csv_path, "ae");
  self->events = fopen (self->events_path, "ae");
  if (self->csv == NULL || self->events == NULL || !write_event (self, 0, NULL))
    {
      set_file_error (error, self->csv == NULL ? self->csv_path : self->events_path);
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
dimr_training_log_free (DimrTrainingLog *self)
{
  g_return_if_fail (self != NULL);
  if (self->csv != NULL)
    fclose (self->csv);
  if (self->events != NULL)
    fclose (self->events);
  g_free (self->csv_path);
  g_free (self->events_path);
  g_strfreev (self->names);
  g_free (self);
}

gboolean
dimr_training_log_add (DimrTrainingLog  *self,
                       guint64           step,
                       const double     *values,
                       GError          **error)
{
  g_autoptr (GString) row = g_string_new (NULL);
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf (row, "%" G_GUINT64_FORMAT ",%s", step,
                          g_ascii_formatd (buffer, sizeof buffer, "%.3f",
                                           (double) (g_get_monotonic_time () - self->began) / G_USEC_PER_SEC));
  for (guint i = 0; self->names[i] != NULL; i++)
    g_string_append_printf (row, ",%s", isnan (values[i]) ? "" : g_ascii_formatd (buffer, sizeof buffer, "%.7g", values[i]));
  g_string_append_c (row, '\n');
  if (fputs (row->str, self->csv) == EOF || fflush (self->csv) != 0)
    {
      set_file_error (error, self->csv_path);
      return FALSE;
    }
  if (!write_event (self, step, values) || fflush (self->events) != 0)
    {
      set_file_error (error, self->events_path);
      return FALSE;
    }
  return TRUE;
}
