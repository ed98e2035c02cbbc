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
/* Removes what golden_autoencoder_unpack() made. */
void  golden_autoencoder_remove (void);

G_END_DECLS
