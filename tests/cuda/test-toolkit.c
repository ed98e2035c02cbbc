/* test-toolkit.c — the runtime that is none behaves as the real one where the backend depends on it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "toolkit-case.h"

#include <cublasLt.h>
#include <math.h>
#include <string.h>

static void
test_memory (void)
{
  gsize available, total, before;
  void *memory = NULL, *more = NULL;
  float *host, x[4] = { 1, 2, 3, 4 }, y[4];

  set_up ();
  fake_cuda_config ()->memory = 100000;
  fake_cuda_config ()->others = 40000;
  OK (cudaMemGetInfo (&before, &total));
  g_assert_cmpuint (before, ==, 60000);
  g_assert_cmpuint (total, ==, 100000);
  OK (cudaMalloc (&memory, 50000));
  OK (cudaMemGetInfo (&available, &total));
  g_assert_cmpuint (available, ==, 10000);
  g_assert_cmpint (cudaMalloc (&more, 10001), ==, cudaErrorMemoryAllocation);
  g_assert_null (more);
  g_assert_cmpint (cudaGetLastError (), ==, cudaErrorMemoryAllocation);
  g_assert_cmpint (cudaGetLastError (), ==, cudaSuccess);
  g_assert_cmpuint (((gsize) memory) % 256, ==, 0);
  g_assert_true (isnan (((float *) memory)[0]));

  OK (cudaMallocHost ((void **) &host, 16));
  memcpy (host, x, 16);
  OK (cudaMemcpyAsync (memory, host, 16, cudaMemcpyHostToDevice, NULL));
  OK (cudaMemcpyAsync ((char *) memory + 16, memory, 16, cudaMemcpyDeviceToDevice, NULL));
  OK (cudaMemcpy (y, (char *) memory + 16, 16, cudaMemcpyDeviceToHost));
  g_assert_cmpmem (x, 16, y, 16);
  g_assert_cmpint (cudaMemcpy (y, memory, 16, cudaMemcpyHostToDevice), ==, cudaErrorInvalidValue);
  g_assert_cmpint (cudaMemcpy ((char *) memory + 49990, x, 16, cudaMemcpyHostToDevice), ==, cudaErrorInvalidValue);
  OK (cudaMemset (memory, 0, 50000));
  g_assert_cmpfloat (((float *) memory)[12499], ==, 0);
  OK (cudaFreeHost (host));
  g_assert_cmpint (cudaFree ((char *) memory + 256), ==, cudaErrorInvalidValue);
  OK (cudaFree (memory));
  g_assert_cmpuint (fake_cuda_peak (), ==, 50000);
  g_assert_cmpuint (fake_cuda_allocated (), ==, 0);
  cudaGetLastError ();
}

#if !defined __SANITIZE_ADDRESS__
static void
test_guards (void)
{
  if (g_test_subprocess ())
    {
      guint8 *memory;

      OK (cudaMalloc ((void **) &memory, 100));
      memory[101] = 0;
      cudaFree (memory);
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*wrote behind the 100 bytes of device memory*");
}
#endif

/* ---- streams ---- */

typedef struct
{
  int *log;
  int value;
} Note;

static void
take_note (void *data)
{
  const Note *note = data;

  *note->log = *note->log * 10 + note->value;
}

static void
note (cudaStream_t  stream,
      int          *log,
      int           value)
{
  const Note it = { log, value };

  OK (fake_cuda_enqueue (stream, take_note, g_memdup2 (&it, sizeof it), g_free));
}

static void
test_deferred (void)
{
  cudaStream_t one, two;
  cudaEvent_t event;
  int log = 0, x = 7, *memory, *pinned;

  set_up ();
  fake_cuda_config ()->deferred = TRUE;
  OK (cudaStreamCreate (&one));
  OK (cudaStreamCreate (&two));
  OK (cudaEventCreateWithFlags (&event, cudaEventDisableTiming));
  note (one, &log, 1);
  OK (cudaEventRecord (event, one));
  note (one, &log, 2);
  OK (cudaStreamWaitEvent (two, event, 0));
  note (two, &log, 3);
  g_assert_cmpint (log, ==, 0);
  g_assert_cmpint (cudaStreamQuery (two), ==, cudaErrorNotReady);
  g_assert_cmpint (cudaGetLastError (), ==, cudaErrorNotReady);
  OK (cudaStreamSynchronize (two));
  g_assert_cmpint (log, ==, 13);
  OK (cudaEventSynchronize (event));
  g_assert_cmpint (log, ==, 13);
  OK (cudaDeviceSynchronize ());
  g_assert_cmpint (log, ==, 132);

  /* Pageable memory is taken at once, pinned memory when its turn comes. */
  OK (cudaMalloc ((void **) &memory, 8));
  OK (cudaMallocHost ((void **) &pinned, 4));
  *pinned = 7;
  OK (cudaMemcpyAsync (memory, &x, 4, cudaMemcpyHostToDevice, one));
  OK (cudaMemcpyAsync (memory + 1, pinned, 4, cudaMemcpyHostToDevice, one));
  x = *pinned = 8;
  OK (cudaStreamSynchronize (one));
  g_assert_cmpint (memory[0], ==, 7);
  g_assert_cmpint (memory[1], ==, 8);
  OK (cudaFree (memory));
  OK (cudaFreeHost (pinned));
  OK (cudaEventDestroy (event));
  OK (cudaStreamDestroy (one));
  OK (cudaStreamDestroy (two));
}

static void
test_capture (void)
{
  cudaStream_t one, two;
  cudaEvent_t fork, join;
  cudaGraphExec_t exec;
  cudaGraph_t graph;
  int log = 0;
  gsize n;
  void *memory;

  set_up ();
  OK (cudaStreamCreate (&one));
  OK (cudaStreamCreate (&two));
  OK (cudaEventCreateWithFlags (&fork, cudaEventDisableTiming));
  OK (cudaEventCreateWithFlags (&join, cudaEventDisableTiming));

  /* A second stream that branches off and comes back is part of the graph. */
  OK (cudaStreamBeginCapture (one, cudaStreamCaptureModeThreadLocal));
  note (one, &log, 1);
  OK (cudaEventRecord (fork, one));
  OK (cudaStreamWaitEvent (two, fork, 0));
  note (two, &log, 2);
  OK (cudaEventRecord (join, two));
  OK (cudaStreamWaitEvent (one, join, 0));
  note (one, &log, 3);
  OK (cudaStreamEndCapture (one, &graph));
  g_assert_cmpint (log, ==, 0);
  OK (cudaGraphGetNodes (graph, NULL, &n));
  g_assert_cmpuint (n, ==, 3);
  OK (cudaGraphInstantiate (&exec, graph, 0));
  OK (cudaGraphLaunch (exec, one));
  OK (cudaGraphLaunch (exec, one));
  g_assert_cmpint (log, ==, 123123);
  OK (cudaGraphExecDestroy (exec));
  OK (cudaGraphDestroy (graph));

  /* What may not be captured spoils the capture and says so. */
  OK (cudaStreamBeginCapture (one, cudaStreamCaptureModeThreadLocal));
  g_assert_cmpint (cudaMalloc (&memory, 4), ==, cudaErrorStreamCaptureUnsupported);
  g_assert_cmpint (cudaStreamEndCapture (one, &graph), ==, cudaErrorStreamCaptureInvalidated);
  OK (cudaStreamBeginCapture (one, cudaStreamCaptureModeRelaxed));
  OK (cudaMalloc (&memory, 4));
  g_assert_cmpint (cudaStreamSynchronize (one), ==, cudaErrorStreamCaptureUnsupported);
  g_assert_cmpint (cudaStreamEndCapture (one, &graph), ==, cudaErrorStreamCaptureInvalidated);
  OK (cudaStreamBeginCapture (one, cudaStreamCaptureModeThreadLocal));
  g_assert_cmpint (cudaMemcpyAsync (memory, &log, 4, cudaMemcpyHostToDevice, one), ==, cudaErrorStreamCaptureUnsupported);
  g_assert_cmpint (cudaStreamEndCapture (one, &graph), ==, cudaErrorStreamCaptureInvalidated);
  OK (cudaFree (memory));
  OK (cudaStreamBeginCapture (one, cudaStreamCaptureModeThreadLocal));
  OK (cudaEventRecord (fork, one));
  OK (cudaStreamWaitEvent (two, fork, 0));
  note (two, &log, 2);
  g_assert_cmpint (cudaStreamEndCapture (one, &graph), ==, cudaErrorStreamCaptureUnjoined);
  g_assert_null (graph);
  g_assert_cmpint (cudaStreamEndCapture (one, &graph), ==, cudaErrorIllegalState);
  cudaGetLastError ();

  OK (cudaEventDestroy (fork));
  OK (cudaEventDestroy (join));
  OK (cudaStreamDestroy (one));
  OK (cudaStreamDestroy (two));
}

/* ---- errors ---- */

static void
test_injection (void)
{
  void *memory;
  cublasLtHandle_t handle;
  int count;

  set_up ();
  fake_cuda_fail_at (2, cudaErrorMemoryAllocation);
  OK (cudaGetDeviceCount (&count));
  g_assert_cmpint (cudaMalloc (&memory, 4), ==, cudaErrorMemoryAllocation);
  g_assert_cmpstr (fake_cuda_failed_call (), ==, "cudaMalloc");
  OK (cudaMalloc (&memory, 4));
  g_assert_cmpuint (fake_cuda_count_calls (), ==, 3);

  /* A release fails and releases all the same. */
  fake_cuda_fail_at (1, cudaErrorInvalidValue);
  g_assert_cmpint (cudaFree (memory), ==, cudaErrorInvalidValue);
  g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);

  fake_cuda_fail_at (1, cudaErrorMemoryAllocation);
  g_assert_cmpint (cublasLtCreate (&handle), ==, CUBLAS_STATUS_ALLOC_FAILED);
  OK (cublasLtCreate (&handle));

  /* After a fatal one there is nothing more to be had. */
  fake_cuda_fail_at (1, cudaErrorIllegalAddress);
  g_assert_cmpint (cudaMalloc (&memory, 4), ==, cudaErrorIllegalAddress);
  g_assert_cmpint (cudaGetLastError (), ==, cudaErrorIllegalAddress);
  g_assert_cmpint (cudaGetLastError (), ==, cudaErrorIllegalAddress);
  g_assert_cmpint (cudaMalloc (&memory, 4), ==, cudaErrorIllegalAddress);
  g_assert_cmpint (cublasLtDestroy (handle), ==, CUBLAS_STATUS_EXECUTION_FAILED);

  fake_cuda_reset ();
  fake_cuda_config ()->driver_version = 0;
  g_assert_cmpint (cudaGetDeviceCount (&count), ==, cudaErrorInsufficientDriver);
  g_assert_cmpint (count, ==, 0);
  fake_cuda_config ()->driver_version = 13000;
  fake_cuda_config ()->n_devices = 0;
  g_assert_cmpint (cudaGetDeviceCount (&count), ==, cudaErrorNoDevice);
}

/* A kernel goes to a stream of the current device, an event to one of its own. */
static void
test_devices (void)
{
  cudaStream_t stream;
  cudaEvent_t event;
  int log = 0;
  Note *it = g_new0 (Note, 1);

  set_up ();
  fake_cuda_config ()->n_devices = 2;
  it->log = &log;
  OK (cudaStreamCreate (&stream));
  OK (cudaSetDevice (1));
  OK (cudaEventCreate (&event));
  g_assert_cmpint (fake_cuda_enqueue (stream, take_note, it, g_free), ==, cudaErrorInvalidResourceHandle);
  g_assert_cmpint (cudaEventRecord (event, stream), ==, cudaErrorInvalidResourceHandle);
  OK (cudaSetDevice (0));
  note (stream, &log, 4);
  g_assert_cmpint (log, ==, 4);
  OK (cudaEventDestroy (event));
  OK (cudaStreamDestroy (stream));
  cudaGetLastError ();
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/toolkit/memory", test_memory);
#if !defined __SANITIZE_ADDRESS__
  g_test_add_func ("/toolkit/guards", test_guards);
#endif
  g_test_add_func ("/toolkit/deferred", test_deferred);
  g_test_add_func ("/toolkit/capture", test_capture);
  g_test_add_func ("/toolkit/devices", test_devices);
  g_test_add_func ("/toolkit/injection", test_injection);
  return g_test_run ();
}
