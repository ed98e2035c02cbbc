/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-pace.h"

void
dimr_pace_add_steps (DimrPace *self,
                     guint     n,
                     double    seconds)
{
  self->steps_done += n;
  self->step_seconds += seconds;
}

void
dimr_pace_add_picture (DimrPace *self,
                       double    seconds)
{
  self->pictures_done++;
  self->picture_seconds += seconds;
}

double
dimr_pace_get_step_seconds (const DimrPace *self)
{
  return self->steps_done > 0 ? self->step_seconds / (double) self->steps_done : 0;
}

static double
get_picture_seconds (const DimrPace *self)
{
  if (self->pictures_done > 0)
    return self->picture_seconds / (double) self->pictures_done;
  return self->steps_a_picture * dimr_pace_get_step_seconds (self);
}

double
dimr_pace_get_seconds_left (const DimrPace *self)
{
  return dimr_pace_get_step_seconds (self) * (double) (self->n_steps - self->steps_done) +
         get_picture_seconds (self) * (double) (self->n_pictures - self->pictures_done);
}

double
dimr_pace_advance (DimrPace *self)
{
  const double done = self->step_seconds + self->picture_seconds, left = dimr_pace_get_seconds_left (self);

  /* A picture may turn out to cost more than was guessed. */
  if (done > 0)
    self->fraction = MAX (self->fraction, done / (done + left));
  return self->fraction;
}
