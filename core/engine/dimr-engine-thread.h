/* dimr-engine-thread.h — the thread that owns the device, and the queue into it
 *
 * All functions are called in the engine's main context. The thread holds no reference to the engine;
 * its news come over as idles that find the engine gone or not.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/engine/dimr-engine.h"

G_BEGIN_DECLS

typedef struct _DimrEngineThread DimrEngineThread;

/* What is new about the device; the receiver may take members out. */
typedef struct
{
  char      *device_name; /* NULL where none is open */
  guint      precisions;  /* 1 << p for each DimrPrecision p that it has */
  char      *device_note; /* a lasting condition, or NULL */
  GError    *lost;        /* the device is gone, and jobs that wait are kept; NULL else */
  GPtrArray *devices;     /* DimrDeviceChoice */
} DimrDeviceNews;

typedef void (*DimrDeviceNewsFunc) (DimrEngine     *engine,
                                    DimrDeviceNews *news);

/* Starts the thread, which opens @device first. @func: called in @context while @engine lives. */
DimrEngineThread *dimr_engine_thread_new        (DimrEngine         *engine,
                                                 GMainContext       *context,
                                                 DimrDeviceNewsFunc  func,
                                                 const char         *device,
                                                 guint               n_threads);
/* Waits for the running job, which should have been cancelled; jobs that wait are dropped. */
void              dimr_engine_thread_stop       (DimrEngineThread   *self);
/* Takes a reference to @job. */
void              dimr_engine_thread_push       (DimrEngineThread   *self,
                                                 DimrJob            *job,
                                                 gboolean            front);
/* TRUE where the thread had not yet taken @job, and now never will. */
gboolean          dimr_engine_thread_take_back  (DimrEngineThread   *self,
                                                 DimrJob            *job);
/* After the running job and before the next one. */
void              dimr_engine_thread_use_device (DimrEngineThread   *self,
                                                 const char         *device,
                                                 guint               n_threads);

G_END_DECLS
