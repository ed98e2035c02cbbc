/* studio-window-jobs.c — requests in, events out
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "ui/studio-window-private.h"

#include <glib/gi18n.h>

#include "ui/studio-format.h"
#include "ui/studio-settings.h"

/* Who waited longer than this may have gone to do something else. */
#define NOTIFY_AFTER_SECONDS 10

gboolean
_studio_window_is_busy (StudioWindow *self)
{
  /* A job waits for a moment even where nothing runs. */
  return self->engine && (dimr_engine_get_current_job (self->engine) != NULL ||
                          g_list_model_get_n_items (dimr_engine_get_queue (self->engine)) > 0);
}

static void
update_progress (StudioWindow *self,
                 DimrJob      *job)
{
  g_autofree char *title = NULL;

  gtk_widget_set_visible (GTK_WIDGET (self->progress), job != NULL);
  if (job)
    {
      g_autofree char *subject = studio_format_classes (dimr_job_peek_request (job));

      gtk_progress_bar_set_fraction (self->progress, dimr_job_get_fraction (job));
      /* Translators: the window's title during a run: per cent done, class. */
      title = g_strdup_printf (_("%.0f %% · %s – DiMR Studio"), dimr_job_get_fraction (job) * 100, subject);
    }
  gtk_window_set_title (GTK_WINDOW (self), title ? title : "DiMR Studio");
}

static void
show_in_buttons (StudioWindow *self,
                 DimrJob      *job)
{
  studio_controls_show_job (self->controls, job);
  studio_run_button_show_job (studio_generate_view_get_run_button (self->view), job);
}

static void
update_status (StudioWindow *self,
               DimrJob      *job)
{
  g_autoptr(GString) text = g_string_new (NULL);
  guint n_images = dimr_job_get_n_images (job);

  if (dimr_job_is_decoding (job))
    g_string_append (text, _("Decoding…"));
  else if (dimr_job_get_n_steps (job) > 0)
    g_string_append_printf (text, _("Step %u of %u"), dimr_job_get_step (job), dimr_job_get_n_steps (job));
  else
    g_string_append (text, _("Starting…"));
  if (n_images > 1)
    {
      g_string_append (text, " · ");
      g_string_append_printf (text, _("%u of %u pictures done"), dimr_job_get_n_images_done (job), n_images);
    }
  if (dimr_job_get_seconds_per_step (job) > 0)
    {
      g_autofree char *step = studio_format_seconds (dimr_job_get_seconds_per_step (job));
      g_autofree char *left = studio_format_seconds (dimr_job_get_seconds_left (job));

      g_string_append (text, " · ");
      g_string_append_printf (text, _("%s a step"), step);
      g_string_append (text, " · ");
      /* Translators: the time that is left. */
      g_string_append_printf (text, _("%s left"), left);
    }
  studio_generate_view_set_status (self->view, text->str);
}

/* What a job has to say of how it runs, once. */
static void
tell_note (StudioWindow *self,
           DimrJob      *job)
{
  static const char told[] = "studio-told-note";

  if (!dimr_job_peek_note (job) || g_object_get_data (G_OBJECT (job), told))
    return;
  g_object_set_data (G_OBJECT (job), told, GINT_TO_POINTER (TRUE));
  _studio_window_toast (self, dimr_job_peek_note (job));
}

static void
on_job_changed (DimrJob      *job,
                StudioWindow *self)
{
  tell_note (self, job);
  if (!self->engine || job != dimr_engine_get_current_job (self->engine))
    return;
  update_progress (self, job);
  update_status (self, job);
  show_in_buttons (self, job);
  studio_generate_view_update_job (self->view, job);
}

static void
on_image_done (DimrJob      *job,
               guint         index,
               StudioWindow *self)
{
  g_autoptr(DimrRecipe) recipe = dimr_job_dup_recipe (job, index);
  g_autoptr(StudioPicture) picture = NULL;
  DimrImage *image = dimr_job_peek_image (job, index);

  if (!image || !self->engine)
    return;
  /* A short job may be over before the engine was ever seen running it. */
  if (self->follow && !dimr_engine_get_current_job (self->engine))
    studio_generate_view_show_job (self->view, job);
  picture = studio_picture_new (image, NULL, recipe, dimr_job_peek_path (job, index));
  studio_picture_set_step_time (picture, dimr_job_get_seconds_per_step (job));
  studio_generate_view_add_picture (self->view, job, index, picture);
}

static void
notify (StudioWindow *self,
        const char   *title,
        const char   *body)
{
  GtkApplication *application = gtk_window_get_application (GTK_WINDOW (self));
  g_autoptr(GNotification) notification = NULL;

  if (!application || gtk_window_is_active (GTK_WINDOW (self)))
    return;
  notification = g_notification_new (title);
  g_notification_set_body (notification, body);
  g_application_send_notification (G_APPLICATION (application), "job", notification);
}

static void
on_job_finished (DimrJob      *job,
                 StudioWindow *self)
{
  gboolean was_long = dimr_job_get_seconds_elapsed (job) > NOTIFY_AFTER_SECONDS;
  g_autofree char *subject = studio_format_classes (dimr_job_peek_request (job));
  guint n = dimr_job_get_n_images_done (job);
  g_autofree char *text = NULL;

  studio_generate_view_update_job (self->view, job);
  switch (dimr_job_get_state (job))
    {
    case DIMR_JOB_DONE:
      {
        g_autofree char *time = studio_format_seconds (dimr_job_get_seconds_elapsed (job));

        /* Translators: how many pictures, and in which time. */
        text = g_strdup_printf (ngettext ("%u picture in %s", "%u pictures in %s", n), n, time);
        if (was_long)
          notify (self, subject, text);
        break;
      }
    case DIMR_JOB_FAILED:
      {
        const GError *error = dimr_job_peek_error (job);

        text = g_strdup (_("The job failed."));
        if (error)
          {
            /* The banner of the device says the same, and what to do. */
            if (!g_error_matches (error, DIMR_ERROR, DIMR_ERROR_DEVICE_LOST))
              _studio_window_show_error (self, error);
            if (was_long)
              notify (self, _("The job failed."), error->message);
          }
        break;
      }
    default:
      /* Only a run is worth a word; what was cancelled in the queue just goes from there. */
      if (dimr_job_get_step (job) > 0)
        text = g_strdup_printf (_("Stopped at step %u of %u"), dimr_job_get_step (job), dimr_job_get_n_steps (job));
      break;
    }
  if (text)
    studio_generate_view_set_status (self->view, text);
  _studio_window_update_jobs (self);
}

static void
update_inhibit (StudioWindow *self,
                gboolean      busy)
{
  GtkApplication *application = gtk_window_get_application (GTK_WINDOW (self));

  if (!application)
    return;
  if (busy && !self->inhibit_cookie)
    self->inhibit_cookie = gtk_application_inhibit (application, GTK_WINDOW (self), GTK_APPLICATION_INHIBIT_SUSPEND,
                                                    _("Pictures are being made"));
  if (!busy && self->inhibit_cookie)
    {
      gtk_application_uninhibit (application, self->inhibit_cookie);
      self->inhibit_cookie = 0;
    }
}

void
_studio_window_update_jobs (StudioWindow *self)
{
  DimrJob *job = self->engine ? dimr_engine_get_current_job (self->engine) : NULL;

  if (!self->engine)
    return;

  update_inhibit (self, job != NULL);
  update_progress (self, job);
  show_in_buttons (self, job);
  if (job)
    {
      update_status (self, job);
      if (self->follow)
        studio_generate_view_show_job (self->view, job);
    }
  studio_generate_view_set_has_live (self->view, job && !self->follow);
  _studio_window_update (self);
}

void
_studio_window_follow (StudioWindow *self)
{
  self->follow = TRUE;
  _studio_window_update_jobs (self);
}

void
_studio_window_generate (StudioWindow *self,
                         gboolean      front)
{
  DimrModel *model = dimr_engine_get_model (self->engine);
  g_autoptr(DimrRequest) request = NULL;
  g_autofree char *folder = studio_settings_dup_output_folder ();
  g_autoptr(DimrJob) job = NULL;
  g_autoptr(GError) error = NULL;
  gboolean was_busy = _studio_window_is_busy (self);

  /* What is missing explains itself where it is entered, so that has to be seen. */
  if (!adw_flap_get_reveal_flap (self->controls_flap) && model && dimr_model_is_conditional (model) &&
      !studio_controls_peek_subject (self->controls))
    {
      _studio_window_open_classes (self);
      return;
    }
  request = studio_controls_dup_request (self->controls);
  if (!request)
    {
      adw_flap_set_reveal_flap (self->controls_flap, TRUE);
      return;
    }

  /* Without a folder that can be written the pictures can still be looked at and saved elsewhere;
   * the banner tells so. */
  if (self->folder_is_good && g_mkdir_with_parents (folder, 0755) == 0)
    request->output_folder = g_steal_pointer (&folder);
  else
    _studio_window_check_folder (self);

  job = dimr_engine_submit (self->engine, request, front, &error);
  if (!job)
    {
      _studio_window_show_error (self, error);
      return;
    }
  studio_banner_show (self->error_banner, NULL, NULL, NULL);
  studio_controls_set_used_seed (self->controls, request->seed);
  g_signal_connect_object (job, "changed", G_CALLBACK (on_job_changed), self, 0);
  g_signal_connect_object (job, "image-done", G_CALLBACK (on_image_done), self, 0);
  g_signal_connect_object (job, "finished", G_CALLBACK (on_job_finished), self, 0);

  self->follow = TRUE;
  _studio_window_update_jobs (self);
  if (was_busy)
    _studio_window_toast (self, front ? _("Queued at the front") : _("Queued"));
}
