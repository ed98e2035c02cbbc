/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-device-training.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

G_DEFINE_ABSTRACT_TYPE (DimrDeviceTraining, dimr_device_training, G_TYPE_OBJECT)

static void
dimr_device_training_class_init (DimrDeviceTrainingClass *klass)
{
}

static void
dimr_device_training_init (DimrDeviceTraining *self)
{
}

gboolean
dimr_device_training_add (DimrDeviceTraining  *self,
                          DimrProgram         *program,
                          const DimrNodeId    *gradients,
                          guint                depth,
                          gboolean             first,
                          GError             **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_TRAINING (self) && DIMR_IS_PROGRAM (program), FALSE);
  return DIMR_DEVICE_TRAINING_GET_CLASS (self)->add (self, program, gradients, depth, first, error);
}

gboolean
dimr_device_training_merge (DimrDeviceTraining  *self,
                            guint                depth,
                            GError             **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_TRAINING (self), FALSE);
  return DIMR_DEVICE_TRAINING_GET_CLASS (self)->merge (self, depth, error);
}

gboolean
dimr_device_training_norm (DimrDeviceTraining  *self,
                           double              *norm,
                           GError             **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_TRAINING (self) && norm != NULL, FALSE);
  return DIMR_DEVICE_TRAINING_GET_CLASS (self)->norm (self, norm, error);
}

gboolean
dimr_device_training_update (DimrDeviceTraining        *self,
                             const DimrTrainingUpdate  *update,
                             GError                   **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_TRAINING (self) && update != NULL, FALSE);
  return DIMR_DEVICE_TRAINING_GET_CLASS (self)->update (self, update, error);
}

gboolean
dimr_device_training_read (DimrDeviceTraining  *self,
                           DimrTrainingArray    array,
                           float               *data,
                           GError             **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_TRAINING (self) && data != NULL, FALSE);
  return DIMR_DEVICE_TRAINING_GET_CLASS (self)->read (self, array, data, error);
}

gboolean
dimr_device_training_write (DimrDeviceTraining  *self,
                            DimrTrainingArray    array,
                            const float         *data,
                            GError             **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_TRAINING (self) && data != NULL, FALSE);
  return DIMR_DEVICE_TRAINING_GET_CLASS (self)->write (self, array, data, error);
}

gboolean
dimr_device_training_join (DimrDeviceTraining  *self,
                           DimrCollective      *group,
                           GCancellable        *cancellable,
                           GError             **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_TRAINING (self) && group != NULL, FALSE);
  if (DIMR_DEVICE_TRAINING_GET_CLASS (self)->join != NULL)
    return DIMR_DEVICE_TRAINING_GET_CLASS (self)->join (self, group, cancellable, error);
  g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED, _("This kind of device exchanges nothing with others of its kind"));
  return FALSE;
}

gboolean
dimr_device_training_sum (DimrDeviceTraining  *self,
                          guint64              n_leaves,
                          GCancellable        *cancellable,
                          GError             **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_TRAINING (self), FALSE);
  return DIMR_DEVICE_TRAINING_GET_CLASS (self)->sum (self, n_leaves, cancellable, error);
}
