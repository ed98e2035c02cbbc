/* SPDX-License-Identifier: Apache-2.0 */
#include "core/image/dimr-photo.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>
#include <sys/stat.h>

#define MAX_DEPTH 8

/* A folder that is being read, and the one it lies in. */
typedef struct Folder
{
  const struct Folder *parent;
  guint depth;
  dev_t device;
  ino_t inode;
} Folder;

/* A link may lead back to where it lies; its pictures would be found again and again. */
static gboolean
leads_back (const Folder *self)
{
  for (const Folder *above = self->parent; above != NULL; above = above->parent)
    if (above->device == self->device && above->inode == self->inode)
      return TRUE;
  return FALSE;
}

gboolean
dimr_photo_is_name (const char *name)
{
  static const char * const endings[] = { ".jpg", ".jpeg", ".png" };
  const gsize length = strlen (name);

  if (name[0] == '.')
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (endings); i++)
    if (length > strlen (endings[i]) && g_ascii_strcasecmp (name + length - strlen (endings[i]), endings[i]) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
walk (const char    *folder,
      const Folder  *parent,
      GPtrArray     *paths,
      GCancellable  *cancellable,
      GError       **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &local_error);
  Folder self = { .parent = parent, .depth = parent != NULL ? parent->depth + 1 : 0 };
  struct stat info;
  const char *name;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (dir == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("The folder “%s” could not be read: %s."), folder, local_error->message);
      return FALSE;
    }
  if (stat (folder, &info) == 0)
    {
      self.device = info.st_dev;
      self.inode = info.st_ino;
      if (leads_back (&self))
        return TRUE;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (dimr_photo_is_name (name))
        g_ptr_array_add (paths, g_steal_pointer (&path));
      else if (name[0] != '.' && self.depth < MAX_DEPTH && g_file_test (path, G_FILE_TEST_IS_DIR) &&
               !walk (path, &self, paths, cancellable, error))
        return FALSE;
    }
  return TRUE;
}

static int
compare_paths (gconstpointer a,
               gconstpointer b)
{
  return strcmp (*(const char * const *) a, *(const char * const *) b);
}

gboolean
dimr_photo_list_folder (const char    *folder,
                        GPtrArray     *paths,
                        GCancellable  *cancellable,
                        GError       **error)
{
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (g_free);

  if (!walk (folder, NULL, found, cancellable, error))
    return FALSE;
  g_ptr_array_sort (found, compare_paths);
  g_ptr_array_extend_and_steal (paths, g_steal_pointer (&found));
  return TRUE;
}
