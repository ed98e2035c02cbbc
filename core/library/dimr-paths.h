/* dimr-paths.h — where the program's own data lie, installed or not
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Overrides the data folder: for packages that are moved, and for tests. */
#define DIMR_DATA_DIR_VARIABLE "DIMR_DATA_DIR"

/* The folder of the bundled model: `models/starter` in the first of $DIMR_DATA_DIR, the installed
 * data folder, and the `data` folder of the sources that has it (transfer full). NULL where none has. */
char    *dimr_paths_dup_default_model (void);
/* A file or folder of the data folders, by the same rule: @name is a path inside them (transfer full, nullable). */
char    *dimr_paths_find_data         (const char *name);
/* Whether the program that runs lies in the build folder: then everything of it is taken from there, never from an
 * older installation. */
gboolean dimr_paths_is_uninstalled    (void);

G_END_DECLS
