/* dimr-score.h — how recognisable pictures are: how often a classifier names the class that was asked for
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/judge/dimr-pictures.h"

G_BEGIN_DECLS

/* Sums over pictures. */
typedef struct
{
  guint  n;
  guint  top1;            /* the class asked for is the likeliest of all */
  guint  top5;            /* it is among the five likeliest */
  guint  top1_among;      /* it is the likeliest of the classes that any picture asks for */
  double probability;     /* its probability */
} DimrScoreSums;

typedef struct _DimrScore DimrScore;

DimrScore           *dimr_score_new           (DimrClassifier       *classifier);
void                 dimr_score_free          (DimrScore            *self);
/* A picture; one that asks for nothing, or for a class that the classifier does not know, is only counted. */
void                 dimr_score_add           (DimrScore            *self,
                                               const DimrJudgement  *judgement);
/* After the last one. DIMR_ERROR_REQUEST where no picture could be judged. */
gboolean             dimr_score_finish        (DimrScore            *self,
                                               GError              **error);
/* Of all pictures that were judged (transfer none). */
const DimrScoreSums *dimr_score_peek_total    (DimrScore            *self);
/* Of those that ask for row @row of the classifier (transfer none). */
const DimrScoreSums *dimr_score_peek_row      (DimrScore            *self,
                                               guint                 row);
/* Classes that any picture asks for. */
guint                dimr_score_get_n_asked   (DimrScore            *self);
guint                dimr_score_get_n_silent  (DimrScore            *self); /* pictures that ask for nothing */
guint                dimr_score_get_n_unknown (DimrScore            *self); /* and for classes it does not know */

/* How many of @n values stand before the one at @row: larger ones, and equal ones before it. */
guint                dimr_score_rank          (const float          *values,
                                               guint                 n,
                                               guint                 row);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrScore, dimr_score_free)

G_END_DECLS
