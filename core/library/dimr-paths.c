/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "core/library/dimr-paths.h"

#include <libintl.h>

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

gboolean
dimr_paths_is_uninstalled (void)
{
  static gsize state;

  if (g_once_init_enter (&state))
    {
      g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);

      g_once_init_leave (&state, program != NULL && g_str_has_prefix (program, DIMR_BUILD_ROOT G_DIR_SEPARATOR_S) ? 2 : 1);
    }
  return state == 2;
}

/* When the library is loaded, so that every program that links it has its sentences in the user's language. */
static void __attribute__ ((constructor))
bind_text_domain (void)
{
  bindtextdomain (GETTEXT_PACKAGE, dimr_paths_is_uninstalled () ? DIMR_BUILD_ROOT G_DIR_SEPARATOR_S "po" : LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
}

char *
dimr_paths_dup_default_model (void)
{
  return dimr_paths_find_data ("models" G_DIR_SEPARATOR_S "starter");
}
