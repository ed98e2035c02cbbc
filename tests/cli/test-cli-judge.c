/* Classifiers as a person meets them: trained, asked what is on pictures, and how recognisable those are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cli-fixture.h"

#include "core/classes/dimr-classes.h"
#include "core/image/dimr-png.h"
#include "core/library/dimr-entry.h"
#include "core/train/dimr-dataset.h"

#include <glib/gstdio.h>
#include <string.h>

#define SIDE 16
#define N_CLASSES 8 /* of the drawn pictures */
#define LAST "step-000000000160"
/* From the folder of test data, whose own path may have blanks. */
#define REFERENCE "reference/"

static const char *config_text =
  "{ \"model\": \"ViT\", \"title\": \"Drawn shapes\", \"img_size\": 16, \"patch_size\": 4, \"embed_dim\": 32, \"depth\": 2,"
  "  \"num_heads\": 2, \"mlp_ratio\": 2, \"num_classes\": 8,"
  "  \"training\": { \"batch\": 16, \"lr\": 0.003, \"warmup\": 10, \"beta1\": 0.9, \"beta2\": 0.99, \"ema\": 0.9, \"crop\": 1,"
  "    \"snapshot-every\": 80, \"log-every\": 40, \"validate-n\": 64 } }";

typedef struct
{
  char *folder;
  char *real;       /* class folders called by WordNet ids */
  char *generated;  /* pictures with recipes, of the same classes */
  char *run;
  char *model;      /* its last snapshot */
} Fixture;

static void
remove_tree (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        remove_tree (path);
      else
        g_unlink (path);
    }
  g_rmdir (folder);
}

/* The ImageNet class that a drawn one goes for. */
static int
class_of (guint drawn)
{
  return (int) (90 * drawn + 3);
}

/* Picture @i of @data under @path, with a recipe that asks for @class_index unless that is DIMR_CLASS_NONE. */
static void
save_picture (DimrDataset *data,
              guint        i,
              const char  *path,
              int          class_index)
{
  g_autofree float *planes = g_new (float, 3 * SIDE * SIDE);
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (DimrImage) image = NULL;
  g_autoptr (DimrRecipe) recipe = dimr_recipe_new ();
  g_autoptr (GError) error = NULL;

  g_mkdir_with_parents (folder, 0700);
  dimr_dataset_read (data, i, 0, FALSE, planes, &error);
  g_assert_no_error (error);
  image = dimr_image_new_planar (SIDE, SIDE, planes);
  recipe->class_index = class_index;
  recipe->width = recipe->height = SIDE;
  dimr_png_save (path, image, class_index != DIMR_CLASS_NONE ? recipe : NULL, &error);
  g_assert_no_error (error);
}

static void
fixture_init (Fixture *self)
{
  g_autoptr (DimrDataset) real = dimr_dataset_new_procedural (240, SIDE, 0), generated = dimr_dataset_new_procedural (80, SIDE, 5);
  g_auto (CliResult) result = { 0 };
  g_autofree char *config = NULL;

  self->folder = cli_make_folder ();
  self->real = g_build_filename (self->folder, "real", NULL);
  self->generated = g_build_filename (self->folder, "generated", NULL);
  self->run = g_build_filename (self->folder, "run", NULL);
  self->model = g_build_filename (self->run, LAST, NULL);
  config = g_build_filename (self->folder, "config.json", NULL);
  g_assert_true (g_file_set_contents (config, config_text, -1, NULL));
  for (guint i = 0; i < 240; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/%s/%u.png", self->real, dimr_classes_get (class_of (i % N_CLASSES))->wnid, i);
      save_picture (real, i, path, DIMR_CLASS_NONE);
    }
  for (guint i = 0; i < 80; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/%03u.png", self->generated, i);
      save_picture (generated, i, path, class_of (i % N_CLASSES));
    }
  cli_run (&result, "train --config %s --data %s --validation %s --output %s --steps 160 --threads 1", config, self->real, self->real,
           self->run);
  cli_assert_status (&result, 0);
  g_assert_nonnull (strstr (result.err, "cross_entropy"));
  g_assert_nonnull (strstr (result.err, "top1"));
}

static void
fixture_clear (Fixture *self)
{
  remove_tree (self->folder);
  g_free (self->folder);
  g_free (self->real);
  g_free (self->generated);
  g_free (self->run);
  g_free (self->model);
}

static Fixture fixture;

/* What is kept is a model with names for its rows, and the log tells how often it was right. */
static void
test_snapshot (void)
{
  g_autofree char *config_path = g_build_filename (fixture.model, "config.json", NULL), *text = NULL, *log = NULL;
  g_autofree char *log_path = g_build_filename (fixture.run, "log.csv", NULL);
  g_autofree char *sheet = g_build_filename (fixture.model, "samples.png", NULL), *first = NULL;
  g_autoptr (DimrConfig) config = dimr_config_load (config_path, NULL);
  g_auto (GStrv) lines = NULL;

  g_assert_nonnull (config);
  g_assert_cmpuint (g_strv_length (config->label_names), ==, N_CLASSES);
  for (guint i = 0; i < N_CLASSES; i++)
    g_assert_cmpstr (config->label_names[i], ==, dimr_classes_get (class_of (i))->wnid);
  g_assert_false (g_file_test (sheet, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_get_contents (log_path, &log, NULL, NULL));
  lines = g_strsplit (log, "\n", 2);
  g_assert_nonnull (strstr (lines[0], ",cross_entropy,top1,top5,"));
  g_assert_nonnull (strstr (lines[0], ",validation_loss,validation_cross_entropy,validation_top1,validation_top5"));
}

/* Stopped in the middle and resumed: the same bytes. */
static void
test_resume (void)
{
  static const char * const files[] = { "model.safetensors", "state.safetensors" };
  g_autofree char *run = g_build_filename (fixture.folder, "parts", NULL), *config = g_build_filename (fixture.folder, "config.json", NULL);
  g_auto (CliResult) first = { 0 }, second = { 0 };

  cli_run (&first, "train --config %s --data %s --output %s --steps 80 --threads 2", config, fixture.real, run);
  cli_assert_status (&first, 0);
  cli_run (&second, "train --output %s --resume --steps 160 --threads 1", run);
  cli_assert_status (&second, 0);
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *a = g_build_filename (fixture.model, files[i], NULL), *b = g_build_filename (run, LAST, files[i], NULL);
      cli_assert_same_files (a, b);
    }
}

static void
test_classify (void)
{
  g_auto (CliResult) json = { 0 }, alone = { 0 }, csv = { 0 }, text = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  g_auto (GStrv) rows = NULL;

  cli_run (&json, "classify --model %s --input %s --json --top 3 --threads 1", fixture.model, fixture.generated);
  cli_assert_status (&json, 0);
  lines = cli_parse_lines (json.out);
  g_assert_cmpuint (lines->len, ==, 80);
  for (guint i = 0; i < lines->len; i++)
    {
      JsonArray *classes = json_object_get_array_member (g_ptr_array_index (lines, i), "classes");
      double last = 1, sum = 0;

      g_assert_cmpuint (json_array_get_length (classes), ==, 3);
      for (guint k = 0; k < 3; k++)
        {
          JsonObject *object = json_array_get_object_element (classes, k);
          const double p = json_object_get_double_member (object, "probability");
          const int index = (int) json_object_get_int_member (object, "index");

          g_assert_cmpfloat (p, <=, last);
          g_assert_cmpstr (json_object_get_string_member (object, "class"), ==, dimr_classes_get (index)->name);
          last = p;
          sum += p;
        }
      g_assert_cmpfloat (sum, <=, 1.000001);
      g_assert_cmpfloat (sum, >, 3. / N_CLASSES);
    }

  /* What is told of a picture does not depend on those beside it. */
  cli_run (&alone, "classify --model %s --json --top 3 --threads 2 %s/037.png", fixture.model, fixture.generated);
  cli_assert_status (&alone, 0);
  g_assert_nonnull (strstr (json.out, alone.out));

  cli_run (&csv, "classify --model %s --csv --top 2 %s/000.png %s/001.png", fixture.model, fixture.generated, fixture.generated);
  cli_assert_status (&csv, 0);
  rows = g_strsplit (csv.out, "\n", -1);
  g_assert_cmpuint (g_strv_length (rows), ==, 1 + 4 + 1);
  g_assert_cmpstr (rows[0], ==, "path,rank,class,index,probability");
  cli_run (&text, "classify --model %s %s/000.png", fixture.model, fixture.generated);
  cli_assert_status (&text, 0);
  g_assert_nonnull (strstr (text.out, "000.png: "));
  g_assert_nonnull (strstr (text.out, " %"));
}

/* The share that the last line of `dimr score --json` tells under @member. */
static double
score_of (const char *input,
          const char *member)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  JsonObject *score;

  cli_run (&result, "score --model %s --json --threads 1 %s", fixture.model, input);
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  score = cli_find_event (lines, "score");
  g_assert_cmpuint (lines->len, ==, 1 + N_CLASSES);
  g_assert_cmpint (json_object_get_int_member (score, "asked_classes"), ==, N_CLASSES);
  return json_object_get_double_member (score, member);
}

/* By their recipes, and real ones by their folders: far better than one in eight. */
static void
test_score (void)
{
  g_auto (CliResult) table = { 0 };
  const double top1 = score_of (fixture.generated, "top1");

  g_test_message ("%.3f of the generated, %.3f of the real pictures", top1, score_of (fixture.real, "top1"));
  g_assert_cmpfloat (top1, >, .5);
  g_assert_cmpfloat (score_of (fixture.real, "top1"), >, .5);
  g_assert_cmpfloat (score_of (fixture.generated, "top1_among_asked"), ==, top1); /* all classes are asked for */
  g_assert_cmpfloat (score_of (fixture.generated, "top5"), >=, top1);
  cli_run (&table, "score --model %s %s", fixture.model, fixture.generated);
  cli_assert_status (&table, 0);
  g_assert_nonnull (strstr (table.out, "80 pictures of 8 classes, judged by Drawn shapes"));
}

static double
distance (const char *a,
          const char *b)
{
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;

  cli_run (&result, "fid --model %s --json %s %s", fixture.model, a, b);
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  return json_object_get_double_member (cli_find_event (lines, "fid"), "distance");
}

/* Other pictures of the same classes are nearer than one class alone. */
static void
test_fid (void)
{
  g_autofree char *one = g_build_filename (fixture.real, dimr_classes_get (class_of (0))->wnid, NULL);
  const double near = distance (fixture.real, fixture.generated), far = distance (fixture.real, one);

  g_assert_cmpfloat (distance (fixture.real, fixture.real), <, 1e-6);
  g_assert_cmpfloat (near, >, 0);
  g_assert_cmpfloat (far, >, 2 * near);
}

static void
assert_refused (int         status,
                const char *says,
                const char *format,
                ...)
{
  g_auto (CliResult) result = { 0 };
  g_autofree char *words = NULL;
  va_list args;

  va_start (args, format);
  words = g_strdup_vprintf (format, args);
  va_end (args);
  cli_run (&result, "%s", words);
  cli_assert_status (&result, status);
  if (strstr (result.err, says) == NULL)
    g_error ("“%s” does not say “%s”", result.err, says);
}

static void
test_refusals (void)
{
  g_autofree char *config = g_build_filename (fixture.folder, "config.json", NULL), *silent = g_build_filename (fixture.folder, "silent", NULL);
  g_autofree char *picture = g_build_filename (silent, "a.png", NULL), *unknown = g_build_filename (fixture.folder, "unknown", NULL);
  g_autofree char *other = g_build_filename (unknown, "a.png", NULL), *damaged = g_build_filename (fixture.folder, "damaged.png", NULL);
  g_autoptr (DimrDataset) data = dimr_dataset_new_procedural (8, SIDE, 0);

  save_picture (data, 0, picture, DIMR_CLASS_NONE);
  save_picture (data, 0, other, 1);
  g_assert_true (g_file_set_contents (damaged, "no picture", -1, NULL));
  assert_refused (2, "needs a picture", "classify --model %s", fixture.model);
  assert_refused (2, "--top is from 1", "classify --model %s --top 0 %s", fixture.model, picture);
  assert_refused (2, "choose one", "classify --model %s --csv --json %s", fixture.model, picture);
  assert_refused (2, "needs two folders", "fid --model %s %s", fixture.model, fixture.real);
  assert_refused (2, "at least two pictures", "fid --model %s %s %s", fixture.model, fixture.real, silent);
  assert_refused (1, "nowhere", "classify --model %s nowhere.png", fixture.model);
  assert_refused (1, "neither a JPEG nor a PNG", "classify --model %s %s", fixture.model, damaged);
  assert_refused (2, "neither a recipe nor a folder", "score --model %s %s", fixture.model, silent);
  assert_refused (2, "knows none of the classes", "score --model %s %s", fixture.model, unknown);
  assert_refused (1, "does not tell what is on pictures", "classify --model " REFERENCE "B_dimr_3r_pixel %s", picture);
  assert_refused (1, "which tells what a picture shows", "generate --model %s --class lion", fixture.model);
  /* Other folders than the eight of its head. */
  assert_refused (2, "set \"num_classes\"", "train --config %s --data %s/.. --output %s/never --steps 1", config, silent, fixture.folder);
}

/* A reference of the real pictures (transfer full: its path). */
static char *
make_reference (void)
{
  char *path = g_build_filename (fixture.folder, "made.reference", NULL);
  g_auto (CliResult) result = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  JsonObject *event;

  cli_run (&result, "reference --model %s --json --sides 8,16 --output %s %s", fixture.model, path, fixture.real);
  cli_assert_status (&result, 0);
  lines = cli_parse_lines (result.out);
  event = cli_find_event (lines, "reference");
  g_assert_cmpint (json_object_get_int_member (event, "pictures"), ==, 240);
  g_assert_cmpint (json_object_get_int_member (event, "classes"), ==, N_CLASSES);
  return path;
}

static void
flag_folder (const char *reference,
             const char *folder,
             CliResult  *result,
             guint      *n_flagged)
{
  g_autoptr (GPtrArray) lines = NULL;
  guint n = 0;
  JsonObject *flags;

  cli_run (result, "flag --model %s --reference %s --rate 0.1 --json %s", fixture.model, reference, folder);
  cli_assert_status (result, 0);
  lines = cli_parse_lines (result->out);
  flags = cli_find_event (lines, "flags");
  for (guint i = 0; i < lines->len; i++)
    if (strcmp (json_object_get_string_member (g_ptr_array_index (lines, i), "event"), "picture") == 0)
      {
        const double percentile = json_object_get_double_member (g_ptr_array_index (lines, i), "percentile");
        const gboolean flagged = json_object_get_boolean_member (g_ptr_array_index (lines, i), "flagged");

        g_assert_cmpint (flagged, ==, percentile > 90);
        n += flagged;
      }
  g_assert_cmpint (json_object_get_int_member (flags, "flagged"), ==, n);
  g_assert_cmpint (json_object_get_int_member (flags, "pictures") + 1, ==, lines->len);
  *n_flagged = n;
}

/* Of the real pictures no more than the rate; of pictures of another class than the one asked for nearly all. */
static void
test_flag (void)
{
  g_autofree char *reference = make_reference (), *wrong = g_build_filename (fixture.folder, "flag", "wrong", NULL);
  g_autoptr (DimrDataset) data = dimr_dataset_new_procedural (80, SIDE, 5);
  g_auto (CliResult) real = { 0 }, other = { 0 };
  guint n_real, n_wrong;

  for (guint i = 0; i < 80; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/%03u.png", wrong, i);
      save_picture (data, i, path, class_of ((i + 1) % N_CLASSES));
    }
  flag_folder (reference, fixture.real, &real, &n_real);
  flag_folder (reference, wrong, &other, &n_wrong);
  g_test_message ("%u of 240 real pictures, %u of 80 of another class", n_real, n_wrong);
  g_assert_cmpuint (n_real, >=, 12);
  g_assert_cmpuint (n_real, <=, 26);
  g_assert_cmpuint (n_wrong, >=, 40);
}

/* A row for every picture that can be read, with empty fields where it cannot be judged; the same numbers as JSON. */
static void
test_flag_table (void)
{
  g_autofree char *reference = make_reference (), *mixed = g_build_filename (fixture.folder, "flag", "some", NULL);
  g_autofree char *good = g_build_filename (mixed, "a,\"b.png", NULL), *silent = g_build_filename (mixed, "c.png", NULL);
  g_autofree char *unknown = g_build_filename (mixed, "d.png", NULL), *bad = g_build_filename (mixed, "e.png", NULL);
  g_autoptr (DimrDataset) data = dimr_dataset_new_procedural (8, SIDE, 0);
  g_auto (CliResult) csv = { 0 }, again = { 0 }, flagged = { 0 }, text = { 0 }, asked = { 0 };
  g_auto (GStrv) rows = NULL, some = NULL;

  save_picture (data, 0, good, class_of (0));
  save_picture (data, 1, silent, DIMR_CLASS_NONE);
  save_picture (data, 2, unknown, 1);
  g_assert_true (g_file_set_contents (bad, "no picture", -1, NULL));
  cli_run (&csv, "flag --model %s --reference %s --csv %s", fixture.model, reference, mixed);
  cli_assert_status (&csv, 0);
  rows = g_strsplit (csv.out, "\n", -1);
  g_assert_cmpuint (g_strv_length (rows), ==, 1 + 3 + 1);
  g_assert_cmpstr (rows[0], ==, "path,class,index,pixels,probability,surprise,percentile,flagged");
  g_assert_nonnull (strstr (rows[1], "a,\"\"b.png\",\""));
  g_assert_nonnull (strstr (rows[1], ",3,16,0."));
  g_assert_true (g_str_has_suffix (rows[2], "c.png\",,,16,,,,"));
  g_assert_true (g_str_has_suffix (rows[3], ",\"goldfish\",1,16,,,,"));
  g_assert_nonnull (strstr (csv.err, "1 picture could not be read"));
  g_assert_nonnull (strstr (csv.err, "1 picture says of no class"));
  g_assert_nonnull (strstr (csv.err, "1 picture asks for a class without real pictures"));
  g_assert_nonnull (strstr (csv.err, "of 1 picture is flagged"));

  cli_run (&again, "flag --model %s --reference %s --csv --threads 2 %s", fixture.model, reference, mixed);
  g_assert_cmpstr (again.out, ==, csv.out);
  cli_run (&flagged, "flag --model %s --reference %s --csv --only-flagged --rate 0.999 %s", fixture.model, reference, fixture.generated);
  cli_assert_status (&flagged, 0);
  some = g_strsplit (flagged.out, "\n", -1);
  for (guint i = 1; some[i][0] != '\0'; i++)
    g_assert_true (g_str_has_suffix (some[i], ",1"));
  cli_run (&asked, "flag --model %s --reference %s --csv --class %s %s", fixture.model, reference, dimr_classes_get (class_of (1))->wnid,
           silent);
  cli_assert_status (&asked, 0);
  g_assert_nonnull (strstr (asked.out, ",93,16,0."));
  cli_run (&text, "flag --model %s --reference %s %s", fixture.model, reference, fixture.generated);
  cli_assert_status (&text, 0);
  g_assert_nonnull (strstr (text.out, "of 80 pictures are flagged"));
  g_assert_nonnull (strstr (text.out, "/000.png\n"));
}

static void
test_flag_refusals (void)
{
  g_autofree char *reference = make_reference (), *silent = g_build_filename (fixture.folder, "flag", "quiet", "a.png", NULL);
  g_autofree char *broken = g_build_filename (fixture.folder, "broken.reference", NULL), *weights = NULL;
  g_autoptr (DimrDataset) data = dimr_dataset_new_procedural (8, SIDE, 0);

  weights = g_build_filename (fixture.model, "model.safetensors", NULL);
  save_picture (data, 0, silent, DIMR_CLASS_NONE);
  g_assert_true (g_file_set_contents (broken, "nothing", -1, NULL));
  assert_refused (2, "needs a picture", "flag --model %s", fixture.model);
  assert_refused (2, "--rate is a share", "flag --model %s --rate 1 %s", fixture.model, silent);
  assert_refused (2, "choose one", "flag --model %s --csv --json %s", fixture.model, silent);
  assert_refused (2, "names one class", "flag --model %s --class 1,2 %s", fixture.model, silent);
  assert_refused (2, "nosuchthing", "flag --model %s --class nosuchthing %s", fixture.model, silent);
  assert_refused (1, "pictures.reference", "flag --model %s %s", fixture.model, silent);
  assert_refused (1, "broken.reference", "flag --model %s --reference %s %s", fixture.model, broken, silent);
  assert_refused (1, "did not write it", "flag --model %s --reference %s %s", fixture.model, weights, silent);
  assert_refused (1, "another classifier", "flag --reference %s %s", reference, silent);
  assert_refused (2, "say it with --class", "flag --model %s --reference %s %s", fixture.model, reference, silent);
  assert_refused (2, "not enough real pictures of the class", "flag --model %s --reference %s --class 1 %s", fixture.model, reference, silent);
  assert_refused (2, "and --output", "reference --model %s %s", fixture.model, fixture.real);
  assert_refused (2, "--sides is a list", "reference --model %s --sides 16,8 --output %s %s", fixture.model, broken, fixture.real);
  assert_refused (2, "all the classifier looks at", "reference --model %s --sides 32 --output %s %s", fixture.model, broken, fixture.real);
  assert_refused (2, "the least that can be compared", "reference --model %s --output %s %s", fixture.model, broken, silent);
}

/* One bad file among many is told and left out. */
static void
test_unreadable (void)
{
  g_autofree char *mixed = g_build_filename (fixture.folder, "mixed", NULL), *bad = g_build_filename (fixture.folder, "bad", NULL);
  g_autofree char *good = g_build_filename (mixed, "b.png", NULL), *last = g_build_filename (mixed, "d.png", NULL);
  g_autoptr (DimrDataset) data = dimr_dataset_new_procedural (8, SIDE, 0);
  g_auto (CliResult) table = { 0 }, json = { 0 };
  g_autoptr (GPtrArray) lines = NULL;
  const char * const folders[] = { mixed, bad }, * const names[] = { "a.png", "c.png" };

  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpint (g_mkdir (folders[i], 0700), ==, 0);
      for (guint k = 0; k < 2; k++)
        {
          g_autofree char *path = g_build_filename (folders[i], names[k], NULL);

          g_assert_true (g_file_set_contents (path, "no picture", -1, NULL));
        }
    }
  save_picture (data, 0, good, 1);
  save_picture (data, 1, last, 1);
  cli_run (&table, "classify --model %s --top 1 %s", fixture.model, mixed);
  cli_assert_status (&table, 0);
  g_assert_nonnull (strstr (table.out, good));
  g_assert_nonnull (strstr (table.out, last));
  g_assert_nonnull (strstr (table.err, "Left out: “"));
  g_assert_nonnull (strstr (table.err, "c.png"));

  cli_run (&json, "classify --json --model %s %s", fixture.model, mixed);
  cli_assert_status (&json, 0);
  lines = cli_parse_lines (json.out);
  g_assert_cmpuint (lines->len, ==, 4);
  g_assert_true (g_str_has_suffix (json_object_get_string_member (cli_find_event (lines, "skipped"), "path"), "a.png"));
  assert_refused (1, "None of the 2 pictures", "fid --model %s %s %s", fixture.model, bad, mixed);
}

/* The library tells it from models that make pictures, and info from its config.json or its tensors. */
static void
test_library (void)
{
  g_autoptr (DimrEntry) entry = dimr_entry_new (fixture.model, NULL);
  g_auto (CliResult) info = { 0 };

  g_assert_cmpint (dimr_entry_get_kind (entry), ==, DIMR_ENTRY_CLASSIFIER);
  g_assert_cmpstr (dimr_entry_get_title (entry), ==, "Drawn shapes");
  g_assert_nonnull (strstr (dimr_entry_get_summary (entry), "classifier of 8 classes"));
  g_assert_null (dimr_entry_peek_config (entry));
  cli_run (&info, "info %s", fixture.model);
  cli_assert_status (&info, 0);
  g_assert_nonnull (strstr (info.out, "8 that it tells apart"));
}

/* The classifier that comes with the program knows the classes of the starter model, and is the one where none is named. */
static void
test_bundled (void)
{
  g_autofree char *picture = g_build_filename (fixture.generated, "000.png", NULL), *path = g_build_filename (SOURCE_DATA_DIR, "models", NULL);
  g_autofree char *starter_path = g_build_filename (path, "starter", "config.json", NULL);
  g_autofree char *classifier_path = g_build_filename (path, "classifier", "config.json", NULL);
  g_autoptr (DimrConfig) starter = dimr_config_load (starter_path, NULL), classifier = dimr_config_load (classifier_path, NULL);
  g_autofree char *silent = g_build_filename (fixture.folder, "flag", "bundled", "a.png", NULL);
  g_autoptr (DimrDataset) data = dimr_dataset_new_procedural (8, SIDE, 0);
  g_auto (CliResult) result = { 0 }, flags = { 0 };

  g_assert_nonnull (classifier);
  save_picture (data, 0, silent, DIMR_CLASS_NONE);
  for (guint i = 0; i < starter->n_trained_classes; i++)
    g_assert_true (g_strv_contains ((const char * const *) classifier->label_names, dimr_classes_get (starter->trained_classes[i])->wnid));
  cli_run (&result, "classify --json %s", picture);
  cli_assert_status (&result, 0);
  /* So does the reference: it was made with this classifier, and has real pictures of those classes. */
  cli_run (&flags, "flag --json --class %s %s", dimr_classes_get (starter->trained_classes[0])->wnid, silent);
  cli_assert_status (&flags, 0);
}

int
main (int   argc,
      char *argv[])
{
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (g_chdir (TEST_DATA_DIR), ==, 0);
  fixture_init (&fixture);
  g_test_add_func ("/cli/judge/snapshot-is-a-classifier", test_snapshot);
  g_test_add_func ("/cli/judge/resumes-to-the-same-bytes", test_resume);
  g_test_add_func ("/cli/judge/classify", test_classify);
  g_test_add_func ("/cli/judge/score", test_score);
  g_test_add_func ("/cli/judge/fid", test_fid);
  g_test_add_func ("/cli/judge/flag", test_flag);
  g_test_add_func ("/cli/judge/flag/table", test_flag_table);
  g_test_add_func ("/cli/judge/flag/says-what-is-wrong", test_flag_refusals);
  g_test_add_func ("/cli/judge/library", test_library);
  g_test_add_func ("/cli/judge/bundled", test_bundled);
  g_test_add_func ("/cli/judge/unreadable-pictures-are-left-out", test_unreadable);
  g_test_add_func ("/cli/judge/says-what-is-wrong", test_refusals);
  status = g_test_run ();
  fixture_clear (&fixture);
  return status;
}
