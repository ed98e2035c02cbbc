/* The ops of an autoencoder against slow arithmetic in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "op-case.h"

#define ATTRS(...) ((DimrAttrs){ __VA_ARGS__ })
#define NO_ATTRS ((DimrAttrs){ 0 })
#define ADD_OP(c, op, attrs, ...) dimr_graph_add_op (op_case_graph (c), op, attrs, __VA_ARGS__)

typedef struct
{
  gint64 batch, height, width, d, n, kernel;
  guint stride, before, after, factor;
  guint groups;     /* 0: no norm */
  gboolean silu;
  gboolean bias;
  gboolean residual;
} Conv;

/* Statistics as inputs: those of the first image for all, or each image's own. Variances are positive. */
static DimrNodeId
add_stats (OpCase     *c,
           DimrNodeId  x,
           guint       groups)
{
  return ADD_OP (c, DIMR_OP_GROUP_STATS, ATTRS (.n_groups = groups), x);
}

static void
check_conv (const Conv *conv)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId inputs[7], y;
  const DimrAttrs attrs = {
    .stride = conv->stride, .pad_before = conv->before, .pad_after = conv->after, .factor = conv->factor,
    .silu = conv->silu, .eps = 1e-6,
  };
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (conv->batch, conv->height, conv->width, conv->d), .3, 1);

  inputs[0] = x;
  inputs[1] = op_case_param (c, DIMR_SHAPE (conv->n, conv->d, conv->kernel, conv->kernel), 0, 1);
  inputs[2] = conv->bias ? op_case_param (c, DIMR_SHAPE (conv->n), 0, 1) : DIMR_NODE_NONE;
  inputs[3] = DIMR_NODE_NONE;
  if (conv->groups > 0)
    {
      inputs[4] = add_stats (c, x, conv->groups);
      inputs[5] = op_case_param (c, DIMR_SHAPE (conv->d), 1, .3);
      inputs[6] = op_case_param (c, DIMR_SHAPE (conv->d), 0, .3);
    }
  y = dimr_graph_add (op_case_graph (c), DIMR_OP_CONV2D, attrs, inputs, conv->groups > 0 ? 7 : 4);
  if (conv->residual)
    {
      DimrNodeId r = op_case_input (c, dimr_graph_peek_node (op_case_graph (c), y)->shape, 0, 1);

      y = ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, r, r), y);
    }
  op_case_check (c, y, OP_F32);
}

static void
test_conv2d_widths (void)
{
  static const gint64 widths[] = { 1, 2, 3, 4, 7, 16, 17, 31, 32, 33, 64, 70 };

  for (guint i = 0; i < G_N_ELEMENTS (widths); i++)
    {
      check_conv (&(Conv){ 2, 5, 6, widths[i], 5, 3, 1, 1, 1, .bias = TRUE });
      check_conv (&(Conv){ 1, 4, 7, 6, widths[i], 3, 1, 1, 1, .residual = TRUE });
    }
}

static void
test_conv2d_sizes (void)
{
  static const gint64 sizes[][2] = { { 1, 1 }, { 2, 1 }, { 1, 13 }, { 12, 12 }, { 9, 25 }, { 33, 5 } };

  for (guint s = 0; s < G_N_ELEMENTS (sizes); s++)
    for (gint64 kernel = 1; kernel <= 5; kernel += 2)
      check_conv (&(Conv){ 2, sizes[s][0], sizes[s][1], 5, 9, kernel, 1, (guint) kernel / 2, (guint) kernel / 2,
                           .bias = s % 2, .residual = kernel == 3 });
  check_conv (&(Conv){ 1, 6, 7, 3, 4, 2, 1, 0, 1 });
}

/* The encoder's: zeros on the right and below only. */
static void
test_conv2d_stride (void)
{
  check_conv (&(Conv){ 2, 8, 8, 12, 12, 3, 2, 0, 1, .bias = TRUE });
  check_conv (&(Conv){ 1, 30, 26, 33, 20, 3, 2, 0, 1, .bias = TRUE });
  check_conv (&(Conv){ 1, 9, 7, 4, 6, 3, 2, 1, 1 });
  check_conv (&(Conv){ 1, 10, 11, 4, 6, 3, 3, 1, 1 });
}

/* Sums in several parts, many bands, and more tasks than threads. */
static void
test_conv2d_large (void)
{
  check_conv (&(Conv){ 1, 5, 14, 200, 40, 3, 1, 1, 1, .bias = TRUE, .residual = TRUE });
  check_conv (&(Conv){ 1, 40, 40, 24, 36, 3, 1, 1, 1, .groups = 8, .silu = TRUE, .bias = TRUE });
  check_conv (&(Conv){ 1, 3, 12, 1100, 70, 1, 1, 0, 0, .bias = TRUE });
}

static void
test_conv2d_norm (void)
{
  static const gint64 widths[] = { 2, 6, 16, 18, 34, 64 };

  for (guint i = 0; i < G_N_ELEMENTS (widths); i++)
    for (guint batch = 1; batch <= 2; batch++)
      check_conv (&(Conv){ batch, 6, 5, widths[i], 7, 3, 1, 1, 1, .groups = 2, .silu = i % 2, .bias = TRUE, .residual = batch == 1 });
}

static void
test_conv2d_upsampled (void)
{
  static const gint64 widths[] = { 1, 3, 16, 34 };

  for (guint i = 0; i < G_N_ELEMENTS (widths); i++)
    {
      check_conv (&(Conv){ 2, 3, 5, widths[i], 9, 3, 1, 1, 1, .factor = 2, .bias = TRUE });
      check_conv (&(Conv){ 1, 13, 14, widths[i], 33, 3, 1, 1, 1, .factor = 2, .residual = TRUE });
    }
  check_conv (&(Conv){ 1, 4, 4, 16, 8, 3, 1, 1, 1, .factor = 2, .groups = 4, .silu = TRUE });
}

static void
test_group_stats (void)
{
  static const struct { gint64 d; guint groups; double mean, scale, bound; } cases[] = {
    { 1, 1, 0, 1, OP_F32 }, { 4, 2, 1, 1, OP_F32 }, { 32, 32, 0, 1e-3, OP_F32 }, { 51, 3, -2, 3, OP_F32 },
    { 64, 32, 100, 1, OP_F32 }, { 96, 32, 0, 1e3, OP_F32 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 7, 9, cases[i].d), cases[i].mean, cases[i].scale);

      op_case_check (c, add_stats (c, x, cases[i].groups), cases[i].bound);
    }
}

/* The spread around a mean 3,000 times as large: lost, were squares of the values themselves added up. */
static void
test_group_stats_far_mean (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (1, 30, 30, 8), 3000, 1);
  DimrNodeId weight = op_case_param (c, DIMR_SHAPE (8), 1, .3), bias = op_case_param (c, DIMR_SHAPE (8), 0, .3);

  op_case_check (c, ADD_OP (c, DIMR_OP_GROUP_NORM, ATTRS (.eps = 1e-6), x, add_stats (c, x, 4), weight, bias), 1e-7);
}

static void
test_group_stats_region (void)
{
  static const DimrRegion regions[] = { { 0, 0, 1, 1 }, { 1, 2, 3, 4 }, { 6, 0, 1, 9 }, { 0, 8, 7, 1 } };

  for (guint i = 0; i < G_N_ELEMENTS (regions); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 7, 9, 12), .5, 1);

      op_case_check (c, ADD_OP (c, DIMR_OP_GROUP_STATS, ATTRS (.n_groups = 4, .region = regions[i]), x), OP_F32);
    }
}

static void
test_group_norm (void)
{
  static const gint64 widths[] = { 2, 6, 16, 30, 34, 64 };

  for (guint i = 0; i < G_N_ELEMENTS (widths); i++)
    for (guint silu = 0; silu < 2; silu++)
      {
        g_autoptr (OpCase) c = op_case_new ();
        const gint64 d = widths[i];
        DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 5, 6, d), .5, 2), sum = ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, x, x);
        DimrNodeId weight = op_case_param (c, DIMR_SHAPE (d), 1, .3), bias = op_case_param (c, DIMR_SHAPE (d), 0, .3);

        /* Writes over the sum. */
        op_case_check (c, ADD_OP (c, DIMR_OP_GROUP_NORM, ATTRS (.eps = 1e-6, .silu = silu), sum, add_stats (c, sum, 2), weight, bias),
                       OP_F32);
      }
}

/* Statistics that come from elsewhere, as those of the whole picture do for its tiles: one set for all images, or one
 * each, for a norm by itself and for one that a convolution takes in. */
static void
test_given_stats (void)
{
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 5, 6, 12), .5, 2);
      DimrNodeId stats = op_case_input (c, DIMR_SHAPE (i % 2 + 1, 3, 2), 3, .3);
      DimrNodeId weight = op_case_param (c, DIMR_SHAPE (12), 1, .3), bias = op_case_param (c, DIMR_SHAPE (12), 0, .3);

      x = ADD_OP (c, DIMR_OP_GROUP_NORM, ATTRS (.eps = 1e-6, .silu = TRUE), x, stats, weight, bias);
      if (i >= 2)
        x = ADD_OP (c, DIMR_OP_CONV2D, ATTRS (.stride = 1, .pad_before = 1, .pad_after = 1), x,
                    op_case_param (c, DIMR_SHAPE (7, 12, 3, 3), 0, .1), DIMR_NODE_NONE, DIMR_NODE_NONE);
      op_case_check (c, x, OP_F32);
    }
}

/* One head of all channels, and several, wider than those of a diffusion model. */
static void
test_wide_attention (void)
{
  static const struct { gint64 batch, n, d; guint heads; } cases[] = {
    { 1, 1, 129, 1 }, { 2, 17, 160, 1 }, { 1, 37, 512, 1 }, { 2, 40, 266, 2 }, { 1, 300, 132, 1 }, { 2, 131, 150, 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId qkv = op_case_input (c, DIMR_SHAPE (cases[i].batch, cases[i].n, 3 * cases[i].d), .1, 1);

      op_case_check (c, ADD_OP (c, DIMR_OP_ATTENTION, ATTRS (.n_heads = cases[i].heads), qkv), OP_F32);
    }
}

static void
test_layouts (void)
{
  for (gint64 d = 1; d <= 5; d++)
    {
      g_autoptr (OpCase) c = op_case_new ();
      DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, d, 6, 7), 0, 1);
      DimrNodeId map = ADD_OP (c, DIMR_OP_IMAGE_TO_MAP, NO_ATTRS, x);

      op_case_check (c, ADD_OP (c, DIMR_OP_UPSAMPLE_NEAREST, ATTRS (.factor = (guint) d), map), OP_EXACT);
    }
}

/* A residual block as a model writes it: everything between the convolutions goes into them. */
static void
test_block_is_fused (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 6, 5, 32), 0, 1), h = x;

  for (guint i = 0; i < 2; i++)
    {
      DimrNodeId weight = op_case_param (c, DIMR_SHAPE (32), 1, .3), bias = op_case_param (c, DIMR_SHAPE (32), 0, .3);

      h = ADD_OP (c, DIMR_OP_GROUP_NORM, ATTRS (.eps = 1e-6), h, add_stats (c, h, 4), weight, bias);
      h = ADD_OP (c, DIMR_OP_SILU, NO_ATTRS, h);
      h = ADD_OP (c, DIMR_OP_CONV2D, ATTRS (.stride = 1, .pad_before = 1, .pad_after = 1), h,
                  op_case_param (c, DIMR_SHAPE (32, 32, 3, 3), 0, .06), op_case_param (c, DIMR_SHAPE (32), 0, 1), DIMR_NODE_NONE);
    }
  op_case_check (c, ADD_OP (c, DIMR_OP_ADD, NO_ATTRS, x, h), OP_F32);
}

/* In bfloat16 sums of weights are rounded here, where the two ops by themselves would round each one. */
static void
test_upsampling_is_fused (void)
{
  g_autoptr (OpCase) c = op_case_new ();
  DimrNodeId x = op_case_input (c, DIMR_SHAPE (2, 6, 5, 32), 0, 1);

  x = ADD_OP (c, DIMR_OP_UPSAMPLE_NEAREST, ATTRS (.factor = 2), x);
  x = ADD_OP (c, DIMR_OP_CONV2D, ATTRS (.stride = 1, .pad_before = 1, .pad_after = 1), x,
              op_case_param (c, DIMR_SHAPE (9, 32, 3, 3), 0, .06), DIMR_NODE_NONE, DIMR_NODE_NONE);
  op_case_check (c, x, 1e-5);
}

int
main (int   argc,
      char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  if (!op_case_can_run ())
    return 0;
  g_test_add_func ("/ops/conv2d/takes-any-number-of-channels", test_conv2d_widths);
  g_test_add_func ("/ops/conv2d/takes-any-size-and-kernel", test_conv2d_sizes);
  g_test_add_func ("/ops/conv2d/steps-and-pads-on-one-side", test_conv2d_stride);
  g_test_add_func ("/ops/conv2d/divides-large-maps-and-long-sums", test_conv2d_large);
  g_test_add_func ("/ops/conv2d/normalises-its-input", test_conv2d_norm);
  g_test_add_func ("/ops/conv2d/upsamples-its-input", test_conv2d_upsampled);
  g_test_add_func ("/ops/group-stats/takes-any-groups", test_group_stats);
  g_test_add_func ("/ops/group-stats/keeps-digits-far-from-zero", test_group_stats_far_mean);
  g_test_add_func ("/ops/group-stats/looks-at-its-region-only", test_group_stats_region);
  g_test_add_func ("/ops/group-norm/writes-over-its-input", test_group_norm);
  g_test_add_func ("/ops/group-norm/takes-given-statistics", test_given_stats);
  g_test_add_func ("/ops/attention/takes-wide-heads", test_wide_attention);
  g_test_add_func ("/ops/maps/change-their-layout-and-size", test_layouts);
  g_test_add_func ("/ops/blocks/of-an-autoencoder-are-fused", test_block_is_fused);
  g_test_add_func ("/ops/blocks/upsample-while-they-convolve", test_upsampling_is_fused);
  return g_test_run ();
}
