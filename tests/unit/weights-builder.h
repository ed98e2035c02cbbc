/* weights-builder.h — small checkpoints made by hand, sound but for what a test breaks
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-error.h"
#include "core/weights/dimr-weights-private.h"

#include <string.h>

/* --- Pickles, as strings --- */

#define PROTO "\x80\x02"
#define STORAGE_OF(type, key, numel) \
  "(X\7\0\0\0storage" "ctorch\n" type "Storage\n" key "X\3\0\0\0cpu" numel "tQ"
#define STORAGE STORAGE_OF ("Float", "X\1\0\0\0" "0", "K\4")
#define HOOKS "ccollections\nOrderedDict\n)R"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define TENSOR_AT(storage, offset, size, stride) REBUILD "(" storage offset size stride "\x89" HOOKS "tR"
/* Four floats of storage 0. */
#define TENSOR TENSOR_AT (STORAGE, "K\0", "K\4\x85", "K\1\x85")
#define KEY_W "X\1\0\0\0w"
#define KEY_X "X\1\0\0\0x"

static const float builder_floats[4] = { 1, 2, 3, 4 };

/* --- Little-endian bytes --- */

static inline void
put (GByteArray *out,
     guint       n_bytes,
     guint64     value)
{
  for (guint i = 0; i < n_bytes; i++)
    {
      guint8 byte = (guint8) (value >> 8 * i);

      g_byte_array_append (out, &byte, 1);
    }
}

static inline void
put_text (GByteArray *out,
          const char *text)
{
  g_byte_array_append (out, (const guint8 *) text, (guint) strlen (text));
}

/* --- Archives --- */

typedef struct
{
  GByteArray *body, *directory;
  guint n_entries;
} Archive;

static inline Archive *
archive_new (void)
{
  Archive *self = g_new0 (Archive, 1);

  self->body = g_byte_array_new ();
  self->directory = g_byte_array_new ();
  return self;
}

static inline void
archive_put_header (GByteArray *out,
                    const char *name,
                    gsize       size,
                    gboolean    in_directory,
                    gsize       offset)
{
  put (out, 4, in_directory ? 0x02014b50 : 0x04034b50);
  put (out, in_directory ? 4 : 2, 0); /* versions */
  put (out, 4, 0);                    /* flags, method */
  put (out, 4, 0);                    /* time */
  put (out, 4, 0);                    /* checksum: left out */
  put (out, 4, size);
  put (out, 4, size);
  put (out, 2, strlen (name));
  put (out, 2, 0);
  if (in_directory)
    {
      put (out, 4, 0);
      put (out, 2, 0);
      put (out, 4, 0);
      put (out, 4, offset);
    }
  put_text (out, name);
}

/* Where the parts of a line of the directory and of a local header stand. */
enum
{
  CENTRAL_FLAGS = 8, CENTRAL_METHOD = 10, CENTRAL_CRC = 16, CENTRAL_STORED = 20, CENTRAL_SIZE = 24, CENTRAL_OFFSET = 42,
  LOCAL_FLAGS = 6, LOCAL_METHOD = 8, LOCAL_CRC = 14, LOCAL_SIZE = 22, LOCAL_NAME = 30,
};

/* Returns the place of its local header. */
static inline gsize
archive_add (Archive      *self,
             const char   *name,
             gconstpointer data,
             gsize         size)
{
  gsize offset = self->body->len;

  archive_put_header (self->directory, name, size, TRUE, offset);
  archive_put_header (self->body, name, size, FALSE, 0);
  g_byte_array_append (self->body, data, (guint) size);
  self->n_entries++;
  return offset;
}

/* Frees @self. The end record is the last 22 bytes. */
static inline GByteArray *
archive_finish (Archive *self)
{
  GByteArray *out = self->body;
  gsize start = out->len;

  g_byte_array_append (out, self->directory->data, self->directory->len);
  put (out, 4, 0x06054b50);
  put (out, 4, 0);
  put (out, 2, self->n_entries);
  put (out, 2, self->n_entries);
  put (out, 4, self->directory->len);
  put (out, 4, start);
  put (out, 2, 0);
  g_byte_array_unref (self->directory);
  g_free (self);
  return out;
}

/* An archive with this pickle and the storage that STORAGE refers to. */
static inline GByteArray *
archive_for_pickle (gconstpointer pickle,
                    gsize         size)
{
  Archive *archive = archive_new ();

  archive_add (archive, "a/data.pkl", pickle, size);
  archive_add (archive, "a/data/0", builder_floats, sizeof builder_floats);
  return archive_finish (archive);
}

/* --- What a reader says --- */

/* Takes @file. */
static inline DimrWeights *
open_array (GByteArray *file,
            GError    **error)
{
  g_autoptr (GBytes) bytes = g_byte_array_free_to_bytes (file);

  return dimr_weights_open_bytes (bytes, "made.pth", NULL, error);
}

/* Takes @file: refused, and for this reason. */
static inline void
assert_refused_for (GByteArray *file,
                    const char *reason)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (open_array (file, &error));
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  g_assert_true (error->domain == DIMR_ERROR);
  g_assert_true (g_str_has_prefix (error->message, "made.pth was refused at byte "));
  if (strstr (error->message, reason) == NULL)
    g_error ("expected '%s', got '%s'", reason, error->message);
}

/* Takes @file. */
static inline DimrWeights *
open_made (GByteArray *file)
{
  g_autoptr (GError) error = NULL;
  DimrWeights *weights = open_array (file, &error);

  g_assert_no_error (error);
  return weights;
}

/* Same names, and for each the same type, shape and bytes. */
static inline void
assert_same_weights (DimrWeights *got,
                     DimrWeights *expected)
{
  const char **names = dimr_weights_peek_names (expected);

  g_assert_cmpstrv (dimr_weights_peek_names (got), names);
  g_assert_cmpuint (dimr_weights_get_n_tensors (got), ==, g_strv_length ((char **) names));
  g_assert_cmpuint (dimr_weights_get_n_bytes (got), ==, dimr_weights_get_n_bytes (expected));
  for (guint i = 0; names[i] != NULL; i++)
    {
      DimrTensor *a = dimr_weights_peek (got, names[i]), *b = dimr_weights_peek (expected, names[i]);

      g_assert_cmpint (dimr_tensor_get_dtype (a), ==, dimr_tensor_get_dtype (b));
      g_assert_true (dimr_shape_equal (dimr_tensor_peek_shape (a), dimr_tensor_peek_shape (b)));
      g_assert_cmpmem (dimr_tensor_peek_data (a), dimr_tensor_get_n_bytes (a),
                       dimr_tensor_peek_data (b), dimr_tensor_get_n_bytes (b));
    }
}
