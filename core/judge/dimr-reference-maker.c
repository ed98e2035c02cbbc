/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge/dimr-reference-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <math.h>
#include <stdlib.h>

/* Pictures of a class that are all named alike would make the least difference infinite. */
#define MIN_DEVIATION 0.01

typedef struct
{
  guint row;
  float surprise;
} Sample;

struct _DimrReferenceMaker
{
  guint n_sides;
  guint n_classes;
  guint *sides;
  GArray **samples;   /* [n_sides] of Sample */
};

DimrReferenceMaker *
dimr_reference_maker_new (const guint *sides,
                          guint        n_sides,
                          guint        n_classes)
{
  DimrReferenceMaker *self;

  g_return_val_if_fail (n_sides >= 1 && n_sides <= DIMR_REFERENCE_MAX_SIDES && n_classes > 0, NULL);

  self = g_new0 (DimrReferenceMaker, 1);
  self->n_sides = n_sides;
  self->n_classes = n_classes;
  self->sides = g_memdup2 (sides, n_sides * sizeof *sides);
  self->samples = g_new (GArray *, n_sides);
  for (guint i = 0; i < n_sides; i++)
    self->samples[i] = g_array_new (FALSE, FALSE, sizeof (Sample));
  return self;
}

void
dimr_reference_maker_free (DimrReferenceMaker *self)
{
  g_return_if_fail (self != NULL);
  for (guint i = 0; i < self->n_sides; i++)
    g_array_unref (self->samples[i]);
  g_free (self->samples);
  g_free (self->sides);
  g_free (self);
}

void
dimr_reference_maker_add (DimrReferenceMaker *self,
                          guint               side_index,
                          guint               row,
                          float               probability)
{
  const Sample sample = { row, (float) dimr_reference_surprise (probability) };

  g_return_if_fail (side_index < self->n_sides && row < self->n_classes);
  g_array_append_val (self->samples[side_index], sample);
}

/* Counts the pictures of every class. FALSE where @side_index has other numbers than the sizes before it. */
static gboolean
count (DimrReferenceMaker *self,
       guint               side_index,
       DimrReference      *reference)
{
  g_autofree gint32 *counts = g_new0 (gint32, self->n_classes);
  gboolean same = TRUE;

  for (guint i = 0; i < self->samples[side_index]->len; i++)
    counts[g_array_index (self->samples[side_index], Sample, i).row]++;
  for (guint row = 0; row < self->n_classes; row++)
    {
      same &= side_index == 0 || counts[row] == reference->counts[row];
      reference->counts[row] = counts[row];
    }
  return same;
}

/* Means and unbiased deviations of the classes, in two passes. */
static void
measure_classes (const DimrReferenceMaker *self,
                 guint                     side_index,
                 DimrReference            *reference)
{
  const GArray *samples = self->samples[side_index];
  g_autofree double *means = g_new0 (double, self->n_classes), *squares = g_new0 (double, self->n_classes);

  for (guint i = 0; i < samples->len; i++)
    {
      const Sample *sample = &g_array_index (samples, Sample, i);

      means[sample->row] += (double) sample->surprise / reference->counts[sample->row];
    }
  for (guint i = 0; i < samples->len; i++)
    {
      const Sample *sample = &g_array_index (samples, Sample, i);

      squares[sample->row] += pow ((double) sample->surprise - means[sample->row], 2);
    }
  for (guint row = 0; row < self->n_classes; row++)
    {
      const gsize k = (gsize) side_index * self->n_classes + row;

      reference->means[k] = (float) means[row];
      reference->deviations[k] = (float) MAX (sqrt (squares[row] / MAX (reference->counts[row] - 1, 1)), MIN_DEVIATION);
    }
}

static int
compare_floats (gconstpointer a,
                gconstpointer b)
{
  const float x = *(const float *) a, y = *(const float *) b;

  return (x > y) - (x < y);
}

/* What a picture would score if its class had been measured without it, as will be so for the pictures that are compared
 * later: of 25 in a class each one pulls the mean towards itself, and too many others would be flagged. @n: at least 3. */
static float
score_left_out (double surprise,
                double mean,
                double deviation,
                gint32 n)
{
  const double difference = surprise - mean, others = mean - difference / (n - 1);
  const double squares = deviation * deviation * (n - 1) - difference * difference * n / (n - 1);
  const double spread = MAX (sqrt (MAX (squares, 0) / (n - 2)), MIN_DEVIATION);

  return (float) ((surprise - others) / spread);
}

/* Of the pictures of all known classes. */
static void
measure_quantiles (const DimrReferenceMaker *self,
                   guint                     side_index,
                   DimrReference            *reference)
{
  const GArray *samples = self->samples[side_index];
  g_autofree float *scores = g_new (float, samples->len);
  float *quantiles = reference->quantiles + (gsize) side_index * DIMR_REFERENCE_N_QUANTILES;
  guint n = 0;

  for (guint i = 0; i < samples->len; i++)
    {
      const Sample *sample = &g_array_index (samples, Sample, i);
      const gsize k = (gsize) side_index * self->n_classes + sample->row;

      if (dimr_reference_knows (reference, sample->row))
        scores[n++] = score_left_out ((double) sample->surprise, (double) reference->means[k], (double) reference->deviations[k],
                                      reference->counts[sample->row]);
    }
  qsort (scores, n, sizeof *scores, compare_floats);
  for (guint i = 0; i < DIMR_REFERENCE_N_QUANTILES; i++)
    {
      const double at = (double) i * (n - 1) / (DIMR_REFERENCE_N_QUANTILES - 1);
      const guint below = (guint) at, above = MIN (below + 1, n - 1);

      quantiles[i] = (float) ((double) scores[below] + (at - below) * ((double) scores[above] - (double) scores[below]));
    }
}

DimrReference *
dimr_reference_maker_finish (DimrReferenceMaker  *self,
                             GError             **error)
{
  g_autoptr (DimrReference) reference = dimr_reference_alloc (self->n_sides, self->n_classes);

  for (guint i = 0; i < self->n_sides; i++)
    {
      reference->sides[i] = (gint32) self->sides[i];
      if (!count (self, i, reference))
        {
          dimr_error_refuse (error, _("There are other real pictures at %u pixels than at %u; was the folder changed meanwhile?"),
                             self->sides[i], self->sides[0]);
          return NULL;
        }
    }
  if (dimr_reference_get_n_known (reference) == 0)
    {
      dimr_error_refuse (error,
                         _("No class that the classifier knows has %d real pictures, the least that can be compared with: a picture "
                           "counts for a class by its recipe, or by a folder called after a WordNet id"), DIMR_REFERENCE_MIN_PICTURES);
      return NULL;
    }
  for (guint i = 0; i < self->n_sides; i++)
    {
      measure_classes (self, i, reference);
      measure_quantiles (self, i, reference);
    }
  return g_steal_pointer (&reference);
}
