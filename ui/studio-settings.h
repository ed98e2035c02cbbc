/* studio-settings.h — the stored settings, and what they stand for
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* The program's settings; one object, made on first use (transfer none). Main thread. */
GSettings *studio_settings_get               (void);
/* Where pictures go: the setting, or "DiMR Studio" in the user's picture folder (transfer full). */
char      *studio_settings_dup_output_folder (void);
/* Moves @value to the front of a list of strings or of int32s, keeping at most @limit. */
void       studio_settings_prepend_string    (const char *key,
                                              const char *value,
                                              guint       limit);
void       studio_settings_prepend_int       (const char *key,
                                              int         value,
                                              guint       limit);
void       studio_settings_remove_int        (const char *key,
                                              int         value);
/* (transfer full): GArray of int */
GArray    *studio_settings_dup_ints          (const char *key);
void       studio_settings_set_ints          (const char *key,
                                              const int  *values,
                                              guint       n);

G_END_DECLS
