/* SPDX-License-Identifier: Apache-2.0 */
#include "cli-fixture.h"

#include <glib/gstdio.h>

#include "core/weights/dimr-safetensors-writer.h"

#include <math.h>
#include <string.h>

/* Relative, since the words of a command line are parted by spaces: main() goes to the data's folder. */
#define REFERENCE "reference/"

static DimrWeights *
open_weights (const char *path)
{
  g_autoptr (GError) error = NULL;
  DimrWeights *weights = dimr_weights_open (path, NULL, &error);

  g_assert_no_error (error);
  return weights;
}

static void
assert_near (DimrTensor *a,
             DimrTensor *b,
             float       tolerance)
{
  g_autofree float *x = dimr_tensor_dup_f32 (a);
  g_autofree float *y = dimr_tensor_dup_f32 (b);

  g_assert_true (dimr_shape_equal (dimr_tensor_peek_shape (a), dimr_tensor_peek_shape (b)));
  for (gsize i = 0; i < dimr_tensor_get_n_elements (a); i++)
    g_assert_cmpfloat (fabsf (x[i] - y[i]), <=, tolerance);
}

static void
test_convert_keeps_every_tensor (void)
{
  g_auto (CliResult) result = { 0 };
  char *folder = cli_make_folder ();
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autofree char *half_path = g_build_filename (folder, "half.safetensors", NULL);
  g_autoptr (DimrWeights) expected = open_weights (REFERENCE "C2_n1_n6_k5/model.safetensors");
  g_autoptr (DimrWeights) converted = NULL;
  g_autoptr (DimrWeights) half = NULL;
  const char **names = dimr_weights_peek_names (expected);

  cli_run (&result, "convert " REFERENCE "C2_n1_n6_k5/model.pth %s", path);
  cli_assert_status (&result, 0);
  cli_run (&result, "convert %s %s --dtype bf16 --json", path, half_path);
  cli_assert_status (&result, 0);
  converted = open_weights (path);
  half = open_weights (half_path);
  g_assert_cmpuint (dimr_weights_get_n_tensors (converted), ==, dimr_weights_get_n_tensors (expected));
  for (guint i = 0; names[i] != NULL; i++)
    {
      assert_near (dimr_weights_peek (converted, names[i]), dimr_weights_peek (expected, names[i]), 0);
      g_assert_cmpint (dimr_tensor_get_dtype (dimr_weights_peek (half, names[i])), ==, DIMR_DTYPE_BF16);
      /* bfloat16 has eight bits of mantissa; the weights stay below 8. */
      assert_near (dimr_weights_peek (half, names[i]), dimr_weights_peek (expected, names[i]), 8.0f / 256);
    }
  cli_remove_folder (folder);
}

static void
test_convert_refuses_what_is_no_checkpoint (void)
{
  static const char *const files[] = { "evil_reduce.pth", "truncated.pth", "garbage.pth", "oob.safetensors" };
  g_auto (CliResult) result = { 0 };
  char *folder = cli_make_folder ();

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      cli_run (&result, "convert " REFERENCE "I_formats/bad/%s %s/out.safetensors", files[i], folder);
      cli_assert_status (&result, 1);
      g_assert_nonnull (strstr (result.err, files[i]));
      g_assert_cmpuint (cli_count_files (folder), ==, 0);
    }
  cli_remove_folder (folder);
}

/* Case @prefix of the reference as the file that `forward` takes. */
static void
write_input (DimrWeights *reference,
             const char  *prefix,
             const char  *time,
             const char  *path)
{
  const char *const names[] = { "x", time, "y", NULL };
  DimrTensor *tensors[3];
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    {
      g_autofree char *full = g_strdup_printf ("%s.%s", prefix, names[i]);

      tensors[i] = dimr_weights_peek (reference, full);
      g_assert_nonnull (tensors[i]);
    }

  dimr_safetensors_write (path, names, tensors, NULL, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
}

static void
test_forward_gives_the_reference_numbers (void)
{
  g_auto (CliResult) result = { 0 };
  char *folder = cli_make_folder ();
  g_autofree char *input = g_build_filename (folder, "in.safetensors", NULL);
  g_autofree char *output = g_build_filename (folder, "out.safetensors", NULL);
  g_autoptr (DimrWeights) reference = open_weights (REFERENCE "A_dimr_2r_latent/forward.safetensors");
  g_autoptr (DimrWeights) written = NULL;

  write_input (reference, "mixed", "log_snr", input);
  cli_run (&result, "forward --model " REFERENCE "A_dimr_2r_latent --device cpu --precision auto --input %s --output %s "
                    "--taps stages.0.blocks.0.out,stages.1.input_layer", input, output);
  cli_assert_status (&result, 0);
  written = open_weights (output);
  assert_near (dimr_weights_peek (written, "out0"), dimr_weights_peek (reference, "mixed.out0"), 2e-5f);
  assert_near (dimr_weights_peek (written, "out1"), dimr_weights_peek (reference, "mixed.out1"), 2e-5f);
  g_assert_nonnull (dimr_weights_peek (written, "stages.0.blocks.0.out"));
  g_assert_nonnull (dimr_weights_peek (written, "stages.1.input_layer"));

  cli_run (&result, "forward --model " REFERENCE "A_dimr_2r_latent --input %s --output %s --taps stages.0.blocks.99.out",
           input, output);
  cli_assert_status (&result, 2);
  g_assert_nonnull (strstr (result.err, "stages.0.blocks.99.out"));
  cli_remove_folder (folder);
}

/* U-ViT and DiT are told t; a file of the other kind is refused by the name of what it lacks. */
static void
test_forward_of_other_architectures (void)
{
  static const struct
  {
    const char *folder;
    const char *tap;
  } models[] = { { "H_uvit", "mid_block" }, { "H_dit", "ada.blocks.1.gate_msa" } };
  char *folder = cli_make_folder ();
  g_autofree char *input = g_build_filename (folder, "in.safetensors", NULL);
  g_autofree char *output = g_build_filename (folder, "out.safetensors", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (models); i++)
    {
      g_auto (CliResult) result = { 0 };
      g_autofree char *name = g_strdup_printf (REFERENCE "%s/forward.safetensors", models[i].folder);
      g_autoptr (DimrWeights) reference = open_weights (name), written = NULL;

      write_input (reference, "c0", "t", input);
      cli_run (&result, "forward --model " REFERENCE "%s --input %s --output %s --taps %s", models[i].folder, input, output,
               models[i].tap);
      cli_assert_status (&result, 0);
      written = open_weights (output);
      assert_near (dimr_weights_peek (written, "out0"), dimr_weights_peek (reference, "c0.out"), 5e-5f);
      g_assert_nonnull (dimr_weights_peek (written, models[i].tap));
      cli_run (&result, "forward --model " REFERENCE "A_dimr_2r_latent --input %s --output %s", input, output);
      cli_assert_status (&result, 2);
      g_assert_nonnull (strstr (result.err, "'log_snr'"));
    }
  cli_remove_folder (folder);
}

/* Parameters in millions and multiply-accumulates in billions as the paper's Table 4 prints them. */
static void
test_info_tells_table_four (void)
{
  static const struct
  {
    const char *variant;
    double parameters, macs, unit;
  } cases[] = {
    { "DiMR-M/3R", 133, 54, 1 }, { "DiMR-L/3R", 284, 111, 1 },   { "DiMR-XL/2R", 505, 160, 1 },
    { "DiMR-XL/3R", 525, 206, 1 }, { "DiMR-G/2R", 1060, 331, 10 },
  };
  g_auto (CliResult) result = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GPtrArray) lines = NULL;
      double parameters, macs;

      cli_run (&result, "info --json --variant %s", cases[i].variant);
      cli_assert_status (&result, 0);
      lines = cli_parse_lines (result.out);
      parameters = (double) json_object_get_int_member (lines->pdata[0], "parameters") / 1e6;
      macs = (double) json_object_get_int_member (lines->pdata[0], "macs") / 1e9;
      g_test_message ("%s: %.1f M, %.1f G", cases[i].variant, parameters, macs);
      g_assert_cmpfloat (fabs (parameters - cases[i].parameters), <=, cases[i].unit);
      g_assert_cmpfloat (fabs (macs - cases[i].macs), <=, 1);
    }
}

static void
test_info_takes_every_kind_of_model (void)
{
  static const char *const subjects[] = {
    REFERENCE "A_dimr_2r_latent", REFERENCE "A_dimr_2r_latent/config.json", REFERENCE "A_dimr_2r_latent/model.safetensors",
  };
  g_auto (CliResult) result = { 0 };
  gint64 parameters[G_N_ELEMENTS (subjects)];

  for (guint i = 0; i < G_N_ELEMENTS (subjects); i++)
    {
      g_autoptr (GPtrArray) lines = NULL;
      JsonObject *memory;

      cli_run (&result, "info --json --batch 3 %s", subjects[i]);
      cli_assert_status (&result, 0);
      lines = cli_parse_lines (result.out);
      parameters[i] = json_object_get_int_member (lines->pdata[0], "parameters");
      g_assert_cmpint (parameters[i], ==, parameters[0]);
      memory = json_object_get_object_member (lines->pdata[0], "memory");
      /* Four bytes a parameter, but for the low branches' own predictions, which a sampler leaves out. */
      g_assert_cmpint (json_object_get_int_member (memory, "weights_bytes"), >, 3 * parameters[i]);
      g_assert_cmpint (json_object_get_int_member (memory, "weights_bytes"), <=, 4 * parameters[i]);
      g_assert_cmpint (json_object_get_int_member (memory, "activations_bytes"), >, 0);

      cli_run (&result, "info %s", subjects[i]);
      cli_assert_status (&result, 0);
      g_assert_nonnull (strstr (result.out, "attention linears"));
    }
  cli_run (&result, "info " REFERENCE "I_formats/bad/evil_reduce.pth");
  cli_assert_status (&result, 1);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (g_chdir (TEST_DATA_DIR), ==, 0);
  g_test_add_func ("/cli/convert/keeps-every-tensor", test_convert_keeps_every_tensor);
  g_test_add_func ("/cli/convert/refuses-what-is-no-checkpoint", test_convert_refuses_what_is_no_checkpoint);
  g_test_add_func ("/cli/forward/gives-the-reference-numbers", test_forward_gives_the_reference_numbers);
  g_test_add_func ("/cli/forward/takes-t-for-other-architectures", test_forward_of_other_architectures);
  g_test_add_func ("/cli/info/tells-table-4", test_info_tells_table_four);
  g_test_add_func ("/cli/info/takes-every-kind-of-model", test_info_takes_every_kind_of_model);
  return g_test_run ();
}
