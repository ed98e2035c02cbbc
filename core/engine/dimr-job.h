/* dimr-job.h — one request on its way through the engine
 *
 * Lives in the engine's main context: all calls and all signals there. The worker leaves its
 * latest state under a lock and queues at most one idle, so "changed" comes as often as the main
 * loop can take it and no more; every final picture is announced, previews may be skipped.
 *
 * Signals: "changed" (step, timing or a preview is new), "image-done" (guint index: that picture
 * is final and, where an output folder was asked for, on disk), "finished" (state is DONE, FAILED
 * or CANCELLED; exactly once, last).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/engine/dimr-request.h"
#include "core/image/dimr-image.h"
#include "core/base/dimr-tensor.h"

G_BEGIN_DECLS

typedef enum
{
  DIMR_JOB_QUEUED,
  DIMR_JOB_RUNNING,
  DIMR_JOB_DONE,
  DIMR_JOB_FAILED,
  DIMR_JOB_CANCELLED,
} DimrJobState;

#define DIMR_TYPE_JOB (dimr_job_get_type ())
G_DECLARE_FINAL_TYPE (DimrJob, dimr_job, DIMR, JOB, GObject)

/* Properties: "state" (DimrJobState as int) and "fraction" (0 … 1) notify. */
DimrJobState       dimr_job_get_state            (DimrJob *self);
const DimrRequest *dimr_job_peek_request         (DimrJob *self);
gboolean           dimr_job_is_finished          (DimrJob *self);
double             dimr_job_get_fraction         (DimrJob *self);
guint              dimr_job_get_n_images         (DimrJob *self);
guint              dimr_job_get_n_images_done    (DimrJob *self);
/* Of the batch that is running: network evaluations done and in all; its images are [first, first + n). */
guint              dimr_job_get_step             (DimrJob *self);
guint              dimr_job_get_n_steps          (DimrJob *self);
/* TRUE after its last step, while latents become pictures. */
gboolean           dimr_job_is_decoding          (DimrJob *self);
void               dimr_job_get_batch            (DimrJob *self,
                                                  guint   *first,
                                                  guint   *n);
/* Seconds; 0 while not yet known. What is left counts decoding and saving, too. */
double             dimr_job_get_seconds_per_step (DimrJob *self);
double             dimr_job_get_seconds_left     (DimrJob *self);
double             dimr_job_get_seconds_elapsed  (DimrJob *self);
/* The final picture, or the latest preview (x0), or NULL (transfer none). */
DimrImage         *dimr_job_peek_image           (DimrJob *self,
                                                  guint    index);
/* Gives up the pixels of a picture that is done and that nobody looks at any more: long runs that save
 * theirs need no memory for them. Its path and recipe stay; peek_image() tells NULL from now on. */
void               dimr_job_drop_image           (DimrJob *self,
                                                  guint    index);
gboolean           dimr_job_is_image_done        (DimrJob *self,
                                                  guint    index);
/* What makes picture @index again; available from the start (transfer full). */
DimrRecipe        *dimr_job_dup_recipe           (DimrJob *self,
                                                  guint    index);
/* Where picture @index was saved; NULL where it was not (transfer none). */
const char        *dimr_job_peek_path            (DimrJob *self,
                                                  guint    index);
/* A sentence on how it runs, where that is not as asked or expected ("…: 4 images per evaluation instead
 * of 8 fit"); NULL else (transfer none). */
const char        *dimr_job_peek_note            (DimrJob *self);
/* Why the job failed; NULL else (transfer none). */
const GError      *dimr_job_peek_error           (DimrJob *self);
/* With request->trace, after DONE: "times" [calls], "xs" [updates, n_images, C, H, W], "latent" [n_images, C, H, W].
 * name → DimrTensor (transfer none); NULL else. */
GHashTable        *dimr_job_peek_trace           (DimrJob *self);

G_END_DECLS
