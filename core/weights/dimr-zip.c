/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-zip.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-i18n.h"
#include "core/weights/dimr-refuse.h"

#include <stdlib.h>
#include <string.h>

#define SIGNATURE_LOCAL 0x04034b50u
#define SIGNATURE_DESCRIPTOR 0x08074b50u
#define SIGNATURE_CENTRAL 0x02014b50u
#define SIGNATURE_END 0x06054b50u
#define SIGNATURE_END64 0x06064b50u
#define SIGNATURE_LOCATOR64 0x07064b50u

#define SIZE_LOCAL 30
#define SIZE_CENTRAL 46
#define SIZE_END 22
#define SIZE_END64 56
#define SIZE_LOCATOR64 20

#define FLAG_DESCRIPTOR 0x0008
#define FLAG_UTF8 0x0800

#define MAX_ENTRIES 100000
#define MAX_DIRECTORY (64 << 20)
#define MAX_NAME 1024

struct _DimrZip
{
  GHashTable *entries; /* name below the top folder → DimrZipEntry */
};

/* One line of the central directory. */
typedef struct
{
  const guint8 *name; /* in the file; not NUL-terminated */
  guint16 n_name, flags, method;
  guint32 crc;
  guint64 size, header, end; /* of the local header and of all that belongs to it */
} Line;

typedef struct
{
  const guint8 *data;
  gsize size;
  const char *file;
  GError **error;
  guint64 directory, directory_end, n_lines; /* of the central directory */
  char *prefix; /* with its slash */
  DimrZip *zip;
} Opener;

#define REFUSE(self, at, ...) dimr_refuse ((self)->error, (self)->file, (at), __VA_ARGS__)

static guint16
u16 (const guint8 *p)
{
  return (guint16) (p[0] | p[1] << 8);
}

static guint32
u32 (const guint8 *p)
{
  return (guint32) u16 (p) | (guint32) u16 (p + 2) << 16;
}

static guint64
u64 (const guint8 *p)
{
  return u32 (p) | (guint64) u32 (p + 4) << 32;
}

guint32
dimr_zip_crc32 (const guint8 *data,
                gsize         size)
{
  guint32 table[256], crc = ~0u;

  for (guint32 i = 0; i < 256; i++)
    {
      table[i] = i;
      for (guint bit = 0; bit < 8; bit++)
        table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    }
  for (gsize i = 0; i < size; i++)
    crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xff];
  return ~crc;
}

/* --- Where the directory is --- */

/* The zip64 end record stands directly before its locator, which stands directly before @end. */
static gboolean
find_directory64 (Opener       *self,
                  gsize         end,
                  guint64      *n_lines,
                  guint64      *n_bytes,
                  guint64      *start,
                  gsize        *directory_end)
{
  gsize at = end - SIZE_LOCATOR64;
  const guint8 *locator = self->data + at, *record;

  if (u32 (locator + 4) != 0 || u32 (locator + 16) != 1)
    return REFUSE (self, at, _("the archive is spread over several disks"));
  if (at < SIZE_END64 || u64 (locator + 8) != at - SIZE_END64)
    return REFUSE (self, at, _("the archive's zip64 record is not where it should be"));
  at -= SIZE_END64;
  record = self->data + at;
  if (u32 (record) != SIGNATURE_END64 || u64 (record + 4) != SIZE_END64 - 12)
    return REFUSE (self, at, _("the archive's zip64 record is damaged"));
  if (u32 (record + 16) != 0 || u32 (record + 20) != 0 || u64 (record + 24) != u64 (record + 32))
    return REFUSE (self, at, _("the archive is spread over several disks"));
  if ((*n_lines != 0xffff && *n_lines != u64 (record + 32)) ||
      (*n_bytes != 0xffffffff && *n_bytes != u64 (record + 40)) ||
      (*start != 0xffffffff && *start != u64 (record + 48)))
    return REFUSE (self, at, _("the archive's two end records disagree"));
  *n_lines = u64 (record + 32);
  *n_bytes = u64 (record + 40);
  *start = u64 (record + 48);
  *directory_end = at;
  return TRUE;
}

static gboolean
find_directory (Opener *self)
{
  const guint8 *end;
  guint64 n_bytes, expected_end;
  gsize at;

  if (self->size < SIZE_END || u32 (self->data + self->size - SIZE_END) != SIGNATURE_END)
    return REFUSE (self, self->size, _("the archive has no end record here; the file is cut off, or something was added"));
  at = self->size - SIZE_END;
  end = self->data + at;
  if (u16 (end + 20) != 0)
    return REFUSE (self, at + 20, _("the archive has a comment, which weights never have"));
  if (u16 (end + 4) != 0 || u16 (end + 6) != 0 || u16 (end + 8) != u16 (end + 10))
    return REFUSE (self, at, _("the archive is spread over several disks"));
  self->n_lines = u16 (end + 10);
  n_bytes = u32 (end + 12);
  self->directory = u32 (end + 16);
  self->directory_end = at;
  if (at >= SIZE_LOCATOR64 && u32 (end - SIZE_LOCATOR64) == SIGNATURE_LOCATOR64)
    {
      gsize directory_end = at;

      if (!find_directory64 (self, at, &self->n_lines, &n_bytes, &self->directory, &directory_end))
        return FALSE;
      self->directory_end = directory_end;
    }
  if (self->n_lines > MAX_ENTRIES || n_bytes > MAX_DIRECTORY)
    return REFUSE (self, at, _("the archive's directory is too large"));
  if (!dimr_checked_add (self->directory, n_bytes, &expected_end) || expected_end != self->directory_end)
    return REFUSE (self, at, _("the archive's directory is not where its end record says"));
  return TRUE;
}

/* --- One line of it --- */

/* Finds the extra field @id of at most @n bytes; NULL if there is none. *ok: the fields are well formed. */
static const guint8 *
find_extra (const guint8 *extra,
            gsize         n,
            guint16       id,
            gsize        *length,
            gboolean     *ok)
{
  const guint8 *found = NULL;

  *ok = TRUE;
  while (n > 0)
    {
      gsize n_field;

      if (n < 4 || (n_field = u16 (extra + 2)) > n - 4)
        {
          *ok = FALSE;
          return NULL;
        }
      if (u16 (extra) == id && found == NULL)
        {
          found = extra + 4;
          *length = n_field;
        }
      extra += 4 + n_field;
      n -= 4 + n_field;
    }
  return found;
}

/* The numbers that do not fit into 32 bits stand in extra field 1, in this order, each only if its
 * place in the line holds all ones. */
static gboolean
read_zip64 (Opener       *self,
            guint64       at,
            const guint8 *extra,
            gsize         n_extra,
            guint64      *numbers[3])
{
  gsize n = 0;
  gboolean ok;
  const guint8 *field = find_extra (extra, n_extra, 1, &n, &ok);

  if (!ok)
    return REFUSE (self, at, _("an entry's extra field is damaged"));
  for (guint i = 0; i < 3; i++)
    if (numbers[i] != NULL && *numbers[i] == 0xffffffff)
      {
        if (field == NULL || n < 8)
          return REFUSE (self, at, _("an entry lacks its 64-bit size"));
        *numbers[i] = u64 (field);
        field += 8;
        n -= 8;
      }
  return TRUE;
}

static gboolean
name_is_safe (const guint8 *name,
              gsize         n)
{
  const char *part = (const char *) name;

  if (n == 0 || n > MAX_NAME || !g_utf8_validate_len (part, n, NULL) || memchr (name, '\\', n) != NULL ||
      name[0] == '/')
    return FALSE;
  for (gsize i = 0, start = 0; i <= n; i++)
    if (i == n || name[i] == '/')
      {
        gsize length = i - start;

        if ((length == 0 && i != n) || (length == 1 && part[start] == '.') ||
            (length == 2 && memcmp (part + start, "..", 2) == 0))
          return FALSE;
        start = i + 1;
      }
  return TRUE;
}

/* "…/code/…": a program of TorchScript, which is compressed. */
static gboolean
is_code (const guint8 *name,
         gsize         n)
{
  static const char folder[] = "/code/";
  const guint8 *slash = memchr (name, '/', n);

  return slash != NULL && (gsize) (name + n - slash) >= strlen (folder) && memcmp (slash, folder, strlen (folder)) == 0;
}

/* The one top folder, and no name twice. */
static gboolean
add_entry (Opener     *self,
           guint64     at,
           const Line *line,
           guint64     payload)
{
  g_autofree char *name = g_strndup ((const char *) line->name, line->n_name);
  const char *slash = strchr (name, '/');
  DimrZipEntry *entry;

  if (slash == NULL && g_str_has_suffix (name, ".npy"))
    return REFUSE (self, at, _("it is an archive of NumPy's arrays, not a checkpoint of PyTorch"));
  if (slash == NULL)
    return REFUSE (self, at, _("an entry lies in no folder"));
  if (self->prefix == NULL)
    self->prefix = g_strndup (name, (gsize) (slash - name) + 1);
  if (!g_str_has_prefix (name, self->prefix))
    return REFUSE (self, at, _("the archive has a second top folder"));
  if (line->size != 0 && name[line->n_name - 1] == '/')
    return REFUSE (self, at, _("a folder has content"));
  if (g_hash_table_contains (self->zip->entries, slash + 1))
    return REFUSE (self, at, _("a name stands twice in the archive"));
  entry = g_new (DimrZipEntry, 1);
  *entry = (DimrZipEntry){ .offset = payload, .size = line->size, .crc = line->crc };
  g_hash_table_insert (self->zip->entries, g_strdup (slash + 1), entry);
  return TRUE;
}

/* Sizes again, behind the data, in 32 or 64 bits. */
static gboolean
skip_descriptor (Opener  *self,
                 Line    *line)
{
  const guint8 *p = self->data + line->end;
  gsize room = self->directory - line->end;

  if (room < 16 || u32 (p) != SIGNATURE_DESCRIPTOR || u32 (p + 4) != line->crc)
    return REFUSE (self, line->end, _("an entry's closing record is damaged"));
  if (u32 (p + 8) == line->size && u32 (p + 12) == line->size)
    line->end += 16;
  else if (room >= 24 && u64 (p + 8) == line->size && u64 (p + 16) == line->size)
    line->end += 24;
  else
    return REFUSE (self, line->end, _("an entry's closing record gives another size than the directory"));
  return TRUE;
}

/* What stands before the data must tell the same story as the directory. */
static gboolean
check_local_header (Opener  *self,
                    Line    *line,
                    guint64 *payload)
{
  const guint8 *p;
  guint64 n_head, size, stored;
  gboolean later = (line->flags & FLAG_DESCRIPTOR) != 0;

  if (!dimr_checked_range (line->header, SIZE_LOCAL, self->directory))
    return REFUSE (self, line->header, _("an entry of the directory lies beyond the end of the file"));
  p = self->data + line->header;
  if (u32 (p) != SIGNATURE_LOCAL)
    return REFUSE (self, line->header, _("an entry of the directory is not there"));
  n_head = SIZE_LOCAL + (guint64) u16 (p + 26) + u16 (p + 28);
  if (!dimr_checked_range (line->header, n_head, self->directory))
    return REFUSE (self, line->header, _("an entry's header is cut off"));
  if (u16 (p + 6) != line->flags || u16 (p + 8) != line->method || u16 (p + 26) != line->n_name ||
      memcmp (p + SIZE_LOCAL, line->name, line->n_name) != 0)
    return REFUSE (self, line->header, _("an entry's header contradicts the directory"));
  stored = u32 (p + 18);
  size = u32 (p + 22);
  if (!later || stored != 0 || size != 0 || u32 (p + 14) != 0)
    {
      guint64 *numbers[3] = { &size, &stored, NULL };

      if (!read_zip64 (self, line->header, p + SIZE_LOCAL + line->n_name, u16 (p + 28), numbers))
        return FALSE;
      if (stored != line->size || size != line->size ||
          (u32 (p + 14) != line->crc && !(later && u32 (p + 14) == 0)))
        return REFUSE (self, line->header, _("an entry's header gives another size than the directory"));
    }
  *payload = line->header + n_head;
  if (!dimr_checked_range (*payload, line->size, self->directory))
    return REFUSE (self, line->header, _("an entry's data lies beyond the end of the file"));
  line->end = *payload + line->size;
  return !later || skip_descriptor (self, line);
}

/* Reads the line at @at and moves on. */
static gboolean
read_line (Opener  *self,
           guint64 *at,
           Line    *line)
{
  const guint8 *p = self->data + *at;
  guint64 n, stored, payload = 0;
  guint64 *numbers[3] = { &line->size, &stored, &line->header };

  if (!dimr_checked_range (*at, SIZE_CENTRAL, self->directory_end) || u32 (p) != SIGNATURE_CENTRAL)
    return REFUSE (self, *at, _("the archive's directory is damaged"));
  line->flags = u16 (p + 8);
  line->method = u16 (p + 10);
  line->crc = u32 (p + 16);
  stored = u32 (p + 20);
  line->size = u32 (p + 24);
  line->n_name = u16 (p + 28);
  line->header = u32 (p + 42);
  line->name = p + SIZE_CENTRAL;
  n = SIZE_CENTRAL + (guint64) line->n_name + u16 (p + 30) + u16 (p + 32);
  if (!dimr_checked_range (*at, n, self->directory_end))
    return REFUSE (self, *at, _("the archive's directory is damaged"));
  if (u16 (p + 34) != 0)
    return REFUSE (self, *at, _("the archive is spread over several disks"));
  if (line->flags & ~(FLAG_DESCRIPTOR | FLAG_UTF8))
    return REFUSE (self, *at, _("an entry is encrypted or has flags that weights never have"));
  if (line->method != 0 && is_code (line->name, line->n_name))
    return REFUSE (self, *at, _("it is a TorchScript program, not a file of weights"));
  if (line->method != 0)
    return REFUSE (self, *at, _("an entry is compressed, which weights never are"));
  if (!name_is_safe (line->name, line->n_name))
    return REFUSE (self, *at, _("an entry has a name that no weight file has"));
  if (!read_zip64 (self, *at, line->name + line->n_name, u16 (p + 30), numbers))
    return FALSE;
  if (stored != line->size)
    return REFUSE (self, *at, _("an entry's two sizes disagree"));
  if (!check_local_header (self, line, &payload) || !add_entry (self, *at, line, payload))
    return FALSE;
  *at += n;
  return TRUE;
}

/* --- All of it --- */

static int
compare_lines (const void *a,
               const void *b)
{
  const Line *x = a, *y = b;

  return x->header < y->header ? -1 : x->header > y->header;
}

static gboolean
read_directory (Opener *self)
{
  g_autofree Line *lines = NULL;
  guint64 at = self->directory;

  /* Before it is believed, the number of entries is held against the room that they have. */
  if (self->n_lines > (self->directory_end - self->directory) / SIZE_CENTRAL)
    return REFUSE (self, self->directory, _("the archive's directory is damaged"));
  lines = g_try_new0 (Line, MAX (self->n_lines, 1));
  if (lines == NULL)
    return REFUSE (self, self->directory, _("memory does not suffice for its directory"));
  for (guint64 i = 0; i < self->n_lines; i++)
    if (!read_line (self, &at, &lines[i]))
      return FALSE;
  if (at != self->directory_end)
    return REFUSE (self, at, _("the archive's directory is longer than its entries"));
  qsort (lines, self->n_lines, sizeof *lines, compare_lines);
  for (guint64 i = 1; i < self->n_lines; i++)
    if (lines[i].header < lines[i - 1].end)
      return REFUSE (self, lines[i].header, _("two entries of the archive overlap"));
  return TRUE;
}

gboolean
dimr_zip_sniff (const guint8 *data,
                gsize         size)
{
  return size >= 4 && u32 (data) == SIGNATURE_LOCAL;
}

DimrZip *
dimr_zip_open (const guint8 *data,
               gsize         size,
               const char   *file,
               GError      **error)
{
  g_autoptr (DimrZip) zip = g_new0 (DimrZip, 1);
  Opener self = { .data = data, .size = size, .file = file, .error = error, .zip = zip };
  gboolean ok;

  zip->entries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (!dimr_zip_sniff (data, size))
    return dimr_refuse (error, file, 0, _("the archive does not start at the first byte")), NULL;
  ok = find_directory (&self) && read_directory (&self);
  g_free (self.prefix);
  return ok ? g_steal_pointer (&zip) : NULL;
}

void
dimr_zip_free (DimrZip *self)
{
  g_hash_table_unref (self->entries);
  g_free (self);
}

const DimrZipEntry *
dimr_zip_lookup (DimrZip    *self,
                 const char *name)
{
  return g_hash_table_lookup (self->entries, name);
}

gboolean
dimr_zip_has_folder (DimrZip    *self,
                     const char *folder)
{
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    if (g_str_has_prefix (name, folder))
      return TRUE;
  return FALSE;
}
