/* cli-flag.c — `dimr flag`: which pictures a person should look at first
 *
 * Every picture is printed as it is judged, and none is kept: what a folder of 80,000 takes is the list of its paths.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "app/cli-judge.h"

#include <stdio.h>

typedef struct
{
  StudioJudge *judge;
  char **paths;
  char *reference_path;
  char *class_name;
  double rate;
  gboolean csv;
  gboolean only_flagged;

  int asked;                /* of pictures that say nothing themselves; −1 */
  DimrReference *reference;
  guint n_judged;
  guint n_flagged;
  guint n_silent;           /* pictures that ask for nothing */
  guint n_unknown;          /* and for classes that the classifier or the reference does not know */
} Flag;

/* A picture, as it is printed. */
typedef struct
{
  const char *path;
  int asked;
  guint side;
  gboolean judged;          /* what follows is known */
  double probability;
  double surprise;
  double share;             /* of real pictures that are named more surely */
  gboolean flagged;
} Row;

static void
print_csv_number (const char *format,
                  double      value)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  printf (",%s", g_ascii_formatd (number, sizeof number, format, value));
}

static void
print_csv (const Row *row)
{
  studio_judge_print_csv_text (row->path);
  putchar (',');
  if (row->asked >= 0)
    studio_judge_print_csv_text (dimr_classes_get (row->asked)->name);
  putchar (',');
  if (row->asked >= 0)
    printf ("%d", row->asked);
  printf (",%u", row->side);
  if (!row->judged)
    {
      puts (",,,,");
      return;
    }
  print_csv_number ("%.6g", row->probability);
  print_csv_number ("%.4f", row->surprise);
  print_csv_number ("%.2f", 100 * row->share);
  printf (",%d\n", row->flagged);
}

static void
print_json (const Row *row)
{
  JsonBuilder *event = studio_cli_event_new ("picture");

  studio_cli_event_string (event, "path", row->path);
  if (row->asked >= 0)
    {
      studio_cli_event_string (event, "class", dimr_classes_get (row->asked)->name);
      studio_cli_event_int (event, "index", (guint64) row->asked);
    }
  studio_cli_event_int (event, "pixels", row->side);
  if (row->judged)
    {
      studio_cli_event_double (event, "probability", row->probability);
      studio_cli_event_double (event, "surprise", row->surprise);
      studio_cli_event_double (event, "percentile", 100 * row->share);
      json_builder_set_member_name (event, "flagged");
      json_builder_add_boolean_value (event, row->flagged);
    }
  studio_cli_event_print (event);
}

static void
print_text (const Row *row)
{
  g_autofree char *share = row->judged ? g_strdup_printf ("%.1f", 100 * row->share) : g_strdup ("—");
  g_autofree char *probability = row->judged ? g_strdup_printf ("%.4f", row->probability) : g_strdup ("—");

  studio_cli_print_cell (row->judged && row->flagged ? _("flagged") : "", 10);
  studio_cli_print_cell (share, -7);
  studio_cli_print_cell (probability, -10);
  g_print ("  ");
  studio_cli_print_cell (row->asked >= 0 ? dimr_classes_get (row->asked)->name : "—", 24);
  g_print (" ");
  studio_cli_print_path (row->path);
}

static void
on_picture (const DimrJudgement *judgement,
            gpointer             data)
{
  Flag *self = data;
  const int asked = judgement->asked >= 0 ? judgement->asked : self->asked;
  const int k = dimr_classifier_find_row (self->judge->classifier, asked);
  Row row = { .path = judgement->path, .asked = asked, .side = judgement->side };

  row.judged = k >= 0 && dimr_reference_knows (self->reference, (guint) k);
  if (row.judged)
    {
      row.probability = (double) judgement->probabilities[k];
      row.share = dimr_reference_compare (self->reference, judgement->side, (guint) k, judgement->probabilities[k], &row.surprise);
      row.flagged = row.share > 1 - self->rate;
      self->n_judged++;
      self->n_flagged += row.flagged;
    }
  else if (asked < 0)
    self->n_silent++;
  else
    self->n_unknown++;
  if (row.flagged || !self->only_flagged)
    {
      studio_progress_clear (self->judge->progress);
      if (self->judge->json)
        print_json (&row);
      else if (self->csv)
        print_csv (&row);
      else
        print_text (&row);
    }
  studio_judge_tick (self->judge, judgement);
}

static gboolean
flag (gpointer       data,
      GCancellable  *cancellable,
      GError       **error)
{
  Flag *self = data;

  if (!studio_judge_open (self->judge, cancellable, error))
    return FALSE;
  self->reference = dimr_reference_load (self->reference_path, dimr_model_wait_for_hash (self->judge->loaded),
                                         dimr_classifier_get_n_classes (self->judge->classifier), error);
  if (self->reference == NULL)
    return FALSE;
  if (self->csv)
    puts ("path,class,index,pixels,probability,surprise,percentile,flagged");
  if (!studio_judge_run (self->judge, (const char * const *) self->paths, on_picture, self, cancellable, error))
    return FALSE;
  if (self->n_judged > 0)
    return TRUE;
  if (self->n_unknown > 0)
    return dimr_error_refuse (error, ngettext ("There are not enough real pictures of the class that this %u picture asks for to compare it with",
                                               "There are not enough real pictures of any class that these %u pictures ask for to compare "
                                               "them with", self->n_unknown), self->n_unknown);
  return dimr_error_refuse (error, ngettext ("This %u picture does not say what it was asked to show, neither by a recipe nor by a folder called "
                                             "after a WordNet id: say it with --class",
                                             "None of these %u pictures says what it was asked to show, neither by a recipe nor by a folder "
                                             "called after a WordNet id: say it with --class", self->n_silent), self->n_silent);
}

static void
print_left_out (const Flag *self)
{
  if (self->judge->n_unreadable > 0)
    g_printerr (ngettext ("%u picture could not be read, and is left out\n", "%u pictures could not be read, and are left out\n",
                          self->judge->n_unreadable), self->judge->n_unreadable);
  if (self->n_silent > 0)
    g_printerr (ngettext ("%u picture says of no class that it should show it, and is not judged\n",
                          "%u pictures say of no class that they should show it, and are not judged\n", self->n_silent), self->n_silent);
  if (self->n_unknown > 0)
    g_printerr (ngettext ("%u picture asks for a class without real pictures to compare with, and is not judged\n",
                          "%u pictures ask for classes without real pictures to compare with, and are not judged\n", self->n_unknown),
                self->n_unknown);
}

static void
print_summary (const Flag *self)
{
  g_autofree char *text = NULL;

  print_left_out (self);
  if (self->judge->json)
    {
      JsonBuilder *event = studio_cli_event_new ("flags");

      studio_cli_event_string (event, "classifier", dimr_model_get_name (self->judge->loaded));
      studio_cli_event_string (event, "classifier_sha256", dimr_model_wait_for_hash (self->judge->loaded));
      studio_cli_event_double (event, "rate", self->rate);
      studio_cli_event_int (event, "real_pictures", dimr_reference_get_n_pictures (self->reference));
      studio_cli_event_int (event, "pictures", self->n_judged);
      studio_cli_event_int (event, "flagged", self->n_flagged);
      studio_cli_event_int (event, "without_class", self->n_silent);
      studio_cli_event_int (event, "unknown_class", self->n_unknown);
      studio_cli_event_int (event, "unreadable", self->judge->n_unreadable);
      studio_cli_event_print (event);
      return;
    }
  text = g_strdup_printf (ngettext ("%u of %u picture is flagged (%.1f %%); of real pictures it would be %.1f %%\n",
                                    "%u of %u pictures are flagged (%.1f %%); of real pictures it would be %.1f %%\n", self->n_judged),
                          self->n_flagged, self->n_judged, 100. * self->n_flagged / self->n_judged, 100 * self->rate);
  /* A table for another program ends with its last row. */
  if (self->csv)
    g_printerr ("%s", text);
  else
    g_print ("%s", text);
}

/* What can be told before anything is opened; returns an exit code. */
static int
check (Flag *self)
{
  const gboolean json = self->judge->json;
  int status;

  if (self->paths[0] == NULL)
    return studio_cli_refuse (json, _("flag needs a picture or a folder; see “dimr flag --help”"));
  if (!(self->rate > 0 && self->rate < 1))
    return studio_cli_refuse (json, _("--rate is a share between 0 and 1, not %g"), self->rate);
  if (self->csv && json)
    return studio_cli_refuse (TRUE, _("--csv and --json are two ways to print the same: choose one"));
  if (self->class_name != NULL)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GArray) classes = dimr_classes_parse (self->class_name, &error);

      if (classes == NULL)
        return studio_cli_report (error, json);
      if (classes->len != 1)
        return studio_cli_refuse (json, _("--class names one class, not %u"), classes->len);
      self->asked = g_array_index (classes, int, 0);
    }
  status = studio_judge_check (self->judge);
  if (status == STUDIO_EXIT_OK && self->reference_path == NULL)
    self->reference_path = studio_judge_dup_reference_path (self->judge);
  return status;
}

int
studio_cli_flag (int    argc,
                 char **argv)
{
  g_auto (StudioJudge) judge = { NULL };
  Flag self = { .judge = &judge, .rate = .05, .asked = -1 };
  g_auto (GStrv) input = NULL, others = NULL, paths = NULL;
  g_autoptr (GError) error = NULL;
  int status;
  const GOptionEntry own[] = {
    { "input", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &input, N_("A picture, or a folder of pictures; may be given often"), N_("PATH") },
    { "class", 'c', 0, G_OPTION_ARG_STRING, &self.class_name, N_("What pictures were asked to show that do not say it themselves"), N_("NAME") },
    { "rate", 'r', 0, G_OPTION_ARG_DOUBLE, &self.rate, N_("Share of real pictures that would be flagged (0.05)"), N_("SHARE") },
    { "reference", 0, 0, G_OPTION_ARG_FILENAME, &self.reference_path, N_("What “dimr reference” wrote (the one beside the classifier)"), N_("FILE") },
    { "only-flagged", 0, 0, G_OPTION_ARG_NONE, &self.only_flagged, N_("Leave pictures that are not flagged out of the list"), NULL },
    { "csv", 0, 0, G_OPTION_ARG_NONE, &self.csv, N_("Print a table of comma-separated values instead"), NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *entries = studio_judge_make_entries (&judge, own, &others);

  if (!studio_cli_parse (_("PICTURE…"), _("Lists pictures, and flags those that a classifier recognises less than nearly all real pictures of the class\n"
                                          "that was asked for: for a person to look at first. Each line has the share of real pictures, in percent, that\n"
                                          "are recognised more surely, the probability of the class, the class and the file. Real pictures count at the\n"
                                          "size nearest below the picture's own. A flag says that the class was not seen, not what is wrong."),
                         "  dimr flag pictures\n  dimr flag pictures --rate 0.1 --csv > flags.csv\n", entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  self.paths = paths = studio_judge_merge (input, others);
  status = check (&self);
  if (status == STUDIO_EXIT_OK)
    {
      if (studio_cli_run (flag, &self, &error))
        {
          print_summary (&self);
        }
      else
        {
          studio_progress_clear (judge.progress);
          status = studio_cli_report (error, judge.json);
        }
    }
  g_clear_pointer (&self.reference, dimr_reference_free);
  g_free (self.reference_path);
  g_free (self.class_name);
  return status;
}
