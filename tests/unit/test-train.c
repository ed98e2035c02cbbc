/* A training run's parts that need no device: options, log, parameters, optimizer, snapshots.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train-fixture.h"

#include "core/base/dimr-error.h"
#include "core/train/dimr-optimizer.h"
#include "core/train/dimr-snapshot.h"
#include "core/train/dimr-training-log.h"
#include "core/train/dimr-training-options.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static const char *small_config =
  "{ \"model\": \"MRModel\", \"channels\": 3, \"num_classes\": 9, \"image_size\": 8, \"loss_coeffs\": [0.25, 1],"
  "  \"schedule\": { \"kind\": \"vp_linear\", \"beta_0\": 0.1, \"beta_1\": 20 }, \"time_condition\": \"log_snr\","
  "  \"stage_configs\": ["
  "   { \"block_type\": \"TransformerBlock\", \"dim\": 16, \"hidden_dim\": 32, \"num_attention_heads\": 2, \"num_blocks\": 1,"
  "     \"max_height\": 4, \"max_width\": 4, \"image_input_ratio\": 1, \"input_feature_ratio\": 2, \"final_kernel_size\": 3, \"kernel_size\": 7 },"
  "   { \"block_type\": \"ConvNeXtBlock\", \"dim\": 8, \"hidden_dim\": 16, \"num_attention_heads\": 1, \"num_blocks\": 1,"
  "     \"max_height\": 8, \"max_width\": 8, \"image_input_ratio\": 1, \"input_feature_ratio\": 1, \"final_kernel_size\": 3, \"kernel_size\": 7 } ] }";

static DimrConfig *
make_config (void)
{
  g_autoptr (GError) error = NULL;
  DimrConfig *config = dimr_config_parse (small_config, strlen (small_config), "test", &error);

  g_assert_no_error (error);
  return config;
}

static void
test_options (void)
{
  g_autoptr (DimrTrainingOptions) a = dimr_training_options_new (), b = dimr_training_options_new ();
  g_autoptr (JsonObject) object = NULL, again = NULL;
  static const char * const bad[][2] = {
    { "steps", "0" }, { "steps", "1.5" }, { "steps", "many" }, { "lr", "-1" }, { "lr", "nan" }, { "lr", "1e-3x" },
    { "flip", "yes" }, { "decay", "linear" }, { "precision", "f16" }, { "colour", "red" }, { "ema", "" },
  };

  g_assert_true (dimr_training_options_set (a, "lr", "0.003", NULL));
  g_assert_true (dimr_training_options_set (a, "steps", "123456789012", NULL));
  g_assert_true (dimr_training_options_set (a, "data", "some where", NULL));
  g_assert_true (dimr_training_options_set (a, "flip", "false", NULL));
  object = dimr_training_options_write (a);
  g_assert_true (dimr_training_options_read (b, object, NULL));
  again = dimr_training_options_write (b);
  g_assert_cmpfloat (b->lr, ==, .003);
  g_assert_cmpuint (b->steps, ==, 123456789012);
  g_assert_cmpstr (b->data, ==, "some where");
  g_assert_false (b->flip);
  g_assert_null (b->from);
  g_assert_cmpuint (json_object_get_size (object), ==, json_object_get_size (again));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (dimr_training_options_set (a, bad[i][0], bad[i][1], &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
    }
}

/* The known value of the nine digits. */
static void
test_crc (void)
{
  g_assert_cmphex (dimr_crc32c ("123456789", 9), ==, 0xe3069283);
}

static guint64
read_le (const guint8 *p,
         guint         n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value |= (guint64) p[i] << 8 * i;
  return value;
}

/* The event file's records have the lengths and checksums that readers look at. */
static void
check_events (const char *folder,
              guint       n_records)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n = 0;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL), *content = NULL;
      gsize size = 0, at = 0;

      if (!g_str_has_prefix (name, "events.out.tfevents."))
        continue;
      g_assert_true (g_file_get_contents (path, &content, &size, NULL));
      while (at < size)
        {
          const guint8 *record = (const guint8 *) content + at;
          const guint64 length = read_le (record, 8);
          const guint32 crc = dimr_crc32c (record + 12, length);

          g_assert_cmpuint (at + 16 + length, <=, size);
          g_assert_cmphex (read_le (record + 12 + length, 4), ==, (guint32) ((crc >> 15 | crc << 17) + 0xa282ead8));
          at += 16 + length;
          n++;
        }
    }
  g_assert_cmpuint (n, ==, n_records);
}

static void
test_log (void)
{
  g_autofree char *folder = train_make_folder (), *path = g_build_filename (folder, "log.csv", NULL), *text = NULL;
  static const char * const names[] = { "loss", "lr", NULL };
  g_autoptr (DimrTrainingLog) log = dimr_training_log_new (folder, names, 0, NULL);
  g_auto (GStrv) lines = NULL;

  g_assert_nonnull (log);
  for (guint64 step = 1; step <= 4; step++)
    g_assert_true (dimr_training_log_add (log, step, (double[]){ .5 * (double) step, step == 2 ? NAN : .001 }, NULL));
  check_events (folder, 5);
  g_clear_pointer (&log, dimr_training_log_free);

  /* Going on from step 2: what came after it will come again. */
  log = dimr_training_log_new (folder, names, 2, NULL);
  g_assert_true (dimr_training_log_add (log, 3, (double[]){ 7, 8 }, NULL));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  g_assert_cmpstr (lines[0], ==, "step,seconds,loss,lr");
  g_assert_true (g_str_has_prefix (lines[2], "2,"));
  g_assert_true (g_str_has_suffix (lines[2], ",1,"));
  g_assert_true (g_str_has_suffix (lines[3], ",7,8"));
  g_assert_cmpstr (lines[4], ==, "");
  train_remove_tree (folder);
}

typedef struct
{
  DimrConfig *config;
  DimrParameters *parameters;
  DimrParameters *average;
  DimrOptimizer *optimizer;
} Model;

static Model
make_model (guint64 seed)
{
  Model self = { make_config () };

  self.parameters = dimr_parameters_new (self.config, NULL, seed, NULL);
  self.average = dimr_parameters_new (self.config, dimr_parameters_peek_weights (self.parameters), 0, NULL);
  self.optimizer = dimr_optimizer_new (self.parameters);
  return self;
}

static void
model_clear (Model *self)
{
  dimr_optimizer_free (self->optimizer);
  dimr_parameters_free (self->average);
  dimr_parameters_free (self->parameters);
  dimr_config_free (self->config);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Model, model_clear)

/* Matrices like the released code's, norms as the identity, convolutions within their bounds. */
static void
test_initial_values (void)
{
  g_auto (Model) model = make_model (5);
  g_auto (Model) same = make_model (5);
  g_auto (Model) other = make_model (6);
  const gsize n = dimr_parameters_get_length (model.parameters);
  const float *values = dimr_parameters_get_values (model.parameters);

  g_assert_cmpmem (values, n * 4, dimr_parameters_get_values (same.parameters), n * 4);
  g_assert_cmpint (memcmp (values, dimr_parameters_get_values (other.parameters), n * 4), !=, 0);
  for (guint i = 0; i < dimr_parameters_get_n (model.parameters); i++)
    {
      const DimrParameter *p = dimr_parameters_peek (model.parameters, i);
      const double rms = dimr_norm (values + p->first, p->n) / sqrt ((double) p->n);

      if (g_str_has_suffix (p->name, ".scale.param0"))
        g_assert_cmpfloat (rms, ==, 1);
      else if (g_str_has_suffix (p->name, ".nodecay_weight"))
        g_assert_true (rms == 0 && !p->decays);
      else if (g_str_has_suffix (p->name, ".w0.weight"))
        g_assert_cmpfloat_with_epsilon (rms, .02, .003);
      else if (g_str_has_suffix (p->name, "block1.1.weight"))
        g_assert_cmpfloat_with_epsilon (rms, 1. / 7 / sqrt (3), .01);
    }
}

/* One number by hand, decay and both moments; and a parameter without a gradient stays what it is. */
static void
test_adamw (void)
{
  g_auto (Model) model = make_model (5);
  const guint n_params = dimr_parameters_get_n (model.parameters);
  const gsize n = dimr_parameters_get_length (model.parameters);
  float *values = dimr_parameters_get_values (model.parameters);
  g_autofree float *gradients = g_new (float, n), *before = g_memdup2 (values, n * sizeof (float));
  g_autofree gboolean *has = g_new (gboolean, n_params);
  const DimrAdamW options = DIMR_ADAMW_PAPER (.01);

  for (gsize i = 0; i < n; i++)
    gradients[i] = i % 2 ? .5f : -2;
  for (guint i = 0; i < n_params; i++)
    has[i] = i != 0;
  dimr_optimizer_update (model.optimizer, &options, gradients, 1, has);
  for (guint i = 0; i < n_params; i++)
    {
      const DimrParameter *p = dimr_parameters_peek (model.parameters, i);
      const gsize k = p->first;
      const double keep = p->decays ? 1 - .01 * .03 : 1;

      if (i == 0)
        g_assert_cmpfloat (values[k], ==, before[k]);
      else /* the first step of Adam is lr in the direction of the gradient's sign */
        g_assert_cmpfloat_with_epsilon ((double) values[k], (double) before[k] * keep - (k % 2 ? .01 : -.01), 1e-6);
    }
}

static void
test_snapshots (void)
{
  g_autofree char *folder = train_make_folder (), *leftover = g_build_filename (folder, ".part-step-000000000001", NULL);
  g_auto (Model) model = make_model (5);
  g_auto (Model) other = make_model (6);
  const gsize bytes = dimr_parameters_get_length (model.parameters) * sizeof (float);
  g_autoptr (GPtrArray) folders = NULL;
  g_autoptr (GError) error = NULL;
  DimrTrainingState state = { other.parameters, other.average, other.optimizer, 0, "data" };

  g_mkdir (leftover, 0777);
  dimr_optimizer_get_m (model.optimizer)[3] = 5;
  dimr_optimizer_get_v (model.optimizer)[4] = 6;
  for (guint64 step = 1; step <= 4; step++)
    {
      const DimrTrainingState made = { model.parameters, model.average, model.optimizer, step, "data" };

      dimr_parameters_get_values (model.parameters)[0] = (float) step;
      dimr_optimizer_set_step (model.optimizer, step);
      dimr_snapshot_write (folder, &made, small_config, "# Card\n", 2, NULL, NULL, NULL, &error);
      g_assert_no_error (error);
    }
  g_assert_false (g_file_test (leftover, G_FILE_TEST_EXISTS));
  folders = dimr_snapshot_list (folder);
  g_assert_cmpuint (folders->len, ==, 2);
  g_assert_true (g_str_has_suffix (g_ptr_array_index (folders, 0), "step-000000000004"));

  dimr_snapshot_read (g_ptr_array_index (folders, 0), &state, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (state.step, ==, 4);
  g_assert_cmpuint (dimr_optimizer_get_step (other.optimizer), ==, 4);
  g_assert_cmpmem (dimr_parameters_get_values (other.parameters), bytes, dimr_parameters_get_values (model.parameters), bytes);
  g_assert_cmpmem (dimr_parameters_get_values (other.average), bytes, dimr_parameters_get_values (model.average), bytes);
  g_assert_cmpmem (dimr_optimizer_get_m (other.optimizer), bytes, dimr_optimizer_get_m (model.optimizer), bytes);
  g_assert_cmpmem (dimr_optimizer_get_v (other.optimizer), bytes, dimr_optimizer_get_v (model.optimizer), bytes);

  state.fingerprint = "other data";
  g_assert_false (dimr_snapshot_read (g_ptr_array_index (folders, 0), &state, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  train_remove_tree (folder);
}

/* A snapshot whose counts cannot be read is refused, never taken for one of step 0. */
static void
test_damaged_state (void)
{
  static const char * const states[] = {
    "", "[]", "{}", "{\"step\": 3, \"data\": \"data\"}", "{\"step\": \"three\", \"optimizer_step\": 3, \"data\": \"data\"}",
    "{\"step\": {\"a\": 1}, \"optimizer_step\": 3, \"data\": \"data\"}", "{\"step\": 3, \"optimizer_step\": [3], \"data\": \"data\"}",
    "{\"step\": 3, \"optimizer_step\": -3, \"data\": \"data\"}", "{\"step\": 3.5, \"optimizer_step\": 3, \"data\": \"data\"}",
    "{\"step\": null, \"optimizer_step\": 3, \"data\": \"data\"}",
  };
  g_autofree char *folder = train_make_folder (), *snapshot = NULL, *path = NULL;
  g_auto (Model) model = make_model (5);
  DimrTrainingState state = { model.parameters, model.average, model.optimizer, 1, "data" };

  g_assert_true (dimr_snapshot_write (folder, &state, small_config, "", 1, NULL, NULL, &snapshot, NULL));
  path = g_build_filename (snapshot, "state.json", NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (states); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (g_file_set_contents (path, states[i], -1, NULL));
      g_assert_false (dimr_snapshot_read (snapshot, &state, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
      g_assert_nonnull (strstr (error->message, path));
    }
  {
    g_autoptr (GError) error = NULL;

    g_assert_true (g_file_set_contents (path, "{\"step\": 3, \"optimizer_step\": 3, \"data\": {}}", -1, NULL));
    g_assert_false (dimr_snapshot_read (snapshot, &state, &error));
    g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  }
  train_remove_tree (folder);
}

static gboolean
refuse_files (const char *folder,
              gpointer    user_data,
              GError    **error)
{
  g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_FILE, "the disk is full");
  return FALSE;
}

/* As on a full disk: the old one stays, and nothing of the new one does. */
static void
test_failed_snapshot (void)
{
  g_autofree char *folder = train_make_folder ();
  g_auto (Model) model = make_model (5);
  DimrTrainingState state = { model.parameters, model.average, model.optimizer, 1, "data" };
  g_autoptr (GDir) dir = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (dimr_snapshot_write (folder, &state, small_config, "", 1, NULL, NULL, NULL, NULL));
  state.step = 2;
  g_assert_false (dimr_snapshot_write (folder, &state, small_config, "", 1, refuse_files, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  dir = g_dir_open (folder, 0, NULL);
  g_assert_cmpstr (g_dir_read_name (dir), ==, "step-000000000001");
  g_assert_null (g_dir_read_name (dir));
  train_remove_tree (folder);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/train/options/survive-json", test_options);
  g_test_add_func ("/train/log/crc-is-known", test_crc);
  g_test_add_func ("/train/log/goes-on-where-the-run-does", test_log);
  g_test_add_func ("/train/parameters/begin-as-the-paper's", test_initial_values);
  g_test_add_func ("/train/optimizer/makes-the-step-of-adamw", test_adamw);
  g_test_add_func ("/train/snapshots/restore-every-byte", test_snapshots);
  g_test_add_func ("/train/snapshots/with-a-damaged-state-are-refused", test_damaged_state);
  g_test_add_func ("/train/snapshots/appear-whole-or-not-at-all", test_failed_snapshot);
  return g_test_run ();
}
