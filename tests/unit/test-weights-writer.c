/* What is written as safetensors, at once or in pieces, and what a failure leaves: nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/weights/dimr-safetensors-stream.h"
#include "core/weights/dimr-safetensors-writer.h"
#include "weights-builder.h"

#include <glib/gstdio.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

typedef struct
{
  char *folder, *path;
} Fixture;

static void
set_up (Fixture      *f,
        gconstpointer data)
{
  f->folder = g_dir_make_tmp ("dimr-weights-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
  f->path = g_build_filename (f->folder, "out.safetensors", NULL);
}

static guint
n_files (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
tear_down (Fixture      *f,
           gconstpointer data)
{
  g_unlink (f->path);
  g_assert_cmpint (g_rmdir (f->folder), ==, 0); /* nothing was left in it */
  g_free (f->path);
  g_free (f->folder);
}

static DimrWeights *
open_reference (const char *file)
{
  g_autofree char *path = g_build_filename (TEST_DATA_DIR, "reference", file, NULL);
  g_autoptr (GError) error = NULL;
  DimrWeights *weights = dimr_weights_open (path, NULL, &error);

  g_assert_no_error (error);
  return weights;
}

/* Checks that the calls come in order and end at the whole. */
typedef struct
{
  guint n_calls;
  guint64 last, total;
  GCancellable *cancel_at_half;
} Progress;

static void
on_progress (guint64  n_done,
             guint64  n_total,
             gpointer user_data)
{
  Progress *progress = user_data;

  g_assert_cmpuint (n_done, >, progress->last);
  g_assert_cmpuint (n_done, <=, n_total);
  progress->n_calls++;
  progress->last = n_done;
  progress->total = n_total;
  if (progress->cancel_at_half != NULL && 2 * n_done >= n_total)
    g_cancellable_cancel (progress->cancel_at_half);
}

static void
test_what_was_written_is_read (Fixture      *f,
                               gconstpointer file)
{
  g_autoptr (DimrWeights) weights = open_reference (file), again = NULL;
  g_autoptr (GError) error = NULL;
  Progress progress = { 0 };

  dimr_weights_convert (weights, f->path, NULL, NULL, on_progress, &progress, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (progress.n_calls, >, 0);
  g_assert_cmpuint (progress.last, ==, dimr_weights_get_n_bytes (weights));
  g_assert_cmpuint (progress.total, ==, progress.last);
  again = dimr_weights_open (f->path, NULL, &error);
  g_assert_no_error (error);
  assert_same_weights (again, weights);
  g_assert_cmpstr (dimr_weights_get_metadata (again, "format"), ==, dimr_weights_get_metadata (weights, "format"));
}

static void
test_data_is_aligned_and_repeatable (Fixture      *f,
                                     gconstpointer data)
{
  g_autoptr (DimrWeights) weights = open_reference ("I_formats/good/dtypes.pth"), again = NULL;
  g_autofree char *first = NULL, *second = NULL;
  gsize n_first, n_second;

  g_assert_true (dimr_weights_convert (weights, f->path, NULL, NULL, NULL, NULL, NULL));
  g_assert_true (g_file_get_contents (f->path, &first, &n_first, NULL));
  again = dimr_weights_open (f->path, NULL, NULL);
  for (const char **name = dimr_weights_peek_names (again); *name != NULL; name++)
    {
      DimrTensor *tensor = dimr_weights_peek (again, *name);
      gsize item = dimr_dtype_size (dimr_tensor_get_dtype (tensor));

      g_assert_cmpuint ((guintptr) dimr_tensor_peek_data (tensor) % item, ==, 0);
    }
  /* Onto itself: the mapped file that is being read is replaced, not overwritten. */
  g_assert_true (dimr_weights_convert (again, f->path, NULL, NULL, NULL, NULL, NULL));
  g_assert_true (g_file_get_contents (f->path, &second, &n_second, NULL));
  g_assert_cmpmem (first, n_first, second, n_second);
}

static void
test_types_are_converted (Fixture      *f,
                          gconstpointer data)
{
  static const DimrDType targets[] = { DIMR_DTYPE_F32, DIMR_DTYPE_F16, DIMR_DTYPE_BF16, DIMR_DTYPE_F64 };
  static const double relative[] = { 1e-7, 0x1p-11, 0x1p-8, 1e-7 };
  g_autoptr (DimrWeights) weights = open_reference ("I_formats/good/dtypes.pth");

  for (guint t = 0; t < G_N_ELEMENTS (targets); t++)
    {
      g_autoptr (DimrWeights) again = NULL;
      g_autoptr (GError) error = NULL;

      dimr_weights_convert (weights, f->path, &targets[t], NULL, NULL, NULL, &error);
      g_assert_no_error (error);
      again = dimr_weights_open (f->path, NULL, &error);
      g_assert_no_error (error);
      for (const char **name = dimr_weights_peek_names (weights); *name != NULL; name++)
        {
          DimrTensor *was = dimr_weights_peek (weights, *name), *is = dimr_weights_peek (again, *name);
          DimrDType own = dimr_tensor_get_dtype (was);
          g_autofree float *a = dimr_tensor_dup_f32 (was), *b = dimr_tensor_dup_f32 (is);

          g_assert_cmpint (dimr_tensor_get_dtype (is), ==,
                           own == DIMR_DTYPE_F32 || own == DIMR_DTYPE_F64 ? targets[t] : own);
          for (gsize i = 0; i < dimr_tensor_get_n_elements (was); i++)
            g_assert_cmpfloat (fabs (a[i] - b[i]), <=, relative[t] * fabs (a[i]) + 0x1p-25);
        }
    }
}

/* Takes @tensor. */
static DimrWeights *
one_tensor (const char *name,
            DimrTensor *tensor)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);

  g_hash_table_insert (tensors, g_strdup (name), tensor);
  return dimr_weights_new_for_tensors (tensors);
}

static void
test_large_values_are_not_made_infinite (Fixture      *f,
                                         gconstpointer data)
{
  const DimrShape shape = DIMR_SHAPE (2);
  const float large[2] = { 1, 70000 }, infinite[2] = { INFINITY, NAN };
  const double wide[2] = { 1, 1e300 };
  const DimrDType half = DIMR_DTYPE_F16, single = DIMR_DTYPE_F32, brain = DIMR_DTYPE_BF16;
  g_autoptr (DimrWeights) too_large = one_tensor ("x", dimr_tensor_new_copy (DIMR_DTYPE_F32, &shape, large));
  g_autoptr (DimrWeights) too_wide = one_tensor ("x", dimr_tensor_new_copy (DIMR_DTYPE_F64, &shape, wide));
  g_autoptr (DimrWeights) as_they_were = one_tensor ("x", dimr_tensor_new_copy (DIMR_DTYPE_F32, &shape, infinite));
  g_autoptr (GError) error = NULL;

  g_assert_false (dimr_weights_convert (too_large, f->path, &half, NULL, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_assert_nonnull (strstr (error->message, "'x' holds values that are too large for F16"));
  g_clear_error (&error);
  g_assert_false (dimr_weights_convert (too_wide, f->path, &single, NULL, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_assert_cmpuint (n_files (f->folder), ==, 0);
  g_assert_true (dimr_weights_convert (too_large, f->path, &brain, NULL, NULL, NULL, NULL));
  g_assert_true (dimr_weights_convert (as_they_were, f->path, &half, NULL, NULL, NULL, NULL));
}

static void
test_notes_and_names_survive (Fixture      *f,
                              gconstpointer data)
{
  static const char *const names[] = { "b \"quoted\\\"\n\x01", "a/ß/😀", NULL };
  static const char *const bad[][2] = { { "", NULL }, { "__metadata__", NULL }, { "\xff", NULL } };
  static const char *const twice[] = { "a", "a", NULL };
  const DimrShape shape = DIMR_SHAPE (4);
  g_autoptr (DimrTensor) tensor = dimr_tensor_new_copy (DIMR_DTYPE_F32, &shape, builder_floats);
  DimrTensor *tensors[] = { tensor, tensor };
  g_autoptr (GHashTable) notes = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (DimrWeights) weights = NULL;
  g_autoptr (GError) error = NULL;

  g_hash_table_insert (notes, (gpointer) "license", (gpointer) "\"Apache\"\t2.0");
  dimr_safetensors_write (f->path, names, tensors, notes, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  weights = dimr_weights_open (f->path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (dimr_weights_get_n_tensors (weights), ==, 2);
  g_assert_nonnull (dimr_weights_peek (weights, names[0]));
  g_assert_nonnull (dimr_weights_peek (weights, names[1]));
  g_assert_cmpstr (dimr_weights_get_metadata (weights, "license"), ==, "\"Apache\"\t2.0");

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_false (dimr_safetensors_write (f->path, bad[i], tensors, NULL, NULL, NULL, NULL, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
      g_clear_error (&error);
    }
  g_assert_false (dimr_safetensors_write (f->path, twice, tensors, NULL, NULL, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_clear_error (&error);
  g_hash_table_insert (notes, (gpointer) "bytes", (gpointer) "\xff");
  g_assert_false (dimr_safetensors_write (f->path, names, tensors, notes, NULL, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_assert_cmpuint (n_files (f->folder), ==, 1);
}

/* The limit on the size of files plays a disk that is full. */
static void
test_a_full_disk_leaves_what_was_there (Fixture      *f,
                                        gconstpointer data)
{
  g_autoptr (DimrWeights) weights = open_reference ("C2_n1_n6_k5/model.safetensors");
  g_autoptr (GError) error = NULL;
  g_autofree char *content = NULL;
  struct rlimit old, small;
  gboolean written;

  g_assert_true (g_file_set_contents (f->path, "before", -1, NULL));
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  small = old;
  small.rlim_cur = dimr_weights_get_n_bytes (weights) / 2;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  written = dimr_weights_convert (weights, f->path, NULL, NULL, NULL, NULL, &error);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);

  g_assert_false (written);
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_assert_nonnull (strstr (error->message, "out.safetensors could not be written"));
  g_assert_cmpuint (n_files (f->folder), ==, 1);
  g_assert_true (g_file_get_contents (f->path, &content, NULL, NULL));
  g_assert_cmpstr (content, ==, "before");
}

static void
test_no_failure_leaves_a_file (Fixture      *f,
                               gconstpointer data)
{
  g_autoptr (DimrWeights) weights = open_reference ("I_formats/good/dtypes.pth");
  g_autoptr (GCancellable) cancellable = g_cancellable_new (), half = g_cancellable_new ();
  g_autofree char *elsewhere = g_build_filename (f->folder, "no-such-folder", "x", NULL);
  Progress progress = { .cancel_at_half = half };
  g_autoptr (GError) error = NULL;

  g_assert_false (dimr_weights_convert (weights, elsewhere, NULL, NULL, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_clear_error (&error);
  /* The final name is a folder: only the last step fails. */
  g_assert_cmpint (g_mkdir (f->path, 0755), ==, 0);
  g_assert_false (dimr_weights_convert (weights, f->path, NULL, NULL, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_assert_cmpuint (n_files (f->folder), ==, 1);
  g_assert_cmpint (g_rmdir (f->path), ==, 0);
  g_clear_error (&error);
  /* It is a pipe, which no file may take the place of. */
  g_assert_cmpint (mkfifo (f->path, 0600), ==, 0);
  g_assert_false (dimr_weights_convert (weights, f->path, NULL, NULL, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_assert_cmpint (g_unlink (f->path), ==, 0);
  g_clear_error (&error);

  g_assert_false (dimr_weights_convert (weights, f->path, NULL, half, on_progress, &progress, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (progress.last, >, 0);
  g_assert_cmpuint (progress.last, <, progress.total);
  g_clear_error (&error);
  g_cancellable_cancel (cancellable);
  g_assert_false (dimr_weights_convert (weights, f->path, NULL, cancellable, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (n_files (f->folder), ==, 0);
}

static const DimrSafetensorsSlot slots[] = {
  { "small", DIMR_DTYPE_F32, DIMR_SHAPE (3, 2) },
  { "large", DIMR_DTYPE_I64, DIMR_SHAPE (3) },
};

/* In any order, the pieces make the bytes of a file that was written at once. */
static void
test_pieces_make_the_same_file (Fixture      *f,
                                gconstpointer data)
{
  static const float small[6] = { 1, 2, 3, 4, 5, 6 };
  static const gint64 large[3] = { 7, 8, G_MAXINT64 };
  const char *names[] = { "small", "large", NULL };
  g_autoptr (DimrTensor) a = dimr_tensor_new_copy (DIMR_DTYPE_F32, &slots[0].shape, small);
  g_autoptr (DimrTensor) b = dimr_tensor_new_copy (DIMR_DTYPE_I64, &slots[1].shape, large);
  g_autoptr (GHashTable) notes = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (DimrSafetensorsStream) stream = NULL;
  g_autofree char *whole = NULL, *pieces = NULL;
  g_autoptr (GError) error = NULL;
  gsize n_whole, n_pieces;

  g_hash_table_insert (notes, (gpointer) "a", (gpointer) "b");
  g_assert_true (dimr_safetensors_write (f->path, names, (DimrTensor *[]){ a, b }, notes, NULL, NULL, NULL, &error));
  g_assert_true (g_file_get_contents (f->path, &whole, &n_whole, NULL));
  stream = dimr_safetensors_stream_new (f->path, slots, 2, notes, &error);
  g_assert_no_error (error);
  for (guint i = 3; i-- > 0;)
    {
      g_assert_true (dimr_safetensors_stream_put (stream, 0, 2 * i, 2, small + 2 * i, &error));
      g_assert_true (dimr_safetensors_stream_put (stream, 1, i, 1, large + i, &error));
    }
  g_assert_true (dimr_safetensors_stream_finish (stream, &error));
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (f->path, &pieces, &n_pieces, NULL));
  g_assert_cmpmem (pieces, n_pieces, whole, n_whole);
  g_assert_cmpuint (n_files (f->folder), ==, 1);
}

/* What does not fit is known before the first piece, and nothing unfinished stays. */
static void
test_pieces_leave_nothing (Fixture      *f,
                           gconstpointer data)
{
  const DimrSafetensorsSlot huge = { "huge", DIMR_DTYPE_F32, DIMR_SHAPE (G_GINT64_CONSTANT (1) << 60) };
  const DimrSafetensorsSlot large = { "large", DIMR_DTYPE_F32, DIMR_SHAPE (1 << 20) };
  g_autoptr (GError) error = NULL;
  DimrSafetensorsStream *stream;
  struct rlimit old, small;

  g_assert_true (g_file_set_contents (f->path, "before", -1, NULL));
  g_assert_null (dimr_safetensors_stream_new (f->path, &huge, 1, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_clear_error (&error);

  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &old), ==, 0);
  small = old;
  small.rlim_cur = 1 << 20;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  stream = dimr_safetensors_stream_new (f->path, &large, 1, NULL, &error);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &old), ==, 0);
  g_assert_null (stream);
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_clear_error (&error);

  stream = dimr_safetensors_stream_new (f->path, slots, 2, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n_files (f->folder), ==, 2);
  dimr_safetensors_stream_free (stream);
  g_assert_cmpuint (n_files (f->folder), ==, 1);
}

#define ADD(path, data, test) g_test_add (path, Fixture, data, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/writer/what-was-written-is-read/every-type", "I_formats/good/dtypes.pth", test_what_was_written_is_read);
  ADD ("/writer/what-was-written-is-read/escapes", "I_formats/good/st_escapes.safetensors", test_what_was_written_is_read);
  ADD ("/writer/what-was-written-is-read/model", "C2_n1_n6_k5/model.pth", test_what_was_written_is_read);
  ADD ("/stream/pieces-make-the-same-file", NULL, test_pieces_make_the_same_file);
  ADD ("/stream/pieces-leave-nothing", NULL, test_pieces_leave_nothing);
  ADD ("/writer/data-is-aligned-and-repeatable", NULL, test_data_is_aligned_and_repeatable);
  ADD ("/writer/types-are-converted", NULL, test_types_are_converted);
  ADD ("/writer/large-values-are-not-made-infinite", NULL, test_large_values_are_not_made_infinite);
  ADD ("/writer/notes-and-names-survive", NULL, test_notes_and_names_survive);
  ADD ("/writer/full-disk-leaves-what-was-there", NULL, test_a_full_disk_leaves_what_was_there);
  ADD ("/writer/no-failure-leaves-a-file", NULL, test_no_failure_leaves_a_file);
  return g_test_run ();
}
