/* studio-model-card.h — everything that is known of one entry of the library
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <adwaita.h>

#include "core/dimr.h"

G_BEGIN_DECLS

#define STUDIO_TYPE_MODEL_CARD (studio_model_card_get_type ())
G_DECLARE_FINAL_TYPE (StudioModelCard, studio_model_card, STUDIO, MODEL_CARD, GtkWidget)

GtkWidget *studio_model_card_new       (void);
/* @entry: NULL for an empty card. @autoencoder: what decodes its latents, nullable. */
void       studio_model_card_set_entry (StudioModelCard *self,
                                        DimrEntry       *entry,
                                        DimrEntry       *autoencoder);
DimrEntry *studio_model_card_get_entry (StudioModelCard *self); /* transfer none, nullable */

G_END_DECLS
