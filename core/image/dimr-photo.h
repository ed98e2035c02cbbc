/* dimr-photo.h — pictures to learn from: JPEG and PNG, cut to a square, brought to a size
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/image/dimr-image.h"

G_BEGIN_DECLS

/* Decodes a JPEG or a PNG, told by its first bytes, of at most 16384 pixels a side; @name is what messages
 * call it. A JPEG whose shorter side is more than twice @side may come out smaller, but never below
 * @side: its transform is then cheaper. DIMR_ERROR_FORMAT with the reason, DIMR_ERROR_MEMORY. */
DimrImage *dimr_photo_decode (GBytes           *bytes,
                              const char       *name,
                              guint             side,
                              GError          **error);
/* The largest square in the middle, as @side × @side pixels: [3, side, side] planes. Every pixel is the
 * mean of the area it covers; a picture smaller than @side is stretched by repeating pixels. */
void       dimr_photo_fit    (const DimrImage  *image,
                              guint             side,
                              guint8           *planes);

/* Whether @name ends as those of JPEG and PNG files do, and is not hidden. */
gboolean   dimr_photo_is_name (const char       *name);
/* Adds the paths of all such files in @folder and below, sorted, to @paths, which owns them; links to folders
 * are followed, but not back to one that they lie in. DIMR_ERROR_FILE. */
gboolean   dimr_photo_list_folder (const char   *folder,
                                   GPtrArray    *paths,
                                   GCancellable *cancellable,
                                   GError      **error);

G_END_DECLS
