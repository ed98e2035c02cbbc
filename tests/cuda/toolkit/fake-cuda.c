/* fake-cuda.c — errors, devices and the list of what exists
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fake-cuda-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FakeCudaConfig config;
GRecMutex fake_mutex;

static GHashTable *objects;      /* address → kind */
static unsigned long n_calls, fail_call, n_launches;
static cudaError_t fail_error, lost_error, last_error;
static gboolean lost_told;       /* by a call of this runtime, not of another one inside a library */
static const char *failed_call;

static int
number_of_environment (const char *name,
                       int         otherwise)
{
  const char *text = g_getenv (name);

  return text != NULL ? atoi (text) : otherwise;
}

static void
read_failure (void)
{
  const char *text = g_getenv ("FAKE_CUDA_FAIL"), *code = text != NULL ? strchr (text, ':') : NULL;

  if (code == NULL)
    return;
  fail_call = strtoul (text, NULL, 10);
  fail_error = (cudaError_t) atoi (code + 1);
}

static const FakeCudaConfig *
get_config (void)
{
  if (config.name != NULL)
    return &config;
  config = (FakeCudaConfig) {
    .n_devices = number_of_environment ("FAKE_CUDA_DEVICES", 1),
    .major = 9,
    .n_multiprocessors = 132,
    .driver_version = number_of_environment ("FAKE_CUDA_DRIVER", 13000),
    .blas_version = 130000,
    .memory = (gsize) number_of_environment ("FAKE_CUDA_MEMORY", 16 << 10) << 20,
    .others = (gsize) 1 << 30,
    .name = "Emulated GPU",
    .deferred = number_of_environment ("FAKE_CUDA_DEFERRED", FALSE),
    .order = (unsigned) number_of_environment ("FAKE_CUDA_ORDER", 0),
  };
  read_failure ();
  return &config;
}

FakeCudaConfig *
fake_cuda_config (void)
{
  get_config ();
  return &config;
}

void
fake_cuda_reset (void)
{
  FAKE_LOCK ();

  config.name = NULL;
  n_calls = fail_call = n_launches = 0;
  fail_error = lost_error = last_error = cudaSuccess;
  failed_call = NULL;
  lost_told = FALSE;
  fake_streams_reset ();
  fake_memory_reset ();
}

/* ---- errors ---- */

/* After these the real process can do nothing but end. */
static gboolean
is_fatal (cudaError_t error)
{
  switch ((int) error)
    {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorUnknown:
      return TRUE;
    default:
      return FALSE;
    }
}

void
fake_cuda_fail_at (unsigned long call_number,
                   cudaError_t   error)
{
  FAKE_LOCK ();

  n_calls = 0;
  fail_call = call_number;
  fail_error = error;
  failed_call = NULL;
}

unsigned long
fake_cuda_count_calls (void)
{
  return n_calls;
}

const char *
fake_cuda_failed_call (void)
{
  return failed_call;
}

cudaError_t
fake_cuda_error (cudaError_t error)
{
  FAKE_LOCK ();

  if (error != cudaSuccess)
    last_error = error;
  if (is_fatal (error))
    {
      lost_error = error;
      lost_told = TRUE;
    }
  return error;
}

cudaError_t
fake_cuda_enter (const char *name)
{
  FAKE_LOCK ();
  const int driver = get_config ()->driver_version;

  if (++n_calls == fail_call)
    {
      failed_call = name;
      return fake_cuda_error (fail_error);
    }
  if (lost_error != cudaSuccess)
    return fake_cuda_error (lost_error);
  /* A driver of the runtime's major version or a newer one; an older one at least says what it is. */
  if (driver / 1000 < CUDART_VERSION / 1000 && strstr (name, "GetVersion") == NULL)
    return fake_cuda_error (cudaErrorInsufficientDriver);
  return cudaSuccess;
}

cudaError_t
fake_cuda_enter_apart (const char *name)
{
  FAKE_LOCK ();
  const cudaError_t before = last_error;
  const gboolean told = lost_told;
  const cudaError_t error = fake_cuda_enter (name);

  last_error = before;
  lost_told = told;
  return error;
}

cudaError_t
cudaGetLastError (void)
{
  FAKE_LOCK ();
  const gboolean unseen = lost_error != cudaSuccess && !lost_told;
  cudaError_t error = unseen ? fake_cuda_enter_apart ("cudaGetLastError") : fake_cuda_enter ("cudaGetLastError");

  if (error == cudaSuccess || unseen)
    error = last_error;
  last_error = unseen ? cudaSuccess : lost_error;
  return error;
}

cudaError_t
cudaPeekAtLastError (void)
{
  FAKE_LOCK ();
  cudaError_t error = fake_cuda_enter ("cudaPeekAtLastError");

  return error == cudaSuccess ? last_error : error;
}

static const struct { cudaError_t error; const char *name; } error_names[] = {
#define NAME(error) { error, #error }
  NAME (cudaSuccess), NAME (cudaErrorInvalidValue), NAME (cudaErrorMemoryAllocation),
  NAME (cudaErrorInitializationError), NAME (cudaErrorCudartUnloading), NAME (cudaErrorInvalidConfiguration),
  NAME (cudaErrorInvalidHostPointer), NAME (cudaErrorInvalidDevicePointer), NAME (cudaErrorInvalidMemcpyDirection),
  NAME (cudaErrorStubLibrary), NAME (cudaErrorInsufficientDriver), NAME (cudaErrorCallRequiresNewerDriver),
  NAME (cudaErrorDevicesUnavailable), NAME (cudaErrorMissingConfiguration), NAME (cudaErrorInvalidDeviceFunction),
  NAME (cudaErrorNoDevice), NAME (cudaErrorInvalidDevice), NAME (cudaErrorStartupFailure),
  NAME (cudaErrorInvalidKernelImage), NAME (cudaErrorDeviceUninitialized), NAME (cudaErrorNoKernelImageForDevice),
  NAME (cudaErrorECCUncorrectable), NAME (cudaErrorInvalidPtx), NAME (cudaErrorNvlinkUncorrectable),
  NAME (cudaErrorJitCompilerNotFound), NAME (cudaErrorUnsupportedPtxVersion), NAME (cudaErrorContained),
  NAME (cudaErrorSharedObjectSymbolNotFound), NAME (cudaErrorSharedObjectInitFailed),
  NAME (cudaErrorOperatingSystem), NAME (cudaErrorInvalidResourceHandle), NAME (cudaErrorIllegalState),
  NAME (cudaErrorSymbolNotFound), NAME (cudaErrorNotReady), NAME (cudaErrorIllegalAddress),
  NAME (cudaErrorLaunchOutOfResources), NAME (cudaErrorLaunchTimeout), NAME (cudaErrorContextIsDestroyed),
  NAME (cudaErrorAssert), NAME (cudaErrorHostMemoryAlreadyRegistered), NAME (cudaErrorHostMemoryNotRegistered),
  NAME (cudaErrorHardwareStackError), NAME (cudaErrorIllegalInstruction), NAME (cudaErrorMisalignedAddress),
  NAME (cudaErrorInvalidAddressSpace), NAME (cudaErrorInvalidPc), NAME (cudaErrorLaunchFailure),
  NAME (cudaErrorTensorMemoryLeak), NAME (cudaErrorNotPermitted), NAME (cudaErrorNotSupported),
  NAME (cudaErrorSystemNotReady), NAME (cudaErrorSystemDriverMismatch), NAME (cudaErrorCompatNotSupportedOnDevice),
  NAME (cudaErrorMpsConnectionFailed), NAME (cudaErrorMpsClientTerminated),
  NAME (cudaErrorStreamCaptureUnsupported), NAME (cudaErrorStreamCaptureInvalidated),
  NAME (cudaErrorStreamCaptureMerge), NAME (cudaErrorStreamCaptureUnmatched), NAME (cudaErrorStreamCaptureUnjoined),
  NAME (cudaErrorStreamCaptureIsolation), NAME (cudaErrorStreamCaptureImplicit), NAME (cudaErrorCapturedEvent),
  NAME (cudaErrorStreamCaptureWrongThread), NAME (cudaErrorTimeout), NAME (cudaErrorGraphExecUpdateFailure),
  NAME (cudaErrorExternalDevice), NAME (cudaErrorUnknown),
#undef NAME
};

const char *
cudaGetErrorName (cudaError_t error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (error_names); i++)
    if (error_names[i].error == error)
      return error_names[i].name;
  return "unrecognized error code";
}

const char *
cudaGetErrorString (cudaError_t error)
{
  return cudaGetErrorName (error);
}

/* ---- what exists ---- */

void
fake_cuda_add_object (const void *object,
                      const char *kind)
{
  FAKE_LOCK ();

  if (objects == NULL)
    objects = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (objects, (gpointer) object, (gpointer) kind);
}

int
fake_cuda_remove_object (const void *object,
                         const char *kind)
{
  FAKE_LOCK ();

  if (objects == NULL || g_strcmp0 (g_hash_table_lookup (objects, object), kind) != 0)
    return FALSE;
  g_hash_table_remove (objects, object);
  return TRUE;
}

int
fake_cuda_has_object (const void *object,
                      const char *kind)
{
  FAKE_LOCK ();

  return objects != NULL && g_strcmp0 (g_hash_table_lookup (objects, object), kind) == 0;
}

unsigned
fake_cuda_count_objects (void)
{
  return objects != NULL ? g_hash_table_size (objects) : 0;
}

void
fake_cuda_print_objects (void)
{
  GHashTableIter iter;
  gpointer object, kind;

  if (objects == NULL)
    return;
  g_hash_table_iter_init (&iter, objects);
  while (g_hash_table_iter_next (&iter, &object, &kind))
    fprintf (stderr, "not released: %s %p\n", (const char *) kind, object);
}

void
fake_count_launch (void)
{
  n_launches++;
}

unsigned long
fake_cuda_count_launches (void)
{
  return n_launches;
}

/* ---- devices ---- */

cudaError_t
cudaDriverGetVersion (int *version)
{
  FAKE_ENTER ("cudaDriverGetVersion");
  *version = get_config ()->driver_version;
  return cudaSuccess;
}

cudaError_t
cudaRuntimeGetVersion (int *version)
{
  FAKE_ENTER ("cudaRuntimeGetVersion");
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t
cudaGetDeviceCount (int *count)
{
  *count = 0;
  {
    FAKE_ENTER ("cudaGetDeviceCount");
    if (get_config ()->n_devices == 0)
      return fake_cuda_error (cudaErrorNoDevice);
    *count = get_config ()->n_devices;
  }
  return cudaSuccess;
}

static GPrivate chosen_device;

int
fake_current_device (void)
{
  return GPOINTER_TO_INT (g_private_get (&chosen_device));
}

cudaError_t
cudaGetDevice (int *device)
{
  FAKE_ENTER ("cudaGetDevice");
  *device = fake_current_device ();
  return cudaSuccess;
}

static cudaError_t
check_device (int device)
{
  return fake_cuda_error (device < 0 || device >= get_config ()->n_devices ? cudaErrorInvalidDevice : cudaSuccess);
}

cudaError_t
cudaSetDevice (int device)
{
  FAKE_ENTER ("cudaSetDevice");
  if (check_device (device) != cudaSuccess)
    return cudaErrorInvalidDevice;
  g_private_set (&chosen_device, GINT_TO_POINTER (device));
  return cudaSuccess;
}

cudaError_t
cudaInitDevice (int          device,
                unsigned int device_flags,
                unsigned int flags)
{
  FAKE_ENTER ("cudaInitDevice");
  return check_device (device);
}

cudaError_t
cudaSetDeviceFlags (unsigned int flags)
{
  FAKE_ENTER ("cudaSetDeviceFlags");
  return cudaSuccess;
}

size_t
fake_cuda_shared_optin (void)
{
  const FakeCudaConfig *it = get_config ();

  if (it->major == 7)
    return 64 * 1024;
  if (it->major == 8 && (it->minor == 0 || it->minor == 7))
    return 163 * 1024;
  return it->major == 8 || it->major >= 12 ? 99 * 1024 : 227 * 1024;
}

cudaError_t
cudaGetDeviceProperties (struct cudaDeviceProp *properties,
                         int                    device)
{
  FAKE_ENTER ("cudaGetDeviceProperties");
  if (check_device (device) != cudaSuccess)
    return cudaErrorInvalidDevice;
  *properties = (struct cudaDeviceProp) {
    .totalGlobalMem = get_config ()->memory,
    .sharedMemPerBlock = 48 * 1024,
    .warpSize = 32,
    .maxThreadsPerBlock = 1024,
    .maxThreadsDim = { 1024, 1024, 64 },
    .maxGridSize = { G_MAXINT, 65535, 65535 },
    .major = get_config ()->major,
    .minor = get_config ()->minor,
    .multiProcessorCount = get_config ()->n_multiprocessors,
    .pciBusID = device + 1,
    .memoryBusWidth = 5120,
    .l2CacheSize = 50 << 20,
    .maxThreadsPerMultiProcessor = 2048,
    .sharedMemPerMultiprocessor = fake_cuda_shared_optin () + 1024,
    .sharedMemPerBlockOptin = fake_cuda_shared_optin (),
  };
  g_strlcpy (properties->name, get_config ()->name, sizeof properties->name);
  return cudaSuccess;
}

cudaError_t
cudaDeviceGetAttribute (int                *value,
                        enum cudaDeviceAttr attribute,
                        int                 device)
{
  FAKE_ENTER ("cudaDeviceGetAttribute");
  if (check_device (device) != cudaSuccess)
    return cudaErrorInvalidDevice;
  switch (attribute)
    {
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 48 * 1024; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrClockRate: *value = 1980000; break;
    case cudaDevAttrMultiProcessorCount: *value = get_config ()->n_multiprocessors; break;
    case cudaDevAttrKernelExecTimeout: *value = 0; break;
    case cudaDevAttrIntegrated: *value = 0; break;
    case cudaDevAttrMemoryClockRate: *value = 2619000; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = 5120; break;
    case cudaDevAttrL2CacheSize: *value = 50 << 20; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    case cudaDevAttrComputeCapabilityMajor: *value = get_config ()->major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = get_config ()->minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = (int) fake_cuda_shared_optin () + 1024; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int) fake_cuda_shared_optin (); break;
    case cudaDevAttrMemoryPoolsSupported: *value = 1; break;
    default: return fake_cuda_error (cudaErrorInvalidValue);
    }
  return cudaSuccess;
}

cudaError_t
cudaDeviceGetPCIBusId (char *id,
                       int   len,
                       int   device)
{
  FAKE_ENTER ("cudaDeviceGetPCIBusId");
  if (check_device (device) != cudaSuccess)
    return cudaErrorInvalidDevice;
  g_snprintf (id, (gulong) len, "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}

cudaError_t
cudaDeviceSynchronize (void)
{
  cudaError_t error;
  FAKE_ENTER ("cudaDeviceSynchronize");

  error = fake_refuse_in_capture ();
  if (error == cudaSuccess)
    fake_streams_drain ();
  return error;
}

cudaError_t
cudaDeviceReset (void)
{
  FAKE_ENTER ("cudaDeviceReset");
  fake_streams_drain ();
  return cudaSuccess;
}

/* ---- kernels ---- */

static GHashTable *shared_limits;   /* kernel → bytes */

size_t
fake_cuda_shared_limit (const void *kernel)
{
  FAKE_LOCK ();
  const gsize allowed = shared_limits != NULL ? GPOINTER_TO_SIZE (g_hash_table_lookup (shared_limits, kernel)) : 0;

  return MAX (allowed, 48 * 1024);
}

cudaError_t
cudaFuncSetAttribute (const void            *function,
                      enum cudaFuncAttribute attribute,
                      int                    value)
{
  FAKE_ENTER ("cudaFuncSetAttribute");
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
    return cudaSuccess;
  if (value < 0 || (gsize) value > fake_cuda_shared_optin ())
    return fake_cuda_error (cudaErrorInvalidValue);
  if (shared_limits == NULL)
    shared_limits = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (shared_limits, (gpointer) function, GSIZE_TO_POINTER ((gsize) value));
  return cudaSuccess;
}

cudaError_t
cudaOccupancyMaxActiveBlocksPerMultiprocessor (int        *n_blocks,
                                               const void *function,
                                               int         block_size,
                                               size_t      dynamic_shared_size)
{
  FAKE_ENTER ("cudaOccupancyMaxActiveBlocksPerMultiprocessor");
  *n_blocks = (int) MIN (2048 / (gsize) MAX (block_size, 1), (fake_cuda_shared_optin () + 1024) / (dynamic_shared_size + 1024));
  return cudaSuccess;
}
