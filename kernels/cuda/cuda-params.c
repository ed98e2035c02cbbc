/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

struct _CudaParam
{
  guint ref_count;  /* the table's own reference is one of them */
  DimrWeights *weights;
  GStrv names;
  CudaLayout layout;
  gpointer data;
  gsize size;
};

/* Invariant: a key of @table holds the address of the weights, which the value keeps alive, so an
 * address is never taken for that of newer weights. */
struct _CudaParams
{
  CudaDevice *device;
  GHashTable *table;
  guint generation;
};

static void
cuda_param_free (CudaParam *self)
{
  dimr_weights_unref (self->weights);
  g_strfreev (self->names);
  if (self->data != NULL)
    (void) cudaFree (self->data);
  g_free (self);
}

gconstpointer
cuda_param_peek (const CudaParam *self)
{
  return self->data;
}

CudaParam *
cuda_param_ref (CudaParam *self)
{
  self->ref_count++;
  return self;
}

void
cuda_param_unref (CudaParam *self)
{
  g_assert (self->ref_count > 0);
  if (--self->ref_count == 0)
    cuda_param_free (self);
}

CudaParams *
cuda_params_new (CudaDevice *device)
{
  CudaParams *self = g_new0 (CudaParams, 1);

  self->device = device;
  self->table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) cuda_param_unref);
  return self;
}

void
cuda_params_free (CudaParams *self)
{
  g_hash_table_unref (self->table);
  g_free (self);
}

static gboolean
is_unused (gpointer key,
           gpointer value,
           gpointer data)
{
  return ((CudaParam *) value)->ref_count == 1;
}

void
cuda_params_trim (CudaParams *self)
{
  if (self != NULL)
    g_hash_table_foreach_remove (self->table, is_unused, NULL);
}

guint64
cuda_params_get_unused (CudaParams *self)
{
  GHashTableIter iter;
  gpointer value;
  guint64 bytes = 0;

  if (self == NULL)
    return 0;
  g_hash_table_iter_init (&iter, self->table);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    if (is_unused (NULL, value, NULL))
      bytes += ((CudaParam *) value)->size;
  return bytes;
}

static DimrTensor *
find_tensor (DimrWeights  *weights,
             const char   *name,
             gsize         n_elements,
             GError      **error)
{
  DimrTensor *tensor = dimr_weights_peek (weights, name);

  if (tensor == NULL)
    dimr_error_set (error, DIMR_ERROR_MODEL, _("The weights have no tensor '%s'"), name);
  else if (dimr_tensor_get_n_elements (tensor) != n_elements)
    {
      g_autofree char *shape = dimr_shape_to_string (dimr_tensor_peek_shape (tensor));

      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("The tensor '%s' of the weights has shape %s, but the model needs %zu numbers there"),
                      name, shape, n_elements);
      return NULL;
    }
  return tensor;
}

static gsize
element_size (const CudaLayout *layout)
{
  if (layout->kind == CUDA_LAYOUT_E4M3)
    return 1;
  return layout->kind == CUDA_LAYOUT_BF16 || layout->kind == CUDA_LAYOUT_IMAGE_CONV_BF16 ? 2 : 4;
}

/* Elements from one name's first to the next one's. */
static gsize
stride_of (const CudaLayout *layout)
{
  return layout->stride != 0 ? layout->stride : layout->n_elements;
}

gsize
cuda_layout_scales (const CudaLayout *layout,
                    guint             n_names)
{
  return cuda_align (stride_of (layout) * n_names);
}

/* Bytes of @n_names parameters; more than any memory has where that is no number. */
static gsize
size_of (const CudaLayout *layout,
         guint             n_names)
{
  guint64 size;

  if (!dimr_checked_mul (stride_of (layout), n_names, &size) || !dimr_checked_mul (size, element_size (layout), &size))
    return G_MAXSIZE / 2;
  if (layout->kind == CUDA_LAYOUT_E4M3)
    return cuda_layout_scales (layout, n_names) + size / (layout->n_elements / layout->n) * sizeof (float);
  return size;
}

/* @n floats become half as many bytes. */
static void
round_in_place (float *values,
                gsize  n)
{
  guint16 *rounded = (guint16 *) values;

  for (gsize i = 0; i < n; i++)
    {
      float value;
      guint16 bits;

      memcpy (&value, (const guint8 *) values + i * sizeof value, sizeof value);
      bits = dimr_f32_to_bf16 (value);
      memcpy (rounded + i, &bits, sizeof bits);
    }
}

/* Small enough to be turned around on the host: [n, d, taps] → [n, taps, d], or [taps, n] where d is 1. */
static gboolean
upload_turned (CudaParams        *self,
               const DimrTensor  *tensor,
               const CudaLayout  *layout,
               gpointer           data,
               GError           **error)
{
  const gsize n = layout->n, taps = layout->taps, d = layout->n_elements / (n * taps);
  g_autofree float *in = dimr_tensor_dup_f32 (tensor), *out = g_try_new (float, layout->n_elements);

  if (in == NULL || out == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY,
                      _("There is no memory to load a convolution of %zu numbers; close other programs"), layout->n_elements);
      return FALSE;
    }
  for (gsize i = 0; i < n; i++)
    for (gsize c = 0; c < d; c++)
      for (gsize tap = 0; tap < taps; tap++)
        {
          const gsize to = layout->kind == CUDA_LAYOUT_DEPTHWISE           ? tap * n + i
                           : layout->kind == CUDA_LAYOUT_DEPTHWISE_FLIPPED ? (taps - 1 - tap) * n + i
                                                                           : (i * taps + tap) * d + c;

          out[to] = in[(i * d + c) * taps + tap];
        }
  if (layout->kind == CUDA_LAYOUT_IMAGE_CONV_BF16)
    round_in_place (out, layout->n_elements);
  return cuda_staging_copy_in (self->device->staging, out, data, layout->n_elements * element_size (layout), error);
}

/* Quantised on the device, from a bfloat16 copy that is gone when this returns. */
static gboolean
upload_float8 (CudaParams          *self,
               DimrWeights         *weights,
               const char * const  *names,
               guint                n_names,
               const CudaLayout    *layout,
               guint8              *data,
               GError             **error)
{
  const gsize stride = stride_of (layout), k = layout->n_elements / layout->n;
  const cudaStream_t stream = self->device->stream;
  float *scales = (float *) (data + cuda_layout_scales (layout, n_names));
  gpointer wide = cuda_device_alloc (self->device, 2 * layout->n_elements, _("The copy of a weight"), error);
  gboolean good = wide != NULL;

  for (guint i = 0; good && i < n_names; i++)
    good = cuda_staging_upload (self->device->staging, find_tensor (weights, names[i], layout->n_elements, NULL),
                                CUDA_TYPE_BF16, wide, error) &&
           cuda_device_check (self->device, cuda_quantize_rows (stream, wide, data + i * stride, scales + i * stride / k,
                                                                (int) layout->n, (int) k), error);
  good = good && cuda_device_check (self->device, cudaStreamSynchronize (stream), error);
  if (wide != NULL)
    (void) cudaFree (wide);
  return good;
}

static gboolean
upload (CudaParams         *self,
        DimrWeights        *weights,
        const char * const *names,
        guint               n_names,
        const CudaLayout   *layout,
        guint8             *data,
        GError            **error)
{
  const gsize stride = stride_of (layout);

  if (layout->kind == CUDA_LAYOUT_E4M3)
    return upload_float8 (self, weights, names, n_names, layout, data, error);
  for (guint i = 0; i < n_names; i++)
    {
      const DimrTensor *tensor = find_tensor (weights, names[i], layout->n_elements, error);
      guint8 *to = data + i * stride * element_size (layout);

      if (tensor == NULL)
        return FALSE;
      dimr_weights_prefetch (weights, tensor);
      if (layout->taps > 0)
        {
          if (!upload_turned (self, tensor, layout, to, error))
            return FALSE;
        }
      else if (!cuda_staging_upload (self->device->staging, tensor,
                                     layout->kind == CUDA_LAYOUT_BF16 ? CUDA_TYPE_BF16 : CUDA_TYPE_F32, to, error))
        return FALSE;
      dimr_weights_release (weights, tensor);
    }
  return TRUE;
}

static CudaParam *
prepare (CudaParams         *self,
         DimrWeights        *weights,
         const char * const *names,
         guint               n_names,
         const CudaLayout   *layout,
         GError            **error)
{
  g_autofree char *what = g_strdup_printf (_("The parameter '%s'"), names[0]);
  const gsize size = size_of (layout, n_names);
  CudaParam *param;
  gpointer data;

  for (guint i = 0; i < n_names; i++)
    if (find_tensor (weights, names[i], layout->n_elements, error) == NULL)
      return NULL;
  data = cuda_device_alloc (self->device, size, what, error);
  if (data == NULL)
    return NULL;

  param = g_new0 (CudaParam, 1);
  param->ref_count = 1;
  param->weights = dimr_weights_ref (weights);
  param->names = g_new0 (char *, n_names + 1);
  for (guint i = 0; i < n_names; i++)
    param->names[i] = g_strdup (names[i]);
  param->layout = *layout;
  param->data = data;
  param->size = size;
  if ((stride_of (layout) != layout->n_elements &&
       !cuda_device_check (self->device, cudaMemsetAsync (data, 0, size, self->device->stream), error)) ||
      !upload (self, weights, names, n_names, layout, data, error))
    {
      cuda_param_unref (param);
      return NULL;
    }
  return param;
}

CudaParam *
cuda_params_get (CudaParams         *self,
                 DimrWeights        *weights,
                 const char * const *names,
                 guint               n_names,
                 const CudaLayout   *layout,
                 GError            **error)
{
  g_autoptr (GString) key = g_string_new (NULL);
  CudaParam *param;

  g_string_printf (key, "%p %d %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT,
                   (void *) weights, layout->kind, layout->n_elements, layout->stride, layout->n, layout->taps);
  for (guint i = 0; i < n_names; i++)
    g_string_append_printf (key, " %s", names[i]);
  param = g_hash_table_lookup (self->table, key->str);
  if (param == NULL)
    {
      param = prepare (self, weights, names, n_names, layout, error);
      if (param == NULL)
        return NULL;
      g_hash_table_insert (self->table, g_strdup (key->str), param);
    }
  param->ref_count++;
  return param;
}

gboolean
cuda_params_reload (CudaParams   *self,
                    DimrWeights  *weights,
                    GError      **error)
{
  g_autoptr (GPtrArray) used = g_ptr_array_new ();
  GHashTableIter iter;
  CudaParam *param;

  self->generation++;
  /* Loading one may need memory and then trims the table, so the used ones are found first. The others go: their
   * values are old, and nobody waits for new ones. */
  g_hash_table_iter_init (&iter, self->table);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &param))
    if (param->weights == weights && is_unused (NULL, param, NULL))
      g_hash_table_iter_remove (&iter);
    else if (param->weights == weights)
      g_ptr_array_add (used, param);
  for (guint i = 0; i < used->len; i++)
    {
      param = g_ptr_array_index (used, i);
      if (!upload (self, weights, (const char * const *) param->names, g_strv_length (param->names), &param->layout, param->data,
                   error))
        return FALSE;
    }
  return TRUE;
}

guint
cuda_params_get_generation (CudaParams *self)
{
  return self->generation;
}

void
cuda_params_foreach (CudaParams    *self,
                     DimrWeights   *weights,
                     CudaParamFunc  func,
                     gpointer       data)
{
  GHashTableIter iter;
  CudaParam *param;

  g_hash_table_iter_init (&iter, self->table);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &param))
    for (guint i = 0; param->weights == weights && param->names[i] != NULL; i++)
      func (param, param->names[i], &param->layout,
            (guint8 *) param->data + i * stride_of (&param->layout) * element_size (&param->layout), data);
}
