/* dimr-variants.c — published models by name, and telling which architecture a weights file is
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/model/dimr-architecture.h"
#include "core/base/dimr-i18n.h"
#include "core/model/dimr-foreign.h"

static DimrConfig *
finish (const DimrArchitecture *architecture,
        guint                   i)
{
  DimrConfig *config = architecture->new_for_variant (i);

  architecture->set_defaults (config);
  config->title = g_strdup (architecture->variants[i]);
  return config;
}

DimrConfig *
dimr_config_new_for_variant (const char *name)
{
  g_return_val_if_fail (name != NULL, NULL);

  for (const DimrArchitecture * const *row = dimr_architecture_list (); *row != NULL; row++)
    for (guint i = 0; (*row)->variants[i] != NULL; i++)
      if (g_ascii_strcasecmp ((*row)->variants[i], name) == 0)
        return finish (*row, i);
  return NULL;
}

static gpointer
list_variants (gpointer data)
{
  GPtrArray *names = g_ptr_array_new ();

  for (const DimrArchitecture * const *row = dimr_architecture_list (); *row != NULL; row++)
    for (guint i = 0; (*row)->variants[i] != NULL; i++)
      g_ptr_array_add (names, (gpointer) (*row)->variants[i]);
  g_ptr_array_add (names, NULL);
  return g_ptr_array_free (names, FALSE);
}

const char * const *
dimr_config_list_variants (void)
{
  static GOnce once = G_ONCE_INIT;

  return g_once (&once, list_variants, NULL);
}

DimrConfig *
dimr_config_recognise (DimrWeights  *weights,
                       GError      **error)
{
  const char *path, *what;

  g_return_val_if_fail (weights != NULL, NULL);

  path = dimr_weights_get_path (weights) != NULL ? dimr_weights_get_path (weights) : _("This file");
  for (const DimrArchitecture * const *row = dimr_architecture_list (); *row != NULL; row++)
    if (dimr_weights_peek (weights, (*row)->marker) != NULL)
      {
        DimrConfig *config = (*row)->recognise (weights, path, error);

        if (config != NULL)
          (*row)->set_defaults (config);
        return config;
      }

  what = dimr_foreign_describe (weights);
  if (what != NULL)
    dimr_error_set (error, DIMR_ERROR_MODEL, _("%s: this is %s; needed are the weights of a DiMR, U-ViT or DiT"), path, what);
  else
    dimr_error_set (error, DIMR_ERROR_MODEL, _("%s: none of its %u tensors belongs to a DiMR, U-ViT or DiT, whose weights are needed"),
                    path, dimr_weights_get_n_tensors (weights));
  return NULL;
}
