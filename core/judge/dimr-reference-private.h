/* dimr-reference-private.h — the numbers of a reference, for what makes, reads and compares them
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/judge/dimr-reference.h"

G_BEGIN_DECLS

struct _DimrReference
{
  guint n_sides;
  guint n_classes;
  gint32 *sides;      /* [n_sides], ascending */
  gint32 *counts;     /* [n_classes]: real pictures, the same for every size */
  float *means;       /* [n_sides, n_classes]: of the surprise */
  float *deviations;  /* [n_sides, n_classes]: above zero */
  float *quantiles;   /* [n_sides, DIMR_REFERENCE_N_QUANTILES]: of (surprise − mean) / deviation, each
                       * picture by the mean and deviation of the others of its class */
};

DimrReference *dimr_reference_alloc    (guint n_sides,
                                        guint n_classes);
/* −ln of a probability, which may be zero. */
double         dimr_reference_surprise (float probability);

G_END_DECLS
