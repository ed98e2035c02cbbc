/* dimr-dataset.h — pictures with classes: class folders, a tar of them, latents, or drawn ones
 *
 * Class folders follow ImageFolder's convention: one folder a class, pictures anywhere below it. A
 * folder named by a WordNet id or by a number is that ImageNet class; otherwise all folders are
 * numbered in the order of their names. Reading is thread-safe.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _DimrDataset DimrDataset; /* reference-counted */

/* @path: a folder, a tar file or a safetensors file with "moments" [N, 2·C, H, W] or "z" [N, C, H, W], as `dimr encode`
 * writes them, and "y" [N]. @side: pixels
 * of the pictures that will be read, @channels: 3, or of the latents. DIMR_ERROR_FILE, DIMR_ERROR_FORMAT, DIMR_ERROR_REQUEST
 * where it holds no pictures or a class ≥ @n_classes. */
DimrDataset *dimr_dataset_open           (const char    *path,
                                          guint          n_classes,
                                          guint          channels,
                                          guint          side,
                                          GCancellable  *cancellable,
                                          GError       **error);
/* @n pictures of eight classes of shapes and textures, drawn as they are read. */
DimrDataset *dimr_dataset_new_procedural (guint64        n,
                                          guint          side,
                                          guint64        seed);
DimrDataset *dimr_dataset_ref            (DimrDataset   *self);
void         dimr_dataset_unref          (DimrDataset   *self);

guint64      dimr_dataset_get_n          (DimrDataset   *self);
gint32       dimr_dataset_get_class      (DimrDataset   *self,
                                          guint64        i);
/* The classes there are, in order: [n] (transfer none). */
const int   *dimr_dataset_peek_classes   (DimrDataset   *self,
                                          guint         *n);
/* The name of the class's folder: WordNet ids for ImageNet (transfer full). */
char        *dimr_dataset_dup_class_name (DimrDataset   *self,
                                          int            class_index);
/* Where picture @i lies below the folder or in the archive; NULL where it is no file (transfer full). */
char        *dimr_dataset_dup_name       (DimrDataset   *self,
                                          guint64        i);
/* Picture @i as [C, side, side] in [−1, 1], mirrored where asked for; of moments, latent number @draw. FALSE
 * with DIMR_ERROR_FORMAT or _FILE that names it. */
gboolean     dimr_dataset_read           (DimrDataset   *self,
                                          guint64        i,
                                          guint64        draw,
                                          gboolean       mirrored,
                                          float         *x0,
                                          GError       **error);
/* Tells one set from another, so that a run is not resumed on other pictures (transfer full). */
char        *dimr_dataset_dup_fingerprint (DimrDataset  *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrDataset, dimr_dataset_unref)

G_END_DECLS
