/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-judge.h"

#include <stdio.h>

#define MAX_THREADS 1024
#define BATCH 16

GOptionEntry *
studio_judge_make_entries (StudioJudge        *self,
                           const GOptionEntry *own,
                           char             ***others)
{
  const GOptionEntry shared[] = {
    { "model", 'm', 0, G_OPTION_ARG_FILENAME, &self->model, N_("Folder or weights of a classifier (the one that comes with the program)"), N_("PATH") },
    { "device", 'd', 0, G_OPTION_ARG_STRING, &self->device, N_("auto, cpu, cuda or cuda:N (auto)"), N_("NAME") },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &self->precision, N_("auto, f32 or bf16 (f32)"), N_("NAME") },
    { "threads", 't', 0, G_OPTION_ARG_INT64, &self->threads, N_("Threads of the CPU, 0 for one a core (0)"), "N" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self->json, N_("Print one JSON object a line instead"), NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &self->quiet, N_("Show no progress"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, others, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };
  GArray *entries = g_array_new (FALSE, FALSE, sizeof (GOptionEntry));

  for (; own->long_name != NULL; own++)
    g_array_append_val (entries, *own);
  g_array_append_vals (entries, shared, G_N_ELEMENTS (shared));
  return (GOptionEntry *) (gpointer) g_array_free (entries, FALSE);
}

int
studio_judge_check (StudioJudge *self)
{
  DimrPrecision precision;

  if (self->precision != NULL && (!dimr_precision_from_string (self->precision, &precision) || precision == DIMR_PRECISION_F8))
    return studio_cli_refuse (self->json, _("--precision is auto, f32 or bf16, not “%s”"), self->precision);
  if (self->threads < 0 || self->threads > MAX_THREADS)
    return studio_cli_refuse (self->json, _("--threads is from 0 to %d, not %" PRId64), MAX_THREADS, self->threads);
  if (self->model == NULL)
    self->model = dimr_paths_find_data ("models/classifier");
  if (self->model == NULL)
    return studio_cli_refuse (self->json, _("The classifier that comes with the program was not found; name one with --model"));
  self->progress = studio_progress_new (self->json || self->quiet);
  return STUDIO_EXIT_OK;
}

gboolean
studio_judge_open (StudioJudge   *self,
                   GCancellable  *cancellable,
                   GError       **error)
{
  DimrPrecision precision = DIMR_PRECISION_F32;
  g_autoptr (DimrDevice) device = NULL;

  if (self->precision != NULL)
    dimr_precision_from_string (self->precision, &precision);
  self->loaded = dimr_model_load_any (self->model, cancellable, error);
  if (self->loaded == NULL)
    return FALSE;
  device = dimr_device_open (self->device != NULL ? self->device : "auto", (guint) self->threads, error);
  if (device == NULL)
    return FALSE;
  if (precision == DIMR_PRECISION_AUTO)
    precision = dimr_device_get_default_precision (device);
  self->classifier = dimr_classifier_new (self->loaded, device, precision, BATCH, cancellable, error);
  return self->classifier != NULL;
}

static void
on_judgement (const DimrJudgement *judgement,
              gpointer             data)
{
  StudioJudge *self = data;

  self->func (judgement, self->user_data);
}

static void
on_skip (const char   *path,
         const GError *reason,
         gpointer      data)
{
  StudioJudge *self = data;

  self->n_unreadable++;
  studio_progress_clear (self->progress);
  if (self->json)
    {
      JsonBuilder *event = studio_cli_event_new ("skipped");

      studio_cli_event_string (event, "path", path);
      studio_cli_event_string (event, "message", reason->message);
      studio_cli_event_print (event);
    }
  else
    {
      g_printerr (_("Left out: %s\n"), reason->message);
    }
}

gboolean
studio_judge_run (StudioJudge         *self,
                  const char * const  *paths,
                  DimrJudgementFunc    func,
                  gpointer             user_data,
                  GCancellable        *cancellable,
                  GError             **error)
{
  g_autoptr (GPtrArray) files = dimr_pictures_list (paths, cancellable, error);
  gboolean ok;

  if (files == NULL || (self->classifier == NULL && !studio_judge_open (self, cancellable, error)))
    return FALSE;
  self->began = g_get_monotonic_time ();
  self->func = func;
  self->user_data = user_data;
  /* Of a single picture there is nothing left to tell. */
  ok = dimr_pictures_judge (self->classifier, files, self->side, on_judgement, files->len > 1 ? on_skip : NULL, self, cancellable, error);
  studio_progress_clear (self->progress);
  return ok;
}

char **
studio_judge_merge (char **named,
                    char **others)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  if (named != NULL)
    g_strv_builder_addv (builder, (const char **) named);
  if (others != NULL)
    g_strv_builder_addv (builder, (const char **) others);
  return g_strv_builder_end (builder);
}

void
studio_judge_tick (StudioJudge         *self,
                   const DimrJudgement *judgement)
{
  const double fraction = (double) (judgement->index + 1) / judgement->n;
  const double seconds = (double) (g_get_monotonic_time () - self->began) / G_USEC_PER_SEC;
  g_autofree char *detail = g_strdup_printf (_("picture %u"), judgement->index + 1);

  studio_progress_update (self->progress, fraction, seconds / fraction - seconds, detail);
}

void
studio_judge_print_csv_text (const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text, "\"", -1);
  g_autofree char *doubled = g_strjoinv ("\"\"", parts);

  printf ("\"%s\"", doubled);
}

char *
studio_judge_dup_reference_path (StudioJudge *self)
{
  g_autofree char *folder = g_file_test (self->model, G_FILE_TEST_IS_DIR) ? g_strdup (self->model) : g_path_get_dirname (self->model);

  return g_build_filename (folder, "pictures.reference", NULL);
}

void
studio_judge_clear (StudioJudge *self)
{
  g_clear_pointer (&self->classifier, dimr_classifier_free);
  g_clear_object (&self->loaded);
  g_clear_pointer (&self->progress, studio_progress_free);
  g_free (self->model);
  g_free (self->device);
  g_free (self->precision);
}
