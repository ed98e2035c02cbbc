/* studio-main.c — dimr-studio, the window
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include <glib/gi18n.h>
#include <locale.h>

#include "app/studio-application.h"
#include "kernels/dimr-kernels.h"
#include "ui/studio-settings.h"

static void
init_translations (void)
{
  g_autofree char *build = g_path_get_dirname (DIMR_BUILD_DATADIR);
  g_autofree char *uninstalled = g_build_filename (build, "po", NULL);

  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, studio_is_uninstalled () ? uninstalled : LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr(StudioApplication) application = NULL;

  init_translations ();
  g_set_application_name ("DiMR Studio");
  dimr_kernels_init ();
  application = studio_application_new (G_APPLICATION_DEFAULT_FLAGS);
  return g_application_run (G_APPLICATION (application), argc, argv);
}
