/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph/dimr-graph-private.h"

#include "core/base/dimr-error.h"

#include <stdarg.h>
#include <string.h>

struct _DimrGraph
{
  gatomicrefcount ref_count;
  GPtrArray *nodes;      /* DimrNode, owned */
  GHashTable *by_name;   /* name (owned by its node's string chunk) → id + 1 */
  GStringChunk *names;
  GError *error;         /* the first that happened while building */
  gboolean finished;
};

static void
node_free (gpointer data)
{
  DimrNode *node = data;

  g_free ((gpointer) node->inputs);
  g_free (node);
}

DimrGraph *
dimr_graph_new (void)
{
  DimrGraph *self = g_new0 (DimrGraph, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->nodes = g_ptr_array_new_with_free_func (node_free);
  self->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  self->names = g_string_chunk_new (4096);
  return self;
}

DimrGraph *
dimr_graph_ref (DimrGraph *self)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
dimr_graph_unref (DimrGraph *self)
{
  g_return_if_fail (self != NULL);
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_ptr_array_unref (self->nodes);
  g_hash_table_unref (self->by_name);
  g_string_chunk_free (self->names);
  g_clear_error (&self->error);
  g_free (self);
}

void
dimr_graph_fail (DimrGraph  *self,
                 const char *format,
                 ...)
{
  va_list args;

  if (self->error != NULL)
    return;
  va_start (args, format);
  self->error = g_error_new_valist (DIMR_ERROR, DIMR_ERROR_SHAPE, format, args);
  va_end (args);
}

static DimrNodeId
append (DimrGraph        *self,
        DimrOp            op,
        DimrDType         dtype,
        DimrShape         shape,
        DimrAttrs         attrs,
        const DimrNodeId *inputs,
        guint             n_inputs)
{
  DimrNode *node = g_new0 (DimrNode, 1);

  node->op = op;
  node->dtype = dtype;
  node->shape = shape;
  node->attrs = attrs;
  node->n_inputs = n_inputs;
  node->inputs = g_memdup2 (inputs, n_inputs * sizeof inputs[0]);
  g_ptr_array_add (self->nodes, node);
  return self->nodes->len - 1;
}

static void
name_node (DimrGraph  *self,
           DimrNodeId  id,
           const char *name)
{
  DimrNode *node = g_ptr_array_index (self->nodes, id);
  char *kept = g_string_chunk_insert (self->names, name);

  if (g_hash_table_contains (self->by_name, name))
    {
      dimr_graph_fail (self, "Two nodes of the network are called '%s'", name);
      return;
    }
  g_assert (node->name == NULL);
  node->name = kept;
  g_hash_table_insert (self->by_name, kept, GUINT_TO_POINTER (id + 1));
}

static gboolean
may_build (DimrGraph *self)
{
  g_return_val_if_fail (self != NULL && !self->finished, FALSE);
  return self->error == NULL;
}

static gboolean
check_shape (DimrGraph       *self,
             const char      *name,
             const DimrShape *shape,
             DimrDType        dtype)
{
  guint64 n_bytes;

  if (!dimr_shape_n_bytes (shape, dtype, &n_bytes) || n_bytes == 0)
    {
      g_autofree char *text = dimr_shape_to_string (shape);
      dimr_graph_fail (self, "'%s' would have the impossible shape %s", name, text);
      return FALSE;
    }
  return TRUE;
}

DimrNodeId
dimr_graph_add_input (DimrGraph  *self,
                      const char *name,
                      DimrDType   dtype,
                      DimrShape   shape)
{
  DimrNodeId id;

  g_return_val_if_fail (name != NULL, DIMR_NODE_NONE);
  if (!may_build (self) || !check_shape (self, name, &shape, dtype))
    return DIMR_NODE_NONE;
  id = append (self, DIMR_OP_INPUT, dtype, shape, (DimrAttrs){ 0 }, NULL, 0);
  name_node (self, id, name);
  return id;
}

DimrNodeId
dimr_graph_add_param (DimrGraph  *self,
                      const char *name,
                      DimrShape   shape)
{
  DimrNodeId id;

  g_return_val_if_fail (name != NULL, DIMR_NODE_NONE);
  if (!may_build (self) || !check_shape (self, name, &shape, DIMR_DTYPE_F32))
    return DIMR_NODE_NONE;

  id = dimr_graph_find (self, name);
  if (id != DIMR_NODE_NONE)
    {
      const DimrNode *node = dimr_graph_peek_node (self, id);

      if (node->op == DIMR_OP_PARAM && dimr_shape_equal (&node->shape, &shape))
        return id;
      dimr_graph_fail (self, "The parameter '%s' is used with two shapes", name);
      return DIMR_NODE_NONE;
    }
  id = append (self, DIMR_OP_PARAM, DIMR_DTYPE_F32, shape, (DimrAttrs){ 0 }, NULL, 0);
  name_node (self, id, name);
  return id;
}

/* The shapes behind @inputs; FALSE where a slot holds what it may not. */
static gboolean
collect_shapes (DimrGraph         *self,
                const DimrOpInfo  *info,
                const DimrNodeId  *inputs,
                guint              n_inputs,
                const DimrShape  **shapes)
{
  if (n_inputs < info->min_inputs || n_inputs > info->max_inputs)
    {
      dimr_graph_fail (self, "%s: has %u inputs", info->name, n_inputs);
      return FALSE;
    }
  for (guint i = 0; i < n_inputs; i++)
    {
      if (inputs[i] == DIMR_NODE_NONE && i < 32 && (info->optional & 1u << i))
        shapes[i] = NULL;
      else if (inputs[i] < self->nodes->len)
        shapes[i] = &dimr_graph_peek_node (self, inputs[i])->shape;
      else
        {
          dimr_graph_fail (self, "%s: input %u is missing", info->name, i);
          return FALSE;
        }
    }
  return TRUE;
}

static void
fail_with_shapes (DimrGraph               *self,
                  const DimrOpInfo        *info,
                  const DimrShape * const *shapes,
                  guint                    n_inputs,
                  const char              *reason)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < MIN (n_inputs, 6); i++)
    {
      g_autofree char *shape = shapes[i] != NULL ? dimr_shape_to_string (shapes[i]) : g_strdup ("none");
      g_string_append_printf (text, "%s%s", i ? " " : "", shape);
    }
  dimr_graph_fail (self, "%s of %s: %s", info->name, text->str, reason);
}

DimrNodeId
dimr_graph_add (DimrGraph        *self,
                DimrOp            op,
                DimrAttrs         attrs,
                const DimrNodeId *inputs,
                guint             n_inputs)
{
  const DimrOpInfo *info = dimr_op_get_info (op);
  g_autofree const DimrShape **shapes = g_new0 (const DimrShape *, MAX (n_inputs, 1));
  g_autoptr (GError) error = NULL;
  DimrShape shape;

  g_return_val_if_fail (op > DIMR_OP_RESHAPE && op < DIMR_N_OPS, DIMR_NODE_NONE);
  if (!may_build (self) || !collect_shapes (self, info, inputs, n_inputs, shapes))
    return DIMR_NODE_NONE;
  if (!info->infer (&attrs, shapes, n_inputs, &shape, &error))
    {
      fail_with_shapes (self, info, shapes, n_inputs, error->message);
      return DIMR_NODE_NONE;
    }
  if (!check_shape (self, info->name, &shape, DIMR_DTYPE_F32))
    return DIMR_NODE_NONE;
  return append (self, op, DIMR_DTYPE_F32, shape, attrs, inputs, n_inputs);
}

DimrNodeId
dimr_graph_add_reshape (DimrGraph  *self,
                        DimrNodeId  x,
                        DimrShape   shape)
{
  const DimrNode *node;

  if (!may_build (self))
    return DIMR_NODE_NONE;
  g_return_val_if_fail (x < self->nodes->len, DIMR_NODE_NONE);
  node = dimr_graph_peek_node (self, x);
  if (!check_shape (self, "reshape", &shape, node->dtype))
    return DIMR_NODE_NONE;
  if (dimr_shape_n_elements (&shape) != dimr_shape_n_elements (&node->shape))
    {
      g_autofree char *from = dimr_shape_to_string (&node->shape), *to = dimr_shape_to_string (&shape);
      dimr_graph_fail (self, "reshape of %s to %s: another number of elements", from, to);
      return DIMR_NODE_NONE;
    }
  return append (self, DIMR_OP_RESHAPE, node->dtype, shape, (DimrAttrs){ 0 }, &x, 1);
}

DimrNodeId
dimr_graph_add_constant (DimrGraph  *self,
                         DimrNodeId  x)
{
  const DimrNode *node;

  if (!may_build (self))
    return DIMR_NODE_NONE;
  g_return_val_if_fail (x < self->nodes->len, DIMR_NODE_NONE);
  node = dimr_graph_peek_node (self, x);
  return append (self, DIMR_OP_RESHAPE, node->dtype, node->shape, (DimrAttrs){ .constant = TRUE }, &x, 1);
}

void
dimr_graph_set_name (DimrGraph  *self,
                     DimrNodeId  node,
                     const char *format,
                     ...)
{
  g_autofree char *name = NULL;
  va_list args;

  if (!may_build (self))
    return;
  g_return_if_fail (node < self->nodes->len);
  va_start (args, format);
  name = g_strdup_vprintf (format, args);
  va_end (args);
  name_node (self, node, name);
}

gboolean
dimr_graph_finish (DimrGraph  *self,
                   GError    **error)
{
  g_return_val_if_fail (self != NULL, FALSE);

  self->finished = TRUE;
  if (self->error == NULL)
    return TRUE;
  if (error != NULL)
    *error = g_error_copy (self->error);
  return FALSE;
}

guint
dimr_graph_get_n_nodes (const DimrGraph *self)
{
  g_return_val_if_fail (self != NULL, 0);
  return self->nodes->len;
}

const DimrNode *
dimr_graph_peek_node (const DimrGraph *self,
                      DimrNodeId       node)
{
  g_return_val_if_fail (self != NULL && node < self->nodes->len, NULL);
  return g_ptr_array_index (self->nodes, node);
}

DimrNodeId
dimr_graph_find (const DimrGraph *self,
                 const char      *name)
{
  guint found;

  g_return_val_if_fail (self != NULL && name != NULL, DIMR_NODE_NONE);
  found = GPOINTER_TO_UINT (g_hash_table_lookup (self->by_name, name));
  return found > 0 ? found - 1 : DIMR_NODE_NONE;
}

guint64
dimr_graph_get_macs (const DimrGraph *self,
                     DimrNodeId       id)
{
  const DimrNode *node = dimr_graph_peek_node (self, id);
  const DimrOpInfo *info = dimr_op_get_info (node->op);
  g_autofree const DimrShape **shapes = NULL;

  if (info->macs == NULL)
    return 0;
  shapes = g_new0 (const DimrShape *, node->n_inputs);
  for (guint i = 0; i < node->n_inputs; i++)
    if (node->inputs[i] != DIMR_NODE_NONE)
      shapes[i] = &dimr_graph_peek_node (self, node->inputs[i])->shape;
  return info->macs (&node->attrs, shapes, node->n_inputs, &node->shape);
}

char *
dimr_graph_to_string (const DimrGraph *self)
{
  GString *text = g_string_new (NULL);

  g_return_val_if_fail (self != NULL, NULL);
  for (guint id = 0; id < self->nodes->len; id++)
    {
      const DimrNode *node = dimr_graph_peek_node (self, id);
      g_autofree char *shape = dimr_shape_to_string (&node->shape);

      g_string_append_printf (text, "%u %s %s (", id, dimr_op_get_info (node->op)->name, shape);
      for (guint i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] == DIMR_NODE_NONE)
          g_string_append (text, i ? " -" : "-");
        else
          g_string_append_printf (text, "%s%u", i ? " " : "", node->inputs[i]);
      g_string_append_printf (text, ")%s%s\n", node->name ? " " : "", node->name ? node->name : "");
    }
  return g_string_free (text, FALSE);
}
