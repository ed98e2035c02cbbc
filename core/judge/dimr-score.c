/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge/dimr-score.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

struct _DimrScore
{
  DimrClassifier *classifier;
  guint n_classes;
  DimrScoreSums total;
  DimrScoreSums *rows;    /* [n_classes] */
  guint n_asked;
  guint n_silent;
  guint n_unknown;
  GArray *asked;          /* guint, a picture's row each */
  GArray *probabilities;  /* float [n_classes] each: which classes are asked for is known at the end only */
};

DimrScore *
dimr_score_new (DimrClassifier *classifier)
{
  DimrScore *self = g_new0 (DimrScore, 1);

  self->classifier = classifier;
  self->n_classes = dimr_classifier_get_n_classes (classifier);
  self->rows = g_new0 (DimrScoreSums, self->n_classes);
  self->asked = g_array_new (FALSE, FALSE, sizeof (guint));
  self->probabilities = g_array_new (FALSE, FALSE, sizeof (float));
  return self;
}

void
dimr_score_free (DimrScore *self)
{
  g_return_if_fail (self != NULL);
  g_free (self->rows);
  g_array_unref (self->asked);
  g_array_unref (self->probabilities);
  g_free (self);
}

guint
dimr_score_rank (const float *values,
                 guint        n,
                 guint        row)
{
  guint before = 0;

  for (guint k = 0; k < n; k++)
    before += values[k] > values[row] || (k < row && !(values[k] < values[row]));
  return before;
}

void
dimr_score_add (DimrScore           *self,
                const DimrJudgement *judgement)
{
  const int row = dimr_classifier_find_row (self->classifier, judgement->asked);
  guint before, value = (guint) row;

  if (row < 0)
    {
      if (judgement->asked < 0)
        self->n_silent++;
      else
        self->n_unknown++;
      return;
    }
  before = dimr_score_rank (judgement->probabilities, self->n_classes, value);
  self->rows[row].n++;
  self->rows[row].top1 += before < 1;
  self->rows[row].top5 += before < 5;
  self->rows[row].probability += (double) judgement->probabilities[row];
  g_array_append_val (self->asked, value);
  g_array_append_vals (self->probabilities, judgement->probabilities, self->n_classes);
}

gboolean
dimr_score_finish (DimrScore  *self,
                   GError    **error)
{
  if (self->asked->len == 0)
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      self->n_unknown > 0 ? _("The classifier knows none of the classes that these %u pictures ask for")
                                          : _("None of these %u pictures says what it was asked to show: neither a recipe nor a folder "
                                              "called after a WordNet id tells it"), self->n_unknown > 0 ? self->n_unknown : self->n_silent);
      return FALSE;
    }
  for (guint i = 0; i < self->asked->len; i++)
    {
      const float *p = &g_array_index (self->probabilities, float, (gsize) i * self->n_classes);
      const guint row = g_array_index (self->asked, guint, i);
      gboolean first = TRUE;

      for (guint k = 0; k < self->n_classes; k++)
        first &= self->rows[k].n == 0 || k == row || p[k] < p[row] || (k > row && !(p[k] > p[row]));
      self->rows[row].top1_among += first;
    }
  for (guint k = 0; k < self->n_classes; k++)
    {
      const DimrScoreSums *sums = &self->rows[k];

      self->total.n += sums->n;
      self->total.top1 += sums->top1;
      self->total.top5 += sums->top5;
      self->total.top1_among += sums->top1_among;
      self->total.probability += sums->probability;
      self->n_asked += sums->n > 0;
    }
  return TRUE;
}

const DimrScoreSums *
dimr_score_peek_total (DimrScore *self)
{
  return &self->total;
}

const DimrScoreSums *
dimr_score_peek_row (DimrScore *self,
                     guint      row)
{
  g_return_val_if_fail (row < self->n_classes, NULL);
  return &self->rows[row];
}

guint
dimr_score_get_n_asked (DimrScore *self)
{
  return self->n_asked;
}

guint
dimr_score_get_n_silent (DimrScore *self)
{
  return self->n_silent;
}

guint
dimr_score_get_n_unknown (DimrScore *self)
{
  return self->n_unknown;
}
