/* studio-sampler-row.h — the sampler, in one line what it does, and what only some of them can be told
 *
 * Signal "changed".
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gtk/gtk.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_SAMPLER_ROW (studio_sampler_row_get_type ())
G_DECLARE_FINAL_TYPE (StudioSamplerRow, studio_sampler_row, STUDIO, SAMPLER_ROW, GtkBox)

DimrSamplerKind    studio_sampler_row_get_kind    (StudioSamplerRow         *self);
void               studio_sampler_row_set_kind    (StudioSamplerRow         *self,
                                                   DimrSamplerKind           kind);
/* Of the sampler that is chosen: zeros where it has none. */
DimrSamplerOptions studio_sampler_row_get_options (StudioSamplerRow         *self);
void               studio_sampler_row_set_options (StudioSamplerRow         *self,
                                                   const DimrSamplerOptions *options);
/* Where a number is no good: explains it, puts the focus there and returns FALSE. */
gboolean           studio_sampler_row_check       (StudioSamplerRow         *self);

G_END_DECLS
