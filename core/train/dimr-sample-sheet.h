/* dimr-sample-sheet.h — a grid of pictures of one model: a class a row, the same noise every time
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

typedef struct
{
  const int *classes;    /* [n_classes]; NULL for unconditional models */
  guint      n_classes;  /* rows */
  guint      n_columns;
  guint      n_steps;
  double     cfg;        /* guidance g */
  guint64    seed;
} DimrSheetOptions;

/* Draws with the model's own sampler and writes a PNG. Models of pixels only: DIMR_ERROR_UNSUPPORTED for latents. */
gboolean dimr_sample_sheet_save (DimrModel               *model,
                                 DimrDevice              *device,
                                 const DimrSheetOptions  *options,
                                 const char              *path,
                                 GCancellable            *cancellable,
                                 GError                 **error);

G_END_DECLS
