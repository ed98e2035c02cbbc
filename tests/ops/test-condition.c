/* The ops that U-ViT, DiT and the ablation forms of DiMR need beside DiMR's own, against slow
 * arithmetic in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "op-case.h"

static const gint64 widths[] = { 1, 3, 8, 15, 16, 17, 48, 65, 130 };

#define ATTRS(...) ((DimrAttrs){ __VA_ARGS__ })
#define NO_ATTRS ((DimrAttrs){ 0 })
#define ADD_OP(c, op, attrs, ...) dimr_graph_add_op (op_case_graph (c), op, attrs, __VA_ARGS__)

static void
test_unary (void)
{
  static const DimrOp ops[] = { DIMR_OP_SILU, DIMR_OP_GELU, DIMR_OP_GELU_TANH };
  static const gint64 sizes[] = { 1, 7, 64, 50001 };

  for (guint o = 0; o < G_N_ELEMENTS (ops); o++)
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (1, sizes[i]), .5, 4);
        DimrNodeId first = ADD_OP (c, ops[o], NO_ATTRS, x);

        op_case_check (c, ADD_OP (c, ops[o], NO_ATTRS, first), OP_F32); /* writes over @first */
      }
}

/* Far out they are x or 0, and never NaN. */
static void
test_unary_far_out (void)
{
  static const DimrOp ops[] = { DIMR_OP_SILU, DIMR_OP_GELU, DIMR_OP_GELU_TANH };

  for (guint o = 0; o < G_N_ELEMENTS (ops); o++)
    {
      g_autoptr (OpCase) c = op_case_new ();

      op_case_check (c, ADD_OP (c, ops[o], NO_ATTRS, op_case_input (c, DIMR_SHAPE (1, 999), 0, 1000)), 1e-14);
    }
}

static void
test_modulate (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (widths); i++)
    for (gint64 times = 1; times <= 3; times += 2)
      {
        g_autoptr (OpCase) c = op_case_new ();
        const gint64 d = widths[i];
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (3, 37, d), 0, 1);
        DimrNodeId shift = op_case_input (c, DIMR_SHAPE (times, d), 0, 1), scale = op_case_input (c, DIMR_SHAPE (times, d), 0, 1);
        DimrNodeId y = ADD_OP (c, DIMR_OP_MODULATE, NO_ATTRS, x, shift, scale);

        op_case_check (c, ADD_OP (c, DIMR_OP_MODULATE, NO_ATTRS, y, scale, shift), OP_F32);
      }
}

static void
test_modulate_without_scale (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (3, 4, 5, 33), 0, 1), shift = op_case_input (c, DIMR_SHAPE (3, 33), 0, 1);

  op_case_check (c, ADD_OP (c, DIMR_OP_MODULATE, NO_ATTRS, x, shift, DIMR_NODE_NONE), OP_F32);
}

/* One scale an image, as a class token gives it, and one a column, as a row of a map does. */
static void
test_ada_rms_norm (void)
{
  static const gint64 ms[] = { 1, 5, 7 };

  for (guint i = 0; i < G_N_ELEMENTS (widths); i++)
    for (guint k = 0; k < G_N_ELEMENTS (ms); k++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (3, 5, 7, widths[i]), 0, 2);
        DimrNodeId scale = op_case_input (c, DIMR_SHAPE (3, ms[k], widths[i]), 0, 1);
        DimrNodeId sum = ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, x, x);

        op_case_check (c, ADD_OP (c, DIMR_OP_ADA_RMS_NORM, ATTRS (.eps = 1e-6), sum, scale), OP_F32);
      }
}

static void
test_axial_rope (void)
{
  /* heads, their width, frequencies, rows, columns, tokens that are not turned */
  static const gint64 cases[][6] = { { 1, 4, 1, 3, 3, 0 }, { 2, 15, 3, 4, 7, 0 }, { 3, 16, 4, 6, 2, 1 }, { 2, 9, 1, 1, 5, 2 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      const gint64 heads = cases[i][0], f = cases[i][2], tokens = cases[i][5] + cases[i][3] * cases[i][4];
      DimrNodeId qkv = op_case_input (c, DIMR_SHAPE (2, tokens, 3 * heads * cases[i][1]), 0, 1);
      DimrNodeId h = op_case_param (c, DIMR_SHAPE (heads, f), 1, .5), w = op_case_param (c, DIMR_SHAPE (heads, f), 1, .5);
      DimrNodeId scale = op_case_param (c, DIMR_SHAPE (heads), 4.6, 1);
      DimrNodeId twice = ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, qkv, qkv);
      const DimrAttrs attrs = ATTRS (.n_heads = (guint) heads, .width = (guint) cases[i][4], .start = (guint) cases[i][5], .eps = 1e-6);

      op_case_check (c, ADD_OP (c, DIMR_OP_AXIAL_ROPE, attrs, twice, h, w, scale), OP_F32);
    }
}

static void
test_gated_add (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (widths); i++)
    for (gint64 times = 1; times <= 2; times++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        const gint64 d = widths[i];
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 3, 5, d), 0, 1), f = op_case_input (c, DIMR_SHAPE (2, 3, 5, d), 0, 1);
        DimrNodeId gate = op_case_input (c, DIMR_SHAPE (times, d), 0, 1);
        DimrNodeId y = ADD_OP (c, DIMR_OP_GATED_ADD, NO_ATTRS, x, gate, f);

        op_case_check (c, ADD_OP (c, DIMR_OP_GATED_ADD, NO_ATTRS, x, gate, y), OP_F32);
      }
}

static void
test_layer_norm_alone (void)
{
  for (guint i = 1; i < G_N_ELEMENTS (widths); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 9, widths[i]), 1, 2);

      op_case_check (c, ADD_OP (c, DIMR_OP_LAYER_NORM, ATTRS (.eps = 1e-6), DIMR_NODE_NONE, DIMR_NODE_NONE, x), OP_F32);
    }
}

static void
test_layer_norm_needs_both (void)
{
  g_autoptr (DimrGraph) graph = dimr_graph_new ();
  DimrNodeId x = dimr_graph_add_input (graph, "x", DIMR_DTYPE_F32, DIMR_SHAPE (2, 3, 8));
  DimrNodeId weight = dimr_graph_add_input (graph, "weight", DIMR_DTYPE_F32, DIMR_SHAPE (1, 8));

  g_assert_cmpuint (dimr_graph_add_op (graph, DIMR_OP_LAYER_NORM, ATTRS (.eps = 1e-6), weight, DIMR_NODE_NONE, x), ==,
                    DIMR_NODE_NONE);
}

static void
test_slice_channels (void)
{
  static const guint cases[][2] = { { 0, 1 }, { 1, 64 }, { 0, 65 }, { 7, 13 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (gint64 rows = 1; rows <= 2000; rows += 999)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (rows, 2, 65), 0, 1);

        op_case_check (c, ADD_OP (c, DIMR_OP_SLICE_CHANNELS, ATTRS (.start = cases[i][0], .length = cases[i][1]), x), OP_EXACT);
      }
}

static void
test_repeat (void)
{
  for (guint factor = 1; factor <= 5; factor += 2)
    {
      g_autoptr (OpCase) c = op_case_new ();

      op_case_check (c, ADD_OP (c, DIMR_OP_REPEAT, ATTRS (.factor = factor), op_case_input (c, DIMR_SHAPE (1, 7, 33), 0, 1)),
                     OP_EXACT);
    }
}

static void
test_to_image (void)
{
  for (gint64 channels = 1; channels <= 9; channels++)
    {
      g_autoptr (OpCase) c = op_case_new ();

      op_case_check (c, ADD_OP (c, DIMR_OP_TO_IMAGE, NO_ATTRS, op_case_input (c, DIMR_SHAPE (2, 5, 6, channels), 0, 1)), OP_EXACT);
    }
}

static void
test_timestep_embedding (void)
{
  static const guint lengths[] = { 2, 6, 64, 256, 1152 };

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    for (gint64 times = 1; times <= 3; times += 2)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId t = op_case_input (c, DIMR_SHAPE (times), 500, 200);

        /* A frequency's last bit at t = 1000: an angle of 6e-5. */
        op_case_check (c, ADD_OP (c, DIMR_OP_TIMESTEP_EMBEDDING, ATTRS (.length = lengths[i]), t), 4e-9);
      }
}

/* --- Gradients: formulas against differences in double, kernels against the formulas --- */

static void
test_unary_gradients (void)
{
  static const DimrOp ops[] = { DIMR_OP_SILU, DIMR_OP_GELU, DIMR_OP_GELU_TANH };

  for (guint o = 0; o < G_N_ELEMENTS (ops); o++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 3, 41), 0, 2);

      op_case_check_gradients_of (c, ADD_OP (c, ops[o], NO_ATTRS, x), OP_F32, x);
    }
}

static void
test_modulate_gradients (void)
{
  for (gint64 times = 1; times <= 2; times++)
    for (guint scaled = 0; scaled < 2; scaled++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 3, 5, 67), 0, 1);
        DimrNodeId shift = op_case_input (c, DIMR_SHAPE (times, 67), 0, 1), scale = op_case_input (c, DIMR_SHAPE (times, 67), 0, 1);
        DimrNodeId wanted[3] = { x, shift, scale };
        DimrNodeId y = ADD_OP (c, DIMR_OP_MODULATE, NO_ATTRS, x, shift, scaled ? scale : DIMR_NODE_NONE);

        op_case_check_gradients (c, y, wanted, scaled ? 3 : 2, OP_F32);
      }
}

static void
test_gated_add_gradients (void)
{
  for (gint64 times = 1; times <= 2; times++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 9, 31), 0, 1), f = op_case_input (c, DIMR_SHAPE (2, 9, 31), 0, 1);
      DimrNodeId gate = op_case_input (c, DIMR_SHAPE (times, 31), 0, 1);

      op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_GATED_ADD, NO_ATTRS, x, gate, f), OP_F32, x, gate, f);
    }
}

static void
test_ada_rms_norm_gradients (void)
{
  static const gint64 ms[] = { 1, 5, 7 };

  for (guint k = 0; k < G_N_ELEMENTS (ms); k++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 5, 7, 19), 0, 1), scale = op_case_input (c, DIMR_SHAPE (2, ms[k], 19), 0, 1);

      op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_ADA_RMS_NORM, ATTRS (.eps = 1e-6), x, scale), OP_F32, x, scale);
    }
}

static void
test_axial_rope_gradients (void)
{
  static const gint64 cases[][6] = { { 1, 4, 1, 3, 3, 0 }, { 2, 15, 3, 2, 5, 0 }, { 3, 9, 2, 4, 2, 1 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      const gint64 heads = cases[i][0], f = cases[i][2], tokens = cases[i][5] + cases[i][3] * cases[i][4];
      DimrNodeId qkv = op_case_input (c, DIMR_SHAPE (2, tokens, 3 * heads * cases[i][1]), 0, 1);
      DimrNodeId h = op_case_param (c, DIMR_SHAPE (heads, f), 0, .5), w = op_case_param (c, DIMR_SHAPE (heads, f), 0, .5);
      DimrNodeId scale = op_case_param (c, DIMR_SHAPE (heads), 1, 1);
      const DimrAttrs attrs = ATTRS (.n_heads = (guint) heads, .width = (guint) cases[i][4], .start = (guint) cases[i][5], .eps = 1e-6);

      op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_AXIAL_ROPE, attrs, qkv, h, w, scale), OP_F32, qkv, h, w, scale);
    }
}

/* The plain norm, whose weight is nobody's parameter. */
static void
test_layer_norm_gradients (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 9, 33), 1, 2);

  op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_LAYER_NORM, ATTRS (.eps = 1e-6), DIMR_NODE_NONE, DIMR_NODE_NONE, x),
                              1e-11, x);
}

/* What only moves numbers. */
static void
test_layout_gradients (void)
{
  static const struct
  {
    DimrOp op;
    DimrShape shape;
    DimrAttrs attrs;
  } cases[] = {
    { DIMR_OP_SLICE_CHANNELS, { 3, { 2, 7, 13 } }, { .start = 3, .length = 8 } },
    { DIMR_OP_REPEAT, { 3, { 1, 4, 9 } }, { .factor = 3 } },
    { DIMR_OP_TO_IMAGE, { 4, { 2, 3, 4, 5 } }, { 0 } },
    { DIMR_OP_IMAGE_TO_MAP, { 4, { 2, 5, 3, 4 } }, { 0 } },
    { DIMR_OP_UPSAMPLE_NEAREST, { 4, { 2, 3, 4, 5 } }, { .factor = 2 } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, cases[i].shape, 0, 1);

      op_case_check_gradients_of (c, ADD_OP (c, cases[i].op, cases[i].attrs, x), OP_F32, x);
    }
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  if (!op_case_can_run ())
    return 0;
  g_test_add_func ("/ops/unary/writes-over-its-input", test_unary);
  g_test_add_func ("/ops/unary/saturates-far-out", test_unary_far_out);
  g_test_add_func ("/ops/modulate/takes-one-time-or-one-an-image", test_modulate);
  g_test_add_func ("/ops/modulate/takes-no-scale", test_modulate_without_scale);
  g_test_add_func ("/ops/ada-rms-norm/takes-one-scale-or-one-a-column", test_ada_rms_norm);
  g_test_add_func ("/ops/axial-rope/turns-pairs-of-channels", test_axial_rope);
  g_test_add_func ("/ops/gated-add/writes-over-an-input", test_gated_add);
  g_test_add_func ("/ops/layer-norm/takes-no-weight-and-bias", test_layer_norm_alone);
  g_test_add_func ("/ops/layer-norm/refuses-one-without-the-other", test_layer_norm_needs_both);
  g_test_add_func ("/ops/slice-channels/copies-a-range", test_slice_channels);
  g_test_add_func ("/ops/repeat/copies-to-every-sample", test_repeat);
  g_test_add_func ("/ops/to-image/puts-channels-first", test_to_image);
  g_test_add_func ("/ops/timestep-embedding/is-that-of-the-released-networks", test_timestep_embedding);
  g_test_add_func ("/gradients/unary/follow-the-slope", test_unary_gradients);
  g_test_add_func ("/gradients/modulate/all-three", test_modulate_gradients);
  g_test_add_func ("/gradients/gated-add/all-three", test_gated_add_gradients);
  g_test_add_func ("/gradients/ada-rms-norm/both-sides", test_ada_rms_norm_gradients);
  g_test_add_func ("/gradients/axial-rope/all-four", test_axial_rope_gradients);
  g_test_add_func ("/gradients/layer-norm/alone", test_layer_norm_gradients);
  g_test_add_func ("/gradients/layouts/of-conditions-go-back", test_layout_gradients);
  return g_test_run ();
}
