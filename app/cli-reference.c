/* cli-reference.c — `dimr reference`: how surely a classifier names real pictures, for `dimr flag` to compare with
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "app/cli-judge.h"

typedef struct
{
  StudioJudge *judge;
  char **paths;
  char *output;
  guint sides[DIMR_REFERENCE_MAX_SIDES];
  guint n_sides;

  DimrReferenceMaker *maker;
  guint current;            /* the size that is judged now */
  guint n_left_out;         /* of one size: they ask for nothing that the classifier knows */
  DimrReference *reference;
} Reference;

static void
on_picture (const DimrJudgement *judgement,
            gpointer             data)
{
  Reference *self = data;
  const int row = dimr_classifier_find_row (self->judge->classifier, judgement->asked);

  if (row >= 0)
    dimr_reference_maker_add (self->maker, self->current, (guint) row, judgement->probabilities[row]);
  else
    self->n_left_out++;
  studio_judge_tick (self->judge, judgement);
}

/* The sizes asked for; half of what the classifier looks at, and all of it, where none are. */
static gboolean
check_sides (Reference  *self,
             GError    **error)
{
  const guint side = dimr_classifier_get_side (self->judge->classifier);

  if (self->n_sides == 0)
    {
      if (side > 1)
        self->sides[self->n_sides++] = side / 2;
      self->sides[self->n_sides++] = side;
    }
  if (self->sides[self->n_sides - 1] > side)
    return dimr_error_refuse (error, _("Pictures of %u pixels say no more than those of %u, which is all the classifier looks at"),
                              self->sides[self->n_sides - 1], side);
  return TRUE;
}

static gboolean
make (gpointer       data,
      GCancellable  *cancellable,
      GError       **error)
{
  Reference *self = data;

  if (!studio_judge_open (self->judge, cancellable, error) || !check_sides (self, error))
    return FALSE;
  self->maker = dimr_reference_maker_new (self->sides, self->n_sides, dimr_classifier_get_n_classes (self->judge->classifier));
  for (self->current = 0; self->current < self->n_sides; self->current++)
    {
      /* The same pictures are left out at every size. */
      self->n_left_out = self->judge->n_unreadable = 0;
      self->judge->side = self->sides[self->current];
      if (!studio_judge_run (self->judge, (const char * const *) self->paths, on_picture, self, cancellable, error))
        return FALSE;
    }
  self->reference = dimr_reference_maker_finish (self->maker, error);
  return self->reference != NULL &&
         dimr_reference_save (self->reference, self->output, dimr_model_wait_for_hash (self->judge->loaded), error);
}

static void
print_reference (const Reference *self)
{
  const guint64 n = dimr_reference_get_n_pictures (self->reference);
  const guint n_known = dimr_reference_get_n_known (self->reference);
  g_autofree char *shown = g_filename_display_name (self->output);

  if (self->judge->n_unreadable > 0)
    g_printerr (ngettext ("%u picture could not be read, and is left out\n", "%u pictures could not be read, and are left out\n",
                          self->judge->n_unreadable), self->judge->n_unreadable);
  if (self->n_left_out > 0)
    g_printerr (ngettext ("%u picture belongs to no class that the classifier knows, and is left out\n",
                          "%u pictures belong to no class that the classifier knows, and are left out\n", self->n_left_out),
                self->n_left_out);
  if (self->judge->json)
    {
      JsonBuilder *event = studio_cli_event_new ("reference");

      studio_cli_event_string (event, "path", self->output);
      studio_cli_event_string (event, "classifier", dimr_model_get_name (self->judge->loaded));
      studio_cli_event_string (event, "classifier_sha256", dimr_model_wait_for_hash (self->judge->loaded));
      studio_cli_event_int (event, "pictures", n);
      studio_cli_event_int (event, "classes", n_known);
      studio_cli_event_int (event, "sizes", self->n_sides);
      studio_cli_event_int (event, "left_out", self->n_left_out);
      studio_cli_event_int (event, "unreadable", self->judge->n_unreadable);
      studio_cli_event_print (event);
      return;
    }
  g_print (_("%" PRIu64 " real pictures, %u classes with enough of them; written to %s\n"), n, n_known, shown);
}

/* "32,64" */
static gboolean
parse_sides (Reference  *self,
             const char *list)
{
  g_auto (GStrv) parts = g_strsplit (list, ",", DIMR_REFERENCE_MAX_SIDES + 1);

  for (guint i = 0; parts[i] != NULL; i++)
    {
      guint64 side;

      if (i == DIMR_REFERENCE_MAX_SIDES || !g_ascii_string_to_unsigned (parts[i], 10, 1, 16384, &side, NULL) ||
          (i > 0 && side <= self->sides[i - 1]))
        return FALSE;
      self->sides[self->n_sides++] = (guint) side;
    }
  return self->n_sides > 0;
}

int
studio_cli_reference (int    argc,
                      char **argv)
{
  g_auto (StudioJudge) judge = { NULL };
  Reference self = { .judge = &judge };
  g_auto (GStrv) input = NULL, others = NULL, paths = NULL;
  g_autofree char *sides = NULL;
  g_autoptr (GError) error = NULL;
  int status;
  const GOptionEntry own[] = {
    { "input", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &input, N_("A folder of real pictures; may be given often"), N_("PATH") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &self.output, N_("The file to write"), N_("FILE") },
    { "sides", 0, 0, G_OPTION_ARG_STRING, &sides, N_("Pixels a side that pictures are brought down to, ascending (half the classifier's, and its own)"), N_("LIST") },
    G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *entries = studio_judge_make_entries (&judge, own, &others);

  if (!studio_cli_parse (_("FOLDER…"), _("Measures how surely a classifier names real pictures, for “dimr flag” to compare others with. Pictures lie in\n"
                                         "folders called after their class's WordNet id. They should be none that the classifier has learned from;\n"
                                         "8 of a class are the least, 25 do. The file holds no pictures, and serves this classifier only."),
                         "  dimr reference imagenet/val --model vit --output vit/pictures.reference\n", entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  self.paths = paths = studio_judge_merge (input, others);
  if (paths[0] == NULL || self.output == NULL)
    status = studio_cli_refuse (judge.json, _("reference needs a folder of real pictures and --output; see “dimr reference --help”"));
  else if (sides != NULL && !parse_sides (&self, sides))
    status = studio_cli_refuse (judge.json, _("--sides is a list such as 32,64: at most %d ascending numbers, not “%s”"), DIMR_REFERENCE_MAX_SIDES,
                                sides);
  else
    status = studio_judge_check (&judge);
  if (status == STUDIO_EXIT_OK)
    {
      if (studio_cli_run (make, &self, &error))
        print_reference (&self);
      else
        status = studio_cli_report (error, judge.json);
    }
  g_clear_pointer (&self.maker, dimr_reference_maker_free);
  g_clear_pointer (&self.reference, dimr_reference_free);
  g_free (self.output);
  return status;
}
