/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-mapping.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* One request: more than that at a time the kernel cuts off on some disks. */
#define CHUNK ((gsize) 128 << 10)
/* What is read ahead: a disk of some gigabytes a second is busy for as long as the largest tensors are converted, and
 * little enough not to push out what was read before it was used. */
#define AHEAD ((gsize) 64 << 20)

struct _DimrMapping
{
  GMappedFile *file;
  guint8 *data;     /* at a page's begin */
  gsize size;
  GMutex lock;
  guint8 *asked;    /* under @lock: of every chunk, whether it was asked for */
};

DimrMapping *
dimr_mapping_new (const char  *path,
                  GError     **error)
{
  g_autoptr (GMappedFile) file = NULL;
  g_autoptr (GError) local = NULL;
  g_autofree char *name = g_filename_display_name (path);
  DimrMapping *self;
  GStatBuf info;

  if (g_stat (path, &info) != 0)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("%s cannot be read: %s"), name, g_strerror (errno));
      return NULL;
    }
  if (!S_ISREG (info.st_mode))
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("%s cannot be read: it is not a file"), name);
      return NULL;
    }
  file = g_mapped_file_new (path, FALSE, &local);
  if (file == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("%s cannot be read: %s"), name, local->message);
      return NULL;
    }
  self = g_new0 (DimrMapping, 1);
  self->data = (guint8 *) g_mapped_file_get_contents (file);
  self->size = g_mapped_file_get_length (file);
  self->file = g_steal_pointer (&file);
  self->asked = g_new0 (guint8, self->size / CHUNK + 1);
  g_mutex_init (&self->lock);
  return self;
}

void
dimr_mapping_free (DimrMapping *self)
{
  g_mutex_clear (&self->lock);
  g_mapped_file_unref (self->file);
  g_free (self->asked);
  g_free (self);
}

GBytes *
dimr_mapping_ref_bytes (DimrMapping *self)
{
  return g_mapped_file_get_bytes (self->file);
}

void
dimr_mapping_set_sparse (DimrMapping *self,
                         gboolean     sparse)
{
  if (self->size > 0)
    (void) posix_madvise (self->data, self->size, sparse ? POSIX_MADV_RANDOM : POSIX_MADV_NORMAL);
}

/* Where in the file [@data, @data + @size) lies; FALSE where it does not. */
static gboolean
find (DimrMapping   *self,
      gconstpointer  data,
      gsize          size,
      gsize         *offset)
{
  const guintptr begin = (guintptr) self->data, at = (guintptr) data;

  *offset = at - begin;
  return size > 0 && at >= begin && dimr_checked_range (*offset, size, self->size);
}

void
dimr_mapping_prefetch (DimrMapping   *self,
                       gconstpointer  data,
                       gsize          size)
{
  gsize offset, end;

  if (!find (self, data, size, &offset))
    return;
  end = offset + MIN (size + AHEAD, self->size - offset);
  g_mutex_lock (&self->lock);
  for (gsize chunk = offset / CHUNK; chunk * CHUNK < end; chunk++)
    if (!self->asked[chunk])
      {
        self->asked[chunk] = TRUE;
        (void) posix_madvise (self->data + chunk * CHUNK, MIN (CHUNK, self->size - chunk * CHUNK), POSIX_MADV_WILLNEED);
      }
  g_mutex_unlock (&self->lock);
}

void
dimr_mapping_release (DimrMapping   *self,
                      gconstpointer  data,
                      gsize          size)
{
  const gsize page = (gsize) sysconf (_SC_PAGESIZE);
  gsize offset, begin, end;

  if (!find (self, data, size, &offset))
    return;
  /* Other tensors lie in the pages of its ends. The mapping is read-only, so there is nothing to lose. */
  begin = (offset + page - 1) / page * page;
  end = (offset + size) / page * page;
  if (begin < end)
    (void) madvise (self->data + begin, end - begin, MADV_DONTNEED);
}
