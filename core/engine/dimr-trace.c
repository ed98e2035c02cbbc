/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-trace.h"

#include "core/model/dimr-network.h"

#include <string.h>

struct _DimrTrace
{
  guint n_images;
  const DimrConfig *config;
  gsize image_len;
  GArray *times;  /* double */
  GArray *conditions; /* float, likewise */
  GPtrArray *xs;  /* float [n_images, C, H, W] of each update */
  float *latent;  /* [n_images, C, H, W] */
};

DimrTrace *
dimr_trace_new (guint             n_images,
                const DimrConfig *config)
{
  DimrTrace *self = g_new0 (DimrTrace, 1);

  self->n_images = n_images;
  self->config = config;
  self->image_len = (gsize) config->channels * config->image_size * config->image_size;
  self->times = g_array_new (FALSE, FALSE, sizeof (double));
  self->conditions = g_array_new (FALSE, FALSE, sizeof (float));
  self->xs = g_ptr_array_new_with_free_func (g_free);
  self->latent = g_new0 (float, n_images * self->image_len);
  return self;
}

void
dimr_trace_free (DimrTrace *self)
{
  g_return_if_fail (self != NULL);
  g_array_unref (self->times);
  g_array_unref (self->conditions);
  g_ptr_array_unref (self->xs);
  g_free (self->latent);
  g_free (self);
}

void
dimr_trace_add_time (DimrTrace *self,
                     guint      first,
                     double     t,
                     double     condition)
{
  const float told = (float) condition;

  g_return_if_fail (self != NULL);
  if (first != 0)
    return;
  g_array_append_val (self->times, t);
  g_array_append_val (self->conditions, told);
}

void
dimr_trace_add_x (DimrTrace   *self,
                  guint        update,
                  guint        first,
                  guint        n,
                  const float *x)
{
  float *all;

  g_return_if_fail (self != NULL && first + n <= self->n_images);
  while (self->xs->len <= update)
    g_ptr_array_add (self->xs, g_new0 (float, self->n_images * self->image_len));
  all = g_ptr_array_index (self->xs, update);
  memcpy (all + first * self->image_len, x, n * self->image_len * sizeof (float));
}

void
dimr_trace_set_latent (DimrTrace   *self,
                       guint        first,
                       guint        n,
                       const float *x)
{
  g_return_if_fail (self != NULL && first + n <= self->n_images);
  memcpy (self->latent + first * self->image_len, x, n * self->image_len * sizeof (float));
}

GHashTable *
dimr_trace_steal_tensors (DimrTrace *self)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  gint64 n = self->n_images, c = self->config->channels, side = self->config->image_size;
  gsize len = self->n_images * self->image_len;
  float *xs = g_new (float, MAX (self->xs->len, 1) * len);
  DimrShape times_shape = DIMR_SHAPE (self->times->len);
  DimrShape xs_shape = DIMR_SHAPE (self->xs->len, n, c, side, side), latent_shape = DIMR_SHAPE (n, c, side, side);

  for (guint u = 0; u < self->xs->len; u++)
    memcpy (xs + u * len, g_ptr_array_index (self->xs, u), len * sizeof (float));
  g_hash_table_insert (tensors, g_strdup ("times"),
                       dimr_tensor_new_copy (DIMR_DTYPE_F64, &times_shape, self->times->data));
  g_hash_table_insert (tensors, g_strdup (dimr_network_get_time_input (self->config)),
                       dimr_tensor_new_copy (DIMR_DTYPE_F32, &times_shape, self->conditions->data));
  g_hash_table_insert (tensors, g_strdup ("xs"), dimr_tensor_new_take (DIMR_DTYPE_F32, &xs_shape, xs));
  g_hash_table_insert (tensors, g_strdup ("latent"),
                       dimr_tensor_new_take (DIMR_DTYPE_F32, &latent_shape, g_steal_pointer (&self->latent)));
  return tensors;
}
