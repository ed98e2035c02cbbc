/* dimr-png.h — pictures as PNG files with their recipe inside
 *
 * Fixed filter and compression level and no time stamp: the same picture and recipe give the same
 * bytes. Files appear whole (temporary file, fsync, rename) or not at all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/image/dimr-image.h"
#include "core/image/dimr-recipe.h"

G_BEGIN_DECLS

/* @recipe may be NULL. Without an alpha channel, since pictures are opaque (transfer full). */
GBytes    *dimr_png_encode      (DimrImage         *image,
                                 const DimrRecipe  *recipe,
                                 GError           **error);
/* Blocks; for worker threads. DIMR_ERROR_FILE names the path and the cause. Replaces an existing file. */
gboolean   dimr_png_save        (const char        *path,
                                 DimrImage         *image,
                                 const DimrRecipe  *recipe,
                                 GError           **error);
/* Decodes any PNG of at most 16384 pixels a side. @recipe (out, optional, nullable): what its text chunks say. */
DimrImage *dimr_png_load        (const char        *path,
                                 DimrRecipe       **recipe,
                                 GError           **error);
/* The same of bytes; @name is what messages call them. */
DimrImage *dimr_png_decode      (GBytes            *png,
                                 const char        *name,
                                 DimrRecipe       **recipe,
                                 GError           **error);
/* Only the recipe, from a file or bytes (a drop, the clipboard). DIMR_ERROR_FORMAT where there is none. */
DimrRecipe *dimr_png_read_recipe (GBytes           *png,
                                 GError           **error);

G_END_DECLS
