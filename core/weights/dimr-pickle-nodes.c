/* The arena of a pickle: inert nodes, and how they are read.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/weights/dimr-pickle-private.h"

#include "core/base/dimr-i18n.h"

#include <stdlib.h>
#include <string.h>

gpointer
dimr_pickle_array_add (DimrPickleArray *array,
                       gsize            size)
{
  if (array->length == array->capacity)
    {
      guint32 capacity = MAX (64, array->capacity * 2);
      gpointer data = g_try_realloc_n (array->data, capacity, size);

      if (data == NULL)
        return NULL;
      array->data = data;
      array->capacity = capacity;
    }
  return (guint8 *) array->data + size * array->length++;
}

DimrPickleData *
dimr_pickle_data (DimrPickle    *self,
                  DimrPickleNode node)
{
  g_assert (node > 0 && node <= self->nodes.length);
  return (DimrPickleData *) self->nodes.data + (node - 1);
}

static DimrPickleCell *
cell_at (DimrPickle *self,
         guint32     cell)
{
  g_assert (cell > 0 && cell <= self->cells.length);
  return (DimrPickleCell *) self->cells.data + (cell - 1);
}

DimrPickleNode
dimr_pickle_new (DimrPickle    *self,
                 DimrPickleKind kind,
                 gsize          offset)
{
  DimrPickleData *data = dimr_pickle_array_add (&self->nodes, sizeof *data);

  if (data == NULL)
    {
      DIMR_PICKLE_REFUSE (self, offset, _("memory does not suffice for its table of contents"));
      return 0;
    }
  memset (data, 0, sizeof *data);
  data->kind = (guint8) kind;
  data->offset = (guint32) offset;
  return self->nodes.length;
}

gboolean
dimr_pickle_append (DimrPickle    *self,
                    DimrPickleNode container,
                    DimrPickleNode key,
                    DimrPickleNode value,
                    gsize          at)
{
  DimrPickleData *data = dimr_pickle_data (self, container);
  guint depth = MAX (data->depth, dimr_pickle_data (self, value)->depth + 1u);
  DimrPickleCell *cell;

  if (depth > DIMR_PICKLE_MAX_DEPTH)
    return DIMR_PICKLE_REFUSE (self, at, _("it nests more than %d levels deep"), DIMR_PICKLE_MAX_DEPTH);
  data->depth = (guint8) depth;
  cell = dimr_pickle_array_add (&self->cells, sizeof *cell);
  if (cell == NULL)
    return DIMR_PICKLE_REFUSE (self, at, _("memory does not suffice for its table of contents"));
  *cell = (DimrPickleCell){ .key = key, .value = value };
  if (data->u.items.last != 0)
    cell_at (self, data->u.items.last)->next = self->cells.length;
  else
    data->u.items.first = self->cells.length;
  data->u.items.last = self->cells.length;
  data->u.items.count++;
  return TRUE;
}

/* Integers before strings; opaque keys (classes of training programs) before both, never equal. */
static int
compare_keys (const void *a,
              const void *b,
              void       *user_data)
{
  DimrPickle *self = user_data;
  const DimrPickleData *x = dimr_pickle_data (self, *(const DimrPickleNode *) a);
  const DimrPickleData *y = dimr_pickle_data (self, *(const DimrPickleNode *) b);
  int order;

  if (x->kind != y->kind)
    return x->kind < y->kind ? -1 : 1;
  if (x->kind == DIMR_PICKLE_INT)
    return x->u.integer < y->u.integer ? -1 : x->u.integer > y->u.integer;
  if (x->kind != DIMR_PICKLE_STRING)
    return x->offset < y->offset ? -1 : x->offset > y->offset;
  order = memcmp (self->data + x->u.text.start, self->data + y->u.text.start,
                  MIN (x->u.text.length, y->u.text.length));
  if (order != 0 || x->u.text.length == y->u.text.length)
    return order;
  return x->u.text.length < y->u.text.length ? -1 : 1;
}

static gboolean
check_keys_of (DimrPickle           *self,
               const DimrPickleData *dict)
{
  g_autofree DimrPickleNode *keys = g_try_new (DimrPickleNode, dict->u.items.count);
  guint32 n = 0;

  if (keys == NULL)
    return DIMR_PICKLE_REFUSE (self, dict->offset, _("memory does not suffice for its table of contents"));
  for (guint32 cell = dict->u.items.first; cell != 0; cell = cell_at (self, cell)->next)
    keys[n++] = cell_at (self, cell)->key;
  qsort_r (keys, n, sizeof *keys, compare_keys, self);
  for (guint32 i = 1; i < n; i++)
    {
      const DimrPickleData *key = dimr_pickle_data (self, keys[i]);

      if (key->kind != DIMR_PICKLE_GLOBAL && compare_keys (&keys[i - 1], &keys[i], self) == 0)
        return DIMR_PICKLE_REFUSE (self, key->offset, _("a dictionary holds the same key twice"));
    }
  return TRUE;
}

/* Two readers may keep different ones of two equal keys, so a file that has them is refused. Done
 * once at the end by sorting: no table of keys grows with the file. */
gboolean
dimr_pickle_check_keys (DimrPickle *self)
{
  for (DimrPickleNode node = 1; node <= self->nodes.length; node++)
    {
      const DimrPickleData *data = dimr_pickle_data (self, node);

      if (dimr_pickle_is_dict (self, node) && data->u.items.count > 1 && !check_keys_of (self, data))
        return FALSE;
    }
  return TRUE;
}

void
dimr_pickle_free (DimrPickle *self)
{
  g_free (self->nodes.data);
  g_free (self->cells.data);
  g_free (self);
}

DimrPickleNode
dimr_pickle_root (DimrPickle *self)
{
  return self->root;
}

guint32
dimr_pickle_get_n_nodes (DimrPickle *self)
{
  return self->nodes.length;
}

DimrPickleKind
dimr_pickle_kind (DimrPickle    *self,
                  DimrPickleNode node)
{
  return dimr_pickle_data (self, node)->kind;
}

gboolean
dimr_pickle_is_dict (DimrPickle    *self,
                     DimrPickleNode node)
{
  DimrPickleKind kind = dimr_pickle_kind (self, node);

  return kind == DIMR_PICKLE_DICT || kind == DIMR_PICKLE_ORDERED_DICT;
}

guint64
dimr_pickle_where (DimrPickle    *self,
                   DimrPickleNode node)
{
  return self->base + dimr_pickle_data (self, node)->offset;
}

gint64
dimr_pickle_get_int (DimrPickle    *self,
                     DimrPickleNode node)
{
  return dimr_pickle_data (self, node)->u.integer;
}

const char *
dimr_pickle_peek_text (DimrPickle    *self,
                       DimrPickleNode node,
                       gsize         *length)
{
  const DimrPickleData *data = dimr_pickle_data (self, node);

  *length = data->u.text.length;
  return (const char *) self->data + data->u.text.start;
}

guint32
dimr_pickle_get_length (DimrPickle    *self,
                        DimrPickleNode node)
{
  return dimr_pickle_data (self, node)->u.items.count;
}

void
dimr_pickle_iter_init (DimrPickleIter *iter,
                       DimrPickle     *self,
                       DimrPickleNode  node)
{
  iter->cell = dimr_pickle_data (self, node)->u.items.first;
}

gboolean
dimr_pickle_iter_next (DimrPickleIter *iter,
                       DimrPickle     *self,
                       DimrPickleNode *key,
                       DimrPickleNode *value)
{
  const DimrPickleCell *cell;

  if (iter->cell == 0)
    return FALSE;
  cell = cell_at (self, iter->cell);
  if (key != NULL)
    *key = cell->key;
  *value = cell->value;
  iter->cell = cell->next;
  return TRUE;
}

DimrPickleNode
dimr_pickle_lookup (DimrPickle    *self,
                    DimrPickleNode dict,
                    const char    *key)
{
  DimrPickleIter iter;
  DimrPickleNode name, value;

  dimr_pickle_iter_init (&iter, self, dict);
  while (dimr_pickle_iter_next (&iter, self, &name, &value))
    if (dimr_pickle_kind (self, name) == DIMR_PICKLE_STRING)
      {
        gsize length;
        const char *text = dimr_pickle_peek_text (self, name, &length);

        if (length == strlen (key) && memcmp (text, key, length) == 0)
          return value;
      }
  return 0;
}

/* The first @n items of a tuple whose kinds have been checked. */
static void
get_items (DimrPickle     *self,
           DimrPickleNode  tuple,
           DimrPickleNode *out,
           guint           n)
{
  DimrPickleIter iter;

  dimr_pickle_iter_init (&iter, self, tuple);
  for (guint i = 0; i < n; i++)
    if (!dimr_pickle_iter_next (&iter, self, NULL, &out[i]))
      g_assert_not_reached ();
}

void
dimr_pickle_get_storage (DimrPickle        *self,
                         DimrPickleNode     node,
                         DimrPickleStorage *out)
{
  DimrPickleNode tuple = dimr_pickle_data (self, node)->u.tuple, items[6], view[3];
  guint n = dimr_pickle_get_length (self, tuple);

  get_items (self, tuple, items, n);
  out->dtype = dimr_pickle_data (self, items[1])->dtype;
  out->key = dimr_pickle_peek_text (self, items[2], &out->n_key);
  out->n_elements = (guint64) dimr_pickle_get_int (self, items[4]);
  out->view_offset = 0;
  out->view_length = out->n_elements;
  if (n == 6 && dimr_pickle_kind (self, items[5]) == DIMR_PICKLE_TUPLE)
    {
      get_items (self, items[5], view, 3);
      out->view_offset = (guint64) dimr_pickle_get_int (self, view[1]);
      out->view_length = (guint64) dimr_pickle_get_int (self, view[2]);
    }
}

void
dimr_pickle_get_tensor (DimrPickle       *self,
                        DimrPickleNode    node,
                        DimrPickleTensor *out)
{
  DimrPickleNode items[4], sizes[DIMR_MAX_DIMS], strides[DIMR_MAX_DIMS];
  guint n_dims;

  get_items (self, dimr_pickle_data (self, node)->u.tuple, items, 4);
  n_dims = dimr_pickle_get_length (self, items[2]);
  get_items (self, items[2], sizes, n_dims);
  get_items (self, items[3], strides, n_dims);
  out->storage = items[0];
  out->offset = (guint64) dimr_pickle_get_int (self, items[1]);
  out->shape.n_dims = n_dims;
  for (guint i = 0; i < n_dims; i++)
    {
      out->shape.dims[i] = dimr_pickle_get_int (self, sizes[i]);
      out->strides[i] = (guint64) dimr_pickle_get_int (self, strides[i]);
    }
}
