/* fake-cuda-graph.c — work that is captured, and replayed as a graph
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fake-cuda-stream.h"

FakeCapture *fake_capture;
static GPrivate capture_mode;

/* ---- capture ---- */

cudaError_t
fake_refuse_in_capture (void)
{
  const enum cudaStreamCaptureMode mine = GPOINTER_TO_INT (g_private_get (&capture_mode));

  if (fake_capture == NULL || fake_capture->mode == cudaStreamCaptureModeRelaxed || mine == cudaStreamCaptureModeRelaxed ||
      (fake_capture->mode == cudaStreamCaptureModeThreadLocal && fake_capture->thread != g_thread_self ()))
    return cudaSuccess;
  fake_capture->invalid = TRUE;
  return fake_cuda_error (cudaErrorStreamCaptureUnsupported);
}

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
  struct CUstream_st *self = fake_stream_resolve (stream);
  FAKE_ENTER ("cudaStreamBeginCapture");

  if (self == NULL)
    return fake_cuda_error (cudaErrorInvalidResourceHandle);
  if (self == fake_stream_resolve (NULL))
    return fake_cuda_error (cudaErrorStreamCaptureUnsupported);
  if (fake_capture != NULL)
    return fake_cuda_error (cudaErrorIllegalState);
  fake_capture = g_new0 (FakeCapture, 1);
  fake_capture->graph = g_new0 (struct CUgraph_st, 1);
  fake_capture->graph->ops = g_array_new (FALSE, FALSE, sizeof (FakeOp));
  g_array_set_clear_func (fake_capture->graph->ops, fake_op_clear);
  fake_capture->graph->n_refs = 1;
  fake_capture->origin = self;
  fake_capture->mode = mode;
  fake_capture->thread = g_thread_self ();
  self->capture = fake_capture;
  return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture (cudaStream_t  stream,
                      cudaGraph_t  *graph)
{
  FAKE_LOCK ();
  struct CUstream_st *self = fake_stream_resolve (stream);
  cudaError_t error = fake_cuda_enter ("cudaStreamEndCapture");
  gboolean unjoined;

  *graph = NULL;
  if (self == NULL || self->capture == NULL || self->capture->origin != self)
    return error == cudaSuccess ? fake_cuda_error (cudaErrorIllegalState) : error;
  unjoined = fake_streams_leave_capture ();
  if (error == cudaSuccess && fake_capture->mode != cudaStreamCaptureModeRelaxed && fake_capture->thread != g_thread_self ())
    error = cudaErrorStreamCaptureWrongThread;
  if (error == cudaSuccess && fake_capture->invalid)
    error = cudaErrorStreamCaptureInvalidated;
  if (error == cudaSuccess && unjoined)
    error = cudaErrorStreamCaptureUnjoined;
  if (error == cudaSuccess)
    {
      *graph = fake_capture->graph;
      fake_cuda_add_object (*graph, "graph");
    }
  else
    graph_unref (fake_capture->graph);
  g_clear_pointer (&fake_capture, g_free);
  return fake_cuda_error (error);
}

cudaError_t
cudaStreamIsCapturing (cudaStream_t                  stream,
                       enum cudaStreamCaptureStatus *status)
{
  struct CUstream_st *self = fake_stream_resolve (stream);
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
    fake_op_run (&g_array_index (graph->ops, FakeOp, i));
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
