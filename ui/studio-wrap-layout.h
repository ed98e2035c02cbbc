/* studio-wrap-layout.h — lays children out like words: in lines, each as wide as it likes
 *
 * For chips and small filter buttons, whose columns a GtkFlowBox would align.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define STUDIO_TYPE_WRAP_LAYOUT (studio_wrap_layout_get_type ())
G_DECLARE_FINAL_TYPE (StudioWrapLayout, studio_wrap_layout, STUDIO, WRAP_LAYOUT, GtkLayoutManager)

/* Property: "spacing" between children and between lines. */
GtkLayoutManager *studio_wrap_layout_new (guint spacing);

G_END_DECLS
