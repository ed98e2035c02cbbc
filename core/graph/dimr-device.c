/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-device.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

G_DEFINE_ABSTRACT_TYPE (DimrDevice, dimr_device, G_TYPE_OBJECT)

/* The series of a program whose backend has no use for it: values are written when their turn comes. */
typedef struct
{
  DimrNodeId input;
  float *values;     /* [n_values][n_elements] */
  gsize n_elements;
  guint n_values;
} DimrProgramPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (DimrProgram, dimr_program, G_TYPE_OBJECT)
G_DEFINE_ABSTRACT_TYPE (DimrDeviceWalk, dimr_device_walk, G_TYPE_OBJECT)

static void
dimr_device_class_init (DimrDeviceClass *klass)
{
}

static void
dimr_device_init (DimrDevice *self)
{
}

static void
dimr_program_finalize (GObject *object)
{
  DimrProgramPrivate *priv = dimr_program_get_instance_private (DIMR_PROGRAM (object));

  g_free (priv->values);
  G_OBJECT_CLASS (dimr_program_parent_class)->finalize (object);
}

static void
dimr_program_class_init (DimrProgramClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = dimr_program_finalize;
}

static void
dimr_program_init (DimrProgram *self)
{
}

static void
dimr_device_walk_class_init (DimrDeviceWalkClass *klass)
{
}

static void
dimr_device_walk_init (DimrDeviceWalk *self)
{
}

gboolean
dimr_device_supports (DimrDevice       *self,
                      const DimrGraph  *graph,
                      DimrNodeId        node,
                      DimrPrecision     precision,
                      GError          **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE (self), FALSE);
  return DIMR_DEVICE_GET_CLASS (self)->supports (self, graph, node, precision, error);
}

gsize
dimr_device_get_workspace (DimrDevice      *self,
                           const DimrGraph *graph,
                           DimrNodeId       node,
                           DimrPrecision    precision)
{
  DimrDeviceClass *klass;

  g_return_val_if_fail (DIMR_IS_DEVICE (self), 0);
  klass = DIMR_DEVICE_GET_CLASS (self);
  return klass->get_workspace != NULL ? klass->get_workspace (self, graph, node, precision) : 0;
}

DimrProgram *
dimr_device_compile (DimrDevice    *self,
                     DimrPlan      *plan,
                     DimrWeights   *weights,
                     GCancellable  *cancellable,
                     GError       **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE (self), NULL);
  g_return_val_if_fail (plan != NULL && weights != NULL, NULL);
  return DIMR_DEVICE_GET_CLASS (self)->compile (self, plan, weights, cancellable, error);
}

void
dimr_device_get_memory (DimrDevice *self,
                        guint64    *total,
                        guint64    *available)
{
  g_return_if_fail (DIMR_IS_DEVICE (self));
  DIMR_DEVICE_GET_CLASS (self)->get_memory (self, total, available);
}

const char *
dimr_device_get_name (DimrDevice *self)
{
  g_return_val_if_fail (DIMR_IS_DEVICE (self), NULL);
  return DIMR_DEVICE_GET_CLASS (self)->get_name (self);
}

void
dimr_device_trim (DimrDevice *self)
{
  g_return_if_fail (DIMR_IS_DEVICE (self));
  if (DIMR_DEVICE_GET_CLASS (self)->trim != NULL)
    DIMR_DEVICE_GET_CLASS (self)->trim (self);
}

DimrDType
dimr_device_get_storage (DimrDevice      *self,
                         const DimrGraph *graph,
                         DimrNodeId       node,
                         DimrPrecision    precision)
{
  DimrDeviceClass *klass;

  g_return_val_if_fail (DIMR_IS_DEVICE (self), DIMR_DTYPE_F32);
  klass = DIMR_DEVICE_GET_CLASS (self);
  return klass->get_storage != NULL ? klass->get_storage (self, graph, node, precision)
                                    : dimr_graph_peek_node (graph, node)->dtype;
}

guint
dimr_device_get_micro_batch (DimrDevice *self)
{
  DimrDeviceClass *klass;

  g_return_val_if_fail (DIMR_IS_DEVICE (self), 1);
  klass = DIMR_DEVICE_GET_CLASS (self);
  return klass->get_micro_batch != NULL ? klass->get_micro_batch (self) : 1;
}

gboolean
dimr_device_check_precision (DimrDevice     *self,
                             DimrPrecision   precision,
                             GError        **error)
{
  DimrDeviceClass *klass;

  g_return_val_if_fail (DIMR_IS_DEVICE (self), FALSE);
  klass = DIMR_DEVICE_GET_CLASS (self);
  if (klass->check_precision != NULL)
    return klass->check_precision (self, precision, error);
  if (precision != DIMR_PRECISION_F8)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                  _("%s has no products in float8, which takes an NVIDIA GPU of compute capability 9; use --precision bf16 or f32"),
                  dimr_device_get_name (self));
  return FALSE;
}

DimrPrecision
dimr_device_get_default_precision (DimrDevice *self)
{
  DimrDeviceClass *klass;

  g_return_val_if_fail (DIMR_IS_DEVICE (self), DIMR_PRECISION_F32);
  klass = DIMR_DEVICE_GET_CLASS (self);
  return klass->get_default_precision != NULL ? klass->get_default_precision (self) : DIMR_PRECISION_F32;
}

DimrDeviceWalk *
dimr_device_new_walk (DimrDevice          *self,
                      const DimrWalkSpec  *spec,
                      GError             **error)
{
  DimrDeviceClass *klass;

  g_return_val_if_fail (DIMR_IS_DEVICE (self), NULL);
  g_return_val_if_fail (spec != NULL && spec->n_groups > 0 && spec->n_rows > 0, NULL);
  klass = DIMR_DEVICE_GET_CLASS (self);
  if (klass->new_walk != NULL)
    return klass->new_walk (self, spec, error);
  dimr_error_set (error, DIMR_ERROR_UNSUPPORTED, _("%s keeps no sampler's walk"), dimr_device_get_name (self));
  return NULL;
}

DimrDeviceTraining *
dimr_device_new_training (DimrDevice              *self,
                          const DimrTrainingSpec  *spec,
                          GError                 **error)
{
  DimrDeviceClass *klass;

  g_return_val_if_fail (DIMR_IS_DEVICE (self) && spec != NULL, NULL);
  klass = DIMR_DEVICE_GET_CLASS (self);
  if (klass->new_training != NULL)
    return klass->new_training (self, spec, error);
  dimr_error_set (error, DIMR_ERROR_UNSUPPORTED, _("%s keeps nothing for training"), dimr_device_get_name (self));
  return NULL;
}

void
dimr_program_write (DimrProgram   *self,
                    DimrNodeId     input,
                    gconstpointer  data,
                    gsize          size)
{
  g_return_if_fail (DIMR_IS_PROGRAM (self));
  DIMR_PROGRAM_GET_CLASS (self)->write (self, input, data, size);
}

gboolean
dimr_program_run (DimrProgram   *self,
                  GCancellable  *cancellable,
                  GError       **error)
{
  g_return_val_if_fail (DIMR_IS_PROGRAM (self), FALSE);
  return DIMR_PROGRAM_GET_CLASS (self)->run (self, cancellable, error);
}

void
dimr_program_read (DimrProgram *self,
                   DimrNodeId   output,
                   float       *data,
                   gsize        n_elements)
{
  g_return_if_fail (DIMR_IS_PROGRAM (self));
  DIMR_PROGRAM_GET_CLASS (self)->read (self, output, data, n_elements);
}

gboolean
dimr_program_set_series (DimrProgram  *self,
                         DimrNodeId    input,
                         const float  *values,
                         gsize         n_elements,
                         guint         n_values,
                         GError      **error)
{
  DimrProgramPrivate *priv = dimr_program_get_instance_private (self);

  g_return_val_if_fail (DIMR_IS_PROGRAM (self), FALSE);
  g_return_val_if_fail (values != NULL && n_elements > 0 && n_values > 0, FALSE);

  if (DIMR_PROGRAM_GET_CLASS (self)->set_series != NULL)
    return DIMR_PROGRAM_GET_CLASS (self)->set_series (self, input, values, n_values, error);
  g_free (priv->values);
  priv->input = input;
  priv->values = g_memdup2 (values, n_values * n_elements * sizeof *values);
  priv->n_elements = n_elements;
  priv->n_values = n_values;
  return TRUE;
}

void
dimr_program_select (DimrProgram *self,
                     guint        index)
{
  DimrProgramPrivate *priv = dimr_program_get_instance_private (self);

  g_return_if_fail (DIMR_IS_PROGRAM (self));

  if (DIMR_PROGRAM_GET_CLASS (self)->select != NULL)
    {
      DIMR_PROGRAM_GET_CLASS (self)->select (self, index);
      return;
    }
  g_return_if_fail (index < priv->n_values);
  dimr_program_write (self, priv->input, priv->values + index * priv->n_elements, priv->n_elements * sizeof (float));
}

gboolean
dimr_program_copy (DimrProgram  *self,
                   DimrNodeId    input,
                   DimrProgram  *from,
                   DimrNodeId    output,
                   gsize         n_elements,
                   GError      **error)
{
  g_autofree float *data = NULL;

  g_return_val_if_fail (DIMR_IS_PROGRAM (self) && DIMR_IS_PROGRAM (from), FALSE);

  if (DIMR_PROGRAM_GET_CLASS (self)->copy != NULL)
    return DIMR_PROGRAM_GET_CLASS (self)->copy (self, input, from, output, error);
  data = g_new (float, n_elements);
  dimr_program_read (from, output, data, n_elements);
  dimr_program_write (self, input, data, n_elements * sizeof *data);
  return TRUE;
}

gboolean
dimr_program_reload (DimrProgram  *self,
                     GError      **error)
{
  g_return_val_if_fail (DIMR_IS_PROGRAM (self), FALSE);

  if (DIMR_PROGRAM_GET_CLASS (self)->reload != NULL)
    return DIMR_PROGRAM_GET_CLASS (self)->reload (self, error);
  g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED, _("This device cannot train: its parameters are fixed"));
  return FALSE;
}

gboolean
dimr_program_profile (DimrProgram  *self,
                      double       *seconds,
                      GError      **error)
{
  g_return_val_if_fail (DIMR_IS_PROGRAM (self) && seconds != NULL, FALSE);

  if (DIMR_PROGRAM_GET_CLASS (self)->profile != NULL)
    return DIMR_PROGRAM_GET_CLASS (self)->profile (self, seconds, error);
  g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED, _("This device has no clock for single operations"));
  return FALSE;
}

gboolean
dimr_device_walk_step (DimrDeviceWalk       *self,
                       DimrProgram          *program,
                       const DimrWalkPorts  *ports,
                       guint                 row,
                       GCancellable         *cancellable,
                       GError              **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_WALK (self) && DIMR_IS_PROGRAM (program) && ports != NULL, FALSE);
  return DIMR_DEVICE_WALK_GET_CLASS (self)->step (self, program, ports, row, cancellable, error);
}

gboolean
dimr_device_walk_request (DimrDeviceWalk  *self,
                          DimrWalkValue    value,
                          GError         **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_WALK (self), FALSE);
  return DIMR_DEVICE_WALK_GET_CLASS (self)->request (self, value, error);
}

gboolean
dimr_device_walk_fetch (DimrDeviceWalk  *self,
                        gboolean         wait,
                        float           *data,
                        GError         **error)
{
  g_return_val_if_fail (DIMR_IS_DEVICE_WALK (self) && data != NULL, FALSE);
  return DIMR_DEVICE_WALK_GET_CLASS (self)->fetch (self, wait, data, error);
}

/* Registration happens once, before any thread is started. */
#define MAX_BACKENDS 8
static const DimrBackend *backends[MAX_BACKENDS];
static guint n_backends;

void
dimr_backend_register (const DimrBackend *backend)
{
  g_return_if_fail (backend != NULL && n_backends < MAX_BACKENDS);
  for (guint i = 0; i < n_backends; i++)
    if (backends[i] == backend)
      return;
  backends[n_backends++] = backend;
}

const DimrBackend * const *
dimr_backend_list (guint *n)
{
  g_return_val_if_fail (n != NULL, NULL);
  *n = n_backends;
  return backends;
}

static DimrDevice *
open_first (guint    n_threads,
            GError **error)
{
  g_autoptr (GError) reason = NULL;

  for (guint i = 0; i < n_backends; i++)
    {
      DimrDevice *device;

      g_clear_error (&reason);
      if (backends[i]->get_n_devices (&reason) == 0)
        continue;
      device = backends[i]->open (0, n_threads, &reason);
      if (device != NULL)
        return device;
    }
  if (reason != NULL)
    g_propagate_error (error, g_steal_pointer (&reason));
  else
    dimr_error_set (error, DIMR_ERROR_DEVICE, _("This program was built without any compute device"));
  return NULL;
}

DimrDevice *
dimr_device_open (const char  *spec,
                  guint        n_threads,
                  GError     **error)
{
  g_auto (GStrv) parts = NULL;
  guint64 index = 0;

  g_return_val_if_fail (spec != NULL, NULL);
  if (strcmp (spec, "auto") == 0)
    return open_first (n_threads, error);

  parts = g_strsplit (spec, ":", 2);
  if (parts[0] == NULL || (parts[1] != NULL && !g_ascii_string_to_unsigned (parts[1], 10, 0, 1023, &index, NULL)))
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("'%s' is no device: write auto, cpu, cuda or cuda:1"), spec);
      return NULL;
    }
  for (guint i = 0; i < n_backends; i++)
    {
      g_autoptr (GError) reason = NULL;
      guint n;

      if (strcmp (backends[i]->id, parts[0]) != 0)
        continue;
      n = backends[i]->get_n_devices (&reason);
      if (index < n)
        return backends[i]->open ((guint) index, n_threads, error);
      if (reason != NULL)
        g_propagate_error (error, g_steal_pointer (&reason));
      else
        dimr_error_set (error, DIMR_ERROR_DEVICE, _("There is no device '%s' here: %s has %u"), spec, parts[0], n);
      return NULL;
    }
  dimr_error_set (error, DIMR_ERROR_DEVICE,
                  _("This program was built without the device '%s'; use --device cpu"), parts[0]);
  return NULL;
}
