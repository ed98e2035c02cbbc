/* studio-models.h — the library: every model on this machine, and what is known of it
 *
 * "Use This Model" activates `win.load-model` of the window it belongs to.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <adwaita.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_MODELS (studio_models_get_type ())
G_DECLARE_FINAL_TYPE (StudioModels, studio_models, STUDIO, MODELS, AdwWindow)

/* @folder: of the library, NULL for the user's. @selected: path of the model to show first, nullable. */
GtkWidget   *studio_models_new         (GtkWindow    *parent,
                                        const char   *folder,
                                        const char   *selected);
/* Copies it into the library, with progress and cancel, and shows it; after those that are being copied already. */
void         studio_models_import      (StudioModels *self,
                                        const char   *path);
/* (transfer none) */
DimrLibrary *studio_models_get_library (StudioModels *self);

G_END_DECLS
