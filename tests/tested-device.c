/* SPDX-License-Identifier: Apache-2.0 */
#include "tested-device.h"

#include "core/graph/dimr-device.h"
#include "kernels/dimr-kernels.h"

const char *
tested_device (void)
{
  const char *name = g_getenv ("DIMR_TEST_DEVICE");

  return name != NULL ? name : "cpu";
}

gboolean
tested_device_is_cpu (void)
{
  return g_str_equal (tested_device (), "cpu");
}

gboolean
tested_device_is_slow (void)
{
  return g_strcmp0 (g_getenv ("DIMR_TEST_EXAMPLES"), "1") == 0 && g_strcmp0 (g_getenv ("DIMR_TEST_ALL"), "1") != 0;
}

gboolean
tested_device_is_here (void)
{
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (GError) error = NULL;

  dimr_kernels_init ();
  device = dimr_device_open (tested_device (), 0, &error);
  if (device == NULL)
    g_print ("1..0 # SKIP %s\n", error->message);
  return device != NULL;
}
