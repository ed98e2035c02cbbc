/* studio-class-picker-private.h — what the picker and its list share
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "ui/studio-class-picker.h"

G_BEGIN_DECLS

/* Recent classes that the list shows on top. */
#define N_RECENT 6
/* Filter buttons: 0 … are DimrClassGroup; before them all classes and those the model was trained on. */
#define FILTER_ALL (-2)
#define FILTER_TRAINED (-1)

struct _StudioClassPicker
{
  GtkBox parent_instance;

  GtkBox *entry_box;
  GtkSearchEntry *entry;
  GtkBox *chips;
  GtkLabel *note;
  GtkWidget *clear_button;
  GtkWidget *random_button;
  GtkPopover *popover;
  GtkBox *groups;
  GtkStack *stack;
  GtkListView *list;
  GtkLabel *empty_label;

  DimrModel *model;
  GArray *classes;         /* of int */
  GPtrArray *items;        /* a StudioClassItem for each class, shared by all rows that show it */
  GListStore *rows;
  GtkSingleSelection *selection;
  GtkWidget *trained_filter;
  int filter;
  GtkEventController *outside; /* on the window while the list is open */
};

/* TRUE where the model was trained on that class, or where nothing is known. */
gboolean _studio_class_picker_knows_class (StudioClassPicker *self,
                                           int                class_index);
/* Position among the chosen classes; −1 where it is not chosen. */
int      _studio_class_picker_find_class  (StudioClassPicker *self,
                                           int                class_index);

/* In studio-class-picker-list.c */

/* Makes the rows, their view and the filter buttons; the template's children are there. */
void     _studio_class_picker_init_list   (StudioClassPicker *self);
/* Fills the list with what the entry's text and the filter leave. */
void     _studio_class_picker_update_list (StudioClassPicker *self);
/* Marks each class as favourite, unseen, chosen. */
void     _studio_class_picker_update_flags (StudioClassPicker *self);

G_END_DECLS
