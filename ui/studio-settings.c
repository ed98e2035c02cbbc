/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-settings.h"

#include "core/dimr.h"

static GSettingsSchema *
lookup_schema (void)
{
  GSettingsSchemaSource *fallback = g_settings_schema_source_get_default ();

  /* An older installation must not lend its schema to the program in the build folder. */
  if (dimr_paths_is_uninstalled ())
    {
      g_autoptr(GSettingsSchemaSource) source = NULL;

      source = g_settings_schema_source_new_from_directory (DIMR_BUILD_DATADIR, fallback, FALSE, NULL);
      if (source)
        return g_settings_schema_source_lookup (source, APP_ID, TRUE);
    }
  return fallback ? g_settings_schema_source_lookup (fallback, APP_ID, TRUE) : NULL;
}

GSettings *
studio_settings_get (void)
{
  static GSettings *settings;

  if (!settings)
    {
      g_autoptr(GSettingsSchema) schema = lookup_schema ();

      if (!schema)
        g_error ("The settings schema " APP_ID " is not installed; install the program again.");
      settings = g_settings_new_full (schema, NULL, NULL);
    }
  return settings;
}

char *
studio_settings_dup_output_folder (void)
{
  g_autofree char *folder = g_settings_get_string (studio_settings_get (), "output-folder");
  const char *pictures = g_get_user_special_dir (G_USER_DIRECTORY_PICTURES);

  if (*folder)
    return g_steal_pointer (&folder);
  if (pictures)
    return g_build_filename (pictures, "DiMR Studio", NULL);
  return g_build_filename (g_get_home_dir (), "Pictures", "DiMR Studio", NULL);
}

void
studio_settings_prepend_string (const char *key,
                                const char *value,
                                guint       limit)
{
  g_auto(GStrv) old = g_settings_get_strv (studio_settings_get (), key);
  g_autoptr(GPtrArray) new = g_ptr_array_new ();

  g_ptr_array_add (new, (gpointer) value);
  for (guint i = 0; old[i] && new->len < limit; i++)
    if (g_strcmp0 (old[i], value) != 0)
      g_ptr_array_add (new, old[i]);
  g_ptr_array_add (new, NULL);
  g_settings_set_strv (studio_settings_get (), key, (const char * const *) new->pdata);
}

GArray *
studio_settings_dup_ints (const char *key)
{
  g_autoptr(GVariant) value = g_settings_get_value (studio_settings_get (), key);
  GArray *ints = g_array_new (FALSE, FALSE, sizeof (int));
  gsize n;
  const gint32 *values = g_variant_get_fixed_array (value, &n, sizeof (gint32));

  g_array_append_vals (ints, values, n);
  return ints;
}

void
studio_settings_set_ints (const char *key,
                          const int  *values,
                          guint       n)
{
  g_settings_set_value (studio_settings_get (), key,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_INT32, values, n, sizeof (gint32)));
}

void
studio_settings_prepend_int (const char *key,
                             int         value,
                             guint       limit)
{
  g_autoptr(GArray) old = studio_settings_dup_ints (key);
  g_autoptr(GArray) new = g_array_new (FALSE, FALSE, sizeof (int));

  g_array_append_val (new, value);
  for (guint i = 0; i < old->len && new->len < limit; i++)
    if (g_array_index (old, int, i) != value)
      g_array_append_val (new, g_array_index (old, int, i));
  studio_settings_set_ints (key, (const int *) new->data, new->len);
}

void
studio_settings_remove_int (const char *key,
                            int         value)
{
  g_autoptr(GArray) ints = studio_settings_dup_ints (key);

  for (guint i = ints->len; i-- > 0; )
    if (g_array_index (ints, int, i) == value)
      g_array_remove_index (ints, i);
  studio_settings_set_ints (key, (const int *) ints->data, ints->len);
}
