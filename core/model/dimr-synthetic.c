/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-synthetic.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/model/dimr-network.h"

#include <math.h>
#include <string.h>

/* Elements between two looks at the cancellable. */
#define CHUNK (1 << 20)
/* What a depthwise convolution adds to its residual: it has no norm before it, so more would grow with every block. */
#define DEPTHWISE_GAIN 0.3

/* Of the values of one parameter. */
typedef struct
{
  double mean;
  double deviation;
} Spread;

static double
fan_in_deviation (const DimrShape *shape)
{
  double n = 1;

  for (guint i = 1; i < shape->n_dims; i++)
    n *= (double) shape->dims[i];
  return 1 / sqrt (n);
}

/* Told by the checkpoint's names: "….norm.scale.param0", "….upsample.0.weight.nodecay_bias", "….w0.bias", … */
static Spread
choose_spread (const char      *name,
               const DimrShape *shape)
{
  if (strstr (name, "embeds.") != NULL || strstr (name, "embeddings.") != NULL || strstr (name, "pos_embed") != NULL ||
      strstr (name, "embedding_table") != NULL || strstr (name, "label_emb") != NULL)
    return (Spread){ 0, 0.1 };
  if (shape->n_dims >= 2)
    return (Spread){ 0, fan_in_deviation (shape) * (shape->n_dims == 4 && shape->dims[1] == 1 ? DEPTHWISE_GAIN : 1) };
  if (strstr (name, ".nodecay_bias") != NULL)
    return (Spread){ 0, 1 };
  if (strstr (name, ".nodecay_weight") != NULL)
    return (Spread){ 0, 0.1 };
  if (strstr (name, ".scale") != NULL || strstr (name, ".weight") != NULL)
    return (Spread){ 1, 0.1 };
  return (Spread){ 0, 0.02 };
}

/* SplitMix64's mixing function (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). */
static guint64
mix (guint64 z)
{
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* Four uniform numbers add up to one that is about normal: each of the 16-bit quarters has the
 * variance 2^32 / 12. */
static float
draw (guint64 key,
      guint64 index,
      float   mean,
      float   factor)
{
  const guint64 z = mix (key + index * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));
  const gint32 sum = (gint32) (z & 0xffff) + (gint32) (z >> 16 & 0xffff) + (gint32) (z >> 32 & 0xffff) + (gint32) (z >> 48);

  return mean + factor * (float) (sum - 2 * 65535);
}

/* FALSE where it was cancelled. */
static gboolean
fill (gpointer      data,
      DimrDType     dtype,
      gsize         n,
      Spread        spread,
      guint64       key,
      GCancellable *cancellable)
{
  const float mean = (float) spread.mean, factor = (float) (spread.deviation * sqrt (3.0) / 65536);

  for (gsize first = 0; first < n; first += CHUNK)
    {
      const gsize end = MIN (first + CHUNK, n);

      if (g_cancellable_is_cancelled (cancellable))
        return FALSE;
      if (dtype == DIMR_DTYPE_F32)
        for (gsize i = first; i < end; i++)
          ((float *) data)[i] = draw (key, i, mean, factor);
      else
        for (gsize i = first; i < end; i++)
          ((guint16 *) data)[i] = dimr_f32_to_bf16 (draw (key, i, mean, factor));
    }
  return TRUE;
}

static DimrTensor *
make_tensor (const DimrNode  *node,
             DimrDType        wanted,
             guint64          seed,
             GCancellable    *cancellable,
             GError         **error)
{
  const DimrDType dtype = node->shape.n_dims >= 2 ? wanted : DIMR_DTYPE_F32;
  const gsize n = dimr_shape_n_elements (&node->shape);
  g_autofree gpointer data = g_try_malloc_n (n, dimr_dtype_size (dtype));

  if (data == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY,
                      _("There is not enough memory for the random weights of this model (%s); take a smaller one"), node->name);
      return NULL;
    }
  if (!fill (data, dtype, n, choose_spread (node->name, &node->shape), mix (seed ^ mix (g_str_hash (node->name))), cancellable))
    {
      g_cancellable_set_error_if_cancelled (cancellable, error);
      return NULL;
    }
  return dimr_tensor_new_take (dtype, &node->shape, g_steal_pointer (&data));
}

DimrWeights *
dimr_weights_new_synthetic (const DimrConfig  *config,
                            DimrDType          dtype,
                            guint64            seed,
                            GCancellable      *cancellable,
                            GError           **error)
{
  g_autoptr (GHashTable) tensors = NULL;
  g_autoptr (DimrGraph) graph = NULL;

  g_return_val_if_fail (config != NULL, NULL);
  g_return_val_if_fail (dtype == DIMR_DTYPE_F32 || dtype == DIMR_DTYPE_BF16, NULL);

  graph = dimr_network_build (config, 1, 1, config->image_size, config->image_size, error);
  if (graph == NULL)
    return NULL;
  tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      DimrTensor *tensor;

      if (node->op != DIMR_OP_PARAM)
        continue;
      tensor = make_tensor (node, dtype, seed, cancellable, error);
      if (tensor == NULL)
        return NULL;
      g_hash_table_insert (tensors, g_strdup (node->name), tensor);
    }
  return dimr_weights_new_for_tensors (g_steal_pointer (&tensors));
}
