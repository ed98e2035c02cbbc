/* dimr-bench-pictures.c — whole pictures through the engine: latency, previews, throughput
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/engine/dimr-bench-private.h"

#include "core/base/dimr-i18n.h"
#include "core/engine/dimr-engine.h"

#define WARM_UPS 3
#define PICTURES 20

/* Runs one job after the other in a main context of its own, so that any thread can call it. */
typedef struct
{
  GMainContext *context;
  DimrEngine *engine;
  DimrRequest *request;
  GCancellable *cancellable;
  DimrJob *job;     /* the one that runs */
  gint64 began;
  double preview;   /* seconds after @began; 0 while there is none */
  double picture;   /* of the last one */
  gboolean finished;
} Run;

static void
on_changed (DimrJob *job,
            Run     *run)
{
  if (run->preview == 0 && dimr_job_peek_image (job, 0) != NULL)
    run->preview = dimr_bench_seconds_since (run->began);
}

static void
on_image_done (DimrJob *job,
               guint    index,
               Run     *run)
{
  run->picture = dimr_bench_seconds_since (run->began);
}

static void
on_finished (DimrJob *job,
             Run     *run)
{
  run->finished = TRUE;
}

static gboolean
on_cancelled (GCancellable *cancellable,
              gpointer      data)
{
  Run *run = data;

  if (run->job != NULL)
    dimr_engine_cancel (run->engine, run->job);
  return G_SOURCE_REMOVE;
}

static gboolean
tell_failure (DimrJob  *job,
              GError  **error)
{
  if (dimr_job_get_state (job) == DIMR_JOB_DONE)
    return TRUE;
  if (dimr_job_peek_error (job) != NULL)
    g_propagate_error (error, g_error_copy (dimr_job_peek_error (job)));
  else
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Stopped"));
  return FALSE;
}

/* @began stays where it was set before the first job, which thus includes the engine's own beginning. */
static gboolean
run_job (Run      *run,
         guint     count,
         GError  **error)
{
  g_autoptr (DimrJob) job = NULL;

  if (g_cancellable_set_error_if_cancelled (run->cancellable, error))
    return FALSE;
  run->request->count = run->request->batch = count;
  run->preview = run->picture = 0;
  run->finished = FALSE;
  job = dimr_engine_submit (run->engine, run->request, FALSE, error);
  if (job == NULL)
    return FALSE;
  run->job = job;
  g_signal_connect (job, "changed", G_CALLBACK (on_changed), run);
  g_signal_connect (job, "image-done", G_CALLBACK (on_image_done), run);
  g_signal_connect (job, "finished", G_CALLBACK (on_finished), run);
  while (!run->finished)
    g_main_context_iteration (run->context, TRUE);
  g_signal_handlers_disconnect_by_data (job, run);
  run->job = NULL;
  return tell_failure (job, error);
}

static gboolean
measure_latency (Run                *run,
                 double              seconds,
                 DimrBenchPictures  *pictures,
                 GError            **error)
{
  double previews[PICTURES], images[PICTURES];
  gint64 began;
  guint n = 0;

  if (!run_job (run, 1, error))
    return FALSE;
  pictures->first_preview = run->preview;
  began = g_get_monotonic_time ();
  for (guint i = 1; i < WARM_UPS && dimr_bench_seconds_since (began) < seconds; i++)
    if (!run_job (run, 1, error))
      return FALSE;

  began = g_get_monotonic_time ();
  while (n < 1 || (n < PICTURES && dimr_bench_seconds_since (began) < seconds))
    {
      run->began = g_get_monotonic_time ();
      if (!run_job (run, 1, error))
        return FALSE;
      previews[n] = run->preview;
      images[n++] = run->picture;
    }
  dimr_bench_times_init (&pictures->preview, previews, n);
  dimr_bench_times_init (&pictures->picture, images, n);
  return TRUE;
}

static gboolean
measure_throughput (Run                *run,
                    guint               batch,
                    double              seconds,
                    DimrBenchPictures  *pictures,
                    GError            **error)
{
  gint64 began;

  /* No more at a time than the time is likely to suffice for. */
  pictures->batch = (guint) CLAMP (seconds / pictures->picture.median, 1, batch);
  pictures->n_pictures = 0;
  run->request->previews = FALSE;
  began = g_get_monotonic_time ();
  do
    {
      if (!run_job (run, pictures->batch, error))
        return FALSE;
      pictures->n_pictures += pictures->batch;
    }
  while (dimr_bench_seconds_since (began) < seconds);
  pictures->pictures_per_second = pictures->n_pictures / dimr_bench_seconds_since (began);
  return TRUE;
}

gboolean
dimr_bench_measure_pictures (DimrModel          *model,
                             const char         *device,
                             guint               n_threads,
                             const DimrRequest  *request,
                             guint               batch,
                             double              seconds,
                             DimrBenchPictures  *pictures,
                             GCancellable       *cancellable,
                             GError            **error)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GSource) source = g_cancellable_source_new (cancellable);
  g_autoptr (DimrRequest) copy = NULL;
  Run run = { .context = context, .cancellable = cancellable };
  gboolean ok;

  g_return_val_if_fail (DIMR_IS_MODEL (model) && device != NULL && request != NULL, FALSE);
  g_return_val_if_fail (batch > 0 && pictures != NULL, FALSE);

  g_main_context_push_thread_default (context);
  run.request = copy = dimr_request_copy (request);
  copy->previews = TRUE;
  g_source_set_callback (source, G_SOURCE_FUNC (on_cancelled), &run, NULL);
  g_source_attach (source, context);
  run.began = g_get_monotonic_time ();
  run.engine = dimr_engine_new (device, n_threads);
  dimr_engine_set_model (run.engine, model);
  *pictures = (DimrBenchPictures){ .n_steps = request->n_steps };

  ok = measure_latency (&run, seconds, pictures, error) && measure_throughput (&run, batch, seconds, pictures, error);

  g_clear_object (&run.engine);
  g_source_destroy (source);
  while (g_main_context_iteration (context, FALSE))
    ;
  g_main_context_pop_thread_default (context);
  return ok;
}
