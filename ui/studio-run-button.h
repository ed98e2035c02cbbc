/* studio-run-button.h — the one button that makes pictures, and stops making them while a run goes on
 *
 * It stands in the controls, and below the canvas while they are hidden. Its action is "win.run".
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_RUN_BUTTON (studio_run_button_get_type ())
G_DECLARE_FINAL_TYPE (StudioRunButton, studio_run_button, STUDIO, RUN_BUTTON, GtkButton)

/* @job: the one that runs, NULL while none does (nullable). */
void studio_run_button_show_job (StudioRunButton *self,
                                 DimrJob         *job);

G_END_DECLS
