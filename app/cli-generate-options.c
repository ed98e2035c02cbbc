/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-generate-options.h"

#include "app/cli-common.h"

#include <string.h>

#define DEFAULT_FOLDER "dimr-pictures"
#define DEFAULT_BATCH 4
#define MAX_STEPS 1000
#define MAX_COUNT 1000000
#define MAX_CHANNELS 64
#define MAX_BATCH 4096
#define MAX_MICRO_BATCH 256
#define MAX_REUSE 1000
#define MAX_THREADS 1024

void
studio_generate_options_init (StudioGenerateOptions *self)
{
  *self = (StudioGenerateOptions){
    .steps = STUDIO_NOT_GIVEN,
    .count = STUDIO_NOT_GIVEN,
    .batch = STUDIO_NOT_GIVEN,
    .micro_batch = STUDIO_NOT_GIVEN,
    .reuse_low_branches = STUDIO_NOT_GIVEN,
    .threads = STUDIO_NOT_GIVEN,
  };
}

void
studio_generate_options_clear (StudioGenerateOptions *self)
{
  char **strings[] = { &self->model, &self->autoencoder, &self->previews, &self->classes, &self->cfg, &self->guidance, &self->power, &self->sampler,
                       &self->grid, &self->eta, &self->guided_channels, &self->seed, &self->index, &self->device, &self->precision, &self->out,
                       &self->noise, &self->trace };

  for (guint i = 0; i < G_N_ELEMENTS (strings); i++)
    g_clear_pointer (strings[i], g_free);
}

gboolean
studio_generate_options_parse (StudioGenerateOptions *self,
                               int                    argc,
                               char                 **argv)
{
  const GOptionEntry entries[] = {
    { "class", 'c', 0, G_OPTION_ARG_STRING, &self->classes,
      N_("Names, synonyms, WordNet ids or indices, with commas between them; ranges such as 1-10 (a class the model knows, by chance)"), N_("LIST") },
    { "count", 'n', 0, G_OPTION_ARG_INT64, &self->count, N_("Pictures of each class (1)"), "N" },
    { "seed", 's', 0, G_OPTION_ARG_STRING, &self->seed, N_("0 to 18446744073709551615, or -1 for a new one (-1)"), "N" },
    { "index", 0, 0, G_OPTION_ARG_STRING, &self->index, N_("Number of the first picture; with the seed it decides the noise (0)"), "N" },
    { "cfg", 'g', 0, G_OPTION_ARG_STRING, &self->cfg,
      N_("Guidance g in uncond + g (cond − uncond), 0 to 100; 1 is off (the model's)"), "G" },
    { "guidance", 0, 0, G_OPTION_ARG_STRING, &self->guidance, N_("How g goes along the steps: constant or cosine (the model's)"), N_("KIND") },
    { "power", 0, 0, G_OPTION_ARG_STRING, &self->power, N_("Power of the cosine guidance, above 0 up to 100 (the model's)"), "P" },
    { "steps", 0, 0, G_OPTION_ARG_INT64, &self->steps, N_("Evaluations of the network, 1 to 1000 (the model's)"), "N" },
    { "sampler", 0, 0, G_OPTION_ARG_STRING, &self->sampler,
      N_("dpm-solver-fast, dpm-solver-2m, dpm-solver-3m, ddpm or ddim (the model's)"), N_("NAME") },
    { "grid", 0, 0, G_OPTION_ARG_STRING, &self->grid, N_("Where the steps lie in time: uniform or log-snr (uniform)"), N_("NAME") },
    { "eta", 0, 0, G_OPTION_ARG_STRING, &self->eta, N_("How much noise DDIM adds in each step, 0 to 1 (0)"), N_("ETA") },
    { "clip", 0, 0, G_OPTION_ARG_NONE, &self->clip, N_("DDPM and DDIM: keep the predicted picture between −1 and 1; for models of pixels"), NULL },
    { "guided-channels", 0, 0, G_OPTION_ARG_STRING, &self->guided_channels,
      N_("all, or a number: guide only the first channels, as DiT was released with 3 (the model's)"), "N" },
    { "model", 'm', 0, G_OPTION_ARG_FILENAME, &self->model, N_("Folder or weights file (the one that comes with the program)"), N_("PATH") },
    { "autoencoder", 'a', 0, G_OPTION_ARG_FILENAME, &self->autoencoder,
      N_("File or folder of Stable Diffusion’s autoencoder, for models of latents (one that lies beside the model)"), N_("PATH") },
    { "out", 'o', 0, G_OPTION_ARG_FILENAME, &self->out,
      N_("Folder for the pictures, or FILE.png for a single one (dimr-pictures)"), N_("PATH") },
    { "batch", 'b', 0, G_OPTION_ARG_INT64, &self->batch, N_("Pictures made together; does not change them (4)"), "N" },
    { "micro-batch", 0, 0, G_OPTION_ARG_INT64, &self->micro_batch,
      N_("Pictures that one evaluation of the network computes together, 1 to 256; recorded, and part of what makes them (the device's)"), "N" },
    { "skip-unconditional", 0, 0, G_OPTION_ARG_NONE, &self->skip_unconditional,
      N_("Faster, not exact: leave the unconditional half out where g is within 0.01 of 1; matters for cosine guidance"), NULL },
    { "reuse-low-branches", 0, 0, G_OPTION_ARG_INT64, &self->reuse_low_branches,
      N_("Faster, not exact: compute the lower branches only at every K-th evaluation, 2 to 1000 (every one)"), "K" },
    { "device", 'd', 0, G_OPTION_ARG_STRING, &self->device, N_("auto, cpu, cuda or cuda:N (auto)"), N_("NAME") },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &self->precision, N_("auto, f32, bf16 or, faster and not exact, f8: float8 in the inner blocks, on NVIDIA GPUs of compute capability 9 (auto: what suits the device)"), N_("NAME") },
    { "threads", 't', 0, G_OPTION_ARG_INT64, &self->threads, N_("Threads of the CPU, 0 for one a core (0)"), "N" },
    { "noise", 0, 0, G_OPTION_ARG_FILENAME, &self->noise,
      N_("Start from the safetensors tensor “noise” [pictures, C, H, W] instead of the seed, and draw “noises” [steps, pictures, C, H, W] where it has them"), N_("FILE") },
    { "trace", 0, 0, G_OPTION_ARG_FILENAME, &self->trace,
      N_("Write the walk to a safetensors file: “times”, “log_snr” or “t” as the network is told it, “xs” after every update, “latent”"), N_("FILE") },
    { "previews", 0, 0, G_OPTION_ARG_STRING, &self->previews,
      N_("Latents on the way as a sketch, decoded, or auto: decoded where that takes less than a step (sketch)"), N_("KIND") },
    { "no-previews", 0, 0, G_OPTION_ARG_NONE, &self->no_previews, N_("Do not compute previews on the way; does not change the pictures"), NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &self->json, N_("Print one JSON object a line instead"), NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &self->quiet, N_("Print nothing but the paths of the pictures"), NULL },
    G_OPTION_ENTRY_NULL,
  };

  return studio_cli_parse ("",
                           _("Makes pictures and writes them as PNG files that know how they were made. The same\n"
                             "options give the same picture; number i of a run is drawn from (seed, index + i).\n"
                             "Defaults are in brackets."),
                           "  dimr generate --class lion\n"
                           "  dimr generate --class 'goldfish,monarch,\"school bus\"' --count 4 --seed 7 --out zoo\n"
                           "  dimr generate --class 207-209 --cfg 1.8 --guidance cosine --power 2 --steps 50\n"
                           "  dimr generate --class lion --count 64 --micro-batch 8 --device cuda\n"
                           "  dimr generate --model DiMR-XL_2R_800epochs.pth --class 'red panda' --out panda.png\n",
                           entries, &argc, &argv);
}

/* Leaves *out alone where the option was not given. */
static gboolean
take_uint (const char  *option,
           gint64       given,
           gint64       min,
           gint64       max,
           guint       *out,
           GError     **error)
{
  if (given == STUDIO_NOT_GIVEN)
    return TRUE;
  if (given < min || given > max)
    return dimr_error_refuse (error, _("%s is from %" PRId64 " to %" PRId64 ", not %" PRId64), option, min, max, given);
  *out = (guint) given;
  return TRUE;
}

static gboolean
take_uint64 (const char  *option,
             const char  *given,
             guint64     *out,
             GError     **error)
{
  if (given != NULL && !g_ascii_string_to_unsigned (given, 10, 0, G_MAXUINT64, out, NULL))
    return dimr_error_refuse (error, _("%s is a whole number from 0 to 18446744073709551615, not “%s”"), option, given);
  return TRUE;
}

/* With a decimal point in every locale; FALSE for what is no number of that range, NaN included. */
static gboolean
parse_number (const char *text,
              double      min,
              double      max,
              double     *out)
{
  char *end;
  double value = g_ascii_strtod (text, &end);

  if (end == text || *end != '\0' || !(value >= min && value <= max))
    return FALSE;
  *out = value;
  return TRUE;
}

static gboolean
take_choices (const StudioGenerateOptions  *self,
              DimrRequest                  *request,
              GError                      **error)
{
  guint64 channels = 0;

  if (self->sampler != NULL && !dimr_sampler_kind_from_string (self->sampler, &request->sampler))
    return dimr_error_refuse (error, _("--sampler is dpm-solver-fast, dpm-solver-2m, dpm-solver-3m, ddpm or ddim, not “%s”"), self->sampler);
  if (self->grid != NULL && !dimr_time_grid_from_string (self->grid, &request->time_grid))
    return dimr_error_refuse (error, _("--grid is uniform or log-snr, not “%s”"), self->grid);
  if (self->precision != NULL && !dimr_precision_from_string (self->precision, &request->precision))
    return dimr_error_refuse (error, _("--precision is auto, f32, bf16 or f8, not “%s”"), self->precision);
  if (self->eta != NULL && !parse_number (self->eta, 0, 1, &request->options.eta))
    return dimr_error_refuse (error, _("--eta is a number from 0 to 1, not “%s”"), self->eta);
  if (self->guided_channels != NULL && strcmp (self->guided_channels, "all") != 0 &&
      (!g_ascii_string_to_unsigned (self->guided_channels, 10, 1, MAX_CHANNELS, &channels, NULL)))
    return dimr_error_refuse (error, _("--guided-channels is “all” or a number from 1 to %d, not “%s”"), MAX_CHANNELS, self->guided_channels);
  request->guidance.channels = (guint) channels;
  request->options.clip = self->clip;
  if (self->guidance != NULL && !dimr_guidance_kind_from_string (self->guidance, &request->guidance.kind))
    return dimr_error_refuse (error, _("--guidance is constant or cosine, not “%s”"), self->guidance);
  if (self->cfg != NULL && !parse_number (self->cfg, 0, 100, &request->guidance.scale))
    return dimr_error_refuse (error, _("--cfg is a number from 0 to 100, not “%s”"), self->cfg);
  if (self->power != NULL && (!parse_number (self->power, 0, 100, &request->guidance.power) || request->guidance.power == 0))
    return dimr_error_refuse (error, _("--power is a number above 0 and at most 100, not “%s”"), self->power);
  return TRUE;
}

static gboolean
take_classes (const StudioGenerateOptions  *self,
              DimrRequest                  *request,
              GError                      **error)
{
  g_autoptr (GArray) classes = NULL;

  if (self->classes == NULL)
    {
      request->n_classes = 0;
      return TRUE;
    }
  classes = dimr_classes_parse (self->classes, error);
  if (classes == NULL)
    return FALSE;
  g_free (request->classes);
  request->n_classes = classes->len;
  request->classes = (int *) g_array_free (g_steal_pointer (&classes), FALSE);
  return TRUE;
}

gboolean
studio_generate_options_is_file (const StudioGenerateOptions *self)
{
  g_autofree char *lower = self->out != NULL ? g_ascii_strdown (self->out, -1) : NULL;

  return lower != NULL && g_str_has_suffix (lower, ".png") && !g_file_test (self->out, G_FILE_TEST_IS_DIR);
}

static gboolean
check_pictures (const StudioGenerateOptions  *self,
                DimrRequest                  *request,
                GError                      **error)
{
  guint n = dimr_request_get_n_images (request);

  if (n > MAX_COUNT)
    return dimr_error_refuse (error, _("One run makes at most %u pictures; use several runs with --index"), MAX_COUNT);
  if (n > 1 && studio_generate_options_is_file (self))
    return dimr_error_refuse (error, _("--out %s names one picture, but %u are to be made: name a folder"), self->out, n);
  if (request->first_index > DIMR_RNG_N_IMAGES - n)
    return dimr_error_refuse (error, _("--index %s leaves no numbers for %u pictures; the last number is %" PRIu64), self->index, n,
                              DIMR_RNG_N_IMAGES - 1);
  return TRUE;
}

DimrRequest *
studio_generate_options_to_request (const StudioGenerateOptions  *self,
                                    GError                      **error)
{
  g_autoptr (DimrRequest) request = dimr_request_new ();
  guint threads;

  request->batch = DEFAULT_BATCH;
  request->previews = !self->no_previews;
  request->preview_kind = DIMR_PREVIEW_SKETCH; /* nobody looks at them here */
  if (self->previews != NULL && !dimr_preview_kind_from_string (self->previews, &request->preview_kind))
    return dimr_error_refuse (error, _("--previews is auto, sketch or decoded, not “%s”"), self->previews), NULL;
  request->trace = self->trace != NULL;
  request->skip_unconditional = self->skip_unconditional;
  request->seed = dimr_request_random_seed ();
  if (!take_uint ("--count", self->count, 1, MAX_COUNT, &request->count, error)
      || !take_uint ("--steps", self->steps, 1, MAX_STEPS, &request->n_steps, error)
      || !take_uint ("--batch", self->batch, 1, MAX_BATCH, &request->batch, error)
      || !take_uint ("--micro-batch", self->micro_batch, 1, MAX_MICRO_BATCH, &request->micro_batch, error)
      || !take_uint ("--reuse-low-branches", self->reuse_low_branches, 2, MAX_REUSE, &request->reuse_low_branches, error)
      || !take_uint ("--threads", self->threads, 0, MAX_THREADS, &threads, error)
      || !take_uint64 ("--index", self->index, &request->first_index, error)
      || (g_strcmp0 (self->seed, "-1") != 0 && !take_uint64 ("--seed", self->seed, &request->seed, error))
      || !take_choices (self, request, error)
      || !take_classes (self, request, error)
      || !check_pictures (self, request, error))
    return NULL;
  if (!studio_generate_options_is_file (self))
    request->output_folder = g_strdup (self->out != NULL ? self->out : DEFAULT_FOLDER);
  return g_steal_pointer (&request);
}

/* One of the classes that the model was trained on, told from the seed so that a run can be repeated. */
static void
choose_class (DimrModel   *model,
              DimrRequest *request)
{
  guint n;
  const int *trained = dimr_model_peek_trained_classes (model, &n);
  guint all = MIN (dimr_config_get_n_classes (dimr_model_peek_config (model)), DIMR_N_IMAGENET_CLASSES);
  guint k = dimr_rng_below (request->seed, 0, DIMR_STREAM_CLASS, n > 0 ? n : MAX (all, 1));

  g_free (request->classes);
  request->classes = g_new (int, 1);
  request->classes[0] = n > 0 ? trained[k] : (int) k;
  request->n_classes = 1;
}

/* The floats of tensor @name, which has to have the shape @expected (transfer full). */
static float *
load_tensor (DimrWeights      *file,
             const char       *name,
             const DimrShape  *expected,
             gsize            *n,
             GError          **error)
{
  g_autofree char *wanted = dimr_shape_to_string (expected);
  g_autofree char *found = NULL;
  DimrTensor *tensor = dimr_weights_peek (file, name);
  float *values;

  if (tensor == NULL)
    {
      dimr_error_refuse (error, _("%s holds no tensor “%s”; it should have one of shape %s"), dimr_weights_get_path (file), name, wanted);
      return NULL;
    }
  found = dimr_shape_to_string (dimr_tensor_peek_shape (tensor));
  if (!dimr_shape_equal (dimr_tensor_peek_shape (tensor), expected))
    {
      dimr_error_refuse (error, _("The tensor “%s” in %s has the shape %s, but these pictures need %s"), name,
                         dimr_weights_get_path (file), found, wanted);
      return NULL;
    }
  *n = dimr_tensor_get_n_elements (tensor);
  values = dimr_tensor_dup_f32 (tensor);
  if (values == NULL)
    g_set_error (error, DIMR_ERROR, DIMR_ERROR_MEMORY, _("There is not enough memory for the noise in %s"),
                 dimr_weights_get_path (file));
  return values;
}

static gboolean
load_noise (const char   *path,
            DimrModel    *model,
            DimrRequest  *request,
            GError      **error)
{
  const DimrConfig *config = dimr_model_peek_config (model);
  const gint64 n = dimr_request_get_n_images (request), c = config->channels, side = config->image_size;
  const DimrShape start = DIMR_SHAPE (n, c, side, side), steps = DIMR_SHAPE (request->n_steps, n, c, side, side);
  g_autoptr (DimrWeights) file = dimr_weights_open (path, NULL, error);

  if (file == NULL)
    return FALSE;
  request->noise = load_tensor (file, "noise", &start, &request->n_noise, error);
  if (request->noise == NULL)
    return FALSE;
  if (dimr_weights_peek (file, "noises") == NULL)
    return TRUE;
  request->noises = load_tensor (file, "noises", &steps, &request->n_noises, error);
  return request->noises != NULL;
}

static gboolean
complete_guidance (const StudioGenerateOptions  *self,
                   DimrModel                    *model,
                   DimrRequest                  *request,
                   GError                      **error)
{
  DimrGuidance guidance = dimr_model_get_default_guidance (model);

  if (self->guidance != NULL)
    guidance.kind = request->guidance.kind;
  if (self->cfg != NULL)
    guidance.scale = request->guidance.scale;
  if (self->guided_channels != NULL)
    guidance.channels = request->guidance.channels;
  if (self->power != NULL)
    {
      if (guidance.kind != DIMR_GUIDANCE_COSINE)
        return dimr_error_refuse (error, _("--power belongs to --guidance cosine, but the guidance is constant"));
      guidance.power = request->guidance.power;
    }
  request->guidance = guidance;
  return TRUE;
}

gboolean
studio_generate_options_complete (const StudioGenerateOptions  *self,
                                  DimrModel                    *model,
                                  DimrRequest                  *request,
                                  GError                      **error)
{
  if (self->steps == STUDIO_NOT_GIVEN)
    request->n_steps = dimr_model_get_default_steps (model);
  if (self->sampler == NULL)
    request->sampler = dimr_model_get_default_sampler (model);
  if (!complete_guidance (self, model, request, error))
    return FALSE;
  if (!dimr_model_is_conditional (model))
    {
      if (self->classes != NULL)
        return dimr_error_refuse (error, _("This model makes pictures without classes; leave out --class"));
    }
  else if (self->classes == NULL)
    choose_class (model, request);
  return self->noise == NULL || load_noise (self->noise, model, request, error);
}
