/* fake-cuda-stream.h — what streams and events are made of, and captures of them
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "fake-cuda-private.h"

G_BEGIN_DECLS

/* A capture, and what becomes of it. Work is kept in the order in which it was captured, which is
 * one that its dependencies allow. */
struct CUgraph_st
{
  GArray *ops;                  /* FakeOp */
  int n_refs;
};

struct CUgraphExec_st
{
  struct CUgraph_st *graph;
};

typedef struct
{
  struct CUgraph_st *graph;
  struct CUstream_st *origin;
  enum cudaStreamCaptureMode mode;
  GThread *thread;
  gboolean invalid;
} FakeCapture;

struct CUstream_st
{
  int device;                   /* that was the thread's when it was created */
  GQueue waiting;               /* FakeOp*, where work is deferred */
  guint64 n_queued, n_ran;
  FakeCapture *capture;             /* or NULL */
  guint n_unjoined;             /* captured since the origin last waited for this stream */
};

struct CUevent_st
{
  int device;
  struct CUstream_st *stream;   /* that it was recorded in, or NULL */
  guint64 position;             /* work of the stream before it */
  FakeCapture *capture;
  gint64 time;
  gboolean has_timing;
};

/* One at a time is enough; NULL: none. */
extern FakeCapture *fake_capture;

void                fake_op_run                (const FakeOp *op);
void                fake_op_clear              (gpointer      op);
/* The default stream for its three names; NULL for what is none. */
struct CUstream_st *fake_stream_resolve        (cudaStream_t  stream);
/* No stream is captured any more. Was there captured work that the origin did not wait for? */
gboolean            fake_streams_leave_capture (void);

G_END_DECLS
