/* cli-fid.c — `dimr fid`: the Fréchet distance of two sets of pictures
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "app/cli-judge.h"

typedef struct
{
  StudioJudge *judge;
  char **paths;            /* [2] */
  DimrMoments *moments[2];
  DimrMoments *current;
  double distance;
} Fid;

static void
on_picture (const DimrJudgement *judgement,
            gpointer             data)
{
  Fid *self = data;

  dimr_moments_add (self->current, judgement->features);
  studio_judge_tick (self->judge, judgement);
}

static gboolean
measure (gpointer       data,
         GCancellable  *cancellable,
         GError       **error)
{
  Fid *self = data;

  if (!studio_judge_open (self->judge, cancellable, error))
    return FALSE;
  for (guint i = 0; i < 2; i++)
    {
      const char *path[] = { self->paths[i], NULL };

      self->current = self->moments[i] = dimr_moments_new (dimr_classifier_get_n_features (self->judge->classifier));
      if (!studio_judge_run (self->judge, path, on_picture, self, cancellable, error))
        return FALSE;
    }
  return dimr_frechet_distance (self->moments[0], self->moments[1], &self->distance, error);
}

static void
print_distance (Fid *self)
{
  const guint n_features = dimr_classifier_get_n_features (self->judge->classifier);
  const guint64 a = dimr_moments_get_n (self->moments[0]), b = dimr_moments_get_n (self->moments[1]);

  if (self->judge->n_unreadable > 0)
    g_printerr (ngettext ("%u picture could not be read, and is left out\n", "%u pictures could not be read, and are left out\n",
                          self->judge->n_unreadable), self->judge->n_unreadable);
  if (MIN (a, b) <= n_features)
    g_printerr (_("Warning: %" PRIu64 " pictures are too few for %u features; the distance comes out too large\n"), MIN (a, b), n_features);
  if (self->judge->json)
    {
      JsonBuilder *event = studio_cli_event_new ("fid");

      studio_cli_event_string (event, "classifier", dimr_model_get_name (self->judge->loaded));
      studio_cli_event_string (event, "classifier_sha256", dimr_model_wait_for_hash (self->judge->loaded));
      studio_cli_event_int (event, "features", n_features);
      studio_cli_event_int (event, "pictures_a", a);
      studio_cli_event_int (event, "pictures_b", b);
      studio_cli_event_int (event, "unreadable", self->judge->n_unreadable);
      studio_cli_event_double (event, "distance", self->distance);
      studio_cli_event_print (event);
      return;
    }
  g_print (_("Fréchet distance %.4f, of %" PRIu64 " and %" PRIu64 " pictures by %u features of %s\n"), self->distance, a, b, n_features,
           dimr_model_get_name (self->judge->loaded));
}

int
studio_cli_fid (int    argc,
                char **argv)
{
  g_auto (StudioJudge) judge = { NULL };
  Fid self = { .judge = &judge };
  g_auto (GStrv) paths = NULL;
  g_autoptr (GError) error = NULL;
  int status;
  const GOptionEntry own[] = {
    G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *entries = studio_judge_make_entries (&judge, own, &paths);

  if (!studio_cli_parse (_("FOLDER FOLDER"), _("Tells how far two sets of pictures are apart, by what a classifier sees in them (its class token before the\n"
                                               "head). The numbers are not those of Inception, and compare only with others of the same classifier."),
                         "  dimr fid generated real\n", entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  self.paths = paths;
  if (paths == NULL || g_strv_length (paths) != 2)
    status = studio_cli_refuse (judge.json, _("fid needs two folders of pictures; see “dimr fid --help”"));
  else
    status = studio_judge_check (&judge);
  if (status == STUDIO_EXIT_OK)
    {
      if (studio_cli_run (measure, &self, &error))
        print_distance (&self);
      else
        status = studio_cli_report (error, judge.json);
    }
  for (guint i = 0; i < 2; i++)
    g_clear_pointer (&self.moments[i], dimr_moments_free);
  return status;
}
