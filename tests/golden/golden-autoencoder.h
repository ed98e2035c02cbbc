/* golden-autoencoder.h — the reference autoencoder, unpacked for a test
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Unpacks the weights of the reference data into a folder of its own and returns the path of one layout's file: "ldm",
 * "hf_old" or "hf_new" (transfer full); NULL where the reference data at hand lack them. */
char *golden_autoencoder_unpack (const char *layout);
/* The decoder alone, in the layout of the latent diffusion code, which is always at hand (transfer full). Its weights take
 * eight values a tensor, so the committed file holds U8 tensors of indices under their names, and under NAME.values the eight. */
char *golden_autoencoder_unpack_decoder (void);
/* Removes what these made. */
void  golden_autoencoder_remove (void);

G_END_DECLS
