/* studio-picture.h — a finished picture: what the film strip lists and the details tell about
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_PICTURE (studio_picture_get_type ())
G_DECLARE_FINAL_TYPE (StudioPicture, studio_picture, STUDIO, PICTURE, GObject)

#define STUDIO_THUMBNAIL_SIZE 128

/* Properties that notify: "starred", "thumbnail". @image may be NULL for a file whose pixels are to be read
 * when they are looked at, and @thumbnail and @recipe with it for one that was not read at all; @recipe may be NULL for a picture that somebody else made. @path may be NULL for
 * one that was not saved. Any thread. */
StudioPicture    *studio_picture_new             (DimrImage        *image,
                                                  GdkTexture       *thumbnail,
                                                  const DimrRecipe *recipe,
                                                  const char       *path);
DimrImage        *studio_picture_peek_image      (StudioPicture    *self);   /* nullable */
/* What was read from its file; @recipe may be NULL, and is taken where the picture has none yet. */
void              studio_picture_set_image       (StudioPicture    *self,
                                                  DimrImage        *image,
                                                  const DimrRecipe *recipe);
/* Lets an image go that can be read again. */
void              studio_picture_release_image   (StudioPicture    *self);
GdkTexture       *studio_picture_get_thumbnail   (StudioPicture    *self);   /* transfer none, nullable */
/* NULL lets it go. */
void              studio_picture_set_thumbnail   (StudioPicture    *self,
                                                  GdkTexture       *thumbnail,
                                                  const DimrRecipe *recipe);
const DimrRecipe *studio_picture_peek_recipe     (StudioPicture    *self);   /* nullable */
const char       *studio_picture_peek_path       (StudioPicture    *self);   /* nullable */
/* "lion, seed 7", or the file's name (transfer full). */
char             *studio_picture_dup_title       (StudioPicture    *self);
gboolean          studio_picture_get_starred     (StudioPicture    *self);
/* Remembered by path. Main thread. */
void              studio_picture_set_starred     (StudioPicture    *self,
                                                  gboolean          starred);
/* Seconds that its batch took a step; 0 where unknown. */
double            studio_picture_get_step_time   (StudioPicture    *self);
void              studio_picture_set_step_time   (StudioPicture    *self,
                                                  double            seconds);

/* Lists the pictures of @folder in a thread, newest first, without reading them; a folder that does not
 * exist yet has none. Finish gives a GPtrArray of StudioPicture (transfer full). */
void              studio_pictures_read_async     (const char           *folder,
                                                  GCancellable         *cancellable,
                                                  GAsyncReadyCallback   callback,
                                                  gpointer              user_data);
GPtrArray        *studio_pictures_read_finish    (GAsyncResult         *result,
                                                  GError              **error);

G_END_DECLS
