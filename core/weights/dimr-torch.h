/* dimr-torch.h — PyTorch checkpoints: the zip format (1.6 and later) and the one before
 *
 * The zip holds `data.pkl` and one stored entry a storage, `data/<key>`. Before: five pickles
 * (magic number, protocol, system, object, list of keys), then each storage as a 64-bit number of
 * elements and its data. Refused besides what dimr-zip.h and dimr-pickle.h refuse: a storage whose
 * bytes are not elements times size, one key with two types, a tensor that reaches outside its
 * storage or repeats elements into more than its storage has, big-endian files, TorchScript, and
 * files that hold no weights (DIMR_ERROR_MODEL): optimizer state, schedulers, step counters.
 * Tensors are views of the file; those with other than row-major strides are copied.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/weights/dimr-zip.h"

G_BEGIN_DECLS

/* What a reader of PyTorch files found. */
typedef struct
{
  GHashTable *tensors; /* name → DimrTensor (owned) */
  const char *table;   /* "ema", "state_dict", "model", or NULL (static) */
} DimrTorch;

gboolean dimr_torch_sniff_legacy (const guint8  *data,
                                  gsize          size);
/* A pickle that lacks the signature of a PyTorch file; only ever refused, saying what it asks for. */
gboolean dimr_torch_sniff_pickle (const guint8  *data,
                                  gsize          size);

/* @out is set on success only; release its table. @file is what errors call the file, @zip its directory. */
gboolean dimr_torch_read_zip     (GBytes        *bytes,
                                  DimrZip       *zip,
                                  const char    *file,
                                  GCancellable  *cancellable,
                                  DimrTorch     *out,
                                  GError       **error);
gboolean dimr_torch_read_legacy  (GBytes        *bytes,
                                  const char    *file,
                                  GCancellable  *cancellable,
                                  DimrTorch     *out,
                                  GError       **error);
gboolean dimr_torch_refuse_pickle (GBytes       *bytes,
                                   const char   *file,
                                   GError      **error);

G_END_DECLS
