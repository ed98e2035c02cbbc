/* Telling an autoencoder by its tensors, under all the names that people's files have.
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/model/dimr-autoencoder.h"
#include "core/weights/dimr-safetensors-writer.h"
#include "tests/autoencoder-fixture.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;
static char *path; /* of the fixture */

/* What a test does to the fixture's tensors. */
typedef enum
{
  LDM,
  STABLE_DIFFUSION,  /* inside of a whole checkpoint */
  HUGGING_FACE,
  HUGGING_FACE_OLD,
} Layout;

static void
replace (GString    *name,
         const char *from,
         const char *to)
{
  const char *at = strstr (name->str, from);

  if (at == NULL)
    return;
  g_string_insert (g_string_erase (name, at - name->str, (gssize) strlen (from)), at - name->str, to);
}

/* The name in @layout of a tensor of the latent diffusion code (transfer full). */
static char *
rename_tensor (const char *name,
               Layout      layout)
{
  static const char * const pairs[][2] = {
    { ".mid.block_1.", ".mid_block.resnets.0." }, { ".mid.block_2.", ".mid_block.resnets.1." },
    { ".attn_1.norm.", ".attn_1.group_norm." }, { ".downsample.", ".downsamplers.0." }, { ".upsample.", ".upsamplers.0." },
    { ".block.", ".resnets." }, { ".nin_shortcut.", ".conv_shortcut." }, { "coder.norm_out.", "coder.conv_norm_out." },
    { ".down.", ".down_blocks." },
  };
  static const char * const attention[][3] = {
    { ".attn_1.q.", ".attn_1.to_q.", ".attn_1.query." }, { ".attn_1.k.", ".attn_1.to_k.", ".attn_1.key." },
    { ".attn_1.v.", ".attn_1.to_v.", ".attn_1.value." }, { ".attn_1.proj_out.", ".attn_1.to_out.0.", ".attn_1.proj_attn." },
  };
  GString *text = g_string_new (name);

  if (layout == STABLE_DIFFUSION)
    g_string_prepend (text, "first_stage_model.");
  if (layout < HUGGING_FACE)
    return g_string_free (text, FALSE);
  for (guint i = 0; i < G_N_ELEMENTS (attention); i++)
    replace (text, attention[i][0], attention[i][layout == HUGGING_FACE ? 1 : 2]);
  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    replace (text, pairs[i][0], pairs[i][1]);
  replace (text, ".mid.attn_1.", ".mid_block.attentions.0.");
  for (guint level = 0; level < 4; level++)
    {
      g_autofree char *from = g_strdup_printf ("decoder.up.%u.", level), *to = g_strdup_printf ("decoder.up_blocks.%u.", 3 - level);
      replace (text, from, to);
    }
  return g_string_free (text, FALSE);
}

/* The fixture as another file (transfer full). @without: a tensor that is left out; @with: one that is put in, [1]. */
static char *
write_variant (const char *file,
               Layout      layout,
               gboolean    flat,
               const char *without,
               const char *with)
{
  g_autoptr (DimrWeights) weights = dimr_weights_open (path, NULL, NULL);
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  g_autoptr (DimrWeights) variant = NULL;
  g_autoptr (GError) error = NULL;
  char *out = g_build_filename (folder, file, NULL);
  const float one = 1;

  for (const char **name = dimr_weights_peek_names (weights); *name != NULL; name++)
    {
      DimrTensor *tensor = dimr_weights_peek (weights, *name);
      DimrShape shape = *dimr_tensor_peek_shape (tensor);

      if (g_strcmp0 (*name, without) == 0)
        continue;
      if (flat && strstr (*name, ".attn_1.") != NULL && shape.n_dims == 4)
        shape.n_dims = 2;
      g_hash_table_insert (tensors, rename_tensor (*name, layout),
                           dimr_tensor_new_copy (DIMR_DTYPE_F32, &shape, dimr_tensor_peek_data (tensor)));
    }
  if (with != NULL)
    g_hash_table_insert (tensors, g_strdup (with), dimr_tensor_new_copy (DIMR_DTYPE_F32, &DIMR_SHAPE (1), &one));
  variant = dimr_weights_new_for_tensors (tensors);
  dimr_weights_convert (variant, out, NULL, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  return out;
}

static void
check_equal (const char *file)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrAutoencoder) autoencoder = dimr_autoencoder_load (file, NULL, &error);
  g_autoptr (DimrWeights) original = dimr_weights_open (path, NULL, NULL);
  const DimrAutoencoderConfig *config;

  g_assert_no_error (error);
  config = dimr_autoencoder_peek_config (autoencoder);
  g_assert_cmpmem (config, sizeof *config, &autoencoder_fixture_small, sizeof autoencoder_fixture_small);
  for (const char **name = dimr_weights_peek_names (original); *name != NULL; name++)
    {
      DimrTensor *a = dimr_weights_peek (original, *name), *b = dimr_weights_peek (dimr_autoencoder_peek_weights (autoencoder), *name);

      if (b == NULL)
        g_error ("%s has no %s", file, *name);
      g_assert_cmpmem (dimr_tensor_peek_data (a), dimr_tensor_get_n_bytes (a), dimr_tensor_peek_data (b), dimr_tensor_get_n_bytes (b));
    }
}

static void
test_layouts (void)
{
  static const Layout layouts[] = { LDM, STABLE_DIFFUSION, HUGGING_FACE, HUGGING_FACE_OLD };

  for (guint i = 0; i < G_N_ELEMENTS (layouts); i++)
    for (guint flat = 0; flat < 2; flat++)
      {
        g_autofree char *file = write_variant ("variant.safetensors", layouts[i], flat, NULL, "model.diffusion_model.out.2.weight");

        check_equal (file);
        g_unlink (file);
      }
}

static void
check_refused (const char *file,
               DimrError   code,
               const char *piece)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrAutoencoder) autoencoder = dimr_autoencoder_load (file, NULL, &error);

  g_assert_null (autoencoder);
  g_assert_error (error, DIMR_ERROR, (int) code);
  if (strstr (error->message, piece) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, piece);
}

static void
test_refusals (void)
{
  static const struct { const char *without, *with, *piece; } cases[] = {
    { "decoder.mid.attn_1.q.bias", NULL, "'decoder.mid.attn_1.q.bias' is missing" },
    { "decoder.conv_in.weight", NULL, "another kind" },
    { "post_quant_conv.weight", NULL, "post_quant_conv" },
    { "post_quant_conv.bias", "post_quant_conv.bias", "'post_quant_conv.bias' is [1] instead of [4]" },
    { NULL, "decoder.up.1.attn.0.norm.weight", "attention in its levels" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *file = write_variant ("variant.safetensors", LDM, FALSE, cases[i].without, cases[i].with);

      check_refused (file, DIMR_ERROR_UNSUPPORTED, cases[i].piece);
      g_unlink (file);
    }
  check_refused (TEST_DATA_DIR "/reference/A_dimr_2r_latent/model.safetensors", DIMR_ERROR_MODEL, "a DiMR model");
  check_refused (TEST_DATA_DIR "/reference/A_dimr_2r_latent", DIMR_ERROR_MODEL, "no autoencoder in this folder");
}

/* Half an autoencoder is one too. */
static void
test_halves (void)
{
  static const char * const halves[] = { "decoder.", "encoder." };

  for (guint i = 0; i < G_N_ELEMENTS (halves); i++)
    {
      g_autoptr (DimrWeights) weights = dimr_weights_open (path, NULL, NULL);
      GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
      g_autofree char *out = g_build_filename (folder, "half.safetensors", NULL);
      g_autoptr (DimrAutoencoder) autoencoder = NULL;
      g_autoptr (DimrWeights) half = NULL;
      g_autoptr (GError) error = NULL;

      for (const char **name = dimr_weights_peek_names (weights); *name != NULL; name++)
        if (g_str_has_prefix (*name, halves[i]) || g_str_has_prefix (*name, i == 0 ? "post_quant_conv." : "quant_conv."))
          g_hash_table_insert (tensors, g_strdup (*name), dimr_tensor_ref (dimr_weights_peek (weights, *name)));
      half = dimr_weights_new_for_tensors (tensors);
      dimr_weights_convert (half, out, NULL, NULL, NULL, NULL, &error);
      g_assert_no_error (error);
      autoencoder = dimr_autoencoder_load (out, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpint (dimr_autoencoder_peek_config (autoencoder)->decoder_blocks > 0, ==, i == 0);
      g_assert_cmpint (dimr_autoencoder_peek_config (autoencoder)->encoder_blocks > 0, ==, i == 1);
      g_assert_cmpuint (dimr_autoencoder_peek_config (autoencoder)->latent_channels, ==, 4);
      g_unlink (out);
    }
}

/* In the model's folder, or the one above; never one with other latents, and never the model. */
static void
test_find (void)
{
  g_autofree char *models = g_build_filename (folder, "models", NULL), *model = g_build_filename (models, "model", NULL);
  g_autofree char *weights = g_build_filename (model, "model.safetensors", NULL), *text = g_build_filename (models, "a.pth", NULL);
  g_autofree char *beside = g_build_filename (models, "vae.safetensors", NULL);
  g_autoptr (DimrAutoencoder) found = NULL;
  g_autoptr (DimrWeights) dimr = dimr_weights_open (TEST_DATA_DIR "/reference/A_dimr_2r_latent/model.safetensors", NULL, NULL);

  g_assert_cmpint (g_mkdir_with_parents (model, 0700), ==, 0);
  g_assert_true (dimr_weights_convert (dimr, weights, NULL, NULL, NULL, NULL, NULL));
  g_assert_true (g_file_set_contents (text, "no weights", -1, NULL));
  g_assert_null (dimr_autoencoder_find (model, 4, NULL));
  autoencoder_fixture_write (&autoencoder_fixture_small, beside);
  g_assert_null (dimr_autoencoder_find (model, 16, NULL));
  found = dimr_autoencoder_find (weights, 4, NULL);
  g_assert_nonnull (found);
  g_assert_cmpstr (dimr_autoencoder_get_path (found), ==, beside);
  g_unlink (beside);
  g_unlink (text);
  g_unlink (weights);
  g_rmdir (model);
  g_rmdir (models);
}

static void
test_sample (void)
{
  const float moments[] = { 1, -2, 3, 0, 40, -100 }, noise[] = { 1, 1e-3f, 2 };
  float z[3];

  dimr_autoencoder_sample (moments, NULL, 3, z);
  g_assert_cmpfloat (z[1], ==, (float) DIMR_LATENT_SCALE * -2);
  dimr_autoencoder_sample (moments, noise, 3, z);
  g_assert_cmpfloat_with_epsilon (z[0], DIMR_LATENT_SCALE * 2, 1e-6);
  g_assert_cmpfloat_with_epsilon (z[1], DIMR_LATENT_SCALE * (-2 + exp (10) * 1e-3), 1e-5);         /* log-variance cut off at 20 */
  g_assert_cmpfloat_with_epsilon (z[2], DIMR_LATENT_SCALE * (3 + exp (-15) * 2), 1e-6);            /* and at −30 */
}

static void
test_sizes (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (dimr_autoencoder_build_encoder (&autoencoder_fixture_small, 1, 20, 16, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_SHAPE);
  g_clear_error (&error);
  g_assert_null (dimr_autoencoder_build_decoder (&autoencoder_fixture_small, &(DimrDecoderPart){ .batch = 1, .height = 1, .width = 5000 }, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_SHAPE);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("dimr-autoencoder-XXXXXX", NULL);
  g_assert_nonnull (folder);
  path = g_build_filename (folder, "autoencoder.safetensors", NULL);
  autoencoder_fixture_write (&autoencoder_fixture_small, path);
  g_test_add_func ("/autoencoder/is-known-under-all-its-names", test_layouts);
  g_test_add_func ("/autoencoder/says-what-does-not-fit", test_refusals);
  g_test_add_func ("/autoencoder/may-be-half-of-one", test_halves);
  g_test_add_func ("/autoencoder/is-found-beside-a-model", test_find);
  g_test_add_func ("/autoencoder/samples-within-bounds", test_sample);
  g_test_add_func ("/autoencoder/refuses-impossible-sizes", test_sizes);
  status = g_test_run ();
  g_unlink (path);
  g_rmdir (folder);
  g_free (path);
  g_free (folder);
  return status;
}
