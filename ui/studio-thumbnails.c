/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-thumbnails.h"

#include "ui/studio-texture.h"

#define MAX_RUNNING 2
#define MAX_KEPT 600 /* of 64 KiB at most */

struct _StudioThumbnails
{
  StudioThumbnailsUnreadable unreadable;
  gpointer user_data;
  GQueue wanted; /* of StudioPicture; the latest first */
  GQueue kept;   /* of StudioPicture whose thumbnail came from a file; the latest last */
  guint n_running;
  GCancellable *cancellable;
};

/* What comes back from the thread. */
typedef struct
{
  GdkTexture *thumbnail;
  DimrRecipe *recipe;
} Loaded;

typedef struct
{
  StudioThumbnails *thumbnails; /* gone where the task was cancelled */
  StudioPicture *picture;
} Reading;

static void start (StudioThumbnails *self);

static void
loaded_free (gpointer data)
{
  Loaded *loaded = data;

  g_object_unref (loaded->thumbnail);
  g_clear_pointer (&loaded->recipe, dimr_recipe_free);
  g_free (loaded);
}

StudioThumbnails *
studio_thumbnails_new (StudioThumbnailsUnreadable unreadable,
                       gpointer                   user_data)
{
  StudioThumbnails *self = g_new0 (StudioThumbnails, 1);

  self->unreadable = unreadable;
  self->user_data = user_data;
  self->cancellable = g_cancellable_new ();
  return self;
}

void
studio_thumbnails_free (StudioThumbnails *self)
{
  g_cancellable_cancel (self->cancellable);
  g_object_unref (self->cancellable);
  g_queue_clear_full (&self->wanted, g_object_unref);
  g_queue_clear_full (&self->kept, g_object_unref);
  g_free (self);
}

static void
read_in_thread (GTask        *task,
                gpointer      source,
                gpointer      task_data,
                GCancellable *cancellable)
{
  g_autoptr(DimrRecipe) recipe = NULL;
  g_autoptr(DimrImage) image = NULL;
  GError *error = NULL;
  Loaded *loaded;

  image = dimr_png_load (task_data, &recipe, &error);
  if (!image)
    {
      g_task_return_error (task, error);
      return;
    }
  loaded = g_new0 (Loaded, 1);
  loaded->thumbnail = studio_texture_new_thumbnail (image, STUDIO_THUMBNAIL_SIZE);
  loaded->recipe = g_steal_pointer (&recipe);
  g_task_return_pointer (task, loaded, loaded_free);
}

static void
keep (StudioThumbnails *self,
      StudioPicture    *picture)
{
  g_queue_push_tail (&self->kept, g_object_ref (picture));
  while (g_queue_get_length (&self->kept) > MAX_KEPT)
    {
      g_autoptr(StudioPicture) oldest = g_queue_pop_head (&self->kept);

      /* A cell that shows it keeps its own reference. */
      studio_picture_set_thumbnail (oldest, NULL, NULL);
    }
}

static void
on_read (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  Reading *reading = user_data;
  g_autoptr(StudioPicture) picture = reading->picture;
  StudioThumbnails *self = reading->thumbnails;
  g_autoptr(GError) error = NULL;
  Loaded *loaded = g_task_propagate_pointer (G_TASK (result), &error);

  g_free (reading);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  self->n_running--;
  if (loaded)
    {
      studio_picture_set_thumbnail (picture, loaded->thumbnail, loaded->recipe);
      keep (self, picture);
      loaded_free (loaded);
    }
  else
    {
      self->unreadable (picture, self->user_data);
    }
  start (self);
}

static void
start (StudioThumbnails *self)
{
  while (self->n_running < MAX_RUNNING && !g_queue_is_empty (&self->wanted))
    {
      Reading *reading = g_new0 (Reading, 1);
      g_autoptr(GTask) task = NULL;

      reading->thumbnails = self;
      reading->picture = g_queue_pop_head (&self->wanted);
      task = g_task_new (NULL, self->cancellable, on_read, reading);
      g_task_set_source_tag (task, studio_thumbnails_want);
      g_task_set_task_data (task, g_strdup (studio_picture_peek_path (reading->picture)), g_free);
      self->n_running++;
      g_task_run_in_thread (task, read_in_thread);
    }
}

void
studio_thumbnails_want (StudioThumbnails *self,
                        StudioPicture    *picture)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (STUDIO_IS_PICTURE (picture));

  if (studio_picture_get_thumbnail (picture) || !studio_picture_peek_path (picture))
    return;
  studio_thumbnails_forget (self, picture);
  g_queue_push_head (&self->wanted, g_object_ref (picture));
  start (self);
}

void
studio_thumbnails_forget (StudioThumbnails *self,
                          StudioPicture    *picture)
{
  g_return_if_fail (self != NULL);
  if (g_queue_remove (&self->wanted, picture))
    g_object_unref (picture);
}
