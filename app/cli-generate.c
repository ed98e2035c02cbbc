/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-common.h"
#include "app/cli-generate-options.h"
#include "app/cli-progress.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define MAX_NAMED_CLASSES 4

/* One run of the command. Ctrl+C cancels `cancellable`, and through it the model that loads or the
 * job; the loop ends when that has come to its end. */
typedef struct
{
  StudioGenerateOptions *options;
  DimrRequest *request;
  GCancellable *cancellable;
  GMainLoop *loop;
  DimrEngine *engine;
  DimrJob *job;
  StudioProgress *progress;
  gint64 began;
  gboolean introduced;
  gboolean noted;
  guint told_first, told_step; /* the last step that --json told of */
  double told_fraction;
  GError *error;
} Run;

static gboolean
is_chatty (Run *run)
{
  return !run->options->json && !run->options->quiet;
}

static void
fail (Run    *run,
      GError *error)
{
  if (run->error == NULL)
    run->error = error;
  else
    g_error_free (error);
  g_main_loop_quit (run->loop);
}

/* "lion, red panda and 3 more" (transfer full) */
static char *
describe_classes (const DimrRequest *request)
{
  GString *text = g_string_new (NULL);
  guint n = MIN (request->n_classes, MAX_NAMED_CLASSES);

  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "%s%s", i > 0 ? ", " : "", dimr_classes_get (request->classes[i])->name);
  if (request->n_classes > n)
    g_string_append_printf (text, ngettext (" and %u more", " and %u more", request->n_classes - n), request->n_classes - n);
  return g_string_free (text, FALSE);
}

static char *
describe_guidance (const DimrGuidance *guidance)
{
  GString *text = g_string_new (NULL);

  if (!dimr_guidance_is_on (guidance))
    g_string_append (text, _("guidance off"));
  else if (guidance->kind == DIMR_GUIDANCE_COSINE)
    g_string_append_printf (text, _("guidance %g (w = %g), cosine of power %g"), guidance->scale, guidance->scale - 1,
                            guidance->power);
  else
    g_string_append_printf (text, _("guidance %g (w = %g)"), guidance->scale, guidance->scale - 1);
  if (dimr_guidance_is_on (guidance) && guidance->channels > 0)
    g_string_append_printf (text, _(" of the first %u channels"), guidance->channels);
  return g_string_free (text, FALSE);
}

static void
introduce (Run *run)
{
  const DimrRequest *request = run->request;
  DimrModel *model = dimr_engine_get_model (run->engine);
  const char *device = dimr_engine_get_device_name (run->engine);
  g_autofree char *classes = describe_classes (request);
  g_autofree char *guidance = describe_guidance (&request->guidance);
  guint n = dimr_request_get_n_images (request);

  if (device != NULL)
    g_printerr (_("%s (%s) on %s\n"), dimr_model_get_name (model), dimr_model_get_summary (model), device);
  else /* There is none, as the job is about to say. */
    g_printerr ("%s (%s)\n", dimr_model_get_name (model), dimr_model_get_summary (model));
  if (request->n_classes > 0)
    g_printerr (ngettext ("%u picture of %s", "%u pictures of %s", n), n, classes);
  else
    g_printerr (ngettext ("%u picture", "%u pictures", n), n);
  if (request->noise != NULL)
    g_printerr (_(" · noise from %s"), run->options->noise);
  else
    g_printerr (_(" · seed %" PRIu64), request->seed);
  g_printerr (_(" · %u steps of %s · %s\n"), request->n_steps, dimr_sampler_kind_get_label (request->sampler), guidance);
}

static void
introduce_json (Run *run)
{
  const DimrRequest *request = run->request;
  DimrModel *model = dimr_engine_get_model (run->engine);
  g_autoptr (DimrRecipe) recipe = dimr_job_dup_recipe (run->job, 0); /* tells what the device chose */
  JsonBuilder *event = studio_cli_event_new ("start");

  studio_cli_event_string (event, "version", DIMR_VERSION);
  studio_cli_event_string (event, "model", dimr_model_get_name (model));
  studio_cli_event_string (event, "model_path", dimr_model_get_path (model));
  studio_cli_event_string (event, "device", dimr_engine_get_device_name (run->engine));
  studio_cli_event_int (event, "images", dimr_request_get_n_images (request));
  studio_cli_event_int (event, "image_size", dimr_model_get_image_size (model));
  studio_cli_event_int (event, "seed", request->seed);
  studio_cli_event_int (event, "first_index", request->first_index);
  studio_cli_event_int (event, "steps", request->n_steps);
  studio_cli_event_string (event, "sampler", dimr_sampler_kind_to_string (request->sampler));
  studio_cli_event_string (event, "grid", dimr_time_grid_to_string (request->time_grid));
  studio_cli_event_double (event, "eta", request->options.eta);
  studio_cli_event_int (event, "guided_channels", request->guidance.channels);
  studio_cli_event_string (event, "guidance", dimr_guidance_kind_to_string (request->guidance.kind));
  studio_cli_event_double (event, "cfg", request->guidance.scale);
  studio_cli_event_double (event, "power", request->guidance.power);
  studio_cli_event_string (event, "precision", dimr_precision_to_string (recipe->precision));
  studio_cli_event_int (event, "micro_batch", recipe->micro_batch);
  studio_cli_event_int (event, "batch", request->batch);
  json_builder_set_member_name (event, "classes");
  json_builder_begin_array (event);
  for (guint i = 0; i < request->n_classes; i++)
    json_builder_add_int_value (event, request->classes[i]);
  json_builder_end_array (event);
  studio_cli_event_print (event);
}

/* A model asked for a class that it never saw draws something, but not that. */
static void
warn_untrained (Run *run)
{
  DimrModel *model = dimr_engine_get_model (run->engine);
  const DimrRequest *request = run->request;

  for (guint i = 0; i < request->n_classes; i++)
    {
      const DimrClass *class = dimr_classes_get (request->classes[i]);

      if (dimr_model_knows_class (model, class->index))
        continue;
      if (run->options->json)
        {
          JsonBuilder *event = studio_cli_event_new ("warning");

          studio_cli_event_string (event, "message", "The model was not trained on this class.");
          studio_cli_event_int (event, "class_index", class->index);
          studio_cli_event_string (event, "class", class->name);
          studio_cli_event_print (event);
        }
      else if (!run->options->quiet)
        {
          studio_progress_clear (run->progress);
          g_printerr (_("Note: this model was not trained on %s (%d); “dimr info” lists the classes that it knows.\n"),
                      class->name, class->index);
        }
      return; /* once is enough */
    }
}

/* What the job has to say of itself, once. */
static void
tell_note (Run     *run,
           DimrJob *job)
{
  const char *note = dimr_job_peek_note (job);

  if (note == NULL || run->noted)
    return;
  run->noted = TRUE;
  if (run->options->json)
    {
      JsonBuilder *event = studio_cli_event_new ("warning");

      studio_cli_event_string (event, "message", note);
      studio_cli_event_print (event);
    }
  else if (!run->options->quiet)
    {
      studio_progress_clear (run->progress);
      g_printerr (_("Note: %s\n"), note);
    }
}

/* "changed" comes for previews too, so a step may be seen more than once. */
static void
tell_progress (Run     *run,
               DimrJob *job,
               guint    first,
               guint    n)
{
  guint step = dimr_job_get_step (job);
  JsonBuilder *event;

  if (step == 0 || (first == run->told_first && step == run->told_step && dimr_job_get_fraction (job) == run->told_fraction))
    return;
  run->told_first = first;
  run->told_step = step;
  run->told_fraction = dimr_job_get_fraction (job);
  event = studio_cli_event_new ("progress");
  studio_cli_event_int (event, "first", first);
  studio_cli_event_int (event, "n", n);
  studio_cli_event_int (event, "step", step);
  studio_cli_event_int (event, "steps", dimr_job_get_n_steps (job));
  studio_cli_event_double (event, "fraction", dimr_job_get_fraction (job));
  studio_cli_event_double (event, "seconds_per_step", dimr_job_get_seconds_per_step (job));
  studio_cli_event_double (event, "seconds_left", dimr_job_get_seconds_left (job));
  studio_cli_event_print (event);
}

/* "picture 3 of 8 · step 4/25 · 12 ms a step" (transfer full) */
static char *
describe_progress (DimrJob *job,
                   guint    first,
                   guint    n)
{
  const guint n_images = dimr_job_get_n_images (job), step = dimr_job_get_step (job), n_steps = dimr_job_get_n_steps (job);
  const double ms = 1000 * dimr_job_get_seconds_per_step (job);

  if (dimr_job_is_decoding (job))
    return g_strdup_printf (_("picture %u of %u · decoding"), MIN (dimr_job_get_n_images_done (job) + 1, n_images), n_images);
  if (n == 1)
    return g_strdup_printf (_("picture %u of %u · step %u/%u · %.0f ms a step"), first + 1, n_images, step, n_steps, ms);
  return g_strdup_printf (_("pictures %u–%u of %u · step %u/%u · %.0f ms a step"), first + 1, first + n, n_images, step, n_steps, ms);
}

static void
on_changed (DimrJob *job,
            Run     *run)
{
  guint first, n;
  g_autofree char *detail = NULL;

  if (dimr_job_get_state (job) == DIMR_JOB_QUEUED)
    return;
  if (!run->introduced)
    {
      run->introduced = TRUE;
      if (run->options->json)
        introduce_json (run);
      else if (!run->options->quiet)
        introduce (run);
      warn_untrained (run);
    }
  tell_note (run, job);

  dimr_job_get_batch (job, &first, &n);
  if (n == 0 || dimr_job_get_state (job) != DIMR_JOB_RUNNING)
    return;
  if (run->options->json)
    {
      tell_progress (run, job, first, n);
      return;
    }
  detail = describe_progress (job, first, n);
  studio_progress_update (run->progress, dimr_job_get_fraction (job), dimr_job_get_seconds_left (job), detail);
}

static void
print_image_json (guint             index,
                  const char       *path,
                  const DimrRecipe *recipe)
{
  JsonBuilder *event = studio_cli_event_new ("image");

  studio_cli_event_int (event, "index", index);
  studio_cli_event_string (event, "path", path);
  if (recipe->class_index != DIMR_CLASS_NONE)
    studio_cli_event_int (event, "class_index", recipe->class_index);
  studio_cli_event_string (event, "class", recipe->class_name);
  studio_cli_event_int (event, "seed", recipe->seed);
  studio_cli_event_int (event, "image_index", recipe->image_index);
  studio_cli_event_int (event, "micro_batch", recipe->micro_batch);
  studio_cli_event_string (event, "model_hash", recipe->model_hash);
  studio_cli_event_print (event);
}

static void
on_image_done (DimrJob *job,
               guint    index,
               Run     *run)
{
  const char *path = dimr_job_peek_path (job, index);
  g_autoptr (DimrRecipe) recipe = NULL;
  GError *error = NULL;

  /* The recipe names the weights by their hash, which a thread may still be computing. */
  dimr_model_wait_for_hash (dimr_engine_get_model (run->engine));
  recipe = dimr_job_dup_recipe (job, index);
  g_assert (recipe != NULL);

  if (path == NULL)
    {
      path = run->options->out;
      if (!dimr_png_save (path, dimr_job_peek_image (job, index), recipe, &error))
        {
          fail (run, error);
          return;
        }
    }
  studio_progress_clear (run->progress);
  if (run->options->json)
    print_image_json (index, path, recipe);
  else
    studio_cli_print_path (path);
  dimr_job_drop_image (job, index);
}

static int
compare_names (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static gboolean
write_trace (Run     *run,
             GError **error)
{
  GHashTable *trace = dimr_job_peek_trace (run->job);
  g_autofree const char **names = NULL;
  g_autofree DimrTensor **tensors = NULL;
  guint n;

  g_assert (trace != NULL);
  names = (const char **) g_hash_table_get_keys_as_array (trace, &n);
  tensors = g_new (DimrTensor *, n);
  qsort (names, n, sizeof *names, compare_names);
  for (guint i = 0; i < n; i++)
    tensors[i] = g_hash_table_lookup (trace, names[i]);
  return dimr_safetensors_write (run->options->trace, names, tensors, NULL, NULL, NULL, NULL, error);
}

/* What a person can do about a device that is gone. */
static GError *
describe_failure (Run          *run,
                  const GError *error)
{
  if (!g_error_matches (error, DIMR_ERROR, DIMR_ERROR_DEVICE_LOST))
    return g_error_copy (error);
  return g_error_new (DIMR_ERROR, DIMR_ERROR_DEVICE_LOST, _("%s; start again, or use --device cpu"), error->message);
}

static void
on_finished (DimrJob *job,
             Run     *run)
{
  GError *error = NULL;

  if (dimr_job_get_state (job) == DIMR_JOB_FAILED)
    error = describe_failure (run, dimr_job_peek_error (job));
  else if (dimr_job_get_state (job) == DIMR_JOB_CANCELLED)
    error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "Stopped");
  else if (run->options->trace != NULL)
    write_trace (run, &error);

  if (error != NULL)
    fail (run, error);
  else
    g_main_loop_quit (run->loop);
}

static void
on_cancelled (GCancellable *cancellable,
              Run          *run)
{
  if (run->job != NULL)
    dimr_engine_cancel (run->engine, run->job);
}

static void
on_model_loaded (GObject      *source,
                 GAsyncResult *result,
                 gpointer      data)
{
  Run *run = data;
  GError *error = NULL;
  g_autoptr (DimrModel) model = dimr_engine_load_model_finish (DIMR_ENGINE (source), result, &error);

  if (model == NULL || !studio_generate_options_complete (run->options, model, run->request, &error))
    {
      fail (run, error);
      return;
    }
  run->job = dimr_engine_submit (run->engine, run->request, FALSE, &error);
  if (run->job == NULL)
    {
      fail (run, error);
      return;
    }
  g_signal_connect (run->job, "changed", G_CALLBACK (on_changed), run);
  g_signal_connect (run->job, "image-done", G_CALLBACK (on_image_done), run);
  g_signal_connect (run->job, "finished", G_CALLBACK (on_finished), run);
}

static char *
find_model (const StudioGenerateOptions  *options,
            GError                      **error)
{
  char *path = options->model != NULL ? g_strdup (options->model) : dimr_paths_dup_default_model ();

  if (path == NULL)
    g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_FILE,
                         _("The model that comes with the program was not found; name one with --model, "
                           "or the program's data folder in DIMR_DATA_DIR"));
  return path;
}

static gboolean
make_folder (const char  *folder,
             GError     **error)
{
  if (g_mkdir_with_parents (folder, 0777) == 0)
    return TRUE;
  g_set_error (error, DIMR_ERROR, DIMR_ERROR_FILE, _("The folder %s could not be made: %s"), folder, g_strerror (errno));
  return FALSE;
}

/* The folders are made before the work, so that a mistyped one costs no time. */
static gboolean
prepare_folders (const StudioGenerateOptions  *options,
                 const DimrRequest            *request,
                 GError                      **error)
{
  g_autofree char *picture = request->output_folder == NULL ? g_path_get_dirname (options->out)
                                                            : g_strdup (request->output_folder);
  g_autofree char *trace = options->trace != NULL ? g_path_get_dirname (options->trace) : NULL;

  return make_folder (picture, error) && (trace == NULL || make_folder (trace, error));
}

static void
print_summary (Run *run)
{
  guint n = run->job != NULL ? dimr_job_get_n_images_done (run->job) : 0;
  double seconds = (double) (g_get_monotonic_time () - run->began) / G_USEC_PER_SEC;
  const char *where = run->request->output_folder != NULL ? run->request->output_folder : run->options->out;

  studio_progress_clear (run->progress);
  if (run->options->json && run->error == NULL)
    {
      JsonBuilder *event = studio_cli_event_new ("done");

      studio_cli_event_int (event, "images", n);
      studio_cli_event_double (event, "seconds", seconds);
      studio_cli_event_double (event, "seconds_sampling", dimr_job_get_seconds_elapsed (run->job));
      studio_cli_event_print (event);
    }
  else if (is_chatty (run) && n > 0)
    g_printerr (ngettext ("%u picture in %.1f s, in %s\n", "%u pictures in %.1f s, in %s\n", n), n, seconds, where);
}

int
studio_cli_generate (int    argc,
                     char **argv)
{
  g_auto (StudioGenerateOptions) options;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (StudioProgress) progress = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  Run run = { .options = &options, .cancellable = cancellable, .loop = loop, .began = g_get_monotonic_time () };
  guint ids[2];

  studio_generate_options_init (&options);
  if (!studio_generate_options_parse (&options, argc, argv))
    return STUDIO_EXIT_USAGE;
  run.progress = progress = studio_progress_new (!is_chatty (&run));
  run.request = request = studio_generate_options_to_request (&options, &error);
  if (request == NULL || (path = find_model (&options, &error)) == NULL || !prepare_folders (&options, request, &error))
    return studio_cli_report (error, options.json);

  run.engine = dimr_engine_new (options.device != NULL ? options.device : "auto",
                                options.threads == STUDIO_NOT_GIVEN ? 0 : (guint) options.threads);
  g_signal_connect (cancellable, "cancelled", G_CALLBACK (on_cancelled), &run);
  studio_cli_watch (cancellable, ids);
  dimr_engine_set_autoencoder (run.engine, options.autoencoder);
  dimr_engine_load_model_async (run.engine, path, cancellable, on_model_loaded, &run);
  g_main_loop_run (loop);
  studio_cli_unwatch (ids);
  g_signal_handlers_disconnect_by_data (cancellable, &run);

  print_summary (&run);
  if (run.job != NULL)
    {
      g_signal_handlers_disconnect_by_data (run.job, &run);
      g_clear_object (&run.job);
    }
  g_clear_object (&run.engine);
  if (run.error == NULL)
    return STUDIO_EXIT_OK;
  error = run.error;
  return studio_cli_report (error, options.json);
}
