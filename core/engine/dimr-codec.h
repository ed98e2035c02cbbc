/* dimr-codec.h — pictures to latents and back, from files to files
 *
 * Latents in files are scaled as models make them (DIMR_LATENT_SCALE); moments are not.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/graph/dimr-plan.h"

G_BEGIN_DECLS

/* @fraction: of everything. @path: of the picture that is done now, with index @index; NULL in between, and where all go into one file. */
typedef void (*DimrCodecProgress) (double      fraction,
                                   guint       index,
                                   const char *path,
                                   gpointer    user_data);

typedef struct
{
  const char        *autoencoder; /* its file or folder */
  const char        *device;      /* "auto", "cpu", … */
  guint              n_threads;
  DimrPrecision      precision;   /* AUTO: what suits the device */
  guint64            memory;      /* bytes that maps may take when decoding, in tiles if need be; 0: what is free */
  guint64            seed;        /* of the latents that are drawn from the moments */
  guint              side;        /* of the squares that pictures in class folders are cut and scaled to; 0: 256 */
  const char        *input;
  const char        *output;
  DimrCodecProgress  progress;    /* in the calling thread; NULL: none */
  gpointer           user_data;
} DimrCodecRequest;

typedef struct
{
  guint   n_pictures;
  guint   height;     /* of the pictures */
  guint   width;
  guint   n_tiles;    /* of each when decoding; 1: as a whole */
  guint64 memory;     /* bytes of maps when decoding */
} DimrCodecResult;

/* @input: a safetensors file with "z" [B, c, H, W] (or "latent", as traces call it). @output: a name that
 * ends in .safetensors, for "decoded" [B, 3, f·H, f·W] in about [−1, 1]; else a folder for PNG files 000000.png, … */
gboolean dimr_codec_decode (const DimrCodecRequest  *request,
                            DimrCodecResult         *result,
                            GCancellable            *cancellable,
                            GError                 **error);
/* @input: a safetensors file with "image" [B, 3, H, W] in [−1, 1] and, if need be, "noise" [B, c, H/f, W/f]; a PNG file;
 * a folder, whose PNG files are taken in the order of their names; or class folders or a tar of them (dimr-dataset.h).
 * @output: a safetensors file with "moments" [B, 2·c, H/f, W/f] and "z" [B, c, H/f, W/f], drawn with that noise or with the
 * seed's, and of class folders "y" [B], as training reads them. The names of files are its metadata "names", one a line,
 * numbers and names of the classes "classes". */
gboolean dimr_codec_encode (const DimrCodecRequest  *request,
                            DimrCodecResult         *result,
                            GCancellable            *cancellable,
                            GError                 **error);

G_END_DECLS
