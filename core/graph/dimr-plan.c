/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-plan.h"

#include "core/base/dimr-checked.h"
#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/graph/dimr-arena.h"
#include "core/graph/dimr-device.h"

/* Invariants: a node and its reshapes share one root, which alone has a place; two roots whose
 * lives overlap never share a byte of the arena (tests/unit/test-graph.c proves it on real plans). */
struct _DimrPlan
{
  gatomicrefcount ref_count;
  DimrGraph *graph;
  DimrPrecision precision;
  DimrNodeId *outputs;
  DimrNodeId *steps;
  guint n_steps;
  DimrNodeId *roots; /* [n_nodes] */
  gsize *offsets;    /* [n_nodes] of roots */
  DimrDType *storage;/* [n_nodes] of roots */
  gsize workspace_offset;
  gsize workspace_size;
  gsize arena_size;
  gsize param_bytes;
  guint64 macs;
};

#define FOREVER G_MAXUINT

DimrPlan *
dimr_plan_ref (DimrPlan *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
dimr_plan_unref (DimrPlan *self)
{
  g_return_if_fail (self != NULL);
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_clear_pointer (&self->graph, dimr_graph_unref);
  g_free (self->outputs);
  g_free (self->steps);
  g_free (self->roots);
  g_free (self->offsets);
  g_free (self->storage);
  g_free (self);
}

static const DimrNode *
peek (const DimrPlan *self,
      DimrNodeId      id)
{
  return dimr_graph_peek_node (self->graph, id);
}

/* As the device keeps it in the arena. */
static gsize
node_bytes (const DimrPlan *self,
            DimrNodeId      id)
{
  return dimr_shape_n_elements (&peek (self, id)->shape) * dimr_dtype_size (self->storage[id]);
}

static void
fuse (DimrPlan         *self,
      DimrGraph        *graph,
      const DimrNodeId *outputs,
      guint             n_outputs)
{
  g_autofree DimrNodeId *map = g_new (DimrNodeId, dimr_graph_get_n_nodes (graph));

  self->graph = dimr_graph_fuse (graph, outputs, n_outputs, map);
  self->outputs = g_new (DimrNodeId, n_outputs);
  for (guint i = 0; i < n_outputs; i++)
    self->outputs[i] = map[outputs[i]];
}

static void
list_steps (DimrPlan *self)
{
  guint n = dimr_graph_get_n_nodes (self->graph);

  self->steps = g_new (DimrNodeId, MAX (n, 1));
  self->roots = g_new (DimrNodeId, MAX (n, 1));
  for (guint id = 0; id < n; id++)
    {
      const DimrNode *node = peek (self, id);

      self->roots[id] = node->op == DIMR_OP_RESHAPE ? self->roots[node->inputs[0]] : id;
      if (node->op == DIMR_OP_PARAM)
        {
          gsize size = self->precision == DIMR_PRECISION_F32 ? 4 : 2;
          self->param_bytes += dimr_shape_n_elements (&node->shape) * size;
        }
      else if (node->op != DIMR_OP_INPUT && node->op != DIMR_OP_RESHAPE)
        {
          self->steps[self->n_steps++] = id;
          self->macs += dimr_graph_get_macs (self->graph, id);
        }
    }
}

/* Step after which each root is dead. Inputs stay: a caller may write one once and run often. */
static guint *
find_last_uses (DimrPlan *self,
                guint     n_outputs)
{
  guint n = dimr_graph_get_n_nodes (self->graph);
  guint *last = g_new0 (guint, MAX (n, 1));

  for (guint s = 0; s < self->n_steps; s++)
    {
      const DimrNode *node = peek (self, self->steps[s]);

      for (guint i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] != DIMR_NODE_NONE)
          last[self->roots[node->inputs[i]]] = s;
    }
  for (guint id = 0; id < n; id++)
    if (peek (self, id)->op == DIMR_OP_INPUT)
      last[id] = FOREVER;
  for (guint i = 0; i < n_outputs; i++)
    last[self->roots[self->outputs[i]]] = FOREVER;
  return last;
}

/* The root whose buffer step @s may write over; DIMR_NODE_NONE where there is none. */
static DimrNodeId
find_in_place (DimrPlan    *self,
               guint        s,
               const guint *last)
{
  const DimrNode *node = peek (self, self->steps[s]);
  guint slots = dimr_op_get_info (node->op)->in_place;

  for (guint i = 0; i < node->n_inputs && i < 32; i++)
    {
      DimrNodeId root;
      guint uses = 0;

      if (!(slots & 1u << i) || node->inputs[i] == DIMR_NODE_NONE)
        continue;
      root = self->roots[node->inputs[i]];
      for (guint k = 0; k < node->n_inputs; k++)
        uses += node->inputs[k] != DIMR_NODE_NONE && self->roots[node->inputs[k]] == root;
      if (uses == 1 && last[root] == s && peek (self, root)->op != DIMR_OP_PARAM &&
          node_bytes (self, root) == node_bytes (self, self->steps[s]))
        return root;
    }
  return DIMR_NODE_NONE;
}

static void
release_inputs (DimrPlan    *self,
                DimrArena   *arena,
                guint        s,
                const guint *last,
                DimrNodeId   taken)
{
  const DimrNode *node = peek (self, self->steps[s]);

  for (guint i = 0; i < node->n_inputs; i++)
    {
      DimrNodeId root;
      gboolean seen = FALSE;

      if (node->inputs[i] == DIMR_NODE_NONE)
        continue;
      root = self->roots[node->inputs[i]];
      for (guint k = 0; k < i; k++)
        seen |= node->inputs[k] != DIMR_NODE_NONE && self->roots[node->inputs[k]] == root;
      if (!seen && root != taken && last[root] == s && self->offsets[root] != DIMR_OFFSET_NONE)
        dimr_arena_release (arena, self->offsets[root], node_bytes (self, root));
    }
}

static void
place (DimrPlan   *self,
       guint       n_outputs,
       DimrDevice *device)
{
  guint n = dimr_graph_get_n_nodes (self->graph);
  g_autofree guint *last = find_last_uses (self, n_outputs);
  g_autoptr (DimrArena) arena = dimr_arena_new (DIMR_ARENA_ALIGNMENT);

  self->offsets = g_new (gsize, MAX (n, 1));
  self->storage = g_new (DimrDType, MAX (n, 1));
  for (guint id = 0; id < n; id++)
    self->storage[id] = dimr_device_get_storage (device, self->graph, self->roots[id], self->precision);
  for (guint id = 0; id < n; id++)
    self->offsets[id] = peek (self, id)->op == DIMR_OP_INPUT
                          ? dimr_arena_reserve (arena, node_bytes (self, id))
                          : DIMR_OFFSET_NONE;

  for (guint s = 0; s < self->n_steps; s++)
    {
      DimrNodeId id = self->steps[s], taken = find_in_place (self, s, last);
      gsize workspace = dimr_device_get_workspace (device, self->graph, id, self->precision);

      self->offsets[id] = taken != DIMR_NODE_NONE
                            ? self->offsets[taken]
                            : dimr_arena_reserve (arena, node_bytes (self, id));
      self->workspace_size = MAX (self->workspace_size, workspace);
      release_inputs (self, arena, s, last, taken);
    }
  self->workspace_offset = dimr_arena_get_size (arena);
  self->arena_size = self->workspace_offset + self->workspace_size;
}

static gboolean
check_support (DimrPlan    *self,
               DimrDevice  *device,
               GError     **error)
{
  for (guint s = 0; s < self->n_steps; s++)
    if (!dimr_device_supports (device, self->graph, self->steps[s], self->precision, error))
      return FALSE;
  return TRUE;
}

static gboolean
check_memory (DimrPlan    *self,
              DimrDevice  *device,
              GError     **error)
{
  guint64 total = 0, available = 0, needed = self->arena_size;

  dimr_device_get_memory (device, &total, &available);
  if (!dimr_checked_add (needed, self->param_bytes, &needed) || needed > available)
    {
      dimr_error_set (error, DIMR_ERROR_MEMORY,
                      _("This needs %" PRIu64 " MiB of memory and %s has %" PRIu64
                        " MiB free; use a smaller batch or a smaller model"),
                      needed >> 20, dimr_device_get_name (device), available >> 20);
      return FALSE;
    }
  return TRUE;
}

DimrPlan *
dimr_plan_new_forecast (DimrGraph         *graph,
                        const DimrNodeId  *outputs,
                        guint              n_outputs,
                        DimrDevice        *device,
                        DimrPrecision      precision,
                        GError           **error)
{
  g_autoptr (DimrPlan) self = NULL;

  g_return_val_if_fail (graph != NULL && outputs != NULL && n_outputs > 0, NULL);
  g_return_val_if_fail (DIMR_IS_DEVICE (device), NULL);
  g_return_val_if_fail (precision != DIMR_PRECISION_AUTO, NULL);

  if (!dimr_device_check_precision (device, precision, error))
    return NULL;
  self = g_new0 (DimrPlan, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->precision = precision;
  fuse (self, graph, outputs, n_outputs);
  list_steps (self);
  place (self, n_outputs, device);
  return check_support (self, device, error) ? g_steal_pointer (&self) : NULL;
}

DimrPlan *
dimr_plan_new (DimrGraph         *graph,
               const DimrNodeId  *outputs,
               guint              n_outputs,
               DimrDevice        *device,
               DimrPrecision      precision,
               GError           **error)
{
  g_autoptr (DimrPlan) self = dimr_plan_new_forecast (graph, outputs, n_outputs, device, precision, error);

  return self != NULL && check_memory (self, device, error) ? g_steal_pointer (&self) : NULL;
}

DimrGraph *
dimr_plan_peek_graph (DimrPlan *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  return self->graph;
}

DimrPrecision
dimr_plan_get_precision (DimrPlan *self)
{
  g_return_val_if_fail (self != NULL, DIMR_PRECISION_F32);
  return self->precision;
}

const DimrNodeId *
dimr_plan_peek_steps (DimrPlan *self,
                      guint    *n_steps)
{
  g_return_val_if_fail (self != NULL && n_steps != NULL, NULL);
  *n_steps = self->n_steps;
  return self->steps;
}

gsize
dimr_plan_get_offset (DimrPlan   *self,
                      DimrNodeId  node)
{
  g_return_val_if_fail (self != NULL && node < dimr_graph_get_n_nodes (self->graph), DIMR_OFFSET_NONE);
  return self->offsets[self->roots[node]];
}

DimrDType
dimr_plan_get_storage (DimrPlan   *self,
                       DimrNodeId  node)
{
  g_return_val_if_fail (self != NULL && node < dimr_graph_get_n_nodes (self->graph), DIMR_DTYPE_F32);
  return self->storage[node];
}

DimrNodeId
dimr_plan_get_param (DimrPlan   *self,
                     DimrNodeId  node)
{
  DimrNodeId root;

  g_return_val_if_fail (self != NULL && node < dimr_graph_get_n_nodes (self->graph), DIMR_NODE_NONE);
  root = self->roots[node];
  return peek (self, root)->op == DIMR_OP_PARAM ? root : DIMR_NODE_NONE;
}

DimrNodeId
dimr_plan_get_output (DimrPlan *self,
                      guint     i)
{
  g_return_val_if_fail (self != NULL, DIMR_NODE_NONE);
  return self->outputs[i];
}

DimrNodeId
dimr_plan_get_input (DimrPlan   *self,
                     const char *name)
{
  DimrNodeId node;

  g_return_val_if_fail (self != NULL && name != NULL, DIMR_NODE_NONE);
  node = dimr_graph_find (self->graph, name);
  return node != DIMR_NODE_NONE && peek (self, node)->op == DIMR_OP_INPUT ? node : DIMR_NODE_NONE;
}

gsize
dimr_plan_get_arena_size (DimrPlan *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->arena_size;
}

gsize
dimr_plan_get_workspace (DimrPlan *self,
                         gsize    *size)
{
  g_return_val_if_fail (self != NULL, 0);
  if (size != NULL)
    *size = self->workspace_size;
  return self->workspace_offset;
}

gsize
dimr_plan_get_param_bytes (DimrPlan *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->param_bytes;
}

guint64
dimr_plan_get_macs (DimrPlan *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->macs;
}
