/* SPDX-License-Identifier: Apache-2.0 */
#include "train-fixture.h"

#include <glib/gstdio.h>

char *
train_make_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("dimr-train-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

/* Everything below @folder too. */
void
train_remove_tree (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        train_remove_tree (path);
      else
        g_unlink (path);
    }
  g_rmdir (folder);
}
