/* dimr-gradients.h — loss and gradients from file to file, to check them against another program's
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/graph/dimr-plan.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

typedef struct
{
  guint         n_steps;    /* of AdamW with the paper's recipe; 0: only the gradients */
  double        lr;
  double        ema;        /* rate of the moving average */
  guint         micro_batch;/* 0: the whole batch at once */
  DimrPrecision precision;
  gboolean      recompute;  /* block by block */
  double        label_smoothing; /* of classifiers */
} DimrGradientsOptions;

/* Reads from @input_path for each step K from 0 on: `sK.x0` and `sK.eps` [B, C, H, W], the time as
 * `sK.n` [B] in 1 … 1000 or `sK.t` [B] in (0, 1], and for conditional models `sK.y` [B]; for classifiers only `sK.x0`
 * and `sK.y`, the row of the head. Writes to
 * @output_path `sK.loss` [B] and its mean `sK.loss_mean` of every step made (one where n_steps is 0),
 * `grad.NAME` of step 0, and after the steps `param.NAME` and `ema.NAME`. */
gboolean dimr_gradients_file (DimrModel                   *model,
                              const char                  *device,
                              guint                        n_threads,
                              const DimrGradientsOptions  *options,
                              const char                  *input_path,
                              const char                  *output_path,
                              GCancellable                *cancellable,
                              GError                     **error);

G_END_DECLS
