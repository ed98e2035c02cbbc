/* studio-controls-private.h — shared by the parts of StudioControls
 *
 *   studio-controls.c           what is set now, and what follows from it
 *   studio-controls-settings.c  keeping it from one start to the next
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "ui/studio-class-picker.h"
#include "ui/studio-controls.h"
#include "ui/studio-guidance-curve.h"
#include "ui/studio-number-row.h"
#include "ui/studio-run-button.h"
#include "ui/studio-sampler-row.h"
#include "ui/studio-seed-row.h"

G_BEGIN_DECLS

struct _StudioControls
{
  GtkBox parent_instance;

  StudioClassPicker *picker;
  StudioNumberRow *guidance_row;
  GtkDropDown *kind_dropdown;
  GtkCheckButton *channels_check; /* shows where the model was released with some channels guided only */
  GtkRevealer *cosine_revealer;
  StudioGuidanceCurve *curve;
  StudioNumberRow *power_row;
  StudioNumberRow *steps_row;
  GtkToggleButton *draft_button;
  GtkToggleButton *normal_button;
  GtkToggleButton *paper_button;
  StudioSamplerRow *sampler_row;
  StudioSeedRow *seed_row;
  StudioNumberRow *images_row;
  GtkExpander *more;
  StudioNumberRow *batch_row;
  GtkDropDown *grid_dropdown;
  GtkDropDown *precision_dropdown;
  GtkDropDown *micro_batch_dropdown;
  GtkSwitch *previews_switch;
  GtkExpander *faster;
  GtkSwitch *skip_switch;
  GtkLabel *skip_label;
  StudioNumberRow *reuse_row;
  GtkLabel *summary;
  StudioRunButton *button;
  GtkWidget *queue_button;

  DimrModel *model;
  char *device_name; /* what computes now; NULL until known */
  guint guided_channels;   /* what channels_check stands for; 0: it does not show */
  guint other_micro_batch; /* one that the list does not have, as its last item; 0: none */
  gboolean loading; /* widgets take over stored values: nothing is to be stored */
};

/* studio-controls.c */
DimrGuidance    _studio_controls_get_guidance        (StudioControls *self);
guint           _studio_controls_get_steps           (StudioControls *self);
/* 0: the device's. */
guint           _studio_controls_get_micro_batch     (StudioControls *self);
void            _studio_controls_set_micro_batch     (StudioControls *self,
                                                      guint           micro_batch);
DimrPrecision   _studio_controls_get_precision       (StudioControls *self);
void            _studio_controls_set_precision       (StudioControls *self,
                                                      DimrPrecision   precision);
void            _studio_controls_set_guided_channels (StudioControls *self,
                                                      guint           channels);
/* Everything that follows from the values. */
void            _studio_controls_update              (StudioControls *self);

/* studio-controls-settings.c */
DimrGuidance    _studio_controls_get_default_guidance (StudioControls *self);
void            _studio_controls_store               (StudioControls *self);
void            _studio_controls_load                (StudioControls *self);

G_END_DECLS
