/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-safetensors-writer.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-i18n.h"
#include "core/weights/dimr-safetensors-private.h"
#include "core/weights/dimr-weights-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define PIECE 65536 /* elements converted at a time */
#define PIECE_BYTES (1 << 20)

typedef DimrSafetensorsItem Item;

typedef struct
{
  const char *path;
  char *shown; /* the path, for sentences */
  char *temporary;
  int fd;
  GArray *items; /* Item, in the order of the file */
  guint64 n_done, n_total;
  GCancellable *cancellable;
  DimrWeightsProgress progress;
  gpointer user_data;
  GError **error;
} Writer;

static gboolean
fail_errno (Writer *self,
            int     code)
{
  dimr_error_set (self->error, DIMR_ERROR_FILE, _("%s could not be written: %s"), self->shown, g_strerror (code));
  return FALSE;
}

/* --- The data --- */

static gboolean
write_all (Writer       *self,
           gconstpointer data,
           gsize         n)
{
  const guint8 *p = data;

  while (n > 0)
    {
      gssize written = write (self->fd, p, n);

      if (written < 0 && errno == EINTR)
        continue;
      if (written < 0)
        return fail_errno (self, errno);
      p += written;
      n -= (gsize) written;
    }
  return TRUE;
}

static gboolean
write_piece (Writer       *self,
             gconstpointer data,
             gsize         n)
{
  if (g_cancellable_set_error_if_cancelled (self->cancellable, self->error) || !write_all (self, data, n))
    return FALSE;
  self->n_done += n;
  if (self->progress != NULL)
    self->progress (self->n_done, self->n_total, self->user_data);
  return TRUE;
}

static gboolean
copy_item (Writer     *self,
           const Item *item)
{
  const guint8 *data = dimr_tensor_peek_data (item->tensor);
  gsize size = dimr_tensor_get_n_bytes (item->tensor);

  for (gsize at = 0; at < size; at += PIECE_BYTES)
    if (!write_piece (self, data + at, MIN (PIECE_BYTES, size - at)))
      return FALSE;
  return TRUE;
}

static gboolean
source_is_finite (const Item *item,
                  gsize       element,
                  float       value)
{
  double wide;

  if (dimr_tensor_get_dtype (item->tensor) != DIMR_DTYPE_F64)
    return isfinite (value);
  memcpy (&wide, (const guint8 *) dimr_tensor_peek_data (item->tensor) + 8 * element, sizeof wide);
  return isfinite (wide);
}

/* One value as @dtype; FALSE where a finite one would become infinite. */
static gboolean
convert_value (const Item *item,
               gsize       element,
               float       value,
               guint8     *out)
{
  float back = value;

  switch (item->dtype)
    {
    case DIMR_DTYPE_F16:
    case DIMR_DTYPE_BF16:
      {
        guint16 bits = item->dtype == DIMR_DTYPE_F16 ? dimr_f32_to_f16 (value) : dimr_f32_to_bf16 (value);

        memcpy (out, &bits, sizeof bits);
        back = item->dtype == DIMR_DTYPE_F16 ? dimr_f16_to_f32 (bits) : dimr_bf16_to_f32 (bits);
        break;
      }
    case DIMR_DTYPE_F64:
      {
        double wide = value;

        memcpy (out, &wide, sizeof wide);
        break;
      }
    default:
      memcpy (out, &value, sizeof value);
    }
  return !isinf (back) || !source_is_finite (item, element, value);
}

static gboolean
convert_item (Writer     *self,
              const Item *item,
              float      *values,
              guint8     *converted)
{
  gsize n = dimr_tensor_get_n_elements (item->tensor), size = dimr_dtype_size (item->dtype);

  for (gsize first = 0; first < n; first += PIECE)
    {
      gsize count = MIN (PIECE, n - first);

      dimr_tensor_read_f32 (item->tensor, first, count, values);
      for (gsize i = 0; i < count; i++)
        if (!convert_value (item, first + i, values[i], converted + i * size))
          {
            dimr_error_set (self->error, DIMR_ERROR_REQUEST,
                            _("%s could not be written: '%s' holds values that are too large for %s; choose another type"),
                            self->shown, item->name, dimr_dtype_name (item->dtype));
            return FALSE;
          }
      if (!write_piece (self, converted, count * size))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_data (Writer *self)
{
  g_autofree float *values = g_new (float, PIECE);
  g_autofree guint8 *converted = g_malloc (PIECE * sizeof (double));

  for (guint i = 0; i < self->items->len; i++)
    {
      const Item *item = &g_array_index (self->items, Item, i);

      if (item->dtype == dimr_tensor_get_dtype (item->tensor) ? !copy_item (self, item)
                                                              : !convert_item (self, item, values, converted))
        return FALSE;
    }
  return TRUE;
}

/* --- The file --- */

static gboolean
write_temporary (Writer        *self,
                 const GString *header)
{
  gboolean ok;

  self->fd = g_mkstemp_full (self->temporary, O_RDWR | O_CLOEXEC, 0666);
  if (self->fd < 0)
    return fail_errno (self, errno);
  ok = write_all (self, header->str, header->len) && write_data (self);
  if (ok && fsync (self->fd) != 0)
    ok = fail_errno (self, errno);
  if (close (self->fd) != 0 && ok)
    ok = fail_errno (self, errno);
  if (ok && g_rename (self->temporary, self->path) != 0)
    ok = fail_errno (self, errno);
  if (!ok)
    g_unlink (self->temporary);
  return ok;
}

/* @dtype as in dimr_weights_convert(). */
static void
add_items (GArray             *items,
           const char *const  *names,
           DimrTensor *const  *tensors,
           const DimrDType    *dtype)
{
  for (guint i = 0; names[i] != NULL; i++)
    {
      DimrDType own = dimr_tensor_get_dtype (tensors[i]);
      gboolean is_float = own == DIMR_DTYPE_F32 || own == DIMR_DTYPE_F64 || own == DIMR_DTYPE_F16 || own == DIMR_DTYPE_BF16;
      Item item = {
        .name = names[i], .tensor = tensors[i], .shape = *dimr_tensor_peek_shape (tensors[i]),
        .dtype = dtype != NULL && is_float ? *dtype : own,
      };

      g_array_append_val (items, item);
    }
}

static gboolean
write_file (const char          *path,
            const char *const   *names,
            DimrTensor *const   *tensors,
            const DimrDType     *dtype,
            GHashTable          *metadata,
            GCancellable        *cancellable,
            DimrWeightsProgress  progress,
            gpointer             user_data,
            GError             **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *temporary = g_build_filename (folder, ".dimr-part-XXXXXX", NULL);
  g_autofree char *shown = g_filename_display_name (path);
  g_autoptr (GArray) items = g_array_new (FALSE, FALSE, sizeof (Item));
  g_autoptr (GString) header = NULL;
  Writer self = {
    .path = path, .shown = shown, .temporary = temporary, .items = items, .cancellable = cancellable,
    .progress = progress, .user_data = user_data, .error = error,
  };

  if (g_cancellable_set_error_if_cancelled (cancellable, error) || !dimr_file_check_target (path, error))
    return FALSE;
  add_items (items, names, tensors, dtype);
  header = dimr_safetensors_lay_out (items, shown, &self.n_total, error) ? dimr_safetensors_make_header (items, metadata, shown, error) : NULL;
  return header != NULL && write_temporary (&self, header) && dimr_file_sync_folder (folder, error);
}

gboolean
dimr_safetensors_write (const char           *path,
                        const char *const    *names,
                        DimrTensor *const    *tensors,
                        GHashTable           *metadata,
                        GCancellable         *cancellable,
                        DimrWeightsProgress   progress,
                        gpointer              user_data,
                        GError              **error)
{
  g_return_val_if_fail (path != NULL && names != NULL && tensors != NULL, FALSE);
  return write_file (path, names, tensors, NULL, metadata, cancellable, progress, user_data, error);
}

gboolean
dimr_weights_convert (DimrWeights          *self,
                      const char           *path,
                      const DimrDType      *dtype,
                      GCancellable         *cancellable,
                      DimrWeightsProgress   progress,
                      gpointer              user_data,
                      GError              **error)
{
  g_autofree DimrTensor **tensors = NULL;
  const char **names;

  g_return_val_if_fail (self != NULL && path != NULL, FALSE);
  g_return_val_if_fail (dtype == NULL || *dtype == DIMR_DTYPE_F32 || *dtype == DIMR_DTYPE_F16 ||
                          *dtype == DIMR_DTYPE_BF16 || *dtype == DIMR_DTYPE_F64, FALSE);
  names = dimr_weights_peek_names (self);
  tensors = g_new (DimrTensor *, dimr_weights_get_n_tensors (self) + 1);
  for (guint i = 0; names[i] != NULL; i++)
    tensors[i] = dimr_weights_peek (self, names[i]);
  return write_file (path, (const char *const *) names, tensors, dtype, dimr_weights_peek_metadata (self), cancellable,
                     progress, user_data, error);
}
