/* engine-fixture.h — an engine with the starter model, and jobs that are watched
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/dimr.h"

G_BEGIN_DECLS

/* What a test saw of one job. */
typedef struct
{
  guint changed;
  guint images;
  guint finished;
  guint previews;
  guint stop_after; /* cancel at this step; 0: never */
  DimrEngine *engine;
  GMainLoop *loop;
} Seen;

void         watch                (DimrJob           *job,
                                   Seen              *seen);
/* Loads a model and waits for it. */
DimrModel   *load                 (DimrEngine        *engine,
                                   const char        *path,
                                   GError           **error);
DimrEngine  *new_engine_on        (const char        *device);
DimrEngine  *new_engine           (void);   /* on the CPU */
/* @n classes the model knows, one image each. */
DimrRequest *new_request          (DimrEngine        *engine,
                                   guint              n);
/* Submits, and waits for the end. */
DimrJob     *run                  (DimrEngine        *engine,
                                   const DimrRequest *request,
                                   Seen              *seen);
void         assert_same_pictures (DimrJob           *a,
                                   DimrJob           *b,
                                   guint              n);

G_END_DECLS
