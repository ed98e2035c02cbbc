/* dimr-pictures.h — picture files on their way through a classifier
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/image/dimr-recipe.h"
#include "core/judge/dimr-classifier.h"

G_BEGIN_DECLS

/* One picture, as it is told of. */
typedef struct
{
  guint       index;
  guint       n;              /* pictures in all */
  const char *path;
  int         asked;          /* the ImageNet class that its recipe asks for, or that its folder is called after; −1 */
  guint       side;           /* pixels of its shorter side, at most the classifier's */
  const float *probabilities; /* [classes] */
  const float *features;      /* [features] */
} DimrJudgement;

typedef void (*DimrJudgementFunc) (const DimrJudgement *judgement, gpointer user_data);
/* A picture that cannot be read, and the sentence that says why. */
typedef void (*DimrSkipFunc) (const char *path, const GError *reason, gpointer user_data);

/* JPEG and PNG files among @paths (NULL-terminated) and, sorted, in the folders among them and below (transfer full).
 * DIMR_ERROR_FILE where there is no such path, DIMR_ERROR_REQUEST where a folder has no pictures. */
GPtrArray *dimr_pictures_list  (const char * const *paths,
                                GCancellable       *cancellable,
                                GError            **error);
/* Calls @func for every picture in order. A picture is cut to the largest square in its middle and brought to the
 * classifier's size, each pixel the mean of what it covers; where @side is not 0, to that many pixels a side before, as if it
 * had not more. Files that cannot be read are told to @skip and left out; without
 * @skip the first of them is an error. DIMR_ERROR_FILE, too, where none can be read. */
gboolean   dimr_pictures_judge (DimrClassifier     *classifier,
                                GPtrArray          *paths,
                                guint               side,
                                DimrJudgementFunc   func,
                                DimrSkipFunc        skip,
                                gpointer            user_data,
                                GCancellable       *cancellable,
                                GError            **error);

G_END_DECLS
