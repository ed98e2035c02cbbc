/* Training as a person meets it: runs that are stopped, killed, damaged, and go on.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli-fixture.h"

#include <glib/gstdio.h>

#include "core/train/dimr-collective-tcp.h"
#include "core/weights/dimr-safetensors-writer.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Relative, since the words of a command line are parted by spaces: main() goes to the data's folder. */
#define REFERENCE "reference/"

static const char *small_config =
  "{ \"model\": \"MRModel\", \"channels\": 3, \"num_classes\": 9, \"image_size\": 16, \"loss_coeffs\": [0.25, 1],"
  "  \"schedule\": { \"kind\": \"vp_linear\", \"beta_0\": 0.1, \"beta_1\": 20 }, \"time_condition\": \"log_snr\","
  "  \"stage_configs\": ["
  "   { \"block_type\": \"TransformerBlock\", \"dim\": 24, \"hidden_dim\": 48, \"num_attention_heads\": 2, \"num_blocks\": 3,"
  "     \"max_height\": 8, \"max_width\": 8, \"image_input_ratio\": 1, \"input_feature_ratio\": 2, \"final_kernel_size\": 3, \"kernel_size\": 7 },"
  "   { \"block_type\": \"ConvNeXtBlock\", \"dim\": 16, \"hidden_dim\": 32, \"num_attention_heads\": 1, \"num_blocks\": 2,"
  "     \"max_height\": 16, \"max_width\": 16, \"image_input_ratio\": 1, \"input_feature_ratio\": 1, \"final_kernel_size\": 3, \"kernel_size\": 7 } ],"
  "  \"training\": { \"batch\": 8, \"lr\": 0.002, \"warmup\": 5, \"ema\": 0.9, \"clip\": 1, \"snapshot-every\": 4, \"keep\": 9,"
  "    \"log-every\": 1, \"validation\": \"drawn\", \"validate-n\": 8, \"sheet-columns\": 2, \"sheet-steps\": 3, \"micro-batch\": 3 } }";

#define LAST "step-000000000012"

typedef struct
{
  char *folder;
  char *config;
  char *straight; /* a run of twelve steps that nothing happened to */
} Fixture;

static void
remove_tree (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        remove_tree (path);
      else
        g_unlink (path);
    }
  g_rmdir (folder);
}

static void
fixture_init (Fixture *self)
{
  g_auto (CliResult) result = { 0 };

  self->folder = cli_make_folder ();
  self->config = g_build_filename (self->folder, "config.json", NULL);
  self->straight = g_build_filename (self->folder, "straight", NULL);
  g_assert_true (g_file_set_contents (self->config, small_config, -1, NULL));
  cli_run (&result, "train --config %s --data drawn --output %s --steps 12 --threads 1", self->config, self->straight);
  cli_assert_status (&result, 0);
}

static void
fixture_clear (Fixture *self)
{
  remove_tree (self->folder);
  g_free (self->folder);
  g_free (self->config);
  g_free (self->straight);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Fixture, fixture_clear)

/* The weights, the average and the optimizer of the last step are the same bytes. */
static void
assert_same_end (Fixture    *self,
                 const char *run)
{
  static const char * const files[] = { "model.safetensors", "state.safetensors", "samples.png" };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *a_path = g_build_filename (self->straight, LAST, files[i], NULL), *b_path = g_build_filename (run, LAST, files[i], NULL);
      g_autofree char *a = NULL, *b = NULL;
      gsize a_size, b_size;

      g_assert_true (g_file_get_contents (a_path, &a, &a_size, NULL));
      g_assert_true (g_file_get_contents (b_path, &b, &b_size, NULL));
      g_assert_cmpmem (a, a_size, b, b_size);
    }
}

static char **
read_lines (const char *folder,
            const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL), *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return g_strsplit (text, "\n", -1);
}

/* What was logged, but for the clock's columns. */
static void
assert_same_log (Fixture    *self,
                 const char *run)
{
  static const guint compared[] = { 0, 2, 3, 4, 5, 6, 9, 10, 11 };
  g_auto (GStrv) ours = read_lines (self->straight, "log.csv"), theirs = read_lines (run, "log.csv");

  g_assert_cmpuint (g_strv_length (ours), ==, g_strv_length (theirs));
  for (guint l = 0; ours[l] != NULL && *ours[l] != '\0'; l++)
    {
      g_auto (GStrv) a = g_strsplit (ours[l], ",", -1), b = g_strsplit (theirs[l], ",", -1);

      for (guint i = 0; i < G_N_ELEMENTS (compared); i++)
        g_assert_cmpstr (a[compared[i]], ==, b[compared[i]]);
    }
}

/* Starts the run and waits until it has printed its first snapshot. */
static GSubprocess *
start_until_snapshot (Fixture    *self,
                      const char *run)
{
  g_autoptr (GSubprocess) process = cli_start ("train --config %s --data drawn --output %s --steps 12 --threads 2", self->config, run);
  g_autoptr (GDataInputStream) stream = g_data_input_stream_new (g_subprocess_get_stdout_pipe (process));
  g_autofree char *line = NULL;

  /* It goes on to print. */
  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (stream), FALSE);
  line = g_data_input_stream_read_line (stream, NULL, NULL, NULL);
  g_assert_nonnull (line);
  g_assert_true (g_str_has_suffix (line, "step-000000000004"));
  return g_steal_pointer (&process);
}

static void
test_killed (void)
{
  g_auto (Fixture) fixture = { NULL };
  g_auto (CliResult) result = { 0 };
  g_autoptr (GSubprocess) process = NULL;
  g_autofree char *run = NULL;

  fixture_init (&fixture);
  run = g_build_filename (fixture.folder, "killed", NULL);
  process = start_until_snapshot (&fixture, run);
  g_subprocess_send_signal (process, SIGKILL);
  g_subprocess_wait (process, NULL, NULL);
  g_assert_true (g_subprocess_get_if_signaled (process));

  cli_run (&result, "train --output %s --resume", run);
  cli_assert_status (&result, 0);
  assert_same_end (&fixture, run);
}

static void
test_stopped (void)
{
  g_auto (Fixture) fixture = { NULL };
  g_auto (CliResult) result = { 0 };
  g_autoptr (GSubprocess) process = NULL;
  g_autofree char *run = NULL;

  fixture_init (&fixture);
  run = g_build_filename (fixture.folder, "stopped", NULL);
  process = start_until_snapshot (&fixture, run);
  g_subprocess_send_signal (process, SIGINT);
  g_subprocess_wait (process, NULL, NULL);
  /* Unless it was done before it heard. */
  g_assert_true (g_subprocess_get_exit_status (process) == 130 || g_subprocess_get_exit_status (process) == 0);

  cli_run (&result, "train --output %s --resume", run);
  cli_assert_status (&result, 0);
  assert_same_end (&fixture, run);
}

/* The newest snapshot was cut short: the one before it serves. */
static void
test_damaged (void)
{
  g_auto (Fixture) fixture = { NULL };
  g_auto (CliResult) result = { 0 }, again = { 0 };
  g_autofree char *run = NULL, *state = NULL;

  fixture_init (&fixture);
  run = g_build_filename (fixture.folder, "damaged", NULL);
  cli_run (&result, "train --config %s --data drawn --output %s --steps 8", fixture.config, run);
  cli_assert_status (&result, 0);
  state = g_build_filename (run, "step-000000000008", "state.safetensors", NULL);
  g_assert_cmpint (truncate (state, 1000), ==, 0);

  cli_run (&again, "train --output %s --resume --steps 12", run);
  cli_assert_status (&again, 0);
  g_assert_nonnull (strstr (again.err, "is damaged"));
  assert_same_end (&fixture, run);
}

/* A snapshot is a model for every other command, and a beginning for another run. */
static void
test_snapshot_is_a_model (void)
{
  g_auto (Fixture) fixture = { NULL };
  g_auto (CliResult) info = { 0 }, picture = { 0 }, from = { 0 }, twice = { 0 };
  g_autofree char *snapshot = NULL, *pictures = NULL, *run = NULL, *log = NULL, *text = NULL;

  fixture_init (&fixture);
  snapshot = g_build_filename (fixture.straight, LAST, NULL);
  pictures = g_build_filename (fixture.folder, "pictures", NULL);
  run = g_build_filename (fixture.folder, "from", NULL);
  cli_run (&info, "info %s --json", snapshot);
  cli_assert_status (&info, 0);
  cli_run (&picture, "generate --model %s --class 3 --steps 3 --out %s", snapshot, pictures);
  cli_assert_status (&picture, 0);
  g_assert_cmpuint (cli_count_files (pictures), ==, 1);
  cli_run (&from, "train --config %s --from %s --data drawn --output %s --steps 1", snapshot, snapshot, run);
  cli_assert_status (&from, 0);
  cli_run (&twice, "train --config %s --data drawn --output %s --steps 1", fixture.config, run);
  cli_assert_status (&twice, 2);
  g_assert_nonnull (strstr (twice.err, "--resume"));

  log = g_build_filename (fixture.straight, "log.csv", NULL);
  g_assert_true (g_file_get_contents (log, &text, NULL, NULL));
  g_assert_true (g_str_has_prefix (text, "step,seconds,loss,branch0,branch1,gradient_norm,lr,images_per_second,waiting_for_data,validation_loss"));
  g_assert_nonnull (strstr (text, "\n12,"));
}

/* Weights that are no numbers stop the run at its first step, which the sentence names. */
static void
test_not_a_number (void)
{
  g_auto (Fixture) fixture = { NULL };
  g_auto (CliResult) result = { 0 };
  g_autofree char *model = NULL, *weights = NULL, *config = NULL, *source = NULL, *run = NULL;
  g_autoptr (DimrWeights) good = NULL;
  g_autoptr (GPtrArray) tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) dimr_tensor_unref);
  const char **names;

  fixture_init (&fixture);
  source = g_build_filename (fixture.straight, LAST, "model.safetensors", NULL);
  model = g_build_filename (fixture.folder, "broken", NULL);
  weights = g_build_filename (model, "model.safetensors", NULL);
  config = g_build_filename (model, "config.json", NULL);
  run = g_build_filename (fixture.folder, "nan", NULL);
  g_mkdir (model, 0777);
  g_assert_true (g_file_set_contents (config, small_config, -1, NULL));
  good = dimr_weights_open (source, NULL, NULL);
  names = dimr_weights_peek_names (good);
  for (guint i = 0; names[i] != NULL; i++)
    {
      DimrTensor *tensor = dimr_weights_peek (good, names[i]);
      float *values = dimr_tensor_dup_f32 (tensor);

      if (strstr (names[i], "block2.w0.bias") != NULL)
        values[0] = NAN;
      g_ptr_array_add (tensors, dimr_tensor_new_take (DIMR_DTYPE_F32, dimr_tensor_peek_shape (tensor), values));
    }
  g_assert_true (dimr_safetensors_write (weights, (const char * const *) names, (DimrTensor * const *) tensors->pdata, NULL, NULL, NULL, NULL, NULL));

  cli_run (&result, "train --config %s --from %s --data drawn --output %s --steps 3", fixture.config, model, run);
  g_assert_cmpint (result.status, !=, 0);
  g_assert_nonnull (strstr (result.err, "step 1 is not a number"));
}

/* Two and three processes make the bytes of one, of which three have unequal parts of the three micro-batches of
 * 3, 3 and 2 samples. */
static void
test_processes (void)
{
  g_auto (Fixture) fixture = { NULL };
  g_auto (CliResult) two = { 0 }, three = { 0 }, many = { 0 };
  g_autofree char *pair = NULL, *trio = NULL, *crowd = NULL;

  fixture_init (&fixture);
  pair = g_build_filename (fixture.folder, "two", NULL);
  trio = g_build_filename (fixture.folder, "three", NULL);
  crowd = g_build_filename (fixture.folder, "many", NULL);
  cli_run (&two, "train --config %s --data drawn --output %s --steps 12 --processes 2", fixture.config, pair);
  cli_assert_status (&two, 0);
  assert_same_end (&fixture, pair);
  assert_same_log (&fixture, pair);

  /* Stopped half way, and gone on with one more. */
  cli_run (&three, "train --config %s --data drawn --output %s --steps 8 --processes 2", fixture.config, trio);
  cli_assert_status (&three, 0);
  cli_run (&three, "train --output %s --resume --steps 12 --processes 3", trio);
  cli_assert_status (&three, 0);
  assert_same_end (&fixture, trio);
  assert_same_log (&fixture, trio);

  cli_run (&many, "train --config %s --data drawn --output %s --steps 12 --processes 4", fixture.config, crowd);
  g_assert_cmpint (many.status, ==, 2);
  g_assert_nonnull (strstr (many.err, "3 micro-batches of 3, too few for 4 processes"));
}

/* Started as a launcher does it: in this environment. */
static GSubprocess *
start_rank (Fixture    *self,
            const char *run,
            guint       rank,
            guint16     port)
{
  g_autofree char *rank_text = g_strdup_printf ("%u", rank), *port_text = g_strdup_printf ("%u", port);
  GSubprocess *process;

  g_setenv ("RANK", rank_text, TRUE);
  g_setenv ("WORLD_SIZE", "3", TRUE);
  g_setenv ("MASTER_ADDR", "127.0.0.1", TRUE);
  g_setenv ("MASTER_PORT", port_text, TRUE);
  g_setenv ("DIMR_TOKEN", "known to three", TRUE);
  process = cli_start_loudly ("train --config %s --data drawn --output %s --steps 12 --threads 1", self->config, run);
  g_unsetenv ("RANK");
  g_unsetenv ("WORLD_SIZE");
  g_unsetenv ("MASTER_ADDR");
  g_unsetenv ("MASTER_PORT");
  g_unsetenv ("DIMR_TOKEN");
  return process;
}

/* One of three is killed: the others say which, keep what was learnt, and a run of two goes on to the same end. */
static void
test_process_killed (void)
{
  g_auto (Fixture) fixture = { NULL };
  g_auto (CliResult) result = { 0 };
  g_autoptr (GSubprocess) first = NULL, second = NULL, third = NULL;
  g_autoptr (GSocket) probe = NULL;
  g_autoptr (GDataInputStream) stream = NULL;
  g_autofree char *run = NULL, *line = NULL, *first_said = NULL, *third_said = NULL;
  guint16 port = 0;

  fixture_init (&fixture);
  run = g_build_filename (fixture.folder, "lost", NULL);
  probe = dimr_collective_tcp_listen (TRUE, &port, NULL);
  g_assert_nonnull (probe);
  g_socket_close (probe, NULL);
  third = start_rank (&fixture, run, 2, port);
  second = start_rank (&fixture, run, 1, port);
  first = start_rank (&fixture, run, 0, port);

  stream = g_data_input_stream_new (g_subprocess_get_stdout_pipe (first));
  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (stream), FALSE);
  line = g_data_input_stream_read_line (stream, NULL, NULL, NULL);
  g_assert_nonnull (line);
  g_subprocess_send_signal (second, SIGKILL);
  g_subprocess_communicate_utf8 (first, NULL, NULL, NULL, &first_said, NULL);
  g_subprocess_communicate_utf8 (third, NULL, NULL, NULL, &third_said, NULL);
  g_subprocess_wait (second, NULL, NULL);
  g_assert_true (g_subprocess_get_if_signaled (second));
  g_assert_cmpint (g_subprocess_get_exit_status (first), ==, 1);
  g_assert_cmpint (g_subprocess_get_exit_status (third), ==, 1);
  g_assert_nonnull (strstr (first_said, "Process 1 of 3 is gone: "));
  g_assert_nonnull (strstr (first_said, "go on with --resume"));
  g_assert_nonnull (strstr (third_said, "Process 2: Process "));
  g_assert_nonnull (strstr (third_said, "Process 1 of 3 is gone: "));

  cli_run (&result, "train --output %s --resume --processes 2", run);
  cli_assert_status (&result, 0);
  assert_same_end (&fixture, run);
}

static void
test_refusals (void)
{
  g_auto (CliResult) none = { 0 }, option = { 0 }, data = { 0 }, nothing = { 0 };
  char *folder = cli_make_folder ();

  cli_run (&none, "train --data drawn");
  cli_assert_status (&none, 2);
  cli_run (&option, "train --demo --output %s/run --lr much", folder);
  cli_assert_status (&option, 2);
  g_assert_nonnull (strstr (option.err, "lr is a number from 0 to 10"));
  cli_run (&data, "train --demo --output %s/run --data %s/nowhere", folder, folder);
  cli_assert_status (&data, 1);
  g_assert_nonnull (strstr (data.err, "nowhere"));
  cli_run (&nothing, "train --output %s/run --resume", folder);
  cli_assert_status (&nothing, 1);
  cli_remove_folder (folder);
}

/* The same numbers as the tests of core/train hold to the reference. */
static void
test_gradients (void)
{
  g_auto (CliResult) result = { 0 }, usage = { 0 };
  char *folder = cli_make_folder ();
  g_autofree char *output = g_build_filename (folder, "out.safetensors", NULL);
  g_autoptr (DimrWeights) ours = NULL, expected = NULL;
  float a[4], b[4];

  cli_run (&result, "gradients --model " REFERENCE "A_dimr_2r_latent --input " REFERENCE "A_dimr_2r_latent/train_batches.safetensors"
                    " --output %s --steps 2 --ema 0.9", output);
  cli_assert_status (&result, 0);
  ours = dimr_weights_open (output, NULL, NULL);
  expected = dimr_weights_open (REFERENCE "A_dimr_2r_latent/train_loss.safetensors", NULL, NULL);
  dimr_tensor_read_f32 (dimr_weights_peek (ours, "s1.loss"), 0, 4, a);
  dimr_tensor_read_f32 (dimr_weights_peek (expected, "s1.loss"), 0, 4, b);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpfloat_with_epsilon (a[i], b[i], 4e-6);
  g_assert_nonnull (dimr_weights_peek (ours, "grad.stages.0.class_embeds.weight"));
  g_assert_nonnull (dimr_weights_peek (ours, "param.stages.0.class_embeds.weight"));
  g_assert_nonnull (dimr_weights_peek (ours, "ema.stages.0.class_embeds.weight"));

  cli_run (&usage, "gradients --input x");
  cli_assert_status (&usage, 2);
  cli_remove_folder (folder);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (g_chdir (TEST_DATA_DIR), ==, 0);
  g_test_add_func ("/cli/train/goes-on-after-a-kill-to-the-same-bytes", test_killed);
  g_test_add_func ("/cli/train/saves-and-stops-on-ctrl-c", test_stopped);
  g_test_add_func ("/cli/train/steps-back-from-a-damaged-snapshot", test_damaged);
  g_test_add_func ("/cli/train/makes-models", test_snapshot_is_a_model);
  g_test_add_func ("/cli/train/stops-where-the-loss-is-no-number", test_not_a_number);
  g_test_add_func ("/cli/train/in-several-processes-to-the-same-bytes", test_processes);
  g_test_add_func ("/cli/train/says-which-process-is-lost-and-goes-on", test_process_killed);
  g_test_add_func ("/cli/train/says-what-is-missing", test_refusals);
  g_test_add_func ("/cli/gradients/matches-the-reference", test_gradients);
  return g_test_run ();
}
