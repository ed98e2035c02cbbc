/* studio-banner.h — one sentence about a lasting condition, and what to do about it
 *
 * Slides in below the header bar while it has a text. libadwaita has such a widget from 1.3 on.
 *
 * Signal "closed": the user does not want to see it any more.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define STUDIO_TYPE_BANNER (studio_banner_get_type ())
G_DECLARE_FINAL_TYPE (StudioBanner, studio_banner, STUDIO, BANNER, GtkWidget)

/* @text: NULL hides the banner. @button, @action: both NULL for none; the action is one of the window's. */
void        studio_banner_show     (StudioBanner *self,
                                    const char   *text,
                                    const char   *button,
                                    const char   *action);
/* What it shows; NULL while it is hidden (transfer none). */
const char *studio_banner_get_text (StudioBanner *self);

G_END_DECLS
