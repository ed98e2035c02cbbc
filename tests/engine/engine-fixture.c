/* SPDX-License-Identifier: Apache-2.0 */
#include "engine-fixture.h"

static void
on_changed (DimrJob *job,
            Seen    *seen)
{
  seen->changed++;
  g_assert_cmpuint (seen->finished, ==, 0);
  g_assert_cmpuint (dimr_job_get_step (job), <=, dimr_job_get_n_steps (job));
  if (dimr_job_peek_image (job, 0) != NULL && !dimr_job_is_image_done (job, 0))
    seen->previews++;
  if (seen->stop_after > 0 && dimr_job_get_step (job) >= seen->stop_after)
    dimr_engine_cancel (seen->engine, job);
}

static void
on_image_done (DimrJob *job,
               guint    index,
               Seen    *seen)
{
  seen->images++;
  g_assert_true (dimr_job_is_image_done (job, index));
  g_assert_nonnull (dimr_job_peek_image (job, index));
}

static void
on_finished (DimrJob *job,
             Seen    *seen)
{
  seen->finished++;
  g_main_loop_quit (seen->loop);
}

void
watch (DimrJob *job,
       Seen    *seen)
{
  g_signal_connect (job, "changed", G_CALLBACK (on_changed), seen);
  g_signal_connect (job, "image-done", G_CALLBACK (on_image_done), seen);
  g_signal_connect (job, "finished", G_CALLBACK (on_finished), seen);
}

static void
on_loaded (GObject      *source,
           GAsyncResult *result,
           gpointer      data)
{
  GAsyncResult **out = data;

  *out = g_object_ref (result);
}

DimrModel *
load (DimrEngine  *engine,
      const char  *path,
      GError     **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  dimr_engine_load_model_async (engine, path, NULL, on_loaded, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return dimr_engine_load_model_finish (engine, result, error);
}

DimrEngine *
new_engine_on (const char *device)
{
  DimrEngine *engine = dimr_engine_new (device, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrModel) model = load (engine, STARTER_MODEL, &error);

  g_assert_no_error (error);
  g_assert_true (model == dimr_engine_get_model (engine));
  return engine;
}

DimrEngine *
new_engine (void)
{
  return new_engine_on ("cpu");
}

DimrRequest *
new_request (DimrEngine *engine,
             guint       n)
{
  DimrRequest *request = dimr_request_new ();
  const int *classes = dimr_model_peek_trained_classes (dimr_engine_get_model (engine), &request->n_classes);

  g_assert_cmpuint (request->n_classes, >=, n);
  g_free (request->classes);
  request->classes = g_memdup2 (classes, n * sizeof (int));
  request->n_classes = n;
  request->n_steps = 4;
  request->seed = 11;
  request->guidance = (DimrGuidance){ DIMR_GUIDANCE_CONSTANT, 2.0, 2.0 };
  return request;
}

DimrJob *
run (DimrEngine        *engine,
     const DimrRequest *request,
     Seen              *seen)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  DimrJob *job = dimr_engine_submit (engine, request, FALSE, &error);

  g_assert_no_error (error);
  seen->loop = loop;
  seen->engine = engine;
  watch (job, seen);
  g_main_loop_run (loop);
  g_assert_cmpuint (seen->finished, ==, 1);
  return job;
}

void
assert_same_pictures (DimrJob *a,
                      DimrJob *b,
                      guint    n)
{
  for (guint i = 0; i < n; i++)
    g_assert_true (g_bytes_equal (dimr_image_peek_pixels (dimr_job_peek_image (a, i)),
                                  dimr_image_peek_pixels (dimr_job_peek_image (b, i))));
}
