/* studio-model-button.h — which model is loaded and what computes it, and in its popover the way to others
 *
 * The rows of recent models activate "win.load-model" with the path.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_MODEL_BUTTON (studio_model_button_get_type ())
G_DECLARE_FINAL_TYPE (StudioModelButton, studio_model_button, STUDIO, MODEL_BUTTON, GtkWidget)

void studio_model_button_set_engine  (StudioModelButton *self,
                                      DimrEngine        *engine);
/* @name: what is being loaded; NULL: loading is over. */
void studio_model_button_set_loading (StudioModelButton *self,
                                      const char        *name);

G_END_DECLS
