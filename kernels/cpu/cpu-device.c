/* cpu-device.c — the processor as a device
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cpu/cpu-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <string.h>

struct _CpuDevice
{
  DimrDevice parent_instance;
  CpuTarget target;   /* its precision is that of each plan */
  CpuTeam *team;
  CpuParams *params;
  char *name;
};

G_DEFINE_FINAL_TYPE (CpuDevice, cpu_device, DIMR_TYPE_DEVICE)

static void
cpu_device_init (CpuDevice *self)
{
}

static void
cpu_device_finalize (GObject *object)
{
  CpuDevice *self = CPU_DEVICE (object);

  g_clear_pointer (&self->params, cpu_params_free);
  g_clear_pointer (&self->team, cpu_team_free);
  g_free (self->name);
  G_OBJECT_CLASS (cpu_device_parent_class)->finalize (object);
}

static gboolean
cpu_device_supports (DimrDevice       *device,
                     const DimrGraph  *graph,
                     DimrNodeId        id,
                     DimrPrecision     precision,
                     GError          **error)
{
  const DimrNode *node = dimr_graph_peek_node (graph, id);
  const CpuOp *op = cpu_op_get (node->op);
  const char *reason = NULL;
  g_autofree char *shape = NULL;

  if (op == NULL)
    reason = _("this operation");
  else if (node->dtype != DIMR_DTYPE_F32)
    reason = _("results that are no floats");
  else if (op->supports != NULL)
    reason = op->supports (graph, node);
  if (reason == NULL)
    return TRUE;

  shape = dimr_shape_to_string (&node->shape);
  dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                  _("The processor cannot compute %s of %s %s: it does not know %s"),
                  dimr_op_get_info (node->op)->name, dimr_dtype_name (node->dtype), shape, reason);
  return FALSE;
}

static gsize
cpu_device_get_workspace (DimrDevice      *device,
                          const DimrGraph *graph,
                          DimrNodeId       id,
                          DimrPrecision    precision)
{
  CpuTarget target = CPU_DEVICE (device)->target;
  const DimrNode *node = dimr_graph_peek_node (graph, id);
  const CpuOp *op = cpu_op_get (node->op);

  target.precision = precision;
  return op != NULL && op->workspace != NULL ? op->workspace (&target, graph, node) : 0;
}

static DimrProgram *
cpu_device_compile (DimrDevice    *device,
                    DimrPlan      *plan,
                    DimrWeights   *weights,
                    GCancellable  *cancellable,
                    GError       **error)
{
  return cpu_program_new (CPU_DEVICE (device), plan, weights, cancellable, error);
}

static void
cpu_device_get_memory (DimrDevice *device,
                       guint64    *total,
                       guint64    *available)
{
  cpu_get_memory (total, available);
}

static const char *
cpu_device_get_name (DimrDevice *device)
{
  return CPU_DEVICE (device)->name;
}

static void
cpu_device_trim (DimrDevice *device)
{
  cpu_params_trim (CPU_DEVICE (device)->params);
}

static void
cpu_device_class_init (CpuDeviceClass *klass)
{
  DimrDeviceClass *device_class = DIMR_DEVICE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cpu_device_finalize;
  device_class->supports = cpu_device_supports;
  device_class->get_workspace = cpu_device_get_workspace;
  device_class->compile = cpu_device_compile;
  device_class->get_memory = cpu_device_get_memory;
  device_class->get_name = cpu_device_get_name;
  device_class->trim = cpu_device_trim;
}

/* "AMD EPYC", as the kernel tells it. */
static char *
dup_processor_name (void)
{
  g_autofree char *text = NULL;

  if (g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL))
    {
      const char *line = strstr (text, "model name");
      const char *colon = line != NULL ? strchr (line, ':') : NULL;

      if (colon != NULL)
        return g_strstrip (g_strndup (colon + 1, strcspn (colon + 1, "\n")));
    }
  return g_strdup ("CPU");
}

DimrDevice *
cpu_device_new (guint          n_threads,
                const CpuSimd *simd)
{
  CpuDevice *self = g_object_new (CPU_TYPE_DEVICE, NULL);
  g_autofree char *processor = dup_processor_name ();
  guint n;

  self->team = cpu_team_new (n_threads > 0 ? n_threads : g_get_num_processors ());
  n = cpu_team_get_n_threads (self->team);
  self->target.simd = simd != NULL ? simd : cpu_simd_list ()[0];
  self->target.n_threads = n;
  self->params = cpu_params_new (self->team, self->target.simd);
  self->name = g_strdup_printf ("%s, %u %s", processor, n, n == 1 ? "thread" : "threads");
  return DIMR_DEVICE (self);
}

CpuParams *
cpu_device_peek_params (CpuDevice *self)
{
  return self->params;
}

CpuTeam *
cpu_device_peek_team (CpuDevice *self)
{
  return self->team;
}

void
cpu_device_get_target (CpuDevice *self,
                       CpuTarget *target)
{
  *target = self->target;
}

static guint
get_n_devices (GError **error)
{
  return 1;
}

static char *
dup_device_name (guint index)
{
  return dup_processor_name ();
}

static DimrDevice *
open_device (guint    index,
             guint    n_threads,
             GError **error)
{
  return cpu_device_new (n_threads, NULL);
}

const DimrBackend cpu_backend = { "cpu", get_n_devices, dup_device_name, open_device };
