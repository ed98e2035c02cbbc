/* studio-markdown.h — the Markdown of a model card as Pango markup
 *
 * Headings, paragraphs, list items, **bold**, *italic*, `code` and [links](…): what model cards
 * use. Everything else comes out as the text it is; the result always is valid markup.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A YAML header between two lines of “---” is left out (transfer full). */
char *studio_markdown_to_markup (const char *markdown);

G_END_DECLS
