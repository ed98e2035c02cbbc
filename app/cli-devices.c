/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-common.h"


/* Tells of the memory only where the device opens; a device that does not is listed with the reason. */
static void
print_device (const DimrBackend *backend,
              guint              index,
              gboolean           json)
{
  g_autofree char *spec = index == 0 ? g_strdup (backend->id) : g_strdup_printf ("%s:%u", backend->id, index);
  g_autofree char *name = backend->dup_device_name (index);
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrDevice) device = backend->open (index, 0, &error);
  guint64 total = 0, available = 0;

  if (device != NULL)
    dimr_device_get_memory (device, &total, &available);
  if (json)
    {
      JsonBuilder *event = studio_cli_event_new ("device");

      studio_cli_event_string (event, "device", spec);
      studio_cli_event_string (event, "name", name);
      studio_cli_event_int (event, "memory_bytes", total);
      studio_cli_event_int (event, "free_bytes", available);
      studio_cli_event_string (event, "error", error != NULL ? error->message : NULL);
      studio_cli_event_print (event);
    }
  else if (device == NULL)
    g_print ("%-8s %s: %s\n", spec, name, error->message);
  else
    {
      g_autofree char *all = studio_cli_format_bytes (total);
      g_autofree char *free = studio_cli_format_bytes (available);

      g_print (_("%-8s %s, %s of memory, %s free\n"), spec, name, all, free);
    }
}

static void
print_absent (const DimrBackend *backend,
              const GError      *error,
              gboolean           json)
{
  const char *reason = error != NULL ? error->message : _("there is none here");

  if (json)
    {
      JsonBuilder *event = studio_cli_event_new ("backend");

      studio_cli_event_string (event, "backend", backend->id);
      studio_cli_event_int (event, "devices", 0);
      studio_cli_event_string (event, "error", reason);
      studio_cli_event_print (event);
    }
  else
    g_print (_("%-8s not available: %s\n"), backend->id, reason);
}

int
studio_cli_devices (int    argc,
                    char **argv)
{
  const DimrBackend *const *backends;
  gboolean json = FALSE;
  guint n;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_("Print one JSON object a line instead"), NULL },
    G_OPTION_ENTRY_NULL,
  };

  if (!studio_cli_parse ("", _("Lists what --device can name on this machine, best first."),
                         "  dimr devices\n  dimr devices --json\n", entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;

  backends = dimr_backend_list (&n);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      guint n_devices = backends[i]->get_n_devices (&error);

      if (n_devices == 0)
        print_absent (backends[i], error, json);
      for (guint k = 0; k < n_devices; k++)
        print_device (backends[i], k, json);
    }
  return STUDIO_EXIT_OK;
}
