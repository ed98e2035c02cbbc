/* dimr-zip.h — the directory of a zip file whose entries are stored, as PyTorch writes them
 *
 * Sizes and places come from the central directory; each local header must agree with it. Zip64 is
 * read. Refused: anything after the end record, several disks, compressed or encrypted entries,
 * entries that overlap, names that are duplicate, absolute, lead upwards, or share no single top
 * folder. Nothing is ever unpacked to disk. Source: PKWARE APPNOTE 6.3.9, sections 4.3 to 4.5.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _DimrZip DimrZip;

/* Where an entry's bytes lie in the file. */
typedef struct
{
  guint64 offset;
  guint64 size;
  guint32 crc; /* 0 where the writer left it out */
} DimrZipEntry;

/* Starts a zip file? */
gboolean            dimr_zip_sniff  (const guint8  *data,
                                     gsize          size);
/* @data is only read during this call. @file is what errors call the file. */
DimrZip            *dimr_zip_open   (const guint8  *data,
                                     gsize          size,
                                     const char    *file,
                                     GError       **error);
void                dimr_zip_free   (DimrZip       *self);
/* @name without the top folder; NULL where there is none (transfer none). */
const DimrZipEntry *dimr_zip_lookup (DimrZip       *self,
                                     const char    *name);
/* TRUE if some entry lies in @folder ("code/"). */
gboolean            dimr_zip_has_folder (DimrZip   *self,
                                         const char *folder);
/* CRC-32 of zip and PNG. */
guint32             dimr_zip_crc32  (const guint8  *data,
                                     gsize          size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrZip, dimr_zip_free)

G_END_DECLS
