/* test-language.c — another program that links libdimr, and knows nothing of its text domain, gets its sentences translated
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/base/dimr-error.h"
#include "core/graph/dimr-device.h"

#include <locale.h>

static void
test_a_locale_is_enough (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (dimr_device_open ("cpu:x", 1, &error));
  g_assert_cmpstr (error->message, ==, "„cpu:x“ ist kein Gerät: Schreiben Sie auto, cpu, cuda oder cuda:1");
}

int
main (int    argc,
      char **argv)
{
  g_setenv ("LANGUAGE", "de", TRUE);
  g_test_init (&argc, &argv, NULL);
  if (setlocale (LC_ALL, "C.UTF-8") == NULL)
    {
      g_print ("1..0 # SKIP there is no locale C.UTF-8\n");
      return 0;
    }
  g_test_add_func ("/language/a-locale-is-enough", test_a_locale_is_enough);
  return g_test_run ();
}
