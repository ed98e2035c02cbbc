/* golden-model.h — a model of the reference data, evaluated on the reference's inputs
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "core/model/dimr-network.h"
#include "core/weights/dimr-weights.h"
#include "tests/reference.h"

G_BEGIN_DECLS

typedef struct
{
  DimrConfig *config;
  DimrWeights *weights;
  DimrDevice *device;
} GoldenModel;

/* @weights_file: in @folder of the reference, beside its config.json. */
void         golden_model_open     (GoldenModel         *self,
                                    const char          *folder,
                                    const char          *weights_file);
void         golden_model_clear    (GoldenModel         *self);
/* Evaluates the network on @prefix's inputs and returns the program; outputs are @names. */
DimrProgram *golden_model_evaluate (GoldenModel         *model,
                                    Reference           *file,
                                    const char          *prefix,
                                    gboolean             shared_time,
                                    DimrPrecision        precision,
                                    const char * const  *names,
                                    guint                n_names,
                                    DimrPlan           **plan);
/* Largest difference between output @i and the tensor @name; @largest: the largest value there. */
double       golden_difference     (DimrProgram         *program,
                                    DimrPlan            *plan,
                                    guint                i,
                                    Reference           *file,
                                    const char          *name,
                                    double              *largest);
/* ‖output − tensor‖ / ‖tensor‖ */
double       golden_relative_l2    (DimrProgram         *program,
                                    DimrPlan            *plan,
                                    guint                i,
                                    Reference           *file,
                                    const char          *name);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GoldenModel, golden_model_clear)

G_END_DECLS
