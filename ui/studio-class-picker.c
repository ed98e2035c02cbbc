/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-class-picker-private.h"

#include <glib/gi18n.h>

#include "ui/studio-class-row.h"
#include "ui/studio-settings.h"
#include "ui/studio-wrap-layout.h"

enum
{
  CHANGED,
  N_SIGNALS
};

G_DEFINE_FINAL_TYPE (StudioClassPicker, studio_class_picker, GTK_TYPE_BOX)

static guint signals[N_SIGNALS];

gboolean
_studio_class_picker_knows_class (StudioClassPicker *self,
                                  int                class_index)
{
  return !self->model || dimr_model_knows_class (self->model, class_index);
}

int
_studio_class_picker_find_class (StudioClassPicker *self,
                                 int                class_index)
{
  for (guint i = 0; i < self->classes->len; i++)
    if (g_array_index (self->classes, int, i) == class_index)
      return (int) i;
  return -1;
}

/* --- Chips and the note below them --- */

static void
on_chip_clicked (GtkButton         *button,
                 StudioClassPicker *self)
{
  int class_index = GPOINTER_TO_INT (g_object_get_data (G_OBJECT (button), "class"));

  /* The chip goes away, and must not take the focus with it. */
  gtk_widget_grab_focus (GTK_WIDGET (self->entry));
  studio_class_picker_remove (self, class_index);
}

static GtkWidget *
chip_new (StudioClassPicker *self,
          int                class_index)
{
  const DimrClass *class = dimr_classes_get (class_index);
  GtkWidget *chip = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 0);
  GtkWidget *label = gtk_label_new (class->name);
  GtkWidget *button = gtk_button_new_from_icon_name ("window-close-symbolic");
  g_autofree char *action = g_strdup_printf (_("Remove %s"), class->name);

  gtk_label_set_ellipsize (GTK_LABEL (label), PANGO_ELLIPSIZE_END);
  gtk_box_append (GTK_BOX (chip), label);
  gtk_widget_add_css_class (button, "flat");
  gtk_widget_add_css_class (button, "circular");
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  gtk_widget_set_tooltip_text (button, action);
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, action, -1);
  g_object_set_data (G_OBJECT (button), "class", GINT_TO_POINTER (class_index));
  g_signal_connect (button, "clicked", G_CALLBACK (on_chip_clicked), self);
  gtk_box_append (GTK_BOX (chip), button);

  gtk_widget_add_css_class (chip, "chip");
  if (!_studio_class_picker_knows_class (self, class_index))
    {
      gtk_widget_add_css_class (chip, "unseen");
      gtk_widget_set_tooltip_text (chip, _("This model has not seen the class in its training"));
    }
  else
    {
      gtk_widget_set_tooltip_text (chip, class->names);
    }
  return chip;
}

/* "lion, red panda, lemon and 9 more" */
static char *
list_names (const int *classes,
            guint      n,
            guint      limit)
{
  GString *names = g_string_new (NULL);

  for (guint i = 0; i < MIN (n, limit); i++)
    g_string_append_printf (names, "%s%s", i ? ", " : "", dimr_classes_get (classes[i])->name);
  if (n > limit)
    g_string_append_printf (names, ngettext (" and %u more", " and %u more", n - limit), n - limit);
  return g_string_free (names, FALSE);
}

static void
update_note (StudioClassPicker *self)
{
  g_autofree char *text = NULL;
  g_autofree char *names = NULL;
  const int *trained = NULL;
  guint n_trained = 0, n_unseen = 0;

  if (self->model)
    trained = dimr_model_peek_trained_classes (self->model, &n_trained);
  for (guint i = 0; i < self->classes->len; i++)
    n_unseen += !_studio_class_picker_knows_class (self, g_array_index (self->classes, int, i));

  if (self->model && !dimr_model_is_conditional (self->model))
    text = g_strdup (_("This model takes no class: its pictures are of anything it has seen."));
  else if (n_unseen > 0 && trained)
    {
      names = list_names (trained, n_trained, 12);
      text = g_strdup_printf (ngettext ("The model has not seen this class. It was trained on %s.",
                                        "The model has not seen some of these classes. It was trained on %s.",
                                        self->classes->len), names);
    }
  else if (self->classes->len == 0)
    text = g_strdup (_("Choose a class to make pictures of."));

  gtk_label_set_text (self->note, text ? text : "");
  gtk_widget_set_visible (GTK_WIDGET (self->note), text != NULL);
}

static void
update_chips (StudioClassPicker *self)
{
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self->chips))))
    gtk_box_remove (self->chips, child);
  for (guint i = 0; i < self->classes->len; i++)
    gtk_box_append (self->chips, chip_new (self, g_array_index (self->classes, int, i)));
  gtk_widget_set_visible (GTK_WIDGET (self->chips), self->classes->len > 0);
  gtk_widget_set_visible (self->clear_button, self->classes->len > 1);
  update_note (self);
}

static void
classes_changed (StudioClassPicker *self)
{
  update_chips (self);
  _studio_class_picker_update_flags (self);
  g_signal_emit (self, signals[CHANGED], 0);
}

static void
on_clear (StudioClassPicker *self)
{
  gtk_widget_grab_focus (GTK_WIDGET (self->entry));
  studio_class_picker_set_classes (self, NULL, 0);
}

/* --- Opening and closing --- */

static void
close_list (StudioClassPicker *self)
{
  gtk_popover_popdown (self->popover);
}

static void
on_outside_pressed (GtkGestureClick   *gesture,
                    int                n_press,
                    double             x,
                    double             y,
                    StudioClassPicker *self)
{
  GdkEvent *event = gtk_event_controller_get_current_event (GTK_EVENT_CONTROLLER (gesture));
  GtkWidget *window = gtk_event_controller_get_widget (GTK_EVENT_CONTROLLER (gesture));
  GtkWidget *hit;

  if (event && gdk_event_get_surface (event) == gtk_native_get_surface (GTK_NATIVE (self->popover)))
    return;
  hit = gtk_widget_pick (window, x, y, GTK_PICK_DEFAULT);
  if (!hit || (hit != GTK_WIDGET (self) && !gtk_widget_is_ancestor (hit, GTK_WIDGET (self))))
    close_list (self);
}

static void
open_list (StudioClassPicker *self)
{
  GtkRoot *root = gtk_widget_get_root (GTK_WIDGET (self));

  if (gtk_widget_get_visible (GTK_WIDGET (self->popover)) || !root)
    return;

  _studio_class_picker_update_list (self);
  self->outside = GTK_EVENT_CONTROLLER (gtk_gesture_click_new ());
  gtk_gesture_single_set_button (GTK_GESTURE_SINGLE (self->outside), 0);
  gtk_event_controller_set_propagation_phase (self->outside, GTK_PHASE_CAPTURE);
  g_signal_connect (self->outside, "pressed", G_CALLBACK (on_outside_pressed), self);
  gtk_widget_add_controller (GTK_WIDGET (root), self->outside);
  gtk_popover_popup (self->popover);
}

static void
on_popover_closed (StudioClassPicker *self)
{
  if (self->outside)
    {
      gtk_widget_remove_controller (gtk_event_controller_get_widget (self->outside), self->outside);
      self->outside = NULL;
    }
}

static void
on_focus_leave (StudioClassPicker *self)
{
  close_list (self);
}

static void
on_search_changed (StudioClassPicker *self)
{
  if (gtk_widget_get_visible (GTK_WIDGET (self->popover)))
    _studio_class_picker_update_list (self);
  else if (*gtk_editable_get_text (GTK_EDITABLE (self->entry)))
    open_list (self);
}

static void
on_entry_released (StudioClassPicker *self)
{
  open_list (self);
}

static void
on_stop_search (StudioClassPicker *self)
{
  if (gtk_widget_get_visible (GTK_WIDGET (self->popover)))
    close_list (self);
  else
    gtk_editable_set_text (GTK_EDITABLE (self->entry), "");
}

/* --- Keys --- */

/* Enter in the entry: what fits best. */
static void
on_entry_activate (StudioClassPicker *self)
{
  const char *text = gtk_editable_get_text (GTK_EDITABLE (self->entry));
  g_autoptr(StudioClassItem) item = NULL;

  if (*text == '\0')
    return;
  _studio_class_picker_update_list (self);
  item = g_list_model_get_item (G_LIST_MODEL (self->rows), 0);
  if (!item)
    {
      gtk_widget_error_bell (GTK_WIDGET (self));
      return;
    }
  studio_class_picker_add (self, studio_class_item_get_index (item));
  gtk_editable_set_text (GTK_EDITABLE (self->entry), "");
  close_list (self);
}

static void
on_list_activate (StudioClassPicker *self,
                  guint              position)
{
  g_autoptr(StudioClassItem) item = g_list_model_get_item (G_LIST_MODEL (self->rows), position);

  if (!item || studio_class_item_get_heading (item))
    return;
  if (studio_class_item_get_chosen (item))
    studio_class_picker_remove (self, studio_class_item_get_index (item));
  else
    studio_class_picker_add (self, studio_class_item_get_index (item));
}

static guint
first_class_row (StudioClassPicker *self)
{
  guint n = g_list_model_get_n_items (G_LIST_MODEL (self->rows));

  for (guint i = 0; i < n; i++)
    {
      g_autoptr(StudioClassItem) item = g_list_model_get_item (G_LIST_MODEL (self->rows), i);

      if (!studio_class_item_get_heading (item))
        return i;
    }
  return GTK_INVALID_LIST_POSITION;
}

static gboolean
on_entry_key (StudioClassPicker *self,
              guint              key,
              guint              code,
              GdkModifierType    state)
{
  if (key == GDK_KEY_Down || key == GDK_KEY_KP_Down)
    {
      guint first;

      open_list (self);
      first = first_class_row (self);
      if (first == GTK_INVALID_LIST_POSITION)
        return GDK_EVENT_STOP;
      gtk_single_selection_set_selected (self->selection, first);
      gtk_widget_activate_action (GTK_WIDGET (self->list), "list.scroll-to-item", "u", first);
      gtk_widget_grab_focus (GTK_WIDGET (self->list));
      return GDK_EVENT_STOP;
    }

  if (key == GDK_KEY_BackSpace && *gtk_editable_get_text (GTK_EDITABLE (self->entry)) == '\0' && self->classes->len > 0)
    {
      studio_class_picker_remove (self, g_array_index (self->classes, int, self->classes->len - 1));
      return GDK_EVENT_STOP;
    }
  return GDK_EVENT_PROPAGATE;
}

static gboolean
on_list_key (StudioClassPicker *self,
             guint              key,
             guint              code,
             GdkModifierType    state)
{
  if ((key == GDK_KEY_Up || key == GDK_KEY_KP_Up) &&
      gtk_single_selection_get_selected (self->selection) <= first_class_row (self))
    {
      gtk_widget_grab_focus (GTK_WIDGET (self->entry));
      return GDK_EVENT_STOP;
    }
  if (key == GDK_KEY_Escape)
    {
      gtk_widget_grab_focus (GTK_WIDGET (self->entry));
      close_list (self);
      return GDK_EVENT_STOP;
    }
  return GDK_EVENT_PROPAGATE;
}

/* --- Life --- */

static void
studio_class_picker_dispose (GObject *object)
{
  StudioClassPicker *self = STUDIO_CLASS_PICKER (object);
  GtkWidget *child;

  if (self->popover)
    {
      on_popover_closed (self);
      gtk_widget_unparent (GTK_WIDGET (self->popover));
      self->popover = NULL;
    }
  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self))))
    gtk_box_remove (GTK_BOX (self), child);
  g_clear_object (&self->model);
  g_clear_object (&self->selection);
  g_clear_object (&self->rows);
  G_OBJECT_CLASS (studio_class_picker_parent_class)->dispose (object);
}

static void
studio_class_picker_finalize (GObject *object)
{
  StudioClassPicker *self = STUDIO_CLASS_PICKER (object);

  g_array_unref (self->classes);
  g_ptr_array_unref (self->items);
  G_OBJECT_CLASS (studio_class_picker_parent_class)->finalize (object);
}

static void
studio_class_picker_class_init (StudioClassPickerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (STUDIO_TYPE_WRAP_LAYOUT);
  object_class->dispose = studio_class_picker_dispose;
  object_class->finalize = studio_class_picker_finalize;

  signals[CHANGED] = g_signal_new ("changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0,
                                   NULL, NULL, NULL, G_TYPE_NONE, 0);

  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_GROUP);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-class-picker.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, entry_box);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, entry);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, chips);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, note);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, clear_button);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, random_button);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, popover);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, groups);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, stack);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, list);
  gtk_widget_class_bind_template_child (widget_class, StudioClassPicker, empty_label);
  gtk_widget_class_bind_template_callback (widget_class, on_search_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_entry_activate);
  gtk_widget_class_bind_template_callback (widget_class, on_stop_search);
  gtk_widget_class_bind_template_callback (widget_class, on_list_activate);
  gtk_widget_class_bind_template_callback (widget_class, on_clear);
  gtk_widget_class_bind_template_callback (widget_class, studio_class_picker_randomise);
}

static void
add_controllers (StudioClassPicker *self)
{
  GtkEventController *entry_keys = gtk_event_controller_key_new ();
  GtkEventController *list_keys = gtk_event_controller_key_new ();
  GtkEventController *focus = gtk_event_controller_focus_new ();
  GtkGesture *click = gtk_gesture_click_new ();

  gtk_event_controller_set_propagation_phase (entry_keys, GTK_PHASE_CAPTURE);
  g_signal_connect_swapped (entry_keys, "key-pressed", G_CALLBACK (on_entry_key), self);
  gtk_widget_add_controller (GTK_WIDGET (self->entry), entry_keys);

  gtk_event_controller_set_propagation_phase (list_keys, GTK_PHASE_CAPTURE);
  g_signal_connect_swapped (list_keys, "key-pressed", G_CALLBACK (on_list_key), self);
  gtk_widget_add_controller (GTK_WIDGET (self->list), list_keys);

  g_signal_connect_swapped (focus, "leave", G_CALLBACK (on_focus_leave), self);
  gtk_widget_add_controller (GTK_WIDGET (self), focus);

  gtk_event_controller_set_propagation_phase (GTK_EVENT_CONTROLLER (click), GTK_PHASE_CAPTURE);
  g_signal_connect_swapped (click, "released", G_CALLBACK (on_entry_released), self);
  gtk_widget_add_controller (GTK_WIDGET (self->entry), GTK_EVENT_CONTROLLER (click));
}

static void
studio_class_picker_init (StudioClassPicker *self)
{
  self->classes = g_array_new (FALSE, FALSE, sizeof (int));

  gtk_widget_init_template (GTK_WIDGET (self));
  gtk_widget_set_parent (GTK_WIDGET (self->popover), GTK_WIDGET (self->entry_box));
  g_signal_connect_swapped (self->popover, "closed", G_CALLBACK (on_popover_closed), self);

  gtk_accessible_update_property (GTK_ACCESSIBLE (self->entry),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, _("Search classes"),
                                  GTK_ACCESSIBLE_PROPERTY_DESCRIPTION,
                                  _("What the pictures show; Down goes to the results, Enter chooses the first"), -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->list), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Classes found"), -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->clear_button),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, _("Remove all classes"), -1);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->random_button),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, _("Choose a class by chance"), -1);

  _studio_class_picker_init_list (self);
  add_controllers (self);
  _studio_class_picker_update_flags (self);
  update_chips (self);
}

void
studio_class_picker_set_model (StudioClassPicker *self,
                               DimrModel         *model)
{
  guint n_trained = 0;

  g_return_if_fail (STUDIO_IS_CLASS_PICKER (self));

  if (!g_set_object (&self->model, model))
    return;
  if (model)
    dimr_model_peek_trained_classes (model, &n_trained);
  gtk_widget_set_visible (self->trained_filter, n_trained > 0);
  if (n_trained == 0 && self->filter == FILTER_TRAINED)
    gtk_toggle_button_set_active (GTK_TOGGLE_BUTTON (gtk_widget_get_first_child (GTK_WIDGET (self->groups))), TRUE);
  _studio_class_picker_update_flags (self);
  update_chips (self);
}

const int *
studio_class_picker_peek_classes (StudioClassPicker *self,
                                  guint             *n)
{
  g_return_val_if_fail (STUDIO_IS_CLASS_PICKER (self), NULL);

  *n = self->classes->len;
  return (const int *) self->classes->data;
}

void
studio_class_picker_set_classes (StudioClassPicker *self,
                                 const int         *classes,
                                 guint              n)
{
  g_return_if_fail (STUDIO_IS_CLASS_PICKER (self));

  g_array_set_size (self->classes, 0);
  for (guint i = 0; i < n; i++)
    if (classes[i] >= 0 && classes[i] < DIMR_N_IMAGENET_CLASSES && _studio_class_picker_find_class (self, classes[i]) < 0)
      g_array_append_val (self->classes, classes[i]);
  classes_changed (self);
}

void
studio_class_picker_add (StudioClassPicker *self,
                         int                class_index)
{
  g_return_if_fail (STUDIO_IS_CLASS_PICKER (self));
  g_return_if_fail (class_index >= 0 && class_index < DIMR_N_IMAGENET_CLASSES);

  if (_studio_class_picker_find_class (self, class_index) >= 0)
    return;
  g_array_append_val (self->classes, class_index);
  classes_changed (self);
}

void
studio_class_picker_remove (StudioClassPicker *self,
                            int                class_index)
{
  int i;

  g_return_if_fail (STUDIO_IS_CLASS_PICKER (self));

  i = _studio_class_picker_find_class (self, class_index);
  if (i < 0)
    return;
  g_array_remove_index (self->classes, i);
  classes_changed (self);
}

void
studio_class_picker_randomise (StudioClassPicker *self)
{
  const int *trained = NULL;
  guint n = 0;
  int class_index;

  g_return_if_fail (STUDIO_IS_CLASS_PICKER (self));

  if (self->model)
    trained = dimr_model_peek_trained_classes (self->model, &n);
  /* Another one than now, where there is another one: the button should be seen to do something. */
  do
    class_index = n ? trained[g_random_int_range (0, n)] : g_random_int_range (0, DIMR_N_IMAGENET_CLASSES);
  while (n != 1 && self->classes->len == 1 && class_index == g_array_index (self->classes, int, 0));
  studio_class_picker_set_classes (self, &class_index, 1);
}

void
studio_class_picker_open (StudioClassPicker *self)
{
  g_return_if_fail (STUDIO_IS_CLASS_PICKER (self));

  /* A popover needs a place on the screen. */
  if (!gtk_widget_get_mapped (GTK_WIDGET (self)))
    return;
  gtk_widget_grab_focus (GTK_WIDGET (self->entry));
  open_list (self);
}

void
studio_class_picker_close (StudioClassPicker *self)
{
  g_return_if_fail (STUDIO_IS_CLASS_PICKER (self));
  close_list (self);
}

void
studio_class_picker_remember (StudioClassPicker *self)
{
  g_return_if_fail (STUDIO_IS_CLASS_PICKER (self));

  for (guint i = self->classes->len; i-- > 0; )
    studio_settings_prepend_int ("recent-classes", g_array_index (self->classes, int, i), 4 * N_RECENT);
}
