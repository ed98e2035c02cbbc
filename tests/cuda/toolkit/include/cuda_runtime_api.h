/* cuda_runtime_api.h — calls of the CUDA runtime; see vector_types.h for what these headers are
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "driver_types.h"
#include "library_types.h"
#include "vector_types.h"

/* The oldest release that the backend supports. */
#define CUDART_VERSION 12040

#ifdef __cplusplus
#define TOOLKIT_DEFAULT(value) = value
extern "C" {
#else
#define TOOLKIT_DEFAULT(value)
#endif

/* errors */
cudaError_t cudaGetLastError (void);
cudaError_t cudaPeekAtLastError (void);
const char *cudaGetErrorName (cudaError_t error);
const char *cudaGetErrorString (cudaError_t error);

/* devices */
cudaError_t cudaDriverGetVersion (int *version);
cudaError_t cudaRuntimeGetVersion (int *version);
cudaError_t cudaGetDeviceCount (int *count);
cudaError_t cudaGetDevice (int *device);
cudaError_t cudaSetDevice (int device);
cudaError_t cudaInitDevice (int device, unsigned int device_flags, unsigned int flags);
cudaError_t cudaSetDeviceFlags (unsigned int flags);
cudaError_t cudaGetDeviceProperties (struct cudaDeviceProp *properties, int device);
cudaError_t cudaDeviceGetAttribute (int *value, enum cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceGetPCIBusId (char *id, int len, int device);
cudaError_t cudaDeviceSynchronize (void);
cudaError_t cudaDeviceReset (void);

/* memory */
cudaError_t cudaMemGetInfo (size_t *available, size_t *total);
cudaError_t cudaMalloc (void **memory, size_t size);
cudaError_t cudaFree (void *memory);
cudaError_t cudaMallocAsync (void **memory, size_t size, cudaStream_t stream);
cudaError_t cudaFreeAsync (void *memory, cudaStream_t stream);
cudaError_t cudaMallocHost (void **memory, size_t size);
cudaError_t cudaHostAlloc (void **memory, size_t size, unsigned int flags);
cudaError_t cudaHostGetDevicePointer (void **device, void *host, unsigned int flags);
cudaError_t cudaFreeHost (void *memory);
cudaError_t cudaPointerGetAttributes (struct cudaPointerAttributes *attributes, const void *memory);
cudaError_t cudaMemcpy (void *to, const void *from, size_t size, enum cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync (void *to, const void *from, size_t size, enum cudaMemcpyKind kind,
                             cudaStream_t stream TOOLKIT_DEFAULT (0));
cudaError_t cudaMemcpy2DAsync (void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                               size_t height, enum cudaMemcpyKind kind, cudaStream_t stream TOOLKIT_DEFAULT (0));
cudaError_t cudaMemset (void *memory, int value, size_t size);
cudaError_t cudaMemsetAsync (void *memory, int value, size_t size, cudaStream_t stream TOOLKIT_DEFAULT (0));

/* streams and events */
cudaError_t cudaDeviceGetStreamPriorityRange (int *least, int *greatest);
cudaError_t cudaStreamCreate (cudaStream_t *stream);
cudaError_t cudaStreamCreateWithFlags (cudaStream_t *stream, unsigned int flags);
cudaError_t cudaStreamCreateWithPriority (cudaStream_t *stream, unsigned int flags, int priority);
cudaError_t cudaStreamDestroy (cudaStream_t stream);
cudaError_t cudaStreamSynchronize (cudaStream_t stream);
cudaError_t cudaStreamQuery (cudaStream_t stream);
cudaError_t cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned int flags TOOLKIT_DEFAULT (0));
cudaError_t cudaLaunchHostFunc (cudaStream_t stream, cudaHostFn_t function, void *data);
cudaError_t cudaEventCreate (cudaEvent_t *event);
cudaError_t cudaEventCreateWithFlags (cudaEvent_t *event, unsigned int flags);
cudaError_t cudaEventDestroy (cudaEvent_t event);
cudaError_t cudaEventRecord (cudaEvent_t event, cudaStream_t stream TOOLKIT_DEFAULT (0));
cudaError_t cudaEventSynchronize (cudaEvent_t event);
cudaError_t cudaEventQuery (cudaEvent_t event);
cudaError_t cudaEventElapsedTime (float *milliseconds, cudaEvent_t start, cudaEvent_t end);

/* graphs */
cudaError_t cudaThreadExchangeStreamCaptureMode (enum cudaStreamCaptureMode *mode);
cudaError_t cudaStreamBeginCapture (cudaStream_t stream, enum cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture (cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaStreamIsCapturing (cudaStream_t stream, enum cudaStreamCaptureStatus *status);
cudaError_t cudaGraphGetNodes (cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n_nodes);
cudaError_t cudaGraphInstantiate (cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags TOOLKIT_DEFAULT (0));
cudaError_t cudaGraphUpload (cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphLaunch (cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy (cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy (cudaGraph_t graph);

/* kernels */
cudaError_t cudaFuncSetAttribute (const void *function, enum cudaFuncAttribute attribute, int value);
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor (int *n_blocks, const void *function, int block_size,
                                                           size_t dynamic_shared_size);

#ifdef __cplusplus
}
#endif
