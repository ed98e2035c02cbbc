/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge/dimr-reference-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/weights/dimr-safetensors-writer.h"

#include <math.h>
#include <string.h>

#define FORMAT "dimr-reference"
#define MAX_SIDE 16384 /* as pictures may have */

static const char * const names[] = { "counts", "deviations", "means", "quantiles", "sides", NULL };

gboolean
dimr_reference_save (const DimrReference  *self,
                     const char           *path,
                     const char           *classifier_hash,
                     GError              **error)
{
  const gint64 s = self->n_sides, k = self->n_classes, q = DIMR_REFERENCE_N_QUANTILES;
  g_autoptr (DimrTensor) counts = dimr_tensor_new_copy (DIMR_DTYPE_I32, &DIMR_SHAPE (k), self->counts);
  g_autoptr (DimrTensor) deviations = dimr_tensor_new_copy (DIMR_DTYPE_F32, &DIMR_SHAPE (s, k), self->deviations);
  g_autoptr (DimrTensor) means = dimr_tensor_new_copy (DIMR_DTYPE_F32, &DIMR_SHAPE (s, k), self->means);
  g_autoptr (DimrTensor) quantiles = dimr_tensor_new_copy (DIMR_DTYPE_F32, &DIMR_SHAPE (s, q), self->quantiles);
  g_autoptr (DimrTensor) sides = dimr_tensor_new_copy (DIMR_DTYPE_I32, &DIMR_SHAPE (s), self->sides);
  DimrTensor *tensors[] = { counts, deviations, means, quantiles, sides };
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);

  g_hash_table_insert (metadata, (gpointer) "format", (gpointer) FORMAT);
  g_hash_table_insert (metadata, (gpointer) "classifier", (gpointer) classifier_hash);
  return dimr_safetensors_write (path, names, tensors, metadata, NULL, NULL, NULL, error);
}

static gboolean
refuse (const char  *path,
        const char  *reason,
        GError     **error)
{
  dimr_error_set (error, DIMR_ERROR_FORMAT, _("“%s” is no reference of real pictures that can be used: %s"), path, reason);
  return FALSE;
}

/* Copies a tensor of exactly that form. */
static gboolean
read_tensor (DimrWeights  *weights,
             const char   *path,
             const char   *name,
             DimrDType     dtype,
             DimrShape     shape,
             gpointer      out,
             GError      **error)
{
  DimrTensor *tensor = dimr_weights_peek (weights, name);
  g_autofree char *wanted = dimr_shape_to_string (&shape), *reason = NULL;

  if (tensor == NULL || dimr_tensor_get_dtype (tensor) != dtype || !dimr_shape_equal (dimr_tensor_peek_shape (tensor), &shape))
    {
      reason = g_strdup_printf (_("“%s” should be %s of the form %s"), name, dimr_dtype_name (dtype), wanted);
      return refuse (path, reason, error);
    }
  memcpy (out, dimr_tensor_peek_data (tensor), dimr_tensor_get_n_bytes (tensor));
  return TRUE;
}

/* What no pictures can have led to would make comparisons of it that mean nothing. */
static gboolean
check_numbers (const DimrReference  *self,
               const char           *path,
               GError              **error)
{
  for (guint i = 0; i < self->n_sides; i++)
    if (self->sides[i] < 1 || self->sides[i] > MAX_SIDE || (i > 0 && self->sides[i] <= self->sides[i - 1]))
      return refuse (path, _("its sizes are not ascending numbers of pixels"), error);
  for (guint row = 0; row < self->n_classes; row++)
    if (self->counts[row] < 0)
      return refuse (path, _("it counts fewer than no pictures"), error);
  for (gsize i = 0; i < (gsize) self->n_sides * self->n_classes; i++)
    if (!isfinite (self->means[i]) || !isfinite (self->deviations[i]) || !(self->deviations[i] > 0))
      return refuse (path, _("a mean is no number, or a deviation is not above zero"), error);
  for (gsize i = 0; i < (gsize) self->n_sides * DIMR_REFERENCE_N_QUANTILES; i++)
    if (!isfinite (self->quantiles[i]) || (i % DIMR_REFERENCE_N_QUANTILES > 0 && self->quantiles[i] < self->quantiles[i - 1]))
      return refuse (path, _("its quantiles do not ascend"), error);
  return TRUE;
}

DimrReference *
dimr_reference_load (const char  *path,
                     const char  *classifier_hash,
                     guint        n_classes,
                     GError     **error)
{
  g_autoptr (DimrWeights) weights = dimr_weights_open (path, NULL, error);
  g_autoptr (DimrReference) self = NULL;
  DimrTensor *sides;
  gint64 s, k = n_classes;

  if (weights == NULL)
    return NULL;
  if (g_strcmp0 (dimr_weights_get_metadata (weights, "format"), FORMAT) != 0)
    {
      refuse (path, _("“dimr reference” did not write it"), error);
      return NULL;
    }
  if (g_strcmp0 (dimr_weights_get_metadata (weights, "classifier"), classifier_hash) != 0)
    {
      dimr_error_set (error, DIMR_ERROR_MODEL, _("“%s” was made with another classifier, whose numbers do not compare with this one's: "
                                                 "make one for it with “dimr reference”"), path);
      return NULL;
    }
  sides = dimr_weights_peek (weights, "sides");
  s = sides != NULL && dimr_tensor_peek_shape (sides)->n_dims == 1 ? dimr_tensor_peek_shape (sides)->dims[0] : 0;
  if (s < 1 || s > DIMR_REFERENCE_MAX_SIDES)
    {
      refuse (path, _("it has no list of sizes"), error);
      return NULL;
    }
  self = dimr_reference_alloc ((guint) s, n_classes);
  if (!read_tensor (weights, path, "sides", DIMR_DTYPE_I32, DIMR_SHAPE (s), self->sides, error) ||
      !read_tensor (weights, path, "counts", DIMR_DTYPE_I32, DIMR_SHAPE (k), self->counts, error) ||
      !read_tensor (weights, path, "means", DIMR_DTYPE_F32, DIMR_SHAPE (s, k), self->means, error) ||
      !read_tensor (weights, path, "deviations", DIMR_DTYPE_F32, DIMR_SHAPE (s, k), self->deviations, error) ||
      !read_tensor (weights, path, "quantiles", DIMR_DTYPE_F32, DIMR_SHAPE (s, DIMR_REFERENCE_N_QUANTILES), self->quantiles, error) ||
      !check_numbers (self, path, error))
    return NULL;
  return g_steal_pointer (&self);
}
