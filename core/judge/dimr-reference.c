/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge/dimr-reference-private.h"

#include <float.h>
#include <math.h>

DimrReference *
dimr_reference_alloc (guint n_sides,
                      guint n_classes)
{
  DimrReference *self = g_new0 (DimrReference, 1);
  const gsize n = (gsize) n_sides * n_classes;

  self->n_sides = n_sides;
  self->n_classes = n_classes;
  self->sides = g_new0 (gint32, n_sides);
  self->counts = g_new0 (gint32, n_classes);
  self->means = g_new0 (float, n);
  self->deviations = g_new0 (float, n);
  self->quantiles = g_new0 (float, (gsize) n_sides * DIMR_REFERENCE_N_QUANTILES);
  return self;
}

void
dimr_reference_free (DimrReference *self)
{
  g_return_if_fail (self != NULL);
  g_free (self->sides);
  g_free (self->counts);
  g_free (self->means);
  g_free (self->deviations);
  g_free (self->quantiles);
  g_free (self);
}

double
dimr_reference_surprise (float probability)
{
  /* What underflows is as surprising as floats can tell. */
  return -log (MAX ((double) probability, (double) FLT_MIN));
}

static guint
find_side (const DimrReference *self,
           guint                side)
{
  guint found = 0;

  for (guint i = 1; i < self->n_sides; i++)
    if ((guint) self->sides[i] <= side)
      found = i;
  return found;
}

guint
dimr_reference_choose_side (const DimrReference *self,
                            guint                side)
{
  return (guint) self->sides[find_side (self, side)];
}

gboolean
dimr_reference_knows (const DimrReference *self,
                      guint                row)
{
  return row < self->n_classes && self->counts[row] >= DIMR_REFERENCE_MIN_PICTURES;
}

/* Where @value stands among quantiles, linear between two of them. Equal quantiles count as below it. */
static double
find_share (const float *quantiles,
            double       value)
{
  guint low = 0, high = DIMR_REFERENCE_N_QUANTILES;

  while (low < high)
    {
      const guint middle = (low + high) / 2;

      if ((double) quantiles[middle] <= value)
        low = middle + 1;
      else
        high = middle;
    }
  if (low == 0)
    return 0;
  if (low == DIMR_REFERENCE_N_QUANTILES)
    return 1;
  return (low - 1 + (value - (double) quantiles[low - 1]) / ((double) quantiles[low] - (double) quantiles[low - 1])) /
         (DIMR_REFERENCE_N_QUANTILES - 1);
}

double
dimr_reference_compare (const DimrReference *self,
                        guint                side,
                        guint                row,
                        float                probability,
                        double              *surprise)
{
  const guint i = find_side (self, side);
  const gsize k = (gsize) i * self->n_classes + row;
  const double value = dimr_reference_surprise (probability);

  g_return_val_if_fail (dimr_reference_knows (self, row), 0);

  if (surprise != NULL)
    *surprise = value;
  return find_share (self->quantiles + (gsize) i * DIMR_REFERENCE_N_QUANTILES,
                     (value - (double) self->means[k]) / (double) self->deviations[k]);
}

guint
dimr_reference_get_n_known (const DimrReference *self)
{
  guint n = 0;

  for (guint row = 0; row < self->n_classes; row++)
    n += dimr_reference_knows (self, row);
  return n;
}

guint64
dimr_reference_get_n_pictures (const DimrReference *self)
{
  guint64 n = 0;

  for (guint row = 0; row < self->n_classes; row++)
    n += (guint64) self->counts[row];
  return n;
}
