/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-common.h"


#include <stdio.h>
#include <string.h>

#define MAX_BATCH 4096
#define MAX_LISTED_CLASSES 40
/* Copies of a batch's x that a sampler and its caller hold at most, in floats. */
#define SAMPLER_COPIES 8

/* What is described: a loaded model, or an architecture alone (`model` NULL). */
typedef struct
{
  const char *path; /* NULL for a variant */
  char *name;
  DimrModel *model;
  DimrConfig *config;
  DimrCost *cost;

  const char *device;
  DimrPrecision precision;
  guint batch;
  guint64 weights_bytes;
  guint64 arena_bytes;
  guint64 sampler_bytes;
  char *no_forecast; /* why there is none */

  const char *autoencoder; /* as typed; NULL: one beside the model */
  guint64 decoder_bytes;   /* 0: not known */
  guint n_tiles;
} Info;

static void
info_clear (Info *self)
{
  g_clear_pointer (&self->name, g_free);
  g_clear_object (&self->model);
  g_clear_pointer (&self->config, dimr_config_free);
  g_clear_pointer (&self->cost, g_free);
  g_clear_pointer (&self->no_forecast, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Info, info_clear)

/* Told by content: JSON of an architecture begins with a brace, no checkpoint does. */
static gboolean
is_json (const char *path)
{
  FILE *file = fopen (path, "rb");
  char start[64] = { 0 };
  gboolean json = FALSE;

  if (file == NULL)
    return FALSE;
  if (fread (start, 1, sizeof start - 1, file) > 0)
    json = start[strspn (start, " \t\r\n")] == '{';
  fclose (file);
  return json;
}

static gboolean
load_architecture (Info        *self,
                   const char  *path,
                   GError     **error)
{
  self->config = dimr_config_load (path, error);
  if (self->config == NULL)
    return FALSE;
  self->name = g_strdup (self->config->title != NULL ? self->config->title : path);
  return TRUE;
}

static gboolean
load_variant (Info    *self,
              GError **error)
{
  self->config = dimr_config_new_for_variant (self->name);
  if (self->config != NULL)
    return TRUE;
  g_set_error (error, DIMR_ERROR, DIMR_ERROR_REQUEST,
               _("“%s” is neither a file nor a published model; “dimr info --help” lists those"), self->name);
  return FALSE;
}

static gboolean
load (gpointer       data,
      GCancellable  *cancellable,
      GError       **error)
{
  Info *self = data;

  if (self->path == NULL)
    return load_variant (self, error);
  if (g_file_test (self->path, G_FILE_TEST_IS_REGULAR) && is_json (self->path))
    return load_architecture (self, self->path, error);

  self->model = dimr_model_load_any (self->path, cancellable, error);
  if (self->model != NULL && !dimr_config_is_classifier (dimr_model_peek_config (self->model)))
    {
      g_clear_object (&self->model);
      self->model = dimr_model_load_paired (self->path, self->autoencoder, cancellable, error);
    }
  if (self->model == NULL)
    return FALSE;
  self->config = dimr_config_copy (dimr_model_peek_config (self->model));
  self->name = g_strdup (dimr_model_get_name (self->model));
  dimr_model_wait_for_hash (self->model);
  return TRUE;
}

/* What making pictures of the latents takes. */
static void
forecast_decoding (Info *self)
{
  const DimrDecoderSettings settings = {
    .precision = self->precision, .height = self->config->image_size, .width = self->config->image_size,
  };

  if (!dimr_decoder_forecast (dimr_model_get_autoencoder (self->model), self->device, &settings, &self->decoder_bytes,
                              &self->n_tiles, NULL))
    self->decoder_bytes = 0;
}

static gboolean
describe (gpointer       data,
          GCancellable  *cancellable,
          GError       **error)
{
  Info *self = data;
  g_autoptr (GError) reason = NULL;

  if (!load (self, cancellable, error))
    return FALSE;
  self->cost = dimr_cost_new (self->config, error);
  if (self->cost == NULL)
    return FALSE;
  if (!dimr_config_is_classifier (self->config))
    self->sampler_bytes = (guint64) SAMPLER_COPIES * sizeof (float) * self->batch * self->config->channels
                          * self->config->image_size * self->config->image_size;
  if (!dimr_forecast_memory (self->config, self->device, self->precision, self->config->has_null_class,
                             &self->weights_bytes, &self->arena_bytes, &reason))
    self->no_forecast = g_strdup (reason->message);
  if (self->model != NULL && dimr_model_get_autoencoder (self->model) != NULL)
    forecast_decoding (self);
  return TRUE;
}

/* What becomes of the latents that the model makes. */
static void
print_autoencoder (const Info *self)
{
  DimrAutoencoder *autoencoder = self->model != NULL ? dimr_model_get_autoencoder (self->model) : NULL;
  g_autofree char *bytes = studio_cli_format_bytes (self->decoder_bytes);

  if (autoencoder != NULL)
    g_print (_("Decoded by     %s: %s\n"), dimr_autoencoder_get_path (autoencoder), dimr_autoencoder_get_summary (autoencoder));
  if (self->decoder_bytes > 0)
    g_print (ngettext ("Decoding       %s for maps, in %u tile\n", "Decoding       %s for maps, in %u tiles\n", self->n_tiles),
             bytes, self->n_tiles);
  if (self->model != NULL && dimr_painter_describe_missing (self->model) != NULL)
    g_print ("\n%s\n\n", dimr_painter_describe_missing (self->model));
}

static const char *
schedule_name (DimrScheduleKind kind)
{
  static const char *const names[] = {
    [DIMR_SCHEDULE_DISCRETE] = "discrete",
    [DIMR_SCHEDULE_LINEAR] = "linear",
    [DIMR_SCHEDULE_COSINE] = "cosine",
    [DIMR_SCHEDULE_DDPM] = "DDPM",
  };

  return names[kind];
}

static void
print_classes (const DimrConfig *config)
{
  if (dimr_config_is_classifier (config))
    g_print (_("Classes        %u that it tells apart\n"), config->num_classes);
  else if (config->num_classes == 0)
    g_print (_("Classes        none: the model is unconditional\n"));
  else if (config->trained_classes == NULL && !config->has_null_class)
    g_print (_("Classes        %u, no null class: no guidance\n"), config->num_classes);
  else if (config->trained_classes == NULL)
    g_print (_("Classes        %u and the null class\n"), config->num_classes - 1);
  else
    {
      g_print (ngettext ("Classes        trained on %u of %u:", "Classes        trained on %u of %u:",
                         config->n_trained_classes), config->n_trained_classes, dimr_config_get_n_classes (config));
      for (guint i = 0; i < config->n_trained_classes && i < MAX_LISTED_CLASSES; i++)
        g_print ("%s %s", i > 0 ? "," : "", dimr_classes_get (config->trained_classes[i])->name);
      g_print ("%s\n", config->n_trained_classes > MAX_LISTED_CLASSES ? " …" : "");
    }
}

static void
print_architecture (const Info *self)
{
  const DimrConfig *config = self->config;
  const DimrGuidance *guidance = &config->default_guidance;
  g_autofree char *parameters = studio_cli_format_count (self->cost->total.parameters);
  g_autofree char *macs = studio_cli_format_count (self->cost->total.macs);

  g_print ("%s\n", self->name);
  if (self->model != NULL)
    {
      DimrWeights *weights = dimr_model_peek_weights (self->model);
      g_autofree char *bytes = studio_cli_format_bytes (dimr_weights_get_n_bytes (weights));

      g_print (_("File           %s, %s, %u tensors, %s\n"), dimr_model_get_path (self->model),
               dimr_weights_get_format (weights), dimr_weights_get_n_tensors (weights), bytes);
      if (dimr_model_get_hash (self->model) != NULL)
        g_print ("SHA-256        %s\n", dimr_model_get_hash (self->model));
    }
  g_print (_("Parameters     %s (%" PRIu64 ")\n"), parameters, self->cost->total.parameters);
  g_print (_("Cost           %s multiply-accumulates a forward pass (%.1f “Gflops” in the paper's counting)\n"), macs,
           (double) self->cost->total.macs / 1e9);
  g_print (_("Works on       %u × %u × %u\n"), config->channels, config->image_size, config->image_size);
  print_autoencoder (self);
  print_classes (config);
  for (guint i = 0; i < self->cost->n_branches; i++)
    {
      DimrBranchInfo branch;

      dimr_config_get_branch (config, i, &branch);
      g_print (_("Branch %u       %s, %u blocks of width %u on %u × %u"), i + 1, branch.block, branch.n_blocks, branch.width,
               branch.side, branch.side);
      if (branch.n_heads > 0)
        g_print (_(", %u heads"), branch.n_heads);
      g_print ("\n");
    }
  if (dimr_config_is_classifier (config))
    return; /* it is not sampled */
  g_print (_("Defaults       %u steps of %s, guidance %g (%s), %s noise schedule\n"), config->default_steps,
           dimr_sampler_kind_get_label (config->default_sampler), guidance->scale,
           dimr_guidance_kind_to_string (guidance->kind), schedule_name (config->schedule));
}

static void
print_cell (const DimrCostCell *cell)
{
  g_autofree char *parameters = cell->parameters > 0 ? studio_cli_format_count (cell->parameters) : g_strdup ("·");
  g_autofree char *macs = cell->macs > 0 ? studio_cli_format_count (cell->macs) : g_strdup ("·");

  /* g_print() pads by bytes, and a middle dot has two. */
  g_print (" %*s %*s", cell->parameters > 0 ? 9 : 10, parameters, cell->macs > 0 ? 9 : 10, macs);
}

/* Widths of printf() count bytes. */
static void
print_label (const char *label)
{
  g_print ("%s%*s", label, MAX (24 - (int) g_utf8_strlen (label, -1), 1), "");
}

static void
print_table (const DimrCost *cost)
{
  g_print ("\n%-24s", "");
  for (guint b = 0; b < cost->n_branches; b++)
    g_print (_("         branch %-4u"), b + 1);
  g_print (_("         all\n%-24s"), "");
  for (guint b = 0; b <= cost->n_branches; b++)
    g_print (" %9s %9s", _("params"), _("MACs"));
  g_print ("\n");
  for (guint p = 0; p < DIMR_N_PARTS; p++)
    {
      if (cost->parts[p].parameters == 0 && cost->parts[p].macs == 0)
        continue;
      print_label (_(dimr_part_get_label (p)));
      for (guint b = 0; b < cost->n_branches; b++)
        print_cell (&cost->cells[b][p]);
      print_cell (&cost->parts[p]);
      g_print ("\n");
    }
  print_label (_("all"));
  for (guint b = 0; b < cost->n_branches; b++)
    print_cell (&cost->branches[b]);
  print_cell (&cost->total);
  g_print ("\n");
}

static void
print_memory (const Info *self)
{
  g_autofree char *weights = studio_cli_format_bytes (self->weights_bytes);
  g_autofree char *arena = studio_cli_format_bytes (self->arena_bytes);
  g_autofree char *sampler = studio_cli_format_bytes (self->sampler_bytes);
  g_autofree char *all = studio_cli_format_bytes (self->weights_bytes + self->arena_bytes + self->sampler_bytes);

  if (self->no_forecast != NULL)
    g_print (_("\nMemory         cannot be told: %s\n"), self->no_forecast);
  else
    g_print (_("\nMemory         %s for a batch of %u in %s on %s: weights %s, activations %s, sampler %s\n"), all,
             self->batch, dimr_precision_to_string (self->precision), self->device, weights, arena, sampler);
}

static void
add_cell (JsonBuilder        *event,
          const char         *member,
          const DimrCostCell *cell)
{
  json_builder_set_member_name (event, member);
  json_builder_begin_object (event);
  studio_cli_event_int (event, "parameters", cell->parameters);
  studio_cli_event_int (event, "macs", cell->macs);
  json_builder_end_object (event);
}

static void
add_parts (JsonBuilder        *event,
           const DimrCostCell *parts)
{
  json_builder_set_member_name (event, "parts");
  json_builder_begin_object (event);
  for (guint p = 0; p < DIMR_N_PARTS; p++)
    add_cell (event, dimr_part_get_label (p), &parts[p]);
  json_builder_end_object (event);
}

static void
print_json (const Info *self)
{
  JsonBuilder *event = studio_cli_event_new ("info");
  const DimrConfig *config = self->config;

  studio_cli_event_string (event, "name", self->name);
  studio_cli_event_string (event, "path", self->path);
  if (self->model != NULL)
    {
      studio_cli_event_string (event, "sha256", dimr_model_get_hash (self->model));
      studio_cli_event_string (event, "format", dimr_weights_get_format (dimr_model_peek_weights (self->model)));
    }
  if (self->model != NULL && dimr_model_get_autoencoder (self->model) != NULL)
    {
      studio_cli_event_string (event, "autoencoder", dimr_autoencoder_get_path (dimr_model_get_autoencoder (self->model)));
      studio_cli_event_int (event, "decoder_bytes", self->decoder_bytes);
    }
  studio_cli_event_int (event, "channels", config->channels);
  studio_cli_event_int (event, "image_size", config->image_size);
  studio_cli_event_string (event, "architecture", dimr_config_get_architecture_name (config));
  studio_cli_event_int (event, "num_classes", dimr_config_get_n_classes (config));
  studio_cli_event_int (event, "parameters", self->cost->total.parameters);
  studio_cli_event_int (event, "macs", self->cost->total.macs);
  add_parts (event, self->cost->parts);
  json_builder_set_member_name (event, "branches");
  json_builder_begin_array (event);
  for (guint b = 0; b < self->cost->n_branches; b++)
    {
      DimrBranchInfo branch;

      dimr_config_get_branch (config, b, &branch);
      json_builder_begin_object (event);
      studio_cli_event_int (event, "parameters", self->cost->branches[b].parameters);
      studio_cli_event_int (event, "macs", self->cost->branches[b].macs);
      studio_cli_event_int (event, "blocks", branch.n_blocks);
      studio_cli_event_int (event, "width", branch.width);
      add_parts (event, self->cost->cells[b]);
      json_builder_end_object (event);
    }
  json_builder_end_array (event);
  json_builder_set_member_name (event, "trained_classes");
  json_builder_begin_array (event);
  for (guint i = 0; i < config->n_trained_classes; i++)
    json_builder_add_int_value (event, config->trained_classes[i]);
  json_builder_end_array (event);
  json_builder_set_member_name (event, "defaults");
  json_builder_begin_object (event);
  studio_cli_event_int (event, "steps", config->default_steps);
  studio_cli_event_string (event, "sampler", dimr_sampler_kind_to_string (config->default_sampler));
  studio_cli_event_string (event, "guidance", dimr_guidance_kind_to_string (config->default_guidance.kind));
  studio_cli_event_double (event, "cfg", config->default_guidance.scale);
  studio_cli_event_double (event, "power", config->default_guidance.power);
  json_builder_end_object (event);
  if (self->no_forecast == NULL)
    {
      json_builder_set_member_name (event, "memory");
      json_builder_begin_object (event);
      studio_cli_event_int (event, "batch", self->batch);
      studio_cli_event_int (event, "weights_bytes", self->weights_bytes);
      studio_cli_event_int (event, "activations_bytes", self->arena_bytes);
      studio_cli_event_int (event, "sampler_bytes", self->sampler_bytes);
      json_builder_end_object (event);
    }
  studio_cli_event_print (event);
}

/* The one thing that is to be described: at most one of the two was given. */
static gboolean
choose_subject (Info        *self,
                const char  *variant,
                char       **paths,
                char       **owned)
{
  if (variant != NULL)
    self->name = g_strdup (variant);
  else if (paths == NULL)
    self->path = *owned = dimr_paths_dup_default_model ();
  else if (g_file_test (paths[0], G_FILE_TEST_EXISTS))
    self->path = paths[0];
  else
    self->name = g_strdup (paths[0]);
  return self->path != NULL || self->name != NULL;
}

int
studio_cli_info (int    argc,
                 char **argv)
{
  g_auto (Info) self = { .batch = 1, .device = "cpu" };
  g_auto (GStrv) paths = NULL;
  g_autofree char *variant = NULL;
  g_autofree char *autoencoder = NULL;
  g_autofree char *device = NULL;
  g_autofree char *precision = NULL;
  g_autofree char *owned = NULL;
  g_autofree char *summary = NULL;
  g_autofree char *variants = studio_cli_list_variants ();
  g_autoptr (GError) error = NULL;
  gint64 batch = 1;
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
    { "variant", 0, 0, G_OPTION_ARG_STRING, &variant, N_("A published model by name, without weights"), N_("NAME") },
    { "autoencoder", 'a', 0, G_OPTION_ARG_FILENAME, &autoencoder, N_("What decodes a model's latents (one that lies beside the model)"), N_("PATH") },
    { "batch", 'b', 0, G_OPTION_ARG_INT64, &batch, N_("Pictures made together, for the memory forecast (1)"), "N" },
    { "device", 'd', 0, G_OPTION_ARG_STRING, &device, N_("Device of the memory forecast (cpu)"), N_("NAME") },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &precision, N_("Precision of the memory forecast: auto, f32, bf16 or f8 (f32)"), N_("NAME") },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_("Print one JSON object instead"), NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &paths, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };

  summary = g_strdup_printf (_("Describes a model folder, a weights file, a config.json alone, or a published model by its\n"
                               "name: parameters and multiply-accumulates by part and branch, and the memory of a run.\n%s"),
                             variants);
  if (!studio_cli_parse (_("[MODEL]"), summary,
                         "  dimr info\n  dimr info DiMR-XL/2R\n  dimr info DiMR-XL_2R_800epochs.pth --batch 8 --precision bf16\n",
                         entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  self.autoencoder = autoencoder;
  if ((paths != NULL && g_strv_length (paths) > 1) || (paths != NULL && variant != NULL))
    return studio_cli_refuse (json, _("info describes one model at a time"));
  if (batch < 1 || batch > MAX_BATCH)
    return studio_cli_refuse (json, _("--batch is from 1 to %d, not %" PRId64), MAX_BATCH, batch);
  if (precision != NULL && !dimr_precision_from_string (precision, &self.precision))
    return studio_cli_refuse (json, _("--precision is auto, f32, bf16 or f8, not “%s”"), precision);
  if (!choose_subject (&self, variant, paths, &owned))
    return studio_cli_refuse (json, _("The model that comes with the program was not found; name one"));

  self.batch = (guint) batch;
  if (device != NULL)
    self.device = device;
  if (!studio_cli_run (describe, &self, &error))
    return studio_cli_report (error, json);
  if (json)
    print_json (&self);
  else
    {
      print_architecture (&self);
      print_table (self.cost);
      print_memory (&self);
    }
  return STUDIO_EXIT_OK;
}
