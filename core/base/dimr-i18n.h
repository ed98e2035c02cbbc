/* dimr-i18n.h — the words of libdimr and of the backends in the user's language: _(), N_(), C_()
 *
 * Included by sources only. What a user can meet is translated: errors, notes, summaries. Not translated are
 * names of tensors, operations and members of files, and what a program reads: JSON, CSV, recipes, model cards.
 * The words lie in the program's own text domain, which libdimr binds when it is loaded, so that another program
 * that links it gets them too; that program only calls setlocale().
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "config.h"

#include <inttypes.h> /* PRIu64 in strings to translate: xgettext knows no G_GUINT64_FORMAT */
#include <glib/gi18n-lib.h>

/* libintl.h has one that looks in the domain of the program. */
#undef ngettext
#define ngettext(one, many, n) g_dngettext (GETTEXT_PACKAGE, one, many, n)
