/* studio-class-row.h — how a StudioClassItem looks in the list of classes
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "ui/studio-class-item.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_CLASS_ROW (studio_class_row_get_type ())
G_DECLARE_FINAL_TYPE (StudioClassRow, studio_class_row, STUDIO, CLASS_ROW, GtkBox)

GtkWidget *studio_class_row_new      (void);
/* NULL: shows nothing and lets go of the item. */
void       studio_class_row_set_item (StudioClassRow  *self,
                                      StudioClassItem *item);

G_END_DECLS
