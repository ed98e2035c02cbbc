/* cli-codec.c — `dimr decode` and `dimr encode`: latents to pictures and back
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "config.h"

#include "app/cli-common.h"
#include "app/cli-progress.h"

#define MAX_THREADS 1024
#define MIN_SIDE 8
#define MAX_SIDE 4096
#define MAX_MEMORY (1 << 24) /* MiB */

/* Runs in a thread of its own: events and progress are that thread's alone. */
typedef struct
{
  DimrCodecRequest request;
  DimrCodecResult result;
  gboolean decode;
  gboolean json;
  StudioProgress *progress;
  gint64 began;
} Codec;

static double
get_seconds (const Codec *self)
{
  return (double) (g_get_monotonic_time () - self->began) / G_USEC_PER_SEC;
}

static void
on_progress (double      fraction,
             guint       index,
             const char *path,
             gpointer    user_data)
{
  Codec *self = user_data;
  g_autofree char *detail = g_strdup_printf (_("picture %u"), index + 1);

  if (self->json && path != NULL)
    {
      JsonBuilder *event = studio_cli_event_new ("image");

      studio_cli_event_int (event, "index", index);
      studio_cli_event_string (event, "path", path);
      studio_cli_event_print (event);
    }
  studio_progress_update (self->progress, fraction, fraction > 0 ? get_seconds (self) / fraction - get_seconds (self) : 0, detail);
}

static gboolean
run (gpointer       data,
     GCancellable  *cancellable,
     GError       **error)
{
  Codec *self = data;

  return self->decode ? dimr_codec_decode (&self->request, &self->result, cancellable, error)
                      : dimr_codec_encode (&self->request, &self->result, cancellable, error);
}

static void
print_done (const Codec *self)
{
  if (self->json)
    {
      JsonBuilder *event = studio_cli_event_new ("done");

      studio_cli_event_string (event, "path", self->request.output);
      studio_cli_event_int (event, "images", self->result.n_pictures);
      studio_cli_event_int (event, "width", self->result.width);
      studio_cli_event_int (event, "height", self->result.height);
      if (self->decode)
        {
          studio_cli_event_int (event, "tiles", self->result.n_tiles);
          studio_cli_event_int (event, "bytes", self->result.memory);
        }
      studio_cli_event_double (event, "seconds", get_seconds (self));
      studio_cli_event_print (event);
      return;
    }
  g_print (ngettext ("%s: %u picture of %u×%u in %.1f s\n", "%s: %u pictures of %u×%u in %.1f s\n", self->result.n_pictures),
           self->request.output, self->result.n_pictures, self->result.width, self->result.height, get_seconds (self));
}

/* What can be told before anything is opened; returns an exit code, OK to go on. */
static int
check (Codec      *self,
       const char *command,
       const char *precision,
       gint64      threads,
       gint64      memory)
{
  if (self->request.autoencoder == NULL || self->request.input == NULL || self->request.output == NULL)
    return studio_cli_refuse (self->json, _("%s needs --autoencoder FILE, --input and --output; see “dimr %s --help”"), command, command);
  if (precision != NULL && (!dimr_precision_from_string (precision, &self->request.precision) || self->request.precision == DIMR_PRECISION_F8))
    return studio_cli_refuse (self->json, _("--precision is auto, f32 or bf16, not “%s”"), precision);
  if (threads < 0 || threads > MAX_THREADS)
    return studio_cli_refuse (self->json, _("--threads is from 0 to %d, not %" PRId64), MAX_THREADS, threads);
  if (memory < 0 || memory > MAX_MEMORY)
    return studio_cli_refuse (self->json, _("--memory is from 0 to %d, not %" PRId64), MAX_MEMORY, memory);
  if (!self->decode && !g_str_has_suffix (self->request.output, ".safetensors"))
    return studio_cli_refuse (self->json, _("--output of encode is a name that ends in .safetensors, not “%s”"), self->request.output);
  return STUDIO_EXIT_OK;
}

static int
finish (Codec    *self,
        gboolean  quiet)
{
  g_autoptr (StudioProgress) progress = studio_progress_new (self->json || quiet);
  g_autoptr (GError) error = NULL;
  gboolean ok;

  self->progress = progress;
  self->began = g_get_monotonic_time ();
  self->request.progress = on_progress;
  self->request.user_data = self;
  ok = studio_cli_run (run, self, &error);
  studio_progress_clear (progress);
  if (!ok)
    return studio_cli_report (error, self->json);
  if (self->json || !quiet)
    print_done (self);
  return STUDIO_EXIT_OK;
}

int
studio_cli_decode (int    argc,
                   char **argv)
{
  g_autofree char *autoencoder = NULL;
  g_autofree char *input = NULL;
  g_autofree char *output = NULL;
  g_autofree char *device = NULL;
  g_autofree char *precision = NULL;
  gboolean json = FALSE, quiet = FALSE;
  gint64 threads = 0, memory = 0;
  Codec self = { .decode = TRUE };
  int status;
  const GOptionEntry entries[] = {
    { "autoencoder", 'a', 0, G_OPTION_ARG_FILENAME, &autoencoder, N_("File or folder of Stable Diffusion’s autoencoder"), N_("PATH") },
    { "input", 'i', 0, G_OPTION_ARG_FILENAME, &input, N_("Safetensors file with latents “z” [B, C, H, W]"), N_("FILE") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output, N_("Folder for PNG files, or a .safetensors file for “decoded”"), N_("PATH") },
    { "memory", 0, 0, G_OPTION_ARG_INT64, &memory, N_("MiB that a picture may take while it is decoded, in tiles if need be; 0 for what is free (0)"), "N" },
    { "device", 'd', 0, G_OPTION_ARG_STRING, &device, N_("auto, cpu, cuda or cuda:N (auto)"), N_("NAME") },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &precision, N_("auto, f32 or bf16 (auto)"), N_("NAME") },
    { "threads", 't', 0, G_OPTION_ARG_INT64, &threads, N_("Threads of the CPU, 0 for one a core (0)"), "N" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_("Print one JSON object a line instead"), NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, N_("Show no progress"), NULL },
    G_OPTION_ENTRY_NULL,
  };

  if (!studio_cli_parse ("", _("Makes pictures of the latents in a file."),
                         "  dimr decode --autoencoder autoencoder_kl_ema.pth --input latents.safetensors --output pictures\n"
                         "  dimr decode -a vae -i latents.safetensors -o decoded.safetensors --precision f32 --memory 200\n",
                         entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  self.json = json;
  self.request = (DimrCodecRequest){
    .autoencoder = autoencoder, .device = device != NULL ? device : "auto", .n_threads = (guint) threads,
    .precision = DIMR_PRECISION_AUTO, .memory = (guint64) memory << 20, .input = input, .output = output,
  };
  status = check (&self, "decode", precision, threads, memory);
  return status == STUDIO_EXIT_OK ? finish (&self, quiet) : status;
}

int
studio_cli_encode (int    argc,
                   char **argv)
{
  g_autofree char *autoencoder = NULL;
  g_autofree char *input = NULL;
  g_autofree char *output = NULL;
  g_autofree char *device = NULL;
  g_autofree char *precision = NULL;
  g_autofree char *seed_text = NULL;
  gboolean json = FALSE, quiet = FALSE;
  gint64 threads = 0, side = 0;
  guint64 seed = 0;
  Codec self = { .decode = FALSE };
  int status;
  const GOptionEntry entries[] = {
    { "autoencoder", 'a', 0, G_OPTION_ARG_FILENAME, &autoencoder, N_("File or folder of Stable Diffusion’s autoencoder"), N_("PATH") },
    { "input", 'i', 0, G_OPTION_ARG_FILENAME, &input, N_("PNG file, folder of PNG files, folder with one folder of JPEG or PNG pictures a class or a tar of them, or a safetensors file with “image” [B, 3, H, W] in −1 … 1"), N_("PATH") },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output, N_("Safetensors file for “moments”, “z” and, of class folders, “y”"), N_("FILE") },
    { "size", 0, 0, G_OPTION_ARG_INT64, &side, N_("Side to which pictures in class folders are cut and scaled (256)"), "N" },
    { "seed", 's', 0, G_OPTION_ARG_STRING, &seed_text, N_("Seed of the latents “z” that are drawn from the moments (0)"), "N" },
    { "device", 'd', 0, G_OPTION_ARG_STRING, &device, N_("auto, cpu, cuda or cuda:N (auto)"), N_("NAME") },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &precision, N_("auto, f32 or bf16 (auto)"), N_("NAME") },
    { "threads", 't', 0, G_OPTION_ARG_INT64, &threads, N_("Threads of the CPU, 0 for one a core (0)"), "N" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_("Print one JSON object a line instead"), NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, N_("Show no progress"), NULL },
    G_OPTION_ENTRY_NULL,
  };

  if (!studio_cli_parse ("", _("Makes latents of pictures: the mean and log-variance of each, and one drawn from them."),
                         "  dimr encode --autoencoder autoencoder_kl_ema.pth --input pictures --output latents.safetensors\n"
                         "  dimr encode -a vae -i imagenet/train --size 256 -o train-latents.safetensors\n"
                         "  dimr encode -a vae -i images.safetensors -o latents.safetensors --seed 7 --json\n",
                         entries, &argc, &argv))
    return STUDIO_EXIT_USAGE;
  if (seed_text != NULL && !g_ascii_string_to_unsigned (seed_text, 10, 0, G_MAXUINT64, &seed, NULL))
    return studio_cli_refuse (json, _("--seed is a whole number of at least 0, not “%s”"), seed_text);
  if (side != 0 && (side < MIN_SIDE || side > MAX_SIDE))
    return studio_cli_refuse (json, _("--size is from 8 to %d, not %" PRId64), MAX_SIDE, side);
  self.json = json;
  self.request = (DimrCodecRequest){
    .autoencoder = autoencoder, .device = device != NULL ? device : "auto", .n_threads = (guint) threads,
    .precision = DIMR_PRECISION_AUTO, .seed = seed, .side = (guint) side, .input = input, .output = output,
  };
  status = check (&self, "encode", precision, threads, 0);
  return status == STUDIO_EXIT_OK ? finish (&self, quiet) : status;
}
