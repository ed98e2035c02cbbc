/* The autoencoder against the numbers of the latent diffusion code: decodings, moments, and every
 * layer. Allowed is 3e-5 on pictures and moments, and 1e-5 of the largest value inside.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/graph/dimr-device.h"
#include "core/model/dimr-autoencoder.h"
#include "golden-autoencoder.h"
#include "tests/reference.h"
#include "tests/tested-device.h"

#include <math.h>
#include <string.h>

/* Without the full reference data, of "ldm" the decoder only. */
static DimrAutoencoder *
load (const char *layout)
{
  g_autofree char *whole = golden_autoencoder_unpack (layout);
  g_autofree char *path = whole == NULL && strcmp (layout, "ldm") == 0 ? golden_autoencoder_unpack_decoder () : g_strdup (whole);
  g_autoptr (GError) error = NULL;
  DimrAutoencoder *autoencoder;

  if (path == NULL)
    {
      g_test_skip ("only with the full reference data");
      return NULL;
    }
  autoencoder = dimr_autoencoder_load (path, NULL, &error);
  g_assert_no_error (error);
  return autoencoder;
}

static guint
dim (DimrTensor *tensor,
     guint       i)
{
  return (guint) dimr_tensor_peek_shape (tensor)->dims[i];
}

/* Runs the decoder on @z, or the encoder on "image"; outputs are @names. */
static DimrProgram *
evaluate (DimrAutoencoder     *autoencoder,
          DimrTensor          *input,
          gboolean             decode,
          DimrPrecision        precision,
          const char * const  *names,
          guint                n_names,
          DimrPlan           **plan)
{
  const DimrAutoencoderConfig *config = dimr_autoencoder_peek_config (autoencoder);
  const guint batch = dim (input, 0), height = dim (input, 2), width = dim (input, 3);
  const gsize n = dimr_tensor_get_n_elements (input);
  g_autofree DimrNodeId *outputs = g_new (DimrNodeId, n_names);
  g_autofree float *values = dimr_tensor_dup_f32 (input);
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (DimrGraph) graph = NULL;
  g_autoptr (GError) error = NULL;
  DimrProgram *program;

  graph = decode ? dimr_autoencoder_build_decoder (config, &(DimrDecoderPart){ .batch = batch, .height = height, .width = width }, &error)
                 : dimr_autoencoder_build_encoder (config, batch, height, width, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < n_names; i++)
    {
      outputs[i] = dimr_graph_find (graph, names[i]);
      if (outputs[i] == DIMR_NODE_NONE)
        g_error ("the network has no node %s", names[i]);
    }
  device = dimr_device_open (tested_device (), 0, &error);
  g_assert_no_error (error);
  *plan = dimr_plan_new (graph, outputs, n_names, device, precision, &error);
  g_assert_no_error (error);
  program = dimr_device_compile (device, *plan, dimr_autoencoder_peek_weights (autoencoder), NULL, &error);
  g_assert_no_error (error);
  for (gsize i = 0; decode && i < n; i++)
    values[i] = (float) (values[i] / DIMR_LATENT_SCALE);
  dimr_program_write (program, dimr_plan_get_input (*plan, decode ? "z" : "image"), values, n * sizeof *values);
  dimr_program_run (program, NULL, &error);
  g_assert_no_error (error);
  return program;
}

/* Output @i as the reference has it, [B, C, H, W], also where it is a map (transfer full). */
static float *
read_planes (DimrProgram *program,
             DimrPlan    *plan,
             guint        i,
             DimrTensor  *like)
{
  const DimrNodeId id = dimr_plan_get_output (plan, i);
  const DimrNode *node = dimr_graph_peek_node (dimr_plan_peek_graph (plan), id);
  const gsize n = dimr_tensor_get_n_elements (like), channels = dim (like, 1), pixels = (gsize) dim (like, 2) * dim (like, 3);
  g_autofree float *found = g_new (float, n);
  float *planes = g_new (float, n);

  g_assert_cmpuint (dimr_shape_n_elements (&node->shape), ==, n);
  dimr_program_read (program, id, found, n);
  if (node->op == DIMR_OP_CONV_TO_IMAGE)
    memcpy (planes, found, n * sizeof *planes);
  else
    for (gsize k = 0; k < n; k++)
      planes[(k / (pixels * channels) * channels + k % channels) * pixels + k / channels % pixels] = found[k];
  return planes;
}

/* Largest difference from the tensor @name; @largest: the largest value there. */
static double
difference (DimrProgram *program,
            DimrPlan    *plan,
            guint        i,
            Reference   *file,
            const char  *name,
            double      *largest)
{
  DimrTensor *tensor = reference_peek (file, name);
  const gsize n = dimr_tensor_get_n_elements (tensor);
  g_autofree float *found = read_planes (program, plan, i, tensor);
  g_autofree float *wanted = dimr_tensor_dup_f32 (tensor);
  double worst = 0;

  *largest = 0;
  for (gsize k = 0; k < n; k++)
    {
      g_assert_false (isnan (found[k]));
      worst = MAX (worst, fabs ((double) found[k] - wanted[k]));
      *largest = MAX (*largest, fabs (wanted[k]));
    }
  return worst;
}

static void
check_run (DimrAutoencoder *autoencoder,
           const char      *input,
           const char      *output)
{
  g_autoptr (Reference) file = reference_open ("G_vae/vae_io.safetensors");
  const gboolean decode = input[0] == 'z';
  const char *node = decode ? "decoder.conv_out" : "quant_conv";
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = evaluate (autoencoder, reference_peek (file, input), decode, DIMR_PRECISION_F32, &node, 1, &plan);
  double largest, d = difference (program, plan, 0, file, output, &largest);

  g_test_message ("%s: worst %.2g of values up to %.3g", output, d, largest);
  g_assert_cmpfloat (d, <, 3e-5);
}

static void
test_runs (gconstpointer layout)
{
  g_autoptr (DimrAutoencoder) autoencoder = load (layout);

  if (autoencoder == NULL)
    return;
  check_run (autoencoder, "z_rect", "decoded_rect");
  if (tested_device_is_slow ())
    return;
  check_run (autoencoder, "z", "decoded");
  if (dimr_autoencoder_peek_config (autoencoder)->encoder_blocks > 0)
    check_run (autoencoder, "image", "moments");
}

static void
test_sample (void)
{
  g_autofree char *path = reference_path ("G_vae/vae_ldm.safetensors.gz");
  g_autoptr (Reference) file = NULL;
  g_autofree float *moments = NULL;
  g_autofree float *noise = NULL;
  g_autofree float *wanted = NULL;
  gsize n;

  if (path == NULL)
    {
      g_test_skip ("only with the full reference data");
      return;
    }
  file = reference_open ("G_vae/vae_io.safetensors");
  moments = dimr_tensor_dup_f32 (reference_peek (file, "moments"));
  noise = dimr_tensor_dup_f32 (reference_peek (file, "noise"));
  wanted = dimr_tensor_dup_f32 (reference_peek (file, "z_sampled"));
  n = dimr_tensor_get_n_elements (reference_peek (file, "noise")) / 2;
  for (guint b = 0; b < 2; b++)
    {
      g_autofree float *z = g_new (float, n);

      dimr_autoencoder_sample (moments + 2 * b * n, noise + b * n, n, z);
      for (gsize i = 0; i < n; i++)
        g_assert_cmpfloat_with_epsilon (z[i], wanted[b * n + i], 1e-6);
    }
}

static void
test_taps (gconstpointer data)
{
  const gboolean decode = strcmp (data, "decoder") == 0;
  g_autoptr (DimrAutoencoder) autoencoder = load ("ldm");
  g_autoptr (Reference) file = NULL;
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (DimrWeights) listing = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  g_autofree char *path = reference_path ("G_vae/vae_taps.safetensors");

  if (autoencoder == NULL)
    return;
  if (path == NULL)
    {
      g_test_skip ("only with the full reference data");
      return;
    }
  file = reference_open ("G_vae/vae_taps.safetensors");
  listing = dimr_weights_open (path, NULL, NULL);
  for (const char **name = dimr_weights_peek_names (listing); *name != NULL; name++)
    if (g_str_has_prefix (*name, data) || strcmp (*name, decode ? "post_quant_conv" : "quant_conv") == 0)
      g_ptr_array_add (names, (gpointer) *name);
  g_assert_cmpuint (names->len, >=, 12);

  program = evaluate (autoencoder, reference_peek (file, decode ? "z" : "image"), decode, DIMR_PRECISION_F32,
                      (const char * const *) names->pdata, names->len, &plan);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      double largest, d = difference (program, plan, i, file, name, &largest);

      if (d >= 1e-5 * largest)
        g_error ("%s is off by %g of %g", name, d, largest);
    }
  g_test_message ("%u taps", names->len);
}

/* Replayed, and compiled once more: the same bytes. */
static void
test_again (void)
{
  static const char * const node = "decoder.conv_out";
  g_autoptr (DimrAutoencoder) autoencoder = load ("ldm");
  g_autoptr (Reference) file = NULL;
  g_autofree float *first = NULL;
  DimrTensor *wanted;
  gsize size;

  if (autoencoder == NULL)
    return;
  file = reference_open ("G_vae/vae_io.safetensors");
  wanted = reference_peek (file, "decoded_rect");
  size = dimr_tensor_get_n_elements (wanted) * sizeof (float);
  for (guint compiled = 0; compiled < 2; compiled++)
    {
      g_autoptr (DimrPlan) plan = NULL;
      g_autoptr (DimrProgram) program = evaluate (autoencoder, reference_peek (file, "z_rect"), TRUE, DIMR_PRECISION_BF16, &node, 1, &plan);

      for (guint run = 0; run < 2; run++)
        {
          g_autofree float *found = read_planes (program, plan, 0, wanted);
          g_autoptr (GError) error = NULL;

          if (first == NULL)
            first = g_memdup2 (found, size);
          g_assert_cmpmem (first, size, found, size);
          dimr_program_run (program, NULL, &error);
          g_assert_no_error (error);
        }
    }
}

/* Products of bfloat16 may be off by 2 % of the whole, and must be off by something. */
static void
test_bf16 (void)
{
  static const struct { const char *input, *node, *output; } cases[] = {
    { "z_rect", "decoder.conv_out", "decoded_rect" }, { "z", "decoder.conv_out", "decoded" }, { "image", "quant_conv", "moments" },
  };
  guint n = G_N_ELEMENTS (cases);
  g_autoptr (DimrAutoencoder) autoencoder = load ("ldm");
  g_autoptr (Reference) file = NULL;

  if (autoencoder == NULL)
    return;
  file = reference_open ("G_vae/vae_io.safetensors");
  if (tested_device_is_slow ())
    n = 1;
  else if (dimr_autoencoder_peek_config (autoencoder)->encoder_blocks == 0)
    n--;
  for (guint c = 0; c < n; c++)
    {
      DimrTensor *tensor = reference_peek (file, cases[c].output);
      g_autoptr (DimrPlan) plan = NULL;
      g_autoptr (DimrProgram) program = evaluate (autoencoder, reference_peek (file, cases[c].input), cases[c].input[0] == 'z', DIMR_PRECISION_BF16,
                                                  &cases[c].node, 1, &plan);
      g_autofree float *found = read_planes (program, plan, 0, tensor);
      g_autofree float *wanted = dimr_tensor_dup_f32 (tensor);
      double error = 0, norm = 0;

      for (gsize i = 0; i < dimr_tensor_get_n_elements (tensor); i++)
        {
          error += ((double) found[i] - wanted[i]) * ((double) found[i] - wanted[i]);
          norm += (double) wanted[i] * wanted[i];
        }
      g_test_message ("%s: relative L2 %.3g in bfloat16", cases[c].output, sqrt (error / norm));
      g_assert_cmpfloat (sqrt (error / norm), <, 2e-2);
      g_assert_cmpfloat (sqrt (error / norm), >, 1e-5);
    }
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  if (!tested_device_is_here ())
    return 0;
  g_test_add_data_func ("/golden/autoencoder/of-the-latent-diffusion-code", "ldm", test_runs);
  if (!tested_device_is_slow ())
    {
      g_test_add_data_func ("/golden/autoencoder/of-hugging-face", "hf_new", test_runs);
      g_test_add_data_func ("/golden/autoencoder/of-hugging-face-before-2023", "hf_old", test_runs);
      g_test_add_func ("/golden/autoencoder/samples-from-moments", test_sample);
      g_test_add_data_func ("/golden/autoencoder/taps-of-the-decoder", "decoder", test_taps);
      g_test_add_data_func ("/golden/autoencoder/taps-of-the-encoder", "encoder", test_taps);
    }
  g_test_add_func ("/golden/autoencoder/same-bytes-again", test_again);
  g_test_add_func ("/golden/autoencoder/bf16", test_bf16);
  status = g_test_run ();
  golden_autoencoder_remove ();
  return status;
}
