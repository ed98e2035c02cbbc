/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "core/model/dimr-config.h"

G_BEGIN_DECLS

/* A configuration without stages whose sampling fields are those of the released models (transfer full). */
DimrConfig *dimr_config_new_for_released (guint channels,
                                          guint image_size,
                                          guint num_classes);

G_END_DECLS
