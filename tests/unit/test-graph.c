/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/graph/dimr-arena.h"
#include "core/graph/dimr-device.h"
#include "core/graph/dimr-graph.h"
#include "core/graph/dimr-plan.h"
#include "core/graph/dimr-traffic.h"
#include "core/model/dimr-network.h"

#include <string.h>

#define NO_ATTRS ((DimrAttrs){ 0 })

/* A device that can do everything and computes nothing: planning needs no more. */
#define TEST_TYPE_DEVICE (test_device_get_type ())
G_DECLARE_FINAL_TYPE (TestDevice, test_device, TEST, DEVICE, DimrDevice)

struct _TestDevice
{
  DimrDevice parent_instance;
  DimrOp refused;
  guint64 memory;
};

G_DEFINE_FINAL_TYPE (TestDevice, test_device, DIMR_TYPE_DEVICE)

static gboolean
test_device_supports (DimrDevice       *device,
                      const DimrGraph  *graph,
                      DimrNodeId        node,
                      DimrPrecision     precision,
                      GError          **error)
{
  if (dimr_graph_peek_node (graph, node)->op != TEST_DEVICE (device)->refused)
    return TRUE;
  g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED, "not this one");
  return FALSE;
}

static gsize
test_device_get_workspace (DimrDevice      *device,
                           const DimrGraph *graph,
                           DimrNodeId       node,
                           DimrPrecision    precision)
{
  return dimr_graph_peek_node (graph, node)->op == DIMR_OP_ATTENTION ? 12345 : 0;
}

static void
test_device_get_memory (DimrDevice *device,
                        guint64    *total,
                        guint64    *available)
{
  *total = *available = TEST_DEVICE (device)->memory;
}

static const char *
test_device_get_name (DimrDevice *device)
{
  return "the test device";
}

static void
test_device_class_init (TestDeviceClass *klass)
{
  DimrDeviceClass *device_class = DIMR_DEVICE_CLASS (klass);

  device_class->supports = test_device_supports;
  device_class->get_workspace = test_device_get_workspace;
  device_class->get_memory = test_device_get_memory;
  device_class->get_name = test_device_get_name;
}

static void
test_device_init (TestDevice *self)
{
  self->refused = DIMR_OP_INPUT;
  self->memory = G_GUINT64_CONSTANT (1) << 40;
}

static DimrGraph *
build_variant (const char *name,
               guint       batch)
{
  g_autoptr (DimrConfig) config = dimr_config_new_for_variant (name);
  g_autoptr (GError) error = NULL;
  DimrGraph *graph = dimr_network_build (config, batch, 1, config->image_size, config->image_size, &error);

  g_assert_no_error (error);
  return graph;
}

static void
test_first_error_is_kept (void)
{
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  g_autoptr (GError) error = NULL;
  DimrNodeId x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (2, 5, 8));
  DimrNodeId w = dimr_graph_add_param (graph, "w", DIMR_SHAPE (4, 7));
  DimrNodeId y = dimr_graph_add_op (graph, DIMR_OP_LINEAR, NO_ATTRS, w, DIMR_NODE_NONE, DIMR_NODE_NONE, x);

  g_assert_cmpuint (y, ==, DIMR_NODE_NONE);
  g_assert_cmpuint (dimr_graph_add_op (graph, DIMR_OP_ADD, NO_ATTRS, x, x), ==, DIMR_NODE_NONE);
  g_assert_false (dimr_graph_finish (graph, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_SHAPE);
  g_assert_nonnull (strstr (error->message, "linear of [4, 7] none none [2, 5, 8]"));
}

static void
test_parameters_are_shared_by_name (void)
{
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  DimrNodeId a = dimr_graph_add_param (graph, "w", DIMR_SHAPE (4, 7));

  g_assert_cmpuint (dimr_graph_add_param (graph, "w", DIMR_SHAPE (4, 7)), ==, a);
  g_assert_cmpuint (dimr_graph_add_param (graph, "w", DIMR_SHAPE (7, 4)), ==, DIMR_NODE_NONE);
  g_assert_false (dimr_graph_finish (graph, NULL));
}

/* x + linear (x) and a gate of two products, with taps and without. */
static DimrGraph *
build_small (DimrNodeId *gate,
             DimrNodeId *product,
             DimrNodeId *sum)
{
  DimrGraph *graph = dimr_graph_new ();
  DimrNodeId x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (2, 5, 8));
  DimrNodeId w0 = dimr_graph_add_param (graph, "w0", DIMR_SHAPE (16, 8)), b0 = dimr_graph_add_param (graph, "b0", DIMR_SHAPE (16));
  DimrNodeId w1 = dimr_graph_add_param (graph, "w1", DIMR_SHAPE (16, 8)), b1 = dimr_graph_add_param (graph, "b1", DIMR_SHAPE (16));
  DimrNodeId w2 = dimr_graph_add_param (graph, "w2", DIMR_SHAPE (8, 16));
  DimrNodeId a = dimr_graph_add_op (graph, DIMR_OP_LINEAR, NO_ATTRS, w0, b0, DIMR_NODE_NONE, x);
  DimrNodeId b = dimr_graph_add_op (graph, DIMR_OP_LINEAR, NO_ATTRS, w1, b1, DIMR_NODE_NONE, x);

  *gate = dimr_graph_add_op (graph, DIMR_OP_GEGLU, NO_ATTRS, a, b);
  *product = dimr_graph_add_op (graph, DIMR_OP_LINEAR, NO_ATTRS, w2, DIMR_NODE_NONE, DIMR_NODE_NONE, *gate);
  *sum = dimr_graph_add_op (graph, DIMR_OP_ADD, NO_ATTRS, x, *product);
  g_assert_true (dimr_graph_finish (graph, NULL));
  return graph;
}

static guint
count_ops (DimrGraph *graph,
           DimrOp     op)
{
  guint n = 0;

  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    n += dimr_graph_peek_node (graph, id)->op == op;
  return n;
}

static void
test_fusion_spares_what_is_kept (void)
{
  DimrNodeId gate, product, sum, map[32];
  g_autoptr (DimrGraph) graph = build_small (&gate, &product, &sum);
  g_autoptr (DimrGraph) fused = dimr_graph_fuse (graph, &sum, 1, map);
  const DimrNodeId both[2] = { product, sum };
  g_autoptr (DimrGraph) tapped = NULL;
  const DimrNode *node;

  node = dimr_graph_peek_node (fused, map[sum]);
  g_assert_cmpint (node->op, ==, DIMR_OP_LINEAR);
  g_assert_cmpuint (node->inputs[2], ==, dimr_graph_find (fused, "x"));
  g_assert_cmpuint (count_ops (fused, DIMR_OP_LINEAR_GEGLU), ==, 1);
  g_assert_cmpuint (count_ops (fused, DIMR_OP_LINEAR), ==, 1);
  g_assert_cmpuint (map[product], ==, DIMR_NODE_NONE);

  tapped = dimr_graph_fuse (graph, both, 2, map);
  g_assert_cmpint (dimr_graph_peek_node (tapped, map[sum])->op, ==, DIMR_OP_ADD);
  g_assert_cmpint (dimr_graph_peek_node (tapped, map[product])->op, ==, DIMR_OP_LINEAR);
}

static void
test_arena_reuses_holes (void)
{
  g_autoptr (DimrArena) arena = dimr_arena_new (64);
  gsize a = dimr_arena_reserve (arena, 100), b = dimr_arena_reserve (arena, 1), c = dimr_arena_reserve (arena, 200);

  g_assert_cmpuint (a, ==, 0);
  g_assert_cmpuint (b, ==, 128);
  g_assert_cmpuint (c, ==, 192);
  dimr_arena_release (arena, a, 100);
  g_assert_cmpuint (dimr_arena_reserve (arena, 64), ==, 0);
  dimr_arena_release (arena, 0, 64);
  dimr_arena_release (arena, b, 1); /* joins [0, 128) and [128, 192) */
  g_assert_cmpuint (dimr_arena_reserve (arena, 192), ==, 0);
  dimr_arena_release (arena, c, 200);
  dimr_arena_release (arena, 0, 192);
  g_assert_cmpuint (dimr_arena_reserve (arena, 1000), ==, 0);
  g_assert_cmpuint (dimr_arena_get_size (arena), ==, 1024);
}

/* The invariant of the plan: at every step, the buffers that are alive lie apart. */
static void
check_plan (DimrPlan *plan)
{
  DimrGraph *graph = dimr_plan_peek_graph (plan);
  guint n = dimr_graph_get_n_nodes (graph), n_steps;
  const DimrNodeId *steps = dimr_plan_peek_steps (plan, &n_steps);
  gsize workspace_size, workspace = dimr_plan_get_workspace (plan, &workspace_size);
  g_autofree guint *first = g_new (guint, n), *last = g_new0 (guint, n);

  for (guint id = 0; id < n; id++)
    first[id] = G_MAXUINT;
  for (guint s = 0; s < n_steps; s++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, steps[s]);

      first[steps[s]] = last[steps[s]] = s;
      for (guint i = 0; i < node->n_inputs; i++)
        for (DimrNodeId k = node->inputs[i]; k != DIMR_NODE_NONE;)
          {
            const DimrNode *input = dimr_graph_peek_node (graph, k);
            last[k] = s;
            k = input->op == DIMR_OP_RESHAPE ? input->inputs[0] : DIMR_NODE_NONE;
          }
    }

  for (guint a = 0; a < n_steps; a++)
    {
      const DimrNode *x = dimr_graph_peek_node (graph, steps[a]);
      gsize begin = dimr_plan_get_offset (plan, steps[a]), end = begin + dimr_shape_n_elements (&x->shape) * 4;

      g_assert_cmpuint (begin % DIMR_ARENA_ALIGNMENT, ==, 0);
      g_assert_cmpuint (end, <=, workspace);
      for (guint b = a + 1; b < n_steps && b <= last[steps[a]]; b++)
        {
          const DimrNode *y = dimr_graph_peek_node (graph, steps[b]);
          gsize other = dimr_plan_get_offset (plan, steps[b]), other_end = other + dimr_shape_n_elements (&y->shape) * 4;
          gboolean takes_over = other == begin && last[steps[a]] == b && dimr_op_get_info (y->op)->in_place != 0;

          g_assert_true (takes_over || other >= end || other_end <= begin);
        }
    }
  g_assert_cmpuint (workspace + workspace_size, ==, dimr_plan_get_arena_size (plan));
}

static void
test_plan_never_overlaps (void)
{
  g_autoptr (DimrDevice) device = g_object_new (TEST_TYPE_DEVICE, NULL);
  const char * const *names = dimr_config_list_variants ();

  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autoptr (DimrGraph) graph = build_variant (names[i], 2);
      g_autoptr (GError) error = NULL;
      g_autoptr (DimrPlan) plan = NULL;
      static const char * const wanted[] = { "out0", "out1", "stages.0.blocks.3.out", "mid_block", "blocks.3" };
      DimrNodeId outputs[G_N_ELEMENTS (wanted)];
      guint n_outputs = 0;

      for (guint k = 0; k < G_N_ELEMENTS (wanted); k++)
        if ((outputs[n_outputs] = dimr_graph_find (graph, wanted[k])) != DIMR_NODE_NONE)
          n_outputs++;
      g_assert_cmpuint (n_outputs, >=, 2);
      plan = dimr_plan_new (graph, outputs, n_outputs, device, DIMR_PRECISION_F32, &error);
      g_assert_no_error (error);
      check_plan (plan);
    }
}

static void
test_plan_refuses_before_running (void)
{
  g_autoptr (TestDevice) device = g_object_new (TEST_TYPE_DEVICE, NULL);
  g_autoptr (DimrGraph) graph = build_variant ("DiMR-M/3R", 1);
  DimrNodeId output = dimr_graph_find (graph, "out2");
  g_autoptr (GError) error = NULL;

  device->refused = DIMR_OP_ATTENTION;
  g_assert_null (dimr_plan_new (graph, &output, 1, DIMR_DEVICE (device), DIMR_PRECISION_F32, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_UNSUPPORTED);
  g_clear_error (&error);

  device->refused = DIMR_OP_INPUT;
  device->memory = 100 << 20;
  g_assert_null (dimr_plan_new (graph, &output, 1, DIMR_DEVICE (device), DIMR_PRECISION_F32, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY);
  g_assert_nonnull (strstr (error->message, "has 100 MiB free"));
}

/* Bytes of the one step of a graph that computes @output. */
static guint64
get_traffic (DimrGraph     *graph,
             DimrNodeId     output,
             DimrPrecision  precision)
{
  g_autoptr (DimrDevice) device = g_object_new (TEST_TYPE_DEVICE, NULL);
  g_autoptr (DimrPlan) plan = NULL;
  g_autoptr (GError) error = NULL;
  guint n_steps;

  dimr_graph_finish (graph, &error);
  g_assert_no_error (error);
  plan = dimr_plan_new (graph, &output, 1, device, precision, &error);
  g_assert_no_error (error);
  dimr_plan_peek_steps (plan, &n_steps);
  g_assert_cmpuint (n_steps, ==, 1);
  return dimr_plan_get_traffic (plan, dimr_plan_get_output (plan, 0));
}

/* y [2, 5, 4], x [2, 5, 8], a matrix and a bias; only the matrix shrinks with the precision. */
static void
test_traffic_of_a_product (void)
{
  for (DimrPrecision precision = DIMR_PRECISION_F32; precision <= DIMR_PRECISION_BF16; precision++)
    {
      g_autoptr (DimrGraph) graph = dimr_graph_new ();
      DimrNodeId x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (2, 5, 8));
      DimrNodeId w = dimr_graph_add_param (graph, "w", DIMR_SHAPE (4, 8)), b = dimr_graph_add_param (graph, "b", DIMR_SHAPE (4));
      DimrNodeId y = dimr_graph_add_op (graph, DIMR_OP_LINEAR, NO_ATTRS, w, b, DIMR_NODE_NONE, x);
      const guint64 matrix = precision == DIMR_PRECISION_BF16 ? 2 : 4;

      g_assert_cmpuint (get_traffic (graph, y, precision), ==, 4 * 2 * 5 * (4 + 8) + 4 * 4 + matrix * 4 * 8);
    }
}

/* The residual of a block's first half is its input: read once. Of a table of classes only two rows are. */
static void
test_traffic_counts_what_is_read (void)
{
  g_autoptr (DimrGraph) block = dimr_graph_new (), lookup = dimr_graph_new (), slice = dimr_graph_new ();
  DimrNodeId x = dimr_graph_add_input (block, "x", DIMR_DTYPE_F32, DIMR_SHAPE (1, 6, 6, 8));
  DimrNodeId w = dimr_graph_add_param (block, "w", DIMR_SHAPE (8, 1, 3, 3)), table, y;

  y = dimr_graph_add_op (block, DIMR_OP_DEPTHWISE_CONV, NO_ATTRS, x, w, DIMR_NODE_NONE,
                         dimr_graph_add_reshape (block, x, DIMR_SHAPE (1, 6, 6, 8)));
  g_assert_cmpuint (get_traffic (block, y, DIMR_PRECISION_F32), ==, 4 * (6 * 6 * 8 * 2 + 8 * 9));

  table = dimr_graph_add_param (lookup, "table", DIMR_SHAPE (1001, 16));
  y = dimr_graph_add_input (lookup, "y", DIMR_DTYPE_I32, DIMR_SHAPE (2));
  y = dimr_graph_add_op (lookup, DIMR_OP_EMBEDDING, NO_ATTRS, table, y);
  g_assert_cmpuint (get_traffic (lookup, y, DIMR_PRECISION_F32), ==, 4 * (2 * 16 * 2 + 2));

  x = dimr_graph_add_input (slice, "x", DIMR_DTYPE_F32, DIMR_SHAPE (2, 65, 8));
  y = dimr_graph_add_op (slice, DIMR_OP_SLICE_TOKENS, ((DimrAttrs){ .start = 1, .length = 64 }), x);
  g_assert_cmpuint (get_traffic (slice, y, DIMR_PRECISION_F32), ==, 4 * 2 * 64 * 8 * 2);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/graph/first-error-is-kept", test_first_error_is_kept);
  g_test_add_func ("/graph/parameters-are-shared-by-name", test_parameters_are_shared_by_name);
  g_test_add_func ("/graph/fusion-spares-what-is-kept", test_fusion_spares_what_is_kept);
  g_test_add_func ("/graph/arena-reuses-holes", test_arena_reuses_holes);
  g_test_add_func ("/graph/plan-never-overlaps", test_plan_never_overlaps);
  g_test_add_func ("/graph/plan-refuses-before-running", test_plan_refuses_before_running);
  g_test_add_func ("/graph/traffic/of-a-product", test_traffic_of_a_product);
  g_test_add_func ("/graph/traffic/counts-what-is-read", test_traffic_counts_what_is_read);
  return g_test_run ();
}
