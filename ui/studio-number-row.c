/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-number-row.h"

#include <glib/gi18n.h>
#include <math.h>
#include <string.h>

struct _StudioNumberRow
{
  GtkBox parent_instance;

  GtkLabel *title_label;
  GtkButton *reset_button;
  GtkEntry *entry;
  GtkScale *scale;
  GtkAdjustment *adjustment;
  GtkRevealer *error_revealer;
  GtkLabel *error_label;

  char *title;
  char *explanation;
  double lower;
  double upper;
  double slider_lower;
  double slider_upper;
  double step;
  guint digits;
  double value;
  double default_value;
  gboolean valid;

  gboolean updating; /* the widgets follow the value, not the other way round */
};

enum
{
  PROP_TITLE = 1,
  PROP_EXPLANATION,
  PROP_LOWER,
  PROP_UPPER,
  PROP_SLIDER_LOWER,
  PROP_SLIDER_UPPER,
  PROP_STEP,
  PROP_DIGITS,
  PROP_VALUE,
  PROP_DEFAULT_VALUE,
  PROP_VALID,
  N_PROPS
};

G_DEFINE_FINAL_TYPE (StudioNumberRow, studio_number_row, GTK_TYPE_BOX)

static GParamSpec *properties[N_PROPS];

/* "1.5" and "2", but "1.25": no more decimals than the number has, in the user's spelling. */
static char *
format_number (double value,
               guint  digits)
{
  char *text = g_strdup_printf ("%.*f", (int) digits, value);
  gsize length = strlen (text);

  if (digits > 0)
    {
      while (length > 0 && text[length - 1] == '0')
        text[--length] = '\0';
      if (length > 0 && !g_ascii_isdigit (text[length - 1]))
        text[--length] = '\0';
    }
  return text;
}

static gboolean
parse_number (const char *text,
              guint       digits,
              double     *value)
{
  g_autofree char *copy = g_strstrip (g_strdup (text));
  char *end;

  g_strdelimit (copy, ",", '.');
  if (*copy == '\0')
    return FALSE;
  *value = g_ascii_strtod (copy, &end);
  return *end == '\0' && isfinite (*value) && (digits > 0 || *value == floor (*value));
}

static void
set_valid (StudioNumberRow *self,
           gboolean         valid)
{
  if (valid)
    {
      gtk_widget_remove_css_class (GTK_WIDGET (self->entry), "error");
      gtk_revealer_set_reveal_child (self->error_revealer, FALSE);
      gtk_accessible_reset_state (GTK_ACCESSIBLE (self->entry), GTK_ACCESSIBLE_STATE_INVALID);
    }
  if (valid == self->valid)
    return;
  self->valid = valid;
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_VALID]);
}

static void
explain (StudioNumberRow *self)
{
  g_autofree char *lower = format_number (self->lower, self->digits);
  g_autofree char *upper = format_number (self->upper, self->digits);
  g_autofree char *text = NULL;

  if (self->digits > 0)
    /* Translators: %s are the smallest and the largest number that may be entered. */
    text = g_strdup_printf (_("Enter a number from %s to %s."), lower, upper);
  else
    /* Translators: %s are the smallest and the largest number that may be entered. */
    text = g_strdup_printf (_("Enter a whole number from %s to %s."), lower, upper);
  gtk_label_set_text (self->error_label, text);
  gtk_revealer_set_reveal_child (self->error_revealer, TRUE);
  gtk_widget_add_css_class (GTK_WIDGET (self->entry), "error");
  gtk_accessible_update_state (GTK_ACCESSIBLE (self->entry),
                               GTK_ACCESSIBLE_STATE_INVALID, GTK_ACCESSIBLE_INVALID_TRUE, -1);
}

static void
update_widgets (StudioNumberRow *self,
                gboolean         with_entry)
{
  self->updating = TRUE;
  gtk_adjustment_set_value (self->adjustment, CLAMP (self->value, self->slider_lower, self->slider_upper));
  if (with_entry)
    {
      g_autofree char *text = format_number (self->value, self->digits);

      gtk_editable_set_text (GTK_EDITABLE (self->entry), text);
    }
  self->updating = FALSE;
  gtk_widget_set_visible (GTK_WIDGET (self->reset_button), fabs (self->value - self->default_value) > 1e-9);
}

static void
change_value (StudioNumberRow *self,
              double           value,
              gboolean         with_entry)
{
  gboolean changed = value != self->value;

  self->value = value;
  update_widgets (self, with_entry);
  set_valid (self, TRUE);
  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_VALUE]);
}

static void
on_slider_changed (StudioNumberRow *self)
{
  double value;

  if (self->updating)
    return;

  /* The slider stands still between two steps. */
  value = self->slider_lower +
          round ((gtk_adjustment_get_value (self->adjustment) - self->slider_lower) / self->step) * self->step;
  change_value (self, CLAMP (value, self->lower, self->upper), TRUE);
}

static void
on_entry_changed (StudioNumberRow *self)
{
  double value;

  if (self->updating)
    return;
  if (parse_number (gtk_editable_get_text (GTK_EDITABLE (self->entry)), self->digits, &value) &&
      value >= self->lower && value <= self->upper)
    change_value (self, value, FALSE);
  else
    set_valid (self, FALSE);
}

/* Typing is over: either spell the number out properly or say what is wrong with it. */
static void
on_entry_activate (StudioNumberRow *self)
{
  if (self->valid)
    update_widgets (self, TRUE);
  else
    explain (self);
}

static void
on_reset_clicked (StudioNumberRow *self)
{
  /* The button goes away now, and the focus must not go with it. */
  if (gtk_widget_has_focus (GTK_WIDGET (self->reset_button)))
    gtk_widget_grab_focus (GTK_WIDGET (self->scale));
  studio_number_row_reset (self);
}

static gboolean
on_entry_key (StudioNumberRow *self,
              guint            key,
              guint            code,
              GdkModifierType  state)
{
  double step;

  if (key == GDK_KEY_Up || key == GDK_KEY_KP_Up)
    step = self->step;
  else if (key == GDK_KEY_Down || key == GDK_KEY_KP_Down)
    step = -self->step;
  else
    return GDK_EVENT_PROPAGATE;

  change_value (self, CLAMP (self->value + step, self->lower, self->upper), TRUE);
  return GDK_EVENT_STOP;
}

static void
on_double_click (GtkGestureClick *gesture,
                 int              n_press,
                 double           x,
                 double           y,
                 StudioNumberRow *self)
{
  if (n_press != 2)
    return;
  gtk_gesture_set_state (GTK_GESTURE (gesture), GTK_EVENT_SEQUENCE_CLAIMED);
  studio_number_row_reset (self);
}

static void
set_wheel (StudioNumberRow *self,
           gboolean         enabled)
{
  g_autoptr(GListModel) controllers = gtk_widget_observe_controllers (GTK_WIDGET (self->scale));

  for (guint i = 0; i < g_list_model_get_n_items (controllers); i++)
    {
      g_autoptr(GtkEventController) controller = g_list_model_get_item (controllers, i);

      if (GTK_IS_EVENT_CONTROLLER_SCROLL (controller))
        gtk_event_controller_set_propagation_phase (controller, enabled ? GTK_PHASE_BUBBLE : GTK_PHASE_NONE);
    }
}

static void
on_scale_focus_enter (StudioNumberRow *self)
{
  set_wheel (self, TRUE);
}

static void
on_scale_focus_leave (StudioNumberRow *self)
{
  set_wheel (self, FALSE);
}

static void
add_double_click (StudioNumberRow *self,
                  GtkWidget       *widget)
{
  GtkGesture *gesture = gtk_gesture_click_new ();

  gtk_event_controller_set_propagation_phase (GTK_EVENT_CONTROLLER (gesture), GTK_PHASE_CAPTURE);
  g_signal_connect (gesture, "pressed", G_CALLBACK (on_double_click), self);
  gtk_widget_add_controller (widget, GTK_EVENT_CONTROLLER (gesture));
}

static void
apply_bounds (StudioNumberRow *self)
{
  self->updating = TRUE;
  gtk_adjustment_configure (self->adjustment, CLAMP (self->value, self->slider_lower, self->slider_upper),
                            self->slider_lower, self->slider_upper, self->step, self->step * 10, 0);
  gtk_scale_clear_marks (self->scale);
  if (self->default_value >= self->slider_lower && self->default_value <= self->slider_upper)
    gtk_scale_add_mark (self->scale, self->default_value, GTK_POS_BOTTOM, NULL);
  self->updating = FALSE;
}

static void
apply_texts (StudioNumberRow *self)
{
  g_autofree char *name = self->title ? g_strdup (self->title) : NULL;

  if (!name)
    return;
  name = g_strdelimit (name, "_", ' ');
  g_strstrip (name);

  gtk_widget_set_tooltip_text (GTK_WIDGET (self), self->explanation);
  for (guint i = 0; i < 2; i++)
    {
      GtkAccessible *accessible = i ? GTK_ACCESSIBLE (self->entry) : GTK_ACCESSIBLE (self->scale);

      gtk_accessible_update_property (accessible,
                                      GTK_ACCESSIBLE_PROPERTY_LABEL, name,
                                      GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, self->explanation ? self->explanation : "",
                                      -1);
    }
}

static void
studio_number_row_constructed (GObject *object)
{
  StudioNumberRow *self = STUDIO_NUMBER_ROW (object);

  G_OBJECT_CLASS (studio_number_row_parent_class)->constructed (object);

  self->value = self->default_value = CLAMP (self->default_value, self->lower, self->upper);
  apply_bounds (self);
  apply_texts (self);
  update_widgets (self, TRUE);
}

static void
studio_number_row_dispose (GObject *object)
{
  StudioNumberRow *self = STUDIO_NUMBER_ROW (object);
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self))))
    gtk_box_remove (GTK_BOX (self), child);
  G_OBJECT_CLASS (studio_number_row_parent_class)->dispose (object);
}

static void
studio_number_row_finalize (GObject *object)
{
  StudioNumberRow *self = STUDIO_NUMBER_ROW (object);

  g_free (self->title);
  g_free (self->explanation);
  G_OBJECT_CLASS (studio_number_row_parent_class)->finalize (object);
}

static double *
field (StudioNumberRow *self,
       guint            prop_id)
{
  switch (prop_id)
    {
    case PROP_LOWER:        return &self->lower;
    case PROP_UPPER:        return &self->upper;
    case PROP_SLIDER_LOWER: return &self->slider_lower;
    case PROP_SLIDER_UPPER: return &self->slider_upper;
    case PROP_STEP:         return &self->step;
    default:                return NULL;
    }
}

static void
studio_number_row_get_property (GObject    *object,
                                guint       prop_id,
                                GValue     *value,
                                GParamSpec *pspec)
{
  StudioNumberRow *self = STUDIO_NUMBER_ROW (object);

  if (field (self, prop_id))
    {
      g_value_set_double (value, *field (self, prop_id));
      return;
    }

  switch (prop_id)
    {
    case PROP_TITLE:
      g_value_set_string (value, self->title);
      break;
    case PROP_EXPLANATION:
      g_value_set_string (value, self->explanation);
      break;
    case PROP_DIGITS:
      g_value_set_uint (value, self->digits);
      break;
    case PROP_VALUE:
      g_value_set_double (value, self->value);
      break;
    case PROP_DEFAULT_VALUE:
      g_value_set_double (value, self->default_value);
      break;
    case PROP_VALID:
      g_value_set_boolean (value, self->valid);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
studio_number_row_set_property (GObject      *object,
                                guint         prop_id,
                                const GValue *value,
                                GParamSpec   *pspec)
{
  StudioNumberRow *self = STUDIO_NUMBER_ROW (object);

  if (field (self, prop_id))
    {
      *field (self, prop_id) = g_value_get_double (value);
      return;
    }

  switch (prop_id)
    {
    case PROP_TITLE:
      g_free (self->title);
      self->title = g_value_dup_string (value);
      apply_texts (self);
      break;
    case PROP_EXPLANATION:
      g_free (self->explanation);
      self->explanation = g_value_dup_string (value);
      apply_texts (self);
      break;
    case PROP_DIGITS:
      self->digits = g_value_get_uint (value);
      break;
    case PROP_VALUE:
      studio_number_row_set_value (self, g_value_get_double (value));
      break;
    case PROP_DEFAULT_VALUE:
      studio_number_row_set_default_value (self, g_value_get_double (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
studio_number_row_class_init (StudioNumberRowClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);
  GParamFlags once = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->constructed = studio_number_row_constructed;
  object_class->dispose = studio_number_row_dispose;
  object_class->finalize = studio_number_row_finalize;
  object_class->get_property = studio_number_row_get_property;
  object_class->set_property = studio_number_row_set_property;

  properties[PROP_TITLE] = g_param_spec_string ("title", NULL, NULL, NULL, once);
  properties[PROP_EXPLANATION] = g_param_spec_string ("explanation", NULL, NULL, NULL, flags);
  properties[PROP_LOWER] = g_param_spec_double ("lower", NULL, NULL, -G_MAXDOUBLE, G_MAXDOUBLE, 0, once);
  properties[PROP_UPPER] = g_param_spec_double ("upper", NULL, NULL, -G_MAXDOUBLE, G_MAXDOUBLE, 100, once);
  properties[PROP_SLIDER_LOWER] = g_param_spec_double ("slider-lower", NULL, NULL, -G_MAXDOUBLE, G_MAXDOUBLE, 0, once);
  properties[PROP_SLIDER_UPPER] = g_param_spec_double ("slider-upper", NULL, NULL, -G_MAXDOUBLE, G_MAXDOUBLE, 100, once);
  properties[PROP_STEP] = g_param_spec_double ("step", NULL, NULL, 1e-6, G_MAXDOUBLE, 1, once);
  properties[PROP_DIGITS] = g_param_spec_uint ("digits", NULL, NULL, 0, 6, 0, once);
  properties[PROP_VALUE] = g_param_spec_double ("value", NULL, NULL, -G_MAXDOUBLE, G_MAXDOUBLE, 0, flags);
  properties[PROP_DEFAULT_VALUE] = g_param_spec_double ("default-value", NULL, NULL, -G_MAXDOUBLE, G_MAXDOUBLE, 0, flags);
  properties[PROP_VALID] = g_param_spec_boolean ("valid", NULL, NULL, TRUE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);

  gtk_widget_class_set_css_name (widget_class, "studio-number-row");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_GROUP);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-number-row.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioNumberRow, title_label);
  gtk_widget_class_bind_template_child (widget_class, StudioNumberRow, reset_button);
  gtk_widget_class_bind_template_child (widget_class, StudioNumberRow, entry);
  gtk_widget_class_bind_template_child (widget_class, StudioNumberRow, scale);
  gtk_widget_class_bind_template_child (widget_class, StudioNumberRow, adjustment);
  gtk_widget_class_bind_template_child (widget_class, StudioNumberRow, error_revealer);
  gtk_widget_class_bind_template_child (widget_class, StudioNumberRow, error_label);
  gtk_widget_class_bind_template_callback (widget_class, on_slider_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_entry_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_entry_activate);
  gtk_widget_class_bind_template_callback (widget_class, on_reset_clicked);
}

static void
studio_number_row_init (StudioNumberRow *self)
{
  GtkEventController *keys = gtk_event_controller_key_new ();
  GtkEventController *entry_focus = gtk_event_controller_focus_new ();
  GtkEventController *scale_focus = gtk_event_controller_focus_new ();

  self->valid = TRUE;
  gtk_widget_init_template (GTK_WIDGET (self));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->reset_button),
                                  GTK_ACCESSIBLE_PROPERTY_LABEL, _("Back to the model’s default"), -1);

  gtk_event_controller_set_propagation_phase (keys, GTK_PHASE_CAPTURE);
  g_signal_connect_swapped (keys, "key-pressed", G_CALLBACK (on_entry_key), self);
  gtk_widget_add_controller (GTK_WIDGET (self->entry), keys);
  g_signal_connect_swapped (entry_focus, "leave", G_CALLBACK (on_entry_activate), self);
  gtk_widget_add_controller (GTK_WIDGET (self->entry), entry_focus);

  g_signal_connect_swapped (scale_focus, "enter", G_CALLBACK (on_scale_focus_enter), self);
  g_signal_connect_swapped (scale_focus, "leave", G_CALLBACK (on_scale_focus_leave), self);
  gtk_widget_add_controller (GTK_WIDGET (self->scale), scale_focus);
  set_wheel (self, FALSE);

  add_double_click (self, GTK_WIDGET (self->scale));
  add_double_click (self, GTK_WIDGET (self->title_label));
}

double
studio_number_row_get_value (StudioNumberRow *self)
{
  g_return_val_if_fail (STUDIO_IS_NUMBER_ROW (self), 0);
  return self->value;
}

void
studio_number_row_set_value (StudioNumberRow *self,
                             double           value)
{
  g_return_if_fail (STUDIO_IS_NUMBER_ROW (self));
  change_value (self, CLAMP (value, self->lower, self->upper), TRUE);
}

double
studio_number_row_get_default_value (StudioNumberRow *self)
{
  g_return_val_if_fail (STUDIO_IS_NUMBER_ROW (self), 0);
  return self->default_value;
}

void
studio_number_row_set_default_value (StudioNumberRow *self,
                                     double           value)
{
  gboolean follows;

  g_return_if_fail (STUDIO_IS_NUMBER_ROW (self));

  value = CLAMP (value, self->lower, self->upper);
  if (value == self->default_value)
    return;

  /* A number that nobody changed stays the default. */
  follows = self->valid && self->value == self->default_value;
  self->default_value = value;
  apply_bounds (self);
  if (follows)
    change_value (self, value, TRUE);
  else
    update_widgets (self, self->valid);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_DEFAULT_VALUE]);
}

gboolean
studio_number_row_get_valid (StudioNumberRow *self)
{
  g_return_val_if_fail (STUDIO_IS_NUMBER_ROW (self), TRUE);
  return self->valid;
}

gboolean
studio_number_row_check (StudioNumberRow *self)
{
  g_return_val_if_fail (STUDIO_IS_NUMBER_ROW (self), TRUE);

  if (!self->valid)
    {
      explain (self);
      gtk_widget_grab_focus (GTK_WIDGET (self->entry));
    }
  return self->valid;
}

void
studio_number_row_reset (StudioNumberRow *self)
{
  g_return_if_fail (STUDIO_IS_NUMBER_ROW (self));
  change_value (self, CLAMP (self->default_value, self->lower, self->upper), TRUE);
}
