/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-window-private.h"

#include <glib/gi18n.h>

#include "ui/studio-settings.h"

#define WIDTH_FOR_PANES 900
#define PASSING_SECONDS 3 /* of a toast that only tells something */

G_DEFINE_FINAL_TYPE (StudioWindow, studio_window, ADW_TYPE_APPLICATION_WINDOW)

static void
on_passing_dismissed (StudioWindow *self,
                      AdwToast     *toast)
{
  if (toast == self->passing_toast)
    self->passing_toast = NULL;
}

void
_studio_window_toast (StudioWindow *self,
                      const char   *text)
{
  /* The title of a toast is markup. */
  g_autofree char *escaped = g_markup_escape_text (text, -1);

  /* Five presses of a key are one toast. */
  if (self->passing_toast && g_strcmp0 (adw_toast_get_title (self->passing_toast), escaped) == 0)
    return;
  self->passing_toast = adw_toast_new (escaped);
  adw_toast_set_timeout (self->passing_toast, PASSING_SECONDS);
  g_signal_connect_object (self->passing_toast, "dismissed", G_CALLBACK (on_passing_dismissed), self, G_CONNECT_SWAPPED);
  adw_toast_overlay_add_toast (self->toasts, self->passing_toast);
}

void
_studio_window_show_error (StudioWindow *self,
                           const GError *error)
{
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  if (g_error_matches (error, DIMR_ERROR, DIMR_ERROR_FILE))
    studio_banner_show (self->error_banner, error->message, _("Preferences"), "app.preferences");
  else
    studio_banner_show (self->error_banner, error->message, NULL, NULL);
}

/* --- What is said about the state as a whole --- */

static void
update_hint (StudioWindow *self)
{
  const char *subject = studio_controls_peek_subject (self->controls);
  DimrModel *model = dimr_engine_get_model (self->engine);
  g_autofree char *text = NULL;

  if (dimr_engine_is_device_lost (self->engine))
    text = g_strdup (_("The device is gone. Jobs that wait are kept until there is another one."));
  else if (_studio_window_is_busy (self))
    text = g_strdup (_("The picture appears here as soon as its first step is done."));
  else if (!model && self->loading)
    text = g_strdup (_("Loading the model…"));
  else if (!model)
    text = g_strdup (_("Open a model, or drop one here, to begin."));
  else if (!dimr_model_is_conditional (model))
    text = g_strdup (_("Press Generate, and a picture forms here out of noise."));
  else if (subject)
    /* Translators: %s is a class such as “lion”. */
    text = g_strdup_printf (_("Press Generate, and a picture of the class “%s” forms here out of noise."), subject);
  else
    text = g_strdup (_("Choose a class among the controls to make a picture of it."));
  studio_generate_view_set_hint (self->view, text);
}

static void
update_device_banner (StudioWindow *self)
{
  g_autofree char *closed = g_settings_get_string (studio_settings_get (), "closed-note");
  const char *note = dimr_engine_get_device_note (self->engine);

  /* What stops the work is said however often it was closed before. */
  if (dimr_engine_is_device_lost (self->engine))
    studio_banner_show (self->device_banner, note, _("Go on with the CPU"), "win.use-cpu");
  else
    studio_banner_show (self->device_banner, g_strcmp0 (note, closed) == 0 ? NULL : note, NULL, NULL);
}

static void
on_device_news (StudioWindow *self)
{
  studio_controls_set_device (self->controls, dimr_engine_get_device_name (self->engine),
                              dimr_engine_has_precision (self->engine, DIMR_PRECISION_F8));
  update_device_banner (self);
  _studio_window_update (self);
}

/* Who knows that there is no GPU need not be told at each start. */
static void
on_device_banner_closed (StudioWindow *self)
{
  const char *note = self->engine ? dimr_engine_get_device_note (self->engine) : NULL;

  if (self->engine && dimr_engine_is_device_lost (self->engine))
    return;
  g_settings_set_string (studio_settings_get (), "closed-note", note ? note : "");
}

void
_studio_window_update (StudioWindow *self)
{
  update_hint (self);
  _studio_window_update_actions (self);
}

static void
on_controls_changed (StudioWindow *self)
{
  if (self->engine)
    update_hint (self);
}

static void
on_focus_changed (StudioWindow *self)
{
  guint index = 0;
  StudioPicture *picture = studio_generate_view_get_picture (self->view);
  DimrJob *job = studio_generate_view_get_job (self->view, &index);

  if (picture || !job)
    studio_details_show_picture (self->details, picture);
  else
    studio_details_show_job (self->details, job, index);
  _studio_window_update_actions (self);
}

static void
on_picked (StudioWindow *self)
{
  self->follow = FALSE;
  _studio_window_update_jobs (self);
}

static void
on_live_clicked (StudioWindow *self)
{
  _studio_window_follow (self);
}

/* --- Settings --- */

static void
on_background_changed (StudioWindow *self)
{
  g_autofree char *text = g_settings_get_string (studio_settings_get (), "canvas-background");
  GdkRGBA color;

  if (gdk_rgba_parse (&color, text))
    studio_canvas_set_background (studio_generate_view_get_canvas (self->view), &color);
}

static void
on_folder_changed (StudioWindow *self)
{
  _studio_window_check_folder (self);
  _studio_window_read_folder (self);
}

static void
on_device_changed (StudioWindow *self)
{
  g_autofree char *device = g_settings_get_string (studio_settings_get (), "device");

  if (self->engine)
    dimr_engine_use_device (self->engine, device, g_settings_get_uint (studio_settings_get (), "threads"));
}

/* While a pane lies over the view it is shut until asked for; beside it, it is as the user left it. */
static void
on_folded (AdwFlap    *flap,
           GParamSpec *pspec,
           const char *key)
{
  adw_flap_set_reveal_flap (flap, !adw_flap_get_folded (flap) && g_settings_get_boolean (studio_settings_get (), key));
}

/* Both panes lie over the view from the same width down. Above it they still may, where a language
 * with long words leaves too little room. */
static void
on_layout (GdkSurface   *surface,
           int           width,
           int           height,
           StudioWindow *self)
{
  AdwFlapFoldPolicy policy = width < WIDTH_FOR_PANES ? ADW_FLAP_FOLD_POLICY_ALWAYS : ADW_FLAP_FOLD_POLICY_AUTO;

  adw_flap_set_fold_policy (self->controls_flap, policy);
  adw_flap_set_fold_policy (self->details_flap, policy);
}

static void
studio_window_realize (GtkWidget *widget)
{
  GTK_WIDGET_CLASS (studio_window_parent_class)->realize (widget);
  g_signal_connect_object (gtk_native_get_surface (GTK_NATIVE (widget)), "layout", G_CALLBACK (on_layout), widget, 0);
}

static void
on_revealed (AdwFlap    *flap,
             GParamSpec *pspec,
             const char *key)
{
  if (!adw_flap_get_folded (flap))
    g_settings_set_boolean (studio_settings_get (), key, adw_flap_get_reveal_flap (flap));
}

/* What had the focus goes out of sight: Enter must not open it again. */
static void
on_controls_revealed (StudioWindow *self)
{
  GtkWidget *focus = gtk_window_get_focus (GTK_WINDOW (self));

  if (!adw_flap_get_reveal_flap (self->controls_flap) && focus && gtk_widget_is_ancestor (focus, GTK_WIDGET (self->controls)))
    gtk_widget_grab_focus (GTK_WIDGET (studio_generate_view_get_run_button (self->view)));
}

static void
watch_flap (AdwFlap    *flap,
            const char *key)
{
  adw_flap_set_reveal_flap (flap, g_settings_get_boolean (studio_settings_get (), key));
  g_signal_connect (flap, "notify::folded", G_CALLBACK (on_folded), (gpointer) key);
  g_signal_connect (flap, "notify::reveal-flap", G_CALLBACK (on_revealed), (gpointer) key);
}

static void
restore_size (StudioWindow *self)
{
  GSettings *settings = studio_settings_get ();

  gtk_window_set_default_size (GTK_WINDOW (self),
                               g_settings_get_int (settings, "window-width"),
                               g_settings_get_int (settings, "window-height"));
  if (g_settings_get_boolean (settings, "window-maximized"))
    gtk_window_maximize (GTK_WINDOW (self));
}

static void
store_size (StudioWindow *self)
{
  GSettings *settings = studio_settings_get ();
  int width, height;

  g_settings_set_boolean (settings, "window-maximized", gtk_window_is_maximized (GTK_WINDOW (self)));
  if (gtk_window_is_maximized (GTK_WINDOW (self)) || gtk_window_is_fullscreen (GTK_WINDOW (self)))
    return;
  gtk_window_get_default_size (GTK_WINDOW (self), &width, &height);
  g_settings_set_int (settings, "window-width", CLAMP (width, 360, 16384));
  g_settings_set_int (settings, "window-height", CLAMP (height, 300, 16384));
}

/* --- Closing --- */

static void
on_close_response (AdwMessageDialog *dialog,
                   const char       *response,
                   StudioWindow     *self)
{
  if (g_strcmp0 (response, "stop") != 0)
    return;
  self->closing = TRUE;
  gtk_window_close (GTK_WINDOW (self));
}

static gboolean
studio_window_close_request (GtkWindow *window)
{
  StudioWindow *self = STUDIO_WINDOW (window);

  if (_studio_window_is_busy (self) && !self->closing)
    {
      GtkWidget *dialog = adw_message_dialog_new (window, _("Stop the Jobs and Close?"),
                                                  _("Pictures that are finished are saved; those that are still forming are lost."));

      adw_message_dialog_add_responses (ADW_MESSAGE_DIALOG (dialog),
                                        "cancel", _("_Keep Running"), "stop", _("_Stop and Close"), NULL);
      adw_message_dialog_set_response_appearance (ADW_MESSAGE_DIALOG (dialog), "stop", ADW_RESPONSE_DESTRUCTIVE);
      adw_message_dialog_set_default_response (ADW_MESSAGE_DIALOG (dialog), "cancel");
      adw_message_dialog_set_close_response (ADW_MESSAGE_DIALOG (dialog), "cancel");
      g_signal_connect_object (dialog, "response", G_CALLBACK (on_close_response), self, 0);
      gtk_window_present (GTK_WINDOW (dialog));
      return TRUE;
    }

  store_size (self);
  _studio_window_empty_trash (self);
  return GTK_WINDOW_CLASS (studio_window_parent_class)->close_request (window);
}

/* --- Life --- */

static void
studio_window_dispose (GObject *object)
{
  StudioWindow *self = STUDIO_WINDOW (object);

  g_cancellable_cancel (self->loading);
  g_clear_object (&self->loading);
  g_cancellable_cancel (self->listing);
  g_clear_object (&self->listing);
  _studio_window_empty_trash (self);
  if (self->engine)
    _studio_window_set_engine (self, NULL);
  G_OBJECT_CLASS (studio_window_parent_class)->dispose (object);
}

static void
studio_window_class_init (StudioWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (STUDIO_TYPE_BANNER);
  g_type_ensure (STUDIO_TYPE_CONTROLS);
  g_type_ensure (STUDIO_TYPE_DETAILS);
  g_type_ensure (STUDIO_TYPE_GENERATE_VIEW);
  g_type_ensure (STUDIO_TYPE_MODEL_BUTTON);
  g_type_ensure (STUDIO_TYPE_QUEUE_BUTTON);
  G_OBJECT_CLASS (klass)->dispose = studio_window_dispose;
  widget_class->realize = studio_window_realize;
  GTK_WINDOW_CLASS (klass)->close_request = studio_window_close_request;

  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-window.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, toasts);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, stack);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, title);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, controls_button);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, details_button);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, menu_button);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, model_button);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, queue_button);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, progress);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, error_banner);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, device_banner);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, folder_banner);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, controls_flap);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, details_flap);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, controls);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, view);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, details);
  gtk_widget_class_bind_template_child (widget_class, StudioWindow, drop_overlay);
  _studio_window_class_add_keys (widget_class);
}

static void
name_widget (gpointer    widget,
             const char *name)
{
  gtk_accessible_update_property (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static void
studio_window_init (StudioWindow *self)
{
  GSettings *settings = studio_settings_get ();

  self->follow = TRUE;
  g_queue_init (&self->trash);
  gtk_widget_init_template (GTK_WIDGET (self));

  name_widget (self->controls_button, _("Controls"));
  name_widget (self->details_button, _("Details"));
  name_widget (self->menu_button, _("Main menu"));
  name_widget (self->progress, _("Progress of the run"));

  /* A switcher of one view would switch nothing. */
  adw_view_switcher_title_set_view_switcher_enabled (self->title,
                                                     g_list_model_get_n_items (G_LIST_MODEL (adw_view_stack_get_pages (self->stack))) > 1);

  restore_size (self);
  watch_flap (self->controls_flap, "show-controls");
  watch_flap (self->details_flap, "show-details");
  /* Pictures can be made, and a run stopped, whatever is hidden. */
  g_object_bind_property (self->controls_flap, "reveal-flap", studio_generate_view_get_run_button (self->view), "visible",
                          G_BINDING_SYNC_CREATE | G_BINDING_INVERT_BOOLEAN);
  g_signal_connect_object (self->controls_flap, "notify::reveal-flap", G_CALLBACK (on_controls_revealed), self, G_CONNECT_SWAPPED);
  g_settings_bind (settings, "canvas-smooth", studio_generate_view_get_canvas (self->view), "smooth", G_SETTINGS_BIND_GET);
  g_signal_connect_object (settings, "changed::canvas-background", G_CALLBACK (on_background_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "changed::output-folder", G_CALLBACK (on_folder_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "changed::device", G_CALLBACK (on_device_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "changed::threads", G_CALLBACK (on_device_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (settings, "changed::classes", G_CALLBACK (on_controls_changed), self, G_CONNECT_SWAPPED);
  on_background_changed (self);

  g_signal_connect_object (self->device_banner, "closed", G_CALLBACK (on_device_banner_closed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->view, "focus-changed", G_CALLBACK (on_focus_changed), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->view, "picked", G_CALLBACK (on_picked), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->view, "live-clicked", G_CALLBACK (on_live_clicked), self, G_CONNECT_SWAPPED);

  _studio_window_add_actions (self);
  _studio_window_add_drop_target (self);
}

static void
on_model_changed (StudioWindow *self)
{
  DimrModel *model = dimr_engine_get_model (self->engine);

  studio_controls_set_model (self->controls, model);
  studio_details_set_model (self->details, model);
  _studio_window_update (self);
}

void
_studio_window_set_engine (StudioWindow *self,
                           DimrEngine   *engine)
{
  if (self->engine)
    g_signal_handlers_disconnect_by_data (self->engine, self);
  studio_queue_button_set_engine (self->queue_button, engine);
  studio_model_button_set_engine (self->model_button, engine);
  g_set_object (&self->engine, engine);
  if (!engine)
    return;

  g_signal_connect_swapped (engine, "notify::model", G_CALLBACK (on_model_changed), self);
  g_signal_connect_swapped (engine, "notify::device-name", G_CALLBACK (on_device_news), self);
  g_signal_connect_swapped (engine, "notify::current-job", G_CALLBACK (_studio_window_update_jobs), self);
  g_signal_connect_swapped (engine, "notify::n-waiting", G_CALLBACK (_studio_window_update), self);
  _studio_window_update_jobs (self);
}

StudioWindow *
studio_window_new (AdwApplication *application)
{
  StudioWindow *self = g_object_new (STUDIO_TYPE_WINDOW, "application", application, NULL);
  g_autofree char *device = g_settings_get_string (studio_settings_get (), "device");
  g_autoptr(DimrEngine) engine = dimr_engine_new (device, g_settings_get_uint (studio_settings_get (), "threads"));

  _studio_window_set_engine (self, engine);
  _studio_window_load_first_model (self);
  _studio_window_check_folder (self);
  _studio_window_read_folder (self);
  return self;
}

DimrEngine *
studio_window_get_engine (StudioWindow *self)
{
  g_return_val_if_fail (STUDIO_IS_WINDOW (self), NULL);
  return self->engine;
}
