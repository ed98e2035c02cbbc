/* studio-controls.h — everything that describes the next pictures, and the button that makes them
 *
 * What is set here is stored at once and comes back at the next start; a value that equals the
 * model's default is stored as "the default", so that another model brings its own.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_CONTROLS (studio_controls_get_type ())
G_DECLARE_FINAL_TYPE (StudioControls, studio_controls, STUDIO, CONTROLS, GtkBox)

typedef enum
{
  STUDIO_RECIPE_SEED = 1 << 0,
  STUDIO_RECIPE_SETTINGS = 1 << 1, /* class, guidance, steps, sampler, precision, what is faster */
  STUDIO_RECIPE_ALL = STUDIO_RECIPE_SEED | STUDIO_RECIPE_SETTINGS,
} StudioRecipeParts;

/* Takes over the model's defaults and what it was trained on; NULL: none is loaded. */
void         studio_controls_set_model     (StudioControls    *self,
                                            DimrModel         *model);
/* What computes now: a recipe's images per evaluation are taken over only where it made the picture, and
 * float8 is offered only where it has that. */
void         studio_controls_set_device    (StudioControls    *self,
                                            const char        *name,
                                            gboolean           has_float8);
/* What is set, with the seed drawn where it is −1; without an output folder (transfer full).
 * NULL where an entry is no good: it has the focus then and says why. */
DimrRequest *studio_controls_dup_request   (StudioControls    *self);
/* The first class set, by name, for a sentence; NULL where there is none (transfer none). */
const char  *studio_controls_peek_subject  (StudioControls    *self);
void         studio_controls_apply_recipe  (StudioControls    *self,
                                            const DimrRecipe  *recipe,
                                            StudioRecipeParts  parts);
/* Everything that apply_recipe may change, for undoing it (transfer full). */
GVariant    *studio_controls_dup_state     (StudioControls    *self);
void         studio_controls_set_state     (StudioControls    *self,
                                            GVariant          *state);
/* The seed that a run has taken: what the lock keeps. */
void         studio_controls_set_used_seed (StudioControls    *self,
                                            guint64            seed);
/* @job: turns the button into Stop with the step count; NULL: back into Generate. */
void         studio_controls_show_job      (StudioControls    *self,
                                            DimrJob           *job);
void         studio_controls_focus_button  (StudioControls    *self);
void         studio_controls_open_classes  (StudioControls    *self);

G_END_DECLS
