/* Decoding as a whole and in tiles: memory, likeness, seams, and what happens when it is stopped.
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/engine/dimr-decoder.h"
#include "core/engine/dimr-tiles.h"
#include "kernels/dimr-kernels.h"
#include "tests/autoencoder-fixture.h"
#include "engine-fixture.h"
#include "test-device.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *path;
static DimrAutoencoder *autoencoder;
static DimrDevice *device;

/* transfer full */
static DimrDecoder *
make (guint          height,
      guint          width,
      guint64        memory,
      guint          n_passes,
      DimrPrecision  precision)
{
  g_autoptr (GError) error = NULL;
  DimrDecoder *decoder = dimr_decoder_new (autoencoder, device, &(DimrDecoderSettings){
    .precision = precision, .height = height, .width = width, .memory = memory, .n_passes = n_passes,
  }, NULL, &error);

  g_assert_no_error (error);
  return decoder;
}

static gsize
n_numbers (DimrDecoder *decoder)
{
  return 3 * (gsize) dimr_decoder_get_height (decoder) * dimr_decoder_get_width (decoder);
}

static float *
decode (DimrDecoder *decoder,
        const float *z)
{
  g_autoptr (GError) error = NULL;
  float *picture = g_new (float, n_numbers (decoder));

  dimr_decoder_decode (decoder, z, picture, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  return picture;
}

/* The largest error beside the lines where tiles meet, in comparison with the largest of all. */
static double
look_for_seams (const float     *whole,
                const float     *tiled,
                const DimrTiles *tiles)
{
  const gsize height = tiles->map_height * tiles->scale, width = tiles->map_width * tiles->scale, step = tiles->side * tiles->scale;
  double seams = 0, others = 0;
  gsize n_seams = 0, n_others = 0;

  for (gsize c = 0; c < 3; c++)
    for (gsize y = 0; y < height; y++)
      for (gsize x = 0; x < width; x++)
        {
          const gsize at = (c * height + y) * width + x;
          const double d = ((double) whole[at] - tiled[at]) * ((double) whole[at] - tiled[at]);

          if ((y > 1 && (y % step < 2 || (y + 2) % step < 2)) || (x > 1 && (x % step < 2 || (x + 2) % step < 2)))
            seams += d, n_seams++;
          else
            others += d, n_others++;
        }
  return sqrt (seams / (double) n_seams) / sqrt (others / (double) n_others);
}

static void
check_tiled (guint         height,
             guint         width,
             double        fraction,
             DimrPrecision precision)
{
  g_autofree float *z = autoencoder_fixture_make_latent (height, width);
  g_autoptr (DimrDecoder) whole = make (height, width, 0, 0, precision);
  g_autofree float *wanted = decode (whole, z);
  guint64 arena, memory;
  g_autoptr (DimrDecoder) tiled = NULL;
  g_autofree float *found = NULL;
  g_autofree float *again = NULL;
  DimrTiles tiles;
  double psnr;

  g_assert_cmpuint (dimr_decoder_get_n_tiles (whole), ==, 1);
  memory = dimr_decoder_get_memory (whole, &arena);
  g_assert_cmpuint (memory, ==, arena);

  tiled = make (height, width, (guint64) ((double) arena * fraction), 0, precision);
  g_assert_cmpuint (dimr_decoder_get_n_tiles (tiled), >, 1);
  memory = dimr_decoder_get_memory (tiled, NULL);
  g_assert_cmpuint (memory, <=, (guint64) ((double) arena * MIN (fraction, .25)));
  found = decode (tiled, z);
  psnr = autoencoder_fixture_psnr (wanted, found, n_numbers (whole));
  g_assert_true (dimr_tiles_plan (&tiles, dimr_autoencoder_peek_config (autoencoder), device, precision, height, width,
                                  (guint64) ((double) arena * MIN (fraction, .25)), NULL));
  g_test_message ("%u × %u in %u tiles: %.1f of %.1f MiB, %.1f dB, error at seams %.2f of the others", height, width,
                  dimr_decoder_get_n_tiles (tiled), (double) memory / (1 << 20), (double) arena / (1 << 20), psnr,
                  look_for_seams (wanted, found, &tiles));
  g_assert_cmpfloat (psnr, >, 55); /* asked are 45 */
  g_assert_cmpfloat (look_for_seams (wanted, found, &tiles), <, 1.3);

  again = decode (tiled, z);
  g_assert_cmpmem (found, n_numbers (tiled) * sizeof *found, again, n_numbers (tiled) * sizeof *again);
}

static void
test_tiled (void)
{
  check_tiled (32, 32, .9, DIMR_PRECISION_F32);
  check_tiled (41, 23, .25, DIMR_PRECISION_F32); /* no multiple of anything */
  check_tiled (29, 43, .25, DIMR_PRECISION_F32);
  check_tiled (32, 32, .25, DIMR_PRECISION_BF16);
}

/* Scratch memory that does not shrink with the tiles is not counted against their quarter; nothing else is forgiven. */
static void
test_fixed_workspace (void)
{
  g_autoptr (DimrDecoder) whole = make (16, 16, 0, 0, DIMR_PRECISION_F32);
  guint64 maps, memory;
  g_autoptr (DimrDevice) cpu = device;
  g_autoptr (DimrDecoder) tiled = NULL;
  g_autoptr (DimrDecoder) refused = NULL;
  g_autoptr (GError) error = NULL;

  dimr_decoder_get_memory (whole, &maps);
  test_device_init ();
  test_device.workspace = 32 << 20;
  device = dimr_device_open ("test", 2, &error);
  g_assert_no_error (error);
  tiled = make (16, 16, test_device.workspace + maps / 2, 0, DIMR_PRECISION_F32);
  g_assert_cmpuint (dimr_decoder_get_n_tiles (tiled), >, 1);
  memory = dimr_decoder_get_memory (tiled, NULL);
  g_assert_cmpuint (memory, >, test_device.workspace);
  g_assert_cmpuint (memory, <=, test_device.workspace + maps / 4 + (1 << 18)); /* the CPU's own scratch */

  refused = dimr_decoder_new (autoencoder, device, &(DimrDecoderSettings){
    .precision = DIMR_PRECISION_F32, .height = 16, .width = 16, .memory = test_device.workspace,
  }, NULL, &error);
  g_assert_null (refused);
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY);
  g_clear_pointer (&tiled, dimr_decoder_free);
  g_object_unref (device);
  device = g_steal_pointer (&cpu);
}

/* Every pass brings tiles nearer: what is left is nothing but the statistics. */
static void
test_passes (void)
{
  g_autofree float *z = autoencoder_fixture_make_latent (32, 32);
  g_autoptr (DimrDecoder) whole = make (32, 32, 0, 0, DIMR_PRECISION_F32);
  g_autofree float *wanted = decode (whole, z);
  double last = 0;
  guint64 arena;

  dimr_decoder_get_memory (whole, &arena);
  for (guint passes = 1; passes <= 6; passes++)
    {
      g_autoptr (DimrDecoder) tiled = make (32, 32, arena / 4, passes, DIMR_PRECISION_F32);
      g_autofree float *found = decode (tiled, z);
      double psnr = autoencoder_fixture_psnr (wanted, found, n_numbers (whole));

      g_test_message ("%u passes: %.1f dB", passes, psnr);
      g_assert_cmpfloat (psnr, >, MIN (last + 3, 100));
      last = psnr;
    }
}

/* The tiles of a map: every pixel is kept once, by a tile that lies inside. */
static void
test_cover (void)
{
  for (guint height = 1; height <= 20; height += 3)
    for (guint side = 1; side <= 9; side++)
      {
        DimrTiles tiles = { .map_height = height, .map_width = 17, .margin = 4, .side = side,
                            .n_down = (height + side - 1) / side, .n_across = (17 + side - 1) / side };
        g_autofree guint *kept = g_new0 (guint, height * 17);

        for (guint i = 0; i < tiles.n_down * tiles.n_across; i++)
          {
            const DimrTile tile = dimr_tiles_get (&tiles, i, tiles.margin);

            g_assert_cmpuint (tile.top + tile.height, <=, height);
            g_assert_cmpuint (tile.left + tile.width, <=, 17);
            for (guint y = 0; y < tile.kept.height; y++)
              for (guint x = 0; x < tile.kept.width; x++)
                kept[(tile.top + tile.kept.top + y) * 17 + tile.left + tile.kept.left + x]++;
            /* The margin is whole but where the map ends. */
            g_assert_true (tile.kept.top == 4 || tile.top == 0);
            g_assert_true (tile.kept.top + tile.kept.height + 4 == tile.height || tile.top + tile.height == height);
          }
        for (guint i = 0; i < height * 17; i++)
          g_assert_cmpuint (kept[i], ==, 1);
      }
}

/* Statistics of parts put together are those of the whole. */
static void
test_statistics (void)
{
  g_autoptr (DimrStatisticsSum) sum = dimr_statistics_sum_new ();
  double mean = 0, variance = 0, values[3][2] = { { 1, 3 }, { -2, 4 }, { 1000, 1004 } };
  float given[64];

  g_assert_false (dimr_statistics_sum_get (sum, "a", given));
  for (guint i = 0; i < 3; i++)
    {
      float found[64];

      for (guint g = 0; g < 32; g++)
        {
          found[2 * g] = (float) ((values[i][0] + values[i][1]) / 2);
          found[2 * g + 1] = (float) pow ((values[i][1] - values[i][0]) / 2, 2);
        }
      dimr_statistics_sum_add (sum, "a", found, 2);
      mean += (values[i][0] + values[i][1]) / 6;
    }
  for (guint i = 0; i < 6; i++)
    variance += pow (values[i / 2][i % 2] - mean, 2) / 6;
  g_assert_true (dimr_statistics_sum_get (sum, "a", given));
  g_assert_cmpfloat_with_epsilon (given[0], mean, 1e-4);
  g_assert_cmpfloat_with_epsilon (given[1], variance, 1e-7 * variance);
}

static void
test_too_little_memory (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrDecoder) decoder = dimr_decoder_new (autoencoder, device, &(DimrDecoderSettings){
    .precision = DIMR_PRECISION_F32, .height = 64, .width = 64, .memory = 1 << 20,
  }, NULL, &error);

  g_assert_null (decoder);
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY);
}

static void
cancel_soon (double   fraction,
             gpointer user_data)
{
  g_cancellable_cancel (user_data);
}

static void
test_cancel (void)
{
  g_autofree float *z = autoencoder_fixture_make_latent (32, 32);
  g_autoptr (DimrDecoder) whole = make (32, 32, 0, 0, DIMR_PRECISION_F32);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (DimrDecoder) tiled = NULL;
  g_autofree float *picture = NULL;
  g_autofree float *other = NULL;
  g_autoptr (GError) error = NULL;
  guint64 arena;

  dimr_decoder_get_memory (whole, &arena);
  tiled = make (32, 32, arena / 4, 0, DIMR_PRECISION_F32);
  picture = g_new (float, n_numbers (tiled));
  g_assert_false (dimr_decoder_decode (tiled, z, picture, cancel_soon, cancellable, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  other = decode (tiled, z); /* still usable */
  g_assert_true (isfinite (other[0]));
}

/* Sides of the previews and of the picture that a job showed. */
typedef struct
{
  guint smallest;
  guint largest;
  guint n;
} Sides;

static void
on_changed (DimrJob *job,
            Sides   *sides)
{
  DimrImage *image = dimr_job_peek_image (job, 0);

  if (image == NULL || dimr_job_is_image_done (job, 0))
    return;
  sides->smallest = MIN (sides->smallest, dimr_image_get_width (image));
  sides->largest = MAX (sides->largest, dimr_image_get_width (image));
  sides->n++;
}

/* However the latents are shown on the way, the picture is the same. */
static void
test_previews (void)
{
  static const DimrPreviewKind kinds[] = { DIMR_PREVIEW_SKETCH, DIMR_PREVIEW_DECODED, DIMR_PREVIEW_AUTO };
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrModel) model = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrJob) first = NULL;

  dimr_engine_set_autoencoder (engine, path);
  model = load (engine, TEST_DATA_DIR "/reference/A_dimr_2r_latent", &error);
  g_assert_no_error (error);
  g_assert_true (dimr_model_is_latent (model));
  g_assert_nonnull (dimr_model_get_autoencoder (model));
  g_assert_cmpuint (dimr_model_get_image_size (model), ==, 128);

  request = dimr_request_new ();
  request->classes[0] = 3;
  request->n_steps = 60;
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      Sides sides = { G_MAXUINT, 0, 0 };
      g_autoptr (DimrJob) job = NULL;
      g_autoptr (DimrRecipe) recipe = NULL;

      request->preview_kind = kinds[i];
      job = dimr_engine_submit (engine, request, FALSE, &error);
      g_assert_no_error (error);
      g_signal_connect (job, "changed", G_CALLBACK (on_changed), &sides);
      while (!dimr_job_is_finished (job))
        g_main_context_iteration (NULL, TRUE);
      g_assert_cmpint (dimr_job_get_state (job), ==, DIMR_JOB_DONE);
      g_assert_null (dimr_job_peek_note (job));
      g_assert_cmpuint (dimr_image_get_width (dimr_job_peek_image (job, 0)), ==, 128);
      recipe = dimr_job_dup_recipe (job, 0);
      g_assert_cmpuint (recipe->width, ==, 128);
      g_assert_cmpuint (sides.n, >, 0);
      if (kinds[i] != DIMR_PREVIEW_AUTO)
        g_assert_cmpuint (sides.smallest, ==, sides.largest);
      if (kinds[i] == DIMR_PREVIEW_SKETCH)
        g_assert_cmpuint (sides.largest, ==, 16);
      if (kinds[i] == DIMR_PREVIEW_DECODED)
        g_assert_cmpuint (sides.smallest, ==, 128);
      if (first != NULL)
        assert_same_pictures (first, job, 1);
      else
        first = g_object_ref (job);
    }
}

/* Without an autoencoder there is a sketch, and a sentence; one that does not fit is refused. */
static void
test_missing (void)
{
  g_autoptr (DimrEngine) engine = new_engine ();
  g_autoptr (DimrModel) model = NULL;
  g_autoptr (DimrModel) refused = NULL;
  g_autoptr (DimrRequest) request = NULL;
  g_autoptr (DimrJob) job = NULL;
  g_autoptr (GError) error = NULL;
  Seen seen = { 0 };

  model = load (engine, TEST_DATA_DIR "/reference/A_dimr_2r_latent", &error);
  g_assert_no_error (error);
  request = dimr_request_new ();
  request->n_steps = 3;
  job = run (engine, request, &seen);
  g_assert_cmpuint (dimr_image_get_width (dimr_job_peek_image (job, 0)), ==, 16);
  g_assert_nonnull (strstr (dimr_job_peek_note (job), "autoencoder_kl_ema.pth"));

  dimr_engine_set_autoencoder (engine, TEST_DATA_DIR "/reference/A_dimr_2r_latent/model.safetensors");
  refused = load (engine, TEST_DATA_DIR "/reference/A_dimr_2r_latent", &error);
  g_assert_null (refused);
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = NULL;
  int status;

  g_test_init (&argc, &argv, NULL);
  dimr_kernels_init ();
  folder = g_dir_make_tmp ("dimr-decoder-XXXXXX", &error);
  g_assert_no_error (error);
  path = g_build_filename (folder, "autoencoder.safetensors", NULL);
  autoencoder_fixture_write (&autoencoder_fixture_small, path);
  autoencoder = dimr_autoencoder_load (path, NULL, &error);
  g_assert_no_error (error);
  device = dimr_device_open ("cpu", 0, &error);
  g_assert_no_error (error);

  g_test_add_func ("/decoder/tiles/keep-every-pixel-once", test_cover);
  g_test_add_func ("/decoder/tiles/share-their-statistics", test_statistics);
  g_test_add_func ("/decoder/tiles/take-a-quarter-and-look-the-same", test_tiled);
  g_test_add_func ("/decoder/fixed-workspace-is-no-map", test_fixed_workspace);
  g_test_add_func ("/decoder/tiles/come-nearer-with-every-pass", test_passes);
  g_test_add_func ("/decoder/refuses-what-cannot-fit", test_too_little_memory);
  g_test_add_func ("/decoder/stops-between-tiles", test_cancel);
  g_test_add_func ("/decoder/engine/shows-latents-as-asked", test_previews);
  g_test_add_func ("/decoder/engine/says-what-is-missing", test_missing);
  status = g_test_run ();

  g_clear_object (&autoencoder);
  g_clear_object (&device);
  g_unlink (path);
  g_rmdir (folder);
  g_free (path);
  return status;
}
