/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "core/library/dimr-paths.h"

char *
dimr_paths_find_data (const char *name)
{
  const char *folders[] = { g_getenv (DIMR_DATA_DIR_VARIABLE), PKGDATADIR, DIMR_SOURCE_DATADIR };

  g_return_val_if_fail (name != NULL, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *path = NULL;

      if (folders[i] == NULL || folders[i][0] == '\0')
        continue;
      path = g_build_filename (folders[i], name, NULL);
      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&path);
    }
  return NULL;
}

char *
dimr_paths_dup_default_model (void)
{
  return dimr_paths_find_data ("models" G_DIR_SEPARATOR_S "starter");
}
