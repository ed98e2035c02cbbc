/* train-fixture.h — folders for the tests of training
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A new folder (transfer full). */
char *train_make_folder (void);
/* Removes it and everything below. */
void  train_remove_tree (const char *folder);

G_END_DECLS
