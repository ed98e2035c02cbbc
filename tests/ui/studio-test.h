/* studio-test.h — what the tests of the window share: waiting, finding, looking
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <adwaita.h>

G_BEGIN_DECLS

typedef gboolean (*StudioCondition) (gpointer data);

/* GTK, the program's types and its backends; settings in memory. */
void        studio_test_init      (int             *argc,
                                   char          ***argv);
/* Runs the main loop until @condition holds; the test fails after @seconds. */
void        studio_test_wait      (StudioCondition  condition,
                                   gpointer         data,
                                   double           seconds);
/* Runs the main loop until it has nothing more to do. */
void        studio_test_settle    (void);
/* Runs the main loop for a while. */
void        studio_test_sleep     (guint            milliseconds);
/* What the widget looks like now (transfer full). */
GdkTexture *studio_test_render    (GtkWidget       *widget);
/* Straight RGBA bytes, rows without gaps (transfer full). */
GBytes     *studio_test_pixels    (GdkTexture      *texture);
/* Keeps a picture of the widget in the build folder, for people to look at. */
void        studio_test_keep      (GtkWidget       *widget,
                                   const char      *name);
/* The first descendant of that type, in the order of the tree (transfer none, nullable). */
GtkWidget  *studio_test_find      (GtkWidget       *root,
                                   GType            type);
/* The button with that accessible label (transfer none, nullable). */
GtkWidget  *studio_test_find_named (GtkWidget      *root,
                                   const char      *label);
/* The template child of that name of @widget, whose type is @type (transfer none). */
gpointer    studio_test_child     (gpointer         widget,
                                   GType            type,
                                   const char      *name);
/* Controls under @widget that a screen reader could not name; each is told in the log. */
guint       studio_test_count_unnamed (GtkWidget   *widget);
/* An empty folder for one test (transfer full), and its end. */
char       *studio_test_make_folder   (void);
void        studio_test_remove_folder (const char  *folder);

G_END_DECLS
