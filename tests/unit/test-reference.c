/* References of real pictures: against numbers that NumPy computed, as files, and as files that are not what they should be.
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/judge/dimr-reference.h"
#include "core/weights/dimr-safetensors-writer.h"
#include "train-fixture.h"

#include <math.h>
#include <string.h>

#define HASH "00ff"
#define N_CLASSES 3
#define N_QUANTILES DIMR_REFERENCE_N_QUANTILES

static const guint sides[] = { 32, 64 };

static DimrReferenceMaker *
make (const guint n_pictures[N_CLASSES])
{
  DimrReferenceMaker *maker = dimr_reference_maker_new (sides, 2, N_CLASSES);

  for (guint side = 0; side < 2; side++)
    for (guint row = 0; row < N_CLASSES; row++)
      for (guint i = 0; i < n_pictures[row]; i++)
        dimr_reference_maker_add (maker, side, row, (float) ((i * 37 + row * 17 + side * 29) % 101 + 1) / 103.f);
  return maker;
}

static DimrReference *
make_reference (void)
{
  const guint n[N_CLASSES] = { 20, 9, 5 };
  g_autoptr (DimrReferenceMaker) maker = make (n);
  g_autoptr (GError) error = NULL;
  DimrReference *reference = dimr_reference_maker_finish (maker, &error);

  g_assert_no_error (error);
  return reference;
}

/* mean, std (ddof=1), quantile and interp of NumPy over the same surprises, each scored by the others of its class. */
static void
assert_numpy (const DimrReference *reference)
{
  static const struct { guint side, row; float probability; double share; } cases[] = {
    { 0, 0, .9f, .102986 }, { 0, 0, .3f, .678688 }, { 0, 0, .05f, .913074 }, { 0, 0, .02f, .933627 }, { 0, 0, .001f, 1 },
    { 0, 1, .9f, .079698 }, { 0, 1, .3f, .595414 }, { 0, 1, .05f, .897775 }, { 0, 1, .02f, .919838 }, { 0, 1, .001f, .957930 },
    { 1, 0, .9f, .082331 }, { 1, 0, .3f, .670419 }, { 1, 0, .05f, .924481 }, { 1, 0, .02f, .952411 }, { 1, 0, .001f, 1 },
    { 1, 1, .9f, .141114 }, { 1, 1, .3f, .663348 }, { 1, 1, .05f, .916579 }, { 1, 1, .02f, .942978 }, { 1, 1, .001f, 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      double surprise, share = dimr_reference_compare (reference, sides[cases[i].side], cases[i].row, cases[i].probability, &surprise);

      g_assert_cmpfloat_with_epsilon (share, cases[i].share, 2e-5);
      g_assert_cmpfloat_with_epsilon (surprise, -log ((double) cases[i].probability), 1e-9);
    }
}

static void
test_numbers (void)
{
  g_autoptr (DimrReference) reference = make_reference ();

  assert_numpy (reference);
  g_assert_cmpuint (dimr_reference_get_n_known (reference), ==, 2);
  g_assert_cmpuint (dimr_reference_get_n_pictures (reference), ==, 34);
  g_assert_true (dimr_reference_knows (reference, 1));
  g_assert_false (dimr_reference_knows (reference, 2)); /* five pictures say too little */
  g_assert_false (dimr_reference_knows (reference, N_CLASSES));
  /* Never named, and named for certain. */
  g_assert_cmpfloat (dimr_reference_compare (reference, 64, 0, 0, NULL), ==, 1);
  g_assert_cmpfloat (dimr_reference_compare (reference, 64, 0, 1, NULL), ==, 0);
}

/* Of the real pictures themselves about that rate is beyond the threshold. */
static void
test_rate (void)
{
  const guint n[N_CLASSES] = { 101, 101, 0 };
  g_autoptr (DimrReferenceMaker) maker = make (n);
  g_autoptr (DimrReference) reference = dimr_reference_maker_finish (maker, NULL);
  guint beyond = 0;

  for (guint row = 0; row < 2; row++)
    for (guint i = 0; i < 101; i++)
      beyond += dimr_reference_compare (reference, 32, row, (float) (i + 1) / 103.f, NULL) > .9;
  g_assert_cmpuint (beyond, >=, 16);
  g_assert_cmpuint (beyond, <=, 22);
}

static void
test_sides (void)
{
  g_autoptr (DimrReference) reference = make_reference ();

  g_assert_cmpuint (dimr_reference_choose_side (reference, 16), ==, 32);
  g_assert_cmpuint (dimr_reference_choose_side (reference, 32), ==, 32);
  g_assert_cmpuint (dimr_reference_choose_side (reference, 63), ==, 32);
  g_assert_cmpuint (dimr_reference_choose_side (reference, 64), ==, 64);
  g_assert_cmpuint (dimr_reference_choose_side (reference, 4096), ==, 64);
}

static void
test_refuses_too_few (void)
{
  const guint n[N_CLASSES] = { 7, 7, 7 };
  g_autoptr (DimrReferenceMaker) few = make (n), uneven = make (n);
  g_autoptr (GError) error = NULL;

  g_assert_null (dimr_reference_maker_finish (few, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_clear_error (&error);
  dimr_reference_maker_add (uneven, 1, 0, .5f);
  g_assert_null (dimr_reference_maker_finish (uneven, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
}

/* Pictures that are all named alike: no deviation of zero to divide by. */
static void
test_equal_pictures (void)
{
  g_autoptr (DimrReferenceMaker) maker = dimr_reference_maker_new (sides, 1, 1);
  g_autoptr (DimrReference) reference = NULL;

  for (guint i = 0; i < 10; i++)
    dimr_reference_maker_add (maker, 0, 0, .5f);
  reference = dimr_reference_maker_finish (maker, NULL);
  g_assert_nonnull (reference);
  g_assert_cmpfloat (dimr_reference_compare (reference, 32, 0, .4f, NULL), ==, 1);
  g_assert_cmpfloat (dimr_reference_compare (reference, 32, 0, .6f, NULL), ==, 0);
}

static void
test_file (void)
{
  g_autofree char *folder = train_make_folder (), *path = g_build_filename (folder, "a.reference", NULL);
  g_autoptr (DimrReference) made = make_reference (), read = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (dimr_reference_save (made, path, HASH, &error));
  g_assert_no_error (error);
  read = dimr_reference_load (path, HASH, N_CLASSES, &error);
  g_assert_no_error (error);
  assert_numpy (read);

  g_assert_null (dimr_reference_load (path, "ff00", N_CLASSES, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
  g_clear_error (&error);
  g_assert_null (dimr_reference_load (path, HASH, N_CLASSES + 1, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
  g_clear_error (&error);
  g_assert_null (dimr_reference_load ("/nowhere/at/all", HASH, N_CLASSES, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  train_remove_tree (folder);
}

/* --- Files that are well formed, and lie --- */

typedef struct
{
  gint32 sides[2];
  gint32 counts[N_CLASSES];
  float means[2 * N_CLASSES];
  float deviations[2 * N_CLASSES];
  float quantiles[2 * N_QUANTILES];
  gint64 n_sides;       /* as its forms say */
  gint64 n_quantiles;
  DimrDType dtype;      /* of the means */
  const char *format;
} Lie;

static void
lie_init (Lie *self)
{
  *self = (Lie){ .sides = { 32, 64 }, .counts = { 9, 9, 9 }, .n_sides = 2, .n_quantiles = N_QUANTILES, .dtype = DIMR_DTYPE_F32,
                 .format = "dimr-reference" };
  for (guint i = 0; i < 2 * N_CLASSES; i++)
    self->deviations[i] = 1;
  for (guint i = 0; i < 2 * N_QUANTILES; i++)
    self->quantiles[i] = (float) (i % N_QUANTILES) / 100.f;
}

/* The error that reading it gives, or −1 where it is taken. */
static int
read_lie (const Lie *self)
{
  static const char * const names[] = { "counts", "deviations", "means", "quantiles", "sides", NULL };
  g_autofree char *folder = train_make_folder (), *path = g_build_filename (folder, "lie", NULL);
  const gint64 k = N_CLASSES, s = self->n_sides;
  g_autoptr (DimrTensor) counts = dimr_tensor_new_copy (DIMR_DTYPE_I32, &DIMR_SHAPE (k), self->counts);
  g_autoptr (DimrTensor) deviations = dimr_tensor_new_copy (DIMR_DTYPE_F32, &DIMR_SHAPE (s, k), self->deviations);
  g_autoptr (DimrTensor) means = dimr_tensor_new_copy (self->dtype, &DIMR_SHAPE (s, k), self->means);
  g_autoptr (DimrTensor) quantiles = dimr_tensor_new_copy (DIMR_DTYPE_F32, &DIMR_SHAPE (s, self->n_quantiles), self->quantiles);
  g_autoptr (DimrTensor) list = dimr_tensor_new_copy (DIMR_DTYPE_I32, &DIMR_SHAPE (s), self->sides);
  DimrTensor *tensors[] = { counts, deviations, means, quantiles, list };
  g_autoptr (GHashTable) metadata = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (DimrReference) reference = NULL;
  g_autoptr (GError) error = NULL;

  g_hash_table_insert (metadata, (gpointer) "format", (gpointer) self->format);
  g_hash_table_insert (metadata, (gpointer) "classifier", (gpointer) HASH);
  g_assert_true (dimr_safetensors_write (path, names, tensors, metadata, NULL, NULL, NULL, &error));
  g_assert_no_error (error);
  reference = dimr_reference_load (path, HASH, N_CLASSES, &error);
  train_remove_tree (folder);
  if (reference != NULL)
    return -1;
  g_assert_true (error->domain == DIMR_ERROR);
  return error->code;
}

#define ASSERT_LIE(change)                                   \
  G_STMT_START                                               \
    {                                                        \
      Lie lie;                                               \
      lie_init (&lie);                                       \
      change;                                                \
      g_assert_cmpint (read_lie (&lie), ==, DIMR_ERROR_FORMAT); \
    }                                                        \
  G_STMT_END

static void
test_lies (void)
{
  Lie honest;

  lie_init (&honest);
  g_assert_cmpint (read_lie (&honest), ==, -1);
  ASSERT_LIE (lie.format = "something else");
  ASSERT_LIE (lie.sides[0] = 0);
  ASSERT_LIE (lie.sides[1] = 32);
  ASSERT_LIE (lie.sides[1] = 20000);
  ASSERT_LIE (lie.counts[2] = -1);
  ASSERT_LIE (lie.means[5] = NAN);
  ASSERT_LIE (lie.deviations[0] = 0);
  ASSERT_LIE (lie.deviations[0] = -1);
  ASSERT_LIE (lie.deviations[3] = INFINITY);
  ASSERT_LIE (lie.quantiles[7] = NAN);
  ASSERT_LIE (lie.quantiles[N_QUANTILES + 7] = 1e9f);
  ASSERT_LIE (lie.n_quantiles = 1000);
  ASSERT_LIE (lie.n_sides = 0);
  ASSERT_LIE (lie.dtype = DIMR_DTYPE_I32);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/reference/as-numpy-has-it", test_numbers);
  g_test_add_func ("/reference/flags-its-rate", test_rate);
  g_test_add_func ("/reference/sizes", test_sides);
  g_test_add_func ("/reference/too-few-pictures", test_refuses_too_few);
  g_test_add_func ("/reference/equal-pictures", test_equal_pictures);
  g_test_add_func ("/reference/file/is-read-again", test_file);
  g_test_add_func ("/reference/file/lies-are-refused", test_lies);
  return g_test_run ();
}
