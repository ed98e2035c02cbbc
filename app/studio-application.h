/* studio-application.h — the application: its window, its keys, its dialogs
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <adwaita.h>

G_BEGIN_DECLS

#define STUDIO_TYPE_APPLICATION (studio_application_get_type ())
G_DECLARE_FINAL_TYPE (StudioApplication, studio_application, STUDIO, APPLICATION, AdwApplication)

/* @flags: G_APPLICATION_HANDLES_OPEN is added. */
StudioApplication *studio_application_new (GApplicationFlags flags);

G_END_DECLS
