/* cli-score.c — `dimr score`: how often a classifier sees in pictures what they were asked to show
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "app/cli-judge.h"

typedef struct
{
  StudioJudge *judge;
  char **paths;
  DimrScore *score;
} Score;

static void
on_picture (const DimrJudgement *judgement,
            gpointer             data)
{
  Score *self = data;

  if (self->score == NULL)
    self->score = dimr_score_new (self->judge->classifier);
  dimr_score_add (self->score, judgement);
  studio_judge_tick (self->judge, judgement);
}

static gboolean
score (gpointer       data,
       GCancellable  *cancellable,
       GError       **error)
{
  Score *self = data;

  return studio_judge_run (self->judge, (const char * const *) self->paths, on_picture, self, cancellable, error) &&
         dimr_score_finish (self->score, error);
}

static double
share (guint n,
       guint of)
{
  return (double) n / MAX (of, 1);
}

static void
print_json (Score               *self,
            const char          *name,
            const DimrScoreSums *sums,
            int                  row)
{
  JsonBuilder *event = studio_cli_event_new (name);

  if (row >= 0)
    {
      studio_cli_event_string (event, "class", dimr_classifier_get_label (self->judge->classifier, (guint) row));
      studio_cli_event_int (event, "index", (guint64) dimr_classifier_get_class (self->judge->classifier, (guint) row));
    }
  else
    {
      studio_cli_event_string (event, "classifier", dimr_model_get_name (self->judge->loaded));
      studio_cli_event_int (event, "classes", dimr_classifier_get_n_classes (self->judge->classifier));
      studio_cli_event_int (event, "asked_classes", dimr_score_get_n_asked (self->score));
      studio_cli_event_int (event, "without_class", dimr_score_get_n_silent (self->score));
      studio_cli_event_int (event, "unknown_class", dimr_score_get_n_unknown (self->score));
      studio_cli_event_int (event, "unreadable", self->judge->n_unreadable);
    }
  studio_cli_event_int (event, "pictures", sums->n);
  studio_cli_event_double (event, "top1", share (sums->top1, sums->n));
  studio_cli_event_double (event, "top5", share (sums->top5, sums->n));
  studio_cli_event_double (event, "top1_among_asked", share (sums->top1_among, sums->n));
  studio_cli_event_double (event, "probability", sums->probability / MAX (sums->n, 1));
  studio_cli_event_print (event);
}

static void
print_left_out (Score *self)
{
  const guint silent = dimr_score_get_n_silent (self->score), unknown = dimr_score_get_n_unknown (self->score);

  if (self->judge->n_unreadable > 0)
    g_printerr (ngettext ("%u picture could not be read, and is left out\n", "%u pictures could not be read, and are left out\n",
                          self->judge->n_unreadable), self->judge->n_unreadable);
  if (silent > 0)
    g_printerr (ngettext ("%u picture says of no class that it should show it, and is left out\n",
                          "%u pictures say of no class that they should show it, and are left out\n", silent), silent);
  if (unknown > 0)
    g_printerr (ngettext ("%u picture asks for a class that the classifier does not know, and is left out\n",
                          "%u pictures ask for classes that the classifier does not know, and are left out\n", unknown), unknown);
}

static void
print_table (Score *self)
{
  DimrClassifier *classifier = self->judge->classifier;
  const DimrScoreSums *total = dimr_score_peek_total (self->score);
  const guint n_classes = dimr_classifier_get_n_classes (classifier), n_asked = dimr_score_get_n_asked (self->score);

  g_print ("%-28s %8s %7s %7s %9s %11s\n", _("class"), _("pictures"), _("top 1"), _("top 5"), _("of asked"), _("probability"));
  for (guint row = 0; row < n_classes; row++)
    {
      const DimrScoreSums *sums = dimr_score_peek_row (self->score, row);

      if (sums->n > 0)
        g_print ("%-28s %8u %6.1f%% %6.1f%% %8.1f%% %11.3f\n", dimr_classifier_get_label (classifier, row), sums->n,
                 100 * share (sums->top1, sums->n), 100 * share (sums->top5, sums->n), 100 * share (sums->top1_among, sums->n),
                 sums->probability / sums->n);
    }
  g_print (ngettext ("\n%u picture of %u classes, judged by %s:\n", "\n%u pictures of %u classes, judged by %s:\n", total->n), total->n,
           n_asked, dimr_model_get_name (self->judge->loaded));
  g_print (_("  the class asked for is the likeliest of %u: %.1f %% (by chance %.1f %%)\n"), n_classes, 100 * share (total->top1, total->n),
           100. / n_classes);
  g_print (_("  it is among the five likeliest: %.1f %% (by chance %.1f %%)\n"), 100 * share (total->top5, total->n),
           100 * MIN (5. / n_classes, 1));
  g_print (_("  it is the likeliest of the %u that are asked for: %.1f %% (by chance %.1f %%)\n"), n_asked,
           100 * share (total->top1_among, total->n), 100. / n_asked);
  g_print (_("  its mean probability: %.3f\n"), total->probability / total->n);
}

static void
print_score (Score *self)
{
  print_left_out (self);
  if (!self->judge->json)
    {
      print_table (self);
      return;
    }
  for (guint row = 0; row < dimr_classifier_get_n_classes (self->judge->classifier); row++)
    if (dimr_score_peek_row (self->score, row)->n > 0)
      print_json (self, "class", dimr_score_peek_row (self->score, row), (int) row);
  print_json (self, "score", dimr_score_peek_total (self->score), -1);
}

int
studio_cli_score (int    argc,
                  char **argv)
{
  g_auto (StudioJudge) judge = { NULL };
  Score self = { .judge = &judge };
  g_auto (GStrv) input = NULL, others = NULL, paths = NULL;
  g_autoptr (GError) error = NULL;
  int status;
  const GOptionEntry own[] = {
    { "input", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &input, N_("A picture, or a folder of pictures; may be given often"), N_("PATH") },
    G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *entries = studio_judge_make_entries (&judge, own, &others);

  if (!studio_cli_parse (_("FOLDER…"), _("Tells how recognisable generated pictures are: how often a classifier names the class that a picture's\n"
                                         "recipe asks for. Pictures without a recipe count as their folder's class where it is called after a WordNet id."),
                         "  dimr generate --class lion --count 50 --out lions\n  dimr score lions\n", entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  self.paths = paths = studio_judge_merge (input, others);
  if (paths[0] == NULL)
    status = studio_cli_refuse (judge.json, _("score needs a folder of pictures; see “dimr score --help”"));
  else
    status = studio_judge_check (&judge);
  if (status == STUDIO_EXIT_OK)
    {
      if (studio_cli_run (score, &self, &error))
        print_score (&self);
      else
        status = studio_cli_report (error, judge.json);
    }
  g_clear_pointer (&self.score, dimr_score_free);
  return status;
}
