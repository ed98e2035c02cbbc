/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-safetensors.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-i18n.h"
#include "core/base/dimr-tensor.h"
#include "core/weights/dimr-json-strict.h"
#include "core/weights/dimr-refuse.h"

#include <string.h>

#define LENGTH_SIZE 8
#define MAX_HEADER 100000000
#define MAX_TENSORS 100000
#define MAX_NAME 1024
#define MAX_METADATA (1 << 20)

/* Every type of the format, so that a size is checked before a type is called unreadable. */
static const struct
{
  const char *name;
  guint bits;
  int dtype; /* DimrDType, -1: this program has no use for it */
} types[] = {
  { "F32", 32, DIMR_DTYPE_F32 },   { "F16", 16, DIMR_DTYPE_F16 },   { "BF16", 16, DIMR_DTYPE_BF16 },
  { "F64", 64, DIMR_DTYPE_F64 },   { "I64", 64, DIMR_DTYPE_I64 },   { "I32", 32, DIMR_DTYPE_I32 },
  { "I16", 16, DIMR_DTYPE_I16 },   { "I8", 8, DIMR_DTYPE_I8 },      { "U8", 8, DIMR_DTYPE_U8 },
  { "BOOL", 8, DIMR_DTYPE_BOOL },  { "U64", 64, -1 },               { "U32", 32, -1 },
  { "U16", 16, -1 },               { "C64", 64, -1 },               { "F8_E4M3", 8, -1 },
  { "F8_E5M2", 8, -1 },            { "F8_E8M0", 8, -1 },            { "F8_E4M3FNUZ", 8, -1 },
  { "F8_E5M2FNUZ", 8, -1 },        { "F6_E2M3", 6, -1 },            { "F6_E3M2", 6, -1 },
  { "F4", 4, -1 },
};

typedef struct
{
  char *name;
  guint type; /* index of types[] */
  DimrShape shape;
  guint64 begin, end;
  gsize where; /* byte of the file at which the entry stands */
} Entry;

typedef struct
{
  GBytes *bytes;
  const char *file;
  DimrJsonScanner json;
  GArray *entries;   /* Entry */
  GHashTable *names; /* of entries; borrows them */
  GHashTable *metadata;
  GError **error;
} Reader;

static void
entry_clear (gpointer entry)
{
  g_free (((Entry *) entry)->name);
}

#define REFUSE_HERE(self, ...) \
  dimr_refuse ((self)->error, (self)->file, LENGTH_SIZE + (self)->json.position, __VA_ARGS__)

static gboolean
refuse_json (Reader *self)
{
  return REFUSE_HERE (self, _("the header is not the JSON it should be (%s)"), self->json.problem);
}

static gboolean
read_type (Reader *self,
           Entry  *entry)
{
  g_autofree char *text = NULL, *quoted = NULL;

  if (!dimr_json_read_string (&self->json, 64, &text))
    return refuse_json (self);
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (strcmp (types[i].name, text) == 0)
      {
        entry->type = i;
        return TRUE;
      }
  quoted = dimr_refuse_quote (text, strlen (text));
  return REFUSE_HERE (self, _("'%s' is no data type of safetensors"), quoted);
}

static gboolean
read_shape (Reader *self,
            Entry  *entry)
{
  gboolean first = TRUE;

  if (!dimr_json_expect (&self->json, '['))
    return refuse_json (self);
  while (dimr_json_next_item (&self->json, &first, ']'))
    {
      guint64 dim;

      if (entry->shape.n_dims == DIMR_MAX_DIMS)
        return REFUSE_HERE (self, _("a tensor has more than %d dimensions"), DIMR_MAX_DIMS);
      if (!dimr_json_read_uint (&self->json, &dim))
        return refuse_json (self);
      entry->shape.dims[entry->shape.n_dims++] = (gint64) dim;
    }
  return self->json.problem == NULL || refuse_json (self);
}

static gboolean
read_offsets (Reader *self,
              Entry  *entry)
{
  if (!dimr_json_expect (&self->json, '[') || !dimr_json_read_uint (&self->json, &entry->begin))
    return refuse_json (self);
  if (dimr_json_peek (&self->json) != ',')
    return REFUSE_HERE (self, _("data_offsets should be two numbers"));
  self->json.position++;
  if (!dimr_json_read_uint (&self->json, &entry->end) || !dimr_json_expect (&self->json, ']'))
    return refuse_json (self);
  return TRUE;
}

/* shape × bits == end − begin, where a zero in the shape does not excuse the other numbers. */
static gboolean
check_size (Reader      *self,
            const Entry *entry)
{
  g_autofree char *name = dimr_refuse_quote (entry->name, strlen (entry->name));
  guint64 n_bits = types[entry->type].bits;
  gboolean empty = FALSE;

  for (guint i = 0; i < entry->shape.n_dims; i++)
    if (entry->shape.dims[i] == 0)
      empty = TRUE;
    else if (!dimr_checked_mul (n_bits, (guint64) entry->shape.dims[i], &n_bits))
      return dimr_refuse (self->error, self->file, entry->where, _("the size of '%s' overflows"), name);
  if (empty)
    n_bits = 0;
  if (n_bits % 8 != 0)
    return dimr_refuse (self->error, self->file, entry->where, _("'%s' does not end on a whole byte"), name);
  if (entry->end < entry->begin)
    return dimr_refuse (self->error, self->file, entry->where, _("the data of '%s' ends before it begins"), name);
  if (entry->end - entry->begin != n_bits / 8)
    return dimr_refuse (self->error, self->file, entry->where,
                        _("'%s' has %" PRIu64 " bytes of data where its shape and type need %" PRIu64),
                        name, entry->end - entry->begin, n_bits / 8);
  if (types[entry->type].dtype < 0)
    return dimr_refuse (self->error, self->file, entry->where, _("'%s' is of type %s, which this program does not read"),
                        name, types[entry->type].name);
  return TRUE;
}

static gboolean
read_entry (Reader *self,
            Entry  *entry)
{
  static const char *const members[] = { "dtype", "shape", "data_offsets" };
  static gboolean (*const readers[]) (Reader *, Entry *) = { read_type, read_shape, read_offsets };
  gboolean first = TRUE;
  guint seen = 0;

  if (!dimr_json_expect (&self->json, '{'))
    return refuse_json (self);
  while (dimr_json_next_item (&self->json, &first, '}'))
    {
      g_autofree char *key = NULL;
      guint i;

      if (!dimr_json_read_string (&self->json, MAX_NAME, &key) || !dimr_json_expect (&self->json, ':'))
        return refuse_json (self);
      for (i = 0; i < G_N_ELEMENTS (members); i++)
        if (strcmp (key, members[i]) == 0)
          break;
      if (i == G_N_ELEMENTS (members))
        {
          g_autofree char *quoted = dimr_refuse_quote (key, strlen (key));
          return REFUSE_HERE (self, _("a tensor has an unknown member '%s'"), quoted);
        }
      if (seen & 1u << i)
        return REFUSE_HERE (self, _("a tensor has two members '%s'"), key);
      seen |= 1u << i;
      if (!readers[i] (self, entry))
        return FALSE;
    }
  if (self->json.problem != NULL)
    return refuse_json (self);
  if (seen != 7)
    return REFUSE_HERE (self, _("a tensor lacks its dtype, shape or data_offsets"));
  return check_size (self, entry);
}

static gboolean
read_metadata (Reader *self)
{
  gboolean first = TRUE;

  if (!dimr_json_expect (&self->json, '{'))
    return refuse_json (self);
  while (dimr_json_next_item (&self->json, &first, '}'))
    {
      g_autofree char *key = NULL, *value = NULL;

      if (!dimr_json_read_string (&self->json, MAX_METADATA, &key) || !dimr_json_expect (&self->json, ':') ||
          !dimr_json_read_string (&self->json, MAX_METADATA, &value))
        return refuse_json (self);
      if (g_hash_table_contains (self->metadata, key))
        return REFUSE_HERE (self, _("__metadata__ has a key twice"));
      g_hash_table_insert (self->metadata, g_steal_pointer (&key), g_steal_pointer (&value));
    }
  return self->json.problem == NULL || refuse_json (self);
}

static gboolean
read_member (Reader   *self,
             gboolean *metadata_seen)
{
  g_autofree char *name = NULL;
  gsize where;
  Entry entry = { 0 };

  dimr_json_peek (&self->json);
  where = LENGTH_SIZE + self->json.position;
  if (!dimr_json_read_string (&self->json, MAX_NAME, &name) || !dimr_json_expect (&self->json, ':'))
    return refuse_json (self);
  if (strcmp (name, "__metadata__") == 0)
    {
      if (*metadata_seen)
        return dimr_refuse (self->error, self->file, where, _("__metadata__ stands twice in the header"));
      *metadata_seen = TRUE;
      return read_metadata (self);
    }
  if (name[0] == '\0')
    return dimr_refuse (self->error, self->file, where, _("a tensor has no name"));
  if (g_hash_table_contains (self->names, name))
    {
      g_autofree char *quoted = dimr_refuse_quote (name, strlen (name));
      return dimr_refuse (self->error, self->file, where, _("'%s' stands twice in the header"), quoted);
    }
  if (self->entries->len == MAX_TENSORS)
    return dimr_refuse (self->error, self->file, where, _("there are more than %d tensors"), MAX_TENSORS);
  entry.where = where;
  entry.name = g_steal_pointer (&name);
  g_hash_table_add (self->names, entry.name);
  g_array_append_val (self->entries, entry);
  return read_entry (self, &g_array_index (self->entries, Entry, self->entries->len - 1));
}

static gboolean
read_header (Reader *self)
{
  gboolean first = TRUE, metadata_seen = FALSE;

  if (!dimr_json_expect (&self->json, '{'))
    return refuse_json (self);
  while (dimr_json_next_item (&self->json, &first, '}'))
    if (!read_member (self, &metadata_seen))
      return FALSE;
  if (self->json.problem != NULL)
    return refuse_json (self);
  for (; self->json.position < self->json.size; self->json.position++)
    if (self->json.text[self->json.position] != ' ')
      return REFUSE_HERE (self, _("something follows the header's JSON"));
  return TRUE;
}

static int
compare_ranges (gconstpointer a,
                gconstpointer b)
{
  const Entry *x = a, *y = b;

  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

/* No hole, no overlap, nothing behind the last tensor: a file holds its tensors and nothing else. */
static gboolean
check_tiling (Reader  *self,
              guint64  n_data)
{
  guint64 covered = 0;

  g_array_sort (self->entries, compare_ranges);
  for (guint i = 0; i < self->entries->len; i++)
    {
      const Entry *entry = &g_array_index (self->entries, Entry, i);
      g_autofree char *name = NULL;

      if (entry->begin == covered && entry->end <= n_data)
        {
          covered = entry->end;
          continue;
        }
      name = dimr_refuse_quote (entry->name, strlen (entry->name));
      if (entry->end > n_data)
        return dimr_refuse (self->error, self->file, entry->where, _("the data of '%s' lies beyond the end of the file"),
                            name);
      return dimr_refuse (self->error, self->file, entry->where,
                          entry->begin < covered ? _("the data of '%s' overlaps another tensor's")
                                                 : _("the data of '%s' leaves a hole before it"), name);
    }
  if (covered != n_data)
    return dimr_refuse (self->error, self->file, LENGTH_SIZE + self->json.size + covered,
                        _("%" PRIu64 " bytes belong to no tensor"), n_data - covered);
  return TRUE;
}

static GHashTable *
make_tensors (Reader *self)
{
  g_autoptr (GHashTable) tensors =
    g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);

  for (guint i = 0; i < self->entries->len; i++)
    {
      Entry *entry = &g_array_index (self->entries, Entry, i);
      DimrTensor *tensor =
        dimr_tensor_new_for_bytes ((DimrDType) types[entry->type].dtype, &entry->shape, self->bytes,
                                   LENGTH_SIZE + self->json.size + entry->begin, self->error);

      if (tensor == NULL)
        return NULL;
      g_hash_table_insert (tensors, g_strdup (entry->name), tensor);
    }
  return g_steal_pointer (&tensors);
}

gboolean
dimr_safetensors_sniff (const guint8 *data,
                        gsize         size)
{
  return size > LENGTH_SIZE && data[LENGTH_SIZE] == '{';
}

GHashTable *
dimr_safetensors_read (GBytes      *bytes,
                       const char  *file,
                       GHashTable **metadata,
                       GError     **error)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GHashTable) texts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  Reader self = { .bytes = bytes, .file = file, .entries = entries, .names = names, .metadata = texts, .error = error };
  GHashTable *tensors;
  const guint8 *data;
  guint64 n_header;
  gsize size;

  data = g_bytes_get_data (bytes, &size);
  g_array_set_clear_func (entries, entry_clear);
  if (size < LENGTH_SIZE)
    return dimr_refuse (error, file, 0, _("the file is too short to be safetensors")), NULL;
  memcpy (&n_header, data, sizeof n_header);
  n_header = GUINT64_FROM_LE (n_header);
  if (n_header > MAX_HEADER)
    return dimr_refuse (error, file, 0, _("the header claims %" PRIu64 " bytes, over the limit of %d"), n_header,
                        MAX_HEADER), NULL;
  if (!dimr_checked_range (LENGTH_SIZE, n_header, size))
    return dimr_refuse (error, file, 0, _("the header claims %" PRIu64 " bytes, more than the file has"),
                        n_header), NULL;
  self.json.text = (const char *) data + LENGTH_SIZE;
  self.json.size = n_header;
  if (!read_header (&self) || !check_tiling (&self, size - LENGTH_SIZE - n_header))
    return NULL;
  tensors = make_tensors (&self);
  if (tensors != NULL)
    *metadata = g_steal_pointer (&texts);
  return tensors;
}
