/* The engine from outside: requests in, signals out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine-fixture.h"

#include "kernels/dimr-kernels.h"

#include <string.h>

static void
test_events (void)
{
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrRequest) request = new_request (engine, 3);
  g_autoptr (DimrJob) job = NULL;
  Seen seen = { 0 };

  request->batch = 2;
  job = run (engine, request, &seen);
  g_assert_cmpint (dimr_job_get_state (job), ==, DIMR_JOB_DONE);
  g_assert_cmpuint (seen.images, ==, 3);
  g_assert_cmpuint (dimr_job_get_n_images_done (job), ==, 3);
  g_assert_cmpuint (seen.changed, >=, 2);
  /* The start, two batches of a beginning and four steps, three pictures, the end: no more news than that. */
  g_assert_cmpuint (seen.changed, <=, 1 + 2 * (1 + 4) + 3 + 1);
  g_assert_cmpfloat (dimr_job_get_fraction (job), ==, 1);
  g_assert_null (dimr_job_peek_error (job));
  g_assert_null (dimr_engine_get_current_job (engine));
  g_assert_nonnull (dimr_engine_get_device_name (engine));
  g_assert_cmpuint (strlen (dimr_model_wait_for_hash (dimr_engine_get_model (engine))), ==, 64);
}

/* The promise: how a request is cut never changes a picture. */
static void
test_pictures_do_not_depend_on_the_batch (void)
{
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrRequest) request = new_request (engine, 4);
  g_autoptr (DimrJob) first = NULL;
  Seen seen = { 0 };

  request->n_steps = 2;
  first = run (engine, request, &seen);
  for (guint batch = 2; batch <= 4; batch++)
    {
      g_autoptr (DimrJob) job = NULL;
      Seen again = { 0 };

      request->batch = batch;
      request->previews = batch % 2 == 0;
      job = run (engine, request, &again);
      assert_same_pictures (first, job, 4);
      if (!request->previews)
        g_assert_cmpuint (again.previews, ==, 0);
    }
}

static gboolean
is_same_picture (DimrJob *a,
                 guint    i,
                 DimrJob *b,
                 guint    k)
{
  return g_bytes_equal (dimr_image_peek_pixels (dimr_job_peek_image (a, i)), dimr_image_peek_pixels (dimr_job_peek_image (b, k)));
}

/* Not even where every step draws noise: that is a function of seed, image and step. */
static void
test_drawn_noise_does_not_depend_on_the_batch (void)
{
  static const DimrSamplerKind kinds[] = { DIMR_SAMPLER_DDPM, DIMR_SAMPLER_DDIM };
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrJob) before = NULL;

  for (guint k = 0; k < G_N_ELEMENTS (kinds); k++)
    {
      g_autoptr (DimrRequest) request = new_request (engine, 3);
      g_autoptr (DimrJob) one = NULL, three = NULL, alone = NULL;
      Seen seen[3] = { 0 };

      request->n_steps = 3;
      request->sampler = kinds[k];
      request->options = (DimrSamplerOptions){ kinds[k] == DIMR_SAMPLER_DDIM ? 0.7 : 0, TRUE };
      one = run (engine, request, &seen[0]);
      request->batch = 3;
      request->previews = FALSE;
      three = run (engine, request, &seen[1]);
      assert_same_pictures (one, three, 3);

      request->classes[0] = request->classes[2];
      request->n_classes = 1;
      request->first_index = 2;
      alone = run (engine, request, &seen[2]);
      g_assert_true (is_same_picture (one, 2, alone, 0));
      if (before != NULL)
        g_assert_false (is_same_picture (one, 0, before, 0));
      g_set_object (&before, one);
    }
}

/* One image of a larger request, asked for alone by its number. */
static void
test_a_picture_can_be_made_again_alone (void)
{
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrRequest) request = new_request (engine, 2);
  g_autoptr (DimrJob) all = NULL, one = NULL;
  g_autoptr (DimrRecipe) recipe = NULL;
  Seen seen = { 0 }, again = { 0 };

  request->count = 2;
  all = run (engine, request, &seen);
  recipe = dimr_job_dup_recipe (all, 3);
  g_assert_cmpuint (recipe->image_index, ==, 3);
  g_assert_cmpint (recipe->class_index, ==, request->classes[1]);

  request->classes[0] = recipe->class_index;
  request->n_classes = 1;
  request->count = 1;
  request->first_index = recipe->image_index;
  one = run (engine, request, &again);
  g_assert_true (g_bytes_equal (dimr_image_peek_pixels (dimr_job_peek_image (all, 3)),
                                dimr_image_peek_pixels (dimr_job_peek_image (one, 0))));
}

static void
test_stop_and_start_again (void)
{
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrRequest) request = new_request (engine, 2);
  g_autoptr (DimrJob) whole = NULL, stopped = NULL, again = NULL;
  Seen seen = { 0 }, stopping = { .stop_after = 2 }, restarted = { 0 };

  whole = run (engine, request, &seen);
  request->n_steps = 200;
  stopped = run (engine, request, &stopping);
  g_assert_cmpint (dimr_job_get_state (stopped), ==, DIMR_JOB_CANCELLED);
  g_assert_null (dimr_job_peek_error (stopped));
  g_assert_cmpuint (stopping.images, ==, 0);
  g_assert_cmpuint (dimr_job_get_step (stopped), <, 50);
  request->n_steps = 4;
  again = run (engine, request, &restarted);
  assert_same_pictures (whole, again, 2);
}

static void
test_queue_order_and_clearing (void)
{
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrRequest) request = new_request (engine, 1);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (DimrJob) a = NULL, b = NULL, c = NULL, d = NULL;
  Seen seen[4] = { { .loop = loop, .stop_after = 1, .engine = engine }, { .loop = loop }, { .loop = loop }, { .loop = loop } };

  request->n_steps = 500;
  a = dimr_engine_submit (engine, request, FALSE, NULL);
  watch (a, &seen[0]);
  while (dimr_job_get_state (a) == DIMR_JOB_QUEUED)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (dimr_engine_get_current_job (engine) == a);

  seen[0].stop_after = 0;
  request->n_steps = 2;
  b = dimr_engine_submit (engine, request, FALSE, NULL);
  c = dimr_engine_submit (engine, request, FALSE, NULL);
  d = dimr_engine_submit (engine, request, TRUE, NULL);
  watch (b, &seen[1]);
  watch (c, &seen[2]);
  watch (d, &seen[3]);
  g_assert_cmpuint (g_list_model_get_n_items (dimr_engine_get_queue (engine)), ==, 3);
  {
    g_autoptr (DimrJob) front = g_list_model_get_item (dimr_engine_get_queue (engine), 0);
    g_assert_true (front == d);
  }
  dimr_engine_cancel (engine, b);
  g_main_loop_run (loop); /* b */
  g_assert_cmpint (dimr_job_get_state (b), ==, DIMR_JOB_CANCELLED);
  g_assert_cmpuint (g_list_model_get_n_items (dimr_engine_get_queue (engine)), ==, 2);
  dimr_engine_cancel (engine, a);
  while (!dimr_job_is_finished (d))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (dimr_job_get_state (a), ==, DIMR_JOB_CANCELLED);
  g_assert_cmpint (dimr_job_get_state (d), ==, DIMR_JOB_DONE);
  dimr_engine_clear_queue (engine);
  while (!dimr_job_is_finished (c))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (seen[0].finished + seen[1].finished + seen[2].finished + seen[3].finished, ==, 4);
  g_assert_cmpuint (g_list_model_get_n_items (dimr_engine_get_queue (engine)), ==, 0);
}

static void
test_requests_are_checked (void)
{
  g_autoptr (DimrEngine) engine = dimr_engine_new ("cpu", 0);
  g_autoptr (DimrRequest) request = dimr_request_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrModel) model = NULL;

  g_assert_null (dimr_engine_submit (engine, request, FALSE, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_null (load (engine, "/nowhere/at/all", &error));
  g_assert_nonnull (error);
  g_assert_null (dimr_engine_get_model (engine));
  g_clear_error (&error);
  model = load (engine, STARTER_MODEL, &error);
  g_assert_no_error (error);

#define REFUSED(assignment, fragment)                                                        \
  G_STMT_START                                                                               \
    {                                                                                        \
      g_autoptr (DimrRequest) bad = dimr_request_copy (request);                             \
      g_autoptr (GError) reason = NULL;                                                      \
      assignment;                                                                            \
      g_assert_null (dimr_engine_submit (engine, bad, FALSE, &reason));                      \
      g_assert_error (reason, DIMR_ERROR, DIMR_ERROR_REQUEST);                               \
      g_assert_nonnull (strstr (reason->message, fragment));                                 \
    }                                                                                        \
  G_STMT_END
  REFUSED (bad->n_steps = 0, "Steps");
  REFUSED (bad->n_steps = 1001, "Steps");
  REFUSED (bad->n_classes = 0, "class");
  REFUSED (bad->classes[0] = 1000, "Class 1000");
  REFUSED (bad->classes[0] = -7, "Class -7");
  REFUSED (bad->count = 0, "images");
  REFUSED (bad->batch = 0, "batch");
  REFUSED (bad->guidance.scale = -1, "Guidance");
  REFUSED (bad->guidance.scale = G_MAXDOUBLE, "Guidance");
  REFUSED (bad->noise = g_new0 (float, 7); bad->n_noise = 7, "noise");
  REFUSED (bad->noises = g_new0 (float, 7); bad->n_noises = 7, "noise of the steps");
  REFUSED (bad->options.clip = TRUE, "clipping");
  REFUSED (bad->sampler = DIMR_SAMPLER_DDPM; bad->options.eta = 0.5, "belongs to DDIM");
  REFUSED (bad->sampler = DIMR_SAMPLER_DDIM; bad->options.eta = 2, "from 0 to 1");
  REFUSED (bad->sampler = DIMR_SAMPLER_DDIM; bad->time_grid = DIMR_TIME_GRID_LOG_SNR, "uniform");
  REFUSED (bad->guidance.channels = 4, "3 channels");
  REFUSED (bad->trace = TRUE; bad->count = 1000000; bad->n_steps = 1000, "trace fewer");
  REFUSED (bad->first_index = DIMR_RNG_N_IMAGES, "numbers of pictures end");
}

/* A device that does not exist: every job fails with the reason, and the engine lives on. */
static void
test_failure_is_reported (void)
{
  g_autoptr (DimrEngine) engine = dimr_engine_new ("quantum", 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrModel) model = load (engine, STARTER_MODEL, &error);
  g_autoptr (DimrRequest) request = new_request (engine, 1);

  g_assert_no_error (error);
  for (guint i = 0; i < 2; i++)
    {
      Seen seen = { 0 };
      g_autoptr (DimrJob) job = run (engine, request, &seen);

      g_assert_cmpint (dimr_job_get_state (job), ==, DIMR_JOB_FAILED);
      g_assert_error (dimr_job_peek_error (job), DIMR_ERROR, DIMR_ERROR_DEVICE);
      g_assert_cmpuint (seen.images, ==, 0);
    }
}

static void
test_saved_before_announced (void)
{
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrRequest) request = new_request (engine, 2);
  g_autofree char *folder = g_dir_make_tmp ("dimr-XXXXXX", NULL);
  g_autoptr (DimrJob) first = NULL, again = NULL, other = NULL, failed = NULL;
  Seen seen[4] = { 0 };

  request->output_folder = g_strdup (folder);
  first = run (engine, request, &seen[0]);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (DimrRecipe) recipe = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (DimrImage) image = dimr_png_load (dimr_job_peek_path (first, i), &recipe, &error);

      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (dimr_image_peek_pixels (image),
                                    dimr_image_peek_pixels (dimr_job_peek_image (first, i))));
      g_assert_cmpint (recipe->class_index, ==, request->classes[i]);
      g_assert_cmpuint (recipe->seed, ==, 11);
      g_assert_nonnull (recipe->model_hash);
      /* Who needs the pixels no more keeps the rest. */
      dimr_job_drop_image (first, i);
      g_assert_null (dimr_job_peek_image (first, i));
      g_assert_true (dimr_job_is_image_done (first, i));
      g_assert_nonnull (dimr_job_peek_path (first, i));
    }
  /* The same picture keeps its file; another picture never takes it. */
  again = run (engine, request, &seen[1]);
  g_assert_cmpstr (dimr_job_peek_path (again, 0), ==, dimr_job_peek_path (first, 0));
  request->n_steps = 5;
  other = run (engine, request, &seen[2]);
  g_assert_cmpstr (dimr_job_peek_path (other, 0), !=, dimr_job_peek_path (first, 0));

  g_free (request->output_folder);
  request->output_folder = g_strdup ("/proc/nowhere");
  failed = run (engine, request, &seen[3]);
  g_assert_cmpint (dimr_job_get_state (failed), ==, DIMR_JOB_FAILED);
  g_assert_error (dimr_job_peek_error (failed), DIMR_ERROR, DIMR_ERROR_FILE);
}

static void
test_closing_while_running (void)
{
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr (DimrEngine) engine = new_engine ();
      g_autoptr (DimrRequest) request = new_request (engine, 1);
      g_autoptr (DimrJob) job = NULL;

      request->n_steps = 1000;
      job = dimr_engine_submit (engine, request, FALSE, NULL);
      for (guint k = 0; k < i; k++)
        g_main_context_iteration (NULL, TRUE);
      g_clear_object (&engine);
      while (g_main_context_iteration (NULL, FALSE))
        ;
      g_assert_cmpint (dimr_job_get_state (job), ==, DIMR_JOB_CANCELLED);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  dimr_kernels_init ();
  g_test_add_func ("/engine/events", test_events);
  g_test_add_func ("/engine/pictures-do-not-depend-on-the-batch", test_pictures_do_not_depend_on_the_batch);
  g_test_add_func ("/engine/drawn-noise-does-not-depend-on-the-batch", test_drawn_noise_does_not_depend_on_the_batch);
  g_test_add_func ("/engine/a-picture-can-be-made-again-alone", test_a_picture_can_be_made_again_alone);
  g_test_add_func ("/engine/stop-and-start-again", test_stop_and_start_again);
  g_test_add_func ("/engine/queue-order-and-clearing", test_queue_order_and_clearing);
  g_test_add_func ("/engine/requests-are-checked", test_requests_are_checked);
  g_test_add_func ("/engine/failure-is-reported", test_failure_is_reported);
  g_test_add_func ("/engine/saved-before-announced", test_saved_before_announced);
  g_test_add_func ("/engine/closing-while-running", test_closing_while_running);
  return g_test_run ();
}
