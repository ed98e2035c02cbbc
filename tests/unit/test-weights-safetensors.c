/* The safetensors reader's rules.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "weights-builder.h"

/* A file of this header and @n_data zero bytes. */
static GByteArray *
file_of (const char *json,
         gsize       n_data)
{
  GByteArray *file = g_byte_array_new ();
  g_autofree guint8 *zeros = g_malloc0 (n_data + 1);

  put (file, 8, strlen (json));
  put_text (file, json);
  return g_byte_array_append (file, zeros, (guint) n_data);
}

#define ENTRY(dtype, shape, range) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" range "}"
#define A(dtype, shape, range) "{\"a\":" ENTRY (dtype, shape, range) "}"

static void
test_sound_headers_are_read (void)
{
  static const struct
  {
    const char *json;
    gsize n_data;
    guint n_tensors;
  } cases[] = {
    { "{}", 0, 0 },
    { "{ } ", 0, 0 },
    { "{\"__metadata__\":{}}", 0, 0 },
    { A ("F32", "[]", "[0,4]"), 4, 1 },
    { A ("F32", "[0]", "[0,0]"), 0, 1 },
    { A ("F32", "[9007199254740992,0]", "[0,0]"), 0, 1 },
    { A ("F32", "[1,1,1,1,1,1,1,2]", "[0,8]"), 8, 1 },
    { "{\"b\":" ENTRY ("F32", "[2]", "[4,12]") ",\"a\":" ENTRY ("F32", "[1]", "[0,4]") "}", 12, 2 },
    { "{\"b\":" ENTRY ("F32", "[0]", "[4,4]") ",\"a\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, 2 },
    { "{\"a\":{\"data_offsets\":[0,1],\"shape\":[1],\"dtype\":\"U8\"}}", 1, 1 },
    { "{\"\\ud83d\\ude00\":" ENTRY ("I16", "[1]", "[0,2]") "}", 2, 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (DimrWeights) weights = open_made (file_of (cases[i].json, cases[i].n_data));

      g_assert_cmpuint (dimr_weights_get_n_tensors (weights), ==, cases[i].n_tensors);
    }
}

typedef struct
{
  const char *json;
  gsize n_data;
  const char *reason;
} Case;

static void
refuse_all (const Case *cases,
            guint       n)
{
  for (guint i = 0; i < n; i++)
    assert_refused_for (file_of (cases[i].json, cases[i].n_data), cases[i].reason);
}

static void
test_headers_leave_nothing_to_interpretation (void)
{
  static const Case cases[] = {
    { "{", 0, "string was expected" },
    { "{} x", 0, "follows the header" },
    { "{}\n", 0, "follows the header" },
    { "{\"a\":1}", 0, "object was expected" },
    { "{\"a\":{}}", 0, "lacks its dtype" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "lacks its dtype" },
    { "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 4, "two members 'dtype'" },
    { "{\"a\":{\"offsets\":[0,4]}}", 4, "unknown member 'offsets'" },
    { "{,}", 0, "string was expected" },
    { A ("F32", "[],", "[0,4]"), 4, "string was expected" },
    { A ("F32", "[1,]", "[0,4]"), 4, "whole number was expected" },
    { A ("F32", "[1 1]", "[0,4]"), 4, "comma was expected" },
    { A ("F32", "[-1]", "[0,4]"), 4, "whole number was expected" },
    { A ("F32", "[+1]", "[0,4]"), 4, "whole number was expected" },
    { A ("F32", "[01]", "[0,4]"), 4, "leading zero" },
    { A ("F32", "[1.0]", "[0,4]"), 4, "not whole" },
    { A ("F32", "[1e0]", "[0,4]"), 4, "not whole" },
    { A ("F32", "[9007199254740993]", "[0,4]"), 4, "larger than 2^53" },
    { A ("F32", "[99999999999999999999999999]", "[0,4]"), 4, "larger than 2^53" },
    { A ("F32", "[\"1\"]", "[0,4]"), 4, "whole number was expected" },
    { A ("F32", "[[1]]", "[0,4]"), 4, "whole number was expected" },
    { A ("F32", "null", "[0,4]"), 4, "list was expected" },
    { A ("F32", "[1]", "[0,4,8]"), 4, "']' was expected" },
    { A ("F32", "[1]", "[4]"), 4, "two numbers" },
    { A ("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "more than 8 dimensions" },
    { A ("f32", "[1]", "[0,4]"), 4, "'f32' is no data type" },
    { A ("", "[1]", "[0,4]"), 4, "'' is no data type" },
    { "{\"\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, "no name" },
    { "{\"a\\u0000\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, "stands for no character" },
    { "{\"\\ud83d\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, "surrogate" },
    { "{\"\\ude00\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, "stands for no character" },
    { "{\"\\ud83dx\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, "surrogate" },
    { "{\"\\x\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, "escape is unknown" },
    { "{\"\\u12g4\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, "not hexadecimal" },
    { "{\"\\u12", 0, "escape is cut off" },
    { "{\"\\ud83d\\ude", 0, "escape is cut off" },
    { "{\"\\ud83d\\u0041\":{}}", 0, "surrogate" },
    { "{\"a\\", 0, "string is cut off" },
    { "{\"a", 0, "string is cut off" },
    { "{\"\t\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, "control character" },
    { "{\"\xff\":" ENTRY ("F32", "[1]", "[0,4]") "}", 4, "not UTF-8" },
    { "{\"a\":" ENTRY ("F32", "[1]", "[0,4]") ",\"\\u0061\":" ENTRY ("F32", "[1]", "[4,8]") "}", 8, "'a' stands twice" },
    { "{\"__metadata__\":{\"k\":\"v\",\"k\":\"v\"}}", 0, "a key twice" },
    { "{\"__metadata__\":{\"k\":1}}", 0, "string was expected" },
    { "{\"__metadata__\":{\"k\":{}}}", 0, "string was expected" },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "stands twice" },
  };

  refuse_all (cases, G_N_ELEMENTS (cases));
}

static void
test_endless_names_are_refused (void)
{
  g_autofree char *name = g_strnfill (1025, 'a');
  g_autofree char *json = g_strdup_printf ("{\"%s\":" ENTRY ("F32", "[1]", "[0,4]") "}", name);
  g_autoptr (DimrWeights) weights = NULL;

  assert_refused_for (file_of (json, 4), "a string is too long");
  name[1024] = '\0';
  g_free (json);
  json = g_strdup_printf ("{\"%s\":" ENTRY ("F32", "[1]", "[0,4]") "}", name);
  weights = open_made (file_of (json, 4));
  g_assert_nonnull (dimr_weights_peek (weights, name));
}

static void
test_data_is_tiled_exactly (void)
{
#define TWO(first, second) "{\"a\":" ENTRY ("F32", "[1]", first) ",\"b\":" ENTRY ("F32", "[1]", second) "}"
  static const Case cases[] = {
    { A ("F32", "[1]", "[0,4]"), 3, "beyond the end" },
    { A ("F32", "[1]", "[0,4]"), 5, "1 bytes belong to no tensor" },
    { A ("F32", "[1]", "[4,8]"), 8, "leaves a hole" },
    { "{}", 1, "1 bytes belong to no tensor" },
    { TWO ("[0,4]", "[0,4]"), 4, "overlaps" },
    { TWO ("[0,4]", "[2,6]"), 6, "overlaps" },
    { TWO ("[0,4]", "[5,9]"), 9, "leaves a hole" },
    { A ("F32", "[0]", "[1,1]"), 0, "beyond the end" },
    { A ("F32", "[1]", "[4,0]"), 4, "ends before it begins" },
    { A ("F32", "[1]", "[0,8]"), 8, "8 bytes of data where its shape and type need 4" },
    { A ("F32", "[2,0]", "[0,8]"), 8, "8 bytes of data where its shape and type need 0" },
    { A ("F64", "[4611686018427388,4503599627370497]", "[0,0]"), 0, "overflows" },
    { A ("F32", "[4294967296,4294967296,0]", "[0,0]"), 0, "overflows" },
    { A ("F32", "[9007199254740992,9007199254740992,0]", "[0,0]"), 0, "overflows" },
  };

  refuse_all (cases, G_N_ELEMENTS (cases));
#undef TWO
}

/* Their sizes are checked first; then they are refused by name. */
static void
test_other_types_are_named (void)
{
  static const struct { const char *name; guint bits; } types[] = {
    { "U16", 16 }, { "U32", 32 }, { "U64", 64 }, { "C64", 64 }, { "F8_E4M3", 8 }, { "F8_E5M2", 8 }, { "F8_E8M0", 8 },
    { "F8_E4M3FNUZ", 8 }, { "F8_E5M2FNUZ", 8 }, { "F6_E2M3", 6 }, { "F6_E3M2", 6 }, { "F4", 4 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_autofree char *reason = g_strdup_printf ("'a' is of type %s, which", types[i].name);
      g_autofree char *right = g_strdup_printf (A ("%s", "[4]", "[0,%u]"), types[i].name, types[i].bits / 2);
      g_autofree char *wrong = g_strdup_printf (A ("%s", "[4]", "[0,%u]"), types[i].name, types[i].bits / 2 + 1);

      assert_refused_for (file_of (right, types[i].bits / 2), reason);
      assert_refused_for (file_of (wrong, types[i].bits / 2 + 1), "bytes of data where");
    }
  assert_refused_for (file_of (A ("F4", "[3]", "[0,1]"), 1), "whole byte");
  assert_refused_for (file_of (A ("F6_E2M3", "[2]", "[0,1]"), 1), "whole byte");
}

static void
test_too_many_tensors_are_refused (void)
{
  GString *json = g_string_new ("{");

  for (guint i = 0; i <= 100000; i++)
    g_string_append_printf (json, "%s\"%u\":" ENTRY ("F32", "[0]", "[0,0]"), i > 0 ? "," : "", i);
  g_string_append_c (json, '}');
  assert_refused_for (file_of (json->str, 0), "more than 100000 tensors");
  g_string_free (json, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/safetensors/sound-headers-are-read", test_sound_headers_are_read);
  g_test_add_func ("/safetensors/headers-leave-nothing-to-interpretation", test_headers_leave_nothing_to_interpretation);
  g_test_add_func ("/safetensors/endless-names-are-refused", test_endless_names_are_refused);
  g_test_add_func ("/safetensors/data-is-tiled-exactly", test_data_is_tiled_exactly);
  g_test_add_func ("/safetensors/other-types-are-named", test_other_types_are_named);
  g_test_add_func ("/safetensors/too-many-tensors-are-refused", test_too_many_tensors_are_refused);
  return g_test_run ();
}
