/* studio-number-row.h — a named number: slider, entry, and the way back to the default
 *
 * What is typed wins over the slider and may exceed its range. A text that is no number or out
 * of range is explained below the slider and never changed silently: "valid" is FALSE then, and
 * "value" keeps the last number that was good. Double click on the slider or the name, or the
 * button that shows while the value differs, resets to "default-value". The wheel turns the
 * slider only while it has the keyboard focus, so that scrolling past changes nothing.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define STUDIO_TYPE_NUMBER_ROW (studio_number_row_get_type ())
G_DECLARE_FINAL_TYPE (StudioNumberRow, studio_number_row, STUDIO, NUMBER_ROW, GtkBox)

/* Properties: "title", "explanation" (tooltip and accessible description), "lower", "upper" (what may
 * be typed), "slider-lower", "slider-upper", "step", "digits", "value", "default-value", "valid". */
double   studio_number_row_get_value         (StudioNumberRow *self);
void     studio_number_row_set_value         (StudioNumberRow *self,
                                              double           value);
double   studio_number_row_get_default_value (StudioNumberRow *self);
void     studio_number_row_set_default_value (StudioNumberRow *self,
                                              double           value);
gboolean studio_number_row_get_valid         (StudioNumberRow *self);
/* Where the text is no good: explains it, puts the focus there and returns FALSE. */
gboolean studio_number_row_check             (StudioNumberRow *self);
void     studio_number_row_reset             (StudioNumberRow *self);

G_END_DECLS
