/* fake-cuda-private.h — what the parts of the fake runtime share
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "fake-cuda.h"

#include <glib.h>

G_BEGIN_DECLS

/* One piece of work of a stream or of a graph. */
typedef struct
{
  void   (*run)       (void *data);
  void    *data;
  void   (*free_data) (void *data);   /* or NULL */
  gboolean kernel;                    /* counts as a launch */
} FakeOp;

extern GRecMutex fake_mutex;

/* Locks until the end of the scope. */
#define FAKE_LOCK() \
  g_autoptr (GRecMutexLocker) locker G_GNUC_UNUSED = g_rec_mutex_locker_new (&fake_mutex)

/* Begins a call, as its first statement: locks, counts, and returns what was to fail. */
#define FAKE_ENTER(name)                            \
  FAKE_LOCK ();                                     \
  {                                                 \
    const cudaError_t entered = fake_cuda_enter (name); \
    if (entered != cudaSuccess)                     \
      return entered;                               \
  }

/* All below is called with the lock held. */

/* Takes over @op's data in every case. */
cudaError_t fake_stream_queue       (cudaStream_t  stream,
                                     FakeOp        op);
/* Runs everything that waits, of all streams. */
void        fake_streams_drain      (void);
/* Runs what waits in @stream. */
void        fake_stream_drain       (cudaStream_t  stream);
/* What a call that no capture may see returns while there is one; ends the capture. */
cudaError_t fake_refuse_in_capture  (void);
gboolean    fake_stream_is_capturing(cudaStream_t  stream);
/* Forgets streams and events; for the reset. */
void        fake_streams_reset      (void);
void        fake_memory_reset       (void);
void        fake_count_launch       (void);
/* Of the calling thread. */
int         fake_current_device     (void);

G_END_DECLS
