/* dimr-classes-private.h — the class table as its search and its parser see it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/classes/dimr-classes.h"

G_BEGIN_DECLS

typedef struct
{
  DimrClass  public;
  /* Normal forms (below) of the unique name and of every name that the table lists. A name that two
   * classes share is not the unique one of either. NULL-terminated. */
  char      *key;
  char     **name_keys;
} DimrClassEntry;

/* [DIMR_N_IMAGENET_CLASSES], built on first use. */
const DimrClassEntry *_dimr_classes_table     (void);
/* What spellings are compared by: lower case, hyphens and runs of blanks as one blank, no
 * apostrophes, no full stops. "Jack-o'-lantern" → "jack o lantern" (transfer full). */
char                 *_dimr_classes_normalise (const char *text);
/* Every class that @text fits exactly (best kind of fit only), ascending; GArray of int (transfer full). */
GArray               *_dimr_classes_exact     (const char *text);
DimrClassGroup        _dimr_classes_group     (int         index);

G_END_DECLS
