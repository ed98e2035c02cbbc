/* cli-judge.h — what `dimr classify`, `score`, `fid`, `reference` and `flag` share: a classifier, and pictures for it
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "app/cli-common.h"
#include "app/cli-progress.h"

G_BEGIN_DECLS

/* The options, then what runs in a thread of its own. */
typedef struct
{
  char *model;
  char *device;
  char *precision;
  gint64 threads;
  gboolean json;
  gboolean quiet;
  guint side;               /* pixels a side that pictures are brought down to; 0 for all they have */

  DimrModel *loaded;
  DimrClassifier *classifier;
  StudioProgress *progress;
  gint64 began;
  guint n_unreadable;       /* pictures that were left out, each told as it was met */
  DimrJudgementFunc func;
  gpointer user_data;
} StudioJudge;

/* The options of a command: @own, which ends with an entry of NULLs, those of @self, and in @others what has no option's
 * name before it (transfer container). */
GOptionEntry *studio_judge_make_entries (StudioJudge        *self,
                                         const GOptionEntry *own,
                                         char             ***others);
/* What can be told before anything is opened; returns an exit code, OK to go on. */
int      studio_judge_check   (StudioJudge        *self);
/* Opens the classifier if that has not happened, and calls @func for every picture of @paths that can be read. Blocks; for
 * studio_cli_run(). */
gboolean studio_judge_run     (StudioJudge        *self,
                               const char * const *paths,
                               DimrJudgementFunc   func,
                               gpointer            user_data,
                               GCancellable       *cancellable,
                               GError            **error);
gboolean studio_judge_open    (StudioJudge        *self,
                               GCancellable       *cancellable,
                               GError            **error);
/* Paths after --input, then those without it; either may be NULL (transfer full). */
char   **studio_judge_merge   (char              **named,
                               char              **others);
/* Draws how far it is: to be called by @func. */
void     studio_judge_tick    (StudioJudge         *self,
                               const DimrJudgement *judgement);
/* A field of comma-separated values, as RFC 4180 has it. */
void     studio_judge_print_csv_text (const char   *text);
/* Where the reference of real pictures lies that belongs to the classifier: beside it (transfer full). */
char    *studio_judge_dup_reference_path (StudioJudge *self);
void     studio_judge_clear   (StudioJudge        *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (StudioJudge, studio_judge_clear)

G_END_DECLS
