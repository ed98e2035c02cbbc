/* fake-cuda-memory.c — device and pinned memory with guards, and copies
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "fake-cuda-private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN
#endif
#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* In front of and behind every allocation; also its alignment, which is the runtime's. */
#define GUARD_SIZE 256
#define GUARD_BYTE 0xa5

typedef struct
{
  guint8 *block;      /* guard, payload, guard */
  gsize size;         /* of the payload */
  gboolean device;
} Allocation;

/* Sorted by address: kernels ask for it with every pointer. */
static GTree *allocations;
static gsize allocated, peak;

static int
compare (gconstpointer a,
         gconstpointer b,
         gpointer      data)
{
  return a < b ? -1 : a > b;
}

static void
set_guards (const Allocation *self,
            gboolean          closed)
{
#ifdef HAVE_ASAN
  if (closed)
    {
      ASAN_POISON_MEMORY_REGION (self->block, GUARD_SIZE);
      ASAN_POISON_MEMORY_REGION (self->block + GUARD_SIZE + self->size, GUARD_SIZE);
    }
  else
    ASAN_UNPOISON_MEMORY_REGION (self->block, self->size + 2 * GUARD_SIZE);
#endif
}

static void
check_guards (const Allocation *self)
{
  const guint8 *behind = self->block + GUARD_SIZE + self->size;

  set_guards (self, FALSE);
  for (gsize i = 0; i < GUARD_SIZE; i++)
    if (self->block[i] != GUARD_BYTE || behind[i] != GUARD_BYTE)
      {
        fprintf (stderr, "fake-cuda: somebody wrote %s the %zu bytes of %s memory at %p\n",
                 self->block[i] != GUARD_BYTE ? "before" : "behind", self->size,
                 self->device ? "device" : "pinned", (void *) (self->block + GUARD_SIZE));
        abort ();
      }
  set_guards (self, TRUE);
}

static gboolean
check_one (gpointer key,
           gpointer value,
           gpointer data)
{
  check_guards (value);
  return FALSE;
}

void
fake_cuda_check_guards (void)
{
  FAKE_LOCK ();

  if (allocations != NULL)
    g_tree_foreach (allocations, check_one, NULL);
}

void
fake_memory_reset (void)
{
  peak = allocated;
}

size_t
fake_cuda_allocated (void)
{
  return allocated;
}

size_t
fake_cuda_peak (void)
{
  return peak;
}

static cudaError_t
allocate (void   **memory,
          gsize    size,
          gboolean device)
{
  const FakeCudaConfig *config = fake_cuda_config ();
  Allocation *self;

  *memory = NULL;
  if (size == 0)
    return cudaSuccess;
  if (device && (size > config->memory || allocated + config->others > config->memory - size))
    return fake_cuda_error (cudaErrorMemoryAllocation);
  self = g_new (Allocation, 1);
  self->size = size;
  self->device = device;
  if (size > G_MAXSIZE - 2 * GUARD_SIZE ||
      posix_memalign ((void **) &self->block, GUARD_SIZE, size + 2 * GUARD_SIZE) != 0)
    {
      g_free (self);
      return fake_cuda_error (cudaErrorMemoryAllocation);
    }
  memset (self->block, GUARD_BYTE, GUARD_SIZE);
  memset (self->block + GUARD_SIZE, 0xff, size);   /* NaN */
  memset (self->block + GUARD_SIZE + size, GUARD_BYTE, GUARD_SIZE);
  set_guards (self, TRUE);
  if (device)
    {
      allocated += size;
      peak = MAX (peak, allocated);
    }
  if (allocations == NULL)
    allocations = g_tree_new_full (compare, NULL, NULL, g_free);
  *memory = self->block + GUARD_SIZE;
  g_tree_insert (allocations, *memory, self);
  fake_cuda_add_object (*memory, device ? "device memory" : "pinned memory");
  return cudaSuccess;
}

static cudaError_t
release (void     *memory,
         gboolean  device)
{
  Allocation *self;

  if (memory == NULL)
    return cudaSuccess;
  self = allocations != NULL ? g_tree_lookup (allocations, memory) : NULL;
  if (self == NULL || self->device != device)
    return fake_cuda_error (cudaErrorInvalidValue);
  check_guards (self);
  set_guards (self, FALSE);
  if (device)
    allocated -= self->size;
  free (self->block);
  g_tree_remove (allocations, memory);
  fake_cuda_remove_object (memory, device ? "device memory" : "pinned memory");
  return cudaSuccess;
}

/* The allocation that has @memory in it, or NULL. */
static const Allocation *
find (const void *memory)
{
  /* The first key above @memory; the allocation before it is the only one that can hold it. */
  GTreeNode *above, *node;
  const Allocation *self;

  if (allocations == NULL || memory == NULL)
    return NULL;
  above = g_tree_upper_bound (allocations, memory);
  node = above != NULL ? g_tree_node_previous (above) : g_tree_node_last (allocations);
  if (node == NULL)
    return NULL;
  self = g_tree_node_value (node);
  return (gsize) ((const guint8 *) memory - self->block - GUARD_SIZE) < self->size ? self : NULL;
}

static gsize
room (const Allocation *self,
      const void       *memory)
{
  return self->size - (gsize) ((const guint8 *) memory - self->block - GUARD_SIZE);
}

int
fake_cuda_is_device (const void *memory,
                     size_t      size)
{
  FAKE_LOCK ();
  const Allocation *self = find (memory);

  return self != NULL && size <= room (self, memory);
}

/* ---- allocation ---- */

cudaError_t
cudaMemGetInfo (size_t *available,
                size_t *total)
{
  const FakeCudaConfig *config = fake_cuda_config ();
  FAKE_ENTER ("cudaMemGetInfo");

  *total = config->memory;
  *available = config->memory - MIN (config->memory, config->others + allocated);
  return cudaSuccess;
}

static cudaError_t
enter_allocation (const char *name)
{
  cudaError_t error = fake_cuda_enter (name);

  return error == cudaSuccess ? fake_refuse_in_capture () : error;
}

cudaError_t
cudaMalloc (void  **memory,
            size_t  size)
{
  FAKE_LOCK ();
  cudaError_t error = enter_allocation ("cudaMalloc");

  return error == cudaSuccess ? allocate (memory, size, TRUE) : error;
}

cudaError_t
cudaMallocAsync (void         **memory,
                 size_t         size,
                 cudaStream_t   stream)
{
  FAKE_LOCK ();
  cudaError_t error = enter_allocation ("cudaMallocAsync");

  return error == cudaSuccess ? allocate (memory, size, TRUE) : error;
}

cudaError_t
cudaMallocHost (void   **memory,
                size_t   size)
{
  FAKE_LOCK ();
  cudaError_t error = enter_allocation ("cudaMallocHost");

  return error == cudaSuccess ? allocate (memory, size, FALSE) : error;
}

cudaError_t
cudaHostAlloc (void         **memory,
               size_t         size,
               unsigned int   flags)
{
  FAKE_LOCK ();
  cudaError_t error = enter_allocation ("cudaHostAlloc");

  return error == cudaSuccess ? allocate (memory, size, FALSE) : error;
}

/* The real one waits for the device, too. An error does not keep the memory. */
static cudaError_t
enter_and_release (const char *name,
                   void       *memory,
                   gboolean    device)
{
  FAKE_LOCK ();
  cudaError_t error = enter_allocation (name), result;

  fake_streams_drain ();
  result = release (memory, device);
  return error == cudaSuccess ? result : error;
}

cudaError_t
cudaFree (void *memory)
{
  return enter_and_release ("cudaFree", memory, TRUE);
}

cudaError_t
cudaFreeAsync (void         *memory,
               cudaStream_t  stream)
{
  return enter_and_release ("cudaFreeAsync", memory, TRUE);
}

cudaError_t
cudaFreeHost (void *memory)
{
  return enter_and_release ("cudaFreeHost", memory, FALSE);
}

cudaError_t
cudaHostGetDevicePointer (void         **device,
                          void          *host,
                          unsigned int   flags)
{
  const Allocation *self;
  FAKE_ENTER ("cudaHostGetDevicePointer");

  self = find (host);
  if (self == NULL || self->device)
    return fake_cuda_error (cudaErrorInvalidValue);
  *device = host;
  return cudaSuccess;
}

cudaError_t
cudaPointerGetAttributes (struct cudaPointerAttributes *attributes,
                          const void                   *memory)
{
  const Allocation *self;
  FAKE_ENTER ("cudaPointerGetAttributes");

  self = find (memory);
  *attributes = (struct cudaPointerAttributes) {
    .type = self == NULL ? cudaMemoryTypeUnregistered : self->device ? cudaMemoryTypeDevice : cudaMemoryTypeHost,
    .devicePointer = self == NULL ? NULL : (void *) memory,
    .hostPointer = self == NULL || self->device ? NULL : (void *) memory,
  };
  return cudaSuccess;
}

/* ---- copies ---- */

typedef struct
{
  guint8 *to;
  const guint8 *from;     /* NULL: filled with @value */
  int value;
  gsize to_pitch, from_pitch, width, height;
  gpointer owned;         /* a copy of pageable memory */
} Copy;

static void
copy_run (void *data)
{
  const Copy *self = data;

  for (gsize i = 0; i < self->height; i++)
    if (self->from != NULL)
      memcpy (self->to + i * self->to_pitch, self->from + i * self->from_pitch, self->width);
    else
      memset (self->to + i * self->to_pitch, self->value, self->width);
}

static void
copy_free (void *data)
{
  Copy *self = data;

  g_free (self->owned);
  g_free (self);
}

/* May a copy of this direction touch @size bytes there? */
static gboolean
is_valid_end (const void *memory,
              gsize       size,
              gboolean    device)
{
  const Allocation *self = find (memory);

  if (device)
    return self != NULL && self->device && size <= room (self, memory);
  return self == NULL ? memory != NULL : !self->device && size <= room (self, memory);
}

static cudaError_t
queue_copy (Copy                copy,
            enum cudaMemcpyKind kind,
            cudaStream_t        stream)
{
  const gsize to_size = copy.height > 0 ? (copy.height - 1) * copy.to_pitch + copy.width : 0;
  const gsize from_size = copy.height > 0 ? (copy.height - 1) * copy.from_pitch + copy.width : 0;
  gboolean pageable_target;
  cudaError_t error;

  if (copy.width == 0 || copy.height == 0)
    return cudaSuccess;
  if (kind == cudaMemcpyDefault)
    kind = (fake_cuda_is_device (copy.from, 1) && find (copy.from)->device ? 2 : 0) +
           (fake_cuda_is_device (copy.to, 1) && find (copy.to)->device ? 1 : 0);
  if ((unsigned) kind > cudaMemcpyDefault)
    return fake_cuda_error (cudaErrorInvalidMemcpyDirection);
  if (copy.to_pitch < copy.width || (copy.from != NULL && copy.from_pitch < copy.width) ||
      !is_valid_end (copy.to, to_size, kind & 1) || (copy.from != NULL && !is_valid_end (copy.from, from_size, (kind & 2) != 0)))
    return fake_cuda_error (cudaErrorInvalidValue);
  pageable_target = find (copy.to) == NULL;
  /* Pageable memory is read before the call returns, and written before it returns. In a graph it would be
   * what it is at the time of a replay, if it is there then. */
  if (fake_stream_is_capturing (stream) && (pageable_target || (copy.from != NULL && find (copy.from) == NULL)))
    {
      error = fake_refuse_in_capture ();
      return error != cudaSuccess ? error : fake_cuda_error (cudaErrorStreamCaptureUnsupported);
    }
  if (copy.from != NULL && find (copy.from) == NULL)
    copy.from = copy.owned = g_memdup2 (copy.from, from_size);
  error = fake_stream_queue (stream, (FakeOp) { copy_run, g_memdup2 (&copy, sizeof copy), copy_free, FALSE });
  if (error == cudaSuccess && pageable_target)
    fake_stream_drain (stream);
  return error;
}

cudaError_t
cudaMemcpyAsync (void               *to,
                 const void         *from,
                 size_t              size,
                 enum cudaMemcpyKind kind,
                 cudaStream_t        stream)
{
  FAKE_ENTER ("cudaMemcpyAsync");
  if (from == NULL && size > 0)
    return fake_cuda_error (cudaErrorInvalidValue);
  return queue_copy ((Copy) { .to = to, .from = from, .to_pitch = size, .from_pitch = size, .width = size, .height = 1 },
                     kind, stream);
}

cudaError_t
cudaMemcpy2DAsync (void               *to,
                   size_t              to_pitch,
                   const void         *from,
                   size_t              from_pitch,
                   size_t              width,
                   size_t              height,
                   enum cudaMemcpyKind kind,
                   cudaStream_t        stream)
{
  FAKE_ENTER ("cudaMemcpy2DAsync");
  if (from == NULL)
    return fake_cuda_error (cudaErrorInvalidValue);
  return queue_copy ((Copy) { .to = to, .from = from, .to_pitch = to_pitch, .from_pitch = from_pitch, .width = width, .height = height },
                     kind, stream);
}

cudaError_t
cudaMemcpy (void               *to,
            const void         *from,
            size_t              size,
            enum cudaMemcpyKind kind)
{
  cudaError_t error;
  FAKE_ENTER ("cudaMemcpy");

  error = fake_refuse_in_capture ();
  if (error != cudaSuccess)
    return error;
  if (from == NULL && size > 0)
    return fake_cuda_error (cudaErrorInvalidValue);
  /* The default stream waits for all others that were not created without that. */
  fake_streams_drain ();
  error = queue_copy ((Copy) { .to = to, .from = from, .to_pitch = size, .from_pitch = size, .width = size, .height = 1 }, kind, NULL);
  fake_stream_drain (NULL);
  return error;
}

cudaError_t
cudaMemsetAsync (void         *memory,
                 int           value,
                 size_t        size,
                 cudaStream_t  stream)
{
  FAKE_ENTER ("cudaMemsetAsync");
  return queue_copy ((Copy) { .to = memory, .value = value, .to_pitch = size, .width = size, .height = 1 },
                     cudaMemcpyDeviceToDevice, stream);
}

cudaError_t
cudaMemset (void   *memory,
            int     value,
            size_t  size)
{
  cudaError_t error;
  FAKE_ENTER ("cudaMemset");

  error = fake_refuse_in_capture ();
  if (error != cudaSuccess)
    return error;
  return queue_copy ((Copy) { .to = memory, .value = value, .to_pitch = size, .width = size, .height = 1 },
                     cudaMemcpyDeviceToDevice, NULL);
}
