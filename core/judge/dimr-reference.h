/* dimr-reference.h — how surely a classifier names real pictures, and how another picture compares with them
 *
 * A picture's surprise is −ln of the probability of the class that it was asked for; the measure that DiMR's authors
 * filter by (section 5.3, a probability below 0.2). Classes differ in how easily they are named, and pictures of few
 * pixels are named less often, so a surprise is counted in deviations from the mean of real pictures of the same class
 * and the same number of pixels; quantiles of all of those tell it as a share of real pictures.
 *
 * The distance of the classifier's features to those of real pictures was measured beside it, and tells distorted
 * pictures from whole ones no better: data/models/classifier/model-card.md has the figures.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Real pictures of a class without which nothing is said of that class. */
#define DIMR_REFERENCE_MIN_PICTURES 8
/* Kept quantiles, of 0, 1/1000, … 1. */
#define DIMR_REFERENCE_N_QUANTILES 1001
/* Sizes of pictures that a reference tells apart, at most. */
#define DIMR_REFERENCE_MAX_SIDES 16

/* Immutable; may be read from any thread. */
typedef struct _DimrReference DimrReference;
/* Gathers real pictures for one; one thread. */
typedef struct _DimrReferenceMaker DimrReferenceMaker;

/* --- Comparing --- */

/* Reads what dimr_reference_save() wrote. @classifier_hash: SHA-256 of the weights that judge, and @n_classes their
 * rows. DIMR_ERROR_FILE, DIMR_ERROR_FORMAT where it is no such file or has impossible numbers, DIMR_ERROR_MODEL where
 * it was made with another classifier. */
DimrReference      *dimr_reference_load           (const char          *path,
                                                   const char          *classifier_hash,
                                                   guint                n_classes,
                                                   GError             **error);
void                dimr_reference_free           (DimrReference       *self);
/* The bytes of a file, whole or not at all. DIMR_ERROR_FILE. */
gboolean            dimr_reference_save           (const DimrReference *self,
                                                   const char          *path,
                                                   const char          *classifier_hash,
                                                   GError             **error);
/* The size whose real pictures one of @side pixels is compared with: the largest that is not larger than it, else the
 * smallest. */
guint               dimr_reference_choose_side    (const DimrReference *self,
                                                   guint                side);
/* Whether it has enough real pictures of the class of row @row. */
gboolean            dimr_reference_knows          (const DimrReference *self,
                                                   guint                row);
/* @probability: of the class of row @row, which the reference knows, as the classifier gave it to a picture of @side
 * pixels. Returns the share of real pictures that were named more surely, 0 to 1. @surprise: nats, or NULL. */
double              dimr_reference_compare        (const DimrReference *self,
                                                   guint                side,
                                                   guint                row,
                                                   float                probability,
                                                   double              *surprise);
/* Classes that it knows. */
guint               dimr_reference_get_n_known    (const DimrReference *self);
/* Real pictures of every size. */
guint64             dimr_reference_get_n_pictures (const DimrReference *self);

/* --- Making --- */

/* @sides: distinct, ascending, 1 to DIMR_REFERENCE_MAX_SIDES of them; pixels a side that real pictures were brought
 * down to before they were judged. */
DimrReferenceMaker *dimr_reference_maker_new      (const guint         *sides,
                                                   guint                n_sides,
                                                   guint                n_classes);
void                dimr_reference_maker_free     (DimrReferenceMaker  *self);
/* A real picture of the class of row @row at the size with the number @side_index. Keeps eight bytes of it. */
void                dimr_reference_maker_add      (DimrReferenceMaker  *self,
                                                   guint                side_index,
                                                   guint                row,
                                                   float                probability);
/* After the last one, once. DIMR_ERROR_REQUEST where a size has not enough pictures of any class, or where sizes have
 * unequal numbers of them. */
DimrReference      *dimr_reference_maker_finish   (DimrReferenceMaker  *self,
                                                   GError             **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrReference, dimr_reference_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrReferenceMaker, dimr_reference_maker_free)

G_END_DECLS
