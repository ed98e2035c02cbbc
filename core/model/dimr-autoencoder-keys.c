/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/dimr-autoencoder-keys.h"

#include <string.h>

/* Pieces of names: Hugging Face's, and what the latent diffusion code says instead. Each is replaced where it
 * occurs between two dots. */
static const struct
{
  const char *from;
  const char *to;
} pieces[] = {
  { ".mid_block.resnets.0.", ".mid.block_1." },
  { ".mid_block.resnets.1.", ".mid.block_2." },
  { ".mid_block.attentions.0.", ".mid.attn_1." },
  { ".downsamplers.0.", ".downsample." },
  { ".upsamplers.0.", ".upsample." },
  { ".resnets.", ".block." },
  { ".down_blocks.", ".down." },
  { ".conv_shortcut.", ".nin_shortcut." },
  { ".conv_norm_out.", ".norm_out." },
  { ".attn_1.group_norm.", ".attn_1.norm." },
  { ".attn_1.query.", ".attn_1.q." },
  { ".attn_1.key.", ".attn_1.k." },
  { ".attn_1.value.", ".attn_1.v." },
  { ".attn_1.proj_attn.", ".attn_1.proj_out." },
  { ".attn_1.to_q.", ".attn_1.q." },
  { ".attn_1.to_k.", ".attn_1.k." },
  { ".attn_1.to_v.", ".attn_1.v." },
  { ".attn_1.to_out.0.", ".attn_1.proj_out." },
};

static const char * const prefixes[] = { "first_stage_model.", "" };
static const char * const networks[] = { "encoder.", "decoder.", "quant_conv.", "post_quant_conv." };

/* One more than the largest N of "decoder.up_blocks.N.". */
static guint
count_up_blocks (DimrWeights *weights)
{
  const char **names = dimr_weights_peek_names (weights);
  guint n = 0;

  for (guint i = 0; names[i] != NULL; i++)
    {
      const char *at = strstr (names[i], "decoder.up_blocks.");

      if (at != NULL)
        n = MAX (n, (guint) MIN (g_ascii_strtoull (at + strlen ("decoder.up_blocks."), NULL, 10), 1000) + 1);
    }
  return n;
}

static void
replace (GString    *name,
         const char *from,
         const char *to)
{
  const char *at = strstr (name->str, from);
  gsize position;

  if (at == NULL)
    return;
  position = (gsize) (at - name->str);
  g_string_erase (name, (gssize) position, (gssize) strlen (from));
  g_string_insert (name, (gssize) position, to);
}

/* "decoder.up_blocks.0." is the lowest of @n levels, "decoder.up.0." the highest. */
static void
turn_level (GString *name,
            guint    n)
{
  const char *at = strstr (name->str, ".up_blocks.");
  char *end;
  guint64 level;
  g_autofree char *from = NULL;
  g_autofree char *to = NULL;

  if (at == NULL)
    return;
  level = g_ascii_strtoull (at + strlen (".up_blocks."), &end, 10);
  if (level >= n)
    return;
  from = g_strdup_printf (".up_blocks.%" G_GUINT64_FORMAT ".", level);
  to = g_strdup_printf (".up.%" G_GUINT64_FORMAT ".", n - 1 - level);
  replace (name, from, to);
}

/* NULL where the tensor belongs to something else (transfer full). */
static char *
translate_name (const char *name,
                const char *prefix,
                guint       n_up_blocks)
{
  gboolean known = FALSE;
  GString *text;

  if (!g_str_has_prefix (name, prefix))
    return NULL;
  name += strlen (prefix);
  for (guint i = 0; i < G_N_ELEMENTS (networks); i++)
    known |= g_str_has_prefix (name, networks[i]);
  if (!known)
    return NULL;
  text = g_string_new (name);
  turn_level (text, n_up_blocks);
  for (guint i = 0; i < G_N_ELEMENTS (pieces); i++)
    replace (text, pieces[i].from, pieces[i].to);
  return g_string_free (text, FALSE);
}

DimrWeights *
dimr_autoencoder_keys_translate (DimrWeights *weights)
{
  guint n_up_blocks;

  g_return_val_if_fail (weights != NULL, NULL);

  n_up_blocks = count_up_blocks (weights);
  for (guint p = 0; p < G_N_ELEMENTS (prefixes); p++)
    {
      g_autoptr (GHashTable) tensors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) dimr_tensor_unref);
      const char **names = dimr_weights_peek_names (weights);

      for (guint i = 0; names[i] != NULL; i++)
        {
          char *name = translate_name (names[i], prefixes[p], n_up_blocks);

          if (name != NULL)
            g_hash_table_insert (tensors, name, dimr_tensor_ref (dimr_weights_peek (weights, names[i])));
        }
      if (g_hash_table_contains (tensors, "decoder.conv_in.weight") || g_hash_table_contains (tensors, "encoder.conv_in.weight"))
        return dimr_weights_new_for_tensors (g_steal_pointer (&tensors));
    }
  return NULL;
}
