/* Distances of sets of pictures, ranks, and lists of files: what the commands that judge pictures stand on.
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/judge/dimr-frechet.h"
#include "core/judge/dimr-score.h"
#include "core/judge/dimr-symmetric.h"
#include "train-fixture.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* A symmetric matrix of random numbers in [−1, 1]. */
static double *
make_symmetric (guint n,
                guint seed)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  double *a = g_new (double, n * n);

  for (guint i = 0; i < n; i++)
    for (guint j = 0; j <= i; j++)
      a[i * n + j] = a[j * n + i] = g_rand_double_range (rand, -1, 1);
  return a;
}

/* Σ λ v vᵀ is the matrix again, and the vectors are orthonormal. */
static void
test_eigen (void)
{
  for (guint n = 1; n <= 64; n = n * 2 + 1)
    {
      g_autofree double *a = make_symmetric (n, n), *copy = g_memdup2 (a, n * n * sizeof *a);
      g_autofree double *values = g_new (double, n), *vectors = g_new (double, n * n);

      dimr_symmetric_eigen (copy, n, values, vectors);
      for (guint i = 0; i < n; i++)
        for (guint j = 0; j < n; j++)
          {
            double sum = 0, product = 0;

            for (guint v = 0; v < n; v++)
              {
                sum += values[v] * vectors[v * n + i] * vectors[v * n + j];
                product += vectors[i * n + v] * vectors[j * n + v];
              }
            g_assert_cmpfloat_with_epsilon (sum, a[i * n + j], 1e-12);
            g_assert_cmpfloat_with_epsilon (product, i == j, 1e-12);
          }
    }
}

/* One that is diagonal already, and one of zeros. */
static void
test_eigen_of_diagonal (void)
{
  double a[9] = { 3, 0, 0, 0, -1, 0, 0, 0, 2 }, zero[4] = { 0 }, values[3], vectors[9];

  dimr_symmetric_eigen (a, 3, values, vectors);
  g_assert_cmpfloat (values[0], ==, 3);
  g_assert_cmpfloat (values[1], ==, -1);
  g_assert_cmpfloat (values[2], ==, 2);
  dimr_symmetric_eigen (zero, 2, values, NULL);
  g_assert_cmpfloat (values[0], ==, 0);
}

static void
test_sqrt (void)
{
  const guint n = 23;
  g_autofree double *half = make_symmetric (n, 7), *a = g_new0 (double, n * n), *copy = NULL, *root = g_new (double, n * n);

  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < n; j++)
      for (guint k = 0; k < n; k++)
        a[i * n + j] += half[i * n + k] * half[j * n + k];
  copy = g_memdup2 (a, n * n * sizeof *a);
  dimr_symmetric_sqrt (copy, n, root);
  for (guint i = 0; i < n; i++)
    for (guint j = 0; j < n; j++)
      {
        double sum = 0;

        for (guint k = 0; k < n; k++)
          sum += root[i * n + k] * root[k * n + j];
        g_assert_cmpfloat_with_epsilon (sum, a[i * n + j], 1e-12);
        g_assert_cmpfloat_with_epsilon (root[i * n + j], root[j * n + i], 1e-12);
      }
}

/* 2·D points @mean ± @size along each axis of an orthonormal basis: their covariance has the axes' directions and the
 * variances 2 size² / (2·D − 1). */
static DimrMoments *
make_moments (const double *basis,
              guint         d,
              double        mean,
              const double *sizes)
{
  DimrMoments *moments = dimr_moments_new (d);
  g_autofree float *sample = g_new (float, d);

  for (guint axis = 0; axis < d; axis++)
    for (int sign = -1; sign <= 1; sign += 2)
      {
        for (guint i = 0; i < d; i++)
          sample[i] = (float) (mean + sign * sizes[axis] * basis[axis * d + i]);
        dimr_moments_add (moments, sample);
      }
  return moments;
}

/* Along common axes the distance is Σ (m1 − m2)² + Σ (s1 − s2)² of the deviations. */
static void
test_distance (void)
{
  enum { D = 12 };
  g_autofree double *turned = make_symmetric (D, 3), *values = g_new (double, D), *basis = g_new (double, D * D);
  double a_sizes[D], b_sizes[D], expected = D * .5 * .5, distance;
  g_autoptr (DimrMoments) a = NULL, b = NULL, few = dimr_moments_new (D);
  g_autoptr (GError) error = NULL;

  dimr_symmetric_eigen (turned, D, values, basis);
  for (guint i = 0; i < D; i++)
    {
      a_sizes[i] = 1 + i;
      b_sizes[i] = 3 + .5 * i;
      expected += pow (a_sizes[i] - b_sizes[i], 2) * 2 / (2 * D - 1);
    }
  a = make_moments (basis, D, 0, a_sizes);
  b = make_moments (basis, D, .5, b_sizes);
  g_assert_cmpuint (dimr_moments_get_n (a), ==, 2 * D);
  g_assert_true (dimr_frechet_distance (a, b, &distance, &error));
  g_assert_no_error (error);
  g_assert_cmpfloat_with_epsilon (distance, expected, 1e-4 * expected);
  g_assert_true (dimr_frechet_distance (b, a, &distance, NULL));
  g_assert_cmpfloat_with_epsilon (distance, expected, 1e-4 * expected);
  g_assert_true (dimr_frechet_distance (a, a, &distance, NULL));
  g_assert_cmpfloat (distance, <, 1e-9);

  g_assert_false (dimr_frechet_distance (a, few, &distance, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
}

/* Fewer samples than features: the covariance has no inverse, which the distance does not need. */
static void
test_distance_of_few (void)
{
  const float one[3] = { 0, 0, 0 }, two[3] = { 2, 0, 0 }, three[3] = { 0, 4, 0 };
  g_autoptr (DimrMoments) a = dimr_moments_new (3), b = dimr_moments_new (3);
  double distance;

  dimr_moments_add (a, one);
  dimr_moments_add (a, two);
  dimr_moments_add (b, one);
  dimr_moments_add (b, three);
  /* Means (1, 0, 0) and (0, 2, 0), variances 2 and 8 along different axes. */
  g_assert_true (dimr_frechet_distance (a, b, &distance, NULL));
  g_assert_cmpfloat_with_epsilon (distance, 1 + 4 + 2 + 8, 1e-9);
}

static void
test_rank (void)
{
  const float values[] = { .1f, .4f, .4f, .05f };

  g_assert_cmpuint (dimr_score_rank (values, 4, 1), ==, 0);
  g_assert_cmpuint (dimr_score_rank (values, 4, 2), ==, 1);
  g_assert_cmpuint (dimr_score_rank (values, 4, 0), ==, 2);
  g_assert_cmpuint (dimr_score_rank (values, 4, 3), ==, 3);
}

static void
test_list (void)
{
  static const char * const names[] = { "b.png", "a.JPG", "note.txt", ".hidden.png" };
  g_autofree char *folder = train_make_folder (), *below = g_build_filename (folder, "below", NULL);
  g_autofree char *empty = g_build_filename (folder, "empty", NULL), *single = g_build_filename (folder, "note.txt", NULL);
  g_autofree char *loop = g_build_filename (below, "loop", NULL);
  const char *paths[] = { single, folder, NULL }, *none[] = { empty, NULL }, *missing[] = { "/nowhere/at/all", NULL };
  g_autoptr (GPtrArray) files = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir (below, 0700) | g_mkdir (empty, 0700), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (i == 0 ? below : folder, names[i], NULL);
      g_assert_true (g_file_set_contents (path, "x", 1, NULL));
    }
  /* A link back up is no second set of the same pictures. */
  g_assert_cmpint (symlink (folder, loop), ==, 0);
  /* A file that is named is taken whatever its name. */
  files = dimr_pictures_list (paths, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (files->len, ==, 3);
  g_assert_cmpstr (g_ptr_array_index (files, 0), ==, single);
  g_assert_true (g_str_has_suffix (g_ptr_array_index (files, 1), "a.JPG"));
  g_assert_true (g_str_has_suffix (g_ptr_array_index (files, 2), "b.png"));

  g_assert_null (dimr_pictures_list (none, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_null (dimr_pictures_list (missing, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  train_remove_tree (folder);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/judge/symmetric/eigenvectors-make-it-again", test_eigen);
  g_test_add_func ("/judge/symmetric/diagonal", test_eigen_of_diagonal);
  g_test_add_func ("/judge/symmetric/square-root", test_sqrt);
  g_test_add_func ("/judge/frechet/along-common-axes", test_distance);
  g_test_add_func ("/judge/frechet/fewer-samples-than-features", test_distance_of_few);
  g_test_add_func ("/judge/score/rank", test_rank);
  g_test_add_func ("/judge/pictures/list", test_list);
  return g_test_run ();
}
