/* studio-generate-view.h — the page on which pictures are made and looked at
 *
 * Canvas, status line, film strip. The canvas shows either a job, whose pictures form in it, or
 * one finished picture chosen in the strip; "what is looked at" is the selected cell of the one
 * or the other.
 *
 * Signals: "focus-changed" (another picture, or another state of it, is looked at), "picked" (the
 * user chose a picture in the strip), "live-clicked" (the user wants to see the running job again).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "ui/studio-canvas.h"
#include "ui/studio-filmstrip.h"
#include "ui/studio-run-button.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_GENERATE_VIEW (studio_generate_view_get_type ())
G_DECLARE_FINAL_TYPE (StudioGenerateView, studio_generate_view, STUDIO, GENERATE_VIEW, GtkBox)

StudioCanvas    *studio_generate_view_get_canvas    (StudioGenerateView *self);   /* transfer none */
StudioFilmstrip *studio_generate_view_get_filmstrip (StudioGenerateView *self);   /* transfer none */

/* Below the canvas: for whoever shows it while the controls are hidden (transfer none). */
StudioRunButton *studio_generate_view_get_run_button (StudioGenerateView *self);

/* Shows @job from its first preview on; until then the canvas keeps what it has. */
void             studio_generate_view_show_job      (StudioGenerateView *self,
                                                     DimrJob            *job);
/* Takes over what is new in @job, where that is the one shown. */
void             studio_generate_view_update_job    (StudioGenerateView *self,
                                                     DimrJob            *job);
/* Adds the finished picture @index of @job to the strip, and to the canvas where the job is shown. */
void             studio_generate_view_add_picture   (StudioGenerateView *self,
                                                     DimrJob            *job,
                                                     guint               index,
                                                     StudioPicture      *picture);
/* Reads the pixels in a thread where they are not there yet. NULL empties the canvas. */
void             studio_generate_view_show_picture  (StudioGenerateView *self,
                                                     StudioPicture      *picture);

/* The finished picture that is looked at; NULL for none or one that is still forming (transfer none). */
StudioPicture   *studio_generate_view_get_picture   (StudioGenerateView *self);
/* The job that is shown, and which of its pictures is looked at; NULL for none (transfer none). */
DimrJob         *studio_generate_view_get_job       (StudioGenerateView *self,
                                                     guint              *index);

/* One sentence on the empty canvas. */
void             studio_generate_view_set_hint      (StudioGenerateView *self,
                                                     const char         *hint);
void             studio_generate_view_set_status    (StudioGenerateView *self,
                                                     const char         *status);
/* Whether a job runs that is not looked at. */
void             studio_generate_view_set_has_live  (StudioGenerateView *self,
                                                     gboolean            has_live);

G_END_DECLS
