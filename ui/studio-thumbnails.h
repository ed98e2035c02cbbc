/* studio-thumbnails.h — thumbnails of files, read as they come into sight and let go long after
 *
 * A folder may hold more pictures than fit into memory, and one that is opened is looked at in its
 * newest few. So a picture is only a path until somebody wants to see it. Main thread.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "ui/studio-picture.h"

G_BEGIN_DECLS

typedef struct _StudioThumbnails StudioThumbnails;

/* Called for a file that turns out to be no picture. */
typedef void (*StudioThumbnailsUnreadable) (StudioPicture *picture,
                                            gpointer       user_data);

StudioThumbnails *studio_thumbnails_new    (StudioThumbnailsUnreadable  unreadable,
                                            gpointer                    user_data);
void              studio_thumbnails_free   (StudioThumbnails           *self);
/* Reads @picture's file in a thread, before those that were wanted earlier: what was asked for last is
 * what is looked at now. "thumbnail" notifies. */
void              studio_thumbnails_want   (StudioThumbnails           *self,
                                            StudioPicture              *picture);
/* It went out of sight. */
void              studio_thumbnails_forget (StudioThumbnails           *self,
                                            StudioPicture              *picture);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StudioThumbnails, studio_thumbnails_free)

G_END_DECLS
