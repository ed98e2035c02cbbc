/* studio-window-private.h — shared by the parts of StudioWindow
 *
 *   studio-window.c           building, settings, title and banners
 *   studio-window-actions.c   what the group "win" can do
 *   studio-window-jobs.c      requests in, events out
 *   studio-window-models.c    loading models
 *   studio-window-files.c     saving, copying and deleting pictures
 *   studio-window-dnd.c       what is dropped on the window
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "ui/studio-banner.h"
#include "ui/studio-controls.h"
#include "ui/studio-details.h"
#include "ui/studio-generate-view.h"
#include "ui/studio-model-button.h"
#include "ui/studio-queue-button.h"
#include "ui/studio-window.h"

G_BEGIN_DECLS

struct _StudioWindow
{
  AdwApplicationWindow parent_instance;

  AdwToastOverlay *toasts;
  AdwViewStack *stack;
  AdwViewSwitcherTitle *title;
  GtkToggleButton *controls_button;
  GtkToggleButton *details_button;
  GtkMenuButton *menu_button;
  StudioModelButton *model_button;
  StudioQueueButton *queue_button;
  GtkProgressBar *progress;
  StudioBanner *error_banner;
  StudioBanner *device_banner;
  StudioBanner *folder_banner;
  AdwFlap *controls_flap;
  AdwFlap *details_flap;
  StudioControls *controls;
  StudioGenerateView *view;
  StudioDetails *details;
  GtkWidget *drop_overlay;

  DimrEngine *engine;
  GCancellable *loading;        /* a model is being loaded */
  GCancellable *listing;        /* the output folder is being read */
  gboolean started;             /* a model was loaded once */
  gboolean follow;              /* the canvas goes to the job that begins next */
  gboolean folder_is_good;
  gboolean closing;             /* the user has said that running jobs may be stopped */
  guint inhibit_cookie;
  AdwToast *passing_toast;      /* unowned: the one that only tells something, while it is there */
  GQueue trash;                 /* of Trashed: still to be undone */
  AdwToast *trash_toast;        /* unowned: its Undo is for all of them */
  guint trash_timeout;          /* takes it away */
};

/* studio-window.c */
/* Something that passes, and is said once however often it happens meanwhile. */
void     _studio_window_toast             (StudioWindow      *self,
                                           const char        *text);
/* @error: a sentence for the user; G_IO_ERROR_CANCELLED is passed over. */
void     _studio_window_show_error        (StudioWindow      *self,
                                           const GError      *error);
void     _studio_window_update            (StudioWindow      *self);

/* studio-window-actions.c */
void     _studio_window_class_add_keys    (GtkWidgetClass    *widget_class);
void     _studio_window_add_actions       (StudioWindow      *self);
void     _studio_window_update_actions    (StudioWindow      *self);
/* The list of classes, after the controls have come into sight. */
void     _studio_window_open_classes      (StudioWindow      *self);
void     _studio_window_apply_recipe      (StudioWindow      *self,
                                           const DimrRecipe  *recipe,
                                           StudioRecipeParts  parts,
                                           const char        *message);

/* studio-window-jobs.c */
void     _studio_window_set_engine        (StudioWindow      *self,
                                           DimrEngine        *engine);
void     _studio_window_generate          (StudioWindow      *self,
                                           gboolean           front);
void     _studio_window_follow            (StudioWindow      *self);
void     _studio_window_update_jobs       (StudioWindow      *self);
/* A job runs or waits. */
gboolean _studio_window_is_busy           (StudioWindow      *self);

/* studio-window-models.c */
void     _studio_window_load_first_model  (StudioWindow      *self);
void     _studio_window_load_model        (StudioWindow      *self,
                                           const char        *path);
void     _studio_window_choose_model      (StudioWindow      *self,
                                           gboolean           folder);

/* studio-window-files.c */
void     _studio_window_read_folder       (StudioWindow      *self);
void     _studio_window_check_folder      (StudioWindow      *self);
void     _studio_window_choose_save       (StudioWindow      *self);
void     _studio_window_copy              (StudioWindow      *self);
void     _studio_window_trash             (StudioWindow      *self);
/* Everything that could still be undone goes to the trash now. */
void     _studio_window_empty_trash       (StudioWindow      *self);

/* studio-window-dnd.c */
void     _studio_window_add_drop_target   (StudioWindow      *self);

G_END_DECLS
