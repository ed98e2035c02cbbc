/* `dimr train` on emulated GPUs: whatever way a run takes, its last snapshot is the same bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "../cli/cli-fixture.h"

#include <string.h>

#define STATE "step-000000000002/state.safetensors"
#define MODEL "step-000000000002/model.safetensors"

static const char *config_text =
  "{ \"model\": \"MRModel\", \"channels\": 3, \"num_classes\": 9, \"image_size\": 8, \"loss_coeffs\": [0.25, 1],"
  "  \"schedule\": { \"kind\": \"vp_linear\", \"beta_0\": 0.1, \"beta_1\": 20 }, \"time_condition\": \"log_snr\","
  "  \"stage_configs\": ["
  "   { \"block_type\": \"TransformerBlock\", \"dim\": 24, \"hidden_dim\": 48, \"num_attention_heads\": 2, \"num_blocks\": 2,"
  "     \"max_height\": 4, \"max_width\": 4, \"image_input_ratio\": 1, \"input_feature_ratio\": 2, \"final_kernel_size\": 3, \"kernel_size\": 7 },"
  "   { \"block_type\": \"ConvNeXtBlock\", \"dim\": 16, \"hidden_dim\": 32, \"num_attention_heads\": 1, \"num_blocks\": 1,"
  "     \"max_height\": 8, \"max_width\": 8, \"image_input_ratio\": 1, \"input_feature_ratio\": 1, \"final_kernel_size\": 3, \"kernel_size\": 7 } ],"
  "  \"training\": { \"device\": \"cuda\", \"precision\": \"bf16\", \"batch\": 5, \"micro-batch\": 2, \"lr\": 0.002, \"warmup\": 1, \"ema\": 0.9,"
  "    \"clip\": 1, \"steps\": 2, \"snapshot-every\": 1, \"log-every\": 1, \"sheet-columns\": 0 } }";

/* Trains with @options into @folder/@name. */
static void
train (CliResult  *result,
       const char *folder,
       const char *name,
       const char *options)
{
  cli_run (result, "train --config %s/config.json --data drawn --output %s/%s%s", folder, folder, name, options);
  cli_assert_status (result, 0);
}

static void
assert_same_end (const char *folder,
                 const char *name)
{
  static const char * const files[] = { STATE, MODEL };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *a = g_build_filename (folder, "straight", files[i], NULL), *b = g_build_filename (folder, name, files[i], NULL);

      cli_assert_same_files (a, b);
    }
}

static void
test_same_bytes (void)
{
  char *folder = cli_make_folder ();
  g_autofree char *config = g_build_filename (folder, "config.json", NULL);
  g_auto (CliResult) straight = { 0 }, late = { 0 }, half = { 0 }, resumed = { 0 }, two = { 0 }, many = { 0 };

  g_assert_true (g_file_set_contents (config, config_text, -1, NULL));
  train (&straight, folder, "straight", "");

  /* Work that runs when it is waited for, and launches one by one. */
  g_setenv ("FAKE_CUDA_DEFERRED", "1", TRUE);
  g_setenv ("DIMR_CUDA_EAGER", "1", TRUE);
  train (&late, folder, "late", "");
  g_unsetenv ("FAKE_CUDA_DEFERRED");
  g_unsetenv ("DIMR_CUDA_EAGER");
  assert_same_end (folder, "late");

  /* From a snapshot: weights, moments and average go back to the device. */
  train (&half, folder, "half", " --steps 1");
  cli_run (&resumed, "train --output %s/half --resume --steps 2", folder);
  cli_assert_status (&resumed, 0);
  assert_same_end (folder, "half");

  /* Two GPUs with unequal parts of three micro-batches, without NCCL. */
  g_setenv ("FAKE_CUDA_DEVICES", "2", TRUE);
  train (&two, folder, "two", " --processes 2");
  g_assert_nonnull (strstr (two.err, "over the hosts' memory, which is slower: process"));
  assert_same_end (folder, "two");
  cli_run (&many, "train --config %s --data drawn --output %s/many --processes 3", config, folder);
  g_assert_cmpint (many.status, !=, 0);
  g_assert_nonnull (strstr (many.err, "This host has 2 devices"));
  g_unsetenv ("FAKE_CUDA_DEVICES");
  cli_remove_folder (folder);
}

/* The CPU learns nearly the same from the same samples. */
static void
test_as_the_cpu (void)
{
  char *folder = cli_make_folder ();
  g_autofree char *config = g_build_filename (folder, "config.json", NULL);
  g_auto (CliResult) result = { 0 };
  double losses[2];

  g_assert_true (g_file_set_contents (config, config_text, -1, NULL));
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *name = g_strdup_printf ("run%u", i), *path = g_build_filename (folder, name, "log.csv", NULL), *text = NULL;
      g_auto (GStrv) lines = NULL, cells = NULL;

      train (&result, folder, name, i == 0 ? " --precision f32" : " --precision f32 --device cpu");
      g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
      lines = g_strsplit (text, "\n", -1);
      cells = g_strsplit (lines[2], ",", -1);
      losses[i] = g_ascii_strtod (cells[2], NULL);
    }
  g_assert_cmpfloat (losses[0], >, .1);
  g_assert_cmpfloat_with_epsilon (losses[0] / losses[1], 1, 2e-5);
  cli_remove_folder (folder);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("DIMR_CUDA_FIRST_ALGORITHM", "1", TRUE);
  g_setenv ("DIMR_NCCL", "/nowhere/libnccl.so.2", TRUE);
  g_test_add_func ("/cuda/train/same-bytes-by-every-way", test_same_bytes);
  g_test_add_func ("/cuda/train/learns-as-the-cpu", test_as_the_cpu);
  return g_test_run ();
}
