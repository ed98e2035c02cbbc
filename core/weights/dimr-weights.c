/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-weights.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/weights/dimr-mapping.h"
#include "core/weights/dimr-refuse.h"
#include "core/weights/dimr-safetensors.h"
#include "core/weights/dimr-torch.h"
#include "core/weights/dimr-weights-private.h"
#include "core/weights/dimr-zip.h"

#include <string.h>

struct _DimrWeights
{
  gatomicrefcount ref_count;
  GHashTable *tensors;  /* name → DimrTensor */
  GHashTable *metadata; /* NULL but for safetensors */
  const char **names;   /* keys of @tensors, sorted */
  guint64 n_bytes;
  const char *format, *table; /* static */
  char *path;
  DimrMapping *mapping; /* of @path */
};

G_DEFINE_BOXED_TYPE (DimrWeights, dimr_weights, dimr_weights_ref, dimr_weights_unref)

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Takes both tables. */
static DimrWeights *
weights_new (GHashTable *tensors,
             GHashTable *metadata,
             const char *format,
             const char *table)
{
  DimrWeights *self = g_new0 (DimrWeights, 1);
  GHashTableIter iter;
  gpointer tensor;
  guint n;

  g_atomic_ref_count_init (&self->ref_count);
  self->tensors = tensors;
  self->metadata = metadata;
  self->format = format;
  self->table = table;
  self->names = (const char **) g_hash_table_get_keys_as_array (tensors, &n);
  qsort (self->names, n, sizeof *self->names, compare_names);
  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, NULL, &tensor))
    self->n_bytes += dimr_tensor_get_n_bytes (tensor);
  return self;
}

/* The directory of an archive; of @mapping, or NULL, single pages are read for it: before every tensor stands a header. */
static DimrZip *
open_zip (GBytes       *bytes,
          DimrMapping  *mapping,
          const char   *file,
          GError      **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  DimrZip *zip;

  if (mapping != NULL)
    dimr_mapping_set_sparse (mapping, TRUE);
  zip = dimr_zip_open (data, size, file, error);
  if (mapping != NULL)
    dimr_mapping_set_sparse (mapping, FALSE);
  return zip;
}

static DimrWeights *
open_torch (GBytes       *bytes,
            DimrMapping  *mapping,
            const char   *file,
            GCancellable *cancellable,
            GError      **error)
{
  g_autoptr (DimrZip) zip = open_zip (bytes, mapping, file, error);
  DimrTorch torch;

  if (zip == NULL || !dimr_torch_read_zip (bytes, zip, file, cancellable, &torch, error))
    return NULL;
  return weights_new (torch.tensors, NULL, "PyTorch", torch.table);
}

static DimrWeights *
open_torch_legacy (GBytes       *bytes,
                   const char   *file,
                   GCancellable *cancellable,
                   GError      **error)
{
  DimrTorch torch;

  if (!dimr_torch_read_legacy (bytes, file, cancellable, &torch, error))
    return NULL;
  return weights_new (torch.tensors, NULL, "PyTorch (before 1.6)", torch.table);
}

/* What else comes under such a name. */
static const char *
describe_stranger (const guint8 *data,
                   gsize         size)
{
  static const struct { gsize offset; const char *begins, *what; } rows[] = {
    { 0, "version https://git-lfs", N_("it is a pointer that Git LFS left in place of the file; fetch the file itself (git lfs pull)") },
    { 0, "<!DOCTYPE", N_("it is a web page, not the file that was to be downloaded; download it again") },
    { 0, "<!doctype", N_("it is a web page, not the file that was to be downloaded; download it again") },
    { 0, "<html", N_("it is a web page, not the file that was to be downloaded; download it again") },
    { 0, "GGUF", N_("it is a GGUF file of quantised weights; needed are the published .pth or .safetensors") },
    { 0, "\x1f\x8b", N_("it is compressed with gzip; unpack it first") },
    { 257, "ustar", N_("it is an archive of a PyTorch older than this program reads") },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      const gsize n = strlen (rows[i].begins);

      if (size >= rows[i].offset + n && memcmp (data + rows[i].offset, rows[i].begins, n) == 0)
        return _(rows[i].what);
    }
  return _("it is neither safetensors nor a checkpoint of PyTorch, and needed is one of them (.safetensors, .pth, .pt or .ckpt)");
}

/* @mapping: where @bytes are, or NULL. */
static DimrWeights *
open_bytes (GBytes       *bytes,
            DimrMapping  *mapping,
            const char   *file,
            GCancellable *cancellable,
            GError      **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;
  if (size == 0)
    return dimr_refuse (error, file, 0, _("the file is empty")), NULL;
  /* First, since its ninth byte is one that neither of the others can have there. */
  if (dimr_safetensors_sniff (data, size))
    {
      GHashTable *metadata, *tensors = dimr_safetensors_read (bytes, file, &metadata, error);

      return tensors != NULL ? weights_new (tensors, metadata, "safetensors", NULL) : NULL;
    }
  if (dimr_zip_sniff (data, size))
    return open_torch (bytes, mapping, file, cancellable, error);
  if (dimr_torch_sniff_legacy (data, size))
    return open_torch_legacy (bytes, file, cancellable, error);
  if (dimr_torch_sniff_pickle (data, size))
    return dimr_torch_refuse_pickle (bytes, file, error), NULL;
  return dimr_refuse (error, file, 0, "%s", describe_stranger (data, size)), NULL;
}

DimrWeights *
dimr_weights_open_bytes (GBytes       *bytes,
                         const char   *file,
                         GCancellable *cancellable,
                         GError      **error)
{
  g_return_val_if_fail (bytes != NULL && file != NULL, NULL);
  return open_bytes (bytes, NULL, file, cancellable, error);
}

DimrWeights *
dimr_weights_open (const char   *path,
                   GCancellable *cancellable,
                   GError      **error)
{
  g_autoptr (DimrMapping) mapping = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *file = NULL;
  DimrWeights *self;

  g_return_val_if_fail (path != NULL, NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  mapping = dimr_mapping_new (path, error);
  if (mapping == NULL)
    return NULL;
  bytes = dimr_mapping_ref_bytes (mapping);
  file = g_filename_display_basename (path);
  self = open_bytes (bytes, mapping, file, cancellable, error);
  if (self == NULL)
    return NULL;
  self->path = g_strdup (path);
  self->mapping = g_steal_pointer (&mapping);
  return self;
}

DimrWeights *
dimr_weights_new_for_tensors (GHashTable *tensors)
{
  g_return_val_if_fail (tensors != NULL, NULL);
  return weights_new (tensors, NULL, "memory", NULL);
}

DimrWeights *
dimr_weights_ref (DimrWeights *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
dimr_weights_unref (DimrWeights *self)
{
  g_return_if_fail (self != NULL);
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_free (self->names);
  g_hash_table_unref (self->tensors);
  g_clear_pointer (&self->metadata, g_hash_table_unref);
  g_clear_pointer (&self->mapping, dimr_mapping_free);
  g_free (self->path);
  g_free (self);
}

DimrTensor *
dimr_weights_peek (DimrWeights *self,
                   const char  *name)
{
  g_return_val_if_fail (self != NULL && name != NULL, NULL);
  return g_hash_table_lookup (self->tensors, name);
}

void
dimr_weights_prefetch (DimrWeights      *self,
                       const DimrTensor *tensor)
{
  g_return_if_fail (self != NULL && tensor != NULL);
  if (self->mapping != NULL)
    dimr_mapping_prefetch (self->mapping, dimr_tensor_peek_data (tensor), dimr_tensor_get_n_bytes (tensor));
}

void
dimr_weights_release (DimrWeights      *self,
                      const DimrTensor *tensor)
{
  g_return_if_fail (self != NULL && tensor != NULL);
  if (self->mapping != NULL)
    dimr_mapping_release (self->mapping, dimr_tensor_peek_data (tensor), dimr_tensor_get_n_bytes (tensor));
}

guint
dimr_weights_get_n_tensors (DimrWeights *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return g_hash_table_size (self->tensors);
}

const char **
dimr_weights_peek_names (DimrWeights *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->names;
}

guint64
dimr_weights_get_n_bytes (DimrWeights *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->n_bytes;
}

const char *
dimr_weights_get_format (DimrWeights *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->format;
}

const char *
dimr_weights_get_table (DimrWeights *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->table;
}

const char *
dimr_weights_get_path (DimrWeights *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->path;
}

const char *
dimr_weights_get_metadata (DimrWeights *self,
                           const char  *key)
{
  g_return_val_if_fail (self != NULL && key != NULL, NULL);
  return self->metadata != NULL ? g_hash_table_lookup (self->metadata, key) : NULL;
}

GHashTable *
dimr_weights_peek_metadata (DimrWeights *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->metadata;
}
