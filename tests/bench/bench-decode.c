/* bench-decode.c — decoding a picture: seconds, memory, and what tiles cost and lose
 *
 *   bench-decode [latent side [f32|bf16 [threads [memory in MiB [passes [weights]]]]]]
 *
 * Without weights, random ones of Stable Diffusion's size. With a limit on the memory, the picture in
 * tiles is compared with the whole one.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/engine/dimr-decoder.h"
#include "kernels/dimr-kernels.h"
#include "tests/autoencoder-fixture.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Seconds that the processor has worked for this process: on a busy machine the figure to compare. */
static double
get_processor_time (void)
{
  struct timespec t;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static float *
decode (DimrAutoencoder           *autoencoder,
        DimrDevice                *device,
        const DimrDecoderSettings *settings,
        const float               *z)
{
  g_autoptr (GError) error = NULL;
  gint64 began = g_get_monotonic_time (), compiled;
  g_autoptr (DimrDecoder) decoder = dimr_decoder_new (autoencoder, device, settings, NULL, &error);
  double best = G_MAXDOUBLE, best_work = G_MAXDOUBLE;
  guint64 whole, memory;
  float *picture;
  struct rusage usage;

  if (decoder == NULL)
    g_error ("%s", error->message);
  compiled = g_get_monotonic_time ();
  memory = dimr_decoder_get_memory (decoder, &whole);
  picture = g_new (float, 3 * (gsize) dimr_decoder_get_height (decoder) * dimr_decoder_get_width (decoder));
  for (guint i = 0; i < (dimr_decoder_get_n_tiles (decoder) > 1 ? 1 : 5); i++)
    {
      const gint64 start = g_get_monotonic_time ();
      const double work = get_processor_time ();

      if (!dimr_decoder_decode (decoder, z, picture, NULL, NULL, NULL, &error))
        g_error ("%s", error->message);
      best = MIN (best, (double) (g_get_monotonic_time () - start) / G_USEC_PER_SEC);
      best_work = MIN (best_work, get_processor_time () - work);
    }
  getrusage (RUSAGE_SELF, &usage);
  g_print ("%u x %u, %s, %u tiles: maps %.1f MiB (whole %.1f MiB), prepared in %.2f s, decoded in %.3f s (%.3f s of processors, %.0f GFLOP/s each), process at most %.0f MiB\n",
           dimr_decoder_get_width (decoder), dimr_decoder_get_height (decoder), settings->precision == DIMR_PRECISION_BF16 ? "bf16" : "f32",
           dimr_decoder_get_n_tiles (decoder), (double) memory / (1 << 20), (double) whole / (1 << 20),
           (double) (compiled - began) / G_USEC_PER_SEC, best, best_work, 2 * (double) dimr_decoder_get_macs (decoder) / best_work / 1e9,
           (double) usage.ru_maxrss / 1024);
  return picture;
}

int
main (int   argc,
      char *argv[])
{
  const guint side = argc > 1 ? (guint) atoi (argv[1]) : 32;
  DimrDecoderSettings settings = {
    .precision = argc > 2 && strcmp (argv[2], "bf16") == 0 ? DIMR_PRECISION_BF16 : DIMR_PRECISION_F32,
    .height = side, .width = side,
  };
  g_autofree char *folder = NULL;
  g_autofree char *path = NULL;
  g_autofree float *z = autoencoder_fixture_make_latent (side, side);
  g_autofree float *whole = NULL;
  g_autoptr (DimrAutoencoder) autoencoder = NULL;
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (GError) error = NULL;

  dimr_kernels_init ();
  device = dimr_device_open ("auto", argc > 3 ? (guint) atoi (argv[3]) : 0, &error);
  if (device == NULL)
    g_error ("%s", error->message);
  if (argc > 6)
    path = g_strdup (argv[6]);
  else
    {
      folder = g_dir_make_tmp ("dimr-bench-XXXXXX", NULL);
      path = g_build_filename (folder, "autoencoder.safetensors", NULL);
      autoencoder_fixture_write (&autoencoder_fixture_full, path);
    }
  autoencoder = dimr_autoencoder_load (path, NULL, &error);
  if (autoencoder == NULL)
    g_error ("%s", error->message);
  g_print ("%s, %s\n", dimr_autoencoder_get_summary (autoencoder), dimr_device_get_name (device));

  whole = decode (autoencoder, device, &settings, z);
  if (argc > 4 && atoi (argv[4]) > 0)
    {
      g_autofree float *tiled = NULL;
      const guint factor = dimr_autoencoder_get_factor (dimr_autoencoder_peek_config (autoencoder));

      settings.memory = (guint64) atoi (argv[4]) << 20;
      settings.n_passes = argc > 5 ? (guint) atoi (argv[5]) : 0;
      tiled = decode (autoencoder, device, &settings, z);
      g_print ("tiled against whole: %.1f dB\n",
               autoencoder_fixture_psnr (whole, tiled, 3 * (gsize) side * side * factor * factor));
    }
  if (folder != NULL)
    {
      g_unlink (path);
      g_rmdir (folder);
    }
  return 0;
}
