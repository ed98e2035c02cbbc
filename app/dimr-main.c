/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-common.h"

#include "kernels/dimr-kernels.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

#define USAGE_WIDTH 37

static const struct
{
  const char *name;
  int (*run) (int argc, char **argv);
  const char *usage;
  const char *summary;
} commands[] = {
  { "generate", studio_cli_generate, "--class lion --count 4", N_("make pictures") },
  { "info", studio_cli_info, "[MODEL]", N_("what a model is, costs and needs") },
  { "forward", studio_cli_forward, "--input FILE --output FILE", N_("evaluate the network once on given tensors") },
  { "train", studio_cli_train, "--data PATH --output PATH", N_("train a model on pictures, or --demo") },
  { "gradients", studio_cli_gradients, "--input FILE --output FILE", N_("compute the training loss and its gradients on given tensors") },
  { "convert", studio_cli_convert, "IN OUT.safetensors", N_("rewrite a checkpoint as safetensors") },
  { "decode", studio_cli_decode, "--autoencoder FILE --input FILE", N_("make pictures of latents") },
  { "encode", studio_cli_encode, "--autoencoder FILE --input DIR", N_("make latents of pictures") },
  { "classify", studio_cli_classify, "PICTURE…", N_("tell what is on pictures") },
  { "score", studio_cli_score, "FOLDER…", N_("how recognisable generated pictures are") },
  { "fid", studio_cli_fid, "FOLDER FOLDER", N_("how far two sets of pictures are apart") },
  { "flag", studio_cli_flag, "PICTURE…", N_("which pictures to look at first") },
  { "reference", studio_cli_reference, "FOLDER… --output FILE", N_("how real pictures fare, for flag") },
  { "models", studio_cli_models, "", N_("list the models on this machine") },
  { "import", studio_cli_import, "PATH…", N_("add a model or an autoencoder to them") },
  { "devices", studio_cli_devices, "", N_("what this machine can compute with") },
  { "bench", studio_cli_bench, "[MODEL]", N_("how fast a model is here") },
};

static void
print_help (void)
{
  g_print (_("Usage:\n  dimr COMMAND [OPTION…]\n\n"
             "Makes pictures of ImageNet classes with a DiMR diffusion model. Without --model, the model\n"
             "that comes with the program is used, so this works right away:\n\n"
             "  dimr generate --class lion\n\n"
             "Commands:\n"));
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      g_autofree char *left = g_strdup_printf ("%s %s", commands[i].name, commands[i].usage);

      /* Widths of printf() count bytes. */
      g_print ("  %s%*s %s\n", left, MAX (USAGE_WIDTH - (int) g_utf8_strlen (left, -1), 0), "", _(commands[i].summary));
    }
  g_print (_("\n“dimr COMMAND --help” explains a command with examples; “dimr --version” tells the version.\n"));
}

static int
refuse_command (const char *name)
{
  g_printerr (_("dimr: there is no command “%s”; “dimr --help” lists the commands.\n"), name);
  return STUDIO_EXIT_USAGE;
}

static int
run_command (int    argc,
             char **argv)
{
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (argv[0], commands[i].name) == 0)
      return commands[i].run (argc, argv);
  return refuse_command (argv[0]);
}

static int
run (int    argc,
     char **argv)
{
  setlocale (LC_ALL, "");
  textdomain (GETTEXT_PACKAGE); /* libdimr has bound it */
  g_set_prgname ("dimr");

  if (argc < 2)
    {
      print_help ();
      return STUDIO_EXIT_USAGE;
    }
  if (strcmp (argv[1], "--version") == 0)
    {
      g_print ("dimr %s\n", DIMR_VERSION);
      return STUDIO_EXIT_OK;
    }
  if (strcmp (argv[1], "help") == 0 && argc > 2)
    {
      /* "dimr help generate" is "dimr generate --help". */
      char *help[] = { argv[2], (char *) "--help", NULL };

      return run_command (2, help);
    }
  if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0 || strcmp (argv[1], "help") == 0)
    {
      print_help ();
      return STUDIO_EXIT_OK;
    }
  dimr_kernels_init ();
  return run_command (argc - 1, argv + 1);
}

int
main (int    argc,
      char **argv)
{
  const int status = run (argc, argv);

  /* Results that did not arrive, as on a full disk, are a failure. */
  if (fflush (stdout) == 0 && !ferror (stdout))
    return status;
  g_printerr (_("dimr: not all results could be written to the standard output; see whether there is room where it goes.\n"));
  return status != STUDIO_EXIT_OK ? status : STUDIO_EXIT_FAILED;
}
