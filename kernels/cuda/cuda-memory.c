/* cuda-memory.c — memory of the device, and the way into and out of it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

/* Two pieces of page-locked memory take turns: while one travels, the processor fills the other. */
#define PIECE ((gsize) 4 << 20)
/* Rows of a chunk: so many, even of one number of two bytes, keep an address aligned. */
#define CHUNK_MULTIPLE (CUDA_ALIGNMENT / 2)

struct _CudaStaging
{
  CudaDevice *device;
  guint8 *host[2];
  guint8 *raw[2];          /* on the device: what is converted there */
  cudaEvent_t sent[2];
  guint next;
};

gsize
cuda_align (gsize size)
{
  return (size + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
}

guint
cuda_alignment_after (gsize offset)
{
  guint alignment = CUDA_ALIGNMENT;

  while (offset % alignment != 0)
    alignment /= 2;
  return alignment;
}

gsize
cuda_chunk_rows (const CudaDevice *device,
                 gsize             n_rows,
                 gsize             row_bytes)
{
  return MIN (n_rows, MAX (device->chunk / row_bytes / CHUNK_MULTIPLE, 1) * CHUNK_MULTIPLE);
}

void
cuda_device_get_free (CudaDevice *self,
                      guint64    *total,
                      guint64    *available)
{
  size_t free_bytes = 0, all = 0;
  guint64 kept, usable;

  /* A device that does not answer has what it had: its next call tells what is wrong with it, and not
   * that memory is short. */
  if (cuda_device_enter (self, NULL) && cuda_device_check (self, cudaMemGetInfo (&free_bytes, &all), NULL))
    {
      /* What is free changes with every other program on the device, so some is left. */
      kept = MAX ((guint64) 512 << 20, (guint64) all / 20);
      usable = free_bytes + cuda_params_get_unused (self->params);
      self->total = all;
      self->available = usable - MIN (usable, kept);
    }
  *total = self->total;
  *available = self->available;
}

static void
set_memory_error (CudaDevice  *self,
                  gsize        size,
                  const char  *what,
                  GError     **error)
{
  size_t free_bytes = 0, all = 0;

  (void) cudaMemGetInfo (&free_bytes, &all);
  dimr_error_set (error, DIMR_ERROR_MEMORY,
                  _("%s needs %zu MiB of memory and %s has %zu MiB free; use a smaller batch or a smaller model"),
                  what, (size >> 20) + 1, self->name, (gsize) free_bytes >> 20);
}

gpointer
cuda_device_alloc (CudaDevice  *self,
                   gsize        size,
                   const char  *what,
                   GError     **error)
{
  void *data = NULL;
  cudaError_t status = cudaMalloc (&data, MAX (size, CUDA_ALIGNMENT));

  if (status == cudaErrorMemoryAllocation)
    {
      (void) cudaGetLastError ();
      cuda_params_trim (self->params);
      status = cudaMalloc (&data, MAX (size, CUDA_ALIGNMENT));
    }
  if (status == cudaErrorMemoryAllocation)
    {
      (void) cudaGetLastError ();
      set_memory_error (self, size, what, error);
      return NULL;
    }
  if (!cuda_device_check (self, status, error))
    return NULL;
  if (!cuda_device_check (self, cudaMemsetAsync (data, 0xff, MAX (size, CUDA_ALIGNMENT), self->stream), error))
    {
      (void) cudaFree (data);
      return NULL;
    }
  return data;
}

gpointer
cuda_device_alloc_host (CudaDevice  *self,
                        gsize        size,
                        GError     **error)
{
  void *data = NULL;
  const cudaError_t status = cudaMallocHost (&data, MAX (size, CUDA_ALIGNMENT));

  if (status == cudaErrorMemoryAllocation)
    {
      (void) cudaGetLastError ();
      dimr_error_set (error, DIMR_ERROR_MEMORY,
                      _("The computer has no %zu MiB that could be locked for %s; close other programs"),
                      (size >> 20) + 1, self->name);
      return NULL;
    }
  return cuda_device_check (self, status, error) ? data : NULL;
}

CudaStaging *
cuda_staging_new (CudaDevice  *device,
                  GError     **error)
{
  CudaStaging *self = g_new0 (CudaStaging, 1);

  self->device = device;
  for (guint i = 0; i < 2; i++)
    {
      self->host[i] = cuda_device_alloc_host (device, PIECE, error);
      self->raw[i] = self->host[i] != NULL ? cuda_device_alloc (device, PIECE, _("Loading a model"), error) : NULL;
      if (self->raw[i] == NULL ||
          !cuda_device_check (device, cudaEventCreateWithFlags (&self->sent[i], cudaEventDisableTiming), error))
        {
          cuda_staging_free (self);
          return NULL;
        }
    }
  return self;
}

void
cuda_staging_free (CudaStaging *self)
{
  for (guint i = 0; i < 2; i++)
    {
      if (self->sent[i] != NULL)
        (void) cudaEventDestroy (self->sent[i]);
      if (self->raw[i] != NULL)
        (void) cudaFree (self->raw[i]);
      if (self->host[i] != NULL)
        (void) cudaFreeHost (self->host[i]);
    }
  g_free (self);
}

/* The piece whose last journey has ended. */
static gboolean
take_piece (CudaStaging  *self,
            guint        *piece,
            GError      **error)
{
  *piece = self->next;
  self->next = 1 - self->next;
  return cuda_device_check (self->device, cudaEventSynchronize (self->sent[*piece]), error);
}

static gboolean
send_piece (CudaStaging  *self,
            guint         piece,
            gpointer      data,
            gsize         size,
            GError      **error)
{
  const cudaStream_t stream = self->device->stream;

  return cuda_device_check (self->device,
                            cudaMemcpyAsync (data, self->host[piece], size, cudaMemcpyHostToDevice, stream), error) &&
         cuda_device_check (self->device, cudaEventRecord (self->sent[piece], stream), error);
}

gboolean
cuda_staging_copy_in (CudaStaging    *self,
                      gconstpointer   host,
                      gpointer        data,
                      gsize           size,
                      GError        **error)
{
  for (gsize at = 0; at < size; at += PIECE)
    {
      const gsize count = MIN (PIECE, size - at);
      guint piece;

      if (!take_piece (self, &piece, error))
        return FALSE;
      memcpy (self->host[piece], (const guint8 *) host + at, count);
      if (!send_piece (self, piece, (guint8 *) data + at, count, error))
        return FALSE;
    }
  return TRUE;
}

/* Fills a piece with @count elements from @first on, as they are in the file where the device can convert
 * them, and says how they lie there. */
static CudaType
fill_piece (CudaStaging      *self,
            guint             piece,
            const DimrTensor *tensor,
            gsize             first,
            gsize             count)
{
  const DimrDType dtype = dimr_tensor_get_dtype (tensor);
  const gsize size = dimr_dtype_size (dtype);

  if (dtype == DIMR_DTYPE_F32 || dtype == DIMR_DTYPE_BF16)
    {
      memcpy (self->host[piece], (const guint8 *) dimr_tensor_peek_data (tensor) + first * size, count * size);
      return dtype == DIMR_DTYPE_F32 ? CUDA_TYPE_F32 : CUDA_TYPE_BF16;
    }
  dimr_tensor_read_f32 (tensor, first, count, (float *) (gpointer) self->host[piece]);
  return CUDA_TYPE_F32;
}

gboolean
cuda_staging_upload (CudaStaging       *self,
                     const DimrTensor  *tensor,
                     CudaType           type,
                     gpointer           data,
                     GError           **error)
{
  const gsize n = dimr_tensor_get_n_elements (tensor), step = PIECE / sizeof (float);
  CudaDevice *device = self->device;

  for (gsize first = 0; first < n; first += step)
    {
      const gsize count = MIN (step, n - first);
      guint8 *to = (guint8 *) data + first * cuda_type_size (type);
      CudaType from;
      guint piece;

      if (!take_piece (self, &piece, error))
        return FALSE;
      from = fill_piece (self, piece, tensor, first, count);
      if (from == type)
        {
          if (!send_piece (self, piece, to, count * cuda_type_size (type), error))
            return FALSE;
        }
      /* On one stream, so the conversion of this piece is over before the next copy into it. */
      else if (!send_piece (self, piece, self->raw[piece], count * cuda_type_size (from), error) ||
               !cuda_device_check (device, cuda_convert (device->stream, from, self->raw[piece], type, to, count), error))
        return FALSE;
    }
  return TRUE;
}

gboolean
cuda_staging_download (CudaStaging    *self,
                       gconstpointer   data,
                       DimrDType       dtype,
                       gsize           n,
                       float          *out,
                       GError        **error)
{
  const gsize size = dimr_dtype_size (dtype), step = PIECE / sizeof (float);
  const cudaStream_t stream = self->device->stream;

  for (gsize first = 0; first < n; first += step)
    {
      const gsize count = MIN (step, n - first);
      guint piece;

      if (!take_piece (self, &piece, error) ||
          !cuda_device_check (self->device,
                              cudaMemcpyAsync (self->host[piece], (const guint8 *) data + first * size, count * size,
                                               cudaMemcpyDeviceToHost, stream), error) ||
          !cuda_device_check (self->device, cudaStreamSynchronize (stream), error))
        return FALSE;
      for (gsize i = 0; i < count; i++)
        switch (dtype)
          {
          case DIMR_DTYPE_BF16: out[first + i] = dimr_bf16_to_f32 (((const guint16 *) (gpointer) self->host[piece])[i]); break;
          case DIMR_DTYPE_I32: out[first + i] = (float) ((const gint32 *) (gpointer) self->host[piece])[i]; break;
          default: out[first + i] = ((const float *) (gpointer) self->host[piece])[i]; break;
          }
    }
  return TRUE;
}
