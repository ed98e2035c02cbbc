/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-bench.h"
#include "app/cli-version.h"

/* What takes less of an evaluation is not worth a line. */
#define MIN_SHARE 0.005

char *
studio_bench_format_seconds (double seconds)
{
  if (seconds >= 1)
    return g_strdup_printf ("%.2f s", seconds);
  if (seconds >= 1e-3)
    return g_strdup_printf ("%.*f ms", seconds >= 0.1 ? 0 : seconds >= 0.01 ? 1 : 2, seconds * 1e3);
  return g_strdup_printf ("%.1f µs", seconds * 1e6);
}

double
studio_bench_get_roofline (const StudioBenchResult *self,
                           guint64                  macs,
                           guint64                  bytes)
{
  return self->has_peaks ? MAX (2 * (double) macs / self->peaks.flops, (double) bytes / self->peaks.bytes) : 0;
}

static void
print_seconds (double seconds,
               int    width)
{
  g_autofree char *text = studio_bench_format_seconds (seconds);

  studio_cli_print_cell (text, width);
}

/* "  312.5" of 1e9, or a dash where there is nothing to tell. */
static void
print_rate (double amount,
            double seconds,
            int    width)
{
  g_autofree char *text = amount > 0 && seconds > 0 ? g_strdup_printf ("%.1f", amount / seconds / 1e9) : g_strdup ("–");

  studio_cli_print_cell (text, width);
}

static void
print_share (double share,
             int    width)
{
  g_autofree char *text = share > 0 ? g_strdup_printf ("%.0f %%", 100 * share) : g_strdup ("–");

  studio_cli_print_cell (text, width);
}

void
studio_bench_show_start (const StudioBenchResult *self)
{
  g_autofree char *model = studio_bench_format_seconds (self->model_seconds);
  g_autofree char *device = studio_bench_format_seconds (self->device_seconds);

  g_print ("%s (%s)%s\n", self->model, self->summary, self->path == NULL ? _(", random weights") : "");
  g_print (_("Device         %s, %s\n"), self->device_name, dimr_precision_to_string (self->precision));
  g_print (_("Program        dimr %s%s%s, %s\n"), DIMR_VERSION, DIMR_COMMIT[0] != '\0' ? " " : "", DIMR_COMMIT, self->date);
  g_print (_("Ready in       %s for the model, %s for the device\n"), model, device);
}

void
studio_bench_show_peaks (const StudioBenchResult *self)
{
  g_print (_("Peaks here     %.1f GFLOP/s in a large product, %.1f GB/s in a large sum\n"), self->peaks.flops / 1e9,
           self->peaks.bytes / 1e9);
}

static void
show_step (const StudioBenchResult *self,
           const DimrBenchStep     *step)
{
  const double seconds = step->time.median;
  g_autofree char *batch = g_strdup_printf ("%u", step->batch);
  g_autofree char *weights = studio_cli_format_bytes (step->param_bytes);
  g_autofree char *arena = studio_cli_format_bytes (step->arena_bytes);

  studio_cli_print_cell (batch, -6);
  print_seconds (seconds, -11);
  print_seconds (step->time.p10, -10);
  print_seconds (step->time.p90, -10);
  print_seconds (seconds / step->batch, -11);
  print_rate (2 * (double) step->macs, seconds, -10);
  print_share (self->has_peaks ? 2 * (double) step->macs / seconds / self->peaks.flops : 0, -7);
  print_rate ((double) step->bytes, seconds, -8);
  print_share (self->has_peaks ? (double) step->bytes / seconds / self->peaks.bytes : 0, -7);
  print_seconds (step->compile_seconds, -10);
  studio_cli_print_cell (weights, -11);
  studio_cli_print_cell (arena, -12);
  g_print ("\n");
}

void
studio_bench_show_steps (const StudioBenchResult *self)
{
  const struct
  {
    const char *title;
    int width;
  } columns[] = {
    { _("batch"), -6 }, { _("evaluation"), -11 }, { "p10", -10 }, { "p90", -10 }, { _("a picture"), -11 },
    { "GFLOP/s", -10 }, { _("share"), -7 }, { "GB/s", -8 }, { _("share"), -7 }, { _("compiled"), -10 },
    { _("weights"), -11 }, { _("activations"), -12 },
  };

  g_print ("\n");
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    studio_cli_print_cell (columns[i].title, columns[i].width);
  g_print ("\n");
  for (guint i = 0; i < self->steps->len; i++)
    show_step (self, &g_array_index (self->steps, DimrBenchStep, i));
}

static const int op_widths[] = { 16, 28, -6, -11, -7, -10, -8, -10 };

static void
show_op (const StudioBenchResult *self,
         const DimrBenchStep     *step,
         const DimrBenchOp       *op)
{
  const double roofline = studio_bench_get_roofline (self, op->macs, op->bytes);
  g_autofree char *count = g_strdup_printf ("%u", op->count);

  studio_cli_print_cell (dimr_op_get_info (op->op)->name, op_widths[0]);
  studio_cli_print_cell (op->shape, op_widths[1]);
  studio_cli_print_cell (count, op_widths[2]);
  print_seconds (op->seconds, op_widths[3]);
  print_share (op->seconds / step->ops_seconds, op_widths[4]);
  print_rate (2 * (double) op->macs, op->seconds, op_widths[5]);
  print_rate ((double) op->bytes, op->seconds, op_widths[6]);
  print_share (roofline / op->seconds, op_widths[7]);
  g_print ("\n");
}

void
studio_bench_show_ops (const StudioBenchResult *self,
                       const DimrBenchStep     *step)
{
  const char *titles[] = { _("operation"), _("shape"), _("count"), _("time"), _("share"), "GFLOP/s", "GB/s", _("roofline") };
  g_autofree char *sum = studio_bench_format_seconds (step->ops_seconds);
  g_autofree char *whole = studio_bench_format_seconds (step->time.median);
  guint n = 0;

  if (step->n_ops == 0)
    return;
  g_print (_("\nBatch %u, operation by operation: %s (a whole evaluation: %s)\n"), step->batch, sum, whole);
  for (guint i = 0; i < G_N_ELEMENTS (titles); i++)
    studio_cli_print_cell (titles[i], op_widths[i]);
  g_print ("\n");
  while (n < step->n_ops && step->ops[n].seconds > MIN_SHARE * step->ops_seconds)
    show_op (self, step, &step->ops[n++]);
  if (n < step->n_ops)
    {
      double rest = 0;
      g_autofree char *text = NULL;

      for (guint i = n; i < step->n_ops; i++)
        rest += step->ops[i].seconds;
      text = studio_bench_format_seconds (rest);
      g_print (ngettext ("and %u more in %s\n", "and %u more in %s\n", step->n_ops - n), step->n_ops - n, text);
    }
}

void
studio_bench_show_pictures (const StudioBenchResult *self)
{
  const DimrBenchPictures *pictures = &self->pictures;
  g_autofree char *first = studio_bench_format_seconds (pictures->first_preview);
  g_autofree char *preview = studio_bench_format_seconds (pictures->preview.median);
  g_autofree char *median = studio_bench_format_seconds (pictures->picture.median);
  g_autofree char *p10 = studio_bench_format_seconds (pictures->picture.p10);
  g_autofree char *p90 = studio_bench_format_seconds (pictures->picture.p90);

  g_print (_("\nA picture      %s (median of %u; %s to %s), %u steps with guidance\n"), median, pictures->picture.n, p10, p90,
           pictures->n_steps);
  g_print (_("First preview  %s after the request; %s when the device has to be opened first\n"), preview, first);
  g_print (_("Throughput     %.3g pictures/s, %u at a time\n"), pictures->pictures_per_second, pictures->batch);
}

void
studio_bench_show_memory (const StudioBenchResult *self)
{
  g_autofree char *peak = studio_cli_format_bytes (self->peak_memory);
  guint64 device_bytes = 0;

  g_print (_("Memory         %s of this process at its peak\n"), peak);
  for (guint i = 0; i < self->steps->len; i++)
    device_bytes = MAX (device_bytes, g_array_index (self->steps, DimrBenchStep, i).device_bytes);
  if (!self->is_cpu && device_bytes > 0)
    {
      g_autofree char *device = studio_cli_format_bytes (device_bytes);

      g_print (_("               %s of the device\n"), device);
    }
}
