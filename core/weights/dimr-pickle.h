/* dimr-pickle.h — a pickle read as data
 *
 * A pickle is a program for a small stack machine. This machine knows only the steps that building
 * dictionaries of tensors takes, and what it builds are inert nodes: no name of the file is ever
 * looked up, imported or called. Names are held against one list; any other name refuses the file.
 *
 * Refused: steps outside the list in dimr-pickle.c; a name outside the list in
 * dimr-pickle-calls.c; wrong types anywhere (an item set on what is no dictionary, a tensor made of
 * what is no storage); duplicate keys; unset memory; anything left over on the stack. Limits:
 * 64 MiB, 5 million steps, 1 million stack and memory slots, depth 64, strings of 64 KiB, 8
 * dimensions. Source: PEP 307, PEP 3154, and the opcode descriptions of Python's pickletools.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-tensor.h"

G_BEGIN_DECLS

typedef struct _DimrPickle DimrPickle;

/* A node of the pickle's arena; 0 is none. Nodes may be reached by many ways, even by themselves:
 * walk them to a fixed depth only. */
typedef guint32 DimrPickleNode;

typedef enum
{
  DIMR_PICKLE_NONE,
  DIMR_PICKLE_BOOL,
  DIMR_PICKLE_INT,
  DIMR_PICKLE_FLOAT,
  DIMR_PICKLE_STRING,
  DIMR_PICKLE_BYTES,
  DIMR_PICKLE_TUPLE,
  DIMR_PICKLE_LIST,
  DIMR_PICKLE_DICT,
  DIMR_PICKLE_ORDERED_DICT,
  DIMR_PICKLE_GLOBAL,  /* a name of the list */
  DIMR_PICKLE_STORAGE, /* where a tensor's elements are kept */
  DIMR_PICKLE_TENSOR,
  DIMR_PICKLE_OPAQUE,  /* training arguments and the like, whose content was dropped */
} DimrPickleKind;

typedef struct
{
  DimrDType dtype;
  const char *key; /* digits, not NUL-terminated */
  gsize n_key;
  guint64 n_elements;               /* of the whole storage */
  guint64 view_offset, view_length; /* the part of it that is used (files before 1.6), in elements */
} DimrPickleStorage;

/* All of a tensor's numbers count elements; nothing has been held against the storage yet. */
typedef struct
{
  DimrPickleNode storage;
  guint64 offset;
  DimrShape shape;
  guint64 strides[DIMR_MAX_DIMS];
} DimrPickleTensor;

typedef struct
{
  guint32 cell;
} DimrPickleIter;

/* Runs the pickle at the start of @data, which must outlive the result. Its first byte is byte
 * @base of the file that errors call @file. @n_used: how far it reached; where it is NULL, bytes
 * after its end refuse the file. */
DimrPickle     *dimr_pickle_parse       (const guint8       *data,
                                         gsize               size,
                                         guint64             base,
                                         const char         *file,
                                         gsize              *n_used,
                                         GError            **error);
void            dimr_pickle_free        (DimrPickle         *self);

DimrPickleNode  dimr_pickle_root        (DimrPickle         *self);
/* Nodes are numbered from 1 to this. */
guint32         dimr_pickle_get_n_nodes (DimrPickle         *self);
DimrPickleKind  dimr_pickle_kind        (DimrPickle         *self,
                                         DimrPickleNode      node);
gboolean        dimr_pickle_is_dict     (DimrPickle         *self,
                                         DimrPickleNode      node);
/* Byte of the file that made @node. */
guint64         dimr_pickle_where       (DimrPickle         *self,
                                         DimrPickleNode      node);
/* Of BOOL and INT. */
gint64          dimr_pickle_get_int     (DimrPickle         *self,
                                         DimrPickleNode      node);
/* Of STRING and BYTES; not NUL-terminated (transfer none). Strings are valid UTF-8 without NUL. */
const char     *dimr_pickle_peek_text   (DimrPickle         *self,
                                         DimrPickleNode      node,
                                         gsize              *length);
/* Of TUPLE, LIST, DICT, ORDERED_DICT. */
guint32         dimr_pickle_get_length  (DimrPickle         *self,
                                         DimrPickleNode      node);
void            dimr_pickle_iter_init   (DimrPickleIter     *iter,
                                         DimrPickle         *self,
                                         DimrPickleNode      node);
/* @key is 0 in tuples and lists. */
gboolean        dimr_pickle_iter_next   (DimrPickleIter     *iter,
                                         DimrPickle         *self,
                                         DimrPickleNode     *key,
                                         DimrPickleNode     *value);
/* The value of the string @key; 0 if there is none. */
DimrPickleNode  dimr_pickle_lookup      (DimrPickle         *self,
                                         DimrPickleNode      dict,
                                         const char         *key);
void            dimr_pickle_get_storage (DimrPickle         *self,
                                         DimrPickleNode      node,
                                         DimrPickleStorage  *out);
void            dimr_pickle_get_tensor  (DimrPickle         *self,
                                         DimrPickleNode      node,
                                         DimrPickleTensor   *out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrPickle, dimr_pickle_free)

G_END_DECLS
