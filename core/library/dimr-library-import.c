/* dimr-library-import.c — taking a model into the library
 *
 * What is copied is first gathered under a hidden name in the library's folder, flushed, and then
 * renamed: a copy that was cut short is never taken for a model.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/library/dimr-library.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-hash.h"
#include "core/base/dimr-i18n.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define CHUNK (1 << 20)

typedef struct
{
  DimrImportProgress progress;
  gpointer user_data;
  GCancellable *cancellable;
  guint64 n_done;
  guint64 n_total;
} Copy;

static gboolean
copy_chunks (Copy        *self,
             int          in,
             int          out,
             const char  *from,
             const char  *to,
             GError     **error)
{
  g_autofree guint8 *chunk = g_malloc (CHUNK);
  gssize n;

  while ((n = read (in, chunk, CHUNK)) != 0)
    {
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be read: %s"), from, g_strerror (errno));
      for (gssize at = 0; at < n;)
        {
          gssize written = write (out, chunk + at, (gsize) (n - at));

          if (written < 0 && errno != EINTR)
            return dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be written: %s"), to, g_strerror (errno));
          at += MAX (written, 0);
        }
      self->n_done += (guint64) n;
      if (self->progress != NULL)
        self->progress (self->n_done, MAX (self->n_total, self->n_done), self->user_data);
      if (g_cancellable_set_error_if_cancelled (self->cancellable, error))
        return FALSE;
    }
  return fsync (out) == 0 || errno == EINVAL || dimr_error_set (error, DIMR_ERROR_FILE,
                                                                _("%s could not be written: %s"), to, g_strerror (errno));
}

static gboolean
copy_file (Copy        *self,
           const char  *from,
           const char  *to,
           GError     **error)
{
  int in = open (from, O_RDONLY | O_CLOEXEC), out;
  gboolean ok;

  if (in < 0)
    return dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be read: %s"), from, g_strerror (errno));
  out = open (to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (out < 0)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be written: %s"), to, g_strerror (errno));
      close (in);
      return FALSE;
    }
  ok = copy_chunks (self, in, out, from, to, error);
  close (in);
  if (close (out) != 0 && ok)
    ok = dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be written: %s"), to, g_strerror (errno));
  return ok;
}

/* What belongs to a model, besides its weights. */
static gboolean
belongs (const char *name)
{
  static const char * const names[] = { "config.json", "model-card.md", "README.md", "LICENSE", "LICENSE.txt", "samples.png", NULL };

  return g_strv_contains (names, name);
}

/* Names of the files of folder @from that make the model whose weights are @weights (transfer full). */
static GPtrArray *
list_files (const char  *from,
            const char  *weights,
            GError     **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) reason = NULL;
  g_autoptr (GDir) dir = g_dir_open (from, 0, &reason);
  g_autofree char *weights_name = g_path_get_basename (weights);
  const char *name;

  if (dir == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be read: %s"), from, reason->message);
      return NULL;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    if (belongs (name) || strcmp (name, weights_name) == 0)
      g_ptr_array_add (names, g_strdup (name));
  return g_steal_pointer (&names);
}

static guint64
file_size (const char *path)
{
  GStatBuf info;

  return g_stat (path, &info) == 0 ? (guint64) info.st_size : 0;
}

static void
remove_temporary (const char *path)
{
  /* Never through a link: behind it are the user's own files. */
  g_autoptr (GDir) dir = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *inside = g_build_filename (path, name, NULL);
      g_unlink (inside);
    }
  if (dir != NULL)
    g_rmdir (path);
  else
    g_unlink (path);
}

static gboolean
copy_folder (Copy        *self,
             DimrEntry   *entry,
             const char  *to,
             GError     **error)
{
  const char *from = dimr_entry_get_path (entry);
  g_autoptr (GPtrArray) names = list_files (from, dimr_entry_get_weights_path (entry), error);

  if (names == NULL)
    return FALSE;
  if (g_mkdir (to, 0755) != 0)
    return dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be created: %s"), to, g_strerror (errno));
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *source = g_build_filename (from, g_ptr_array_index (names, i), NULL);
      self->n_total += file_size (source);
    }
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *source = g_build_filename (from, g_ptr_array_index (names, i), NULL);
      g_autofree char *target = g_build_filename (to, g_ptr_array_index (names, i), NULL);

      if (!copy_file (self, source, target, error))
        return FALSE;
    }
  return dimr_file_sync_folder (to, error);
}

/* TRUE where the weights behind both paths have the same content. */
static gboolean
is_same (const char    *path,
         DimrEntry     *entry,
         GCancellable  *cancellable)
{
  g_autoptr (DimrEntry) there = dimr_entry_new (path, cancellable);
  g_autofree char *hash_there = NULL, *hash = NULL;

  if (there == NULL || dimr_entry_get_weights_path (there) == NULL ||
      dimr_entry_get_n_bytes (there) != dimr_entry_get_n_bytes (entry))
    return FALSE;
  hash_there = dimr_hash_file (dimr_entry_get_weights_path (there), NULL, NULL, cancellable, NULL);
  hash = dimr_hash_file (dimr_entry_get_weights_path (entry), NULL, NULL, cancellable, NULL);
  return hash != NULL && g_strcmp0 (hash, hash_there) == 0;
}

/* Puts a copy of, or a link to, @entry under the hidden name @temporary. */
static gboolean
gather (Copy        *copy,
        DimrEntry   *entry,
        gboolean     link,
        const char  *temporary,
        GError     **error)
{
  const char *from = dimr_entry_get_path (entry);

  if (link)
    return symlink (from, temporary) == 0 || dimr_error_set (error, DIMR_ERROR_FILE,
                                                             _("%s could not be written: %s"), temporary, g_strerror (errno));
  if (g_file_test (from, G_FILE_TEST_IS_DIR))
    return copy_folder (copy, entry, temporary, error);
  copy->n_total = file_size (from);
  return copy_file (copy, from, temporary, error);
}

char *
dimr_library_import (const char          *folder,
                     const char          *path,
                     gboolean             link,
                     DimrImportProgress   progress,
                     gpointer             user_data,
                     GCancellable        *cancellable,
                     GError             **error)
{
  Copy copy = { .progress = progress, .user_data = user_data, .cancellable = cancellable };
  g_autoptr (DimrEntry) entry = NULL;
  g_autofree char *name = NULL, *target = NULL, *hidden = NULL, *temporary = NULL;

  g_return_val_if_fail (folder != NULL && path != NULL, NULL);

  entry = dimr_entry_new (path, cancellable);
  if (entry == NULL)
    {
      g_cancellable_set_error_if_cancelled (cancellable, error);
      return NULL;
    }
  if (dimr_entry_get_kind (entry) == DIMR_ENTRY_OTHER)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_MODEL, dimr_entry_get_problem (entry));
      return NULL;
    }
  name = g_path_get_basename (dimr_entry_get_path (entry));
  target = g_build_filename (folder, name, NULL);
  hidden = g_strdup_printf (".import-%08x", g_random_int ());
  temporary = g_build_filename (folder, hidden, NULL);

  if (g_file_test (target, G_FILE_TEST_EXISTS))
    {
      if (is_same (target, entry, cancellable))
        return g_steal_pointer (&target);
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("%s is there already with other weights: rename one of the two, then import again"), target);
      return NULL;
    }
  if (g_mkdir_with_parents (folder, 0755) != 0)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be created: %s"), folder, g_strerror (errno));
      return NULL;
    }
  if (!gather (&copy, entry, link, temporary, error))
    {
      remove_temporary (temporary);
      return NULL;
    }
  if (g_rename (temporary, target) != 0)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("%s could not be written: %s"), target, g_strerror (errno));
      remove_temporary (temporary);
      return NULL;
    }
  return dimr_file_sync_folder (folder, error) ? g_steal_pointer (&target) : NULL;
}
