/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-file.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns FALSE with errno set. */
static gboolean
write_all (int           fd,
           const guint8 *data,
           gsize         size)
{
  while (size > 0)
    {
      gssize n = write (fd, data, MIN (size, (gsize) 1 << 30));

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return FALSE;
      data += n;
      size -= n;
    }
  return TRUE;
}

/* Makes the rename itself durable. A file system that cannot flush a folder (EINVAL) has nothing to flush. */
static gboolean
sync_folder (const char *folder)
{
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean ok;
  int saved;

  if (fd < 0)
    return FALSE;
  ok = fsync (fd) == 0 || errno == EINVAL;
  saved = errno;
  close (fd);
  errno = saved;
  return ok;
}

gboolean
dimr_file_check_target (const char  *path,
                        GError     **error)
{
  struct stat info;

  g_return_val_if_fail (path != NULL, FALSE);
  if (stat (path, &info) != 0 || S_ISREG (info.st_mode) || S_ISDIR (info.st_mode))
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_FILE,
                  _("“%s” is a device, a pipe or a socket, which would be replaced by a file: name a file instead."), path);
  return FALSE;
}

gboolean
dimr_file_write_atomic (const char  *path,
                        GBytes      *bytes,
                        GError     **error)
{
  g_autofree char *folder = NULL;
  g_autofree char *temporary = NULL;
  gboolean failed = FALSE, homeless = FALSE;
  gconstpointer data;
  gsize size;
  int fd, saved;

  g_return_val_if_fail (path != NULL && bytes != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!dimr_file_check_target (path, error))
    return FALSE;
  data = g_bytes_get_data (bytes, &size);
  folder = g_path_get_dirname (path);
  temporary = g_strdup_printf ("%s/.dimr-part-XXXXXX", folder);

  fd = g_mkstemp_full (temporary, O_RDWR | O_CLOEXEC, 0666);
  if (fd < 0)
    {
      saved = errno;
      dimr_error_set (error, DIMR_ERROR_FILE, _("“%s” could not be created: %s."), path, g_strerror (saved));
      return FALSE;
    }

  if (!write_all (fd, data, size) || fsync (fd) != 0)
    failed = TRUE;
  saved = errno;
  /* Network file systems report a full disk no earlier than here. */
  if (close (fd) != 0 && !failed)
    {
      failed = TRUE;
      saved = errno;
    }
  if (!failed && g_rename (temporary, path) != 0)
    {
      failed = homeless = TRUE;
      saved = errno;
    }
  if (failed)
    {
      g_unlink (temporary);
      dimr_error_set (error, DIMR_ERROR_FILE, homeless ? _("“%s” could not be put in its place: %s.") : _("“%s” could not be written: %s."),
                      path, g_strerror (saved));
      return FALSE;
    }

  if (!sync_folder (folder))
    {
      saved = errno;
      dimr_error_set (error, DIMR_ERROR_FILE,
                      _("“%s” was written, but its folder could not be flushed to the disk: %s."),
                      path, g_strerror (saved));
      return FALSE;
    }
  return TRUE;
}

gboolean
dimr_file_sync_folder (const char  *folder,
                       GError     **error)
{
  int saved;

  g_return_val_if_fail (folder != NULL, FALSE);
  if (sync_folder (folder))
    return TRUE;
  saved = errno;
  dimr_error_set (error, DIMR_ERROR_FILE, _("The folder “%s” could not be flushed to the disk: %s."), folder,
                  g_strerror (saved));
  return FALSE;
}

void
dimr_file_remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = NULL;
  const char *name;

  g_return_if_fail (folder != NULL);
  dir = g_dir_open (folder, 0, NULL);
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      g_unlink (path);
    }
  g_rmdir (folder);
}
