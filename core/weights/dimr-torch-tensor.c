/* A tensor of a pickle: offset, sizes and strides over a storage of the file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/base/dimr-checked.h"
#include "core/base/dimr-i18n.h"
#include "core/weights/dimr-refuse.h"
#include "core/weights/dimr-torch-private.h"

#include <string.h>

/* Tensors that have to be copied may use each byte of the file about once: a small file in which
 * thousands of transposed views share a storage would otherwise fill the memory. */
#define COPY_SLACK (16 << 20)

/* The last element that is touched, counted from the tensor's storage; all dimensions > 0. */
static gboolean
last_element (const DimrPickleTensor *tensor,
              guint64                *out)
{
  guint64 last = tensor->offset;

  for (guint i = 0; i < tensor->shape.n_dims; i++)
    {
      guint64 step;

      if (!dimr_checked_mul ((guint64) tensor->shape.dims[i] - 1, tensor->strides[i], &step) ||
          !dimr_checked_add (last, step, &last))
        return FALSE;
    }
  *out = last;
  return TRUE;
}

static gboolean
is_row_major (const DimrPickleTensor *tensor)
{
  guint64 expected = 1;

  for (guint i = tensor->shape.n_dims; i-- > 0;)
    {
      if (tensor->shape.dims[i] != 1 && tensor->strides[i] != expected)
        return FALSE;
      expected *= (guint64) tensor->shape.dims[i];
    }
  return TRUE;
}

/* Copies the elements in row-major order; every index has been checked. */
static void
gather (const DimrPickleTensor *tensor,
        const guint8           *storage,
        gsize                   n_bytes,
        gsize                   item,
        guint8                 *out)
{
  const guint n_dims = tensor->shape.n_dims;
  gint64 index[DIMR_MAX_DIMS] = { 0 };
  guint64 at = tensor->offset;

  for (gsize done = 0; done < n_bytes; done += item)
    {
      memcpy (out + done, storage + at * item, item);
      for (guint i = n_dims; i-- > 0;)
        {
          at += tensor->strides[i];
          if (++index[i] < tensor->shape.dims[i])
            break;
          at -= tensor->strides[i] * (guint64) tensor->shape.dims[i];
          index[i] = 0;
        }
    }
}

static DimrTensor *
copy_tensor (DimrTorchReader        *self,
             const DimrPickleTensor *tensor,
             guint64                 where,
             DimrDType               dtype,
             guint64                 storage_offset,
             guint64                 n_bytes)
{
  guint8 *data;

  self->n_copied_bytes += n_bytes;
  if (self->n_copied_bytes > (guint64) self->size + COPY_SLACK)
    return DIMR_TORCH_REFUSE (self, where, _("its tensors overlap into more data than the file has")), NULL;
  data = g_try_malloc (n_bytes);
  if (data == NULL)
    return DIMR_TORCH_REFUSE (self, where, _("memory does not suffice for one of its tensors")), NULL;
  gather (tensor, self->data + storage_offset, n_bytes, dimr_dtype_size (dtype), data);
  return dimr_tensor_new_take (dtype, &tensor->shape, data);
}

DimrTensor *
dimr_torch_make_tensor (DimrTorchReader *self,
                        DimrPickleNode   node)
{
  DimrPickleTensor tensor;
  DimrPickleStorage part;
  const DimrTorchStorage *storage;
  g_autofree char *key = NULL;
  guint64 n_bytes, last, where = dimr_pickle_where (self->pickle, node), offset;
  gsize item;

  dimr_pickle_get_tensor (self->pickle, node, &tensor);
  dimr_pickle_get_storage (self->pickle, tensor.storage, &part);
  key = g_strndup (part.key, part.n_key);
  storage = g_hash_table_lookup (self->storages, key);
  g_assert (storage != NULL && storage->placed);
  item = dimr_dtype_size (storage->dtype);

  if (!dimr_checked_range (part.view_offset, part.view_length, storage->n_elements))
    return DIMR_TORCH_REFUSE (self, where, _("a tensor lies outside its storage '%s'"), key), NULL;
  if (!dimr_shape_n_bytes (&tensor.shape, storage->dtype, &n_bytes))
    return DIMR_TORCH_REFUSE (self, where, _("the size of a tensor overflows")), NULL;
  /* The storage is in the file, so its bytes cannot overflow. */
  if (n_bytes > part.view_length * item)
    return DIMR_TORCH_REFUSE (self, where, _("a tensor is larger than its storage '%s'"), key), NULL;
  if (n_bytes == 0 ? tensor.offset > part.view_length
                   : !last_element (&tensor, &last) || last >= part.view_length)
    return DIMR_TORCH_REFUSE (self, where, _("a tensor reaches outside its storage '%s'"), key), NULL;

  offset = storage->offset + part.view_offset * item;
  if (n_bytes == 0 || is_row_major (&tensor))
    return dimr_tensor_new_for_bytes (storage->dtype, &tensor.shape, self->bytes, offset + tensor.offset * item,
                                      self->error);
  return copy_tensor (self, &tensor, where, storage->dtype, offset, n_bytes);
}
