/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-torch.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-i18n.h"
#include "core/weights/dimr-refuse.h"
#include "core/weights/dimr-torch-private.h"

#include <string.h>

#define MAX_TENSORS 100000
#define MAX_NAME 1024
#define MAX_PICKLE (64 << 20)
#define LEGACY_PROTOCOL 1001

/* A pickle of protocol 2 that holds the number 0x1950a86a20f9469cfc6c. */
static const guint8 legacy_magic[] = { 0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                       0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e };

/* --- Storages --- */

/* All that the pickle refers to; one key has one type and one size. */
static gboolean
collect_storages (DimrTorchReader *self)
{
  DimrPickle *pickle = self->pickle;

  for (DimrPickleNode node = 1; node <= dimr_pickle_get_n_nodes (pickle); node++)
    {
      g_autofree char *key = NULL;
      DimrPickleStorage part;
      DimrTorchStorage *storage;

      if (dimr_pickle_kind (pickle, node) != DIMR_PICKLE_STORAGE)
        continue;
      dimr_pickle_get_storage (pickle, node, &part);
      key = g_strndup (part.key, part.n_key);
      storage = g_hash_table_lookup (self->storages, key);
      if (storage == NULL)
        {
          storage = g_new0 (DimrTorchStorage, 1);
          storage->dtype = part.dtype;
          storage->n_elements = part.n_elements;
          g_hash_table_insert (self->storages, g_steal_pointer (&key), storage);
        }
      else if (storage->dtype != part.dtype || storage->n_elements != part.n_elements)
        return DIMR_TORCH_REFUSE (self, dimr_pickle_where (pickle, node),
                                  _("storage '%s' is said to have two types or sizes"), key);
    }
  return TRUE;
}

static gboolean
place_in_zip (DimrTorchReader *self,
              DimrZip         *zip,
              guint64          where)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, self->storages);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      DimrTorchStorage *storage = value;
      g_autofree char *name = g_strconcat ("data/", key, NULL);
      const DimrZipEntry *entry = dimr_zip_lookup (zip, name);
      guint64 n_bytes;

      if (entry == NULL)
        return DIMR_TORCH_REFUSE (self, where, _("storage '%s' is not in the archive"), (char *) key);
      if (!dimr_checked_mul (storage->n_elements, dimr_dtype_size (storage->dtype), &n_bytes) ||
          n_bytes != entry->size)
        return DIMR_TORCH_REFUSE (self, entry->offset,
                                  _("storage '%s' has %" PRIu64 " bytes where %" PRIu64
                                    " elements of %s are promised"),
                                  (char *) key, entry->size, storage->n_elements, dimr_dtype_name (storage->dtype));
      storage->offset = entry->offset;
      storage->placed = TRUE;
    }
  return TRUE;
}

/* Before 1.6: in the order of the list of keys, each behind its number of elements, to the end of the file. */
static gboolean
place_in_sequence (DimrTorchReader *self,
                   DimrPickle      *keys,
                   gsize            at)
{
  DimrPickleNode root = dimr_pickle_root (keys), item;
  DimrPickleIter iter;

  if (dimr_pickle_kind (keys, root) != DIMR_PICKLE_LIST)
    return DIMR_TORCH_REFUSE (self, dimr_pickle_where (keys, root), _("the list of storages is no list"));
  dimr_pickle_iter_init (&iter, keys, root);
  while (dimr_pickle_iter_next (&iter, keys, NULL, &item))
    {
      g_autofree char *key = NULL;
      DimrTorchStorage *storage;
      guint64 n_elements, n_bytes;
      const char *text;
      gsize length;

      if (dimr_pickle_kind (keys, item) != DIMR_PICKLE_STRING)
        return DIMR_TORCH_REFUSE (self, dimr_pickle_where (keys, item), _("the key of a storage is no text"));
      text = dimr_pickle_peek_text (keys, item, &length);
      key = g_strndup (text, length);
      storage = g_hash_table_lookup (self->storages, key);
      if (storage == NULL || storage->placed)
        return DIMR_TORCH_REFUSE (self, dimr_pickle_where (keys, item), _("a storage is listed that no tensor has, or twice"));
      if (self->size - at < sizeof n_elements)
        return DIMR_TORCH_REFUSE (self, at, _("the file is cut off"));
      memcpy (&n_elements, self->data + at, sizeof n_elements);
      n_elements = GUINT64_FROM_LE (n_elements);
      if (n_elements != storage->n_elements)
        return DIMR_TORCH_REFUSE (self, at, _("storage '%s' has %" PRIu64 " elements where %" PRIu64
                                              " are promised"), key, n_elements, storage->n_elements);
      at += sizeof n_elements;
      if (!dimr_checked_mul (n_elements, dimr_dtype_size (storage->dtype), &n_bytes) || n_bytes > self->size - at)
        return DIMR_TORCH_REFUSE (self, at, _("the file is cut off"));
      storage->offset = at;
      storage->placed = TRUE;
      at += n_bytes;
    }
  if (dimr_pickle_get_length (keys, root) != g_hash_table_size (self->storages))
    return DIMR_TORCH_REFUSE (self, dimr_pickle_where (keys, root), _("a tensor has a storage that is not in the file"));
  return at == self->size || DIMR_TORCH_REFUSE (self, at, _("something follows the last storage"));
}

/* --- Tensors --- */

static gboolean
add_tensor (DimrTorchReader *self,
            GHashTable      *tensors,
            DimrPickleNode   key,
            DimrPickleNode   value)
{
  const char *name;
  gsize length;
  DimrTensor *tensor;

  if (dimr_pickle_kind (self->pickle, value) == DIMR_PICKLE_OPAQUE)
    return DIMR_TORCH_REFUSE (self, dimr_pickle_where (self->pickle, value),
                              _("an object of a training program stands among the weights"));
  if (dimr_pickle_kind (self->pickle, value) != DIMR_PICKLE_TENSOR)
    return TRUE;
  if (dimr_pickle_kind (self->pickle, key) != DIMR_PICKLE_STRING)
    return DIMR_TORCH_REFUSE (self, dimr_pickle_where (self->pickle, key), _("a tensor has no name"));
  name = dimr_pickle_peek_text (self->pickle, key, &length);
  if (length == 0 || length > MAX_NAME)
    return DIMR_TORCH_REFUSE (self, dimr_pickle_where (self->pickle, key), _("the name of a tensor is empty or too long"));
  if (g_hash_table_size (tensors) == MAX_TENSORS)
    return DIMR_TORCH_REFUSE (self, dimr_pickle_where (self->pickle, key), _("there are more than %d tensors"), MAX_TENSORS);
  tensor = dimr_torch_make_tensor (self, value);
  if (tensor == NULL)
    return FALSE;
  g_hash_table_insert (tensors, g_strndup (name, length), tensor);
  return TRUE;
}

static gboolean
make_tensors (DimrTorchReader *self,
              DimrTorch       *out)
{
  g_autoptr (GHashTable) tensors =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  const char *table;
  DimrPickleNode dict = dimr_torch_choose_table (self, &table), key, value;
  DimrPickleIter iter;

  if (dict == 0)
    return FALSE;
  dimr_pickle_iter_init (&iter, self->pickle, dict);
  while (dimr_pickle_iter_next (&iter, self->pickle, &key, &value))
    if (g_cancellable_set_error_if_cancelled (self->cancellable, self->error) ||
        !add_tensor (self, tensors, key, value))
      return FALSE;
  out->tensors = g_steal_pointer (&tensors);
  out->table = table;
  return TRUE;
}

static void
reader_init (DimrTorchReader *self,
             GBytes          *bytes,
             const char      *file,
             GCancellable    *cancellable,
             GError         **error)
{
  *self = (DimrTorchReader){ .bytes = bytes, .file = file, .cancellable = cancellable, .error = error };
  self->data = g_bytes_get_data (bytes, &self->size);
  self->storages = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

static void
reader_clear (DimrTorchReader *self)
{
  g_clear_pointer (&self->pickle, dimr_pickle_free);
  g_clear_pointer (&self->storages, g_hash_table_unref);
}

/* --- The zip format --- */

static const DimrZipEntry *
find_pickle (DimrTorchReader *self,
             DimrZip         *zip)
{
  const DimrZipEntry *pickle = dimr_zip_lookup (zip, "data.pkl"), *order = dimr_zip_lookup (zip, "byteorder");

  if (pickle == NULL)
    return DIMR_TORCH_REFUSE (self, 0, _("it is an archive, but not one of PyTorch (there is no data.pkl)")), NULL;
  if (dimr_zip_lookup (zip, "constants.pkl") != NULL || dimr_zip_has_folder (zip, "code/"))
    return DIMR_TORCH_REFUSE (self, pickle->offset, _("it is a TorchScript program, not a file of weights")), NULL;
  if (order != NULL && (order->size != 6 || memcmp (self->data + order->offset, "little", 6) != 0))
    return DIMR_TORCH_REFUSE (self, order->offset, _("its numbers are not little-endian")), NULL;
  if (pickle->size == 0 || pickle->size > MAX_PICKLE)
    return DIMR_TORCH_REFUSE (self, pickle->offset, _("its list of tensors is empty or larger than 64 MiB")), NULL;
  if (pickle->crc != 0 && dimr_zip_crc32 (self->data + pickle->offset, pickle->size) != pickle->crc)
    return DIMR_TORCH_REFUSE (self, pickle->offset, _("its list of tensors is damaged (its checksum is wrong)")), NULL;
  return pickle;
}

gboolean
dimr_torch_read_zip (GBytes       *bytes,
                     DimrZip      *zip,
                     const char   *file,
                     GCancellable *cancellable,
                     DimrTorch    *out,
                     GError      **error)
{
  const DimrZipEntry *entry;
  DimrTorchReader self;
  gboolean ok = FALSE;

  reader_init (&self, bytes, file, cancellable, error);
  entry = find_pickle (&self, zip);
  if (entry != NULL)
    self.pickle = dimr_pickle_parse (self.data + entry->offset, entry->size, entry->offset, file, NULL, error);
  if (self.pickle != NULL)
    ok = collect_storages (&self) && place_in_zip (&self, zip, entry->offset) && make_tensors (&self, out);
  reader_clear (&self);
  return ok;
}

/* --- The format before 1.6 --- */

gboolean
dimr_torch_sniff_legacy (const guint8 *data,
                         gsize         size)
{
  return size >= sizeof legacy_magic && memcmp (data, legacy_magic, sizeof legacy_magic) == 0;
}

/* The pickle at *at; moves on. */
static DimrPickle *
next_pickle (DimrTorchReader *self,
             gsize           *at)
{
  gsize n_used = 0;
  DimrPickle *pickle = dimr_pickle_parse (self->data + *at, self->size - *at, *at, self->file, &n_used, self->error);

  *at += n_used;
  return pickle;
}

/* The protocol's number, then what machine wrote the file. */
static gboolean
check_preamble (DimrTorchReader *self,
                gsize           *at)
{
  g_autoptr (DimrPickle) protocol = NULL, system = NULL;
  DimrPickleNode node;

  if ((protocol = next_pickle (self, at)) == NULL)
    return FALSE;
  node = dimr_pickle_root (protocol);
  if (dimr_pickle_kind (protocol, node) != DIMR_PICKLE_INT || dimr_pickle_get_int (protocol, node) != LEGACY_PROTOCOL)
    return DIMR_TORCH_REFUSE (self, dimr_pickle_where (protocol, node), _("its format is not the one of PyTorch before 1.6"));
  if ((system = next_pickle (self, at)) == NULL)
    return FALSE;
  node = dimr_pickle_root (system);
  if (!dimr_pickle_is_dict (system, node))
    return DIMR_TORCH_REFUSE (self, dimr_pickle_where (system, node), _("it does not say what system wrote it"));
  node = dimr_pickle_lookup (system, node, "little_endian");
  if (node == 0 || dimr_pickle_kind (system, node) != DIMR_PICKLE_BOOL || !dimr_pickle_get_int (system, node))
    return DIMR_TORCH_REFUSE (self, *at, _("its numbers are not little-endian"));
  return TRUE;
}

gboolean
dimr_torch_read_legacy (GBytes       *bytes,
                        const char   *file,
                        GCancellable *cancellable,
                        DimrTorch    *out,
                        GError      **error)
{
  g_autoptr (DimrPickle) keys = NULL;
  gsize at = sizeof legacy_magic;
  DimrTorchReader self;
  gboolean ok = FALSE;

  reader_init (&self, bytes, file, cancellable, error);
  if (check_preamble (&self, &at))
    self.pickle = next_pickle (&self, &at);
  if (self.pickle != NULL)
    keys = next_pickle (&self, &at);
  if (keys != NULL)
    ok = collect_storages (&self) && place_in_sequence (&self, keys, at) && make_tensors (&self, out);
  reader_clear (&self);
  return ok;
}

gboolean
dimr_torch_sniff_pickle (const guint8 *data,
                         gsize         size)
{
  return size >= 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5;
}

gboolean
dimr_torch_refuse_pickle (GBytes     *bytes,
                          const char *file,
                          GError    **error)
{
  gsize size, n_used;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  g_autoptr (DimrPickle) pickle = dimr_pickle_parse (data, size, 0, file, &n_used, error);

  if (pickle == NULL)
    return FALSE;
  return dimr_refuse (error, file, 0, _("it is a bare pickle, not a checkpoint of PyTorch"));
}
