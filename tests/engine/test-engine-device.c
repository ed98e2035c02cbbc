/* Every way a device can take part in a job, and fail: the same pictures, one sentence, and what waits goes on.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine-fixture.h"
#include "test-device.h"

#include "core/diffusion/dimr-walk.h"
#include "kernels/dimr-kernels.h"

#include <string.h>

#define N_IMAGES 5

/* The kernels are fifty times slower under ThreadSanitizer, to which every micro-batch is the same. */
#ifdef __SANITIZE_THREAD__
#define NEXT_MICRO_BATCH 3
#else
#define NEXT_MICRO_BATCH 1
#endif

/* Five images, which no micro-batch but 1 divides. */
static DimrRequest *
new_five (DimrEngine *engine)
{
  DimrRequest *request = new_request (engine, N_IMAGES);

  request->n_steps = 4;
  request->guidance.kind = DIMR_GUIDANCE_COSINE;
  return request;
}

static DimrJob *
run_done (DimrEngine        *engine,
          const DimrRequest *request)
{
  Seen seen = { 0 };
  DimrJob *job = run (engine, request, &seen);

  if (dimr_job_peek_error (job) != NULL)
    g_error ("%s", dimr_job_peek_error (job)->message);
  g_assert_cmpint (dimr_job_get_state (job), ==, DIMR_JOB_DONE);
  return job;
}

static DimrJob *
run_failing (DimrEngine        *engine,
             const DimrRequest *request,
             int                code)
{
  Seen seen = { 0 };
  DimrJob *job = run (engine, request, &seen);

  g_assert_cmpint (dimr_job_get_state (job), ==, DIMR_JOB_FAILED);
  g_assert_error (dimr_job_peek_error (job), DIMR_ERROR, code);
  return job;
}

static void
assert_recipe_tells_micro_batch (DimrJob *job,
                                 guint    micro_batch)
{
  g_autoptr (DimrRecipe) recipe = dimr_job_dup_recipe (job, 0);

  g_assert_cmpuint (recipe->micro_batch, ==, micro_batch);
  g_assert_cmpint (recipe->precision, ==, DIMR_PRECISION_F32);
}

/* ---- micro-batches ---- */

/* How many are asked for, how many go together, whether somebody looks: never a picture's bytes. */
static void
test_a_micro_batch_decides_alone (gconstpointer device)
{
  test_device_init ();
  for (guint m = 1; m <= 4; m += NEXT_MICRO_BATCH)
    {
      g_autoptr (DimrEngine) engine = new_engine_on (device);
      g_autoptr (DimrRequest) request = new_five (engine);
      g_autoptr (DimrJob) whole = NULL;

      request->n_steps = 2;
      request->micro_batch = m;
      request->batch = N_IMAGES;
      whole = run_done (engine, request);
      assert_recipe_tells_micro_batch (whole, m);
      for (guint n = 1; n <= N_IMAGES; n += 2)
        {
          g_autoptr (DimrJob) job = NULL;

          request->n_classes = n;
          request->batch = 1 + n % 4;
          request->previews = n == 3;
          job = run_done (engine, request);
          assert_same_pictures (whole, job, n);
        }
    }
}

/* The neighbours in a micro-batch do not reach a picture either: the last one alone, padded, is the same. */
static void
test_neighbours_do_not_matter (void)
{
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrRequest) request = new_five (engine);
  g_autoptr (DimrJob) five = NULL;

  request->n_steps = 2;
  request->micro_batch = 4;
  five = run_done (engine, request);
  for (guint i = 0; i < N_IMAGES; i++)
    {
      g_autoptr (DimrRequest) one = dimr_request_copy (request);
      g_autoptr (DimrJob) job = NULL;

      one->classes[0] = request->classes[i];
      one->n_classes = 1;
      one->first_index = i;
      job = run_done (engine, one);
      g_assert_true (g_bytes_equal (dimr_image_peek_pixels (dimr_job_peek_image (five, i)),
                                    dimr_image_peek_pixels (dimr_job_peek_image (job, 0))));
    }
}

static void
test_the_device_chooses_where_the_request_does_not (void)
{
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) job = NULL;
  g_autoptr (DimrRecipe) recipe = NULL;

  test_device_init ();
  test_device.micro_batch = 3;
  test_device.precision = DIMR_PRECISION_BF16;
  engine = new_engine_on ("test");
  request = new_five (engine);
  request->batch = 1;
  job = run_done (engine, request);
  recipe = dimr_job_dup_recipe (job, 0);
  g_assert_cmpuint (recipe->micro_batch, ==, 3);
  g_assert_cmpint (recipe->precision, ==, DIMR_PRECISION_BF16);
  /* Two groups of three, one after the other. */
  g_assert_cmpuint (test_device.n_runs, ==, 2 * request->n_steps);
}

/* ---- walks in the device's memory ---- */

static void
test_a_walk_on_the_device_is_the_host_s (void)
{
  for (guint m = 1; m <= 3; m += NEXT_MICRO_BATCH)
    {
      g_autoptr (DimrEngine) host = new_engine ();
      g_autoptr (DimrEngine) engine = NULL;
      g_autoptr (DimrRequest) request = new_five (host);
      g_autoptr (DimrJob) a = NULL, b = NULL;
      const guint n_walks = m == 1 ? 2 : 1; /* 4 and 1 images, or 4 … 6 of which 5 are wanted */

      test_device_init ();
      engine = new_engine_on ("test");
      request->micro_batch = m;
      request->batch = m == 1 ? 4 : 5;
      request->previews = FALSE;
      a = run_done (host, request);
      b = run_done (engine, request);
      assert_same_pictures (a, b, N_IMAGES);
      g_assert_cmpuint (test_device.n_walks, ==, n_walks);
      g_assert_cmpuint (test_device.n_walk_steps, ==, n_walks * request->n_steps);
      g_assert_cmpuint (test_device.n_selects, ==, n_walks * request->n_steps);
      g_assert_cmpuint (test_device.n_series, ==, 1);
      /* Nothing but the results was read. */
      g_assert_cmpuint (test_device.n_requests, ==, n_walks);
      g_assert_cmpuint (test_device.n_fetches, ==, n_walks);
    }
}

static void
test_previews_of_a_device_lag_and_change_nothing (void)
{
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) without = NULL, with = NULL;
  Seen seen = { 0 };

  test_device_init ();
  engine = new_engine_on ("test");
  request = new_five (engine);
  request->n_steps = 30;
  request->batch = 2;
  request->previews = FALSE;
  without = run_done (engine, request);
  request->previews = TRUE;
  test_device.n_requests = test_device.n_fetches = 0;
  with = run (engine, request, &seen);
  assert_same_pictures (without, with, N_IMAGES);
  /* Some were begun besides the three results, each is taken over before the next, and they were shown. */
  g_assert_cmpuint (test_device.n_requests, >, 3);
  g_assert_cmpuint (test_device.n_requests, ==, test_device.n_fetches);
  g_assert_cmpuint (seen.previews, >, 0);
}

static void
test_a_trace_of_the_device_is_the_host_s (void)
{
  static const char *const names[] = { "times", "xs", "latent" };
  g_autoptr (DimrEngine) host = new_engine ();
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = new_five (host);
  g_autoptr (DimrJob) a = NULL, b = NULL;

  test_device_init ();
  engine = new_engine_on ("test");
  request->trace = TRUE;
  request->n_steps = 7;
  request->batch = 2;
  a = run_done (host, request);
  b = run_done (engine, request);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      DimrTensor *x = g_hash_table_lookup (dimr_job_peek_trace (a), names[i]);
      DimrTensor *y = g_hash_table_lookup (dimr_job_peek_trace (b), names[i]);

      g_assert_cmpmem (dimr_tensor_peek_data (x), dimr_tensor_get_n_bytes (x),
                       dimr_tensor_peek_data (y), dimr_tensor_get_n_bytes (y));
    }
}

static void
test_stopping_a_walk_on_the_device (void)
{
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) job = NULL, again = NULL;
  Seen stopping = { .stop_after = 2 };

  test_device_init ();
  engine = new_engine_on ("test");
  request = new_five (engine);
  request->n_steps = 500;
  job = run (engine, request, &stopping);
  g_assert_cmpint (dimr_job_get_state (job), ==, DIMR_JOB_CANCELLED);
  request->n_steps = 2;
  again = run_done (engine, request);
}

/* ---- faster, not exact ---- */

/* Where g(t) is one to a hundredth the guided half is left out, and nowhere else. */
static void
test_the_unconditional_half_is_skipped_near_one (void)
{
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) exact = NULL, skipped = NULL, constant = NULL, constant_skipped = NULL;
  g_autoptr (DimrRecipe) recipe = NULL;
  guint n_guided = 0;

  test_device_init ();
  engine = new_engine_on ("test");
  request = new_request (engine, 1);
  request->n_steps = 20;
  request->guidance = (DimrGuidance){ DIMR_GUIDANCE_COSINE, 3.0, 4.0 };
  exact = run_done (engine, request);
  request->skip_unconditional = TRUE;
  test_device.n_series = 0;
  skipped = run_done (engine, request);
  recipe = dimr_job_dup_recipe (skipped, 0);
  g_assert_true (recipe->skip_unconditional);
  /* The first steps, where t is near 1, are the unguided ones: a second program knows the times too. */
  g_assert_cmpuint (test_device.n_series, ==, 1);
  g_assert_false (g_bytes_equal (dimr_image_peek_pixels (dimr_job_peek_image (exact, 0)),
                                 dimr_image_peek_pixels (dimr_job_peek_image (skipped, 0))));

  request->guidance = (DimrGuidance){ DIMR_GUIDANCE_CONSTANT, 2.0, 1.0 };
  constant_skipped = run_done (engine, request);
  request->skip_unconditional = FALSE;
  constant = run_done (engine, request);
  assert_same_pictures (constant, constant_skipped, 1);

  for (guint i = 0; i < 20; i++)
    n_guided += !dimr_guidance_is_near_one (dimr_guidance_at (&(DimrGuidance){ DIMR_GUIDANCE_COSINE, 3.0, 4.0 }, 1 - i * 0.999 / 20));
  g_assert_cmpuint (n_guided, >, 0);
  g_assert_cmpuint (n_guided, <, 20);
}

static void
test_lower_branches_are_kept_for_k_evaluations (void)
{
  g_autoptr (DimrEngine) host = new_engine ();
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = new_five (host);
  g_autoptr (DimrJob) exact = NULL, every = NULL;

  request->n_steps = 7;
  request->guidance.kind = DIMR_GUIDANCE_CONSTANT;
  exact = run_done (host, request);
  request->reuse_low_branches = 1;
  every = run_done (host, request);
  assert_same_pictures (exact, every, N_IMAGES);
  for (guint k = 2; k <= 3; k++)
    for (guint m = 1; m <= 2; m++)
      {
        g_autoptr (DimrJob) a = NULL, b = NULL;
        g_autoptr (DimrRecipe) recipe = NULL;
        const guint n_groups = (N_IMAGES + m - 1) / m, n_refreshed = (7 + k - 1) / k;

        test_device_init ();
        g_clear_object (&engine);
        engine = new_engine_on ("test");
        request->reuse_low_branches = k;
        request->micro_batch = m;
        request->batch = 4;
        a = run_done (host, request);
        b = run_done (engine, request);
        assert_same_pictures (a, b, N_IMAGES);
        recipe = dimr_job_dup_recipe (a, 0);
        g_assert_cmpuint (recipe->reuse_low_branches, ==, k);
        /* Handed on once a refresh, but for one that is the walk's last evaluation. */
        g_assert_cmpuint (test_device.n_copies, ==, n_groups * (n_refreshed - (7 % k == 1)));
        g_assert_false (g_bytes_equal (dimr_image_peek_pixels (dimr_job_peek_image (exact, 0)),
                                       dimr_image_peek_pixels (dimr_job_peek_image (a, 0))));
      }
}

/* The last branch with what the whole network just gave it is the whole network, bit for bit. */
static void
test_the_last_branch_alone_is_exact_when_fresh (void)
{
  static const double times[] = { 0.7, 0.7, 0.4, 0.4 };
  static const DimrEvaluation evaluations[] = { DIMR_EVALUATION_WHOLE, DIMR_EVALUATION_LAST_BRANCH,
                                                DIMR_EVALUATION_UNGUIDED,
                                                DIMR_EVALUATION_UNGUIDED | DIMR_EVALUATION_LAST_BRANCH };
  const DimrDenoiserSettings settings = { DIMR_PRECISION_F32, 2, TRUE, TRUE };
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrModel) model = dimr_model_load (STARTER_MODEL, NULL, &error);
  g_autoptr (DimrDevice) device = dimr_device_open ("cpu", 0, &error);
  g_autoptr (DimrDenoiser) denoiser = dimr_denoiser_new (model, device, &settings, NULL, &error);
  const gsize n = 2 * dimr_denoiser_get_image_len (denoiser);
  g_autofree float *x = g_new (float, n), *eps = g_new (float, 4 * n);
  const int y[] = { 1, 107 };

  g_assert_no_error (error);
  dimr_rng_normal (5, 0, DIMR_STREAM_START_NOISE, 0, x, n);
  g_assert_true (dimr_denoiser_announce (denoiser, times, evaluations, 4, NULL, &error));
  for (guint i = 0; i < 4; i++)
    g_assert_true (dimr_denoiser_evaluate (denoiser, i, x, y, 2, 1.7, eps + i * n, NULL, NULL, &error));
  g_assert_cmpmem (eps, n * sizeof (float), eps + n, n * sizeof (float));
  g_assert_cmpmem (eps + 2 * n, n * sizeof (float), eps + 3 * n, n * sizeof (float));
  g_assert_true (memcmp (eps, eps + 2 * n, n * sizeof (float)) != 0);
}

/* ---- failures ---- */

static guint64
memory_for (guint micro_batch)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrModel) model = dimr_model_load (STARTER_MODEL, NULL, &error);
  guint64 weights, arena;

  test_device.memory = 0;
  test_device.micro_batch = micro_batch;
  g_assert_true (dimr_forecast_memory (dimr_model_peek_config (model), "test", DIMR_PRECISION_F32, TRUE, &weights, &arena, &error));
  return weights + arena;
}

static void
test_what_fits_is_said_and_done_where_nobody_chose (void)
{
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) job = NULL, failed = NULL, small = NULL, none = NULL;
  guint64 memory;

  test_device_init ();
  memory = memory_for (2);
  test_device.micro_batch = 8;
  test_device.memory = memory;
  engine = new_engine_on ("test");
  request = new_five (engine);
  job = run_done (engine, request);
  assert_recipe_tells_micro_batch (job, 2);
  g_assert_nonnull (strstr (dimr_job_peek_note (job), "2 images per evaluation instead of 8"));

  /* Somebody who chose eight gets no other number, but is told it; and the engine lives. */
  request->micro_batch = 8;
  failed = run_failing (engine, request, DIMR_ERROR_MEMORY);
  g_assert_nonnull (strstr (dimr_job_peek_error (failed)->message, "MiB free"));
  g_assert_nonnull (strstr (dimr_job_peek_error (failed)->message, "2 images per evaluation instead of 8 fit"));
  request->micro_batch = 2;
  small = run_done (engine, request);
  assert_same_pictures (job, small, N_IMAGES);
  g_assert_null (dimr_job_peek_note (small));

  test_device.memory = 1 << 20;
  request->micro_batch = 0;
  none = run_failing (engine, request, DIMR_ERROR_MEMORY);
  g_assert_null (strstr (dimr_job_peek_error (none)->message, "per evaluation"));
}

/* What no plan foretold: the compilation finds no memory. Halves are tried until they fit. */
static void
test_a_failed_allocation_is_not_the_end (void)
{
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) job = NULL, failed = NULL, again = NULL;

  test_device_init ();
  test_device.micro_batch = 8;
  test_device.compile_limit = 4; /* two guided images */
  engine = new_engine_on ("test");
  request = new_five (engine);
  job = run_done (engine, request);
  assert_recipe_tells_micro_batch (job, 2);
  g_assert_nonnull (strstr (dimr_job_peek_note (job), "2 images per evaluation instead of 8"));

  /* In the middle of a walk there is no second try: half a picture would be of another micro-batch. */
  test_device.failure = DIMR_ERROR_MEMORY;
  test_device.fails_at = test_device.n_runs + 3;
  failed = run_failing (engine, request, DIMR_ERROR_MEMORY);
  g_assert_cmpuint (test_device.n_trims, >, 0);
  test_device.fails_at = 0;
  again = run_done (engine, request);
  assert_same_pictures (job, again, N_IMAGES);
}

static void
wait_for_device_news (DimrEngine *engine,
                      const char *name)
{
  while (g_strcmp0 (dimr_engine_get_device_name (engine), name) != 0 || dimr_engine_is_device_lost (engine))
    g_main_context_iteration (NULL, TRUE);
}

static void
test_a_lost_device_ends_and_the_queue_survives (void)
{
  g_autoptr (DimrEngine) host = new_engine (), engine = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) first = NULL, waiting = NULL, late = NULL, expected = NULL;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  Seen seen[2] = { { .loop = loop }, { .loop = loop } };

  test_device_init ();
  engine = new_engine_on ("test");
  request = new_five (engine);
  expected = run_done (host, request);
  test_device.failure = DIMR_ERROR_DEVICE_LOST;
  test_device.fails_at = 2;
  first = dimr_engine_submit (engine, request, FALSE, &error);
  waiting = dimr_engine_submit (engine, request, FALSE, &error);
  watch (first, &seen[0]);
  watch (waiting, &seen[1]);
  while (!dimr_engine_is_device_lost (engine) || !dimr_job_is_finished (first))
    g_main_context_iteration (NULL, TRUE);
  g_assert_error (dimr_job_peek_error (first), DIMR_ERROR, DIMR_ERROR_DEVICE_LOST);
  g_assert_nonnull (strstr (dimr_engine_get_device_note (engine), dimr_job_peek_error (first)->message));

  late = run_failing (engine, request, DIMR_ERROR_DEVICE_LOST);
  g_assert_cmpstr (dimr_job_peek_error (late)->message, ==, dimr_job_peek_error (first)->message);
  g_assert_cmpint (dimr_job_get_state (waiting), ==, DIMR_JOB_QUEUED);
  g_assert_cmpuint (g_list_model_get_n_items (dimr_engine_get_queue (engine)), ==, 1);
  g_assert_cmpuint (test_device.n_runs, ==, 2);

  dimr_engine_use_device (engine, "cpu", 0);
  wait_for_device_news (engine, dimr_engine_get_device_name (host));
  g_assert_null (dimr_engine_get_device_note (engine));
  while (!dimr_job_is_finished (waiting))
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (dimr_job_get_state (waiting), ==, DIMR_JOB_DONE);
  assert_same_pictures (expected, waiting, N_IMAGES);
  g_assert_cmpuint (g_list_model_get_n_items (dimr_engine_get_queue (engine)), ==, 0);
}

static void
test_a_device_that_does_not_open_changes_nothing (void)
{
  g_autoptr (DimrEngine) engine = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) job = NULL, other = NULL;
  guint n;

  test_device_init ();
  engine = new_engine_on ("test");
  request = new_request (engine, 1);
  wait_for_device_news (engine, "Test device");
  g_assert_nonnull (dimr_engine_peek_devices (engine, &n));
  g_assert_cmpuint (n, ==, 2);
  g_assert_cmpstr (dimr_engine_peek_devices (engine, &n)[0]->spec, ==, "cpu");
  g_assert_cmpstr (dimr_engine_peek_devices (engine, &n)[1]->spec, ==, "test");

  dimr_engine_use_device (engine, "quantum", 0);
  job = run_done (engine, request);
  g_assert_cmpstr (dimr_engine_get_device_name (engine), ==, "Test device");
  g_assert_nonnull (strstr (dimr_engine_get_device_note (engine), "quantum"));
  g_assert_nonnull (strstr (dimr_engine_get_device_note (engine), "Test device"));

  dimr_engine_use_device (engine, "cpu", 0);
  other = run_done (engine, request);
  g_assert_cmpstr (dimr_engine_get_device_name (engine), !=, "Test device");
  g_assert_null (dimr_engine_get_device_note (engine));
  assert_same_pictures (job, other, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  dimr_kernels_init ();
  test_device_init ();
  g_test_add_data_func ("/engine/micro-batch/decides-alone-on-the-cpu", "cpu", test_a_micro_batch_decides_alone);
  g_test_add_data_func ("/engine/micro-batch/decides-alone-on-a-device", "test", test_a_micro_batch_decides_alone);
  g_test_add_func ("/engine/micro-batch/neighbours-do-not-matter", test_neighbours_do_not_matter);
  g_test_add_func ("/engine/micro-batch/the-device-chooses", test_the_device_chooses_where_the_request_does_not);
  g_test_add_func ("/engine/walk/on-the-device-is-the-host-s", test_a_walk_on_the_device_is_the_host_s);
  g_test_add_func ("/engine/walk/previews-lag-and-change-nothing", test_previews_of_a_device_lag_and_change_nothing);
  g_test_add_func ("/engine/walk/trace-on-the-device-is-the-host-s", test_a_trace_of_the_device_is_the_host_s);
  g_test_add_func ("/engine/walk/stops", test_stopping_a_walk_on_the_device);
  g_test_add_func ("/engine/faster/unconditional-half-is-skipped-near-one", test_the_unconditional_half_is_skipped_near_one);
  g_test_add_func ("/engine/faster/lower-branches-are-kept", test_lower_branches_are_kept_for_k_evaluations);
  g_test_add_func ("/engine/faster/last-branch-alone-is-exact-when-fresh", test_the_last_branch_alone_is_exact_when_fresh);
  g_test_add_func ("/engine/failure/what-fits-is-said-and-done", test_what_fits_is_said_and_done_where_nobody_chose);
  g_test_add_func ("/engine/failure/a-failed-allocation-is-not-the-end", test_a_failed_allocation_is_not_the_end);
  g_test_add_func ("/engine/failure/a-lost-device-ends-and-the-queue-survives", test_a_lost_device_ends_and_the_queue_survives);
  g_test_add_func ("/engine/failure/a-device-that-does-not-open-changes-nothing", test_a_device_that_does_not_open_changes_nothing);
  return g_test_run ();
}
