/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-hash.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-i18n.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK (1 << 20)
#define PROGRESS_BYTES ((guint64) 8 << 20)

/* Guards the cache file within this process; another process may lose an entry, which costs one reading. */
static GMutex lock;
static char *cache_path;

void
dimr_hash_set_cache (const char *path)
{
  g_mutex_lock (&lock);
  g_free (cache_path);
  cache_path = g_strdup (path);
  g_mutex_unlock (&lock);
}

static char *
dup_cache_path (void)
{
  return cache_path != NULL ? g_strdup (cache_path)
                            : g_build_filename (g_get_user_cache_dir (), "dimr-studio", "hashes.ini", NULL);
}

/* What a file looks like from outside: "size inode seconds.nanoseconds". */
static char *
describe (const char  *path,
          guint64     *size,
          GError     **error)
{
  struct stat info;

  if (stat (path, &info) != 0)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be read: %s"), path, g_strerror (errno));
      return NULL;
    }
  if (size != NULL)
    *size = (guint64) info.st_size;
  return g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld", (guint64) info.st_size,
                          (guint64) info.st_ino, (gint64) info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

/* Group names of a key file cannot hold every path. */
static char *
dup_group (const char *path)
{
  g_autofree char *absolute = g_canonicalize_filename (path, NULL);

  return g_uri_escape_string (absolute, "/", FALSE);
}

static GKeyFile *
read_cache (void)
{
  g_autofree char *file = dup_cache_path ();
  g_autoptr (GKeyFile) cache = g_key_file_new ();

  /* A cache that cannot be read is an empty one. */
  if (!g_key_file_load_from_file (cache, file, G_KEY_FILE_NONE, NULL))
    {
      g_key_file_unref (cache);
      cache = g_key_file_new ();
    }
  return g_steal_pointer (&cache);
}

char *
dimr_hash_peek (const char *path,
                gboolean   *changed)
{
  g_autofree char *group = NULL, *now = NULL, *then = NULL, *hash = NULL;
  g_autoptr (GKeyFile) cache = NULL;

  g_return_val_if_fail (path != NULL, NULL);

  if (changed != NULL)
    *changed = FALSE;
  now = describe (path, NULL, NULL);
  if (now == NULL)
    return NULL;
  group = dup_group (path);
  g_mutex_lock (&lock);
  cache = read_cache ();
  g_mutex_unlock (&lock);
  then = g_key_file_get_string (cache, group, "state", NULL);
  hash = g_key_file_get_string (cache, group, "sha256", NULL);
  if (then == NULL || hash == NULL || strlen (hash) != 64)
    return NULL;
  if (strcmp (then, now) == 0)
    return g_steal_pointer (&hash);
  if (changed != NULL)
    *changed = TRUE;
  return NULL;
}

static void
remember (const char *path,
          const char *state,
          const char *hash)
{
  g_autofree char *file = NULL, *folder = NULL, *group = dup_group (path), *text = NULL;
  g_autoptr (GKeyFile) cache = NULL;
  g_autoptr (GBytes) bytes = NULL;
  gsize length;

  g_mutex_lock (&lock);
  file = dup_cache_path ();
  folder = g_path_get_dirname (file);
  cache = read_cache ();
  g_key_file_set_string (cache, group, "state", state);
  g_key_file_set_string (cache, group, "sha256", hash);
  text = g_key_file_to_data (cache, &length, NULL);
  bytes = g_bytes_new_take (g_steal_pointer (&text), length);
  /* Without a cache the file is read again next time; that is all. */
  if (g_mkdir_with_parents (folder, 0700) == 0)
    dimr_file_write_atomic (file, bytes, NULL);
  g_mutex_unlock (&lock);
}

static char *
read_and_hash (const char        *path,
               guint64            size,
               DimrHashProgress   progress,
               gpointer           user_data,
               GCancellable      *cancellable,
               GError           **error)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guint8 *chunk = g_malloc (CHUNK);
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GError) reason = NULL;
  g_autoptr (GFileInputStream) stream = g_file_read (file, cancellable, &reason);
  guint64 done = 0, told = 0;
  gssize n = -1;

  while (stream != NULL && (n = g_input_stream_read (G_INPUT_STREAM (stream), chunk, CHUNK, cancellable, &reason)) > 0)
    {
      g_checksum_update (checksum, chunk, n);
      done += (guint64) n;
      if (progress != NULL && done - told >= PROGRESS_BYTES)
        {
          told = done;
          progress (done, MAX (size, done), user_data);
        }
    }
  if (n == 0)
    return g_strdup (g_checksum_get_string (checksum));
  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_propagate_error (error, g_steal_pointer (&reason));
  else
    dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be read: %s"), path, reason->message);
  return NULL;
}

char *
dimr_hash_file (const char        *path,
                DimrHashProgress   progress,
                gpointer           user_data,
                GCancellable      *cancellable,
                GError           **error)
{
  g_autofree char *before = NULL, *after = NULL, *hash = NULL;
  guint64 size;

  g_return_val_if_fail (path != NULL, NULL);

  hash = dimr_hash_peek (path, NULL);
  if (hash != NULL)
    return g_steal_pointer (&hash);
  before = describe (path, &size, error);
  if (before == NULL)
    return NULL;
  hash = read_and_hash (path, size, progress, user_data, cancellable, error);
  if (hash == NULL)
    return NULL;
  /* A file that changed while it was read has a hash that no state of it may be known by. */
  after = describe (path, NULL, NULL);
  if (g_strcmp0 (before, after) == 0)
    remember (path, before, hash);
  return g_steal_pointer (&hash);
}
