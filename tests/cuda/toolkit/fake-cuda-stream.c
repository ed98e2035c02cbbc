/* fake-cuda-stream.c — streams, events, and the work that is queued on them
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fake-cuda-stream.h"

#include <string.h>

static struct CUstream_st default_stream = { .waiting = G_QUEUE_INIT };
static GPtrArray *streams;

struct CUstream_st *
fake_stream_resolve (cudaStream_t stream)
{
  if (stream == NULL || stream == cudaStreamLegacy || stream == cudaStreamPerThread)
    return &default_stream;
  return fake_cuda_has_object (stream, "stream") ? stream : NULL;
}

gboolean
fake_stream_is_capturing (cudaStream_t stream)
{
  struct CUstream_st *self = fake_stream_resolve (stream);

  return self != NULL && self->capture != NULL;
}

/* ---- work ---- */

void
fake_op_run (const FakeOp *op)
{
  if (op->kernel)
    fake_count_launch ();
  op->run (op->data);
}

void
fake_op_clear (gpointer data)
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
      fake_op_run (op);
      fake_op_clear (op);
      g_free (op);
    }
}

void
fake_stream_drain (cudaStream_t stream)
{
  struct CUstream_st *self = fake_stream_resolve (stream);

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
  struct CUstream_st *self = fake_stream_resolve (stream);

  if (self == NULL)
    {
      fake_op_clear (&op);
      return fake_cuda_error (cudaErrorInvalidResourceHandle);
    }
  if (self == &default_stream && fake_capture != NULL && fake_capture->mode != cudaStreamCaptureModeRelaxed)
    {
      fake_capture->invalid = TRUE;
      fake_op_clear (&op);
      return fake_cuda_error (cudaErrorStreamCaptureImplicit);
    }
  if (self->capture != NULL)
    {
      if (self->capture->invalid)
        {
          fake_op_clear (&op);
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
  fake_op_run (&op);
  fake_op_clear (&op);
  return cudaSuccess;
}

cudaError_t
fake_cuda_enqueue (cudaStream_t   stream,
                   void         (*run)       (void *data),
                   void          *data,
                   void         (*free_data) (void *data))
{
  FAKE_LOCK ();
  const struct CUstream_st *self = fake_stream_resolve (stream);
  const FakeOp op = { run, data, free_data, TRUE };

  /* A kernel goes to a stream of the thread's current device. */
  if (self != NULL && self != &default_stream && self->device != fake_current_device ())
    {
      fake_op_clear ((gpointer) &op);
      return fake_cuda_error (cudaErrorInvalidResourceHandle);
    }
  return fake_stream_queue (stream, op);
}

gboolean
fake_streams_leave_capture (void)
{
  gboolean unjoined = FALSE;

  for (guint i = 0; i < streams->len; i++)
    {
      struct CUstream_st *stream = g_ptr_array_index (streams, i);

      if (stream->capture != fake_capture)
        continue;
      unjoined |= stream != fake_capture->origin && stream->n_unjoined > 0;
      stream->capture = NULL;
      stream->n_unjoined = 0;
    }
  return unjoined;
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
  (*stream)->device = fake_current_device ();
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

  if (fake_stream_resolve (stream) != stream || stream == NULL)
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
  struct CUstream_st *self = fake_stream_resolve (stream);
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

  if (error == cudaSuccess && !g_queue_is_empty (&fake_stream_resolve (stream)->waiting))
    error = fake_cuda_error (cudaErrorNotReady);
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
  (*event)->device = fake_current_device ();
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
  struct CUstream_st *self = fake_stream_resolve (stream);
  FAKE_ENTER ("cudaEventRecord");

  if (!fake_cuda_has_object (event, "event") || self == NULL || (self != &default_stream && self->device != event->device))
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
  struct CUstream_st *self = fake_stream_resolve (stream);
  Wait wait;
  FAKE_ENTER ("cudaStreamWaitEvent");

  if (!fake_cuda_has_object (event, "event") || self == NULL)
    return fake_cuda_error (cudaErrorInvalidResourceHandle);
  if (event->stream == NULL)
    return cudaSuccess;
  if (event->capture != NULL)
    {
      /* Joins the capture, or joins the other stream's part of it. */
      if (event->capture != fake_capture || (self->capture != NULL && self->capture != fake_capture))
        return fake_cuda_error (cudaErrorStreamCaptureMerge);
      self->capture = fake_capture;
      event->stream->n_unjoined = 0;
      self->n_unjoined += self != fake_capture->origin;
      return cudaSuccess;
    }
  if (self->capture != NULL)
    {
      fake_capture->invalid = TRUE;
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
  if (event->capture == fake_capture)
    fake_capture->invalid = TRUE;
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
      error = fake_cuda_error (event->stream->n_ran < event->position ? cudaErrorNotReady : cudaSuccess);
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
    return fake_cuda_error (cudaErrorNotReady);
  *milliseconds = (float) (end->time - start->time) / 1e3f;
  return cudaSuccess;
}
