/* studio-class-picker.h — chooses ImageNet classes: type to search, chips for the chosen ones
 *
 * The list hangs below the entry while the entry or the list has the focus. Down goes from the
 * entry into the list and Up back, Enter chooses, Backspace in the empty entry drops the last
 * chip, Escape closes the list.
 *
 * Signal "changed": other classes are chosen.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_CLASS_PICKER (studio_class_picker_get_type ())
G_DECLARE_FINAL_TYPE (StudioClassPicker, studio_class_picker, STUDIO, CLASS_PICKER, GtkBox)

/* NULL: nothing is known about what was trained. */
void       studio_class_picker_set_model    (StudioClassPicker *self,
                                             DimrModel         *model);
/* Indices in the order in which they were chosen (transfer none). */
const int *studio_class_picker_peek_classes (StudioClassPicker *self,
                                             guint             *n);
/* Indices that are no class, and repeats, are left out. */
void       studio_class_picker_set_classes  (StudioClassPicker *self,
                                             const int         *classes,
                                             guint              n);
void       studio_class_picker_add          (StudioClassPicker *self,
                                             int                class_index);
void       studio_class_picker_remove       (StudioClassPicker *self,
                                             int                class_index);
/* Chooses one class by chance among those that the model was trained on. */
void       studio_class_picker_randomise    (StudioClassPicker *self);
/* Puts the focus into the entry and shows the list. */
void       studio_class_picker_open         (StudioClassPicker *self);
void       studio_class_picker_close        (StudioClassPicker *self);
/* Puts the chosen classes at the front of the recent ones. */
void       studio_class_picker_remember     (StudioClassPicker *self);

G_END_DECLS
