/* studio-class-item.h — a row of the class list: a class, or the heading above some
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_CLASS_ITEM (studio_class_item_get_type ())
G_DECLARE_FINAL_TYPE (StudioClassItem, studio_class_item, STUDIO, CLASS_ITEM, GObject)

/* Properties that notify: "chosen", "favourite", "unseen" (the model never saw it in training). */
StudioClassItem *studio_class_item_new         (int              class_index);
StudioClassItem *studio_class_item_new_heading (const char      *heading);
/* −1 for a heading. */
int              studio_class_item_get_index   (StudioClassItem *self);
/* NULL for a class (transfer none). */
const char      *studio_class_item_get_heading (StudioClassItem *self);
gboolean         studio_class_item_get_chosen  (StudioClassItem *self);

G_END_DECLS
