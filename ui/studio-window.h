/* studio-window.h — the one window: controls at the left, the view in the middle, details at the right
 *
 * Owns the engine and turns what it says into what can be seen. Everything a user can do is an
 * action of the group "win"; see studio-window-actions.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <adwaita.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_WINDOW (studio_window_get_type ())
G_DECLARE_FINAL_TYPE (StudioWindow, studio_window, STUDIO, WINDOW, AdwApplicationWindow)

StudioWindow *studio_window_new        (AdwApplication *application);
/* (transfer none) */
DimrEngine   *studio_window_get_engine (StudioWindow   *self);
/* What dropping @files (GFile) on the window does: a picture of ours restores its settings, another picture is
 * explained, an autoencoder is kept for models of latents, anything else is loaded as a model. */
void          studio_window_open_files (StudioWindow   *self,
                                        GSList         *files);
void          studio_window_open_file  (StudioWindow   *self,
                                        GFile          *file);
/* Writes the picture that is looked at, with its settings, in a thread; a toast tells how it went. */
void          studio_window_save_as    (StudioWindow   *self,
                                        GFile          *file);

G_END_DECLS
