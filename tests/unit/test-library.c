/* The library of models: what files are, where they are found, how they get in, and their hashes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/base/dimr-hash.h"
#include "core/library/dimr-library.h"
#include "core/model/dimr-model.h"
#include "tests/golden/golden-autoencoder.h"
#include "tests/reference.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <utime.h>

/* A folder of our own for each test, with an empty cache of hashes and no cache of other programs. */
typedef struct
{
  char *folder;
  char *models; /* the library's folder inside */
} Place;

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *inside = g_build_filename (path, name, NULL);
      remove_tree (inside);
    }
  g_remove (path);
}

static void
place_init (Place         *self,
            gconstpointer  data)
{
  g_autofree char *cache = NULL, *hub = NULL;

  self->folder = g_dir_make_tmp ("dimr-library-XXXXXX", NULL);
  self->models = g_build_filename (self->folder, "models", NULL);
  cache = g_build_filename (self->folder, "cache", "hashes.ini", NULL);
  hub = g_build_filename (self->folder, "hub", NULL);
  dimr_hash_set_cache (cache);
  g_setenv ("HF_HUB_CACHE", hub, TRUE);
}

static void
place_clear (Place         *self,
             gconstpointer  data)
{
  dimr_hash_set_cache (NULL);
  remove_tree (self->folder);
  g_free (self->folder);
  g_free (self->models);
}

static void
write_text (const char *folder,
            const char *name,
            const char *text)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
copy_reference (const char *name,
                const char *folder,
                const char *as)
{
  g_autofree char *from = reference_path (name), *to = g_build_filename (folder, as, NULL), *content = NULL;
  gsize length;

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  g_assert_true (g_file_get_contents (from, &content, &length, NULL));
  g_assert_true (g_file_set_contents (to, content, (gssize) length, NULL));
}

/* A model folder: C2 of the reference, the smallest. */
static char *
make_model (const char *parent,
            const char *name)
{
  char *folder = g_build_filename (parent, name, NULL);

  copy_reference ("C2_n1_n6_k5/config.json", folder, "config.json");
  copy_reference ("C2_n1_n6_k5/model.safetensors", folder, "model.safetensors");
  return folder;
}

static void
test_entry_model (Place         *place,
                  gconstpointer  data)
{
  g_autofree char *folder = make_model (place->folder, "small");
  g_autoptr (DimrEntry) entry = NULL;

  write_text (folder, "model-card.md", "---\nlicense: cc-by-4.0\n---\n# Small\n\n## Origin\nA test\nof two lines.\n\nMore.\n");
  entry = dimr_entry_new (folder, NULL);
  g_assert_cmpint (dimr_entry_get_kind (entry), ==, DIMR_ENTRY_MODEL);
  g_assert_null (dimr_entry_get_problem (entry));
  g_assert_cmpstr (dimr_entry_get_licence (entry), ==, "cc-by-4.0");
  g_assert_cmpstr (dimr_entry_get_origin (entry), ==, "A test of two lines.");
  g_assert_nonnull (strstr (dimr_entry_get_card (entry), "# Small"));
  g_assert_cmpuint (dimr_entry_get_n_parameters (entry), >, 1000);
  g_assert_cmpuint (dimr_entry_get_n_macs (entry), >, 1000);
  g_assert_cmpuint (dimr_entry_get_n_bytes (entry), >, 4 * dimr_entry_get_n_parameters (entry));
  g_assert_null (dimr_entry_get_hash (entry));
}

/* The published layout of Stable Diffusion's autoencoder, with narrow synthetic tensors. */
static void
test_entry_autoencoder (Place         *place,
                        gconstpointer  data)
{
  g_autofree char *path = golden_autoencoder_unpack ("hf_new");
  g_autoptr (DimrEntry) entry = NULL;

  if (path == NULL)
    {
      g_test_skip ("needs the whole set of reference numbers");
      return;
    }
  entry = dimr_entry_new (path, NULL);
  g_assert_cmpint (dimr_entry_get_kind (entry), ==, DIMR_ENTRY_AUTOENCODER);
  g_assert_cmpuint (dimr_entry_get_latent_channels (entry), ==, 4);
  g_assert_false (dimr_entry_is_latent (entry));
  golden_autoencoder_remove ();
}

static void
test_entry_other (Place         *place,
                  gconstpointer  data)
{
  g_autoptr (DimrEntry) entry = NULL, missing = NULL;
  g_autofree char *path = g_build_filename (place->folder, "note.safetensors", NULL);

  write_text (place->folder, "note.safetensors", "no tensors");
  entry = dimr_entry_new (path, NULL);
  g_assert_cmpint (dimr_entry_get_kind (entry), ==, DIMR_ENTRY_OTHER);
  g_assert_nonnull (strstr (dimr_entry_get_problem (entry), "note.safetensors"));
  missing = dimr_entry_new ("/nowhere/at/all.pth", NULL);
  g_assert_cmpint (dimr_entry_get_kind (missing), ==, DIMR_ENTRY_OTHER);
}

/* A name of another time's character set is shown by widgets, which take nothing but UTF-8. */
static void
test_entry_of_a_latin_name (Place         *place,
                            gconstpointer  data)
{
  g_autoptr (DimrEntry) entry = NULL, other = NULL;
  g_autofree char *folder = make_model (place->folder, "gr\374n"), *path = g_build_filename (place->folder, "gr\374n.safetensors", NULL);

  entry = dimr_entry_new (folder, NULL);
  g_assert_cmpint (dimr_entry_get_kind (entry), ==, DIMR_ENTRY_MODEL);
  g_assert_true (g_utf8_validate (dimr_entry_get_title (entry), -1, NULL));
  write_text (place->folder, "gr\374n.safetensors", "no tensors");
  other = dimr_entry_new (path, NULL);
  g_assert_true (g_utf8_validate (dimr_entry_get_title (other), -1, NULL));
  g_assert_true (g_utf8_validate (dimr_entry_get_problem (other), -1, NULL));
}

static void
test_hash_is_remembered (Place         *place,
                         gconstpointer  data)
{
  g_autofree char *path = g_build_filename (place->folder, "a file; with [odd] name=1", NULL);
  g_autofree char *hash = NULL, *known = NULL, *gone = NULL, *again = NULL;
  g_autoptr (GError) error = NULL;
  gboolean changed = TRUE;

  write_text (place->folder, "a file; with [odd] name=1", "abc");
  g_assert_null (dimr_hash_peek (path, &changed));
  g_assert_false (changed);
  hash = dimr_hash_file (path, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (hash, ==, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  known = dimr_hash_peek (path, &changed);
  g_assert_cmpstr (known, ==, hash);
  g_assert_false (changed);

  /* Another content of the same length, and not in the same instant. */
  write_text (place->folder, "a file; with [odd] name=1", "abd");
  gone = dimr_hash_peek (path, &changed);
  g_assert_null (gone);
  g_assert_true (changed);
  again = dimr_hash_file (path, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (again, !=, hash);
}

static void
test_hash_errors (Place         *place,
                  gconstpointer  data)
{
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (place->folder, "x", NULL);

  g_assert_null (dimr_hash_file (path, NULL, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FILE);
  g_clear_error (&error);
  write_text (place->folder, "x", "abc");
  g_cancellable_cancel (cancelled);
  g_assert_null (dimr_hash_file (path, NULL, NULL, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
on_done (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
scan (DimrLibrary *library)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  dimr_library_scan_async (library, NULL, on_done, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (dimr_library_scan_finish (library, result, &error));
  g_assert_no_error (error);
}

static void
count_notify (GObject    *object,
              GParamSpec *pspec,
              guint      *n)
{
  (*n)++;
}

static void
test_scan_and_hash (Place         *place,
                    gconstpointer  data)
{
  g_autoptr (DimrLibrary) library = dimr_library_new (place->models);
  g_autofree char *folder = make_model (place->models, "small"), *elsewhere = make_model (place->folder, "other");
  g_autofree char *snapshot = g_build_filename (place->folder, "hub", "models--lab--tiny", "snapshots", "1234", NULL);
  g_autofree char *cached = make_model (snapshot, "sub"), *in_cache = g_build_filename (cached, "model.safetensors", NULL);
  const char *paths[] = { elsewhere, NULL };
  g_autoptr (GAsyncResult) result = NULL;
  DimrEntry *small, *found;
  guint n_hash = 0;

  write_text (place->models, "broken.safetensors", "no tensors");
  write_text (place->models, ".hidden.safetensors", "no tensors");
  write_text (place->models, "notes.txt", "no weights");
  write_text (snapshot, "junk.bin", "nothing of ours");
  dimr_library_set_paths (library, paths);
  scan (library);

  small = dimr_library_find (library, folder);
  g_assert_nonnull (small);
  g_assert_nonnull (dimr_library_find (library, elsewhere));
  found = dimr_library_find (library, in_cache);
  g_assert_nonnull (found);
  g_assert_cmpstr (dimr_entry_get_origin (found), ==, "lab/tiny");
  /* The user's own folder shows what is wrong; other programs' caches do not. */
  for (guint i = 0, n_other = 0; i < g_list_model_get_n_items (G_LIST_MODEL (library)); i++)
    {
      g_autoptr (DimrEntry) entry = g_list_model_get_item (G_LIST_MODEL (library), i);
      g_autofree char *name = g_path_get_basename (dimr_entry_get_path (entry));

      n_other += dimr_entry_get_kind (entry) == DIMR_ENTRY_OTHER;
      g_assert_cmpuint (n_other, <=, 1);
      g_assert_cmpstr (name, !=, "junk.bin");
      g_assert_cmpstr (name, !=, ".hidden.safetensors");
      g_assert_cmpstr (name, !=, "notes.txt");
      if (n_other == 1)
        g_assert_cmpstr (name, ==, "broken.safetensors");
    }

  g_signal_connect (small, "notify::hash", G_CALLBACK (count_notify), &n_hash);
  dimr_library_hash_async (library, NULL, on_done, &result);
  while (result == NULL || n_hash == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (dimr_library_hash_finish (library, result, NULL));
  g_assert_cmpuint (n_hash, ==, 1);
  g_assert_cmpuint (strlen (dimr_entry_get_hash (small)), ==, 64);
  g_assert_cmpstr (dimr_entry_get_hash (small), ==, dimr_entry_get_hash (dimr_library_find (library, elsewhere)));
}

static void
note_thread (gpointer  data,
             GObject  *object)
{
  g_atomic_pointer_set ((GThread **) data, g_thread_self ());
}

/* Widgets look at the library and its entries: neither may end in the thread that hashes. */
static void
test_hashing_ends_here (Place         *place,
                        gconstpointer  data)
{
  g_autofree char *folder = make_model (place->models, "small");
  g_autofree char *weights = g_build_filename (folder, "model.safetensors", NULL);

  for (guint i = 0; i < 50; i++)
    {
      /* Of another time, its hash is not known. */
      const struct utimbuf times = { .actime = 1 + i, .modtime = 1 + i };
      DimrLibrary *library = dimr_library_new (place->models);
      GThread *ended[2] = { NULL };
      DimrEntry *entry;

      g_assert_cmpint (g_utime (weights, (struct utimbuf *) &times), ==, 0);
      scan (library);
      entry = dimr_library_find (library, folder);
      g_object_weak_ref (G_OBJECT (entry), note_thread, &ended[0]);
      g_object_weak_ref (G_OBJECT (library), note_thread, &ended[1]);
      dimr_library_hash_async (library, NULL, NULL, NULL);
      g_object_unref (library);
      while (g_atomic_pointer_get (&ended[0]) == NULL || g_atomic_pointer_get (&ended[1]) == NULL)
        {
          g_main_context_iteration (NULL, FALSE);
          g_thread_yield ();
        }
      g_assert_true (ended[0] == g_thread_self () && ended[1] == g_thread_self ());
    }
}

static void
test_changed_file (Place         *place,
                   gconstpointer  data)
{
  g_autofree char *folder = make_model (place->models, "small");
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);
  g_autofree char *hash = dimr_hash_file (path, NULL, NULL, NULL, NULL);
  g_autoptr (DimrEntry) before = dimr_entry_new (folder, NULL), after = NULL;

  g_assert_cmpstr (dimr_entry_get_hash (before), ==, hash);
  g_assert_false (dimr_entry_is_changed (before));
  copy_reference ("C2_n1_n6_k5/model.safetensors", folder, "model.safetensors");
  after = dimr_entry_new (folder, NULL);
  g_assert_true (dimr_entry_is_changed (after));
  g_assert_null (dimr_entry_get_hash (after));
}

static guint
count_children (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* What the library's window says of a model of latents, loading it does. */
static void
test_autoencoder_of_the_library (Place         *place,
                                 gconstpointer  data)
{
  g_autofree char *zipped = golden_autoencoder_unpack_decoder ();
  g_autofree char *folder = dimr_library_dup_default_folder ();
  g_autofree char *model_path = make_model (place->folder, "small"), *imported = NULL;
  g_autoptr (DimrAutoencoder) none = dimr_library_load_autoencoder (4, NULL), found = NULL, other = NULL;
  g_autoptr (DimrModel) model = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (none);
  imported = dimr_library_import (folder, zipped, FALSE, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  found = dimr_library_load_autoencoder (4, NULL);
  g_assert_nonnull (found);
  g_assert_cmpstr (dimr_autoencoder_get_path (found), ==, imported);
  other = dimr_library_load_autoencoder (16, NULL);
  g_assert_null (other);

  copy_reference ("A_dimr_2r_latent/config.json", model_path, "config.json");
  copy_reference ("A_dimr_2r_latent/model.safetensors", model_path, "model.safetensors");
  model = dimr_model_load_paired (model_path, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (dimr_model_get_autoencoder (model));
  g_assert_cmpint (g_remove (imported), ==, 0);
  golden_autoencoder_remove ();
}

static void
test_import (Place         *place,
             gconstpointer  data)
{
  g_autofree char *folder = make_model (place->folder, "small");
  g_autofree char *first = NULL, *second = NULL, *taken = NULL, *junk = g_build_filename (place->folder, "junk.pth", NULL);
  g_autofree char *config = g_build_filename (folder, "config.json", NULL);
  g_autoptr (DimrEntry) entry = NULL;
  g_autoptr (GError) error = NULL;

  write_text (folder, "private-notes.txt", "stay here");
  first = dimr_library_import (place->models, folder, FALSE, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  entry = dimr_entry_new (first, NULL);
  g_assert_cmpint (dimr_entry_get_kind (entry), ==, DIMR_ENTRY_MODEL);
  g_assert_cmpuint (count_children (first), ==, 2);
  g_assert_cmpuint (count_children (place->models), ==, 1);

  /* Again: found, not copied. */
  second = dimr_library_import (place->models, folder, FALSE, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (second, ==, first);

  /* Another model of that name is refused, and the first one stays. */
  copy_reference ("C1_headdim15/config.json", folder, "config.json");
  copy_reference ("C1_headdim15/model.safetensors", folder, "model.safetensors");
  taken = dimr_library_import (place->models, folder, FALSE, NULL, NULL, NULL, &error);
  g_assert_null (taken);
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST);
  g_clear_error (&error);
  g_assert_cmpuint (count_children (place->models), ==, 1);

  write_text (place->folder, "junk.pth", "junk");
  g_assert_null (dimr_library_import (place->models, junk, FALSE, NULL, NULL, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
  g_assert_cmpuint (count_children (place->models), ==, 1);
}

static void
stop_at_once (guint64  n_done,
              guint64  n_total,
              gpointer user_data)
{
  g_cancellable_cancel (user_data);
}

static void
test_import_cancelled (Place         *place,
                       gconstpointer  data)
{
  g_autofree char *folder = make_model (place->folder, "small");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  g_assert_null (dimr_library_import (place->models, folder, FALSE, stop_at_once, cancellable, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (count_children (place->models), ==, 0);
  g_assert_cmpuint (count_children (folder), ==, 2);
}

static void
test_import_link (Place         *place,
                  gconstpointer  data)
{
  g_autofree char *folder = make_model (place->folder, "small"), *path = NULL, *target = NULL;
  g_autoptr (GError) error = NULL;

  path = dimr_library_import (place->models, folder, TRUE, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  target = g_file_read_link (path, NULL);
  g_assert_cmpstr (target, ==, folder);
  g_assert_cmpuint (count_children (folder), ==, 2);
}

int
main (int    argc,
      char **argv)
{
  /* The user's own folders stay out of it. Not GLib's isolation of tests, which leaks what it replaces. */
  g_autofree char *home = g_dir_make_tmp ("dimr-home-XXXXXX", NULL);
  int result;

  g_assert_true (g_setenv ("XDG_DATA_HOME", home, TRUE));
  g_test_init (&argc, &argv, NULL);
#define ADD(path, function) g_test_add ("/library/" path, Place, NULL, place_init, function, place_clear)
  ADD ("entry/model", test_entry_model);
  ADD ("entry/autoencoder", test_entry_autoencoder);
  ADD ("entry/other", test_entry_other);
  ADD ("entry/latin-name", test_entry_of_a_latin_name);
  ADD ("hash/is-remembered", test_hash_is_remembered);
  ADD ("hash/errors", test_hash_errors);
  ADD ("hashing-ends-here", test_hashing_ends_here);
  ADD ("scan-and-hash", test_scan_and_hash);
  ADD ("changed-file-is-noticed", test_changed_file);
  ADD ("autoencoder-of-the-library", test_autoencoder_of_the_library);
  ADD ("import", test_import);
  ADD ("import/cancelled", test_import_cancelled);
  ADD ("import/link", test_import_link);
  result = g_test_run ();
  remove_tree (home);
  return result;
}
