/* dimr-torch-private.h — shared by dimr-torch*.c
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/weights/dimr-pickle.h"
#include "core/weights/dimr-torch.h"

G_BEGIN_DECLS

/* A storage and where the file keeps it. */
typedef struct
{
  DimrDType dtype;
  guint64 n_elements;
  guint64 offset; /* in the file, in bytes */
  gboolean placed;
} DimrTorchStorage;

typedef struct
{
  GBytes *bytes;
  const guint8 *data;
  gsize size;
  const char *file;
  GCancellable *cancellable;
  GError **error;
  DimrPickle *pickle;
  GHashTable *storages;   /* key → DimrTorchStorage */
  guint64 n_copied_bytes; /* by all tensors that are no plain views */
} DimrTorchReader;

#define DIMR_TORCH_REFUSE(self, at, ...) dimr_refuse ((self)->error, (self)->file, (at), __VA_ARGS__)

/* The table of weights, and its name in *table; 0 with an error where the file holds none. */
DimrPickleNode dimr_torch_choose_table (DimrTorchReader *self,
                                        const char     **table);
/* The tensor @node of the pickle, whose storage has been placed; NULL with an error. */
DimrTensor    *dimr_torch_make_tensor  (DimrTorchReader *self,
                                        DimrPickleNode   node);

G_END_DECLS
