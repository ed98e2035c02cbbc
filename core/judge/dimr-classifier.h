/* dimr-classifier.h — a ViT on a device: what is on a picture, and the features that it was told from
 *
 * One picture at a time goes through the network as far as its numbers are concerned: they do not depend on
 * which others are in the batch. One thread.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/model/dimr-model.h"

G_BEGIN_DECLS

typedef struct _DimrClassifier DimrClassifier;

/* @model: one that dimr_model_load_any() gave. @batch: pictures that go through the network together.
 * DIMR_ERROR_MODEL where it makes pictures instead, DIMR_ERROR_MEMORY. */
DimrClassifier *dimr_classifier_new            (DimrModel       *model,
                                                DimrDevice      *device,
                                                DimrPrecision    precision,
                                                guint            batch,
                                                GCancellable    *cancellable,
                                                GError         **error);
void            dimr_classifier_free           (DimrClassifier  *self);

guint           dimr_classifier_get_batch      (DimrClassifier  *self);
/* Rows of the head. */
guint           dimr_classifier_get_n_classes  (DimrClassifier  *self);
/* Numbers of the class token before the head. */
guint           dimr_classifier_get_n_features (DimrClassifier  *self);
/* Pixels of the pictures that it looks at. */
guint           dimr_classifier_get_side       (DimrClassifier  *self);
/* A person's name for what row @row stands for: ImageNet's, or the one in its configuration (transfer none). */
const char     *dimr_classifier_get_label      (DimrClassifier  *self,
                                                guint            row);
/* ImageNet-1K index of row @row; −1 where it is none of those classes. */
int             dimr_classifier_get_class      (DimrClassifier  *self,
                                                guint            row);
/* The row of an ImageNet class; −1 where it knows none. */
int             dimr_classifier_find_row       (DimrClassifier  *self,
                                                int              class_index);
/* @pictures: [n, 3, side, side] in [−1, 1], n at most the batch. @probabilities: [n, classes], or NULL;
 * @features: [n, features], or NULL. */
gboolean        dimr_classifier_run            (DimrClassifier  *self,
                                                const float     *pictures,
                                                guint            n,
                                                float           *probabilities,
                                                float           *features,
                                                GCancellable    *cancellable,
                                                GError         **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrClassifier, dimr_classifier_free)

G_END_DECLS
