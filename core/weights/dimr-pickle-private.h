/* dimr-pickle-private.h — the arena and the machine, shared by dimr-pickle*.c
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/weights/dimr-pickle.h"
#include "core/weights/dimr-refuse.h"

G_BEGIN_DECLS

#define DIMR_PICKLE_MAX_DEPTH 64

/* What a name of the list stands for. */
typedef enum
{
  DIMR_PICKLE_NAME_ORDERED_DICT,
  DIMR_PICKLE_NAME_TENSOR,
  DIMR_PICKLE_NAME_PARAMETER,
  DIMR_PICKLE_NAME_STORAGE,
  DIMR_PICKLE_NAME_OPAQUE, /* may be called; the result is dropped */
} DimrPickleName;

typedef struct
{
  guint8 kind;    /* DimrPickleKind */
  guint8 depth;   /* of what it contains, where that was known when it was added */
  guint8 name;    /* GLOBAL: DimrPickleName */
  guint8 dtype;   /* GLOBAL of a storage: DimrDType */
  guint32 offset; /* of the step that made it, from the pickle's start */
  union
  {
    gint64 integer;
    struct { guint32 start, length; } text;         /* in the pickle */
    struct { guint32 first, last, count; } items;   /* cells */
    DimrPickleNode tuple;                           /* STORAGE, TENSOR: the checked arguments */
  } u;
} DimrPickleData;

/* Items of a container, chained in their order. */
typedef struct
{
  DimrPickleNode key, value;
  guint32 next;
} DimrPickleCell;

typedef struct
{
  gpointer data;
  guint32 length, capacity;
} DimrPickleArray;

struct _DimrPickle
{
  const guint8 *data;
  guint64 base;
  const char *file; /* only during dimr_pickle_parse() */
  GError **error;   /* likewise */
  DimrPickleArray nodes, cells; /* both from index 1 */
  DimrPickleNode root;
};

#define DIMR_PICKLE_REFUSE(self, at, ...) \
  dimr_refuse ((self)->error, (self)->file, (self)->base + (at), __VA_ARGS__)

/* Makes room for one more element of @size bytes and counts it; NULL where memory does not suffice. */
gpointer        dimr_pickle_array_add    (DimrPickleArray *array,
                                          gsize            size);
DimrPickleData *dimr_pickle_data         (DimrPickle      *self,
                                          DimrPickleNode   node);
/* A new node; 0 with an error where memory does not suffice. */
DimrPickleNode  dimr_pickle_new          (DimrPickle      *self,
                                          DimrPickleKind   kind,
                                          gsize            offset);
/* Adds to a container. @key is 0 in tuples and lists. */
gboolean        dimr_pickle_append       (DimrPickle      *self,
                                          DimrPickleNode   container,
                                          DimrPickleNode   key,
                                          DimrPickleNode   value,
                                          gsize            at);
gboolean        dimr_pickle_check_keys   (DimrPickle      *self);

/* dimr-pickle-calls.c. Each returns the node that is pushed, or 0 with an error; @at is the step. */
DimrPickleNode  dimr_pickle_find_name    (DimrPickle      *self,
                                          const char      *module,
                                          gsize            n_module,
                                          const char      *name,
                                          gsize            n_name,
                                          gsize            at);
DimrPickleNode  dimr_pickle_call         (DimrPickle      *self,
                                          DimrPickleNode   callee,
                                          DimrPickleNode   args,
                                          gsize            at);
DimrPickleNode  dimr_pickle_new_object   (DimrPickle      *self,
                                          DimrPickleNode   callee,
                                          DimrPickleNode   args,
                                          gsize            at);
DimrPickleNode  dimr_pickle_load_storage (DimrPickle      *self,
                                          DimrPickleNode   id,
                                          gsize            at);
gboolean        dimr_pickle_build        (DimrPickle      *self,
                                          DimrPickleNode   object,
                                          DimrPickleNode   state,
                                          gsize            at);

G_END_DECLS
