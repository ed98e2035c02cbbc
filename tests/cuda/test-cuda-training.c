/* test-cuda-training.c — training in device memory learns what the host learns, and loses nothing when calls fail
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cuda-case.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-rng.h"
#include "core/train/dimr-learner.h"
#include "fake-cuda.h"

#include <math.h>
#include <string.h>

#define SIDE 8
#define IMAGE (3 * SIDE * SIDE)
#define BATCH 5
#define MICRO 2
#define LEAVES 3

/* Every layout of a parameter: products, a depthwise and an output convolution, vectors of time, tables. */
static const char *config_text =
  "{ \"model\": \"MRModel\", \"channels\": 3, \"num_classes\": 5, \"image_size\": 8, \"loss_coeffs\": [0.25, 1],"
  "  \"schedule\": { \"kind\": \"vp_linear\", \"beta_0\": 0.1, \"beta_1\": 20 }, \"time_condition\": \"log_snr\","
  "  \"stage_configs\": ["
  "   { \"block_type\": \"TransformerBlock\", \"dim\": 24, \"hidden_dim\": 48, \"num_attention_heads\": 2, \"num_blocks\": 2,"
  "     \"max_height\": 4, \"max_width\": 4, \"image_input_ratio\": 1, \"input_feature_ratio\": 2, \"final_kernel_size\": 3, \"kernel_size\": 7 },"
  "   { \"block_type\": \"ConvNeXtBlock\", \"dim\": 16, \"hidden_dim\": 32, \"num_attention_heads\": 1, \"num_blocks\": 1,"
  "     \"max_height\": 8, \"max_width\": 8, \"image_input_ratio\": 1, \"input_feature_ratio\": 1, \"final_kernel_size\": 3, \"kernel_size\": 7 } ] }";

/* A network, and samples to learn from. */
typedef struct
{
  DimrConfig *config;
  DimrSchedule *schedule;
  DimrParameters *parameters;
  DimrParameters *average;
  DimrOptimizer *optimizer;
  float x0[BATCH * IMAGE], noise[BATCH * IMAGE];
  double t[BATCH];
  gint32 y[BATCH];
} Fixture;

static void
fixture_init (Fixture *self)
{
  g_autoptr (GError) error = NULL;

  self->config = dimr_config_parse (config_text, strlen (config_text), "the test", &error);
  g_assert_no_error (error);
  self->schedule = dimr_schedule_new_linear (self->config->beta_0, self->config->beta_1);
  self->parameters = dimr_parameters_new (self->config, NULL, 3, &error);
  g_assert_no_error (error);
  self->average = dimr_parameters_new (self->config, dimr_parameters_peek_weights (self->parameters), 0, &error);
  self->optimizer = dimr_optimizer_new (self->parameters);
  dimr_rng_normal (1, 0, DIMR_STREAM_TRAINING_NOISE, 0, self->x0, BATCH * IMAGE);
  dimr_rng_normal (2, 0, DIMR_STREAM_TRAINING_NOISE, 0, self->noise, BATCH * IMAGE);
  for (guint i = 0; i < BATCH; i++)
    {
      self->t[i] = .1 + .2 * i;
      self->y[i] = (gint32) (i % 5);
    }
}

static void
fixture_clear (Fixture *self)
{
  dimr_optimizer_free (self->optimizer);
  dimr_parameters_free (self->average);
  dimr_parameters_free (self->parameters);
  dimr_schedule_unref (self->schedule);
  dimr_config_free (self->config);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Fixture, fixture_clear)

static DimrTrainingBatch
get_samples (Fixture *self,
             guint    first,
             guint    n)
{
  return (DimrTrainingBatch){ n, self->x0 + first * IMAGE, self->noise + first * IMAGE, self->t + first, self->y + first, NULL, BATCH };
}

static DimrTrainer *
open_trainer (Fixture        *self,
              DimrParameters *parameters,
              DimrDevice     *device,
              DimrPrecision   precision,
              GError        **error)
{
  const DimrTrainerOptions options = { .micro_batch = MICRO, .height = SIDE, .width = SIDE, .precision = precision };

  return dimr_trainer_new (self->config, self->schedule, parameters, device, &options, NULL, error);
}

static void
assert_same (const float *a,
             const float *b,
             gsize        n)
{
  g_assert_cmpmem (a, n * sizeof (float), b, n * sizeof (float));
}

/* Three steps from the device's own gradients: master weights, moments and average are the host's bytes, and what the
 * kernels read are the layouts and roundings of a fresh upload. */
static void
test_learns (gconstpointer data)
{
  const DimrPrecision precision = GPOINTER_TO_INT (data);
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (Fixture) ours = { NULL }, host = { NULL };
  g_autoptr (DimrTrainer) trainer = NULL, fresh = NULL;
  g_autoptr (DimrLearner) learner = NULL;
  g_autoptr (GError) error = NULL;
  const DimrAdamW adam = DIMR_ADAMW_PAPER (.01);
  const DimrTrainingBatch batch = (fixture_init (&ours), fixture_init (&host), get_samples (&ours, 0, BATCH));
  const gsize length = dimr_parameters_get_length (ours.parameters);
  float terms[DIMR_LOSS_MAX_TERMS * BATCH] = { 0 }, again[DIMR_LOSS_MAX_TERMS * BATCH] = { 0 };

  trainer = open_trainer (&ours, ours.parameters, DIMR_DEVICE (device), precision, &error);
  g_assert_no_error (error);
  learner = dimr_learner_new (ours.parameters, ours.average, ours.optimizer, trainer, DIMR_DEVICE (device), 2, &error);
  g_assert_no_error (error);
  g_assert_true (dimr_learner_is_resident (learner));
  for (guint step = 0; step < 3; step++)
    {
      const float *gradients;
      double norm;

      dimr_learner_begin (learner, LEAVES, 0);
      g_assert_true (dimr_trainer_evaluate (trainer, &batch, learner, terms, NULL, &error));
      g_assert_true (dimr_learner_sum (learner, &norm, NULL, &error));
      gradients = dimr_learner_fetch_gradients (learner, &error);
      g_assert_no_error (error);
      g_assert_cmpfloat (norm, >, 0);
      g_assert_cmpfloat_with_epsilon (norm / dimr_norm (gradients, length), 1, 1e-12);
      g_assert_true (dimr_learner_update (learner, &adam, .5, .9, &error));

      dimr_optimizer_update (host.optimizer, &adam, gradients, .5, dimr_trainer_peek_has_gradient (trainer));
      dimr_average_update (dimr_parameters_get_values (host.average), dimr_parameters_get_values (host.parameters), length, .9);
      g_assert_true (dimr_learner_fetch (learner, &error));
      assert_same (dimr_parameters_get_values (ours.parameters), dimr_parameters_get_values (host.parameters), length);
      assert_same (dimr_optimizer_get_m (ours.optimizer), dimr_optimizer_get_m (host.optimizer), length);
      assert_same (dimr_optimizer_get_v (ours.optimizer), dimr_optimizer_get_v (host.optimizer), length);
      assert_same (dimr_parameters_get_values (ours.average), dimr_parameters_get_values (host.average), length);
    }
  g_assert_cmpuint (dimr_optimizer_get_step (ours.optimizer), ==, 3);

  fresh = open_trainer (&host, host.parameters, DIMR_DEVICE (device), precision, &error);
  g_assert_no_error (error);
  g_assert_true (dimr_trainer_evaluate (trainer, &batch, NULL, terms, NULL, &error));
  g_assert_true (dimr_trainer_evaluate (fresh, &batch, NULL, again, NULL, &error));
  assert_same (terms, again, G_N_ELEMENTS (terms));
  fake_cuda_check_guards ();
}

/* The sum of a step's micro-batches is that of the tree, (0 + 1) + 2. */
static void
test_sums (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (Fixture) fixture = { NULL };
  g_autoptr (DimrTrainer) trainer = NULL;
  g_autoptr (DimrLearner) learner = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree float *expected = NULL;
  float terms[DIMR_LOSS_MAX_TERMS * BATCH];
  DimrTrainingBatch batch;
  gsize length;
  double norm;

  fixture_init (&fixture);
  length = dimr_parameters_get_length (fixture.parameters);
  trainer = open_trainer (&fixture, fixture.parameters, DIMR_DEVICE (device), DIMR_PRECISION_F32, &error);
  learner = dimr_learner_new (fixture.parameters, NULL, fixture.optimizer, trainer, DIMR_DEVICE (device), 2, &error);
  g_assert_no_error (error);
  g_assert_true (dimr_learner_is_resident (learner));
  expected = g_new0 (float, length);
  for (guint leaf = 0; leaf < LEAVES; leaf++)
    {
      const float *gradients;

      batch = get_samples (&fixture, MICRO * leaf, MIN (MICRO, BATCH - MICRO * leaf));
      dimr_learner_begin (learner, 1, 0);
      g_assert_true (dimr_trainer_evaluate (trainer, &batch, learner, terms, NULL, &error));
      g_assert_true (dimr_learner_sum (learner, &norm, NULL, &error));
      gradients = dimr_learner_fetch_gradients (learner, &error);
      for (gsize i = 0; i < length; i++)
        expected[i] = leaf == 0 ? gradients[i] : expected[i] + gradients[i];
    }
  batch = get_samples (&fixture, 0, BATCH);
  dimr_learner_begin (learner, LEAVES, 0);
  g_assert_true (dimr_trainer_evaluate (trainer, &batch, learner, terms, NULL, &error));
  g_assert_true (dimr_learner_sum (learner, &norm, NULL, &error));
  assert_same (dimr_learner_fetch_gradients (learner, &error), expected, length);
  g_assert_no_error (error);
}

/* One step from opening to fetching, in which call @fail_at of those after the network is compiled fails (0: none); what
 * comes before fails in test-cuda-errors.c. @n_told: the calls until everything is fetched; what is given back after them
 * may fail unheard. FALSE with @error. */
static gboolean
play (Fixture  *fixture,
      gulong    fail_at,
      gulong   *n_told,
      GError  **error)
{
  const DimrBackend *backend = dimr_cuda_backend ();
  const DimrAdamW adam = DIMR_ADAMW_PAPER (.01);
  const DimrTrainingBatch batch = get_samples (fixture, 0, BATCH);
  float terms[DIMR_LOSS_MAX_TERMS * BATCH];
  g_autoptr (DimrDevice) device = backend->open (0, 0, error);
  g_autoptr (DimrTrainer) trainer = NULL;
  g_autoptr (DimrLearner) learner = NULL;
  double norm;
  gboolean good;

  trainer = device != NULL ? open_trainer (fixture, fixture->parameters, device, DIMR_PRECISION_BF16, error) : NULL;
  if (trainer == NULL)
    return FALSE;
  fake_cuda_fail_at (fail_at, cudaErrorIllegalAddress);
  learner = dimr_learner_new (fixture->parameters, fixture->average, fixture->optimizer, trainer, device, 2, error);
  if (learner == NULL)
    return FALSE;
  dimr_learner_begin (learner, LEAVES, 0);
  good = dimr_trainer_evaluate (trainer, &batch, learner, terms, NULL, error) && dimr_learner_sum (learner, &norm, NULL, error) &&
         dimr_learner_update (learner, &adam, 1, .9, error) && dimr_learner_fetch (learner, error);
  *n_told = fake_cuda_count_calls ();
  return good;
}

/* Every call after the network is compiled fails once, and the device with it. */
static void
test_failures (void)
{
  gulong n_calls, n_told = 0, n_now = 0, stride = g_strcmp0 (g_getenv ("DIMR_TEST_ALL"), "1") == 0 ? 1 : 23;
  g_auto (Fixture) fixture = { NULL };
  g_autoptr (GError) problem = NULL;
  guint before;

  fixture_init (&fixture);
  fake_cuda_reset ();
  before = fake_cuda_count_objects ();
  g_assert_true (play (&fixture, 0, &n_told, &problem));
  g_assert_no_error (problem);
  n_calls = fake_cuda_count_calls ();
  g_assert_cmpuint (fake_cuda_count_objects (), ==, before);
  for (gulong call = 1; call <= n_calls; call += stride)
    {
      g_autoptr (GError) error = NULL;
      gboolean good;

      fake_cuda_reset ();
      cuda_error_forget ();
      good = play (&fixture, call, &n_now, &error);
      if (good && call <= n_told && !g_str_has_prefix (fake_cuda_failed_call () != NULL ? fake_cuda_failed_call () : "cudaFree", "cudaFree") &&
          strstr (fake_cuda_failed_call (), "Destroy") == NULL && strstr (fake_cuda_failed_call (), "Synchronize") == NULL)
        g_error ("%s failed at call %lu of %lu, and nobody says so", fake_cuda_failed_call (), call, n_calls);
      if (!good)
        {
          g_assert_nonnull (error);
          g_assert_true (error->domain == DIMR_ERROR);
          g_assert_cmpint (error->code, ==, DIMR_ERROR_DEVICE_LOST);
        }
      g_assert_cmpuint (fake_cuda_count_objects (), ==, before);
    }
  fake_cuda_reset ();
  cuda_error_forget ();
}

/* A device without room says what is too large before the first step. */
static void
test_memory (void)
{
  g_autoptr (CudaDevice) device = cuda_case_open ();
  g_auto (Fixture) fixture = { NULL };
  g_autoptr (DimrTrainer) trainer = NULL;
  g_autoptr (DimrLearner) learner = NULL;
  g_autoptr (GError) error = NULL;

  fixture_init (&fixture);
  trainer = open_trainer (&fixture, fixture.parameters, DIMR_DEVICE (device), DIMR_PRECISION_F32, &error);
  g_assert_no_error (error);
  fake_cuda_config ()->memory = fake_cuda_config ()->others + fake_cuda_allocated () + 1000;
  learner = dimr_learner_new (fixture.parameters, fixture.average, fixture.optimizer, trainer, DIMR_DEVICE (device), 2, &error);
  g_assert_null (learner);
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY);
  g_assert_nonnull (strstr (error->message, "Weights, moments and gradients in training needs"));
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/cuda/training/learns-as-the-host/f32", GINT_TO_POINTER (DIMR_PRECISION_F32), test_learns);
  g_test_add_data_func ("/cuda/training/learns-as-the-host/bf16", GINT_TO_POINTER (DIMR_PRECISION_BF16), test_learns);
  g_test_add_func ("/cuda/training/sums-in-the-order-of-the-tree", test_sums);
  g_test_add_func ("/cuda/training/says-what-has-no-room", test_memory);
  g_test_add_func ("/cuda/training/says-which-call-failed", test_failures);
  return g_test_run ();
}
