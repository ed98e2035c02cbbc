/* dimr-safetensors-private.h — what writing tensors at once and piece by piece share
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-tensor.h"

G_BEGIN_DECLS

/* A tensor as it is to be written. */
typedef struct
{
  const char *name;
  DimrTensor *tensor; /* what it is made of; NULL where that comes piece by piece */
  DimrShape   shape;
  DimrDType   dtype;  /* in the file */
  guint64     begin;  /* of its bytes, from the end of the header; what follows is given out by lay_out() */
  guint64     end;
} DimrSafetensorsItem;

/* Checks names and sizes of @items, sorts them as they stand in the file, the largest elements first, and gives
 * their places out. *n_bytes: of all. @shown: the file, in sentences. DIMR_ERROR_REQUEST. */
gboolean  dimr_safetensors_lay_out     (GArray      *items,
                                        const char  *shown,
                                        guint64     *n_bytes,
                                        GError     **error);
/* Everything before the data, of items that have their places (transfer full). DIMR_ERROR_REQUEST. */
GString  *dimr_safetensors_make_header (GArray      *items,
                                        GHashTable  *metadata,
                                        const char  *shown,
                                        GError     **error);

G_END_DECLS
