/* studio-queue-button.h — how many jobs there are, and in its popover which, each with a way to cancel it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_QUEUE_BUTTON (studio_queue_button_get_type ())
G_DECLARE_FINAL_TYPE (StudioQueueButton, studio_queue_button, STUDIO, QUEUE_BUTTON, GtkWidget)

void studio_queue_button_set_engine (StudioQueueButton *self,
                                     DimrEngine        *engine);

G_END_DECLS
