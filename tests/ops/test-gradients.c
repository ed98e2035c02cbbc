/* Every op's gradient: its formula against central differences in double, its kernels against the
 * formula.
 * SPDX-License-Identifier: Apache-2.0 */
#include "op-case.h"

#include "core/graph/dimr-gradient.h"

/* Numbers of channels around the widths of vectors and panels. */
static const gint64 odd_widths[] = { 1, 3, 8, 15, 16, 17, 31, 33, 48, 65, 130 };

#define ATTRS(...) ((DimrAttrs){ __VA_ARGS__ })
#define NO_ATTRS ((DimrAttrs){ 0 })
#define ADD_OP(c, op, attrs, ...) dimr_graph_add_op (op_case_graph (c), op, attrs, __VA_ARGS__)
#define NONE DIMR_NODE_NONE

static void
linear (gint64 rows,
        gint64 k,
        gint64 n)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (1, rows, k), 0, 1);
  DimrNodeId w = op_case_param (c, DIMR_SHAPE (n, k), 0, 1), b = op_case_param (c, DIMR_SHAPE (n), 0, 1);
  DimrNodeId r = op_case_input (c, DIMR_SHAPE (1, rows, n), 0, 1);

  op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, w, b, r, x), OP_F32, x, w, b);
}

static void
test_linear (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (odd_widths); i++)
    {
      linear (7, 12, odd_widths[i]);
      linear (5, odd_widths[i], 9);
    }
  for (gint64 rows = 1; rows <= 14; rows++)
    linear (rows, 5, 7);
  linear (300, 70, 33);
}

/* Sums over so many rows that they are made in parts. */
static void
test_linear_many_rows (void)
{
  static const gint64 shapes[][3] = { { 5000, 33, 13 }, { 4097, 5, 48 }, { 257, 40, 200 } };

  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId dy = op_case_input (c, DIMR_SHAPE (shapes[i][0], shapes[i][2]), 0, 1);
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (shapes[i][0], shapes[i][1]), .5, 1);

      op_case_check (c, ADD_OP (c, DIMR_OP_LINEAR_WEIGHT_GRAD, NO_ATTRS, dy, x), op_case_sum_bound (shapes[i][0]));
    }
}

static void
test_linear_list (void)
{
  static const gint64 lists[][5] = { { 5, 3, 0 }, { 16, 16, 0 }, { 1, 1, 1, 1 }, { 12, 31, 7, 64 } };

  for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId inputs[8] = { NONE, NONE, NONE }, wanted[8];
      guint n = 3;
      gint64 k = 0;

      for (guint s = 0; s < 5 && lists[i][s] > 0; s++)
        {
          wanted[n - 3] = inputs[n] = op_case_input (c, DIMR_SHAPE (2, 3, 3, lists[i][s]), 0, 1 + s);
          n++;
          k += lists[i][s];
        }
      wanted[n - 3] = inputs[0] = op_case_param (c, DIMR_SHAPE (21, k), 0, 1);
      op_case_check_gradients (c, dimr_graph_add (op_case_graph (c), DIMR_OP_LINEAR, NO_ATTRS, inputs, n), wanted, n - 2, OP_F32);
    }
}

static void
test_attention (void)
{
  static const gint64 tokens[] = { 1, 2, 7, 33, 65 };
  static const gint64 widths[] = { 1, 5, 15, 16, 33 };

  for (guint i = 0; i < G_N_ELEMENTS (tokens); i++)
    for (guint k = 0; k < G_N_ELEMENTS (widths); k++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, tokens[i], 3 * 2 * widths[k]), .1, 1);

        /* There and back, each with its roundings of weights and results. */
        op_case_set_depth (c, 2);
        op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_ATTENTION, ATTRS (.n_heads = 2), x), 1e-11, x);
      }
}

static void
test_rms_norm (void)
{
  static const double scales[] = { 1, 1e-4, 1e-7, 1e4 };

  for (guint i = 0; i < G_N_ELEMENTS (odd_widths); i++)
    for (gint64 times = 1; times <= 3; times += 2)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (3, 4, odd_widths[i]), 0, scales[i % 4]);
        DimrNodeId scale = op_case_input (c, DIMR_SHAPE (times, odd_widths[i]), 1, .25), wanted[2] = { scale, x };

        /* A single channel is its own norm: its gradient is zero but for eps. */
        op_case_check_gradients (c, ADD_OP (c, DIMR_OP_RMS_NORM, ATTRS (.eps = 1e-8), x, scale), wanted, odd_widths[i] > 1 ? 2 : 1, 1e-11);
      }
}

/* The gradient of a sum goes through the norm and past it: one node with a residual. */
static void
test_rms_norm_residual (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 5, 24), 0, 1);
  DimrNodeId w = op_case_param (c, DIMR_SHAPE (24, 24), 0, .3), scale = op_case_input (c, DIMR_SHAPE (2, 24), 1, .25);
  DimrNodeId h = ADD_OP (c, DIMR_OP_RMS_NORM, ATTRS (.eps = 1e-8), x, scale);

  h = ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, w, NONE, NONE, h);
  op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, x, h), OP_F32, x, w, scale);
}

static void
test_layer_norm (void)
{
  static const gint64 lists[][4] = { { 1, 2 }, { 9 }, { 16 }, { 5, 3, 40 }, { 16, 16, 17 }, { 65 }, { 130, 2 } };

  for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
    for (gint64 times = 1; times <= 3; times += 2)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId inputs[6], wanted[6];
        guint n = 2;
        gint64 d = 0;

        for (guint s = 0; s < 4 && lists[i][s] > 0; s++)
          {
            inputs[n++] = op_case_input (c, DIMR_SHAPE (3, 4, lists[i][s]), .5 * s, 1);
            d += lists[i][s];
          }
        inputs[0] = op_case_input (c, DIMR_SHAPE (times, d), 1, .25);
        inputs[1] = op_case_input (c, DIMR_SHAPE (times, d), 0, .25);
        for (guint s = 0; s < n; s++)
          wanted[s] = inputs[s];
        op_case_check_gradients (c, dimr_graph_add (op_case_graph (c), DIMR_OP_LAYER_NORM, ATTRS (.eps = 1e-5), inputs, n),
                                 wanted, n, 1e-11);
      }
}

/* More rows of one time than a part has. */
static void
test_norms_many_rows (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 1100, 20), 0, 1), dy = op_case_input (c, DIMR_SHAPE (2, 1100, 20), .1, 1);
  DimrNodeId scale = ADD_OP (c, DIMR_OP_RMS_NORM_SCALE_GRAD, ATTRS (.length = 2, .eps = 1e-8), x, dy);
  DimrNodeId weight = ADD_OP (c, DIMR_OP_LAYER_NORM_WEIGHT_GRAD, ATTRS (.length = 2, .eps = 1e-5), dy, x);
  DimrNodeId sums = ADD_OP (c, DIMR_OP_SUM_ROWS, ATTRS (.length = 2), dy);

  op_case_check (c, ADD_OP (c, DIMR_OP_CONCAT, NO_ATTRS, scale, weight, sums), OP_F32);
}

static void
test_time_param (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (odd_widths); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      const DimrShape shape = DIMR_SHAPE (odd_widths[i]);
      DimrNodeId log_snr = op_case_input (c, DIMR_SHAPE (3), 0, 4);
      DimrNodeId p0 = op_case_param (c, shape, 1, .3), p1 = op_case_param (c, shape, 1, .3);
      DimrNodeId w = op_case_param (c, shape, 0, .4), b = op_case_param (c, shape, 0, .5);

      op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_TIME_PARAM, NO_ATTRS, log_snr, p0, p1, w, b), 1e-11, p0, p1, w, b);
    }
}

static void
test_geglu (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (odd_widths); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId a = op_case_input (c, DIMR_SHAPE (5, odd_widths[i]), 0, 2), b = op_case_input (c, DIMR_SHAPE (5, odd_widths[i]), 0, 1);

      op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_GEGLU, NO_ATTRS, a, b), OP_F32, a, b);
    }
}

static void
test_depthwise (void)
{
  static const gint64 cases[][4] = { { 1, 1, 3, 3 }, { 5, 9, 16, 7 }, { 9, 5, 33, 7 }, { 4, 17, 7, 5 }, { 3, 3, 48, 7 }, { 6, 8, 10, 9 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const gint64 d = cases[i][2], k = cases[i][3];
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, cases[i][0], cases[i][1], d), 0, 1);
      DimrNodeId w = op_case_param (c, DIMR_SHAPE (d, 1, k, k), 0, 1), b = op_case_param (c, DIMR_SHAPE (d), 0, 1);
      DimrNodeId y = ADD_OP (c, DIMR_OP_DEPTHWISE_CONV, NO_ATTRS, x, w, b, NONE);

      op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, x, y), OP_F32, x, w, b);
    }
}

static void
test_conv_to_image (void)
{
  static const gint64 cases[][5] = { { 3, 4, 5, 1, 1 }, { 5, 4, 16, 3, 3 }, { 4, 6, 33, 4, 3 }, { 5, 5, 8, 6, 5 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const gint64 d = cases[i][2], channels = cases[i][3], k = cases[i][4];
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, cases[i][0], cases[i][1], d), 0, 1);
      DimrNodeId w = op_case_param (c, DIMR_SHAPE (channels, d, k, k), 0, 1), b = op_case_param (c, DIMR_SHAPE (channels), 0, 1);

      op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_CONV_TO_IMAGE, NO_ATTRS, x, w, b), OP_F32, x, w, b);
    }
}

static void
test_patchify (void)
{
  for (gint64 k = 1; k <= 4; k++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 3, 3 * k, 2 * k), 0, 1);
      DimrNodeId w = op_case_param (c, DIMR_SHAPE (19, 3, k, k), 0, 1), b = op_case_param (c, DIMR_SHAPE (19), 0, 1);
      DimrNodeId y = ADD_OP (c, DIMR_OP_PATCHIFY, NO_ATTRS, x, w, b);

      op_case_check_gradients_of (c, y, OP_F32, x, w, b);
    }
}

static void
test_positions_and_classes (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (4, 3, 4, 18), 0, 1), index = op_case_indices (c, 4, 3);
  DimrNodeId positions = op_case_param (c, DIMR_SHAPE (27, 18), 0, 1), classes = op_case_param (c, DIMR_SHAPE (6, 18), 0, 1);
  DimrNodeId y = ADD_OP (c, DIMR_OP_ADD_POSITION, ATTRS (.width = 5), x, positions);

  y = dimr_graph_add_reshape (op_case_graph (c), y, DIMR_SHAPE (4, 12, 18));
  y = ADD_OP (c, DIMR_OP_PREPEND_TOKEN, NO_ATTRS, y, ADD_OP (c, DIMR_OP_EMBEDDING, NO_ATTRS, classes, index));
  op_case_check_gradients_of (c, y, OP_F32, x, positions, classes);
}

static void
test_layouts (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 6, 20), 0, 1), z = op_case_input (c, DIMR_SHAPE (2, 4, 9), 0, 1);
  DimrNodeId y = ADD_OP (c, DIMR_OP_SLICE_TOKENS, ATTRS (.start = 1, .length = 4), x);

  y = ADD_OP (c, DIMR_OP_CONCAT, NO_ATTRS, z, y, z);
  y = dimr_graph_add_reshape (op_case_graph (c), y, DIMR_SHAPE (2, 2, 2, 38));
  y = ADD_OP (c, DIMR_OP_CONCAT, NO_ATTRS, y, y);
  op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_PIXEL_SHUFFLE, ATTRS (.factor = 2), y), OP_F32, x, z);
}

static void
test_average_pool (void)
{
  for (guint f = 1; f <= 3; f++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 3, 2 * f, 4 * f), 0, 1);

      op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_AVERAGE_POOL, ATTRS (.factor = f), x), OP_F32, x);
    }
}

static void
test_mean_square (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId a = op_case_input (c, DIMR_SHAPE (3, 2, 7, 5), 0, 1), b = op_case_input (c, DIMR_SHAPE (3, 2, 7, 5), 0, 1);

  op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_MEAN_SQUARE, NO_ATTRS, a, b), OP_F32, a, b);
}

/* The targets need not be a distribution: no formula here takes that for granted. */
static void
test_cross_entropy (void)
{
  for (guint k = 2; k <= 38; k += 12)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (5, k), 0, 3), target = op_case_input (c, DIMR_SHAPE (5, k), .5, .3);

      op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_CROSS_ENTROPY, NO_ATTRS, x, target), OP_F32, x);
    }
}

/* A value that many read collects all their gradients, in one order. */
static void
test_fan_out (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 6, 20), 0, 1), w = op_case_param (c, DIMR_SHAPE (20, 20), 0, .3);
  DimrNodeId h = ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, w, NONE, NONE, x), y;

  y = ADD_OP (c, DIMR_OP_GEGLU, NO_ATTRS, h, h);
  y = ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, y, ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, w, NONE, NONE, h));
  op_case_check_gradients_of (c, ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, y, x), OP_F32, x, w);
}

static void
test_unknown (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  g_autoptr (GError) error = NULL;
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 6, 20), 0, 1), seed = op_case_input (c, DIMR_SHAPE (2, 20, 6), 0, 1), gradient;
  DimrNodeId y = ADD_OP (c, DIMR_OP_TRANSPOSE, NO_ATTRS, x);

  dimr_graph_add_gradients (op_case_graph (c), &(DimrSeed){ y, seed }, 1, &x, 1, NULL, &gradient);
  g_assert_cmpuint (gradient, ==, NONE);
  g_assert_false (dimr_graph_finish (op_case_graph (c), &error));
  g_assert_nonnull (g_strrstr (error->message, "transpose"));
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  if (!op_case_can_run ())
    return 0;
  g_test_add_func ("/gradients/linear/any-shape", test_linear);
  g_test_add_func ("/gradients/linear/sums-many-rows-in-parts", test_linear_many_rows);
  g_test_add_func ("/gradients/linear/lists", test_linear_list);
  g_test_add_func ("/gradients/attention/any-length-and-head-width", test_attention);
  g_test_add_func ("/gradients/rms-norm/tiny-and-huge-rows", test_rms_norm);
  g_test_add_func ("/gradients/rms-norm/adds-what-goes-past-it", test_rms_norm_residual);
  g_test_add_func ("/gradients/layer-norm/lists", test_layer_norm);
  g_test_add_func ("/gradients/norms/sum-many-rows-in-parts", test_norms_many_rows);
  g_test_add_func ("/gradients/time-param/all-four", test_time_param);
  g_test_add_func ("/gradients/geglu/both-sides", test_geglu);
  g_test_add_func ("/gradients/depthwise-conv/any-size-and-kernel", test_depthwise);
  g_test_add_func ("/gradients/conv-to-image/any-number-of-channels", test_conv_to_image);
  g_test_add_func ("/gradients/patchify/any-patch", test_patchify);
  g_test_add_func ("/gradients/tables/rows-are-summed", test_positions_and_classes);
  g_test_add_func ("/gradients/layouts/go-back", test_layouts);
  g_test_add_func ("/gradients/average-pool/spreads", test_average_pool);
  g_test_add_func ("/gradients/mean-square/both-sides", test_mean_square);
  g_test_add_func ("/gradients/cross-entropy/any-number-of-classes", test_cross_entropy);
  g_test_add_func ("/gradients/fan-out/is-summed", test_fan_out);
  g_test_add_func ("/gradients/unknown-op/is-an-error", test_unknown);
  return g_test_run ();
}
