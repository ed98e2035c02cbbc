/* dimr-device-training.h — what training keeps from step to step, in a device's own memory
 *
 * An optional part of a device: sums of gradients, master weights, moments and the moving average, so that no
 * gradient comes to the host. All arrays hold the numbers of all parameters; those of the host lie one behind
 * the other, how the device lays its own out is its matter. Sums are a stack (dimr-tree.h says what for).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"

G_BEGIN_DECLS

#define DIMR_TYPE_DEVICE_TRAINING (dimr_device_training_get_type ())
G_DECLARE_DERIVABLE_TYPE (DimrDeviceTraining, dimr_device_training, DIMR, DEVICE_TRAINING, GObject)

typedef struct _DimrCollective DimrCollective;

/* One parameter; the lists of a spec are in the order of the host's arrays. */
typedef struct
{
  const char *name;    /* in the weights */
  gsize       first;   /* in the host's arrays */
  gsize       n;
  gboolean    learns;  /* it has a gradient */
  gboolean    decays;
} DimrTrainingParameter;

struct _DimrTrainingSpec
{
  DimrWeights                 *weights;     /* those with which the programs that learn were compiled, all before this */
  const DimrTrainingParameter *parameters;  /* [n_parameters], copied */
  guint                        n_parameters;
  guint                        n_sums;      /* that are kept at a time */
  gboolean                     average;     /* there is a moving average */
};

typedef enum
{
  DIMR_TRAINING_VALUES,   /* the master weights */
  DIMR_TRAINING_M,
  DIMR_TRAINING_V,
  DIMR_TRAINING_AVERAGE,
  DIMR_TRAINING_SUM,      /* and those above it: DIMR_TRAINING_SUM + depth */
} DimrTrainingArray;

/* One step of AdamW and of the average, all in float:
 *   g = scale · sum; m ← beta1 m + (1 − beta1) g; v ← beta2 v + (1 − beta2) g²
 *   p ← p · keep − rate · m / (√v · correction + eps), where only what decays has a keep that is not 1
 *   average ← average_keep · average + average_take · p */
typedef struct
{
  float keep;
  float beta1, beta2;
  float rate;
  float correction;
  float eps;
  float scale;
  float average_keep, average_take;
} DimrTrainingUpdate;

struct _DimrDeviceTrainingClass
{
  GObjectClass parent_class;

  /* Adds the outputs @gradients [n_parameters] of @program's last run, DIMR_NODE_NONE where there is none, to
   * the sum at @depth, or makes them that sum where @first is set. */
  gboolean      (*add)     (DimrDeviceTraining        *self,
                            DimrProgram               *program,
                            const DimrNodeId          *gradients,
                            guint                      depth,
                            gboolean                   first,
                            GError                   **error);
  /* The sum at @depth + 1 is added to that at @depth. */
  gboolean      (*merge)   (DimrDeviceTraining        *self,
                            guint                      depth,
                            GError                   **error);
  /* ‖sum at depth 0‖, in double. */
  gboolean      (*norm)    (DimrDeviceTraining        *self,
                            double                    *norm,
                            GError                   **error);
  /* Learns from the sum at depth 0; programs compute with the new weights from now on. */
  gboolean      (*update)  (DimrDeviceTraining        *self,
                            const DimrTrainingUpdate  *update,
                            GError                   **error);
  /* All numbers of one array, from and to the host. Written values are seen by programs too. */
  gboolean      (*read)    (DimrDeviceTraining        *self,
                            DimrTrainingArray          array,
                            float                     *data,
                            GError                   **error);
  gboolean      (*write)   (DimrDeviceTraining        *self,
                            DimrTrainingArray          array,
                            const float               *data,
                            GError                   **error);
  /* Prepares sum() with the processes of @group, each with a device of its own. Optional, and DIMR_ERROR_UNSUPPORTED
   * with one sentence where it cannot be done here: then sums go over the host. */
  gboolean      (*join)    (DimrDeviceTraining        *self,
                            DimrCollective            *group,
                            GCancellable              *cancellable,
                            GError                   **error);
  /* As dimr_collective_sum(): the nodes are the sums from depth 0 on, which then holds the sum over all. */
  gboolean      (*sum)     (DimrDeviceTraining        *self,
                            guint64                    n_leaves,
                            GCancellable              *cancellable,
                            GError                   **error);
};

gboolean      dimr_device_training_add     (DimrDeviceTraining        *self,
                                            DimrProgram               *program,
                                            const DimrNodeId          *gradients,
                                            guint                      depth,
                                            gboolean                   first,
                                            GError                   **error);
gboolean      dimr_device_training_merge   (DimrDeviceTraining        *self,
                                            guint                      depth,
                                            GError                   **error);
gboolean      dimr_device_training_norm    (DimrDeviceTraining        *self,
                                            double                    *norm,
                                            GError                   **error);
gboolean      dimr_device_training_update  (DimrDeviceTraining        *self,
                                            const DimrTrainingUpdate  *update,
                                            GError                   **error);
gboolean      dimr_device_training_read    (DimrDeviceTraining        *self,
                                            DimrTrainingArray          array,
                                            float                     *data,
                                            GError                   **error);
gboolean      dimr_device_training_write   (DimrDeviceTraining        *self,
                                            DimrTrainingArray          array,
                                            const float               *data,
                                            GError                   **error);
gboolean      dimr_device_training_join    (DimrDeviceTraining        *self,
                                            DimrCollective            *group,
                                            GCancellable              *cancellable,
                                            GError                   **error);
gboolean      dimr_device_training_sum     (DimrDeviceTraining        *self,
                                            guint64                    n_leaves,
                                            GCancellable              *cancellable,
                                            GError                   **error);

G_END_DECLS
