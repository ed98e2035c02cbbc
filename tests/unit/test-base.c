/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-rng.h"
#include "core/base/dimr-tensor.h"

#include <math.h>
#include <string.h>

/* The three known-answer vectors that the authors of Philox publish with their library. */
static void
test_philox_known_answers (void)
{
  static const struct
  {
    guint32 counter[4], key[2], out[4];
  } cases[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { ~0u, ~0u, ~0u, ~0u }, { ~0u, ~0u }, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
      { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint32 out[4];

      dimr_philox4x32 (cases[i].counter, cases[i].key, out);
      for (guint k = 0; k < 4; k++)
        g_assert_cmphex (out[k], ==, cases[i].out[k]);
    }
}

static void
test_normal_is_a_function_of_seed_and_image (void)
{
  float a[1000], b[10], c[1000];
  double mean = 0, square = 0;

  dimr_rng_normal (7, 3, DIMR_STREAM_START_NOISE, 0, a, 1000);
  dimr_rng_normal (7, 3, DIMR_STREAM_START_NOISE, 0, b, 10);
  g_assert_cmpmem (a, sizeof b, b, sizeof b);
  dimr_rng_normal (7, 4, DIMR_STREAM_START_NOISE, 0, c, 1000);
  g_assert_cmpint (memcmp (a, c, sizeof a), !=, 0);
  for (guint i = 0; i < 1000; i++)
    {
      mean += a[i] / 1000;
      square += a[i] * a[i] / 1000;
    }
  g_assert_cmpfloat (fabs (mean), <, 0.1);
  g_assert_cmpfloat (fabs (square - 1), <, 0.15);
}

static void
test_half_round_trip (void)
{
  for (guint bits = 0; bits < 0x10000; bits++)
    {
      float h = dimr_f16_to_f32 ((guint16) bits), b = dimr_bf16_to_f32 ((guint16) bits);

      if (!isnan (h))
        g_assert_cmphex (dimr_f32_to_f16 (h), ==, bits);
      if (!isnan (b))
        g_assert_cmphex (dimr_f32_to_bf16 (b), ==, bits);
    }
  g_assert_cmphex (dimr_f32_to_f16 (65519.99f), ==, 0x7bff);
  g_assert_cmphex (dimr_f32_to_f16 (65520.f), ==, 0x7c00);
  g_assert_cmphex (dimr_f32_to_f16 (0x1p-25f), ==, 0); /* ties to even */
  g_assert_true (isnan (dimr_f16_to_f32 (dimr_f32_to_f16 (NAN))));
  g_assert_true (isnan (dimr_bf16_to_f32 (dimr_f32_to_bf16 (NAN))));
}

static void
test_tensor_sizes_are_checked (void)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static ("0123456789abcdef", 16);
  DimrShape big = DIMR_SHAPE (G_GINT64_CONSTANT (1) << 62, 4), fits = DIMR_SHAPE (2, 2), large = DIMR_SHAPE (5);
  DimrShape wraps = DIMR_SHAPE (G_GINT64_CONSTANT (1) << 62, G_GINT64_CONSTANT (1) << 62, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrTensor) tensor = NULL;
  guint64 n;

  g_assert_false (dimr_shape_n_bytes (&big, DIMR_DTYPE_F32, &n));
  g_assert_false (dimr_shape_n_bytes (&wraps, DIMR_DTYPE_F32, &n));
  g_assert_null (dimr_tensor_new_for_bytes (DIMR_DTYPE_F32, &big, bytes, 0, NULL));
  g_assert_null (dimr_tensor_new_for_bytes (DIMR_DTYPE_F32, &fits, bytes, 1, NULL));
  g_assert_null (dimr_tensor_new_for_bytes (DIMR_DTYPE_F32, &large, bytes, 0, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_SHAPE);
  tensor = dimr_tensor_new_for_bytes (DIMR_DTYPE_F32, &fits, bytes, 0, NULL);
  g_assert_nonnull (tensor);
  g_assert_cmpuint (dimr_tensor_get_n_elements (tensor), ==, 4);
}

/* Names of files are bytes, messages are text. */
static void
test_errors_are_text (void)
{
  g_autoptr (GError) error = NULL, refused = NULL;

  g_assert_false (dimr_error_set (&error, DIMR_ERROR_FILE, "%s: %d", "B\374cher", 7));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_assert_cmpstr (error->message, ==, "B\357\277\275cher: 7");
  g_assert_false (dimr_error_refuse (&refused, "100 %%, “%s”", "B\303\274cher"));
  g_assert_error (refused, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_assert_cmpstr (refused->message, ==, "100 %, “B\303\274cher”");
  g_assert_false (dimr_error_set (NULL, DIMR_ERROR_FILE, "nobody asks"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/rng/philox-known-answers", test_philox_known_answers);
  g_test_add_func ("/base/rng/normal-is-a-function-of-seed-and-image", test_normal_is_a_function_of_seed_and_image);
  g_test_add_func ("/base/tensor/half-round-trip", test_half_round_trip);
  g_test_add_func ("/base/tensor/sizes-are-checked", test_tensor_sizes_are_checked);
  g_test_add_func ("/base/error/messages-are-text", test_errors_are_text);
  return g_test_run ();
}
