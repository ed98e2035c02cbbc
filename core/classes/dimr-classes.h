/* dimr-classes.h — the 1000 ImageNet-1K classes: names, synonyms, WordNet ids, search
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define DIMR_N_IMAGENET_CLASSES 1000

/* Broad groups for filter buttons, told from WordNet ids and ranges of indices. */
typedef enum
{
  DIMR_CLASS_GROUP_BIRDS,
  DIMR_CLASS_GROUP_DOGS,
  DIMR_CLASS_GROUP_MAMMALS,      /* other than dogs */
  DIMR_CLASS_GROUP_REPTILES,     /* and amphibians */
  DIMR_CLASS_GROUP_SEA_LIFE,     /* fish, corals, jellyfish, crustaceans … but no mammals */
  DIMR_CLASS_GROUP_INSECTS,      /* and spiders, worms, snails */
  DIMR_CLASS_GROUP_FOOD,         /* food, fruit, vegetables, fungi, plants */
  DIMR_CLASS_GROUP_VEHICLES,
  DIMR_CLASS_GROUP_PLACES,       /* landscapes and buildings */
  DIMR_CLASS_GROUP_OBJECTS,      /* everything else */
} DimrClassGroup;

#define DIMR_N_CLASS_GROUPS (DIMR_CLASS_GROUP_OBJECTS + 1)

typedef struct
{
  int            index;
  const char    *wnid;       /* "n02129165" */
  const char    *name;       /* unique: a short name that two classes share has its synonym or index added, "crane (bird)" */
  const char    *names;      /* all WordNet names, comma-separated */
  DimrClassGroup group;
} DimrClass;

/* The table, loaded once from the program's resources (transfer none, static). */
const DimrClass *dimr_classes_get     (int          index);
/* Class of a name, synonym, WordNet id or index, ignoring case; −1 where none or several fit exactly. */
int              dimr_classes_find    (const char  *text);
/* Indices of classes that match what a person has typed so far, best first: exact name, prefix of
 * the name, prefix of a synonym, prefix of a word inside, substring; an index or WordNet id works
 * too. Empty text: all, in order. GArray of int (transfer full). */
GArray          *dimr_classes_search  (const char  *text);
/* "1-10,207,lion,"tiger shark"" → indices in the order written, repeats kept; GArray of int (transfer full).
 * DIMR_ERROR_REQUEST names the part that is no class and the nearest one that is. */
GArray          *dimr_classes_parse   (const char  *list,
                                       GError     **error);

G_END_DECLS
