/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-safetensors-stream.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-i18n.h"
#include "core/weights/dimr-safetensors-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

/* Where the data of a slot is. */
typedef struct
{
  guint64 begin; /* in the file */
  gsize size;    /* of an element */
  gsize n;       /* elements */
} Place;

struct _DimrSafetensorsStream
{
  char *path;
  char *shown;     /* the path, for sentences */
  char *temporary; /* NULL once the file has its name */
  int fd;          /* −1 when it is closed */
  Place *places;   /* [n_slots] */
  guint n_slots;
};

static gboolean
fail (DimrSafetensorsStream  *self,
      int                     code,
      GError                **error)
{
  dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be written: %s"), self->shown, g_strerror (code));
  return FALSE;
}

static gboolean
write_at (DimrSafetensorsStream  *self,
          guint64                 offset,
          gconstpointer           data,
          gsize                   n,
          GError                **error)
{
  const guint8 *p = data;

  while (n > 0)
    {
      gssize written = pwrite (self->fd, p, n, (off_t) offset);

      if (written < 0 && errno == EINTR)
        continue;
      if (written < 0)
        return fail (self, errno, error);
      p += written;
      offset += (guint64) written;
      n -= (gsize) written;
    }
  return TRUE;
}

/* File systems that cannot promise room find out later. */
static gboolean
take_room (DimrSafetensorsStream  *self,
           guint64                 size,
           GError                **error)
{
  if (fallocate (self->fd, 0, 0, (off_t) size) == 0)
    return TRUE;
  if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
    return fail (self, errno, error);
  return ftruncate (self->fd, (off_t) size) == 0 || fail (self, errno, error);
}

/* The temporary file with its header, and room for the rest. */
static gboolean
begin (DimrSafetensorsStream  *self,
       const GString          *header,
       guint64                 n_bytes,
       GError                **error)
{
  g_autofree char *folder = g_path_get_dirname (self->path);

  self->temporary = g_build_filename (folder, ".dimr-part-XXXXXX", NULL);
  self->fd = g_mkstemp_full (self->temporary, O_RDWR | O_CLOEXEC, 0666);
  if (self->fd >= 0)
    return take_room (self, header->len + n_bytes, error) && write_at (self, 0, header->str, header->len, error);
  fail (self, errno, error);
  g_clear_pointer (&self->temporary, g_free);
  return FALSE;
}

DimrSafetensorsStream *
dimr_safetensors_stream_new (const char                 *path,
                             const DimrSafetensorsSlot  *slots,
                             guint                       n_slots,
                             GHashTable                 *metadata,
                             GError                    **error)
{
  g_autoptr (DimrSafetensorsStream) self = NULL;
  g_autoptr (GArray) items = g_array_new (FALSE, FALSE, sizeof (DimrSafetensorsItem));
  g_autoptr (GString) header = NULL;
  guint64 n_bytes;

  g_return_val_if_fail (path != NULL && slots != NULL && n_slots > 0, NULL);

  if (!dimr_file_check_target (path, error))
    return NULL;
  self = g_new0 (DimrSafetensorsStream, 1);
  self->path = g_strdup (path);
  self->shown = g_filename_display_name (path);
  self->fd = -1;
  self->places = g_new (Place, n_slots);
  self->n_slots = n_slots;
  for (guint i = 0; i < n_slots; i++)
    {
      const DimrSafetensorsItem item = { .name = slots[i].name, .shape = slots[i].shape, .dtype = slots[i].dtype };

      g_array_append_val (items, item);
    }
  if (dimr_safetensors_lay_out (items, self->shown, &n_bytes, error))
    header = dimr_safetensors_make_header (items, metadata, self->shown, error);
  if (header == NULL)
    return NULL;
  for (guint i = 0; i < n_slots; i++)
    for (guint k = 0; k < n_slots; k++)
      {
        const DimrSafetensorsItem *item = &g_array_index (items, DimrSafetensorsItem, k);

        if (item->name == slots[i].name)
          self->places[i] = (Place){ header->len + item->begin, dimr_dtype_size (item->dtype), dimr_shape_n_elements (&item->shape) };
      }
  return begin (self, header, n_bytes, error) ? g_steal_pointer (&self) : NULL;
}

gboolean
dimr_safetensors_stream_put (DimrSafetensorsStream  *self,
                             guint                   slot,
                             gsize                   first,
                             gsize                   count,
                             gconstpointer           data,
                             GError                **error)
{
  const Place *place;

  g_return_val_if_fail (self != NULL && slot < self->n_slots && self->fd >= 0, FALSE);
  place = &self->places[slot];
  g_return_val_if_fail (dimr_checked_range (first, count, place->n), FALSE);
  return write_at (self, place->begin + first * place->size, data, count * place->size, error);
}

gboolean
dimr_safetensors_stream_finish (DimrSafetensorsStream  *self,
                                GError                **error)
{
  g_autofree char *folder = NULL;
  gboolean ok;

  g_return_val_if_fail (self != NULL && self->fd >= 0, FALSE);
  ok = fsync (self->fd) == 0 || fail (self, errno, error);
  if (close (self->fd) != 0 && ok)
    ok = fail (self, errno, error);
  self->fd = -1;
  if (!ok || (g_rename (self->temporary, self->path) != 0 && !fail (self, errno, error)))
    return FALSE;
  g_clear_pointer (&self->temporary, g_free);
  folder = g_path_get_dirname (self->path);
  return dimr_file_sync_folder (folder, error);
}

void
dimr_safetensors_stream_free (DimrSafetensorsStream *self)
{
  g_return_if_fail (self != NULL);
  if (self->fd >= 0)
    close (self->fd);
  if (self->temporary != NULL)
    g_unlink (self->temporary);
  g_free (self->temporary);
  g_free (self->places);
  g_free (self->path);
  g_free (self->shown);
  g_free (self);
}
