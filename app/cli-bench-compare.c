/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-bench.h"

/* Slower than this part of the stored run is worth a warning. */
#define DROP 0.95

struct _StudioBenchStored
{
  char *path;
  JsonNode *root; /* an object */
};

/* One thing that both runs have measured. */
typedef struct
{
  char *what;
  double then;
  double now;
  gboolean is_rate; /* more is better */
} Pair;

static void
pair_clear (gpointer data)
{
  g_free (((Pair *) data)->what);
}

StudioBenchStored *
studio_bench_stored_load (const char  *path,
                          GError     **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) reason = NULL;
  g_autofree char *text = NULL;
  StudioBenchStored *self;
  JsonNode *root;
  gsize length;

  if (!g_file_get_contents (path, &text, &length, &reason))
    {
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_FILE, _("The stored run could not be read: %s"), reason->message);
      return NULL;
    }
  root = json_parser_load_from_data (parser, text, (gssize) length, NULL) ? json_parser_get_root (parser) : NULL;
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root) ||
      g_strcmp0 (json_object_get_string_member_with_default (json_node_get_object (root), "event", ""), "bench") != 0)
    {
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_FORMAT,
                   _("%s: this is no result of “dimr bench --output”, which --compare needs"), path);
      return NULL;
    }
  self = g_new0 (StudioBenchStored, 1);
  self->path = g_strdup (path);
  self->root = json_node_copy (root);
  return self;
}

void
studio_bench_stored_free (StudioBenchStored *self)
{
  g_free (self->path);
  json_node_unref (self->root);
  g_free (self);
}

static const char *
get_string (StudioBenchStored *self,
            const char        *member)
{
  const char *value = json_object_get_string_member_with_default (json_node_get_object (self->root), member, NULL);

  return value != NULL ? value : "?";
}

gboolean
studio_bench_stored_check (StudioBenchStored        *self,
                           const StudioBenchResult  *now,
                           GError                  **error)
{
  const struct
  {
    const char *member;
    const char *value;
  } same[] = {
    { "device_name", now->device_name },
    { "model", now->model },
    { "precision", dimr_precision_to_string (now->precision) },
  };

  for (guint i = 0; i < G_N_ELEMENTS (same); i++)
    {
      const char *stored = get_string (self, same[i].member);

      if (g_strcmp0 (stored, same[i].value) == 0)
        continue;
      g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST, _("%s was measured with “%s”, not with “%s”, so ratios would say nothing"),
                   self->path, stored, same[i].value);
      return FALSE;
    }
  return TRUE;
}

/* A member that is a positive number; 0 where there is none. */
static double
get_number (JsonObject *object,
            const char *member)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, member) : NULL;

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) ? MAX (json_node_get_double (node), 0) : 0;
}

static JsonObject *
get_object (JsonObject *object,
            const char *member)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, member) : NULL;

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

static JsonObject *
find_step (JsonObject *root,
           guint       batch)
{
  JsonNode *node = json_object_get_member (root, "steps");
  JsonArray *steps = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  for (guint i = 0; steps != NULL && i < json_array_get_length (steps); i++)
    {
      JsonNode *element = json_array_get_element (steps, i);

      if (JSON_NODE_HOLDS_OBJECT (element) && get_number (json_node_get_object (element), "batch") == batch)
        return json_node_get_object (element);
    }
  return NULL;
}

static void
add_pair (GArray     *pairs,
          const char *what,
          double      then,
          double      now,
          gboolean    is_rate)
{
  const Pair pair = { g_strdup (what), then, now, is_rate };

  if (then > 0 && now > 0)
    g_array_append_val (pairs, pair);
  else
    g_free (pair.what);
}

static GArray *
pair_up (StudioBenchStored       *self,
         const StudioBenchResult *now)
{
  GArray *pairs = g_array_new (FALSE, FALSE, sizeof (Pair));
  JsonObject *root = json_node_get_object (self->root), *peaks = get_object (root, "peaks"), *pictures = get_object (root, "pictures");

  g_array_set_clear_func (pairs, pair_clear);
  add_pair (pairs, _("peak of a product"), get_number (peaks, "flops_per_second"), now->peaks.flops, TRUE);
  add_pair (pairs, _("peak of a sum"), get_number (peaks, "bytes_per_second"), now->peaks.bytes, TRUE);
  for (guint i = 0; i < now->steps->len; i++)
    {
      const DimrBenchStep *step = &g_array_index (now->steps, DimrBenchStep, i);
      g_autofree char *what = g_strdup_printf (_("evaluation, batch %u"), step->batch);

      add_pair (pairs, what, get_number (get_object (find_step (root, step->batch), "seconds"), "median"), step->time.median, FALSE);
    }
  if (get_number (pictures, "steps") != now->pictures.n_steps)
    return pairs;
  add_pair (pairs, _("first preview"), get_number (get_object (pictures, "preview_seconds"), "median"),
            now->pictures.preview.median, FALSE);
  add_pair (pairs, _("a picture"), get_number (get_object (pictures, "picture_seconds"), "median"),
            now->pictures.picture.median, FALSE);
  if (get_number (pictures, "batch") == now->pictures.batch)
    add_pair (pairs, _("pictures a second"), get_number (pictures, "pictures_per_second"),
              now->pictures.pictures_per_second, TRUE);
  return pairs;
}

static double
get_ratio (const Pair *pair)
{
  return pair->is_rate ? pair->now / pair->then : pair->then / pair->now;
}

static char *
format_value (const Pair *pair,
              double      value)
{
  if (!pair->is_rate)
    return studio_bench_format_seconds (value);
  return value >= 1e6 ? g_strdup_printf ("%.1f G/s", value / 1e9) : g_strdup_printf ("%.3g /s", value);
}

static void
print_pair (const Pair *pair)
{
  g_autofree char *then = format_value (pair, pair->then);
  g_autofree char *now = format_value (pair, pair->now);
  g_autofree char *ratio = g_strdup_printf ("%.3f", get_ratio (pair));

  studio_cli_print_cell (pair->what, 28);
  studio_cli_print_cell (then, -14);
  studio_cli_print_cell (now, -14);
  studio_cli_print_cell (ratio, -9);
  g_print ("%s\n", get_ratio (pair) < DROP ? _("  slower") : "");
}

static void
print_pair_json (const Pair *pair)
{
  JsonBuilder *event = studio_cli_event_new ("compare");

  studio_cli_event_string (event, "what", pair->what);
  studio_cli_event_double (event, "then", pair->then);
  studio_cli_event_double (event, "now", pair->now);
  studio_cli_event_double (event, "ratio", get_ratio (pair));
  json_builder_set_member_name (event, "drop");
  json_builder_add_boolean_value (event, get_ratio (pair) < DROP);
  studio_cli_event_print (event);
}

void
studio_bench_stored_tell (StudioBenchStored       *self,
                          const StudioBenchResult *now,
                          gboolean                 json)
{
  g_autoptr (GArray) pairs = pair_up (self, now);
  guint n_drops = 0;

  if (!json)
    {
      g_print (_("\nAgainst %s (%s)\n"), self->path, get_string (self, "date"));
      studio_cli_print_cell ("", 28);
      studio_cli_print_cell (_("stored"), -14);
      studio_cli_print_cell (_("now"), -14);
      studio_cli_print_cell (_("ratio"), -9);
      g_print ("\n");
    }
  for (guint i = 0; i < pairs->len; i++)
    {
      const Pair *pair = &g_array_index (pairs, Pair, i);

      n_drops += get_ratio (pair) < DROP;
      if (json)
        print_pair_json (pair);
      else
        print_pair (pair);
    }
  if (n_drops > 0)
    g_printerr (ngettext ("Warning: %u figure is more than 5 %% worse than in the stored run.\n",
                          "Warning: %u figures are more than 5 %% worse than in the stored run.\n", n_drops), n_drops);
}
