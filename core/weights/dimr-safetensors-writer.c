/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-safetensors-writer.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/weights/dimr-weights-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define PIECE 65536 /* elements converted at a time */
#define PIECE_BYTES (1 << 20)

/* What the reader accepts; nothing is written that could not be read. */
#define MAX_NAME 1024
#define MAX_TENSORS 100000
#define MAX_HEADER 100000000

typedef struct
{
  const char *name;
  DimrTensor *tensor;
  DimrDType dtype; /* in the file */
  guint64 begin, end;
} Item;

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
  g_set_error (self->error, DIMR_ERROR, DIMR_ERROR_FILE, "%s could not be written: %s", self->shown, g_strerror (code));
  return FALSE;
}

/* --- The header --- */

static void
append_quoted (GString    *out,
               const char *text)
{
  g_string_append_c (out, '"');
  for (const char *p = text; *p != '\0'; p++)
    if (*p == '"' || *p == '\\')
      g_string_append_printf (out, "\\%c", *p);
    else if ((guchar) *p < 0x20)
      g_string_append_printf (out, "\\u%04x", (guint) *p);
    else
      g_string_append_c (out, *p);
  g_string_append_c (out, '"');
}

static gboolean
append_metadata (Writer     *self,
                 GString    *out,
                 GHashTable *metadata)
{
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (metadata), (GCompareFunc) strcmp);

  g_string_append (out, "\"__metadata__\":{");
  for (GList *l = keys; l != NULL; l = l->next)
    {
      const char *value = g_hash_table_lookup (metadata, l->data);

      if (!g_utf8_validate (l->data, -1, NULL) || !g_utf8_validate (value, -1, NULL))
        {
          g_set_error (self->error, DIMR_ERROR, DIMR_ERROR_REQUEST,
                       "%s could not be written: a note to go with it is not UTF-8", self->shown);
          return FALSE;
        }
      append_quoted (out, l->data);
      g_string_append_c (out, ':');
      append_quoted (out, value);
      if (l->next != NULL)
        g_string_append_c (out, ',');
    }
  g_string_append_c (out, '}');
  return TRUE;
}

static void
append_item (GString    *out,
             const Item *item)
{
  const DimrShape *shape = dimr_tensor_peek_shape (item->tensor);

  append_quoted (out, item->name);
  g_string_append_printf (out, ":{\"dtype\":\"%s\",\"shape\":[", dimr_dtype_name (item->dtype));
  for (guint i = 0; i < shape->n_dims; i++)
    g_string_append_printf (out, "%s%" G_GINT64_FORMAT, i > 0 ? "," : "", shape->dims[i]);
  g_string_append_printf (out, "],\"data_offsets\":[%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT "]}", item->begin,
                          item->end);
}

/* Length, JSON, and the spaces up to a multiple of eight; NULL with an error. */
static GString *
make_header (Writer     *self,
             GHashTable *metadata)
{
  g_autoptr (GString) out = g_string_new ("12345678{");
  guint64 length;

  if (metadata != NULL && g_hash_table_size (metadata) > 0)
    {
      if (!append_metadata (self, out, metadata))
        return NULL;
      if (self->items->len > 0)
        g_string_append_c (out, ',');
    }
  for (guint i = 0; i < self->items->len; i++)
    {
      if (i > 0)
        g_string_append_c (out, ',');
      append_item (out, &g_array_index (self->items, Item, i));
    }
  g_string_append_c (out, '}');
  while (out->len % 8 != 0)
    g_string_append_c (out, ' ');
  length = out->len - 8;
  if (length > MAX_HEADER)
    {
      g_set_error (self->error, DIMR_ERROR, DIMR_ERROR_REQUEST,
                   "%s could not be written: its names and notes are too long for the format", self->shown);
      return NULL;
    }
  length = GUINT64_TO_LE (length);
  memcpy (out->str, &length, sizeof length);
  return g_steal_pointer (&out);
}

static int
compare_items (gconstpointer a,
               gconstpointer b)
{
  gsize x = dimr_dtype_size (((const Item *) a)->dtype), y = dimr_dtype_size (((const Item *) b)->dtype);
  const Item *first = a, *second = b;

  if (x != y)
    return x > y ? -1 : 1;
  /* Before the offsets are given out, "begin" holds the place in the caller's order. */
  return first->begin < second->begin ? -1 : 1;
}

static gboolean
name_can_be_written (GHashTable *seen,
                     const char *name)
{
  gsize length = strlen (name);

  return length > 0 && length <= MAX_NAME && g_utf8_validate (name, (gssize) length, NULL) &&
         strcmp (name, "__metadata__") != 0 && g_hash_table_add (seen, (gpointer) name);
}

/* What stands where; @dtype as in dimr_weights_convert(). */
static gboolean
lay_out (Writer             *self,
         const char *const  *names,
         DimrTensor *const  *tensors,
         const DimrDType    *dtype)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; names[i] != NULL; i++)
    {
      DimrDType own = dimr_tensor_get_dtype (tensors[i]);
      gboolean is_float = own == DIMR_DTYPE_F32 || own == DIMR_DTYPE_F64 || own == DIMR_DTYPE_F16 || own == DIMR_DTYPE_BF16;
      Item item = { .name = names[i], .tensor = tensors[i], .dtype = dtype != NULL && is_float ? *dtype : own, .begin = i };

      if (i == MAX_TENSORS || !name_can_be_written (seen, names[i]))
        {
          g_set_error (self->error, DIMR_ERROR, DIMR_ERROR_REQUEST,
                       "%s could not be written: it would have too many tensors, or one whose name the format cannot hold",
                       self->shown);
          return FALSE;
        }
      g_array_append_val (self->items, item);
    }
  g_array_sort (self->items, compare_items);
  for (guint i = 0; i < self->items->len; i++)
    {
      Item *item = &g_array_index (self->items, Item, i);

      item->begin = self->n_total;
      self->n_total += (guint64) dimr_tensor_get_n_elements (item->tensor) * dimr_dtype_size (item->dtype);
      item->end = self->n_total;
    }
  return TRUE;
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
            g_set_error (self->error, DIMR_ERROR, DIMR_ERROR_REQUEST,
                         "%s could not be written: '%s' holds values that are too large for %s; choose another type",
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

/* The rename is on the disk once the folder is. Some file systems cannot sync a folder. */
static gboolean
sync_folder (Writer     *self,
             const char *folder)
{
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean ok;

  if (fd < 0)
    return fail_errno (self, errno);
  ok = fsync (fd) == 0 || errno == EINVAL || fail_errno (self, errno);
  close (fd);
  return ok;
}

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

  if (g_cancellable_set_error_if_cancelled (cancellable, error) || !dimr_file_check_target (path, error) || !lay_out (&self, names, tensors, dtype))
    return FALSE;
  header = make_header (&self, metadata);
  return header != NULL && write_temporary (&self, header) && sync_folder (&self, folder);
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
