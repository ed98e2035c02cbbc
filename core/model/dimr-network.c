/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-network.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/model/dimr-architecture.h"

static DimrGraph *
build (const DimrConfig  *config,
       guint              first_branch,
       guint              batch,
       guint              times,
       guint              height,
       guint              width,
       GError           **error)
{
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  DimrNetworkInputs inputs = { DIMR_NODE_NONE, DIMR_NODE_NONE, DIMR_NODE_NONE, first_branch };

  inputs.x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (batch, config->channels, height, width));
  if (config->architecture->time_input != NULL)
    inputs.time = dimr_graph_add_input (graph, config->architecture->time_input, DIMR_DTYPE_F32, DIMR_SHAPE (times));
  if (config->num_classes > 0 && !config->architecture->classifies)
    inputs.y = dimr_graph_add_input (graph, "y", DIMR_DTYPE_I32, DIMR_SHAPE (batch));
  if (inputs.x != DIMR_NODE_NONE && !config->architecture->build (graph, config, &inputs, error))
    return NULL;
  return dimr_graph_finish (graph, error) ? g_steal_pointer (&graph) : NULL;
}

DimrGraph *
dimr_network_build (const DimrConfig  *config,
                    guint              batch,
                    guint              times,
                    guint              height,
                    guint              width,
                    GError           **error)
{
  g_return_val_if_fail (config != NULL && batch > 0, NULL);
  g_return_val_if_fail (times == 1 || times == batch, NULL);
  return build (config, 0, batch, times, height, width, error);
}

DimrGraph *
dimr_network_build_last_branch (const DimrConfig  *config,
                                guint              batch,
                                guint              times,
                                guint              height,
                                guint              width,
                                GError           **error)
{
  g_return_val_if_fail (config != NULL && batch > 0, NULL);
  g_return_val_if_fail (times == 1 || times == batch, NULL);

  if (dimr_config_get_n_branches (config) > 1)
    return build (config, dimr_config_get_n_branches (config) - 1, batch, times, height, width, error);
  g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED,
                       _("This model has a single branch, so there are no lower branches to take from an earlier step"));
  return NULL;
}

DimrNodeId
dimr_network_find_low (const DimrGraph  *graph,
                       const DimrConfig *config)
{
  char name[32];

  g_return_val_if_fail (graph != NULL && config != NULL, DIMR_NODE_NONE);
  g_snprintf (name, sizeof name, "stages.%u.upsample.1", config->n_stages - 1);
  return dimr_graph_find (graph, name);
}

DimrNodeId
dimr_network_find_output (const DimrGraph *graph,
                          guint            branch)
{
  char name[16];

  g_snprintf (name, sizeof name, "out%u", branch);
  return dimr_graph_find (graph, name);
}

DimrNodeId
dimr_network_find_noise (const DimrGraph  *graph,
                         const DimrConfig *config)
{
  DimrNodeId eps;

  g_return_val_if_fail (graph != NULL && config != NULL, DIMR_NODE_NONE);
  eps = dimr_graph_find (graph, "eps");
  return eps != DIMR_NODE_NONE ? eps : dimr_network_find_output (graph, dimr_config_get_n_branches (config) - 1);
}

const char *
dimr_network_get_time_input (const DimrConfig *config)
{
  g_return_val_if_fail (config != NULL, NULL);
  return config->architecture->time_input;
}

gboolean
dimr_network_check (const DimrConfig  *config,
                    DimrWeights       *weights,
                    guint             *n_unused,
                    GError           **error)
{
  g_autoptr (DimrGraph) graph = NULL;
  g_autofree char *first = NULL;
  guint n_params = 0, n_bad = 0;

  g_return_val_if_fail (config != NULL && weights != NULL, FALSE);
  graph = dimr_network_build (config, 1, 1, config->image_size, config->image_size, error);
  if (graph == NULL)
    return FALSE;

  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);
      g_autofree char *wanted = NULL;
      DimrTensor *tensor;

      if (node->op != DIMR_OP_PARAM)
        continue;
      n_params++;
      tensor = dimr_weights_peek (weights, node->name);
      if (tensor != NULL && dimr_shape_equal (dimr_tensor_peek_shape (tensor), &node->shape))
        continue;
      if (n_bad++ > 0)
        continue;
      wanted = dimr_shape_to_string (&node->shape);
      if (tensor == NULL)
        first = g_strdup_printf (_("tensor '%s' %s is missing"), node->name, wanted);
      else
        {
          g_autofree char *found = dimr_shape_to_string (dimr_tensor_peek_shape (tensor));
          first = g_strdup_printf (_("tensor '%s' is %s instead of %s"), node->name, found, wanted);
        }
    }
  if (n_unused != NULL)
    *n_unused = dimr_weights_get_n_tensors (weights) - MIN (n_params - n_bad, dimr_weights_get_n_tensors (weights));
  if (n_bad == 0)
    return TRUE;
  if (n_bad == 1)
    dimr_error_set (error, DIMR_ERROR_MODEL, _("The weights do not fit the configuration: %s; needed are those that belong to it"), first);
  else
    dimr_error_set (error, DIMR_ERROR_MODEL,
                    ngettext ("The weights do not fit the configuration: %s, and %u more does not fit either; needed are those that belong to it",
                              "The weights do not fit the configuration: %s, and %u more do not fit either; needed are those that belong to it",
                              n_bad - 1), first, n_bad - 1);
  return FALSE;
}
