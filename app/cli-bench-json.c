/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-bench.h"
#include "app/cli-version.h"

#include <string.h>

static void
add_times (JsonBuilder          *event,
           const char           *member,
           const DimrBenchTimes *times)
{
  json_builder_set_member_name (event, member);
  json_builder_begin_object (event);
  studio_cli_event_int (event, "n", times->n);
  studio_cli_event_double (event, "median", times->median);
  studio_cli_event_double (event, "p10", times->p10);
  studio_cli_event_double (event, "p90", times->p90);
  json_builder_end_object (event);
}

static void
add_start (JsonBuilder             *event,
           const StudioBenchResult *self)
{
  studio_cli_event_string (event, "version", DIMR_VERSION);
  if (DIMR_COMMIT[0] != '\0')
    studio_cli_event_string (event, "commit", DIMR_COMMIT);
  studio_cli_event_string (event, "date", self->date);
  studio_cli_event_string (event, "model", self->model);
  studio_cli_event_string (event, "model_path", self->path);
  json_builder_set_member_name (event, "random_weights");
  json_builder_add_boolean_value (event, self->path == NULL);
  studio_cli_event_int (event, "parameters", self->parameters);
  studio_cli_event_string (event, "device", self->device);
  studio_cli_event_string (event, "device_name", self->device_name);
  studio_cli_event_int (event, "micro_batch", self->micro_batch);
  studio_cli_event_string (event, "precision", dimr_precision_to_string (self->precision));
  studio_cli_event_double (event, "model_seconds", self->model_seconds);
  studio_cli_event_double (event, "device_seconds", self->device_seconds);
}

static void
add_peaks (JsonBuilder             *event,
           const StudioBenchResult *self)
{
  studio_cli_event_double (event, "flops_per_second", self->peaks.flops);
  studio_cli_event_double (event, "bytes_per_second", self->peaks.bytes);
}

/* @seconds may be 0 where something is too short for the clock. */
static void
add_work (JsonBuilder             *event,
          const StudioBenchResult *self,
          guint64                  macs,
          guint64                  bytes,
          double                   seconds)
{
  studio_cli_event_int (event, "macs", macs);
  studio_cli_event_int (event, "bytes", bytes);
  if (seconds <= 0)
    return;
  studio_cli_event_double (event, "flops_per_second", 2 * (double) macs / seconds);
  studio_cli_event_double (event, "bytes_per_second", (double) bytes / seconds);
  if (!self->has_peaks)
    return;
  studio_cli_event_double (event, "flops_share", 2 * (double) macs / seconds / self->peaks.flops);
  studio_cli_event_double (event, "bytes_share", (double) bytes / seconds / self->peaks.bytes);
}

static void
add_op (JsonBuilder             *event,
        const StudioBenchResult *self,
        const DimrBenchStep     *step,
        const DimrBenchOp       *op)
{
  const double roofline = studio_bench_get_roofline (self, op->macs, op->bytes);

  json_builder_begin_object (event);
  studio_cli_event_string (event, "op", dimr_op_get_info (op->op)->name);
  studio_cli_event_string (event, "shape", op->shape);
  studio_cli_event_int (event, "count", op->count);
  studio_cli_event_double (event, "seconds", op->seconds);
  studio_cli_event_double (event, "share", step->ops_seconds > 0 ? op->seconds / step->ops_seconds : 0);
  add_work (event, self, op->macs, op->bytes, op->seconds);
  if (roofline > 0 && op->seconds > 0)
    studio_cli_event_double (event, "roofline_share", roofline / op->seconds);
  json_builder_end_object (event);
}

static void
add_step (JsonBuilder             *event,
          const StudioBenchResult *self,
          const DimrBenchStep     *step)
{
  studio_cli_event_int (event, "batch", step->batch);
  studio_cli_event_int (event, "samples", step->samples);
  add_times (event, "seconds", &step->time);
  studio_cli_event_double (event, "seconds_per_picture", step->time.median / step->batch);
  studio_cli_event_double (event, "compile_seconds", step->compile_seconds);
  add_work (event, self, step->macs, step->bytes, step->time.median);
  studio_cli_event_int (event, "weights_bytes", step->param_bytes);
  studio_cli_event_int (event, "activations_bytes", step->arena_bytes);
  studio_cli_event_int (event, "device_bytes", step->device_bytes);
  if (step->n_ops == 0)
    return;
  studio_cli_event_double (event, "ops_seconds", step->ops_seconds);
  json_builder_set_member_name (event, "ops");
  json_builder_begin_array (event);
  for (guint i = 0; i < step->n_ops; i++)
    add_op (event, self, step, &step->ops[i]);
  json_builder_end_array (event);
}

static void
add_pictures (JsonBuilder             *event,
              const StudioBenchResult *self)
{
  const DimrBenchPictures *pictures = &self->pictures;

  studio_cli_event_int (event, "steps", pictures->n_steps);
  studio_cli_event_double (event, "first_preview_seconds", pictures->first_preview);
  add_times (event, "preview_seconds", &pictures->preview);
  add_times (event, "picture_seconds", &pictures->picture);
  studio_cli_event_int (event, "batch", pictures->batch);
  studio_cli_event_int (event, "pictures", pictures->n_pictures);
  studio_cli_event_double (event, "pictures_per_second", pictures->pictures_per_second);
}

void
studio_bench_print_start (const StudioBenchResult *self)
{
  JsonBuilder *event = studio_cli_event_new ("start");

  add_start (event, self);
  studio_cli_event_print (event);
}

void
studio_bench_print_peaks (const StudioBenchResult *self)
{
  JsonBuilder *event = studio_cli_event_new ("peaks");

  add_peaks (event, self);
  studio_cli_event_print (event);
}

void
studio_bench_print_step (const StudioBenchResult *self,
                         const DimrBenchStep     *step)
{
  JsonBuilder *event = studio_cli_event_new ("step");

  add_step (event, self, step);
  studio_cli_event_print (event);
}

void
studio_bench_print_pictures (const StudioBenchResult *self)
{
  JsonBuilder *event = studio_cli_event_new ("pictures");

  add_pictures (event, self);
  studio_cli_event_print (event);
}

void
studio_bench_print_done (const StudioBenchResult *self)
{
  JsonBuilder *event = studio_cli_event_new ("done");

  studio_cli_event_int (event, "peak_memory_bytes", self->peak_memory);
  studio_cli_event_print (event);
}

gboolean
studio_bench_save (const StudioBenchResult  *self,
                   const char               *path,
                   GError                  **error)
{
  g_autoptr (JsonBuilder) builder = studio_cli_event_new ("bench");
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GBytes) bytes = NULL;
  char *text;

  add_start (builder, self);
  if (self->has_peaks)
    {
      json_builder_set_member_name (builder, "peaks");
      json_builder_begin_object (builder);
      add_peaks (builder, self);
      json_builder_end_object (builder);
    }
  json_builder_set_member_name (builder, "steps");
  json_builder_begin_array (builder);
  for (guint i = 0; i < self->steps->len; i++)
    {
      json_builder_begin_object (builder);
      add_step (builder, self, &g_array_index (self->steps, DimrBenchStep, i));
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
  if (self->has_pictures)
    {
      json_builder_set_member_name (builder, "pictures");
      json_builder_begin_object (builder);
      add_pictures (builder, self);
      json_builder_end_object (builder);
    }
  studio_cli_event_int (builder, "peak_memory_bytes", self->peak_memory);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  text = json_to_string (root, TRUE);
  bytes = g_bytes_new_take (text, strlen (text));
  return dimr_file_write_atomic (path, bytes, error);
}
