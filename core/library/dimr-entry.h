/* dimr-entry.h — what a file or folder is: a model, an autoencoder, a classifier, or a sentence why none of them
 *
 * Told by the tensors inside, never by the name. Only headers are read, so a library of hundreds
 * of gigabytes is listed in a moment; the hash comes later (see dimr_library_hash_async()).
 *
 * Properties that notify, in the library's main context: "hash" (string, NULL until known),
 * "hash-fraction" (0 … 1 while it is being computed, else 0).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/model/dimr-config.h"

G_BEGIN_DECLS

typedef enum
{
  DIMR_ENTRY_MODEL,       /* makes pictures or latents */
  DIMR_ENTRY_AUTOENCODER, /* makes pictures of latents */
  DIMR_ENTRY_CLASSIFIER,  /* tells what is on pictures */
  DIMR_ENTRY_OTHER,       /* dimr_entry_get_problem() says what it is instead */
} DimrEntryKind;

#define DIMR_TYPE_ENTRY (dimr_entry_get_type ())
G_DECLARE_FINAL_TYPE (DimrEntry, dimr_entry, DIMR, ENTRY, GObject)

/* Looks at a folder or a weights file; never fails: what cannot be used is an OTHER with a problem.
 * Blocks on the disk: for worker threads. NULL only where cancelled. */
DimrEntry        *dimr_entry_new               (const char       *path,
                                                GCancellable     *cancellable);
DimrEntryKind     dimr_entry_get_kind          (DimrEntry        *self);
/* The folder or file (transfer none, here and below). */
const char       *dimr_entry_get_path          (DimrEntry        *self);
/* The file with the tensors; NULL where there is none. */
const char       *dimr_entry_get_weights_path  (DimrEntry        *self);
/* A person's name for it. */
const char       *dimr_entry_get_title         (DimrEntry        *self);
/* "DiMR, 2 branches, 505 M parameters, 32×32"; of an OTHER the problem. */
const char       *dimr_entry_get_summary       (DimrEntry        *self);
/* One sentence: what it is instead, or what is missing. NULL where it can be used. */
const char       *dimr_entry_get_problem       (DimrEntry        *self);
/* Where it came from, as far as its folder or file tells (a repository's name, an address); NULL: not told. */
const char       *dimr_entry_get_origin        (DimrEntry        *self);
/* As its card says; NULL: not told. */
const char       *dimr_entry_get_licence       (DimrEntry        *self);
/* Markdown; NULL where there is none. */
const char       *dimr_entry_get_card          (DimrEntry        *self);
guint64           dimr_entry_get_n_parameters  (DimrEntry        *self);
/* Multiply-accumulates of one sample's forward pass without guidance; 0 where not counted. */
guint64           dimr_entry_get_n_macs        (DimrEntry        *self);
/* Bytes of the weights file. */
guint64           dimr_entry_get_n_bytes       (DimrEntry        *self);
/* TRUE for a model of latents, which needs an autoencoder for pictures. */
gboolean          dimr_entry_is_latent         (DimrEntry        *self);
/* Of the latents that a model makes or an autoencoder reads; 0 for models of pictures. */
guint             dimr_entry_get_latent_channels (DimrEntry      *self);
/* NULL where it is no model that makes something. */
const DimrConfig *dimr_entry_peek_config       (DimrEntry        *self);

/* SHA-256 in hex, as far as it is known. */
const char       *dimr_entry_get_hash          (DimrEntry        *self);
double            dimr_entry_get_hash_fraction (DimrEntry        *self);
/* TRUE where the file has another content than when it was hashed before. */
gboolean          dimr_entry_is_changed        (DimrEntry        *self);

G_END_DECLS
