/* dimr-pace.h — how far a job is, and how long it will take
 *
 * A job is steps of images, and pictures to be finished: decoded, encoded as PNG, written. What a step and
 * a picture cost is measured as they pass; the first picture's cost is guessed from its arithmetic.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  guint64 n_steps;         /* of all images together */
  guint64 n_pictures;
  double  steps_a_picture; /* what finishing a picture costs, in steps of one image, as long as none was finished */
  guint64 steps_done;
  guint64 pictures_done;
  double  step_seconds;    /* of all steps done */
  double  picture_seconds; /* of all pictures done */
  double  fraction;        /* that was told last: it never falls */
} DimrPace;

void   dimr_pace_add_steps        (DimrPace       *self,
                                   guint           n,
                                   double          seconds);
void   dimr_pace_add_picture      (DimrPace       *self,
                                   double          seconds);
/* Of the whole work, 0 … 1. */
double dimr_pace_advance          (DimrPace       *self);
/* 0 before the first step. */
double dimr_pace_get_step_seconds (const DimrPace *self);
double dimr_pace_get_seconds_left (const DimrPace *self);

G_END_DECLS
