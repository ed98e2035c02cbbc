/* dimr-worker.h — runs one job after the other on one device; lives in the engine's thread
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/engine/dimr-job-private.h"
#include "core/graph/dimr-device.h"

G_BEGIN_DECLS

typedef struct _DimrWorker DimrWorker;

/* @device (transfer none) */
DimrWorker *dimr_worker_new  (DimrDevice *device);
void        dimr_worker_free (DimrWorker *self);
/* Samples every picture of @job, posting news on the way and its end; never fails itself. */
void        dimr_worker_run  (DimrWorker *self,
                              DimrJob    *job);

/* Why the device is gone, once a job met DIMR_ERROR_DEVICE_LOST; NULL else (transfer none). */
const GError *dimr_worker_peek_lost (DimrWorker *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrWorker, dimr_worker_free)

G_END_DECLS
