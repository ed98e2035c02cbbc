/* What a pickle may name, and what may be made with it. Nothing here calls anything: a "call" of
 * a listed name is a new node, once its arguments have exactly the types that PyTorch writes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/weights/dimr-pickle-private.h"

#include "core/base/dimr-i18n.h"

#include <string.h>

static const struct
{
  const char *module, *name;
  DimrPickleName meaning;
  DimrDType dtype;
} names[] = {
  { "collections", "OrderedDict", DIMR_PICKLE_NAME_ORDERED_DICT, 0 },
  { "torch._utils", "_rebuild_tensor_v2", DIMR_PICKLE_NAME_TENSOR, 0 },
  { "torch._utils", "_rebuild_parameter", DIMR_PICKLE_NAME_PARAMETER, 0 },
  { "torch", "FloatStorage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_F32 },
  { "torch", "HalfStorage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_F16 },
  { "torch", "BFloat16Storage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_BF16 },
  { "torch", "DoubleStorage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_F64 },
  { "torch", "LongStorage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_I64 },
  { "torch", "IntStorage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_I32 },
  { "torch", "ShortStorage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_I16 },
  { "torch", "CharStorage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_I8 },
  { "torch", "ByteStorage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_U8 },
  { "torch", "BoolStorage", DIMR_PICKLE_NAME_STORAGE, DIMR_DTYPE_BOOL },
  { "argparse", "Namespace", DIMR_PICKLE_NAME_OPAQUE, 0 },
  { "numpy.core.multiarray", "scalar", DIMR_PICKLE_NAME_OPAQUE, 0 },
  { "numpy._core.multiarray", "scalar", DIMR_PICKLE_NAME_OPAQUE, 0 },
  { "numpy", "dtype", DIMR_PICKLE_NAME_OPAQUE, 0 },
  { "_codecs", "encode", DIMR_PICKLE_NAME_OPAQUE, 0 },
};

/* Callbacks of this training program stand beside the weights in its checkpoints. */
#define OPAQUE_PACKAGE "pytorch_lightning."

static gboolean
text_equals (const char *text,
             gsize       length,
             const char *expected)
{
  return length == strlen (expected) && memcmp (text, expected, length) == 0;
}

static DimrPickleNode
new_name (DimrPickle     *self,
          DimrPickleName  meaning,
          DimrDType       dtype,
          gsize           at)
{
  DimrPickleNode node = dimr_pickle_new (self, DIMR_PICKLE_GLOBAL, at);

  if (node != 0)
    {
      dimr_pickle_data (self, node)->name = (guint8) meaning;
      dimr_pickle_data (self, node)->dtype = (guint8) dtype;
    }
  return node;
}

DimrPickleNode
dimr_pickle_find_name (DimrPickle *self,
                       const char *module,
                       gsize       n_module,
                       const char *name,
                       gsize       n_name,
                       gsize       at)
{
  g_autofree char *quoted_module = NULL, *quoted_name = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (text_equals (module, n_module, names[i].module) && text_equals (name, n_name, names[i].name))
      return new_name (self, names[i].meaning, names[i].dtype, at);
  if (n_module > strlen (OPAQUE_PACKAGE) && memcmp (module, OPAQUE_PACKAGE, strlen (OPAQUE_PACKAGE)) == 0)
    return new_name (self, DIMR_PICKLE_NAME_OPAQUE, 0, at);

  quoted_module = dimr_refuse_quote (module, n_module);
  quoted_name = dimr_refuse_quote (name, n_name);
  if (text_equals (module, n_module, "torch._utils") ||
      (g_str_has_prefix (quoted_module, "torch") && g_str_has_suffix (quoted_name, "Storage")))
    DIMR_PICKLE_REFUSE (self, at, _("it holds a kind of tensor that this program does not read ('%s.%s')"), quoted_module,
                        quoted_name);
  else
    DIMR_PICKLE_REFUSE (self, at, _("it asks to run '%s.%s', which weights never need; nothing was run, and needed is a file of tensors "
                                    "(a state_dict)"), quoted_module,
                        quoted_name);
  return 0;
}

static gboolean
is (DimrPickle    *self,
    DimrPickleNode node,
    DimrPickleKind kind)
{
  return dimr_pickle_kind (self, node) == kind;
}

static gboolean
is_count (DimrPickle    *self,
          DimrPickleNode node)
{
  return is (self, node, DIMR_PICKLE_INT) && dimr_pickle_get_int (self, node) >= 0;
}

/* A tuple of @n_min to @n_max items, copied to @items. */
static gboolean
unpack (DimrPickle     *self,
        DimrPickleNode  tuple,
        guint           n_min,
        guint           n_max,
        DimrPickleNode *items)
{
  DimrPickleIter iter;
  guint n = 0;

  if (!is (self, tuple, DIMR_PICKLE_TUPLE) || dimr_pickle_get_length (self, tuple) < n_min ||
      dimr_pickle_get_length (self, tuple) > n_max)
    return FALSE;
  dimr_pickle_iter_init (&iter, self, tuple);
  while (dimr_pickle_iter_next (&iter, self, NULL, &items[n]))
    if (++n == n_max)
      break;
  return TRUE;
}

static gboolean
is_tuple_of_counts (DimrPickle    *self,
                    DimrPickleNode tuple)
{
  DimrPickleIter iter;
  DimrPickleNode item;

  if (!is (self, tuple, DIMR_PICKLE_TUPLE) || dimr_pickle_get_length (self, tuple) > DIMR_MAX_DIMS)
    return FALSE;
  dimr_pickle_iter_init (&iter, self, tuple);
  while (dimr_pickle_iter_next (&iter, self, NULL, &item))
    if (!is_count (self, item))
      return FALSE;
  return TRUE;
}

/* (storage, offset, size, stride, requires_grad, hooks[, metadata]) */
static DimrPickleNode
rebuild_tensor (DimrPickle    *self,
                DimrPickleNode args,
                gsize          at)
{
  DimrPickleNode items[7], node;

  if (!unpack (self, args, 6, 7, items) || !is (self, items[0], DIMR_PICKLE_STORAGE) ||
      !is_count (self, items[1]) || !is_tuple_of_counts (self, items[2]) || !is_tuple_of_counts (self, items[3]) ||
      dimr_pickle_get_length (self, items[2]) != dimr_pickle_get_length (self, items[3]) ||
      !is (self, items[4], DIMR_PICKLE_BOOL) || !is (self, items[5], DIMR_PICKLE_ORDERED_DICT))
    {
      DIMR_PICKLE_REFUSE (self, at, _("a tensor is made of parts that no tensor has (a negative or unfitting size?)"));
      return 0;
    }
  node = dimr_pickle_new (self, DIMR_PICKLE_TENSOR, at);
  if (node != 0)
    dimr_pickle_data (self, node)->u.tuple = args;
  return node;
}

/* (tensor, requires_grad, hooks): the tensor. */
static DimrPickleNode
rebuild_parameter (DimrPickle    *self,
                   DimrPickleNode args,
                   gsize          at)
{
  DimrPickleNode items[3];

  if (unpack (self, args, 3, 3, items) && is (self, items[0], DIMR_PICKLE_TENSOR) &&
      is (self, items[1], DIMR_PICKLE_BOOL) && is (self, items[2], DIMR_PICKLE_ORDERED_DICT))
    return items[0];
  DIMR_PICKLE_REFUSE (self, at, _("a parameter is made of parts that no parameter has"));
  return 0;
}

DimrPickleNode
dimr_pickle_call (DimrPickle    *self,
                  DimrPickleNode callee,
                  DimrPickleNode args,
                  gsize          at)
{
  if (!is (self, callee, DIMR_PICKLE_GLOBAL) || !is (self, args, DIMR_PICKLE_TUPLE))
    {
      DIMR_PICKLE_REFUSE (self, at, _("it asks to run what is no name; nothing was run"));
      return 0;
    }
  switch ((DimrPickleName) dimr_pickle_data (self, callee)->name)
    {
    case DIMR_PICKLE_NAME_ORDERED_DICT:
      if (dimr_pickle_get_length (self, args) == 0)
        return dimr_pickle_new (self, DIMR_PICKLE_ORDERED_DICT, at);
      break;
    case DIMR_PICKLE_NAME_TENSOR: return rebuild_tensor (self, args, at);
    case DIMR_PICKLE_NAME_PARAMETER: return rebuild_parameter (self, args, at);
    case DIMR_PICKLE_NAME_OPAQUE: return dimr_pickle_new (self, DIMR_PICKLE_OPAQUE, at);
    case DIMR_PICKLE_NAME_STORAGE: break;
    }
  DIMR_PICKLE_REFUSE (self, at, _("a name is used in a way that PyTorch never writes"));
  return 0;
}

DimrPickleNode
dimr_pickle_new_object (DimrPickle    *self,
                        DimrPickleNode callee,
                        DimrPickleNode args,
                        gsize          at)
{
  if (is (self, callee, DIMR_PICKLE_GLOBAL) && is (self, args, DIMR_PICKLE_TUPLE) &&
      dimr_pickle_data (self, callee)->name == DIMR_PICKLE_NAME_OPAQUE)
    return dimr_pickle_new (self, DIMR_PICKLE_OPAQUE, at);
  DIMR_PICKLE_REFUSE (self, at, _("it asks for an object of a class that weights never have"));
  return 0;
}

static gboolean
is_key (DimrPickle    *self,
        DimrPickleNode node)
{
  const char *text;
  gsize length;

  if (!is (self, node, DIMR_PICKLE_STRING))
    return FALSE;
  text = dimr_pickle_peek_text (self, node, &length);
  if (length == 0 || length > 32)
    return FALSE;
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isdigit (text[i]))
      return FALSE;
  return TRUE;
}

/* None, or (key, offset, size): a part of a storage, as files before PyTorch 0.4 have it. */
static gboolean
is_view (DimrPickle    *self,
         DimrPickleNode node)
{
  DimrPickleNode items[3];

  return is (self, node, DIMR_PICKLE_NONE) ||
         (unpack (self, node, 3, 3, items) && is_key (self, items[0]) && is_count (self, items[1]) &&
          is_count (self, items[2]));
}

/* ('storage', type, key, location, number of elements[, view]) */
DimrPickleNode
dimr_pickle_load_storage (DimrPickle    *self,
                          DimrPickleNode id,
                          gsize          at)
{
  DimrPickleNode items[6], node;
  const char *kind;
  gsize length;

  if (!unpack (self, id, 5, 6, items) || !is (self, items[0], DIMR_PICKLE_STRING))
    {
      DIMR_PICKLE_REFUSE (self, at, _("it refers to something that is no tensor storage"));
      return 0;
    }
  kind = dimr_pickle_peek_text (self, items[0], &length);
  if (!text_equals (kind, length, "storage") || !is (self, items[1], DIMR_PICKLE_GLOBAL) ||
      dimr_pickle_data (self, items[1])->name != DIMR_PICKLE_NAME_STORAGE || !is_key (self, items[2]) ||
      !is (self, items[3], DIMR_PICKLE_STRING) || !is_count (self, items[4]) ||
      (dimr_pickle_get_length (self, id) == 6 && !is_view (self, items[5])))
    {
      DIMR_PICKLE_REFUSE (self, at, _("it refers to something that is no tensor storage"));
      return 0;
    }
  node = dimr_pickle_new (self, DIMR_PICKLE_STORAGE, at);
  if (node != 0)
    dimr_pickle_data (self, node)->u.tuple = id;
  return node;
}

/* The attributes of an object, which are dropped: `_metadata` of a state_dict, training arguments. */
gboolean
dimr_pickle_build (DimrPickle    *self,
                   DimrPickleNode object,
                   DimrPickleNode state,
                   gsize          at)
{
  DimrPickleKind kind = dimr_pickle_kind (self, object);

  if (kind == DIMR_PICKLE_OPAQUE || (kind == DIMR_PICKLE_ORDERED_DICT && is (self, state, DIMR_PICKLE_DICT)))
    return TRUE;
  return DIMR_PICKLE_REFUSE (self, at, _("it sets attributes of what has none"));
}
