/* studio-window-actions.c — what the group "win" can do, and the keys without Ctrl
 *
 * Keys with Ctrl are accelerators of the application, which come before the focused widget; plain
 * letters are bindings of the window, which come after it, so that an entry gets its letters.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "ui/studio-window-private.h"

#include <glib/gi18n.h>

#include "ui/studio-models.h"
#include "ui/studio-settings.h"

/* The recipe of what is looked at, finished or forming (transfer full, nullable). */
static DimrRecipe *
dup_focused_recipe (StudioWindow *self)
{
  StudioPicture *picture = studio_generate_view_get_picture (self->view);
  guint index = 0;
  DimrJob *job = studio_generate_view_get_job (self->view, &index);

  if (picture)
    return studio_picture_peek_recipe (picture) ? dimr_recipe_copy (studio_picture_peek_recipe (picture)) : NULL;
  return job ? dimr_job_dup_recipe (job, index) : NULL;
}

/* --- Making pictures --- */

static void
generate (GSimpleAction *action,
          GVariant      *parameter,
          gpointer       user_data)
{
  _studio_window_generate (user_data, FALSE);
}

static void
generate_front (GSimpleAction *action,
                GVariant      *parameter,
                gpointer       user_data)
{
  _studio_window_generate (user_data, TRUE);
}

static void
use_cpu (GSimpleAction *action,
         GVariant      *parameter,
         gpointer       user_data)
{
  StudioWindow *self = user_data;

  /* The setting stays: the next start tries the device again. */
  dimr_engine_use_device (self->engine, "cpu", g_settings_get_uint (studio_settings_get (), "threads"));
}

static void
stop (GSimpleAction *action,
      GVariant      *parameter,
      gpointer       user_data)
{
  StudioWindow *self = user_data;
  DimrJob *job = dimr_engine_get_current_job (self->engine);

  if (job)
    dimr_engine_cancel (self->engine, job);
}

/* The one button: what it does follows from what is going on. A single action, since a button that changes
 * its action is insensitive for a blink. */
static void
run (GSimpleAction *action,
     GVariant      *parameter,
     gpointer       user_data)
{
  StudioWindow *self = user_data;

  if (dimr_engine_get_current_job (self->engine))
    stop (action, parameter, user_data);
  else
    _studio_window_generate (self, FALSE);
}

static void
on_clear_response (AdwMessageDialog *dialog,
                   const char       *response,
                   StudioWindow     *self)
{
  if (g_strcmp0 (response, "clear") == 0 && self->engine)
    dimr_engine_clear_queue (self->engine);
}

static void
clear_queue (GSimpleAction *action,
             GVariant      *parameter,
             gpointer       user_data)
{
  StudioWindow *self = user_data;
  guint n = g_list_model_get_n_items (dimr_engine_get_queue (self->engine));
  g_autofree char *heading = g_strdup_printf (ngettext ("Cancel %u Waiting Job?", "Cancel %u Waiting Jobs?", n), n);
  GtkWidget *dialog;

  if (n == 0)
    return;
  dialog = adw_message_dialog_new (GTK_WINDOW (self), heading, _("The job that is running goes on."));
  adw_message_dialog_add_responses (ADW_MESSAGE_DIALOG (dialog), "cancel", _("_Keep"), "clear", _("_Clear Queue"), NULL);
  adw_message_dialog_set_response_appearance (ADW_MESSAGE_DIALOG (dialog), "clear", ADW_RESPONSE_DESTRUCTIVE);
  adw_message_dialog_set_default_response (ADW_MESSAGE_DIALOG (dialog), "cancel");
  adw_message_dialog_set_close_response (ADW_MESSAGE_DIALOG (dialog), "cancel");
  g_signal_connect_object (dialog, "response", G_CALLBACK (on_clear_response), self, 0);
  gtk_window_present (GTK_WINDOW (dialog));
}

/* --- Taking settings over --- */

typedef struct
{
  StudioWindow *window;
  GVariant *state;
} Undo;

static void
undo_free (gpointer  data,
           GClosure *closure)
{
  Undo *undo = data;

  g_variant_unref (undo->state);
  g_free (undo);
}

static void
on_undo_settings (AdwToast *toast,
                  Undo     *undo)
{
  studio_controls_set_state (undo->window->controls, undo->state);
}

void
_studio_window_apply_recipe (StudioWindow      *self,
                             const DimrRecipe  *recipe,
                             StudioRecipeParts  parts,
                             const char        *message)
{
  g_autofree char *escaped = g_markup_escape_text (message, -1);
  AdwToast *toast = adw_toast_new (escaped);
  Undo *undo = g_new0 (Undo, 1);

  undo->window = self;
  undo->state = studio_controls_dup_state (self->controls);
  studio_controls_apply_recipe (self->controls, recipe, parts);

  adw_toast_set_button_label (toast, _("Undo"));
  adw_toast_set_priority (toast, ADW_TOAST_PRIORITY_HIGH);
  g_signal_connect_data (toast, "button-clicked", G_CALLBACK (on_undo_settings), undo, undo_free, 0);
  adw_toast_overlay_add_toast (self->toasts, toast);
}

static void
reuse (StudioWindow      *self,
       StudioRecipeParts  parts,
       const char        *message)
{
  g_autoptr(DimrRecipe) recipe = dup_focused_recipe (self);

  if (recipe)
    _studio_window_apply_recipe (self, recipe, parts, message);
}

static void
reuse_seed (GSimpleAction *action,
            GVariant      *parameter,
            gpointer       user_data)
{
  reuse (user_data, STUDIO_RECIPE_SEED, _("Seed taken over"));
}

static void
reuse_settings (GSimpleAction *action,
                GVariant      *parameter,
                gpointer       user_data)
{
  reuse (user_data, STUDIO_RECIPE_ALL, _("Settings taken over"));
}

static void
remix (GSimpleAction *action,
       GVariant      *parameter,
       gpointer       user_data)
{
  reuse (user_data, STUDIO_RECIPE_SETTINGS, _("Settings taken over, without the seed"));
}

/* --- Pictures --- */

static void
save_as (GSimpleAction *action,
         GVariant      *parameter,
         gpointer       user_data)
{
  _studio_window_choose_save (user_data);
}

static void
copy (GSimpleAction *action,
      GVariant      *parameter,
      gpointer       user_data)
{
  _studio_window_copy (user_data);
}

static void
star (GSimpleAction *action,
      GVariant      *parameter,
      gpointer       user_data)
{
  StudioWindow *self = user_data;
  StudioPicture *picture = studio_generate_view_get_picture (self->view);

  if (picture)
    studio_picture_set_starred (picture, !studio_picture_get_starred (picture));
}

static void
trash (GSimpleAction *action,
       GVariant      *parameter,
       gpointer       user_data)
{
  _studio_window_trash (user_data);
}

static void
open_folder (GSimpleAction *action,
             GVariant      *parameter,
             gpointer       user_data)
{
  StudioWindow *self = user_data;
  g_autofree char *folder = studio_settings_dup_output_folder ();
  g_autofree char *uri = g_filename_to_uri (folder, NULL, NULL);

  if (!g_file_test (folder, G_FILE_TEST_IS_DIR))
    _studio_window_toast (self, _("The output folder is made with the first picture."));
  else if (uri)
    gtk_show_uri (GTK_WINDOW (self), uri, GDK_CURRENT_TIME);
}

/* --- Models --- */

static void
open_model (GSimpleAction *action,
            GVariant      *parameter,
            gpointer       user_data)
{
  _studio_window_choose_model (user_data, FALSE);
}

static void
open_model_folder (GSimpleAction *action,
                   GVariant      *parameter,
                   gpointer       user_data)
{
  _studio_window_choose_model (user_data, TRUE);
}

static void
load_model (GSimpleAction *action,
            GVariant      *parameter,
            gpointer       user_data)
{
  _studio_window_load_model (user_data, g_variant_get_string (parameter, NULL));
}

static void
show_models (GSimpleAction *action,
             GVariant      *parameter,
             gpointer       user_data)
{
  StudioWindow *self = user_data;
  DimrModel *model = self->engine ? dimr_engine_get_model (self->engine) : NULL;

  gtk_window_present (GTK_WINDOW (studio_models_new (GTK_WINDOW (self), NULL, model ? dimr_model_get_path (model) : NULL)));
}

static void
cancel_loading (GSimpleAction *action,
                GVariant      *parameter,
                gpointer       user_data)
{
  StudioWindow *self = user_data;

  g_cancellable_cancel (self->loading);
}

/* --- Looking --- */

static void
zoom_fit (GSimpleAction *action,
          GVariant      *parameter,
          gpointer       user_data)
{
  StudioWindow *self = user_data;

  studio_viewport_fit (studio_canvas_get_viewport (studio_generate_view_get_canvas (self->view)));
}

static void
zoom_original (GSimpleAction *action,
               GVariant      *parameter,
               gpointer       user_data)
{
  StudioWindow *self = user_data;

  studio_viewport_set_zoom (studio_canvas_get_viewport (studio_generate_view_get_canvas (self->view)), 1);
}

static void
zoom_in (GSimpleAction *action,
         GVariant      *parameter,
         gpointer       user_data)
{
  StudioWindow *self = user_data;

  studio_canvas_zoom_in (studio_generate_view_get_canvas (self->view));
}

static void
zoom_out (GSimpleAction *action,
          GVariant      *parameter,
          gpointer       user_data)
{
  StudioWindow *self = user_data;

  studio_canvas_zoom_out (studio_generate_view_get_canvas (self->view));
}

static void
fullscreen (GSimpleAction *action,
            GVariant      *parameter,
            gpointer       user_data)
{
  GtkWindow *window = user_data;

  if (gtk_window_is_fullscreen (window))
    gtk_window_unfullscreen (window);
  else
    gtk_window_fullscreen (window);
}

/* A popover of a pane that is still sliding in would hang in the air. What counts is where the pane lies:
 * its progress is a frame ahead of that. */
static gboolean
controls_are_in_sight (StudioWindow *self)
{
  graphene_rect_t bounds;

  return gtk_widget_get_mapped (GTK_WIDGET (self->controls)) &&
         gtk_widget_compute_bounds (GTK_WIDGET (self->controls), GTK_WIDGET (self), &bounds) &&
         bounds.size.width > 0 && bounds.origin.x >= 0 &&
         bounds.origin.x + bounds.size.width <= gtk_widget_get_width (GTK_WIDGET (self));
}

static gboolean
open_when_in_sight (GtkWidget     *widget,
                    GdkFrameClock *clock,
                    gpointer       user_data)
{
  StudioWindow *self = STUDIO_WINDOW (widget);

  if (!adw_flap_get_reveal_flap (self->controls_flap))
    return G_SOURCE_REMOVE;
  if (!controls_are_in_sight (self))
    return G_SOURCE_CONTINUE;
  studio_controls_open_classes (self->controls);
  return G_SOURCE_REMOVE;
}

void
_studio_window_open_classes (StudioWindow *self)
{
  adw_flap_set_reveal_flap (self->controls_flap, TRUE);
  if (controls_are_in_sight (self))
    studio_controls_open_classes (self->controls);
  else
    gtk_widget_add_tick_callback (GTK_WIDGET (self), open_when_in_sight, NULL, NULL);
}

static void
find_class (GSimpleAction *action,
            GVariant      *parameter,
            gpointer       user_data)
{
  _studio_window_open_classes (user_data);
}

static void
toggle_metadata (GSimpleAction *action,
                 GVariant      *parameter,
                 gpointer       user_data)
{
  StudioWindow *self = user_data;

  studio_details_toggle_text (self->details);
}

/* --- Registration --- */

static const GActionEntry entries[] = {
  { "generate", generate },
  { "generate-front", generate_front },
  { "use-cpu", use_cpu },
  { "stop", stop },
  { "run", run },
  { "clear-queue", clear_queue },
  { "reuse-seed", reuse_seed },
  { "reuse-settings", reuse_settings },
  { "remix", remix },
  { "save-as", save_as },
  { "copy", copy },
  { "star", star },
  { "trash", trash },
  { "open-folder", open_folder },
  { "open-model", open_model },
  { "open-model-folder", open_model_folder },
  { "load-model", load_model, "s" },
  { "show-models", show_models },
  { "cancel-loading", cancel_loading },
  { "zoom-fit", zoom_fit },
  { "zoom-original", zoom_original },
  { "zoom-in", zoom_in },
  { "zoom-out", zoom_out },
  { "fullscreen", fullscreen },
  { "find-class", find_class },
  { "toggle-metadata", toggle_metadata },
};

void
_studio_window_class_add_keys (GtkWidgetClass *widget_class)
{
  static const struct
  {
    guint key;
    GdkModifierType modifiers;
    const char *action;
  } keys[] = {
    { GDK_KEY_x, GDK_SHIFT_MASK, "win.stop" },
    { GDK_KEY_X, GDK_SHIFT_MASK, "win.stop" },
    { GDK_KEY_s, 0, "win.reuse-seed" },
    { GDK_KEY_a, 0, "win.reuse-settings" },
    { GDK_KEY_r, 0, "win.remix" },
    { GDK_KEY_i, 0, "win.show-details" },
    { GDK_KEY_m, 0, "win.toggle-metadata" },
    { GDK_KEY_period, 0, "win.star" },
    { GDK_KEY_Delete, 0, "win.trash" },
    { GDK_KEY_KP_Delete, 0, "win.trash" },
    { GDK_KEY_c, GDK_CONTROL_MASK, "win.copy" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    gtk_widget_class_add_binding_action (widget_class, keys[i].key, keys[i].modifiers, keys[i].action, NULL);
}

void
_studio_window_add_actions (StudioWindow *self)
{
  g_autoptr(GAction) smooth = g_settings_create_action (studio_settings_get (), "canvas-smooth");
  g_autoptr(GPropertyAction) controls = g_property_action_new ("show-controls", self->controls_flap, "reveal-flap");
  g_autoptr(GPropertyAction) details = g_property_action_new ("show-details", self->details_flap, "reveal-flap");

  g_action_map_add_action_entries (G_ACTION_MAP (self), entries, G_N_ELEMENTS (entries), self);
  g_action_map_add_action (G_ACTION_MAP (self), smooth);
  g_action_map_add_action (G_ACTION_MAP (self), G_ACTION (controls));
  g_action_map_add_action (G_ACTION_MAP (self), G_ACTION (details));
}

static void
enable (StudioWindow *self,
        const char   *name,
        gboolean      enabled)
{
  GAction *action = g_action_map_lookup_action (G_ACTION_MAP (self), name);

  g_simple_action_set_enabled (G_SIMPLE_ACTION (action), enabled);
}

void
_studio_window_update_actions (StudioWindow *self)
{
  StudioPicture *picture = studio_generate_view_get_picture (self->view);
  g_autoptr(DimrRecipe) recipe = dup_focused_recipe (self);
  gboolean has_model = self->engine && dimr_engine_get_model (self->engine);
  gboolean is_empty = studio_canvas_get_n_cells (studio_generate_view_get_canvas (self->view)) == 0;
  GListModel *queue = self->engine ? dimr_engine_get_queue (self->engine) : NULL;

  enable (self, "generate", has_model);
  enable (self, "generate-front", has_model);
  enable (self, "run", has_model);
  enable (self, "use-cpu", self->engine && dimr_engine_is_device_lost (self->engine));
  enable (self, "stop", self->engine && dimr_engine_get_current_job (self->engine) != NULL);
  enable (self, "clear-queue", queue && g_list_model_get_n_items (queue) > 0);
  enable (self, "reuse-seed", recipe != NULL);
  enable (self, "reuse-settings", recipe != NULL);
  enable (self, "remix", recipe != NULL);
  enable (self, "save-as", picture && studio_picture_peek_image (picture));
  enable (self, "copy", picture && studio_picture_peek_image (picture));
  enable (self, "star", picture != NULL);
  /* A file from elsewhere that was only opened here is not ours to delete. */
  enable (self, "trash", picture && picture == studio_filmstrip_get_selected (studio_generate_view_get_filmstrip (self->view)));
  enable (self, "zoom-fit", !is_empty);
  enable (self, "zoom-original", !is_empty);
  enable (self, "zoom-in", !is_empty);
  enable (self, "zoom-out", !is_empty);
  enable (self, "cancel-loading", self->loading != NULL);
}
