/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-device.h"

#include "core/base/dimr-error.h"

#include <string.h>

G_DEFINE_ABSTRACT_TYPE (DimrDevice, dimr_device, G_TYPE_OBJECT)
G_DEFINE_ABSTRACT_TYPE (DimrProgram, dimr_program, G_TYPE_OBJECT)

static void
dimr_device_class_init (DimrDeviceClass *klass)
{
}

static void
dimr_device_init (DimrDevice *self)
{
}

static void
dimr_program_class_init (DimrProgramClass *klass)
{
}

static void
dimr_program_init (DimrProgram *self)
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
    g_set_error (error, DIMR_ERROR, DIMR_ERROR_DEVICE, "This program was built without any compute device");
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
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST,
                   "'%s' is no device: write auto, cpu, cuda or cuda:1", spec);
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
        g_set_error (error, DIMR_ERROR, DIMR_ERROR_DEVICE, "There is no device '%s' here: %s has %u", spec, parts[0], n);
      return NULL;
    }
  g_set_error (error, DIMR_ERROR, DIMR_ERROR_DEVICE,
               "This program was built without the device '%s'; use --device cpu", parts[0]);
  return NULL;
}
