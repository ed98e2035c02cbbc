/* Containers of PyTorch files that tell two stories: archives, and the format before 1.6.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "weights-builder.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

static const char sound[] = PROTO "}" KEY_W TENSOR "s.";

static GByteArray *
sound_archive (void)
{
  return archive_for_pickle (sound, sizeof sound - 1);
}

static gsize
directory_of (const GByteArray *file)
{
  const guint8 *p = file->data + file->len - 6;

  return p[0] | (gsize) p[1] << 8 | (gsize) p[2] << 16 | (gsize) p[3] << 24;
}

static GByteArray *
patch (GByteArray *file,
       gsize       at,
       guint       n_bytes,
       guint64     value)
{
  for (guint i = 0; i < n_bytes; i++)
    file->data[at + i] = (guint8) (value >> 8 * i);
  return file;
}

static GByteArray *
patch_central (gsize   field,
               guint   n_bytes,
               guint64 value)
{
  GByteArray *file = sound_archive ();

  return patch (file, directory_of (file) + field, n_bytes, value);
}

static GByteArray *
patch_local (gsize   field,
             guint   n_bytes,
             guint64 value)
{
  return patch (sound_archive (), field, n_bytes, value);
}

/* Counted from the end of the file. */
static GByteArray *
patch_end (gsize   before_end,
           guint   n_bytes,
           guint64 value)
{
  GByteArray *file = sound_archive ();

  return patch (file, file->len - before_end, n_bytes, value);
}

static void
test_sound_archive_is_read (void)
{
  g_autoptr (DimrWeights) weights = open_made (sound_archive ());

  g_assert_cmpuint (dimr_weights_get_n_tensors (weights), ==, 1);
  g_assert_cmpstr (dimr_weights_get_format (weights), ==, "PyTorch");
}

static void
test_nothing_stands_outside_the_archive (void)
{
  GByteArray *file = sound_archive ();

  put_text (file, "x");
  assert_refused_for (file, "something was added");

  file = sound_archive ();
  put (file, 1, 0);
  assert_refused_for (file, "something was added");

  file = sound_archive ();
  g_byte_array_prepend (file, (const guint8 *) "#!/bin/sh\n", 10);
  assert_refused_for (file, "neither safetensors nor");

  /* A comment that is announced. */
  file = patch_end (2, 2, 5);
  put_text (file, "hello");
  assert_refused_for (file, "something was added");
  assert_refused_for (patch_end (2, 2, 5), "comment");

  /* Bytes between the last entry and the directory, counted to the directory. */
  file = sound_archive ();
  patch (file, file->len - 10, 4, file->len);
  assert_refused_for (file, "not where its end record says");
}

static void
test_end_record_is_believed_only_where_it_fits (void)
{
  GByteArray *file = sound_archive ();
  gsize directory = directory_of (file);

  g_byte_array_unref (file);
  assert_refused_for (patch_end (18, 2, 1), "several disks");
  assert_refused_for (patch_end (16, 2, 1), "several disks");
  assert_refused_for (patch_end (14, 2, 1), "several disks");
  assert_refused_for (patch_end (12, 2, 1), "several disks");
  assert_refused_for (patch_end (14, 4, 0x00010001), "longer than its entries");
  assert_refused_for (patch_end (14, 4, 0x00030003), "directory is damaged");
  assert_refused_for (patch_end (14, 4, 0xffffffff), "directory is damaged");
  assert_refused_for (patch_end (14, 4, 0), "longer than its entries");
  assert_refused_for (patch_end (6, 4, directory + 1), "not where its end record says");
  assert_refused_for (patch_end (6, 4, 0xffffffff), "not where its end record says");
  assert_refused_for (patch_end (10, 4, 0xffffffff), "too large");
}

static void
test_entries_are_stored_and_plain (void)
{
  assert_refused_for (patch_central (CENTRAL_METHOD, 2, 8), "compressed");
  assert_refused_for (patch_central (CENTRAL_METHOD, 2, 99), "compressed");
  assert_refused_for (patch_central (CENTRAL_FLAGS, 2, 1), "encrypted");
  assert_refused_for (patch_central (CENTRAL_FLAGS, 2, 0x2000), "encrypted");
  assert_refused_for (patch_central (CENTRAL_STORED, 4, 1), "two sizes disagree");
  assert_refused_for (patch_central (34, 2, 1), "several disks");
}

static void
test_both_headers_tell_the_same (void)
{
  assert_refused_for (patch_local (LOCAL_FLAGS, 2, 8), "contradicts");
  assert_refused_for (patch_local (LOCAL_FLAGS, 2, 1), "contradicts");
  assert_refused_for (patch_local (LOCAL_METHOD, 2, 8), "contradicts");
  assert_refused_for (patch_local (LOCAL_NAME, 1, 'b'), "contradicts");
  assert_refused_for (patch_local (LOCAL_SIZE, 4, 1), "another size");
  assert_refused_for (patch_local (LOCAL_SIZE - 4, 4, 1), "another size");
  assert_refused_for (patch_local (LOCAL_CRC, 4, 1), "another size");
  assert_refused_for (patch_local (26, 2, 9), "contradicts");
  assert_refused_for (patch_local (28, 2, 0xffff), "cut off");
  assert_refused_for (patch_central (CENTRAL_OFFSET, 4, 1), "not there");
  assert_refused_for (patch_central (CENTRAL_OFFSET, 4, 0x7fffffff), "beyond the end");
  assert_refused_for (patch_central (CENTRAL_OFFSET, 4, 0xffffffff), "64-bit size");
  assert_refused_for (patch_central (CENTRAL_SIZE, 4, 0xffffffff), "64-bit size");
}

static void
test_data_stays_before_the_directory (void)
{
  GByteArray *file = sound_archive ();
  gsize line = directory_of (file);

  patch (file, line + CENTRAL_STORED, 4, 0x7fffffff);
  patch (file, line + CENTRAL_SIZE, 4, 0x7fffffff);
  patch (file, LOCAL_SIZE - 4, 4, 0x7fffffff);
  patch (file, LOCAL_SIZE, 4, 0x7fffffff);
  assert_refused_for (file, "beyond the end");
}

static void
test_entries_do_not_overlap (void)
{
  /* The storage's header and data lie inside the data of another entry. */
  Archive *archive = archive_new ();
  g_autoptr (GByteArray) inner = g_byte_array_new ();
  gsize offset;

  archive_put_header (inner, "a/data/0", sizeof builder_floats, FALSE, 0);
  g_byte_array_append (inner, (const guint8 *) builder_floats, sizeof builder_floats);
  archive_add (archive, "a/data.pkl", sound, sizeof sound - 1);
  offset = archive_add (archive, "a/other", inner->data, inner->len);
  archive_put_header (archive->directory, "a/data/0", sizeof builder_floats, TRUE, offset + 30 + strlen ("a/other"));
  archive->n_entries++;
  assert_refused_for (archive_finish (archive), "overlap");

  /* Two lines of the directory for one entry. */
  archive = archive_new ();
  archive_add (archive, "a/data.pkl", sound, sizeof sound - 1);
  archive_put_header (archive->directory, "a/data.pkl", sizeof sound - 1, TRUE, 0);
  archive->n_entries++;
  assert_refused_for (archive_finish (archive), "twice");
}

static void
refuse_name (const char *name,
             const char *reason)
{
  Archive *archive = archive_new ();

  archive_add (archive, "a/data.pkl", sound, sizeof sound - 1);
  archive_add (archive, "a/data/0", builder_floats, sizeof builder_floats);
  archive_add (archive, name, "x", 1);
  assert_refused_for (archive_finish (archive), reason);
}

static void
test_names_stay_in_one_folder (void)
{
  g_autofree char *endless = g_strnfill (1025, 'a');
  g_autofree char *long_name = g_strconcat ("a/", endless, NULL);

  refuse_name ("a/../b", "a name that no weight file has");
  refuse_name ("../a", "a name that no weight file has");
  refuse_name ("a/..", "a name that no weight file has");
  refuse_name ("a/./b", "a name that no weight file has");
  refuse_name ("/etc/passwd", "a name that no weight file has");
  refuse_name ("a//b", "a name that no weight file has");
  refuse_name ("a\\b", "a name that no weight file has");
  refuse_name ("a/\xff", "a name that no weight file has");
  refuse_name ("", "a name that no weight file has");
  refuse_name (long_name, "a name that no weight file has");
  refuse_name ("b/data.pkl", "second top folder");
  refuse_name ("ab/data/1", "second top folder");
  refuse_name ("data", "in no folder");
  refuse_name ("a/data/", "a folder has content");
  refuse_name ("a/data/0", "twice");
}

static void
test_folders_may_be_listed (void)
{
  Archive *archive = archive_new ();
  g_autoptr (DimrWeights) weights = NULL;

  archive_add (archive, "a/", "", 0);
  archive_add (archive, "a/data.pkl", sound, sizeof sound - 1);
  archive_add (archive, "a/data/", "", 0);
  archive_add (archive, "a/data/0", builder_floats, sizeof builder_floats);
  weights = open_made (archive_finish (archive));
  g_assert_cmpuint (dimr_weights_get_n_tensors (weights), ==, 1);
}

static void
refuse_with (const char *name,
             const char *content,
             const char *reason)
{
  Archive *archive = archive_new ();

  archive_add (archive, "a/data.pkl", sound, sizeof sound - 1);
  archive_add (archive, "a/data/0", builder_floats, sizeof builder_floats);
  archive_add (archive, name, content, strlen (content));
  assert_refused_for (archive_finish (archive), reason);
}

static void
test_only_checkpoints_are_read (void)
{
  Archive *archive = archive_new ();
  guint8 zeros[4] = { 0 };

  refuse_with ("a/byteorder", "big", "not little-endian");
  refuse_with ("a/byteorder", "little ", "not little-endian");
  refuse_with ("a/constants.pkl", "", "TorchScript");
  refuse_with ("a/code/__torch__.py", "", "TorchScript");
  archive_add (archive, "a/mimetype", zeros, 4);
  assert_refused_for (archive_finish (archive), "no data.pkl");
  archive = archive_new ();
  archive_add (archive, "a/data.pkl", zeros, 0);
  assert_refused_for (archive_finish (archive), "empty");
  assert_refused_for (archive_finish (archive_new ()), "neither safetensors nor");
}

static void
test_checksum_of_the_list_is_checked (void)
{
  GByteArray *file = sound_archive ();
  gsize line = directory_of (file);

  patch (file, line + CENTRAL_CRC, 4, 0x12345678);
  patch (file, LOCAL_CRC, 4, 0x12345678);
  assert_refused_for (file, "checksum is wrong");
}

/* --- Beyond 4 GiB --- */

#define N_LARGE 0x40000010 /* floats: 4 GiB and 64 bytes */
#define LARGE ((guint64) N_LARGE * 4)

/* As PyTorch writes them: sizes and checksums (left out here) behind the data, in 64 bits where the
 * entry is large or lies high. */
static guint64
write_streamed (int           fd,
                guint64       at,
                GByteArray   *directory,
                const char   *name,
                gconstpointer data,
                guint64       size)
{
  g_autoptr (GByteArray) head = g_byte_array_new (), tail = g_byte_array_new ();
  gboolean large = size > 0xfffffffe, high = at > 0xfffffffe;

  archive_put_header (head, name, 0, FALSE, 0);
  patch (head, LOCAL_FLAGS, 2, 0x0808);
  g_assert_cmpint (pwrite (fd, head->data, head->len, (off_t) at), ==, head->len);
  if (data != NULL)
    g_assert_cmpint (pwrite (fd, data, size, (off_t) (at + head->len)), ==, (gssize) size);
  put (tail, 4, 0x08074b50);
  put (tail, 4, 0);
  put (tail, large || high ? 8 : 4, size);
  put (tail, large || high ? 8 : 4, size);
  g_assert_cmpint (pwrite (fd, tail->data, tail->len, (off_t) (at + head->len + size)), ==, tail->len);

  {
    gsize line = directory->len;
    guint n_extra = (large ? 16 : 0) + (high ? 8 : 0);

    archive_put_header (directory, name, large ? 0xffffffff : size, TRUE, high ? 0xffffffff : at);
    patch (directory, line + CENTRAL_FLAGS, 2, 0x0808);
    if (n_extra > 0)
      {
        patch (directory, line + 30, 2, n_extra + 4);
        put (directory, 2, 1);
        put (directory, 2, n_extra);
      }
    put (directory, large ? 8 : 0, size);
    put (directory, large ? 8 : 0, size);
    put (directory, high ? 8 : 0, at);
  }
  return at + head->len + size + tail->len;
}

static void
write_large_archive (int fd)
{
  static const char pickle[] =
    PROTO "}(" KEY_X TENSOR_AT (STORAGE_OF ("Float", "X\1\0\0\0" "0", "J\20\0\0\100"), "K\0", "J\20\0\0\100\x85", "K\1\x85")
    KEY_W TENSOR_AT (STORAGE_OF ("Float", "X\1\0\0\0" "1", "K\4"), "K\0", "K\4\x85", "K\1\x85") "u.";
  g_autoptr (GByteArray) directory = g_byte_array_new ();
  guint64 at, n_lines;

  at = write_streamed (fd, 0, directory, "a/data.pkl", pickle, sizeof pickle - 1);
  at = write_streamed (fd, at, directory, "a/data/0", NULL, LARGE);
  at = write_streamed (fd, at, directory, "a/data/1", builder_floats, sizeof builder_floats);
  n_lines = directory->len;
  put (directory, 4, 0x06064b50);
  put (directory, 8, 44);
  put (directory, 4, 0);
  put (directory, 8, 0);
  put (directory, 8, 3);
  put (directory, 8, 3);
  put (directory, 8, n_lines);
  put (directory, 8, at);
  put (directory, 4, 0x07064b50);
  put (directory, 4, 0);
  put (directory, 8, at + n_lines);
  put (directory, 4, 1);
  put (directory, 4, 0x06054b50);
  put (directory, 4, 0);
  put (directory, 2, 3);
  put (directory, 2, 3);
  put (directory, 4, n_lines);
  put (directory, 4, 0xffffffff);
  put (directory, 2, 0);
  g_assert_cmpint (pwrite (fd, directory->data, directory->len, (off_t) at), ==, directory->len);
}

static void
test_entries_beyond_4_gib_are_read (void)
{
  g_autofree char *path = NULL;
  g_autoptr (DimrWeights) weights = NULL;
  g_autoptr (GError) error = NULL;
  float end[4] = { 9, 9, 9, 9 };
  const float zeros[4] = { 0 };
  DimrTensor *w;
  int fd = g_file_open_tmp ("dimr-large-XXXXXX", &path, &error);

  g_assert_no_error (error);
  if (ftruncate (fd, LARGE) != 0)
    {
      g_test_skip ("no files beyond 4 GiB here");
      goto out;
    }
  write_large_archive (fd);
  weights = dimr_weights_open (path, NULL, &error);
  g_assert_no_error (error);
  w = dimr_weights_peek (weights, "w");
  g_assert_cmpmem (dimr_tensor_peek_data (w), dimr_tensor_get_n_bytes (w), builder_floats, sizeof builder_floats);
  g_assert_cmpuint (dimr_tensor_get_n_elements (dimr_weights_peek (weights, "x")), ==, N_LARGE);
  dimr_tensor_read_f32 (dimr_weights_peek (weights, "x"), N_LARGE - 4, 4, end);
  g_assert_cmpmem (end, sizeof end, zeros, sizeof zeros);
out:
  close (fd);
  g_unlink (path);
}

/* --- Before 1.6 --- */

#define MAGIC "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e"
#define PROTOCOL PROTO "M\xe9\3."
#define SYSTEM(little) PROTO "}X\15\0\0\0little_endian" little "s."
#define LISTED(keys) PROTO "](" keys "e."
#define KEY_0 "X\1\0\0\0" "0"
#define ELEMENTS(n) n "\0\0\0\0\0\0\0"
#define FLOATS "\0\0\x80?\0\0\0@\0\0@@\0\0\x80@" /* 1, 2, 3, 4 */
#define OBJECT PROTO "}" KEY_W TENSOR "s."
#define LEGACY(system, object, keys, data) MAGIC PROTOCOL system object keys data

typedef struct
{
  const char *file;
  gsize size;
  const char *reason;
} Case;

#define CASE(file, reason) { file, sizeof file - 1, reason }

static GByteArray *
array_of (const char *data,
          gsize       size)
{
  return g_byte_array_append (g_byte_array_new (), (const guint8 *) data, (guint) size);
}

static void
test_legacy_containers_are_checked (void)
{
#define LITTLE SYSTEM ("\x88")
  static const Case cases[] = {
    CASE (LEGACY (SYSTEM ("\x89"), OBJECT, LISTED (KEY_0), ELEMENTS ("\4") FLOATS), "not little-endian"),
    CASE (LEGACY (SYSTEM ("K\1"), OBJECT, LISTED (KEY_0), ELEMENTS ("\4") FLOATS), "not little-endian"),
    CASE (LEGACY (PROTO "].", OBJECT, LISTED (KEY_0), ELEMENTS ("\4") FLOATS), "what system"),
    CASE (LEGACY (LITTLE, OBJECT, PROTO "}.", ELEMENTS ("\4") FLOATS), "no list"),
    CASE (LEGACY (LITTLE, OBJECT, LISTED ("K\1"), ELEMENTS ("\4") FLOATS), "no text"),
    CASE (LEGACY (LITTLE, OBJECT, LISTED (KEY_0), ELEMENTS ("\5") FLOATS "\0\0\0\0"), "5 elements where 4"),
    CASE (LEGACY (LITTLE, OBJECT, LISTED (KEY_0), ELEMENTS ("\4") FLOATS "x"), "follows the last storage"),
    CASE (LEGACY (LITTLE, OBJECT, LISTED (KEY_0), ELEMENTS ("\4")), "cut off"),
    CASE (LEGACY (LITTLE, OBJECT, LISTED (KEY_0), ""), "cut off"),
    CASE (LEGACY (LITTLE, OBJECT, LISTED (KEY_0 KEY_0), ELEMENTS ("\4") FLOATS ELEMENTS ("\4") FLOATS), "or twice"),
    CASE (LEGACY (LITTLE, OBJECT, LISTED (KEY_0 "X\1\0\0\0" "1"), ELEMENTS ("\4") FLOATS ELEMENTS ("\4") FLOATS),
          "no tensor has"),
    CASE (LEGACY (LITTLE, OBJECT, LISTED (""), ""), "not in the file"),
    CASE (LEGACY (LITTLE, PROTO "cos\nsystem\n)R.", LISTED (""), ""), "asks to run 'os.system'"),
    CASE (MAGIC PROTO "M\xea\3.", "not the one of PyTorch before 1.6"),
    CASE (MAGIC PROTO "K\1", "cut off"),
    CASE (PROTO "}" KEY_W "Ns.", "a bare pickle"),
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused_for (array_of (cases[i].file, cases[i].size), cases[i].reason);
}

/* A storage that is itself a part of another one: (key, offset, size) after its number of elements. */
#define PART(offset, size) \
  "(X\7\0\0\0storage" "ctorch\nFloatStorage\n" KEY_0 "X\3\0\0\0cpuK\4(X\1\0\0\0" "1K" offset "K" size "ttQ"
#define PART_FILE(offset, size, at, n) \
  LEGACY (LITTLE, PROTO "}" KEY_W TENSOR_AT (PART (offset, size), "K" at, "K" n "\x85", "K\1\x85") "s.", LISTED (KEY_0), \
          ELEMENTS ("\4") FLOATS)

static void
test_legacy_parts_of_storages_are_bounded (void)
{
  static const char part[] = PART_FILE ("\1", "\3", "\1", "\2");
  static const Case cases[] = {
    CASE (PART_FILE ("\1", "\4", "\0", "\1"), "outside its storage"),
    CASE (PART_FILE ("\5", "\0", "\0", "\1"), "outside its storage"),
    CASE (PART_FILE ("\1", "\2", "\1", "\2"), "outside its storage"),
    CASE (PART_FILE ("\1", "\2", "\0", "\3"), "larger than its storage"),
  };
  g_autoptr (DimrWeights) weights = open_made (array_of (part, sizeof part - 1));
  DimrTensor *w = dimr_weights_peek (weights, "w");

  g_assert_cmpstr (dimr_weights_get_format (weights), ==, "PyTorch (before 1.6)");
  g_assert_cmpmem (dimr_tensor_peek_data (w), dimr_tensor_get_n_bytes (w), builder_floats + 2, 8);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused_for (array_of (cases[i].file, cases[i].size), cases[i].reason);
}

static void
test_older_archives_are_named (void)
{
  GByteArray *file = g_byte_array_new ();

  g_byte_array_set_size (file, 512);
  memset (file->data, 0, 512);
  memcpy (file->data, "storages", 8);
  memcpy (file->data + 257, "ustar", 5);
  assert_refused_for (file, "older than this program reads");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/zip/sound-archive-is-read", test_sound_archive_is_read);
  g_test_add_func ("/zip/nothing-stands-outside-the-archive", test_nothing_stands_outside_the_archive);
  g_test_add_func ("/zip/end-record-is-believed-only-where-it-fits", test_end_record_is_believed_only_where_it_fits);
  g_test_add_func ("/zip/entries-are-stored-and-plain", test_entries_are_stored_and_plain);
  g_test_add_func ("/zip/both-headers-tell-the-same", test_both_headers_tell_the_same);
  g_test_add_func ("/zip/data-stays-before-the-directory", test_data_stays_before_the_directory);
  g_test_add_func ("/zip/entries-do-not-overlap", test_entries_do_not_overlap);
  g_test_add_func ("/zip/names-stay-in-one-folder", test_names_stay_in_one_folder);
  g_test_add_func ("/zip/folders-may-be-listed", test_folders_may_be_listed);
  g_test_add_func ("/zip/only-checkpoints-are-read", test_only_checkpoints_are_read);
  g_test_add_func ("/zip/checksum-of-the-list-is-checked", test_checksum_of_the_list_is_checked);
  g_test_add_func ("/zip/entries-beyond-4-GiB-are-read", test_entries_beyond_4_gib_are_read);
  g_test_add_func ("/legacy/containers-are-checked", test_legacy_containers_are_checked);
  g_test_add_func ("/legacy/parts-of-storages-are-bounded", test_legacy_parts_of_storages_are_bounded);
  g_test_add_func ("/legacy/older-archives-are-named", test_older_archives_are_named);
  return g_test_run ();
}
