/* What is learnt from: pictures, sets of them, the order in which they come.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train-fixture.h"

#include "core/base/dimr-error.h"
#include "core/image/dimr-photo.h"
#include "core/image/dimr-png.h"
#include "core/train/dimr-batches.h"
#include "core/train/dimr-dataset-private.h"
#include "core/weights/dimr-safetensors-writer.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

/* A picture of @width × @height whose left half is red and right half blue. */
static DimrImage *
make_image (guint width,
            guint height)
{
  guint8 *pixels = g_malloc0 ((gsize) width * height * 4);
  g_autoptr (GBytes) bytes = NULL;

  for (guint i = 0; i < width * height; i++)
    {
      pixels[4 * i + (i % width < width / 2 ? 0 : 2)] = 0xff;
      pixels[4 * i + 3] = 0xff;
    }
  bytes = g_bytes_new_take (pixels, (gsize) width * height * 4);
  return dimr_image_new (width, height, bytes);
}

static void
save_png (const char *folder,
          const char *group,
          const char *name)
{
  g_autofree char *dir = g_build_filename (folder, group, NULL), *path = g_build_filename (dir, name, NULL);
  g_autoptr (DimrImage) image = make_image (12, 10);
  g_autoptr (GError) error = NULL;

  g_mkdir_with_parents (dir, 0777);
  dimr_png_save (path, image, NULL, &error);
  g_assert_no_error (error);
}

static GBytes *
encode_jpeg (guint    width,
             guint    height,
             gboolean grey)
{
  struct jpeg_compress_struct jpeg;
  struct jpeg_error_mgr manager;
  unsigned char *data = NULL;
  unsigned long size = 0;
  g_autofree guint8 *row = g_malloc0 ((gsize) width * 3);
  GBytes *bytes;

  jpeg.err = jpeg_std_error (&manager);
  jpeg_create_compress (&jpeg);
  jpeg_mem_dest (&jpeg, &data, &size);
  jpeg.image_width = width;
  jpeg.image_height = height;
  jpeg.input_components = grey ? 1 : 3;
  jpeg.in_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults (&jpeg);
  jpeg_set_quality (&jpeg, 95, TRUE);
  jpeg_start_compress (&jpeg, TRUE);
  for (guint x = 0; x < width; x++)
    if (grey)
      row[x] = 200;
    else
      row[3 * x + (x < width / 2 ? 0 : 2)] = 0xff;
  for (guint y = 0; y < height; y++)
    {
      JSAMPROW line = row;
      jpeg_write_scanlines (&jpeg, &line, 1);
    }
  jpeg_finish_compress (&jpeg);
  jpeg_destroy_compress (&jpeg);
  bytes = g_bytes_new (data, size);
  free (data);
  return bytes;
}

static void
test_jpeg (void)
{
  static const guint sizes[][2] = { { 64, 64 }, { 100, 37 }, { 500, 375 } };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GBytes) bytes = encode_jpeg (sizes[i][0], sizes[i][1], FALSE);
      g_autoptr (GError) error = NULL;
      g_autoptr (DimrImage) image = dimr_photo_decode (bytes, "it", 32, &error);
      guint8 planes[3 * 32 * 32];

      g_assert_no_error (error);
      g_assert_cmpuint (MIN (dimr_image_get_width (image), dimr_image_get_height (image)), >=, 32);
      dimr_photo_fit (image, 32, planes);
      g_assert_cmpuint (planes[0], >, 235);                 /* red on the left */
      g_assert_cmpuint (planes[2 * 32 * 32], <, 20);
      g_assert_cmpuint (planes[31], <, 20);                 /* blue on the right */
      g_assert_cmpuint (planes[2 * 32 * 32 + 31], >, 235);
    }
}

static void
test_grey_jpeg (void)
{
  g_autoptr (GBytes) bytes = encode_jpeg (40, 40, TRUE);
  g_autoptr (DimrImage) image = dimr_photo_decode (bytes, "it", 8, NULL);
  guint8 planes[3 * 8 * 8];

  g_assert_nonnull (image);
  dimr_photo_fit (image, 8, planes);
  for (guint i = 0; i < sizeof planes; i++)
    g_assert_cmpuint (abs (planes[i] - 200), <=, 2);
}

/* Cut short, damaged, or something else: one sentence, no crash. */
static void
test_bad_jpeg (void)
{
  g_autoptr (GBytes) whole = encode_jpeg (64, 64, FALSE);
  gsize size;
  const guint8 *data = g_bytes_get_data (whole, &size);

  for (gsize n = 0; n < size; n += 7)
    {
      g_autoptr (GBytes) part = g_bytes_new (data, n);
      g_autoptr (GError) error = NULL;

      g_assert_null (dimr_photo_decode (part, "“x.jpg”", 32, &error));
      g_assert_nonnull (error);
      g_assert_true (g_str_has_prefix (error->message, "“x.jpg”"));
    }
}

static void
test_fit (void)
{
  g_autoptr (DimrImage) large = make_image (64, 64), small = make_image (2, 2);
  guint8 planes[3 * 8 * 8];

  dimr_photo_fit (large, 8, planes);
  g_assert_cmpuint (planes[3], ==, 255);
  g_assert_cmpuint (planes[4], ==, 0);
  dimr_photo_fit (small, 8, planes);
  g_assert_cmpuint (planes[3], ==, 255);
  g_assert_cmpuint (planes[4], ==, 0);
}

static void
test_folders (void)
{
  g_autofree char *folder = train_make_folder ();
  g_autoptr (DimrDataset) data = NULL;
  g_autoptr (GError) error = NULL;
  const int *classes;
  float x0[3 * 8 * 8], mirrored[3 * 8 * 8];
  guint n;

  save_png (folder, "n02129165", "b.png");
  save_png (folder, "n02129165/images", "a.PNG");
  save_png (folder, "n01443537", "c.png");
  save_png (folder, "n01443537", ".hidden.png");
  data = dimr_dataset_open (folder, 1000, 3, 8, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (dimr_dataset_get_n (data), ==, 3);
  g_assert_cmpint (dimr_dataset_get_class (data, 0), ==, 1);   /* goldfish */
  g_assert_cmpint (dimr_dataset_get_class (data, 2), ==, 291); /* lion */
  classes = dimr_dataset_peek_classes (data, &n);
  g_assert_cmpuint (n, ==, 2);
  g_assert_cmpint (classes[0], ==, 1);

  for (guint again = 0; again < 2; again++) /* the second time from the cache */
    {
      g_assert_true (dimr_dataset_read (data, 1, 0, FALSE, x0, NULL));
      g_assert_true (dimr_dataset_read (data, 1, 0, TRUE, mirrored, NULL));
      g_assert_cmpfloat (x0[0], ==, 1);
      g_assert_cmpfloat (x0[7], ==, -1);
      for (guint row = 0; row < 24; row++)
        for (guint x = 0; x < 8; x++)
          g_assert_cmpfloat (x0[row * 8 + x], ==, mirrored[row * 8 + 7 - x]);
    }
  train_remove_tree (folder);
}

static void
test_folder_names (void)
{
  g_autofree char *folder = train_make_folder ();
  g_autoptr (DimrDataset) words = NULL, numbers = NULL;
  g_autoptr (GError) error = NULL;

  save_png (folder, "dogs", "a.png");
  save_png (folder, "cats", "b.png");
  words = dimr_dataset_open (folder, 8, 3, 8, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (dimr_dataset_get_class (words, 1), ==, 1);
  train_remove_tree (folder);

  save_png (folder, "7", "a.png");
  save_png (folder, "2", "b.png");
  numbers = dimr_dataset_open (folder, 8, 3, 8, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (dimr_dataset_get_class (numbers, 1), ==, 7);
  g_assert_null (dimr_dataset_open (folder, 7, 3, 8, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  train_remove_tree (folder);
}

static void
test_empty_folder (void)
{
  g_autofree char *folder = train_make_folder ();
  g_autoptr (GError) error = NULL;

  g_assert_null (dimr_dataset_open (folder, 8, 3, 8, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_assert_nonnull (strstr (error->message, "one folder a class"));
  train_remove_tree (folder);
}

/* As `dimr encode` writes them, with classes beside them: the moments' latents differ from draw to draw. */
static void
test_latents (void)
{
  g_autofree char *folder = train_make_folder ();
  static const char * const names[2][3] = { { "moments", "y", NULL }, { "z", "y", NULL } };
  const gint64 labels[3] = { 5, 0, 2 };

  for (guint k = 0; k < 2; k++)
    {
      const guint channels = k == 0 ? 8 : 4;
      g_autofree char *path = g_strdup_printf ("%s/%s.safetensors", folder, names[k][0]);
      g_autofree float *values = g_new (float, 3 * channels * 4);
      g_autoptr (DimrTensor) data_tensor = NULL, y = dimr_tensor_new_copy (DIMR_DTYPE_I64, &DIMR_SHAPE (3), labels);
      DimrTensor *tensors[2];
      g_autoptr (DimrDataset) data = NULL;
      g_autoptr (GError) error = NULL;
      float a[16], b[16], c[16];

      for (guint i = 0; i < 3 * channels * 4; i++)
        values[i] = (float) i / 10;
      data_tensor = dimr_tensor_new_copy (DIMR_DTYPE_F32, &DIMR_SHAPE (3, channels, 2, 2), values);
      tensors[0] = data_tensor;
      tensors[1] = y;
      g_assert_true (dimr_safetensors_write (path, names[k], tensors, NULL, NULL, NULL, NULL, &error));
      data = dimr_dataset_open (path, 6, 4, 2, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpint (dimr_dataset_get_class (data, 0), ==, 5);
      g_assert_true (dimr_dataset_read (data, 1, 7, FALSE, a, NULL));
      g_assert_true (dimr_dataset_read (data, 1, 7, TRUE, b, NULL));
      g_assert_true (dimr_dataset_read (data, 1, 8, FALSE, c, NULL));
      for (guint i = 0; i < 16; i++)
        g_assert_cmpfloat (a[i], ==, b[i ^ 1]);
      g_assert_cmpint (memcmp (a, c, sizeof a) != 0, ==, k == 0);
      if (k == 1)
        g_assert_cmpfloat (a[3], ==, values[16 + 3]);
      g_assert_null (dimr_dataset_open (path, 5, 4, 2, NULL, NULL)); /* class 5 of five */
      g_assert_null (dimr_dataset_open (path, 6, 4, 4, NULL, NULL));
    }
  train_remove_tree (folder);
}

/* As tar writes it. */
static void
add_entry (GByteArray *tar,
           const char *name,
           GBytes     *content,
           char        kind)
{
  guint8 header[512] = { 0 };
  gsize size;
  const guint8 *data = g_bytes_get_data (content, &size);
  guint sum = 0;

  g_strlcpy ((char *) header, name, 100);
  g_snprintf ((char *) header + 124, 12, "%011o", (guint) size);
  header[156] = (guint8) kind;
  memcpy (header + 257, "ustar\00000", 8);
  memset (header + 148, ' ', 8);
  for (guint i = 0; i < 512; i++)
    sum += header[i];
  g_snprintf ((char *) header + 148, 8, "%06o", sum);
  g_byte_array_append (tar, header, 512);
  g_byte_array_append (tar, data, (guint) size);
  while (tar->len % 512 != 0)
    g_byte_array_append (tar, (const guint8 *) "", 1);
}

static GByteArray *
make_tar (void)
{
  GByteArray *tar = g_byte_array_new ();
  g_autoptr (DimrImage) image = make_image (12, 10);
  g_autoptr (GBytes) png = dimr_png_encode (image, NULL, NULL), none = g_bytes_new ("", 0), jpeg = encode_jpeg (20, 20, FALSE);
  g_autofree char *deep = g_strdup_printf ("set/%0120d/n02129165/z.png", 0);
  g_autoptr (GBytes) name = g_bytes_new (deep, strlen (deep) + 1);
  guint8 zeros[1024] = { 0 };

  add_entry (tar, "set/", none, '5');
  add_entry (tar, "set/n01443537/a.png", png, '0');
  add_entry (tar, "set/n01443537/notes.txt", none, '0');
  add_entry (tar, "set/n02129165/b.JPEG", jpeg, '0');
  add_entry (tar, "././@LongLink", name, 'L');
  add_entry (tar, "cut", png, '0');
  g_byte_array_append (tar, zeros, sizeof zeros);
  return tar;
}

static void
test_archive (void)
{
  g_autofree char *folder = train_make_folder (), *path = g_build_filename (folder, "set.tar", NULL);
  g_autoptr (GByteArray) tar = make_tar ();
  g_autoptr (DimrDataset) data = NULL;
  g_autoptr (GError) error = NULL;
  float x0[3 * 8 * 8];

  g_assert_true (g_file_set_contents (path, (const char *) tar->data, tar->len, NULL));
  data = dimr_dataset_open (path, 1000, 3, 8, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (dimr_dataset_get_n (data), ==, 3);
  for (guint i = 0; i < 3; i++)
    {
      g_assert_true (dimr_dataset_read (data, i, 0, FALSE, x0, &error));
      g_assert_cmpfloat (x0[0], >, .8f);
    }
  g_assert_cmpint (dimr_dataset_get_class (data, 0), ==, 291); /* "set/000…/n02129165/z.png" */
  train_remove_tree (folder);
}

/* Every length that a copy may have stopped at, and damaged bytes: an error or fewer pictures, never more. */
static void
test_damaged_archive (void)
{
  g_autoptr (GByteArray) tar = make_tar ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);

  for (guint k = 0; k < 400; k++)
    {
      g_autofree guint8 *copy = g_memdup2 (tar->data, tar->len);
      g_autoptr (GArray) items = g_array_new (FALSE, FALSE, sizeof (DimrDatasetItem));
      g_autoptr (GPtrArray) groups = g_ptr_array_new_with_free_func (g_free);
      g_autoptr (GError) error = NULL;
      const gsize size = k < 200 ? (gsize) g_rand_int_range (rand, 0, (gint32) tar->len) : tar->len;

      if (k >= 200)
        copy[g_rand_int_range (rand, 0, (gint32) tar->len)] ^= (guint8) g_rand_int_range (rand, 1, 256);
      dimr_dataset_list_archive ("x.tar", copy, size, items, groups, &error);
      for (guint i = 0; i < items->len; i++)
        {
          DimrDatasetItem *item = &g_array_index (items, DimrDatasetItem, i);

          g_assert_cmpuint (item->offset + item->size, <=, size);
          g_free (item->path);
        }
    }
}

static void
test_permutation (void)
{
  static const guint64 sizes[] = { 1, 2, 3, 16, 17, 1000 };

  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++)
    {
      g_autofree gboolean *seen = g_new0 (gboolean, sizes[s]);
      guint same = 0;

      for (guint64 i = 0; i < sizes[s]; i++)
        {
          const guint64 a = dimr_batches_permute (7, 0, i, sizes[s]);

          g_assert_cmpuint (a, <, sizes[s]);
          g_assert_false (seen[a]);
          seen[a] = TRUE;
          same += a == dimr_batches_permute (7, 1, i, sizes[s]);
        }
      if (sizes[s] == 1000)
        g_assert_cmpuint (same, <, 20); /* another epoch is another order */
    }
}

static const DimrBatchesOptions batch_options = {
  .seed = 3, .batch = 8, .channels = 3, .side = 8, .null_class = 8, .has_classes = TRUE, .drop_label = .5, .flip = TRUE,
  .shuffle = TRUE, .max_weight = 8, .n_threads = 3,
};

static char *
sum_of (const DimrTrainingBatch *batch)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  const gssize pixels = (gssize) (batch->n * 3 * 8 * 8 * sizeof (float));

  g_checksum_update (checksum, (const guchar *) batch->x0, pixels);
  g_checksum_update (checksum, (const guchar *) batch->noise, pixels);
  g_checksum_update (checksum, (const guchar *) batch->t, (gssize) (batch->n * sizeof (double)));
  g_checksum_update (checksum, (const guchar *) batch->y, (gssize) (batch->n * sizeof (gint32)));
  g_checksum_update (checksum, (const guchar *) batch->weight, (gssize) (batch->n * sizeof (float)));
  return g_strdup (g_checksum_get_string (checksum));
}

/* Whoever makes it, and wherever the run begins. */
static void
test_batches (void)
{
  g_autoptr (DimrDataset) data = dimr_dataset_new_procedural (50, 8, 0);
  g_autoptr (DimrSchedule) schedule = dimr_schedule_new_linear (.1, 20);
  DimrBatchesOptions alone = batch_options;
  g_autoptr (DimrBatches) many = dimr_batches_new (data, schedule, &batch_options, 0), one = NULL, later = NULL;
  g_autoptr (GPtrArray) sums = g_ptr_array_new_with_free_func (g_free);
  guint dropped = 0;

  alone.n_threads = 1;
  one = dimr_batches_new (data, schedule, &alone, 0);
  later = dimr_batches_new (data, schedule, &batch_options, 20);
  for (guint k = 0; k < 30; k++)
    {
      const DimrTrainingBatch *batch = dimr_batches_next (many, NULL);

      for (guint i = 0; i < batch->n; i++)
        {
          dropped += batch->y[i] == 8;
          g_assert_cmpfloat (batch->t[i], >, 0);
          g_assert_cmpfloat (batch->t[i], <=, 1);
          g_assert_cmpfloat (batch->weight[i], >=, 1);
          g_assert_cmpfloat (batch->weight[i], <=, 8);
        }
      g_ptr_array_add (sums, sum_of (batch));
    }
  g_assert_cmpuint (dropped, >, 80);
  g_assert_cmpuint (dropped, <, 160);
  for (guint k = 0; k < 30; k++)
    {
      g_autofree char *sum = sum_of (dimr_batches_next (one, NULL));
      g_assert_cmpstr (sum, ==, g_ptr_array_index (sums, k));
    }
  for (guint k = 20; k < 30; k++)
    {
      g_autofree char *sum = sum_of (dimr_batches_next (later, NULL));
      g_assert_cmpstr (sum, ==, g_ptr_array_index (sums, k));
    }
}

/* Whether @moved is @plain by (dx, dy), with zeros where it was not. */
static gboolean
is_moved (const float *moved,
          const float *plain,
          int          dx,
          int          dy)
{
  for (int i = 0; i < 3 * 8 * 8; i++)
    {
      const int x = i % 8 - dx, y = i / 8 % 8 - dy, plane = i / 64;
      const float expected = x < 0 || y < 0 || x >= 8 || y >= 8 ? 0 : plain[(plane * 8 + y) * 8 + x];

      if (moved[i] != expected)
        return FALSE;
    }
  return TRUE;
}

/* A classifier's batches: moved pictures with the rows of their classes, and nothing else. */
static void
test_moved_pictures (void)
{
  g_autofree char *folder = train_make_folder ();
  g_autoptr (DimrSchedule) schedule = dimr_schedule_new_linear (.1, 20);
  g_autoptr (DimrDataset) data = NULL;
  g_autoptr (DimrBatches) plain = NULL, moved = NULL;
  DimrBatchesOptions options = batch_options;
  guint seen[5][5] = { 0 }, n_seen = 0;

  save_png (folder, "3", "a.png");
  save_png (folder, "207", "b.png");
  save_png (folder, "40", "c.png");
  data = dimr_dataset_open (folder, 0, 3, 8, NULL, NULL);
  options.only_pictures = TRUE;
  options.classes = dimr_dataset_peek_classes (data, &options.n_classes);
  g_assert_cmpuint (options.n_classes, ==, 3);
  plain = dimr_batches_new (data, schedule, &options, 0);
  options.crop = 2;
  moved = dimr_batches_new (data, schedule, &options, 0);
  for (guint k = 0; k < 20; k++)
    {
      const DimrTrainingBatch *a = dimr_batches_next (plain, NULL), *b = dimr_batches_next (moved, NULL);

      g_assert_null (b->noise);
      for (guint i = 0; i < b->n; i++)
        {
          guint n = 0;

          g_assert_cmpint (b->y[i], ==, a->y[i]);
          g_assert_cmpint (b->y[i], <, 3);
          g_assert_cmpfloat (b->weight[i], ==, 1);
          for (int s = 0; s < 25; s++)
            if (is_moved (b->x0 + i * 192, a->x0 + i * 192, s % 5 - 2, s / 5 - 2))
              {
                n_seen += seen[s / 5][s % 5]++ == 0;
                n++;
              }
          g_assert_cmpuint (n, >, 0);
        }
    }
  g_assert_cmpuint (n_seen, ==, 25);
  train_remove_tree (folder);
}

/* One bad picture is told of once and replaced; a set of bad ones ends the run. */
static void
test_bad_pictures (void)
{
  g_autofree char *folder = train_make_folder (), *bad = g_build_filename (folder, "cats", "bad.jpg", NULL);
  g_autofree char *good = g_build_filename (folder, "cats", "good.png", NULL);
  g_autoptr (DimrSchedule) schedule = dimr_schedule_new_discrete (.00085, .012, 1000);
  g_autoptr (DimrDataset) data = NULL, none = NULL;
  g_autoptr (DimrBatches) batches = NULL, empty = NULL;
  g_autoptr (GPtrArray) errors = NULL;
  g_autoptr (GError) error = NULL;

  save_png (folder, "cats", "good.png");
  g_assert_true (g_file_set_contents (bad, "no picture", -1, NULL));
  data = dimr_dataset_open (folder, 8, 3, 8, NULL, &error);
  g_assert_no_error (error);
  batches = dimr_batches_new (data, schedule, &batch_options, 0);
  for (guint k = 0; k < 5; k++)
    g_assert_nonnull (dimr_batches_next (batches, NULL));
  errors = dimr_batches_take_errors (batches);
  g_assert_cmpuint (errors->len, ==, 1);
  g_assert_nonnull (strstr (g_ptr_array_index (errors, 0), "bad.jpg"));

  g_unlink (good);
  none = dimr_dataset_open (folder, 8, 3, 8, NULL, NULL);
  empty = dimr_batches_new (none, schedule, &batch_options, 0);
  g_assert_null (dimr_batches_next (empty, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
  train_remove_tree (folder);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/train/photo/reads-jpegs-of-any-size", test_jpeg);
  g_test_add_func ("/train/photo/reads-grey-jpegs", test_grey_jpeg);
  g_test_add_func ("/train/photo/refuses-damaged-jpegs", test_bad_jpeg);
  g_test_add_func ("/train/photo/cuts-and-scales", test_fit);
  g_test_add_func ("/train/dataset/reads-class-folders", test_folders);
  g_test_add_func ("/train/dataset/numbers-folders-by-their-names", test_folder_names);
  g_test_add_func ("/train/dataset/says-what-an-empty-folder-lacks", test_empty_folder);
  g_test_add_func ("/train/dataset/reads-latents", test_latents);
  g_test_add_func ("/train/dataset/reads-archives", test_archive);
  g_test_add_func ("/train/dataset/survives-damaged-archives", test_damaged_archive);
  g_test_add_func ("/train/batches/every-epoch-is-a-permutation", test_permutation);
  g_test_add_func ("/train/batches/depend-on-their-number-alone", test_batches);
  g_test_add_func ("/train/batches/move-pictures", test_moved_pictures);
  g_test_add_func ("/train/batches/replace-bad-pictures", test_bad_pictures);
  return g_test_run ();
}
