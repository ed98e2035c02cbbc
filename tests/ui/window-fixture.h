/* window-fixture.h — a real window with the bundled model, in a folder of its own
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "app/studio-application.h"
#include "tests/ui/studio-test.h"
#include "ui/studio-class-picker.h"
#include "ui/studio-number-row.h"
#include "ui/studio-window-private.h"

G_BEGIN_DECLS

/* Room for a slow machine that does several things at once. */
#define PATIENCE 60.0

typedef struct
{
  StudioWindow *window;
  char *folder;
} Fixture;

/* The program of all tests of a process: made by window_fixture_main(). */
StudioApplication *window_fixture_get_application (void);
/* To be called from main(): @add lists the tests. */
int                window_fixture_main            (int    argc,
                                                   char **argv,
                                                   void (*add) (void));
void               window_fixture_add             (const char *path,
                                                   void      (*test) (Fixture *, gconstpointer));

/* Conditions for studio_test_wait(); @window is a StudioWindow. */
gboolean           has_model                      (gpointer window);
gboolean           is_idle                        (gpointer window);
gboolean           has_preview                    (gpointer window);
gboolean           has_picture                    (gpointer window);
gboolean           folder_was_checked             (gpointer window);

StudioNumberRow   *number_row                     (StudioWindow *window,
                                                   const char   *name);
StudioClassPicker *class_picker                   (StudioWindow *window);
GtkButton         *generate_button                (StudioWindow *window);
/* One picture of so many steps, from the click until it is shown. */
void               generate_one                   (StudioWindow *window,
                                                   guint         steps);
guint              count_pngs                     (const char   *folder);

G_END_DECLS
