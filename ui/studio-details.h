/* studio-details.h — what is known about the picture that is looked at, and about the model
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "ui/studio-picture.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_DETAILS (studio_details_get_type ())
G_DECLARE_FINAL_TYPE (StudioDetails, studio_details, STUDIO, DETAILS, GtkBox)

/* NULL: says that there is no picture yet. */
void studio_details_show_picture (StudioDetails *self,
                                  StudioPicture *picture);
/* A picture that is still forming; to be called again for each change of @job. */
void studio_details_show_job     (StudioDetails *self,
                                  DimrJob       *job,
                                  guint          index);
void studio_details_set_model    (StudioDetails *self,
                                  DimrModel     *model);
/* Unfolds the settings as text, or folds them up again. */
void studio_details_toggle_text  (StudioDetails *self);

G_END_DECLS
