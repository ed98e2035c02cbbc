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

typedef struct _FakeStream FakeStream;
typedef struct _FakeEvent FakeEvent;

/* All below is called with the lock held; enter takes it, leave gives it back. */
#define FAKE_ENTER(name)                                 \
  g_autoptr (FakeLock) lock G_GNUC_UNUSED = fake_lock ();\
  {                                                      \
    cudaError_t entered = fake_cuda_enter (name);        \
    if (entered != cudaSuccess)                          \
      return entered;                                    \
  }

typedef GRecMutex FakeLock;
FakeLock   *fake_lock               (void);
void        fake_unlock             (FakeLock     *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FakeLock, fake_unlock)

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

G_END_DECLS
