/* dimr-entry-private.h — what the library tells its entries, in its main context
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/library/dimr-entry.h"

G_BEGIN_DECLS

/* @fraction: 0 … 1 while hashing; 0 with a @hash, or with NULL where hashing ended without one. */
void dimr_entry_set_hash (DimrEntry  *self,
                          const char *hash,
                          double      fraction);

G_END_DECLS
