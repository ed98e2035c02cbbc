/* studio-preferences.h — what is set once: where pictures go, how the canvas looks, what computes
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <adwaita.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_PREFERENCES (studio_preferences_get_type ())
G_DECLARE_FINAL_TYPE (StudioPreferences, studio_preferences, STUDIO, PREFERENCES, AdwPreferencesWindow)

/* @engine: tells what there is to compute with. */
GtkWidget *studio_preferences_new (GtkWindow  *parent,
                                   DimrEngine *engine);

G_END_DECLS
