/* dimr-dataset-private.h — where the pictures of a set come from
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/train/dimr-dataset.h"

G_BEGIN_DECLS

/* A picture: a file of its own, or a part of the archive. */
typedef struct
{
  char   *path;    /* of the file, or inside the archive */
  guint64 offset;  /* of its bytes in the archive */
  guint64 size;
  guint   group;   /* index of its class folder */
} DimrDatasetItem;

/* Lists @items and the names of the class folders, both sorted. DIMR_ERROR_FILE, DIMR_ERROR_FORMAT. */
gboolean dimr_dataset_list_folder  (const char    *path,
                                    GArray        *items,
                                    GPtrArray     *groups,
                                    GCancellable  *cancellable,
                                    GError       **error);
gboolean dimr_dataset_list_archive (const char    *path,
                                    const guint8  *data,
                                    gsize          size,
                                    GArray        *items,
                                    GPtrArray     *groups,
                                    GError       **error);

/* Picture @i of the procedural set: [3, side, side]. Its class is i % 8. */
void     dimr_dataset_draw         (guint64        seed,
                                    guint64        i,
                                    guint          side,
                                    guint8        *planes);
#define DIMR_N_DRAWN_CLASSES 8
/* "disc", "square", … (static) */
const char *dimr_dataset_get_drawn_name (guint class_index);

G_END_DECLS
