/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge/dimr-frechet.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/judge/dimr-symmetric.h"

#include <math.h>

struct _DimrMoments
{
  guint d;
  guint64 n;
  double *mean;    /* [d] */
  double *spread;  /* [d, d]: sums of products of differences from the mean */
  double *before;  /* [d]: a sample's differences from the mean before it */
};

DimrMoments *
dimr_moments_new (guint n_features)
{
  DimrMoments *self = g_new0 (DimrMoments, 1);

  self->d = n_features;
  self->mean = g_new0 (double, n_features);
  self->spread = g_new0 (double, (gsize) n_features * n_features);
  self->before = g_new (double, n_features);
  return self;
}

void
dimr_moments_free (DimrMoments *self)
{
  g_return_if_fail (self != NULL);
  g_free (self->mean);
  g_free (self->spread);
  g_free (self->before);
  g_free (self);
}

/* Welford's update, which loses nothing where the mean is far from zero. */
void
dimr_moments_add (DimrMoments *self,
                  const float *features)
{
  const guint d = self->d;
  double share;

  self->n++;
  share = ((double) self->n - 1) / (double) self->n;
  for (guint i = 0; i < d; i++)
    self->before[i] = (double) features[i] - self->mean[i];
  for (guint i = 0; i < d; i++)
    for (guint j = 0; j < d; j++)
      self->spread[(gsize) i * d + j] += share * self->before[i] * self->before[j];
  for (guint i = 0; i < d; i++)
    self->mean[i] += self->before[i] / (double) self->n;
}

guint64
dimr_moments_get_n (const DimrMoments *self)
{
  return self->n;
}

/* The unbiased covariance (transfer full). */
static double *
dup_covariance (const DimrMoments *self)
{
  const gsize length = (gsize) self->d * self->d;
  double *covariance = g_new (double, length);

  for (gsize i = 0; i < length; i++)
    covariance[i] = self->spread[i] / (double) (self->n - 1);
  return covariance;
}

/* a b, all [n, n] */
static void
multiply (const double *a,
          const double *b,
          guint         n,
          double       *product)
{
  for (guint i = 0; i < n; i++)
    {
      double *row = product + (gsize) i * n;

      for (guint j = 0; j < n; j++)
        row[j] = 0;
      for (guint k = 0; k < n; k++)
        for (guint j = 0; j < n; j++)
          row[j] += a[(gsize) i * n + k] * b[(gsize) k * n + j];
    }
}

/* tr (S1 S2)^½: the eigenvalues of S1 S2 are those of the symmetric S1^½ S2 S1^½. */
static double
trace_of_root (const DimrMoments *a,
               const DimrMoments *b)
{
  const guint d = a->d;
  const gsize length = (gsize) d * d;
  g_autofree double *first = dup_covariance (a), *second = dup_covariance (b);
  g_autofree double *root = g_new (double, length), *half = g_new (double, length), *values = g_new (double, d);
  double trace = 0;

  dimr_symmetric_sqrt (first, d, root);
  multiply (root, second, d, half);
  multiply (half, root, d, first);
  dimr_symmetric_eigen (first, d, values, NULL);
  for (guint i = 0; i < d; i++)
    trace += sqrt (MAX (values[i], 0));
  return trace;
}

gboolean
dimr_frechet_distance (const DimrMoments  *a,
                       const DimrMoments  *b,
                       double             *distance,
                       GError            **error)
{
  const guint d = a->d;
  double sum = 0;

  g_return_val_if_fail (a->d == b->d, FALSE);

  if (a->n < 2 || b->n < 2)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_REQUEST,
                           _("The distance of two sets of pictures needs at least two pictures in each; some thousands make it steady"));
      return FALSE;
    }
  for (guint i = 0; i < d; i++)
    {
      const double between = a->mean[i] - b->mean[i];
      const gsize ii = (gsize) i * d + i;

      sum += between * between + a->spread[ii] / (double) (a->n - 1) + b->spread[ii] / (double) (b->n - 1);
    }
  /* Of equal sets it is zero but for rounding. */
  *distance = MAX (sum - 2 * trace_of_root (a, b), 0);
  return TRUE;
}
