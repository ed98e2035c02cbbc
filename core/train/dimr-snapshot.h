/* dimr-snapshot.h — a training run at one step, in a folder that is also a model
 *
 * `step-000000001000` holds config.json, model.safetensors (the moving average: what samples best),
 * model-card.md, and for going on state.safetensors (`param.`, `m.`, `v.` of every parameter) and
 * state.json (step, data). A folder appears whole: everything is written and flushed under another name,
 * then renamed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/train/dimr-optimizer.h"

G_BEGIN_DECLS

/* What a run is made of: borrowed. */
typedef struct
{
  DimrParameters *parameters;
  DimrParameters *average;
  DimrOptimizer  *optimizer;
  guint64         step;         /* steps done */
  const char     *fingerprint;  /* of the data */
} DimrTrainingState;

/* Called with the folder while it is not yet in its place: may add files. FALSE gives the snapshot up. */
typedef gboolean (*DimrSnapshotFunc) (const char *folder, gpointer user_data, GError **error);

/* Writes the snapshot of @state into @output and removes the oldest but @keep. @config and @card: texts
 * of the files. @path (out, optional): the folder. DIMR_ERROR_FILE: nothing new is there, nothing old is gone. */
gboolean dimr_snapshot_write  (const char               *output,
                               const DimrTrainingState  *state,
                               const char               *config,
                               const char               *card,
                               guint                     keep,
                               DimrSnapshotFunc          add_files,
                               gpointer                  user_data,
                               char                    **path,
                               GError                  **error);
/* Folders of snapshots in @output, newest first (transfer full). */
GPtrArray *dimr_snapshot_list (const char               *output);
/* Fills in what @state points to, and its step. DIMR_ERROR_FILE, _FORMAT, _MODEL where it is not whole,
 * DIMR_ERROR_REQUEST where its data were others. */
gboolean dimr_snapshot_read   (const char               *folder,
                               DimrTrainingState        *state,
                               GError                  **error);

G_END_DECLS
