/* dimr-training-log.h — what a run was like: a CSV table and TensorBoard's event files
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _DimrTrainingLog DimrTrainingLog;

/* Opens log.csv in @output, with the columns "step", "seconds" and @names, and a new event file. Rows of a
 * CSV that is there are kept up to step @step: those after it will be made again. */
DimrTrainingLog *dimr_training_log_new  (const char          *output,
                                         const char * const  *names,
                                         guint64              step,
                                         GError             **error);
void             dimr_training_log_free (DimrTrainingLog     *self);
/* @values: one a name; NaN leaves a cell empty. */
gboolean         dimr_training_log_add  (DimrTrainingLog     *self,
                                         guint64              step,
                                         const double        *values,
                                         GError             **error);

/* CRC-32C (Castagnoli), as the event files carry it. */
guint32          dimr_crc32c            (gconstpointer        data,
                                         gsize                size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (DimrTrainingLog, dimr_training_log_free)

G_END_DECLS
