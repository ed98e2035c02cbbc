/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge/dimr-symmetric.h"

#include <float.h>
#include <math.h>

#define MAX_SWEEPS 60

/* Rows p and q of @m, both of length @n, turned by the angle of (cosine, sine). */
static void
turn_rows (double *m,
           guint   n,
           guint   p,
           guint   q,
           double  cosine,
           double  sine)
{
  double *a = m + (gsize) p * n, *b = m + (gsize) q * n;

  for (guint k = 0; k < n; k++)
    {
      const double x = a[k], y = b[k];

      a[k] = cosine * x - sine * y;
      b[k] = sine * x + cosine * y;
    }
}

static void
turn_columns (double *m,
              guint   n,
              guint   p,
              guint   q,
              double  cosine,
              double  sine)
{
  for (guint k = 0; k < n; k++)
    {
      double *row = m + (gsize) k * n;
      const double x = row[p], y = row[q];

      row[p] = cosine * x - sine * y;
      row[q] = sine * x + cosine * y;
    }
}

static double
sum_of_squares (const double *a,
                guint         n,
                gboolean      diagonal)
{
  double sum = 0;

  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < n; j++)
      if ((i == j) == diagonal)
        sum += a[(gsize) i * n + j] * a[(gsize) i * n + j];
  return sum;
}

void
dimr_symmetric_eigen (double *a,
                      guint   n,
                      double *values,
                      double *vectors)
{
  for (gsize i = 0; vectors != NULL && i < (gsize) n * n; i++)
    vectors[i] = i / n == i % n;
  for (guint sweep = 0; sweep < MAX_SWEEPS; sweep++)
    {
      const double off = sum_of_squares (a, n, FALSE), on = sum_of_squares (a, n, TRUE);

      if (off <= DBL_EPSILON * DBL_EPSILON * on)
        break;
      for (guint p = 0; p + 1 < n; p++)
        for (guint q = p + 1; q < n; q++)
          {
            const double apq = a[(gsize) p * n + q], difference = a[(gsize) q * n + q] - a[(gsize) p * n + p];
            double theta, t, cosine;

            if (fabs (apq) < DBL_MIN)
              continue;
            /* The smaller of the two angles that make a[p, q] zero. */
            theta = difference / (2 * apq);
            t = (theta < 0 ? -1 : 1) / (fabs (theta) + hypot (theta, 1));
            cosine = 1 / hypot (t, 1);
            turn_rows (a, n, p, q, cosine, t * cosine);
            turn_columns (a, n, p, q, cosine, t * cosine);
            if (vectors != NULL)
              turn_rows (vectors, n, p, q, cosine, t * cosine);
          }
    }
  for (guint i = 0; i < n; i++)
    values[i] = a[(gsize) i * n + i];
}

void
dimr_symmetric_sqrt (double *a,
                     guint   n,
                     double *root)
{
  g_autofree double *values = g_new (double, n), *vectors = g_new (double, (gsize) n * n);

  dimr_symmetric_eigen (a, n, values, vectors);
  for (gsize i = 0; i < (gsize) n * n; i++)
    root[i] = 0;
  for (guint v = 0; v < n; v++)
    {
      const double *vector = vectors + (gsize) v * n, size = sqrt (MAX (values[v], 0));

      for (guint i = 0; i < n; i++)
        for (guint j = 0; j < n; j++)
          root[(gsize) i * n + j] += size * vector[i] * vector[j];
    }
}
