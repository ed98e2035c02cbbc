/* cli-classify.c — `dimr classify`: what is on pictures
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "app/cli-judge.h"

#include <stdio.h>

#define MAX_TOP 1000

typedef struct
{
  StudioJudge *judge;
  char **paths;
  gint64 top;     /* classes to name */
  gboolean csv;
} Classify;

/* The next likeliest row after those that were @taken. */
static guint
take_likeliest (const float *probabilities,
                guint        n,
                gboolean    *taken)
{
  guint best = n;

  for (guint k = 0; k < n; k++)
    if (!taken[k] && (best == n || probabilities[k] > probabilities[best]))
      best = k;
  taken[best] = TRUE;
  return best;
}

static void
print_csv (const Classify      *self,
           const DimrJudgement *judgement,
           guint                rank,
           guint                row)
{
  DimrClassifier *classifier = self->judge->classifier;
  const int index = dimr_classifier_get_class (classifier, row);
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  studio_judge_print_csv_text (judgement->path);
  g_print (",%u,", rank + 1);
  studio_judge_print_csv_text (dimr_classifier_get_label (classifier, row));
  if (index >= 0)
    g_print (",%d", index);
  else
    g_print (",");
  g_print (",%s\n", g_ascii_formatd (number, sizeof number, "%.6f", (double) judgement->probabilities[row]));
}

static void
add_json (const Classify      *self,
          const DimrJudgement *judgement,
          guint                row,
          JsonBuilder         *event)
{
  DimrClassifier *classifier = self->judge->classifier;
  const int index = dimr_classifier_get_class (classifier, row);

  json_builder_begin_object (event);
  studio_cli_event_string (event, "class", dimr_classifier_get_label (classifier, row));
  if (index >= 0)
    studio_cli_event_int (event, "index", (guint64) index);
  studio_cli_event_double (event, "probability", (double) judgement->probabilities[row]);
  json_builder_end_object (event);
}

static void
on_picture (const DimrJudgement *judgement,
            gpointer             data)
{
  Classify *self = data;
  const guint n = dimr_classifier_get_n_classes (self->judge->classifier), top = MIN ((guint) self->top, n);
  g_autofree gboolean *taken = g_new0 (gboolean, n);
  JsonBuilder *event = NULL;

  studio_progress_clear (self->judge->progress);
  if (self->judge->json)
    {
      event = studio_cli_event_new ("picture");
      studio_cli_event_string (event, "path", judgement->path);
      json_builder_set_member_name (event, "classes");
      json_builder_begin_array (event);
    }
  else if (!self->csv)
    {
      /* As it is: g_print() would turn what the locale does not know into question marks. */
      fputs (judgement->path, stdout);
      fputc (':', stdout);
    }
  for (guint rank = 0; rank < top; rank++)
    {
      const guint row = take_likeliest (judgement->probabilities, n, taken);

      if (event != NULL)
        add_json (self, judgement, row, event);
      else if (self->csv)
        print_csv (self, judgement, rank, row);
      else
        g_print ("%s %s %.1f %%", rank > 0 ? "," : "", dimr_classifier_get_label (self->judge->classifier, row),
                 100 * (double) judgement->probabilities[row]);
    }
  if (event != NULL)
    {
      json_builder_end_array (event);
      studio_cli_event_print (event);
    }
  else if (!self->csv)
    g_print ("\n");
  studio_judge_tick (self->judge, judgement);
}

static gboolean
classify (gpointer       data,
          GCancellable  *cancellable,
          GError       **error)
{
  Classify *self = data;

  return studio_judge_run (self->judge, (const char * const *) self->paths, on_picture, self, cancellable, error);
}

int
studio_cli_classify (int    argc,
                     char **argv)
{
  g_auto (StudioJudge) judge = { NULL };
  Classify self = { .judge = &judge, .top = 5 };
  g_auto (GStrv) input = NULL, others = NULL, paths = NULL;
  g_autoptr (GError) error = NULL;
  int status;
  const GOptionEntry own[] = {
    { "input", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &input, N_("A picture, or a folder of pictures; may be given often"), N_("PATH") },
    { "top", 0, 0, G_OPTION_ARG_INT64, &self.top, N_("Classes to name (5)"), "N" },
    { "csv", 0, 0, G_OPTION_ARG_NONE, &self.csv, N_("Print a table of comma-separated values instead"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *entries = studio_judge_make_entries (&judge, own, &others);

  if (!studio_cli_parse (_("PICTURE…"), _("Tells what is on pictures: the likeliest classes and how likely they are. Pictures of any size\n"
                                          "are cut to a square in the middle and brought to the classifier's size."),
                         "  dimr classify picture.png\n  dimr classify --input pictures --csv\n", entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  self.paths = paths = studio_judge_merge (input, others);
  if (paths[0] == NULL)
    status = studio_cli_refuse (judge.json, _("classify needs a picture or a folder; see “dimr classify --help”"));
  else if (self.top < 1 || self.top > MAX_TOP)
    status = studio_cli_refuse (judge.json, _("--top is from 1 to %d, not %" PRId64), MAX_TOP, self.top);
  else if (self.csv && judge.json)
    status = studio_cli_refuse (TRUE, _("--csv and --json are two ways to print the same: choose one"));
  else
    status = studio_judge_check (&judge);
  if (status == STUDIO_EXIT_OK)
    {
      if (self.csv)
        g_print ("path,rank,class,index,probability\n");
      if (!studio_cli_run (classify, &self, &error))
        {
          studio_progress_clear (judge.progress);
          status = studio_cli_report (error, judge.json);
        }
    }
  return status;
}
