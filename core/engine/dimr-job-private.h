/* dimr-job-private.h — the worker's side of a job
 *
 * The worker never touches what the main context reads. It leaves news in a mailbox under a lock;
 * one idle at a time carries them over.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/engine/dimr-job.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

/* Where a job is; plain values, copied as a whole. */
typedef struct
{
  DimrJobState state;
  guint        first;   /* images of the running batch */
  guint        n;
  guint        step;
  gboolean     decoding; /* the steps are done, the pictures are not */
  double       fraction;
  double       seconds_per_step;
  double       seconds_left;
  double       seconds_elapsed;
} DimrJobProgress;

/* What computes a job, as its recipes tell it; known once it runs. */
typedef struct
{
  const char    *name;
  DimrPrecision  precision;   /* not AUTO */
  guint          micro_batch;
} DimrJobDevice;

/* @context: where its signals go. Copies @request. */
DimrJob      *dimr_job_new                (DimrModel             *model,
                                           const DimrRequest     *request,
                                           GMainContext          *context);
DimrModel    *dimr_job_get_model          (DimrJob               *self);
GCancellable *dimr_job_get_cancellable    (DimrJob               *self);

/* The calls below come from the worker. */

/* One item of news: where the job is, and with it the previews of its running batch.
 * @previews: [progress->n], or NULL where there are no new ones. */
void          dimr_job_post_progress      (DimrJob               *self,
                                           const DimrJobProgress *progress,
                                           DimrImage * const     *previews);
/* FALSE while earlier news wait to be seen: the time to skip a preview. */
gboolean      dimr_job_wants_preview      (DimrJob               *self);
/* @path: where it was saved, or NULL. */
void          dimr_job_post_image         (DimrJob               *self,
                                           guint                  index,
                                           DimrImage             *image,
                                           const char            *path);
/* @trace (transfer full, nullable) */
void          dimr_job_post_trace         (DimrJob               *self,
                                           GHashTable            *trace);
/* The last call: DONE, CANCELLED, or FAILED with @error (transfer full). Also for jobs that never ran, from the main context. */
void          dimr_job_post_finished      (DimrJob               *self,
                                           DimrJobState           state,
                                           GError                *error);
/* @device is copied. @note: what a person should know about it, or NULL. */
void          dimr_job_post_device        (DimrJob               *self,
                                           const DimrJobDevice   *device,
                                           const char            *note);
/* The recipe as the worker saves it: with the model's hash, waiting for it. */
DimrRecipe   *dimr_job_make_recipe        (DimrJob               *self,
                                           guint                  index,
                                           const DimrJobDevice   *device,
                                           const char            *model_hash);

G_END_DECLS
