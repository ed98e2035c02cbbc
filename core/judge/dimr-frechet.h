/* dimr-frechet.h — how far two sets of pictures are apart, by the features of a classifier
 *
 * Each set's features are taken for a normal distribution; the distance of the two is
 * |m1 − m2|² + tr (S1 + S2 − 2 (S1 S2)^½). With another network than Inception the numbers are on another scale than
 * those of papers, and compare only with each other. Source: Heusel et al., "GANs Trained by a Two Time-Scale Update
 * Rule", NeurIPS 2017, equation 6.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Mean and covariance of a set, in double. */
typedef struct _DimrMoments DimrMoments;

DimrMoments *dimr_moments_new      (guint              n_features);
void         dimr_moments_free     (DimrMoments       *self);
/* One picture's features [n_features]. */
void         dimr_moments_add      (DimrMoments       *self,
                                    const float       *features);
/* Pictures so far. */
guint64      dimr_moments_get_n    (const DimrMoments *self);
/* The Fréchet distance of two sets of the same features. DIMR_ERROR_REQUEST where one has fewer than two pictures. */
gboolean     dimr_frechet_distance (const DimrMoments *a,
                                    const DimrMoments *b,
                                    double            *distance,
                                    GError           **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrMoments, dimr_moments_free)

G_END_DECLS
