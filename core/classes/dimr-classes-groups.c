/* SPDX-License-Identifier: Apache-2.0 */
#include "core/classes/dimr-classes-private.h"

/* The index order of ImageNet-1K follows WordNet for living things and food, so ranges tell their
 * groups. From 398 to 923 artefacts come in alphabetical order: vehicles and places are listed one by one. */
static const struct
{
  gint16 first, last;
  DimrClassGroup group;
} ranges[] = {
  { 0, 6, DIMR_CLASS_GROUP_SEA_LIFE },       /* fish */
  { 7, 24, DIMR_CLASS_GROUP_BIRDS },
  { 25, 68, DIMR_CLASS_GROUP_REPTILES },     /* amphibians up to 32; 51 is the triceratops */
  { 69, 69, DIMR_CLASS_GROUP_SEA_LIFE },     /* trilobite */
  { 70, 79, DIMR_CLASS_GROUP_INSECTS },      /* spiders, scorpion, tick, centipede */
  { 80, 100, DIMR_CLASS_GROUP_BIRDS },
  { 101, 106, DIMR_CLASS_GROUP_MAMMALS },    /* tusker … wombat */
  { 107, 110, DIMR_CLASS_GROUP_SEA_LIFE },   /* jellyfish … flatworm */
  { 111, 111, DIMR_CLASS_GROUP_INSECTS },    /* nematode */
  { 112, 112, DIMR_CLASS_GROUP_SEA_LIFE },   /* conch */
  { 113, 114, DIMR_CLASS_GROUP_INSECTS },    /* snail, slug */
  { 115, 126, DIMR_CLASS_GROUP_SEA_LIFE },   /* molluscs of the sea, crustaceans */
  { 127, 146, DIMR_CLASS_GROUP_BIRDS },
  { 147, 150, DIMR_CLASS_GROUP_MAMMALS },    /* whales, dugong, sea lion */
  { 151, 268, DIMR_CLASS_GROUP_DOGS },
  { 269, 299, DIMR_CLASS_GROUP_MAMMALS },    /* wolves … meerkat */
  { 300, 326, DIMR_CLASS_GROUP_INSECTS },
  { 327, 329, DIMR_CLASS_GROUP_SEA_LIFE },   /* starfish, urchin, cucumber */
  { 330, 388, DIMR_CLASS_GROUP_MAMMALS },
  { 389, 397, DIMR_CLASS_GROUP_SEA_LIFE },   /* fish */
  { 398, 922, DIMR_CLASS_GROUP_OBJECTS },    /* but for the two lists below */
  { 923, 967, DIMR_CLASS_GROUP_FOOD },       /* plate (a dish of food) … espresso */
  { 968, 968, DIMR_CLASS_GROUP_OBJECTS },    /* cup */
  { 969, 969, DIMR_CLASS_GROUP_FOOD },       /* eggnog */
  { 970, 970, DIMR_CLASS_GROUP_PLACES },     /* alp */
  { 971, 971, DIMR_CLASS_GROUP_OBJECTS },    /* bubble */
  { 972, 980, DIMR_CLASS_GROUP_PLACES },     /* cliff … volcano */
  { 981, 983, DIMR_CLASS_GROUP_OBJECTS },    /* people */
  { 984, 998, DIMR_CLASS_GROUP_FOOD },       /* plants, fungi */
  { 999, 999, DIMR_CLASS_GROUP_OBJECTS },    /* toilet tissue */
};

static const gint16 vehicles[] = {
  403, 404, 405, 407, 408, 417, 436, 444, 450, 466, 468, 472, 484, 510, 511, 537, 547, 554, 555, 561,
  565, 569, 573, 575, 576, 586, 595, 603, 609, 612, 625, 627, 628, 654, 656, 661, 665, 670, 671, 675,
  690, 705, 717, 724, 734, 751, 757, 779, 780, 802, 803, 812, 814, 817, 820, 829, 833, 847, 856, 864,
  866, 867, 870, 871, 874, 880, 895, 913, 914,
};

static const gint16 places[] = {
  406, 410, 415, 424, 425, 437, 442, 449, 454, 460, 467, 483, 497, 498, 500, 509, 525, 536, 538, 540,
  562, 580, 582, 598, 624, 634, 646, 649, 660, 663, 668, 682, 698, 706, 718, 727, 743, 762, 788, 819,
  821, 825, 832, 839, 853, 858, 860, 865, 873, 884, 888, 900, 915,
};

static gboolean
contains (const gint16 *list,
          guint         n,
          int           index)
{
  for (guint i = 0; i < n; i++)
    if (list[i] == index)
      return TRUE;
  return FALSE;
}

DimrClassGroup
_dimr_classes_group (int index)
{
  if (contains (vehicles, G_N_ELEMENTS (vehicles), index))
    return DIMR_CLASS_GROUP_VEHICLES;
  if (contains (places, G_N_ELEMENTS (places), index))
    return DIMR_CLASS_GROUP_PLACES;
  for (guint i = 0; i < G_N_ELEMENTS (ranges); i++)
    if (index >= ranges[i].first && index <= ranges[i].last)
      return ranges[i].group;
  g_assert_not_reached ();
}
