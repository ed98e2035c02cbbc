/* studio-main.c — dimr-studio, the window
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include <glib/gi18n.h>
#include <locale.h>

#include "app/studio-application.h"
#include "kernels/dimr-kernels.h"

int
main (int    argc,
      char **argv)
{
  g_autoptr(StudioApplication) application = NULL;

  setlocale (LC_ALL, "");
  textdomain (GETTEXT_PACKAGE); /* libdimr has bound it */
  g_set_application_name ("DiMR Studio");
  dimr_kernels_init ();
  application = studio_application_new (G_APPLICATION_DEFAULT_FLAGS);
  return g_application_run (G_APPLICATION (application), argc, argv);
}
