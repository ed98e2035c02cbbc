/* Every op of a device against slow arithmetic in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "op-case.h"

/* Numbers of channels around the widths of vectors and panels, and those of real models. */
static const gint64 odd_widths[] = { 1, 3, 5, 8, 10, 12, 15, 16, 17, 30, 31, 33, 48, 60, 65, 96, 130 };

#define ATTRS(...) ((DimrAttrs){ __VA_ARGS__ })
#define NO_ATTRS ((DimrAttrs){ 0 })
#define ADD_OP(c, op, attrs, ...) dimr_graph_add_op (op_case_graph (c), op, attrs, __VA_ARGS__)

static void
linear (gint64   rows,
        gint64   k,
        gint64   n,
        gboolean bias,
        gboolean residual)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (1, rows, k), 0, 1);
  DimrNodeId w = op_case_param (c, DIMR_SHAPE (n, k), 0, 1);
  DimrNodeId b = bias ? op_case_param (c, DIMR_SHAPE (n), 0, 1) : DIMR_NODE_NONE;
  DimrNodeId r = residual ? op_case_input (c, DIMR_SHAPE (1, rows, n), 0, 3) : DIMR_NODE_NONE;

  op_case_check (c, ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, w, b, r, x), op_case_sum_bound (k));
}

static void
test_linear_widths (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (odd_widths); i++)
    {
      linear (7, 12, odd_widths[i], TRUE, FALSE);
      linear (5, odd_widths[i], 9, FALSE, TRUE);
    }
}

static void
test_linear_rows (void)
{
  for (gint64 rows = 1; rows <= 30; rows++)
    linear (rows, 20, 34, rows % 2, rows % 3 == 0);
  linear (257, 33, 17, TRUE, TRUE);
}

static void
test_linear_long_sums (void)
{
  linear (13, 511, 33, TRUE, TRUE);
  linear (13, 512, 33, TRUE, TRUE);
  linear (13, 513, 33, TRUE, TRUE);
  linear (3, 2500, 19, TRUE, FALSE);
  linear (2, 38400, 5, TRUE, TRUE);
}

static void
test_linear_many_tasks (void)
{
  linear (520, 192, 96, TRUE, TRUE);
  linear (130, 192, 576, FALSE, FALSE);
}

static void
test_linear_list (void)
{
  static const gint64 lists[][5] = { { 5, 3, 0 }, { 16, 16, 0 }, { 1, 1, 1, 1 }, { 12, 31, 7, 64 }, { 300, 500, 40, 7 } };

  for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId inputs[8] = { 0, DIMR_NODE_NONE, DIMR_NODE_NONE };
      guint n = 3;
      gint64 k = 0;

      for (guint s = 0; s < 5 && lists[i][s] > 0; s++)
        {
          inputs[n++] = op_case_input (c, DIMR_SHAPE (2, 3, 3, lists[i][s]), 0, 1 + s);
          k += lists[i][s];
        }
      inputs[0] = op_case_param (c, DIMR_SHAPE (21, k), 0, 1);
      if (i % 2 == 0)
        inputs[1] = op_case_param (c, DIMR_SHAPE (21), 0, 1);
      if (i % 3 == 0)
        inputs[2] = op_case_input (c, DIMR_SHAPE (2, 3, 3, 21), 0, 1);
      op_case_check (c, dimr_graph_add (op_case_graph (c), DIMR_OP_LINEAR, NO_ATTRS, inputs, n), op_case_sum_bound (k));
    }
}

/* The sum that is the residual dies with the product, so the plan lets the product take its buffer. */
static void
test_linear_in_place (void)
{
  static const gint64 depths[] = { 24, 1100 };

  for (guint i = 0; i < G_N_ELEMENTS (depths); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 17, depths[i]), 0, 1);
      DimrNodeId r = op_case_input (c, DIMR_SHAPE (2, 17, 21), 0, 1);
      DimrNodeId w = op_case_param (c, DIMR_SHAPE (21, depths[i]), 0, 1);
      DimrNodeId sum = ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, r, r);
      DimrNodeId y = ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, w, DIMR_NODE_NONE, DIMR_NODE_NONE, x);

      op_case_check (c, ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, sum, y), op_case_sum_bound (depths[i]));
    }
}

static void
test_linear_geglu (void)
{
  static const gint64 cases[][3] = { { 1, 1, 1 }, { 7, 12, 20 }, { 65, 48, 96 }, { 13, 33, 31 }, { 9, 700, 33 }, { 300, 96, 64 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const gint64 rows = cases[i][0], k = cases[i][1], n = cases[i][2];
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (1, rows, k), 0, 1);
      DimrNodeId w0 = op_case_param (c, DIMR_SHAPE (n, k), 0, .5), b0 = op_case_param (c, DIMR_SHAPE (n), 0, 1);
      DimrNodeId w1 = op_case_param (c, DIMR_SHAPE (n, k), 0, .5), b1 = op_case_param (c, DIMR_SHAPE (n), 0, 1);

      op_case_check (c, ADD_OP (c, DIMR_OP_LINEAR_GEGLU, NO_ATTRS, w0, b0, w1, b1, x), op_case_sum_bound (k));
    }
}

static void
test_attention (void)
{
  static const gint64 tokens[] = { 1, 2, 7, 16, 33, 65, 257 };
  static const gint64 widths[] = { 1, 5, 15, 16, 32, 60, 64, 72 };

  for (guint i = 0; i < G_N_ELEMENTS (tokens); i++)
    for (guint k = 0; k < G_N_ELEMENTS (widths); k++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        const guint heads = tokens[i] > 100 ? 1 : 3;
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (tokens[i] > 100 ? 1 : 2, tokens[i], 3 * heads * widths[k]), .1, 1.5);

        op_case_check (c, ADD_OP (c, DIMR_OP_ATTENTION, ATTRS (.n_heads = heads), x), OP_F32);
      }
}

/* Scores of thousands: without the subtraction of the largest one, their exponentials overflow. */
static void
test_attention_large_scores (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (1, 19, 3 * 16), 0, 30);

  op_case_check (c, ADD_OP (c, DIMR_OP_ATTENTION, ATTRS (.n_heads = 2), x), 1e-9);
}

/* Keys and values come in parts here, the last of them cut off; large scores first, small ones first. */
static void
test_attention_of_many_tokens (void)
{
  static const struct { gint64 tokens, width; double scale; } cases[] = {
    { 513, 16, 1 }, { 576, 33, 1 }, { 700, 7, 6 }, { 769, 64, 2 }, { 1100, 20, .2 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (1, cases[i].tokens, 3 * cases[i].width), .1, cases[i].scale);

      op_case_check (c, ADD_OP (c, DIMR_OP_ATTENTION, ATTRS (.n_heads = 1), x), 1e-11);
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
        const gint64 d = odd_widths[i];
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (3, 5, d), 0, scales[i % 4]);
        DimrNodeId scale = op_case_input (c, DIMR_SHAPE (times, d), 1, .3);

        op_case_check (c, ADD_OP (c, DIMR_OP_RMS_NORM, ATTRS (.eps = 1e-8), x, scale), OP_F32);
      }
}

/* A constant scale is a parameter, not something that an op made; the norm writes over the sum. */
static void
test_rms_norm_in_place (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 300, 33), 0, 1);
  DimrNodeId scale = dimr_graph_add_reshape (op_case_graph (c), op_case_param (c, DIMR_SHAPE (33), 1, .3), DIMR_SHAPE (1, 33));
  DimrNodeId sum = ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, x, x);

  op_case_check (c, ADD_OP (c, DIMR_OP_RMS_NORM, ATTRS (.eps = 1e-8), sum, scale), OP_F32);
}

static void
test_layer_norm (void)
{
  static const gint64 lists[][4] = { { 12 }, { 1, 2 }, { 31, 5, 64 }, { 96, 96, 96, 96 }, { 17, 700, 3 }, { 960, 960 } };

  for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
    for (gint64 times = 1; times <= 2; times++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId inputs[8];
        gint64 d = 0;
        guint n = 2;

        for (guint s = 0; s < 4 && lists[i][s] > 0; s++)
          {
            inputs[n++] = op_case_input (c, DIMR_SHAPE (2, 3, 4, lists[i][s]), s, 1 + s);
            d += lists[i][s];
          }
        inputs[0] = op_case_input (c, DIMR_SHAPE (times, d), 1, .3);
        inputs[1] = op_case_input (c, DIMR_SHAPE (times, d), 0, .3);
        op_case_check (c, dimr_graph_add (op_case_graph (c), DIMR_OP_LAYER_NORM, ATTRS (.eps = 1e-5), inputs, n), OP_F32);
      }
}

/* Where the mean is far larger than the spread, Σx² − (Σx)² has no digits left. */
static void
test_layer_norm_far_mean (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (1, 4, 100), 1000, 1);
  DimrNodeId weight = op_case_input (c, DIMR_SHAPE (1, 100), 1, .3), bias = op_case_input (c, DIMR_SHAPE (1, 100), 0, .3);

  op_case_check (c, ADD_OP (c, DIMR_OP_LAYER_NORM, ATTRS (.eps = 1e-5), weight, bias, x), 1e-8);
}

static void
test_time_param (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (odd_widths); i++)
    for (gint64 times = 1; times <= 3; times += 2)
      {
        g_autoptr (OpCase) c = op_case_new ();
        const gint64 d = odd_widths[i];
        DimrNodeId log_snr = op_case_input (c, DIMR_SHAPE (times), 0, i % 2 ? 4 : 40);
        DimrNodeId p0 = op_case_param (c, DIMR_SHAPE (d), 1, .3), p1 = op_case_param (c, DIMR_SHAPE (d), 1, .3);
        DimrNodeId w = op_case_param (c, DIMR_SHAPE (d), 0, .4), b = op_case_param (c, DIMR_SHAPE (d), 0, .5);

        op_case_check (c, ADD_OP (c, DIMR_OP_TIME_PARAM, NO_ATTRS, log_snr, p0, p1, w, b), OP_F32);
      }
}

static void
depthwise (gint64   height,
           gint64   width,
           gint64   d,
           gint64   kernel,
           gboolean bias,
           gboolean residual)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, height, width, d), 0, 1);
  DimrNodeId w = op_case_param (c, DIMR_SHAPE (d, 1, kernel, kernel), 0, 1);
  DimrNodeId b = bias ? op_case_param (c, DIMR_SHAPE (d), 0, 1) : DIMR_NODE_NONE;

  op_case_check (c, ADD_OP (c, DIMR_OP_DEPTHWISE_CONV, NO_ATTRS, x, w, b, residual ? x : DIMR_NODE_NONE), OP_F32);
}

static void
test_depthwise_conv (void)
{
  static const gint64 kernels[] = { 1, 3, 5, 7, 9 };
  static const gint64 sizes[][2] = { { 1, 1 }, { 3, 2 }, { 8, 8 }, { 9, 5 }, { 16, 17 } };

  for (guint i = 0; i < G_N_ELEMENTS (odd_widths); i++)
    depthwise (8, 8, odd_widths[i], 7, TRUE, TRUE);
  for (guint k = 0; k < G_N_ELEMENTS (kernels); k++)
    for (guint s = 0; s < G_N_ELEMENTS (sizes); s++)
      depthwise (sizes[s][0], sizes[s][1], 12, kernels[k], s % 2, k % 2);
  depthwise (32, 32, 48, 7, TRUE, TRUE);
}

static void
test_conv_to_image (void)
{
  static const gint64 kernels[] = { 1, 3, 5 };

  for (gint64 channels = 1; channels <= 9; channels++)
    for (guint k = 0; k < G_N_ELEMENTS (kernels); k++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        const gint64 d = odd_widths[channels + 4];
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 5, 6, d), 0, 1);
        DimrNodeId w = op_case_param (c, DIMR_SHAPE (channels, d, kernels[k], kernels[k]), 0, 1);
        DimrNodeId b = channels % 2 ? op_case_param (c, DIMR_SHAPE (channels), 0, 1) : DIMR_NODE_NONE;

        op_case_check (c, ADD_OP (c, DIMR_OP_CONV_TO_IMAGE, NO_ATTRS, x, w, b), OP_F32);
      }
}

static void
test_patchify (void)
{
  static const gint64 patches[] = { 1, 2, 4, 3 };

  for (guint k = 0; k < G_N_ELEMENTS (patches); k++)
    for (gint64 channels = 1; channels <= 4; channels++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        const gint64 p = patches[k], d = odd_widths[2 * k + channels + 4];
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (3, channels, 2 * p, 3 * p), 0, 1);
        DimrNodeId w = op_case_param (c, DIMR_SHAPE (d, channels, p, p), 0, 1);
        DimrNodeId b = k % 2 ? op_case_param (c, DIMR_SHAPE (d), 0, 1) : DIMR_NODE_NONE;

        op_case_check (c, ADD_OP (c, DIMR_OP_PATCHIFY, NO_ATTRS, x, w, b), OP_F32);
      }
}

static void
test_elementwise (void)
{
  static const DimrOp ops[] = { DIMR_OP_ADD, DIMR_OP_GEGLU };
  static const gint64 sizes[] = { 1, 7, 64, 100, 50001 };

  for (guint o = 0; o < G_N_ELEMENTS (ops); o++)
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        DimrNodeId a = op_case_input (c, DIMR_SHAPE (1, sizes[i]), 0, 2), b = op_case_input (c, DIMR_SHAPE (1, sizes[i]), 0, 1);
        DimrNodeId first = ADD_OP (c, ops[o], NO_ATTRS, a, b);

        op_case_check (c, ADD_OP (c, ops[o], NO_ATTRS, b, first), OP_F32); /* writes over @first */
      }
}

/* Far out gelu(x) is x or 0, and in between exact to a float. */
static void
test_geglu_range (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId a = op_case_input (c, DIMR_SHAPE (1, 20001), 0, 8), b = op_case_input (c, DIMR_SHAPE (1, 20001), 1, 0);

  op_case_check (c, ADD_OP (c, DIMR_OP_GEGLU, NO_ATTRS, a, b), 1e-14);
}

static void
test_pixel_shuffle (void)
{
  for (guint factor = 1; factor <= 4; factor++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 3, 5, factor * factor * 7), 0, 1);

      op_case_check (c, ADD_OP (c, DIMR_OP_PIXEL_SHUFFLE, ATTRS (.factor = factor), x), OP_EXACT);
    }
}

static void
test_slice_tokens (void)
{
  static const guint cases[][2] = { { 0, 1 }, { 1, 64 }, { 0, 65 }, { 7, 13 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (3, 65, 11), 0, 1);

      op_case_check (c, ADD_OP (c, DIMR_OP_SLICE_TOKENS, ATTRS (.start = cases[i][0], .length = cases[i][1]), x), OP_EXACT);
    }
}

static void
test_concat (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 400, 11), 0, 1), z = op_case_input (c, DIMR_SHAPE (2, 400, 1), 0, 1);
  DimrNodeId p = dimr_graph_add_reshape (op_case_graph (c), op_case_param (c, DIMR_SHAPE (2, 4000), 0, 1), DIMR_SHAPE (2, 400, 10));

  op_case_check (c, ADD_OP (c, DIMR_OP_CONCAT, NO_ATTRS, x, z, p, x), OP_EXACT);
}

static void
test_average_pool (void)
{
  for (guint factor = 1; factor <= 4; factor++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 3, 3 * factor, 5 * factor), 0, 1);

      op_case_check (c, ADD_OP (c, DIMR_OP_AVERAGE_POOL, ATTRS (.factor = factor), x), OP_F32);
    }
}

static void
test_add_position (void)
{
  for (gint64 width = 1; width <= 6; width++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 4, width, 5), 0, 1), table = op_case_param (c, DIMR_SHAPE (24, 5), 0, 1);
      DimrNodeId twice = ADD_OP (c, DIMR_OP_ADD_POSITION, ATTRS (.width = 6), x, table);

      op_case_check (c, ADD_OP (c, DIMR_OP_ADD_POSITION, ATTRS (.width = 6), twice, table), OP_F32);
    }
}

static void
test_embedding_and_token (void)
{
  for (gint64 d = 1; d <= 40; d += 13)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId table = op_case_param (c, DIMR_SHAPE (11, d), 0, 1), x = op_case_input (c, DIMR_SHAPE (4, 6, d), 0, 1);
      DimrNodeId token = ADD_OP (c, DIMR_OP_EMBEDDING, NO_ATTRS, table, op_case_indices (c, 4, 11));

      op_case_check (c, ADD_OP (c, DIMR_OP_PREPEND_TOKEN, NO_ATTRS, x, token), OP_EXACT);
    }
}

/* Buffers are handed on many times here, and small independent steps run side by side. */
static void
test_blocks (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  const gint64 d = 30, n = 17;
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, n, d), 0, 1), log_snr = op_case_input (c, DIMR_SHAPE (1), 0, 1), kept[4];

  op_case_set_depth (c, 4);
  for (guint block = 0; block < 4; block++)
    {
      DimrNodeId scale[2], h, w0, w1;

      for (guint i = 0; i < 2; i++)
        scale[i] = ADD_OP (c, DIMR_OP_TIME_PARAM, NO_ATTRS, log_snr, op_case_param (c, DIMR_SHAPE (d), 1, .3),
                           op_case_param (c, DIMR_SHAPE (d), 1, .3), op_case_param (c, DIMR_SHAPE (d), 0, .4),
                           op_case_param (c, DIMR_SHAPE (d), 0, .4));
      h = ADD_OP (c, DIMR_OP_RMS_NORM, ATTRS (.eps = 1e-8), x, scale[0]);
      h = ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, op_case_param (c, DIMR_SHAPE (3 * d, d), 0, .2), DIMR_NODE_NONE, DIMR_NODE_NONE, h);
      h = ADD_OP (c, DIMR_OP_ATTENTION, ATTRS (.n_heads = 2), h);
      h = ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, op_case_param (c, DIMR_SHAPE (d, d), 0, .2), op_case_param (c, DIMR_SHAPE (d), 0, 1),
                  DIMR_NODE_NONE, h);
      x = ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, x, h);
      h = ADD_OP (c, DIMR_OP_RMS_NORM, ATTRS (.eps = 1e-8), x, scale[1]);
      w0 = ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, op_case_param (c, DIMR_SHAPE (2 * d, d), 0, .2), op_case_param (c, DIMR_SHAPE (2 * d), 0, 1),
                   DIMR_NODE_NONE, h);
      w1 = ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, op_case_param (c, DIMR_SHAPE (2 * d, d), 0, .2), op_case_param (c, DIMR_SHAPE (2 * d), 0, 1),
                   DIMR_NODE_NONE, h);
      h = ADD_OP (c, DIMR_OP_GEGLU, NO_ATTRS, w0, w1);
      h = ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, op_case_param (c, DIMR_SHAPE (d, 2 * d), 0, .2), op_case_param (c, DIMR_SHAPE (d), 0, 1),
                  DIMR_NODE_NONE, h);
      kept[block] = x = ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, x, h);
    }
  op_case_check (c, ADD_OP (c, DIMR_OP_LINEAR, NO_ATTRS, op_case_param (c, DIMR_SHAPE (9, 4 * d), 0, .2), DIMR_NODE_NONE,
                            DIMR_NODE_NONE, kept[0], kept[1], kept[2], kept[3]), OP_F32);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  if (!op_case_can_run ())
    return 0;
  g_test_add_func ("/ops/linear/takes-any-number-of-columns", test_linear_widths);
  g_test_add_func ("/ops/linear/takes-any-number-of-rows", test_linear_rows);
  g_test_add_func ("/ops/linear/sums-long-rows-in-parts", test_linear_long_sums);
  g_test_add_func ("/ops/linear/divides-large-products", test_linear_many_tasks);
  g_test_add_func ("/ops/linear/reads-a-list-side-by-side", test_linear_list);
  g_test_add_func ("/ops/linear/writes-over-its-residual", test_linear_in_place);
  g_test_add_func ("/ops/linear-geglu/gates-two-products", test_linear_geglu);
  g_test_add_func ("/ops/attention/takes-any-length-and-head-width", test_attention);
  g_test_add_func ("/ops/attention/survives-large-scores", test_attention_large_scores);
  g_test_add_func ("/ops/attention/takes-many-tokens-in-parts", test_attention_of_many_tokens);
  g_test_add_func ("/ops/rms-norm/takes-tiny-and-huge-rows", test_rms_norm);
  g_test_add_func ("/ops/rms-norm/writes-over-its-input", test_rms_norm_in_place);
  g_test_add_func ("/ops/layer-norm/reads-a-list-side-by-side", test_layer_norm);
  g_test_add_func ("/ops/layer-norm/keeps-digits-far-from-zero", test_layer_norm_far_mean);
  g_test_add_func ("/ops/time-param/saturates-at-both-ends", test_time_param);
  g_test_add_func ("/ops/depthwise-conv/takes-any-size-kernel-and-width", test_depthwise_conv);
  g_test_add_func ("/ops/conv-to-image/takes-any-number-of-channels", test_conv_to_image);
  g_test_add_func ("/ops/patchify/takes-any-patch", test_patchify);
  g_test_add_func ("/ops/elementwise/writes-over-an-input", test_elementwise);
  g_test_add_func ("/ops/geglu/is-exact-over-the-whole-range", test_geglu_range);
  g_test_add_func ("/ops/pixel-shuffle/orders-rows-columns-channels", test_pixel_shuffle);
  g_test_add_func ("/ops/slice-tokens/copies-a-range", test_slice_tokens);
  g_test_add_func ("/ops/concat/copies-parameters-too", test_concat);
  g_test_add_func ("/ops/average-pool/takes-any-factor", test_average_pool);
  g_test_add_func ("/ops/add-position/steps-by-the-table's-width", test_add_position);
  g_test_add_func ("/ops/embedding/becomes-the-first-token", test_embedding_and_token);
  g_test_add_func ("/ops/blocks/hand-their-buffers-on", test_blocks);
  return g_test_run ();
}
