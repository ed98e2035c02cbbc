/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-dataset-private.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/base/dimr-rng.h"
#include "core/classes/dimr-classes.h"
#include "core/image/dimr-photo.h"
#include "core/model/dimr-autoencoder.h"
#include "core/weights/dimr-weights.h"

#include <stdlib.h>
#include <string.h>

/* Pixels that are kept once they were decoded: a small set is decoded once, a large one every time. */
#define MAX_CACHE_BYTES (G_GUINT64_CONSTANT (1) << 30)

typedef enum
{
  ITEM_UNKNOWN,
  ITEM_CACHED,
  ITEM_BUSY,    /* a thread is filling its place in the cache */
} ItemState;

struct _DimrDataset
{
  gatomicrefcount ref_count;
  char *path;
  guint side;
  guint channels;
  guint64 n;

  GArray *items;          /* DimrDatasetItem; empty for latents and drawn pictures */
  GMappedFile *archive;   /* the items' bytes, or NULL: files of their own */
  DimrTensor *latents;    /* [N, C, H, W], or NULL */
  DimrTensor *moments;    /* [N, 2·C, H, W], or NULL */
  gint32 *labels;         /* [n]; NULL for drawn pictures */
  GHashTable *names;      /* class → name of its folder; NULL where there are none */
  guint64 seed;           /* of drawn pictures */

  guint8 *cache;          /* [n][3, side, side] or NULL */
  int *states;            /* [n] of ItemState, atomic */
  int *classes;           /* sorted, each once */
  guint n_classes;
};

static void
item_clear (gpointer data)
{
  g_free (((DimrDatasetItem *) data)->path);
}

static DimrDataset *
dataset_new (const char *path,
             guint       channels,
             guint       side)
{
  DimrDataset *self = g_new0 (DimrDataset, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->path = g_strdup (path);
  self->channels = channels;
  self->side = side;
  self->items = g_array_new (FALSE, FALSE, sizeof (DimrDatasetItem));
  g_array_set_clear_func (self->items, item_clear);
  return self;
}

DimrDataset *
dimr_dataset_ref (DimrDataset *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
dimr_dataset_unref (DimrDataset *self)
{
  g_return_if_fail (self != NULL);
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_array_unref (self->items);
  g_clear_pointer (&self->archive, g_mapped_file_unref);
  g_clear_pointer (&self->latents, dimr_tensor_unref);
  g_clear_pointer (&self->moments, dimr_tensor_unref);
  g_clear_pointer (&self->names, g_hash_table_unref);
  g_free (self->labels);
  g_free (self->cache);
  g_free (self->states);
  g_free (self->classes);
  g_free (self->path);
  g_free (self);
}

static int
compare_ints (gconstpointer a,
              gconstpointer b)
{
  return *(const int *) a - *(const int *) b;
}

static void
list_classes (DimrDataset *self)
{
  guint n = 0;

  self->classes = g_new (int, MAX (self->n, 1));
  for (guint64 i = 0; i < self->n; i++)
    self->classes[i] = dimr_dataset_get_class (self, i);
  qsort (self->classes, self->n, sizeof (int), compare_ints);
  for (guint64 i = 0; i < self->n; i++)
    if (n == 0 || self->classes[n - 1] != self->classes[i])
      self->classes[n++] = self->classes[i];
  self->n_classes = n;
}

static gboolean
is_number (const char *text)
{
  return text[0] != '\0' && strspn (text, "0123456789") == strlen (text) && strlen (text) <= 6;
}

static gboolean
is_wordnet_id (const char *text)
{
  return text[0] == 'n' && strlen (text) == 9 && strspn (text + 1, "0123456789") == 8;
}

/* The class of every folder: by WordNet id or number if all are called so, else by order. */
static gboolean
number_groups (GPtrArray   *groups,
               guint        n_classes,
               const char  *path,
               gint32      *numbers,
               GError     **error)
{
  gboolean wordnet = TRUE, plain = TRUE;

  for (guint i = 0; i < groups->len; i++)
    {
      wordnet &= is_wordnet_id (g_ptr_array_index (groups, i));
      plain &= is_number (g_ptr_array_index (groups, i));
    }
  for (guint i = 0; i < groups->len; i++)
    {
      const char *name = g_ptr_array_index (groups, i);

      numbers[i] = wordnet ? dimr_classes_find (name) : plain ? (gint32) g_ascii_strtoull (name, NULL, 10) : (gint32) i;
      if (numbers[i] < 0)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST, _("The folder “%s” of “%s” is no class of ImageNet's thousand"), name, path);
          return FALSE;
        }
      if ((guint) numbers[i] >= MAX (n_classes, 1) && n_classes > 0)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("The folder “%s” of “%s” is class %d, but the configuration has room for classes 0 to %u"), name, path,
                          numbers[i], n_classes - 1);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
take_items (DimrDataset  *self,
            GPtrArray    *groups,
            guint         n_classes,
            GError      **error)
{
  g_autofree gint32 *numbers = g_new (gint32, MAX (groups->len, 1));

  if (self->items->len == 0)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("“%s” holds no pictures: it should have one folder a class, with JPEG or PNG files in it"), self->path);
      return FALSE;
    }
  if (!number_groups (groups, n_classes, self->path, numbers, error))
    return FALSE;
  self->names = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  for (guint i = 0; i < groups->len; i++)
    g_hash_table_insert (self->names, GINT_TO_POINTER (numbers[i]), g_strdup (g_ptr_array_index (groups, i)));
  self->n = self->items->len;
  self->labels = g_new (gint32, self->n);
  for (guint64 i = 0; i < self->n; i++)
    self->labels[i] = numbers[g_array_index (self->items, DimrDatasetItem, i).group];
  return TRUE;
}

static void
make_cache (DimrDataset *self)
{
  const guint64 each = 3 * (guint64) self->side * self->side;

  if (self->n > MAX_CACHE_BYTES / each)
    return;
  self->cache = g_try_malloc (self->n * each);
  if (self->cache != NULL)
    self->states = g_new0 (int, self->n);
}

/* "moments" [N, 2·C, H, W] or "z" [N, C, H, W], and "y" [N] */
static gboolean
open_latents (DimrDataset   *self,
              guint          n_classes,
              GCancellable  *cancellable,
              GError       **error)
{
  g_autoptr (DimrWeights) file = dimr_weights_open (self->path, cancellable, error);
  DimrTensor *moments, *latents, *y;
  const DimrShape *shape;
  g_autofree gint64 *values = NULL;

  if (file == NULL)
    return FALSE;
  moments = dimr_weights_peek (file, "moments");
  latents = moments != NULL ? moments : dimr_weights_peek (file, "z");
  y = dimr_weights_peek (file, "y");
  shape = latents != NULL ? dimr_tensor_peek_shape (latents) : NULL;
  if (shape == NULL || y == NULL || shape->n_dims != 4 || shape->dims[0] < 1 ||
      shape->dims[1] != (gint64) self->channels * (moments != NULL ? 2 : 1) ||
      shape->dims[2] != (gint64) self->side || shape->dims[3] != (gint64) self->side ||
      dimr_tensor_get_n_elements (y) != (gsize) shape->dims[0])
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("“%s” does not hold the tensors “moments” [N, %u, %u, %u] or “z” [N, %u, %u, %u], and “y” [N]"),
                      self->path, 2 * self->channels, self->side, self->side, self->channels, self->side, self->side);
      return FALSE;
    }
  if (moments != NULL)
    self->moments = dimr_tensor_ref (moments);
  else
    self->latents = dimr_tensor_ref (latents);
  self->n = (guint64) shape->dims[0];
  self->labels = g_new (gint32, self->n);
  values = dimr_tensor_dup_i64 (y);
  for (guint64 i = 0; i < self->n; i++)
    {
      if (values[i] < 0 || values[i] >= MAX ((gint64) n_classes, 1))
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("“%s”: entry %" PRIu64 " of “y” is %" PRId64
                            ", but the configuration has room for classes 0 to %u"), self->path, i, values[i], n_classes - 1);
          return FALSE;
        }
      self->labels[i] = (gint32) values[i];
    }
  return TRUE;
}

static gboolean
open_archive (DimrDataset  *self,
              GPtrArray    *groups,
              GError      **error)
{
  g_autoptr (GError) local_error = NULL;

  self->archive = g_mapped_file_new (self->path, FALSE, &local_error);
  if (self->archive == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("The data “%s” could not be read: %s."), self->path, local_error->message);
      return FALSE;
    }
  return dimr_dataset_list_archive (self->path, (const guint8 *) g_mapped_file_get_contents (self->archive),
                                    g_mapped_file_get_length (self->archive), self->items, groups, error);
}

DimrDataset *
dimr_dataset_open (const char    *path,
                   guint          n_classes,
                   guint          channels,
                   guint          side,
                   GCancellable  *cancellable,
                   GError       **error)
{
  g_autoptr (DimrDataset) self = NULL;
  g_autoptr (GPtrArray) groups = g_ptr_array_new_with_free_func (g_free);

  g_return_val_if_fail (path != NULL && side > 0, NULL);

  self = dataset_new (path, channels, side);
  if (g_str_has_suffix (path, ".safetensors"))
    {
      if (!open_latents (self, n_classes, cancellable, error))
        return NULL;
      list_classes (self);
      return g_steal_pointer (&self);
    }
  if (channels != 3)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("This configuration learns from latents of %u channels: give it a safetensors file that dimr encode has written"),
                      channels);
      return NULL;
    }
  if (g_file_test (path, G_FILE_TEST_IS_DIR) ? !dimr_dataset_list_folder (path, self->items, groups, cancellable, error)
                                             : !open_archive (self, groups, error))
    return NULL;
  if (!take_items (self, groups, n_classes, error))
    return NULL;
  make_cache (self);
  list_classes (self);
  return g_steal_pointer (&self);
}

DimrDataset *
dimr_dataset_new_procedural (guint64 n,
                             guint   side,
                             guint64 seed)
{
  DimrDataset *self = dataset_new ("drawn", 3, side);

  self->n = n;
  self->seed = seed;
  make_cache (self);
  list_classes (self);
  return self;
}

guint64
dimr_dataset_get_n (DimrDataset *self)
{
  return self->n;
}

gint32
dimr_dataset_get_class (DimrDataset *self,
                        guint64      i)
{
  return self->labels != NULL ? self->labels[i] : (gint32) (i % DIMR_N_DRAWN_CLASSES);
}

const int *
dimr_dataset_peek_classes (DimrDataset *self,
                           guint       *n)
{
  *n = self->n_classes;
  return self->classes;
}

char *
dimr_dataset_dup_class_name (DimrDataset *self,
                             int          class_index)
{
  const char *name = self->names != NULL ? g_hash_table_lookup (self->names, GINT_TO_POINTER (class_index)) : NULL;

  if (name != NULL)
    return g_strdup (name);
  if (self->labels == NULL)
    return g_strdup (dimr_dataset_get_drawn_name ((guint) class_index));
  return g_strdup_printf ("%d", class_index);
}

char *
dimr_dataset_dup_name (DimrDataset *self,
                       guint64      i)
{
  const char *path;

  g_return_val_if_fail (self != NULL && i < self->n, NULL);
  if (i >= self->items->len)
    return NULL;
  path = g_array_index (self->items, DimrDatasetItem, i).path;
  if (self->archive == NULL && g_str_has_prefix (path, self->path))
    for (path += strlen (self->path); *path == G_DIR_SEPARATOR;)
      path++;
  return g_filename_display_name (path);
}

static GBytes *
load_item (DimrDataset            *self,
           const DimrDatasetItem  *item,
           GError                **error)
{
  g_autoptr (GError) local_error = NULL;
  char *content;
  gsize size;

  if (self->archive != NULL)
    return g_bytes_new_static (g_mapped_file_get_contents (self->archive) + item->offset, item->size);
  if (!g_file_get_contents (item->path, &content, &size, &local_error))
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("“%s” could not be read: %s."), item->path, local_error->message);
      return NULL;
    }
  return g_bytes_new_take (content, size);
}

/* [3, side, side] */
static gboolean
decode (DimrDataset  *self,
        guint64       i,
        guint8       *planes,
        GError      **error)
{
  const DimrDatasetItem *item;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (DimrImage) image = NULL;
  g_autofree char *name = NULL;

  if (self->labels == NULL)
    {
      dimr_dataset_draw (self->seed, i, self->side, planes);
      return TRUE;
    }
  item = &g_array_index (self->items, DimrDatasetItem, i);
  name = g_strdup_printf ("“%s”", item->path);
  bytes = load_item (self, item, error);
  image = bytes != NULL ? dimr_photo_decode (bytes, name, self->side, error) : NULL;
  if (image == NULL)
    return FALSE;
  dimr_photo_fit (image, self->side, planes);
  return TRUE;
}

/* Rows of @x0 from bytes, or from themselves, mirrored where asked for. */
static void
to_floats (const guint8 *planes,
           guint         side,
           gboolean      mirrored,
           float        *x0)
{
  for (guint row = 0; row < 3 * side; row++)
    for (guint x = 0; x < side; x++)
      x0[row * side + x] = (float) planes[row * side + (mirrored ? side - 1 - x : x)] / 127.5f - 1;
}

static void
read_latent (DimrDataset *self,
             guint64      i,
             guint64      draw,
             gboolean     mirrored,
             float       *x0)
{
  const gsize n = (gsize) self->channels * self->side * self->side;

  if (self->latents != NULL)
    dimr_tensor_read_f32 (self->latents, i * n, n, x0);
  else
    {
      g_autofree float *moments = g_new (float, 2 * n), *noise = g_new (float, n);

      dimr_tensor_read_f32 (self->moments, i * 2 * n, 2 * n, moments);
      dimr_rng_normal (self->seed, draw, DIMR_STREAM_LATENT_NOISE, 0, noise, n);
      dimr_autoencoder_sample (moments, noise, n, x0);
    }
  for (float *row = x0; mirrored && row < x0 + n; row += self->side)
    for (guint x = 0; x < self->side / 2; x++)
      {
        const float left = row[x];

        row[x] = row[self->side - 1 - x];
        row[self->side - 1 - x] = left;
      }
}

gboolean
dimr_dataset_read (DimrDataset  *self,
                   guint64       i,
                   guint64       draw,
                   gboolean      mirrored,
                   float        *x0,
                   GError      **error)
{
  const gsize each = 3 * (gsize) self->side * self->side;
  g_autofree guint8 *planes = NULL;

  g_return_val_if_fail (self != NULL && i < self->n, FALSE);

  if (self->latents != NULL || self->moments != NULL)
    {
      read_latent (self, i, draw, mirrored, x0);
      return TRUE;
    }
  if (self->states != NULL && g_atomic_int_get (&self->states[i]) == ITEM_CACHED)
    {
      to_floats (self->cache + i * each, self->side, mirrored, x0);
      return TRUE;
    }
  planes = g_malloc (each);
  if (!decode (self, i, planes, error))
    return FALSE;
  if (self->states != NULL && g_atomic_int_compare_and_exchange (&self->states[i], ITEM_UNKNOWN, ITEM_BUSY))
    {
      memcpy (self->cache + i * each, planes, each);
      g_atomic_int_set (&self->states[i], ITEM_CACHED);
    }
  to_floats (planes, self->side, mirrored, x0);
  return TRUE;
}

char *
dimr_dataset_dup_fingerprint (DimrDataset *self)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);

  g_checksum_update (checksum, (const guchar *) &self->n, sizeof self->n);
  if (self->labels != NULL)
    g_checksum_update (checksum, (const guchar *) self->labels, (gssize) (self->n * sizeof *self->labels));
  for (guint i = 0; i < self->items->len; i++)
    {
      const char *path = g_array_index (self->items, DimrDatasetItem, i).path;
      /* Moved as a whole, a set stays what it is. */
      const gsize root = g_str_has_prefix (path, self->path) ? strlen (self->path) : 0;

      g_checksum_update (checksum, (const guchar *) path + root, (gssize) (strlen (path + root) + 1));
    }
  return g_strndup (g_checksum_get_string (checksum), 16);
}
