/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/model/dimr-config.h"
#include "core/model/dimr-cost.h"
#include "core/model/dimr-network.h"

#include <math.h>
#include <string.h>

/* The paper's Table 4 (parameters, "Gflops") and the exact counts that its weights have. */
static const struct
{
  const char *name;
  double paper_millions;
  double paper_gflops;
  guint64 parameters_thousands;
  guint64 macs_millions;
} table4[] = {
  { "DiMR-M/3R", 133, 54, 132829, 53531 },
  { "DiMR-L/3R", 284, 111, 284139, 110596 },
  { "DiMR-XL/2R", 505, 160, 505046, 160176 },
  { "DiMR-XL/3R", 525, 206, 525027, 206072 },
  { "DiMR-G/2R", 1060, 331, 1056353, 331095 },
};

static void
test_table_4 (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (table4); i++)
    {
      g_autoptr (DimrConfig) config = dimr_config_new_for_variant (table4[i].name);
      g_autoptr (GError) error = NULL;
      g_autofree DimrCost *cost = dimr_cost_new (config, &error);
      guint64 sum = 0;

      g_assert_no_error (error);
      g_assert_cmpuint ((guint64) round ((double) cost->total.parameters / 1e3), ==, table4[i].parameters_thousands);
      g_assert_cmpuint ((guint64) round ((double) cost->total.macs / 1e6), ==, table4[i].macs_millions);
      g_assert_cmpfloat (fabs ((double) cost->total.parameters / 1e6 / table4[i].paper_millions - 1), <, 0.01);
      g_assert_cmpfloat (fabs ((double) cost->total.macs / 1e9 / table4[i].paper_gflops - 1), <, 0.02);
      for (guint b = 0; b < cost->n_branches; b++)
        for (guint p = 0; p < DIMR_N_PARTS; p++)
          sum += cost->cells[b][p].macs;
      g_assert_cmpuint (sum, ==, cost->total.macs);
    }
}

static DimrConfig *
parse (const char  *json,
       GError     **error)
{
  return dimr_config_parse (json, strlen (json), "config.json", error);
}

#define STAGE(dim, side, ratio)                                                                     \
  "{\"block_type\": \"ConvNeXtBlock\", \"dim\": " #dim ", \"num_blocks\": 2, \"max_height\": " #side \
  ", \"max_width\": " #side ", \"input_feature_ratio\": " #ratio "}"

static void
test_config_is_checked (void)
{
  static const struct
  {
    const char *json;
    const char *says;
  } cases[] = {
    { "{", "not JSON" },
    { "[]", "not a JSON object" },
    { "", "not a JSON object" },
    { "{\"model\": \"UNet\"}", "\"model\" is \"UNet\"" },
    { "{\"channels\": 3, \"image_size\": 32}", "\"stage_configs\" is missing" },
    { "{\"channels\": \"3\"}", "\"channels\" is not a number" },
    { "{\"channels\": 2.5, \"image_size\": 32}", "no whole number" },
    { "{\"channels\": 3, \"image_size\": 1e9}", "not between" },
    { "{\"channels\": 3, \"image_size\": 32, \"stage_configs\": []}", "has 0 entries" },
    { "{\"channels\": 3, \"image_size\": 32, \"stage_configs\": [7]}", "not an object" },
    { "{\"channels\": 3, \"image_size\": 32, \"stage_configs\": [" STAGE (12, 8, 1) "]}", "does not fit branch 1" },
    { "{\"channels\": 3, \"image_size\": 32, \"stage_configs\": [" STAGE (12, 16, 2) "," STAGE (12, 40, 1) "]}",
      "whole multiple" },
    { "{\"channels\": 3, \"image_size\": 32, \"norm_type\": \"BN\", \"stage_configs\": [" STAGE (12, 32, 1) "]}",
      "\"norm_type\" is \"BN\"" },
  };
  g_autoptr (DimrConfig) good = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) reason = NULL;

      g_assert_null (parse (cases[i].json, &reason));
      g_assert_nonnull (reason);
      g_assert_true (g_str_has_prefix (reason->message, "config.json: "));
      if (strstr (reason->message, cases[i].says) == NULL)
        g_error ("'%s' does not say '%s'", reason->message, cases[i].says);
    }
  good = parse ("{\"channels\": 3, \"image_size\": 32, \"stage_configs\": [" STAGE (12, 16, 2) "," STAGE (12, 32, 1) "]}",
                &error);
  g_assert_no_error (error);
  g_assert_cmpuint (good->n_stages, ==, 2);
  g_assert_cmpuint (good->num_classes, ==, 0);
  g_assert_cmpint (good->schedule, ==, DIMR_SCHEDULE_DISCRETE);
}

static void
test_config_nesting_is_bounded (void)
{
  g_autofree char *brackets = g_strnfill (500000, '[');
  g_autoptr (GError) error = NULL;

  g_assert_null (parse (brackets, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT);
}

/* Every parameter of @config, all of them views of the same zeros: only names and shapes matter here. */
static GHashTable *
make_tensors (const DimrConfig *config)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  g_autoptr (DimrGraph) graph = dimr_network_build (config, 1, 1, config->image_size, config->image_size, NULL);
  g_autoptr (GBytes) zeros = NULL;
  gsize largest = 0;

  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    if (dimr_graph_peek_node (graph, id)->op == DIMR_OP_PARAM)
      largest = MAX (largest, dimr_shape_n_elements (&dimr_graph_peek_node (graph, id)->shape));
  zeros = g_bytes_new_take (g_new0 (guint16, largest), largest * sizeof (guint16));
  for (guint id = 0; id < dimr_graph_get_n_nodes (graph); id++)
    {
      const DimrNode *node = dimr_graph_peek_node (graph, id);

      if (node->op == DIMR_OP_PARAM)
        g_hash_table_insert (tensors, g_strdup (node->name),
                             dimr_tensor_new_for_bytes (DIMR_DTYPE_F16, &node->shape, zeros, 0, NULL));
    }
  return tensors;
}

static void
test_variants_are_recognised (void)
{
  const char * const *names = dimr_config_list_variants ();

  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autoptr (DimrConfig) config = dimr_config_new_for_variant (names[i]), found = NULL;
      g_autoptr (DimrWeights) weights = dimr_weights_new_for_tensors (make_tensors (config));
      g_autoptr (GError) error = NULL;

      found = dimr_config_recognise (weights, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (found->title, ==, names[i]);
      g_assert_cmpuint (found->stages[0].num_attention_heads, ==, config->stages[0].num_attention_heads);
    }
}

/* Weights that are no model of the paper: the sentence says what they are, or what is missing. */
static void
test_others_are_told_apart (void)
{
  g_autoptr (DimrConfig) config = dimr_config_new_for_variant ("DiMR-M/3R");
  GHashTable *tensors = make_tensors (config);
  g_autoptr (DimrWeights) incomplete = NULL, foreign = NULL;
  g_autoptr (GError) error = NULL;
  const DimrShape shape = DIMR_SHAPE (1);
  const float one = 1;

  g_hash_table_remove (tensors, "stages.1.upsample.1.kernel.bias");
  incomplete = dimr_weights_new_for_tensors (tensors);
  g_assert_false (dimr_network_check (config, incomplete, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
  g_assert_nonnull (strstr (error->message, "'stages.1.upsample.1.kernel.bias' [1536] is missing"));
  g_clear_error (&error);
  g_assert_null (dimr_config_recognise (incomplete, &error));
  g_assert_nonnull (strstr (error->message, "768, 384, 192"));
  g_clear_error (&error);

  tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  g_hash_table_insert (tensors, g_strdup ("x_embedder.proj.weight"), dimr_tensor_new_copy (DIMR_DTYPE_F32, &shape, &one));
  foreign = dimr_weights_new_for_tensors (tensors);
  g_assert_null (dimr_config_recognise (foreign, &error));
  g_assert_nonnull (strstr (error->message, "DiT"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/model/cost/table-4", test_table_4);
  g_test_add_func ("/model/config/is-checked", test_config_is_checked);
  g_test_add_func ("/model/config/nesting-is-bounded", test_config_nesting_is_bounded);
  g_test_add_func ("/model/variants/are-recognised-by-their-tensors", test_variants_are_recognised);
  g_test_add_func ("/model/variants/others-are-told-apart", test_others_are_told_apart);
  return g_test_run ();
}
