/* dimr-engine.h — the one boundary between the pictures and everything else
 *
 * One worker thread owns the device, loads models and runs jobs one after the other. Requests go
 * in, signals come out, in the main context that was the thread's default when the engine was
 * made. Nothing here blocks except dispose, which waits for one network evaluation at most.
 *
 *   DimrEngine *engine = dimr_engine_new ("auto", 0);
 *   dimr_engine_load_model_async (engine, path, cancellable, on_loaded, data);
 *   …
 *   DimrJob *job = dimr_engine_submit (engine, request, FALSE, &error);
 *   g_signal_connect (job, "changed", G_CALLBACK (on_changed), data);
 *
 * Properties that notify: "model" (DimrModel, NULL at first), "device-name" (string, NULL until
 * the device is open), "device-note" (string: see below), "device-lost" (boolean), "current-job" (DimrJob, NULL while idle), "n-waiting" (guint: jobs behind it).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/engine/dimr-job.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

typedef struct
{
  char *spec; /* "cpu", "cuda:1" */
  char *name; /* what a person calls it */
} DimrDeviceChoice;

#define DIMR_TYPE_ENGINE (dimr_engine_get_type ())
G_DECLARE_FINAL_TYPE (DimrEngine, dimr_engine, DIMR, ENGINE, GObject)

/* @device: "auto", "cpu", "cuda", "cuda:1". @n_threads: 0 for all cores. */
DimrEngine *dimr_engine_new               (const char           *device,
                                           guint                 n_threads);

/* Opens the device and loads the model behind the jobs that already wait; on success it becomes "model". */
void        dimr_engine_load_model_async  (DimrEngine           *self,
                                           const char           *path,
                                           GCancellable         *cancellable,
                                           GAsyncReadyCallback   callback,
                                           gpointer              user_data);
/* File or folder of the autoencoder for models of latents that are loaded from now on; NULL, as at first: what is
 * found beside the model, or else in the user's library. */
void        dimr_engine_set_autoencoder   (DimrEngine           *self,
                                           const char           *path);
/* (transfer full) */
DimrModel  *dimr_engine_load_model_finish (DimrEngine           *self,
                                           GAsyncResult         *result,
                                           GError              **error);
/* A model that is loaded already; what is submitted from now on is made with it. */
void        dimr_engine_set_model         (DimrEngine           *self,
                                           DimrModel            *model);
DimrModel  *dimr_engine_get_model         (DimrEngine           *self);   /* transfer none, nullable */
const char *dimr_engine_get_device_name   (DimrEngine           *self);   /* transfer none, nullable */
/* FALSE also where no device is open. */
gboolean    dimr_engine_has_precision     (DimrEngine           *self,
                                           DimrPrecision         precision);
/* A lasting condition worth a banner ("No NVIDIA GPU was found; the CPU is used."); NULL where there is none. */
const char *dimr_engine_get_device_note   (DimrEngine           *self);

/* TRUE while the device is gone for good. The note says why; jobs fail at once with that sentence, but
 * those that already wait are kept until dimr_engine_use_device() finds them another one. */
gboolean    dimr_engine_is_device_lost    (DimrEngine           *self);
/* Opens @device with @n_threads, as of dimr_engine_new(), after the running job; jobs that wait go on
 * there. Where it does not open the one in use stays, and the note says why. "device-name" notifies either way. */
void        dimr_engine_use_device        (DimrEngine           *self,
                                           const char           *device,
                                           guint                 n_threads);
/* What @device can be here, best first; none until "device-name" has notified (transfer none). */
const DimrDeviceChoice * const *dimr_engine_peek_devices (DimrEngine *self,
                                           guint                *n);

/* Checks @request against the model (DIMR_ERROR_REQUEST says what to change), then queues a copy.
 * @front: before the jobs that wait. (transfer full) */
DimrJob    *dimr_engine_submit            (DimrEngine           *self,
                                           const DimrRequest    *request,
                                           gboolean              front,
                                           GError              **error);
/* Takes effect within one network evaluation; finished jobs ignore it. */
void        dimr_engine_cancel            (DimrEngine           *self,
                                           DimrJob              *job);
/* Cancels the jobs that wait; the running one goes on. Returns how many. */
guint       dimr_engine_clear_queue       (DimrEngine           *self);
DimrJob    *dimr_engine_get_current_job   (DimrEngine           *self);   /* transfer none, nullable */
/* Jobs that wait, first to run first (transfer none). */
GListModel *dimr_engine_get_queue         (DimrEngine           *self);

G_END_DECLS
