/* A list of tensors and their storages, put into a sound archive: mutations reach the tensors,
 * which a wrong checksum or directory would hide. Input: for the list, then for each storage, a
 * 16-bit length and that many bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/weights/dimr-weights-private.h"
#include "fuzz-common.h"

#include <string.h>

#define MAX_STORAGES 8

static void
put (GByteArray *out,
     guint       n_bytes,
     guint32     value)
{
  for (guint i = 0; i < n_bytes; i++)
    {
      guint8 byte = (guint8) (value >> 8 * i);

      g_byte_array_append (out, &byte, 1);
    }
}

/* A local header, or with @directory a line of the directory, without a checksum. */
static void
put_entry (GByteArray *out,
           const char *name,
           guint32     size,
           gboolean    directory,
           guint32     offset)
{
  put (out, 4, directory ? 0x02014b50 : 0x04034b50);
  put (out, directory ? 4 : 2, 0); /* versions */
  put (out, 4, 0);                 /* flags, method */
  put (out, 4, 0);                 /* time */
  put (out, 4, 0);                 /* checksum */
  put (out, 4, size);
  put (out, 4, size);
  put (out, 2, (guint32) strlen (name));
  put (out, 2, 0);
  if (directory)
    {
      put (out, 4, 0); /* comment, disk */
      put (out, 2, 0);
      put (out, 4, 0);
      put (out, 4, offset);
    }
  g_byte_array_append (out, (const guint8 *) name, (guint) strlen (name));
}

static GBytes *
make_archive (const uint8_t *data,
              size_t         size)
{
  GByteArray *out = g_byte_array_new ();
  g_autoptr (GByteArray) directory = g_byte_array_new ();
  guint32 start;
  guint n;

  for (n = 0; n <= MAX_STORAGES && size >= 2; n++)
    {
      guint32 length = (guint32) MIN ((size_t) (data[0] | data[1] << 8), size - 2);
      g_autofree char *name = n == 0 ? g_strdup ("a/data.pkl") : g_strdup_printf ("a/data/%u", n - 1);

      put_entry (directory, name, length, TRUE, out->len);
      put_entry (out, name, length, FALSE, 0);
      g_byte_array_append (out, data + 2, length);
      data += 2 + length;
      size -= 2 + length;
    }
  start = out->len;
  g_byte_array_append (out, directory->data, directory->len);
  put (out, 4, 0x06054b50);
  put (out, 4, 0);
  put (out, 2, n);
  put (out, 2, n);
  put (out, 4, directory->len);
  put (out, 4, start);
  put (out, 2, 0);
  return g_byte_array_free_to_bytes (out);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (DimrWeights) weights = NULL;
  GError *error = NULL;

  if (size < 2)
    return 0;
  bytes = make_archive (data, size);
  weights = dimr_weights_open_bytes (bytes, "fuzz", NULL, &error);
  if (weights == NULL)
    {
      fuzz_check_refusal (error);
      return 0;
    }
  g_assert_no_error (error);
  for (const char **name = dimr_weights_peek_names (weights); *name != NULL; name++)
    fuzz_read_tensor (dimr_weights_peek (weights, *name));
  return 0;
}
