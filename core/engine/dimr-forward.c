/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine/dimr-forward.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/graph/dimr-device.h"
#include "core/model/dimr-network.h"
#include "core/weights/dimr-safetensors-writer.h"

#include <string.h>

/* The three inputs as the program takes them. */
typedef struct
{
  guint batch;
  guint height;
  guint width;
  float *x;       /* [B, C, H, W] */
  float *time;    /* [B]; NULL for classifiers */
  gint32 *y;      /* [B]; NULL for unconditional models and classifiers */
} Inputs;

static void
inputs_clear (Inputs *self)
{
  g_free (self->x);
  g_free (self->time);
  g_free (self->y);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Inputs, inputs_clear)

static DimrTensor *
require (DimrWeights  *file,
         const char   *name,
         guint         n_dims,
         gint64        batch,
         GError      **error)
{
  DimrTensor *tensor = dimr_weights_peek (file, name);
  const DimrShape *shape = tensor != NULL ? dimr_tensor_peek_shape (tensor) : NULL;

  if (shape != NULL && shape->n_dims == n_dims && shape->dims[0] >= 1 && shape->dims[0] <= 65536 &&
      (batch == 0 || shape->dims[0] == batch))
    return tensor;
  dimr_error_set (error, DIMR_ERROR_REQUEST,
                  tensor == NULL ? _("%s: there is no tensor '%s' in it")
                  : n_dims == 4 ? _("%s: the tensor '%s' is not [B, C, H, W]")
                                : _("%s: the tensor '%s' is not [B] with the B of 'x'"),
                  dimr_weights_get_path (file), name);
  return NULL;
}

static gboolean
read_classes (Inputs            *self,
              DimrTensor        *tensor,
              const DimrConfig  *config,
              GError           **error)
{
  g_autofree gint64 *values = dimr_tensor_dup_i64 (tensor);

  self->y = g_new (gint32, self->batch);
  for (guint i = 0; i < self->batch; i++)
    {
      if (values[i] < 0 || values[i] >= (gint64) config->num_classes)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST,
                          _("Entry %u of 'y' is %" PRId64
                            ", but the classes of this model are 0 to %u"), i, values[i], config->num_classes - 1);
          return FALSE;
        }
      self->y[i] = (gint32) values[i];
    }
  return TRUE;
}

static gboolean
read_inputs (Inputs            *self,
             DimrWeights       *file,
             const DimrConfig  *config,
             GError           **error)
{
  const gboolean classifies = dimr_config_is_classifier (config);
  DimrTensor *x = require (file, "x", 4, 0, error), *time, *y;
  const DimrShape *shape;

  if (x == NULL)
    return FALSE;
  shape = dimr_tensor_peek_shape (x);
  if (shape->dims[1] != (gint64) config->channels || shape->dims[2] < 1 || shape->dims[3] < 1 ||
      shape->dims[2] > 65536 || shape->dims[3] > 65536)
    {
      g_autofree char *text = dimr_shape_to_string (shape);
      dimr_error_set (error, DIMR_ERROR_SHAPE, _("'x' is %s, but this model has %u channels"), text, config->channels);
      return FALSE;
    }
  self->batch = (guint) shape->dims[0];
  self->height = (guint) shape->dims[2];
  self->width = (guint) shape->dims[3];
  time = classifies ? NULL : require (file, dimr_network_get_time_input (config), 1, self->batch, error);
  if (time == NULL && !classifies)
    return FALSE;
  self->x = dimr_tensor_dup_f32 (x);
  self->time = time != NULL ? dimr_tensor_dup_f32 (time) : NULL;
  if (self->x == NULL || (time != NULL && self->time == NULL))
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY, _("There is not enough memory for the input"));
      return FALSE;
    }
  if (config->num_classes == 0 || classifies)
    return TRUE;
  y = require (file, "y", 1, self->batch, error);
  return y != NULL && read_classes (self, y, config, error);
}

/* Named nodes that compute something: what "all" stands for. */
static gboolean
is_tap (const DimrNode *node)
{
  return node->name != NULL && node->op != DIMR_OP_INPUT && node->op != DIMR_OP_PARAM;
}

/* The longest common beginning decides which name was probably meant. */
static const char *
find_near (const DimrGraph *graph,
           const char      *name)
{
  const char *best = NULL;
  gsize best_length = 0;

  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      gsize length = 0;

      if (!is_tap (node))
        continue;
      while (name[length] != '\0' && name[length] == node->name[length])
        length++;
      if (best == NULL || length > best_length)
        {
          best = node->name;
          best_length = length;
        }
    }
  return best;
}

/* Every branch's prediction, then the taps; each node once. */
static GArray *
collect_outputs (const DimrGraph     *graph,
                 const DimrConfig    *config,
                 const char * const  *taps,
                 GError             **error)
{
  g_autoptr (GArray) outputs = g_array_new (FALSE, FALSE, sizeof (DimrNodeId));
  g_autofree gboolean *wanted = g_new0 (gboolean, dimr_graph_get_n_nodes (graph));

  for (guint s = 0; s < dimr_config_get_n_branches (config); s++)
    wanted[dimr_network_find_output (graph, s)] = TRUE;
  for (guint i = 0; taps != NULL && taps[i] != NULL; i++)
    {
      DimrNodeId node = dimr_graph_find (graph, taps[i]);

      if (strcmp (taps[i], "all") == 0)
        for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
          wanted[id] |= is_tap (dimr_graph_peek_node (graph, id));
      else if (node != DIMR_NODE_NONE && is_tap (dimr_graph_peek_node (graph, node)))
        wanted[node] = TRUE;
      else
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST, _("The network has no node '%s' (did you mean '%s'?)"),
                          taps[i], find_near (graph, taps[i]));
          return NULL;
        }
    }
  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    if (wanted[id])
      {
        DimrNodeId node = id;
        g_array_append_val (outputs, node);
      }
  return g_steal_pointer (&outputs);
}

static gboolean
write_outputs (DimrProgram   *program,
               DimrPlan      *plan,
               GArray        *outputs,
               const char    *path,
               GCancellable  *cancellable,
               GError       **error)
{
  DimrGraph *graph = dimr_plan_peek_graph (plan);
  g_autoptr (GPtrArray) tensors = g_ptr_array_new_with_free_func ((GDestroyNotify) dimr_tensor_unref);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < outputs->len; i++)
    {
      DimrNodeId id = dimr_plan_get_output (plan, i);
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      gsize n = dimr_shape_n_elements (&node->shape);
      float *data = g_try_new (float, n);

      if (data == NULL)
        {
          dimr_error_set (error, DIMR_ERROR_MEMORY, _("There is not enough memory for the output '%s'"), node->name);
          return FALSE;
        }
      dimr_program_read (program, id, data, n);
      g_ptr_array_add (tensors, dimr_tensor_new_take (DIMR_DTYPE_F32, &node->shape, data));
      g_ptr_array_add (names, (gpointer) node->name);
    }
  g_ptr_array_add (names, NULL);
  return dimr_safetensors_write (path, (const char * const *) names->pdata, (DimrTensor * const *) tensors->pdata,
                                 NULL, cancellable, NULL, NULL, error);
}

static DimrPrecision
resolve (DimrDevice    *device,
         DimrPrecision  precision)
{
  return precision == DIMR_PRECISION_AUTO ? dimr_device_get_default_precision (device) : precision;
}

gboolean
dimr_forward_file (DimrModel           *model,
                   const char          *device_spec,
                   guint                n_threads,
                   DimrPrecision        precision,
                   const char          *input_path,
                   const char          *output_path,
                   const char * const  *taps,
                   GCancellable        *cancellable,
                   GError             **error)
{
  const DimrConfig *config;
  g_autoptr (DimrWeights) file = NULL;
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (DimrGraph) graph = NULL;
  g_autoptr (GArray) outputs = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (DimrProgram) program = NULL;
  g_auto (Inputs) inputs = { 0 };
  DimrNodeId time;
  gsize x_bytes;

  g_return_val_if_fail (DIMR_IS_MODEL (model) && input_path != NULL && output_path != NULL, FALSE);

  config = dimr_model_peek_config (model);
  file = dimr_weights_open (input_path, cancellable, error);
  if (file == NULL || !read_inputs (&inputs, file, config, error))
    return FALSE;
  graph = dimr_network_build (config, inputs.batch, inputs.batch, inputs.height, inputs.width, error);
  outputs = graph != NULL ? collect_outputs (graph, config, taps, error) : NULL;
  device = outputs != NULL ? dimr_device_open (device_spec, n_threads, error) : NULL;
  if (device == NULL)
    return FALSE;
  precision = resolve (device, precision);
  plan = dimr_plan_new (graph, &g_array_index (outputs, DimrNodeId, 0), outputs->len, device, precision, error);
  if (plan == NULL)
    return FALSE;
  program = dimr_device_compile (device, plan, dimr_model_peek_weights (model), cancellable, error);
  if (program == NULL)
    return FALSE;

  x_bytes = (gsize) inputs.batch * config->channels * inputs.height * inputs.width * sizeof (float);
  dimr_program_write (program, dimr_plan_get_input (plan, "x"), inputs.x, x_bytes);
  time = inputs.time != NULL ? dimr_plan_get_input (plan, dimr_network_get_time_input (config)) : DIMR_NODE_NONE;
  if (time != DIMR_NODE_NONE)
    dimr_program_write (program, time, inputs.time, inputs.batch * sizeof (float));
  if (inputs.y != NULL && dimr_plan_get_input (plan, "y") != DIMR_NODE_NONE)
    dimr_program_write (program, dimr_plan_get_input (plan, "y"), inputs.y, inputs.batch * sizeof (gint32));
  return dimr_program_run (program, cancellable, error) &&
         write_outputs (program, plan, outputs, output_path, cancellable, error);
}

gboolean
dimr_forecast_memory (const DimrConfig  *config,
                      const char        *device_spec,
                      DimrPrecision      precision,
                      gboolean           guided,
                      guint64           *weights_bytes,
                      guint64           *arena_bytes,
                      GError           **error)
{
  g_autoptr (DimrDevice) device = NULL;
  g_autoptr (DimrGraph) graph = NULL;
  g_autoptr (DimrPlan) plan = NULL;
  DimrNodeId output;

  g_return_val_if_fail (config != NULL && weights_bytes != NULL && arena_bytes != NULL, FALSE);

  device = dimr_device_open (device_spec, 0, error);
  if (device == NULL)
    return FALSE;
  precision = resolve (device, precision);
  graph = dimr_network_build (config, (guided && config->has_null_class ? 2 : 1) * dimr_device_get_micro_batch (device), 1,
                              config->image_size, config->image_size, error);
  if (graph == NULL)
    return FALSE;
  output = dimr_network_find_noise (graph, config);
  plan = dimr_plan_new (graph, &output, 1, device, precision, error);
  if (plan == NULL)
    return FALSE;
  *weights_bytes = dimr_plan_get_param_bytes (plan);
  *arena_bytes = dimr_plan_get_arena_size (plan);
  return TRUE;
}
