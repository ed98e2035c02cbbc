/* fake-cuda-stream.c — streams, events, and work that is captured and replayed
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fake-cuda-private.h"

#include <string.h>

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
} Capture;

struct CUstream_st
{
  GQueue waiting;               /* FakeOp*, where work is deferred */
  guint64 n_queued, n_ran;
  Capture *capture;             /* or NULL */
  guint n_unjoined;             /* captured since the origin last waited for this stream */
};

struct CUevent_st
{
  struct CUstream_st *stream;   /* that it was recorded in, or NULL */
  guint64 position;             /* work of the stream before it */
  Capture *capture;
  gint64 time;
  gboolean has_timing;
};

static struct CUstream_st default_stream = { .waiting = G_QUEUE_INIT };
static GPtrArray *streams;
static Capture *capture;        /* one at a time is enough */
static GPrivate capture_mode;

static struct CUstream_st *
resolve (cudaStream_t stream)
{
  if (stream == NULL || stream == cudaStreamLegacy || stream == cudaStreamPerThread)
    return &default_stream;
  return fake_cuda_has_object (stream, "stream") ? stream : NULL;
}

gboolean
fake_stream_is_capturing (cudaStream_t stream)
{
  struct CUstream_st *self = resolve (stream);

  return self != NULL && self->capture != NULL;
}

/* ---- work ---- */

static void
run_op (const FakeOp *op)
{
  if (op->kernel)
    fake_count_launch ();
  op->run (op->data);
}

static void
clear_op (gpointer data)
{
  FakeOp *op = data;

  if (op->free_data != NULL)
    op->free_data (op->data);
}

static void
drain_until (struct CUstream_st *self,
             guint64             position)
{
  while (self->n_ran < position && !g_queue_is_empty (&self->waiting))
    {
      FakeOp *op = g_queue_pop_head (&self->waiting);

      self->n_ran++;
      run_op (op);
      clear_op (op);
      g_free (op);
    }
}

void
fake_stream_drain (cudaStream_t stream)
{
  struct CUstream_st *self = resolve (stream);

  if (self != NULL)
    drain_until (self, G_MAXUINT64);
}

void
fake_streams_drain (void)
{
  drain_until (&default_stream, G_MAXUINT64);
  for (guint i = 0; streams != NULL && i < streams->len; i++)
    drain_until (g_ptr_array_index (streams, i), G_MAXUINT64);
}

void
fake_streams_reset (void)
{
  fake_streams_drain ();
}

cudaError_t
fake_stream_queue (cudaStream_t stream,
                   FakeOp       op)
{
  struct CUstream_st *self = resolve (stream);

  if (self == NULL)
    {
      clear_op (&op);
      return fake_cuda_error (cudaErrorInvalidResourceHandle);
    }
  if (self == &default_stream && capture != NULL && capture->mode != cudaStreamCaptureModeRelaxed)
    {
      capture->invalid = TRUE;
      clear_op (&op);
      return fake_cuda_error (cudaErrorStreamCaptureImplicit);
    }
  if (self->capture != NULL)
    {
      if (self->capture->invalid)
        {
          clear_op (&op);
          return fake_cuda_error (cudaErrorStreamCaptureInvalidated);
        }
      g_array_append_val (self->capture->graph->ops, op);
      self->n_unjoined++;
      return cudaSuccess;
    }
  self->n_queued++;
  if (fake_cuda_config ()->deferred)
    {
      g_queue_push_tail (&self->waiting, g_memdup2 (&op, sizeof op));
      return cudaSuccess;
    }
  drain_until (self, G_MAXUINT64);
  self->n_ran++;
  run_op (&op);
  clear_op (&op);
  return cudaSuccess;
}

cudaError_t
fake_cuda_enqueue (cudaStream_t   stream,
                   void         (*run)       (void *data),
                   void          *data,
                   void         (*free_data) (void *data))
{
  FAKE_LOCK ();

  return fake_stream_queue (stream, (FakeOp) { run, data, free_data, TRUE });
}

cudaError_t
fake_refuse_in_capture (void)
{
  const enum cudaStreamCaptureMode mine = GPOINTER_TO_INT (g_private_get (&capture_mode));

  if (capture == NULL || capture->mode == cudaStreamCaptureModeRelaxed || mine == cudaStreamCaptureModeRelaxed ||
      (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread != g_thread_self ()))
    return cudaSuccess;
  capture->invalid = TRUE;
  return fake_cuda_error (cudaErrorStreamCaptureUnsupported);
}

/* ---- streams ---- */

cudaError_t
cudaDeviceGetStreamPriorityRange (int *least,
                                  int *greatest)
{
  FAKE_ENTER ("cudaDeviceGetStreamPriorityRange");
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

static cudaError_t
create_stream (const char   *name,
               cudaStream_t *stream)
{
  FAKE_ENTER (name);
  *stream = g_new0 (struct CUstream_st, 1);
  g_queue_init (&(*stream)->waiting);
  if (streams == NULL)
    streams = g_ptr_array_new ();
  g_ptr_array_add (streams, *stream);
  fake_cuda_add_object (*stream, "stream");
  return cudaSuccess;
}

cudaError_t
cudaStreamCreate (cudaStream_t *stream)
{
  return create_stream ("cudaStreamCreate", stream);
}

cudaError_t
cudaStreamCreateWithFlags (cudaStream_t *stream,
                           unsigned int  flags)
{
  return create_stream ("cudaStreamCreateWithFlags", stream);
}

cudaError_t
cudaStreamCreateWithPriority (cudaStream_t *stream,
                              unsigned int  flags,
                              int           priority)
{
  return create_stream ("cudaStreamCreateWithPriority", stream);
}

cudaError_t
cudaStreamDestroy (cudaStream_t stream)
{
  FAKE_LOCK ();
  cudaError_t error = fake_cuda_enter ("cudaStreamDestroy");

  if (resolve (stream) != stream || stream == NULL)
    return error == cudaSuccess ? fake_cuda_error (cudaErrorInvalidResourceHandle) : error;
  drain_until (stream, G_MAXUINT64);
  g_ptr_array_remove (streams, stream);
  fake_cuda_remove_object (stream, "stream");
  g_free (stream);
  return error;
}

/* Enters a call that waits for @stream, which nobody may do while it is captured. */
static cudaError_t
enter_wait (const char   *name,
            cudaStream_t  stream)
{
  struct CUstream_st *self = resolve (stream);
  cudaError_t error = fake_cuda_enter (name);

  if (error != cudaSuccess)
    return error;
  if (self == NULL)
    return fake_cuda_error (cudaErrorInvalidResourceHandle);
  if (self->capture == NULL)
    return cudaSuccess;
  self->capture->invalid = TRUE;
  return fake_cuda_error (cudaErrorStreamCaptureUnsupported);
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream)
{
  FAKE_LOCK ();
  cudaError_t error = enter_wait ("cudaStreamSynchronize", stream);

  if (error == cudaSuccess)
    fake_stream_drain (stream);
  return error;
}

cudaError_t
cudaStreamQuery (cudaStream_t stream)
{
  FAKE_LOCK ();
  cudaError_t error = enter_wait ("cudaStreamQuery", stream);

  if (error == cudaSuccess && !g_queue_is_empty (&resolve (stream)->waiting))
    error = cudaErrorNotReady;
  return error;
}

typedef struct
{
  cudaHostFn_t function;
  void *data;
} HostCall;

static void
run_host_call (void *data)
{
  const HostCall *call = data;

  call->function (call->data);
}

cudaError_t
cudaLaunchHostFunc (cudaStream_t  stream,
                    cudaHostFn_t  function,
                    void         *data)
{
  const HostCall call = { function, data };
  FAKE_ENTER ("cudaLaunchHostFunc");

  return fake_stream_queue (stream, (FakeOp) { run_host_call, g_memdup2 (&call, sizeof call), g_free, FALSE });
}

/* ---- events ---- */

cudaError_t
cudaEventCreateWithFlags (cudaEvent_t  *event,
                          unsigned int  flags)
{
  FAKE_ENTER ("cudaEventCreateWithFlags");
  *event = g_new0 (struct CUevent_st, 1);
  (*event)->has_timing = !(flags & cudaEventDisableTiming);
  fake_cuda_add_object (*event, "event");
  return cudaSuccess;
}

cudaError_t
cudaEventCreate (cudaEvent_t *event)
{
  return cudaEventCreateWithFlags (event, cudaEventDefault);
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  FAKE_LOCK ();
  cudaError_t error = fake_cuda_enter ("cudaEventDestroy");

  if (fake_cuda_remove_object (event, "event"))
    g_free (event);
  else if (error == cudaSuccess)
    error = fake_cuda_error (cudaErrorInvalidResourceHandle);
  return error;
}

/* Notes the time when the stream gets there. An event may be gone by then. */
static void
stamp (void *data)
{
  struct CUevent_st *event = data;

  if (fake_cuda_has_object (event, "event"))
    event->time = g_get_monotonic_time ();
}

cudaError_t
cudaEventRecord (cudaEvent_t  event,
                 cudaStream_t stream)
{
  struct CUstream_st *self = resolve (stream);
  FAKE_ENTER ("cudaEventRecord");

  if (!fake_cuda_has_object (event, "event") || self == NULL)
    return fake_cuda_error (cudaErrorInvalidResourceHandle);
  event->stream = self;
  event->capture = self->capture;
  if (self->capture != NULL)
    return cudaSuccess;
  fake_stream_queue (stream, (FakeOp) { stamp, event, NULL, FALSE });
  event->position = self->n_queued;
  return cudaSuccess;
}

typedef struct
{
  struct CUstream_st *stream;
  guint64 position;
} Wait;

static void
run_wait (void *data)
{
  const Wait *wait = data;

  if (wait->stream == &default_stream || fake_cuda_has_object (wait->stream, "stream"))
    drain_until (wait->stream, wait->position);
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream,
                     cudaEvent_t  event,
                     unsigned int flags)
{
  struct CUstream_st *self = resolve (stream);
  Wait wait;
  FAKE_ENTER ("cudaStreamWaitEvent");

  if (!fake_cuda_has_object (event, "event") || self == NULL)
    return fake_cuda_error (cudaErrorInvalidResourceHandle);
  if (event->stream == NULL)
    return cudaSuccess;
  if (event->capture != NULL)
    {
      /* Joins the capture, or joins the other stream's part of it. */
      if (event->capture != capture || (self->capture != NULL && self->capture != capture))
        return fake_cuda_error (cudaErrorStreamCaptureMerge);
      self->capture = capture;
      event->stream->n_unjoined = 0;
      self->n_unjoined += self != capture->origin;
      return cudaSuccess;
    }
  if (self->capture != NULL)
    {
      capture->invalid = TRUE;
      return fake_cuda_error (cudaErrorStreamCaptureIsolation);
    }
  wait = (Wait) { event->stream, event->position };
  return fake_stream_queue (stream, (FakeOp) { run_wait, g_memdup2 (&wait, sizeof wait), g_free, FALSE });
}

static cudaError_t
enter_event (const char  *name,
             cudaEvent_t  event)
{
  cudaError_t error = fake_cuda_enter (name);

  if (error != cudaSuccess)
    return error;
  if (!fake_cuda_has_object (event, "event"))
    return fake_cuda_error (cudaErrorInvalidResourceHandle);
  if (event->capture == NULL)
    return cudaSuccess;
  if (event->capture == capture)
    capture->invalid = TRUE;
  return fake_cuda_error (cudaErrorCapturedEvent);
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event)
{
  FAKE_LOCK ();
  cudaError_t error = enter_event ("cudaEventSynchronize", event);

  if (error == cudaSuccess && event->stream != NULL)
    drain_until (event->stream, event->position);
  return error;
}

cudaError_t
cudaEventQuery (cudaEvent_t event)
{
  FAKE_LOCK ();
  cudaError_t error = enter_event ("cudaEventQuery", event);

  if (error == cudaSuccess && event->stream != NULL && event->stream->n_ran < event->position)
    {
      /* Time passes between two questions: the device does a little of its work. */
      drain_until (event->stream, event->stream->n_ran + 1);
      error = event->stream->n_ran < event->position ? cudaErrorNotReady : cudaSuccess;
    }
  return error;
}

cudaError_t
cudaEventElapsedTime (float       *milliseconds,
                      cudaEvent_t  start,
                      cudaEvent_t  end)
{
  FAKE_ENTER ("cudaEventElapsedTime");
  if (!fake_cuda_has_object (start, "event") || !fake_cuda_has_object (end, "event") || !start->has_timing ||
      !end->has_timing || start->stream == NULL || end->stream == NULL)
    return fake_cuda_error (cudaErrorInvalidResourceHandle);
  if (start->stream->n_ran < start->position || end->stream->n_ran < end->position)
    return cudaErrorNotReady;
  *milliseconds = (float) (end->time - start->time) / 1e3f;
  return cudaSuccess;
}

/* ---- capture ---- */

cudaError_t
cudaThreadExchangeStreamCaptureMode (enum cudaStreamCaptureMode *mode)
{
  enum cudaStreamCaptureMode old = GPOINTER_TO_INT (g_private_get (&capture_mode));
  FAKE_ENTER ("cudaThreadExchangeStreamCaptureMode");

  g_private_set (&capture_mode, GINT_TO_POINTER (*mode));
  *mode = old;
  return cudaSuccess;
}

static void
graph_unref (struct CUgraph_st *graph)
{
  if (--graph->n_refs > 0)
    return;
  g_array_unref (graph->ops);
  g_free (graph);
}

cudaError_t
cudaStreamBeginCapture (cudaStream_t               stream,
                        enum cudaStreamCaptureMode mode)
{
  struct CUstream_st *self = resolve (stream);
  FAKE_ENTER ("cudaStreamBeginCapture");

  if (self == NULL)
    return fake_cuda_error (cudaErrorInvalidResourceHandle);
  if (self == &default_stream)
    return fake_cuda_error (cudaErrorStreamCaptureUnsupported);
  if (capture != NULL)
    return fake_cuda_error (cudaErrorIllegalState);
  capture = g_new0 (Capture, 1);
  capture->graph = g_new0 (struct CUgraph_st, 1);
  capture->graph->ops = g_array_new (FALSE, FALSE, sizeof (FakeOp));
  g_array_set_clear_func (capture->graph->ops, clear_op);
  capture->graph->n_refs = 1;
  capture->origin = self;
  capture->mode = mode;
  capture->thread = g_thread_self ();
  self->capture = capture;
  return cudaSuccess;
}

/* Is there captured work that the origin does not wait for? */
static gboolean
leave_capture (void)
{
  gboolean unjoined = FALSE;

  for (guint i = 0; i < streams->len; i++)
    {
      struct CUstream_st *stream = g_ptr_array_index (streams, i);

      if (stream->capture != capture)
        continue;
      unjoined |= stream != capture->origin && stream->n_unjoined > 0;
      stream->capture = NULL;
      stream->n_unjoined = 0;
    }
  return unjoined;
}

cudaError_t
cudaStreamEndCapture (cudaStream_t  stream,
                      cudaGraph_t  *graph)
{
  FAKE_LOCK ();
  struct CUstream_st *self = resolve (stream);
  cudaError_t error = fake_cuda_enter ("cudaStreamEndCapture");
  gboolean unjoined;

  *graph = NULL;
  if (self == NULL || self->capture == NULL || self->capture->origin != self)
    return error == cudaSuccess ? fake_cuda_error (cudaErrorIllegalState) : error;
  unjoined = leave_capture ();
  if (error == cudaSuccess && capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != g_thread_self ())
    error = cudaErrorStreamCaptureWrongThread;
  if (error == cudaSuccess && capture->invalid)
    error = cudaErrorStreamCaptureInvalidated;
  if (error == cudaSuccess && unjoined)
    error = cudaErrorStreamCaptureUnjoined;
  if (error == cudaSuccess)
    {
      *graph = capture->graph;
      fake_cuda_add_object (*graph, "graph");
    }
  else
    graph_unref (capture->graph);
  g_clear_pointer (&capture, g_free);
  return fake_cuda_error (error);
}

cudaError_t
cudaStreamIsCapturing (cudaStream_t                  stream,
                       enum cudaStreamCaptureStatus *status)
{
  struct CUstream_st *self = resolve (stream);
  FAKE_ENTER ("cudaStreamIsCapturing");

  if (self == NULL)
    return fake_cuda_error (cudaErrorInvalidResourceHandle);
  *status = self->capture == NULL ? cudaStreamCaptureStatusNone
          : self->capture->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t
cudaGraphGetNodes (cudaGraph_t      graph,
                   cudaGraphNode_t *nodes,
                   size_t          *n_nodes)
{
  FAKE_ENTER ("cudaGraphGetNodes");
  if (!fake_cuda_has_object (graph, "graph") || nodes != NULL)
    return fake_cuda_error (cudaErrorInvalidValue);
  *n_nodes = graph->ops->len;
  return cudaSuccess;
}

cudaError_t
cudaGraphInstantiate (cudaGraphExec_t    *exec,
                      cudaGraph_t         graph,
                      unsigned long long  flags)
{
  FAKE_ENTER ("cudaGraphInstantiate");
  if (!fake_cuda_has_object (graph, "graph"))
    return fake_cuda_error (cudaErrorInvalidValue);
  *exec = g_new (struct CUgraphExec_st, 1);
  (*exec)->graph = graph;
  graph->n_refs++;
  fake_cuda_add_object (*exec, "executable graph");
  return cudaSuccess;
}

cudaError_t
cudaGraphUpload (cudaGraphExec_t exec,
                 cudaStream_t    stream)
{
  FAKE_ENTER ("cudaGraphUpload");
  return fake_cuda_error (fake_cuda_has_object (exec, "executable graph") ? cudaSuccess : cudaErrorInvalidValue);
}

static void
run_graph (void *data)
{
  struct CUgraph_st *graph = data;

  for (guint i = 0; i < graph->ops->len; i++)
    run_op (&g_array_index (graph->ops, FakeOp, i));
}

static void
free_graph (void *data)
{
  graph_unref (data);
}

cudaError_t
cudaGraphLaunch (cudaGraphExec_t exec,
                 cudaStream_t    stream)
{
  FAKE_ENTER ("cudaGraphLaunch");
  if (!fake_cuda_has_object (exec, "executable graph"))
    return fake_cuda_error (cudaErrorInvalidValue);
  exec->graph->n_refs++;
  return fake_stream_queue (stream, (FakeOp) { run_graph, exec->graph, free_graph, FALSE });
}

cudaError_t
cudaGraphExecDestroy (cudaGraphExec_t exec)
{
  FAKE_LOCK ();
  cudaError_t error = fake_cuda_enter ("cudaGraphExecDestroy");

  if (!fake_cuda_remove_object (exec, "executable graph"))
    return error == cudaSuccess ? fake_cuda_error (cudaErrorInvalidValue) : error;
  graph_unref (exec->graph);
  g_free (exec);
  return error;
}

cudaError_t
cudaGraphDestroy (cudaGraph_t graph)
{
  FAKE_LOCK ();
  cudaError_t error = fake_cuda_enter ("cudaGraphDestroy");

  if (!fake_cuda_remove_object (graph, "graph"))
    return error == cudaSuccess ? fake_cuda_error (cudaErrorInvalidValue) : error;
  graph_unref (graph);
  return error;
}
