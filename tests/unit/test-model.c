/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/model/dimr-architecture.h"
#include "core/model/dimr-cost.h"
#include "core/model/dimr-model.h"
#include "core/model/dimr-network.h"
#include "core/model/dimr-synthetic.h"

#include <math.h>
#include <string.h>

/* What was published of each model: millions of parameters and "Gflops", which are multiply-accumulates
 * of one forward pass without guidance, attention products counted. DiMR's are the paper's Table 4; the
 * others those of Tables 1, 6 and 7 and of the papers on U-ViT and DiT. 0: not published. The last two
 * columns are exact counts of what the weights of DiMR have. */
static const struct
{
  const char *name;
  double millions;
  double gflops;
  guint64 parameters_thousands;
  guint64 macs_millions;
} published[] = {
  { "DiMR-M/3R", 133, 54, 132829, 53531 },
  { "DiMR-L/3R", 284, 111, 284139, 110596 },
  { "DiMR-XL/2R", 505, 160, 505046, 160176 },
  { "DiMR-XL/3R", 525, 206, 525027, 206072 },
  { "DiMR-G/2R", 1060, 331, 1056353, 331095 },
  { "U-ViT-S/2", 44, 0, 0, 0 },
  { "U-ViT-M/4", 131, 35, 0, 0 },
  { "U-ViT-L/4-64px", 287, 77, 0, 0 },
  { "U-ViT-L/2", 287, 77, 0, 0 },
  { "U-ViT-H/2", 501, 133, 0, 0 },
  { "U-ViT-L/4", 287, 77, 0, 0 },
  { "U-ViT-H/4", 505, 133, 0, 0 },
  { "DiT-S/2", 33, 6.06, 0, 0 },
  { "DiT-S/4", 33, 1.41, 0, 0 },
  { "DiT-S/8", 33, 0.36, 0, 0 },
  { "DiT-B/2", 130, 23.01, 0, 0 },
  { "DiT-B/4", 130, 5.56, 0, 0 },
  { "DiT-B/8", 131, 1.42, 0, 0 },
  { "DiT-L/2", 458, 80.71, 0, 0 },
  { "DiT-L/4", 458, 19.70, 0, 0 },
  { "DiT-L/8", 459, 5.01, 0, 0 },
  { "DiT-XL/2", 675, 118.64, 0, 0 },
  { "DiT-XL/4", 675, 29.05, 0, 0 },
  { "DiT-XL/8", 676, 7.39, 0, 0 },
  { "DiT-XL/2-512px", 675, 524.6, 0, 0 },
};

static void
test_cost_table (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (published); i++)
    {
      g_autoptr (DimrConfig) config = dimr_config_new_for_variant (published[i].name);
      g_autoptr (GError) error = NULL;
      g_autofree DimrCost *cost = dimr_cost_new (config, &error);
      double millions = (double) cost->total.parameters / 1e6, gflops = (double) cost->total.macs / 1e9;
      guint64 sum = 0;

      g_assert_no_error (error);
      g_test_message ("%s: %.3f M parameters (published %g M), %.3f Gflops (published %g)", published[i].name, millions,
                      published[i].millions, gflops, published[i].gflops);
      g_assert_cmpfloat (fabs (millions / published[i].millions - 1), <, 0.01);
      if (published[i].gflops > 0)
        g_assert_cmpfloat (fabs (gflops / published[i].gflops - 1), <, 0.02);
      if (published[i].parameters_thousands > 0)
        {
          g_assert_cmpuint ((guint64) round (millions * 1e3), ==, published[i].parameters_thousands);
          g_assert_cmpuint ((guint64) round (gflops * 1e3), ==, published[i].macs_millions);
        }
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
    { "{\"model\": \"UNet\"}", "\"model\" is \"UNet\"; this version knows MRModel, UViT, DiT" },
    { "{\"model\": \"UViT\"}", "\"img_size\" is missing" },
    { "{\"model\": \"UViT\", \"img_size\": 32, \"patch_size\": 3, \"embed_dim\": 64, \"depth\": 4, \"num_heads\": 4}",
      "\"img_size\" 32 is not a multiple of \"patch_size\" 3" },
    { "{\"model\": \"DiT\", \"input_size\": 32, \"patch_size\": 2, \"hidden_size\": 64, \"depth\": 4, \"num_heads\": 5}",
      "\"hidden_size\" 64 is not a multiple of \"num_heads\" 5" },
    { "{\"model\": \"DiT\", \"input_size\": 32, \"patch_size\": 2, \"hidden_size\": 1e9, \"depth\": 4, \"num_heads\": 4}", "not between" },
    { "{\"model\": \"UViT\", \"img_size\": 32, \"patch_size\": 2, \"embed_dim\": 64, \"depth\": 4, \"num_heads\": 4, \"conv\": 1}",
      "neither true nor false" },
    { "{\"channels\": 3, \"image_size\": 32, \"pe_type\": \"RoPE\", \"stage_configs\": [" STAGE (12, 32, 1) "]}",
      "this version knows APE, Axial_RoPE" },
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
      g_assert_true (found->architecture == config->architecture);
      g_assert_cmpuint (found->num_classes, ==, config->num_classes);
      g_assert_cmpuint (found->stages[0].num_attention_heads, ==, config->stages[0].num_attention_heads);
      g_assert_cmpmem (&found->vit, sizeof found->vit, &config->vit, sizeof config->vit);
      g_assert_cmpint (found->schedule, ==, config->schedule);
      g_assert_cmpint (found->time_condition, ==, config->time_condition);
    }
}

/* The others are told by their shapes first, and then by what does not fit. */
static void
test_missing_tensors_of_transformers_are_named (void)
{
  static const char * const cases[][2] = {
    { "U-ViT-S/2", "in_blocks.3.mlp.fc2.bias" }, { "U-ViT-H/2", "norm.weight" }, { "DiT-B/4", "blocks.7.adaLN_modulation.1.bias" },
    { "DiT-XL/2", "t_embedder.mlp.2.weight" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (DimrConfig) config = dimr_config_new_for_variant (cases[i][0]), found = NULL;
      g_autoptr (DimrWeights) incomplete = NULL;
      g_autoptr (GError) error = NULL;
      GHashTable *tensors = make_tensors (config);

      g_assert_true (g_hash_table_remove (tensors, cases[i][1]));
      incomplete = dimr_weights_new_for_tensors (tensors);
      found = dimr_config_recognise (incomplete, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (found->title, ==, cases[i][0]);
      g_assert_false (dimr_network_check (found, incomplete, NULL, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
      g_assert_nonnull (strstr (error->message, cases[i][1]));
    }
}

/* Weights of one number each, under @names. */
static DimrWeights *
make_foreign (const char * const *names)
{
  GHashTable *tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
  const DimrShape shape = DIMR_SHAPE (1);
  const float one = 1;

  for (guint i = 0; names[i] != NULL; i++)
    g_hash_table_insert (tensors, g_strdup (names[i]), dimr_tensor_new_copy (DIMR_DTYPE_F32, &shape, &one));
  return dimr_weights_new_for_tensors (tensors);
}

/* Files that people have beside the ones they need: one sentence says what each is. */
static void
test_foreign_files_are_named (void)
{
  static const struct
  {
    const char *names[4];
    const char *says;
  } cases[] = {
    { { "model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.weight" }, "Stable Diffusion" },
    { { "down_blocks.0.resnets.0.conv1.weight", "up_blocks.0.resnets.0.conv1.weight", "conv_in.weight" }, "text-to-image" },
    { { "decoder.conv_in.weight", "encoder.conv_in.weight" }, "an autoencoder" },
    { { "unet.down_blocks.0.lora_A.weight" }, "a LoRA" },
    { { "lora_unet_down_blocks_0.lora_down.weight" }, "a LoRA" },
    { { "text_model.embeddings.token_embedding.weight" }, "a text encoder" },
    { { "cls_token", "blocks.0.attn.qkv.weight" }, "a vision transformer classifier" },
    { { "layer1.0.conv1.weight", "fc.weight" }, "an image classifier" },
    { { "state.0.exp_avg", "state.0.exp_avg_sq", "state.0.step" }, "the state of an optimizer" },
    { { "mid_block.attn.qkv.weight", "context_embed.weight" }, "from text" },
    { { "mid_block.attn.qkv.weight" }, "look like weights of a U-ViT" },
    { { "y_embedder.embedding_table.weight" }, "look like weights of a DiT" },
    { { "x_embedder.proj.weight", "y_embedder.y_proj.fc1.weight" }, "text-to-image" },
    { { "conv_in.weight", "time_embedding.linear_1.weight" }, "the network of a text-to-image model; needed are" },
    { { "model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight" }, "Stable Diffusion 3" },
    { { "double_blocks.0.img_attn.qkv.weight", "txt_in.weight" }, "FLUX" },
    { { "unet.down_blocks.0.attn.to_q.lora_A.weight", "time_embedding.linear_1.weight" }, "a LoRA" },
    { { "controlnet_cond_embedding.conv_in.weight" }, "a ControlNet" },
    { { "moments", "z" }, "latents of pictures" },
    { { "a.weight", "b.weight" }, "none of its 2 tensors belongs to a DiMR, U-ViT or DiT, whose weights are needed" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (DimrWeights) weights = make_foreign (cases[i].names);
      g_autoptr (GError) error = NULL;

      g_assert_null (dimr_config_recognise (weights, &error));
      g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
      if (strstr (error->message, cases[i].says) == NULL)
        g_error ("'%s' does not say '%s'", error->message, cases[i].says);
    }
}

#define VIT "{\"model\": \"ViT\", \"img_size\": 16, \"patch_size\": 4, \"embed_dim\": 128, \"depth\": 3, \"num_heads\": 2, \"num_classes\": 3"

/* A classifier is told by its tensors, or by a configuration that says what its rows stand for. */
static void
test_classifier (void)
{
  static const char * const bad[][2] = {
    { VIT ", \"label_names\": [\"a\", \"b\"]}", "no list of 3 names" },
    { VIT ", \"label_names\": \"a\"}", "no list of 3 names" },
    { VIT ", \"label_names\": [\"a\", 2, \"c\"]}", "entry 1 of \"label_names\"" },
    { "{\"model\": \"ViT\", \"img_size\": 16, \"patch_size\": 4, \"embed_dim\": 128, \"depth\": 3, \"num_heads\": 2}", "num_classes" },
    { "{\"model\": \"ViT\", \"img_size\": 15, \"patch_size\": 4, \"embed_dim\": 128, \"depth\": 3, \"num_heads\": 2,"
      " \"num_classes\": 3}", "img_size" },
  };
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrConfig) config = parse (VIT ", \"label_names\": [\"n01440764\", \"b\", \"c\"]}", &error), copy = NULL, found = NULL;
  g_autoptr (DimrWeights) weights = NULL;
  g_autofree DimrCost *cost = NULL;
  guint n_unused;

  g_assert_no_error (error);
  copy = dimr_config_copy (config);
  g_assert_cmpstr (copy->label_names[2], ==, "c");
  g_assert_true (dimr_config_is_classifier (copy));
  weights = dimr_weights_new_for_tensors (make_tensors (config));
  found = dimr_config_recognise (weights, &error);
  g_assert_no_error (error);
  g_assert_true (found->architecture == config->architecture);
  g_assert_cmpuint (found->num_classes, ==, 3);
  g_assert_cmpuint (found->image_size, ==, 16);
  g_assert_cmpmem (&found->vit, sizeof found->vit, &config->vit, sizeof config->vit);
  g_assert_true (dimr_network_check (found, weights, &n_unused, &error));
  g_assert_cmpuint (n_unused, ==, 0);
  cost = dimr_cost_new (config, &error);
  /* Patches, positions and class token; three blocks; norm and head. */
  g_assert_cmpuint (cost->total.parameters, ==, 128 * 49 + 18 * 128 + 3 * (12 * 128 * 128 + 13 * 128) + 2 * 128 + 3 * 129);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) problem = NULL;

      g_assert_null (parse (bad[i][0], &problem));
      if (strstr (problem->message, bad[i][1]) == NULL)
        g_error ("'%s' does not say '%s'", problem->message, bad[i][1]);
    }
}

/* Weights of a DiMR that lack something: the sentence says what is missing. */
static void
test_missing_tensors_are_named (void)
{
  g_autoptr (DimrConfig) config = dimr_config_new_for_variant ("DiMR-M/3R");
  GHashTable *tensors = make_tensors (config);
  g_autoptr (DimrWeights) incomplete = NULL;
  g_autoptr (GError) error = NULL;

  g_hash_table_remove (tensors, "stages.1.upsample.1.kernel.bias");
  incomplete = dimr_weights_new_for_tensors (tensors);
  g_assert_false (dimr_network_check (config, incomplete, NULL, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
  g_assert_nonnull (strstr (error->message, "'stages.1.upsample.1.kernel.bias' [1536] is missing"));
  g_clear_error (&error);
  g_assert_null (dimr_config_recognise (incomplete, &error));
  g_assert_nonnull (strstr (error->message, "768, 384, 192"));
  g_clear_error (&error);
}

static const char small_config[] =
  "{\"channels\": 3, \"image_size\": 16, \"num_classes\": 11, \"stage_configs\": ["
  "{\"block_type\": \"TransformerBlock\", \"dim\": 64, \"num_attention_heads\": 4, \"num_blocks\": 4, \"max_height\": 8,"
  " \"input_feature_ratio\": 2},"
  "{\"block_type\": \"ConvNeXtBlock\", \"dim\": 32, \"num_blocks\": 2, \"max_height\": 16, \"input_feature_ratio\": 1}]}";

static DimrWeights *
make_synthetic (const DimrConfig *config,
                DimrDType         dtype,
                guint64           seed)
{
  g_autoptr (GError) error = NULL;
  DimrWeights *weights = dimr_weights_new_synthetic (config, dtype, seed, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (dimr_network_check (config, weights, NULL, &error));
  g_assert_no_error (error);
  return weights;
}

static void
get_moments (DimrWeights *weights,
             const char  *name,
             double      *mean,
             double      *deviation)
{
  DimrTensor *tensor = dimr_weights_peek (weights, name);
  const gsize n = dimr_tensor_get_n_elements (tensor);
  g_autofree float *values = dimr_tensor_dup_f32 (tensor);
  double sum = 0, squares = 0;

  for (gsize i = 0; i < n; i++)
    {
      sum += values[i];
      squares += (double) values[i] * values[i];
    }
  *mean = sum / (double) n;
  *deviation = sqrt (squares / (double) n - *mean * *mean);
}

static void
test_synthetic_weights_have_a_networks_sizes (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrConfig) config = parse (small_config, &error);
  g_autoptr (DimrWeights) weights = make_synthetic (config, DIMR_DTYPE_F32, 1);
  double mean, deviation;

  get_moments (weights, "stages.0.blocks.0.block2.w2.weight", &mean, &deviation); /* [64, 128] */
  g_assert_cmpfloat (fabs (mean), <, 0.005);
  g_assert_cmpfloat_with_epsilon (deviation * sqrt (128), 1, 0.03);
  get_moments (weights, "stages.1.blocks.0.block1.1.weight", &mean, &deviation); /* [32, 1, 7, 7] */
  g_assert_cmpfloat_with_epsilon (deviation * 7, 0.3, 0.03);
  get_moments (weights, "stages.0.blocks.0.block1.norm.scale.param0", &mean, &deviation);
  g_assert_cmpfloat_with_epsilon (mean, 1, 0.05);
  get_moments (weights, "stages.1.upsample.0.weight.param1", &mean, &deviation);
  g_assert_cmpfloat_with_epsilon (mean, 1, 0.05);
  get_moments (weights, "stages.1.upsample.0.bias.param1", &mean, &deviation);
  g_assert_cmpfloat_with_epsilon (mean, 0, 0.02);
  g_assert_cmpfloat (deviation, >, 0);
}

static void
test_synthetic_weights_follow_their_seed (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrConfig) config = parse (small_config, &error);
  g_autoptr (DimrWeights) one = make_synthetic (config, DIMR_DTYPE_F32, 1), again = make_synthetic (config, DIMR_DTYPE_F32, 1);
  g_autoptr (DimrWeights) two = make_synthetic (config, DIMR_DTYPE_F32, 2), half = make_synthetic (config, DIMR_DTYPE_BF16, 1);
  g_autoptr (GCancellable) cancelled = g_cancellable_new ();

  for (const char **name = dimr_weights_peek_names (one); *name != NULL; name++)
    {
      DimrTensor *a = dimr_weights_peek (one, *name), *b = dimr_weights_peek (again, *name);
      DimrTensor *c = dimr_weights_peek (two, *name), *d = dimr_weights_peek (half, *name);
      const gboolean matrix = dimr_tensor_peek_shape (a)->n_dims >= 2;
      float f32, bf16;

      g_assert_cmpmem (dimr_tensor_peek_data (a), dimr_tensor_get_n_bytes (a), dimr_tensor_peek_data (b), dimr_tensor_get_n_bytes (b));
      g_assert_cmpint (memcmp (dimr_tensor_peek_data (a), dimr_tensor_peek_data (c), dimr_tensor_get_n_bytes (a)), !=, 0);
      g_assert_cmpint (dimr_tensor_get_dtype (d), ==, matrix ? DIMR_DTYPE_BF16 : DIMR_DTYPE_F32);
      dimr_tensor_read_f32 (a, 0, 1, &f32);
      dimr_tensor_read_f32 (d, 0, 1, &bf16);
      g_assert_cmpfloat (fabs (f32 - bf16), <=, fabs (f32) / 256);
    }

  g_cancellable_cancel (cancelled);
  g_assert_null (dimr_weights_new_synthetic (config, DIMR_DTYPE_F32, 1, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_model_without_a_file (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (DimrConfig) config = parse (small_config, &error), other = dimr_config_copy (config);
  g_autoptr (DimrWeights) weights = make_synthetic (config, DIMR_DTYPE_F32, 1);
  g_autoptr (DimrModel) model = dimr_model_new_for_weights (config, weights, &error);

  g_assert_no_error (error);
  g_assert_null (dimr_model_get_path (model));
  g_assert_null (dimr_model_wait_for_hash (model));
  g_assert_true (dimr_model_peek_weights (model) == weights);
  g_assert_cmpuint (dimr_model_get_image_size (model), ==, 16);
  other->stages[0].num_blocks = 6;
  g_assert_null (dimr_model_new_for_weights (other, weights, &error));
  g_assert_error (error, DIMR_ERROR, DIMR_ERROR_MODEL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/model/cost/is-the-published-one", test_cost_table);
  g_test_add_func ("/model/config/is-checked", test_config_is_checked);
  g_test_add_func ("/model/config/nesting-is-bounded", test_config_nesting_is_bounded);
  g_test_add_func ("/model/variants/are-recognised-by-their-tensors", test_variants_are_recognised);
  g_test_add_func ("/model/variants/missing-tensors-are-named", test_missing_tensors_are_named);
  g_test_add_func ("/model/variants/missing-tensors-of-transformers-are-named", test_missing_tensors_of_transformers_are_named);
  g_test_add_func ("/model/classifier/is-told-from-its-tensors", test_classifier);
  g_test_add_func ("/model/variants/foreign-files-are-named", test_foreign_files_are_named);
  g_test_add_func ("/model/synthetic/has-a-networks-sizes", test_synthetic_weights_have_a_networks_sizes);
  g_test_add_func ("/model/synthetic/follows-its-seed", test_synthetic_weights_follow_their_seed);
  g_test_add_func ("/model/without-a-file", test_model_without_a_file);
  return g_test_run ();
}
