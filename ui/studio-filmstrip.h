/* studio-filmstrip.h — finished pictures in a row, the newest at the left
 *
 * Arrow keys move, the picture moved to is shown. "selected" notifies when the user or
 * studio_filmstrip_select() chooses another picture.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "ui/studio-picture.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_FILMSTRIP (studio_filmstrip_get_type ())
G_DECLARE_FINAL_TYPE (StudioFilmstrip, studio_filmstrip, STUDIO, FILMSTRIP, GtkWidget)

StudioPicture *studio_filmstrip_get_selected (StudioFilmstrip *self);   /* transfer none, nullable */
/* NULL, or a picture that is not here: nothing is selected. */
void           studio_filmstrip_select       (StudioFilmstrip *self,
                                              StudioPicture   *picture);
/* At the left. */
void           studio_filmstrip_prepend      (StudioFilmstrip *self,
                                              StudioPicture   *picture);
/* Where it was before; G_MAXUINT appends. */
void           studio_filmstrip_insert       (StudioFilmstrip *self,
                                              guint            position,
                                              StudioPicture   *picture);
/* Its position, for putting it back; G_MAXUINT where it is not here. The one that takes its place is selected. */
guint          studio_filmstrip_remove       (StudioFilmstrip *self,
                                              StudioPicture   *picture);
guint          studio_filmstrip_get_n        (StudioFilmstrip *self);
void           studio_filmstrip_clear        (StudioFilmstrip *self);
/* @pictures: of StudioPicture with a path each. Those whose path is here already are left out. */
void           studio_filmstrip_append_new   (StudioFilmstrip *self,
                                              GPtrArray       *pictures);

G_END_DECLS
