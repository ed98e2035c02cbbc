/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-parameters.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/base/dimr-rng.h"
#include "core/model/dimr-network.h"

#include <math.h>
#include <string.h>

struct _DimrParameters
{
  GArray *list;         /* DimrParameter */
  gsize length;
  GBytes *bytes;        /* owns values */
  float *values;
  DimrWeights *weights; /* views of bytes */
};

static void
parameter_clear (gpointer data)
{
  g_free (((DimrParameter *) data)->name);
}

void
dimr_parameters_free (DimrParameters *self)
{
  g_return_if_fail (self != NULL);
  g_array_unref (self->list);
  g_clear_pointer (&self->weights, dimr_weights_unref);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_free (self);
}

/* The released code's rule is in the names; a classifier follows timm's: neither vectors nor what is added to the tokens. */
static gboolean
decays (const DimrConfig *config,
        const DimrNode   *node)
{
  if (!dimr_config_is_classifier (config))
    return strstr (node->name, ".nodecay_") == NULL;
  return node->shape.n_dims > 1 && strcmp (node->name, "pos_embed") != 0 && strcmp (node->name, "cls_token") != 0;
}

static gboolean
list_parameters (DimrParameters    *self,
                 const DimrConfig  *config,
                 GError           **error)
{
  g_autoptr (DimrGraph) graph = dimr_network_build (config, 1, 1, config->image_size, config->image_size, error);
  guint64 length = 0;

  if (graph == NULL)
    return FALSE;
  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      DimrParameter parameter;

      if (node->op != DIMR_OP_PARAM)
        continue;
      parameter = (DimrParameter){
        .name = g_strdup (node->name),
        .shape = node->shape,
        .first = length,
        .n = dimr_shape_n_elements (&node->shape),
        .decays = decays (config, node),
      };
      g_array_append_val (self->list, parameter);
      if (!dimr_checked_add (length, parameter.n, &length) || length > G_MAXSIZE / sizeof (float))
        {
          dimr_error_set (error, DIMR_ERROR_MEMORY, _("The network has more parameters than memory can hold"));
          return FALSE;
        }
    }
  self->length = length;
  return TRUE;
}

/* A number of the name, so that one parameter's start does not depend on the others. */
static guint64
image_of (const char *name)
{
  guint64 hash = 14695981039346656037u; /* FNV-1a */

  for (; *name != '\0'; name++)
    hash = (hash ^ (guint8) *name) * 1099511628211u;
  return hash & 0xffffffffffff;
}

/* Normal with standard deviation 0.02, cut at ±2 (which is a hundred deviations off, as in the released code). */
static void
fill_normal (const DimrParameter *parameter,
             guint64              seed,
             float               *values)
{
  dimr_rng_normal (seed, image_of (parameter->name), DIMR_STREAM_INITIAL, 0, values, parameter->n);
  for (gsize i = 0; i < parameter->n; i++)
    values[i] = CLAMP (values[i] * .02f, -2.f, 2.f);
}

/* Uniform in ±1/√fan, through the normal distribution function. */
static void
fill_uniform (const DimrParameter *parameter,
              gsize                fan,
              guint64              seed,
              float               *values)
{
  const double bound = 1 / sqrt ((double) fan);

  dimr_rng_normal (seed, image_of (parameter->name), DIMR_STREAM_INITIAL, 0, values, parameter->n);
  for (gsize i = 0; i < parameter->n; i++)
    values[i] = (float) (bound * erf ((double) values[i] / G_SQRT2));
}

static const DimrParameter *
find (const DimrParameters *self,
      const char           *name)
{
  for (guint i = 0; i < self->list->len; i++)
    if (strcmp (dimr_parameters_peek (self, i)->name, name) == 0)
      return dimr_parameters_peek (self, i);
  return NULL;
}

static gsize
fan_in (const DimrShape *shape)
{
  return dimr_shape_n_elements (shape) / (gsize) shape->dims[0];
}

/* Frequencies of Axial RoPE, as logarithms: π to 10 π, dealt out to the heads in turn. */
static void
fill_frequencies (const DimrParameter *parameter,
                  float               *values)
{
  const gint64 heads = parameter->shape.dims[0], n = parameter->shape.dims[1];

  for (gint64 h = 0; h < heads; h++)
    for (gint64 i = 0; i < n; i++)
      values[h * n + i] = (float) (log (G_PI) + G_LN10 * (double) (i * heads + h) / (double) (heads * n));
}

/* What begins at zero although it is a matrix: the modulation of AdaLN-Zero and of adaptive RMS norms, and what
 * DiT puts its result through, so that blocks begin as the identity. */
static gboolean
begins_at_zero (const char *name)
{
  return strstr (name, ".modulation.") != NULL || strstr (name, "adaLN_modulation.") != NULL ||
         g_str_has_suffix (name, ".norm.linear.weight") || g_str_has_prefix (name, "final_layer.linear.");
}

static void
initialise (const DimrParameters *self,
            const DimrParameter  *parameter,
            guint64               seed,
            float                *values)
{
  const char *name = parameter->name;

  for (gsize i = 0; i < parameter->n; i++)
    values[i] = 0;
  if (begins_at_zero (name))
    return;
  if (strstr (name, ".pos_emb.freqs_") != NULL)
    fill_frequencies (parameter, values);
  else if (g_str_has_suffix (name, ".qk_norm.scale"))
    for (gsize i = 0; i < parameter->n; i++)
      values[i] = (float) G_LN10;
  else if (parameter->shape.n_dims == 4)
    fill_uniform (parameter, fan_in (&parameter->shape), seed, values);
  else if (parameter->shape.n_dims >= 2)
    fill_normal (parameter, seed, values);
  else if (g_str_has_suffix (name, ".bias"))
    {
      /* Of a convolution: as its weight; of everything else: zero. */
      g_autofree char *base = g_strndup (name, strlen (name) - strlen (".bias")), *weight_name = g_strconcat (base, ".weight", NULL);
      const DimrParameter *weight = find (self, weight_name);

      if (weight != NULL && weight->shape.n_dims == 4)
        fill_uniform (parameter, fan_in (&weight->shape), seed, values);
    }
  else if (g_str_has_suffix (name, ".scale") || g_str_has_suffix (name, ".weight") ||
           ((g_str_has_suffix (name, ".param0") || g_str_has_suffix (name, ".param1")) && strstr (name, ".bias.") == NULL))
    for (gsize i = 0; i < parameter->n; i++)
      values[i] = 1;
}

static void
make_views (DimrParameters *self)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);

  for (guint i = 0; i < self->list->len; i++)
    {
      const DimrParameter *parameter = dimr_parameters_peek (self, i);

      g_hash_table_insert (tensors, g_strdup (parameter->name),
                           dimr_tensor_new_for_bytes (DIMR_DTYPE_F32, &parameter->shape, self->bytes,
                                                      parameter->first * sizeof (float), NULL));
    }
  self->weights = dimr_weights_new_for_tensors (tensors);
}

DimrParameters *
dimr_parameters_new (const DimrConfig  *config,
                     DimrWeights       *weights,
                     guint64            seed,
                     GError           **error)
{
  g_autoptr (DimrParameters) self = NULL;

  g_return_val_if_fail (config != NULL, NULL);

  self = g_new0 (DimrParameters, 1);
  self->list = g_array_new (FALSE, FALSE, sizeof (DimrParameter));
  g_array_set_clear_func (self->list, parameter_clear);
  if (!list_parameters (self, config, error))
    return NULL;
  self->values = g_try_new (float, MAX (self->length, 1));
  if (self->values == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY, _("There is no memory for %zu MiB of parameters"),
                      (self->length * sizeof (float)) >> 20);
      return NULL;
    }
  self->bytes = g_bytes_new_take (self->values, self->length * sizeof (float));
  make_views (self);
  if (weights != NULL)
    return dimr_parameters_read (self, weights, "", self->values, error) ? g_steal_pointer (&self) : NULL;
  for (guint i = 0; i < self->list->len; i++)
    initialise (self, dimr_parameters_peek (self, i), seed, self->values + dimr_parameters_peek (self, i)->first);
  return g_steal_pointer (&self);
}

guint
dimr_parameters_get_n (const DimrParameters *self)
{
  return self->list->len;
}

const DimrParameter *
dimr_parameters_peek (const DimrParameters *self,
                      guint                 i)
{
  return &g_array_index (self->list, DimrParameter, i);
}

gsize
dimr_parameters_get_length (const DimrParameters *self)
{
  return self->length;
}

float *
dimr_parameters_get_values (DimrParameters *self)
{
  return self->values;
}

DimrWeights *
dimr_parameters_peek_weights (DimrParameters *self)
{
  return self->weights;
}

void
dimr_parameters_list (const DimrParameters *self,
                      const float          *values,
                      const char           *prefix,
                      GPtrArray            *names,
                      GPtrArray            *tensors)
{
  for (guint i = 0; i < self->list->len; i++)
    {
      const DimrParameter *parameter = dimr_parameters_peek (self, i);

      g_ptr_array_add (names, g_strconcat (prefix, parameter->name, NULL));
      g_ptr_array_add (tensors, dimr_tensor_new_copy (DIMR_DTYPE_F32, &parameter->shape, values + parameter->first));
    }
}

gboolean
dimr_parameters_read (const DimrParameters  *self,
                      DimrWeights           *weights,
                      const char            *prefix,
                      float                 *values,
                      GError               **error)
{
  for (guint i = 0; i < self->list->len; i++)
    {
      const DimrParameter *parameter = dimr_parameters_peek (self, i);
      g_autofree char *name = g_strconcat (prefix, parameter->name, NULL);
      DimrTensor *tensor = dimr_weights_peek (weights, name);

      if (tensor == NULL || !dimr_shape_equal (dimr_tensor_peek_shape (tensor), &parameter->shape))
        {
          g_autofree char *shape = dimr_shape_to_string (&parameter->shape);

          dimr_error_set (error, DIMR_ERROR_MODEL,
                          tensor == NULL ? _("%s: the tensor '%s' is missing")
                                         : _("%s: the tensor '%s' does not have the shape that the configuration asks for"),
                          dimr_weights_get_path (weights) != NULL ? dimr_weights_get_path (weights) : _("The weights"), name);
          return FALSE;
        }
      dimr_tensor_read_f32 (tensor, 0, parameter->n, values + parameter->first);
    }
  return TRUE;
}
