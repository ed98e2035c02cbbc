/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-format.h"

#include <glib/gi18n.h>

char *
studio_format_seconds (double seconds)
{
  guint whole = (guint) CLAMP (seconds + 0.5, 0, 1e9);

  if (seconds < 0.0995)
    /* Translators: milliseconds */
    return g_strdup_printf (_("%.0f ms"), seconds * 1000);
  if (seconds < 9.95)
    /* Translators: seconds */
    return g_strdup_printf (_("%.1f s"), seconds);
  if (whole < 60)
    /* Translators: seconds */
    return g_strdup_printf (_("%u s"), whole);
  if (whole < 3600)
    /* Translators: minutes and seconds */
    return g_strdup_printf (_("%u min %u s"), whole / 60, whole % 60);
  /* Translators: hours and minutes */
  return g_strdup_printf (_("%u h %u min"), whole / 3600, whole % 3600 / 60);
}

char *
studio_format_guidance (const DimrGuidance *guidance)
{
  g_autofree char *text = NULL;

  if (guidance->scale == 1 && guidance->kind == DIMR_GUIDANCE_CONSTANT)
    return g_strdup (_("1 (off)"));
  if (guidance->kind == DIMR_GUIDANCE_COSINE)
    /* Translators: guidance g, the same as w, and the power of its course over the steps. */
    text = g_strdup_printf (_("%.4g (w = %.4g), power-cosine %.4g"), guidance->scale, guidance->scale - 1, guidance->power);
  else
    /* Translators: guidance g, and the same as w. */
    text = g_strdup_printf (_("%.4g (w = %.4g)"), guidance->scale, guidance->scale - 1);
  if (guidance->channels == 0)
    return g_steal_pointer (&text);
  /* Translators: %s is the guidance; only the first %u channels of the latent are guided. */
  return g_strdup_printf (ngettext ("%s of the first channel", "%s of the first %u channels", guidance->channels), text,
                          guidance->channels);
}

char *
studio_format_classes (const DimrRequest *request)
{
  const char *first;

  if (request->n_classes == 0 || request->classes[0] < 0 || request->classes[0] >= DIMR_N_IMAGENET_CLASSES)
    return g_strdup (_("no class"));
  first = dimr_classes_get (request->classes[0])->name;
  if (request->n_classes == 1)
    return g_strdup (first);
  return g_strdup_printf (ngettext ("%s and %u more", "%s and %u more", request->n_classes - 1),
                          first, request->n_classes - 1);
}
