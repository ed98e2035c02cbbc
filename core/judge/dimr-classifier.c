/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge/dimr-classifier.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/classes/dimr-classes.h"
#include "core/model/dimr-network.h"

#include <math.h>
#include <string.h>

/* The outputs of the plan. */
typedef enum
{
  OUTPUT_LOGITS,
  OUTPUT_FEATURES,
} Output;

struct _DimrClassifier
{
  DimrModel *model;
  DimrPlan *plan;
  DimrProgram *program;
  guint batch;
  guint n_classes;
  guint n_features;
  gsize image_len;
  int *classes;     /* [n_classes] ImageNet indices, or −1 */
  char **labels;    /* [n_classes] */
  float *pictures;  /* [batch, 3, side, side]: what the device takes is always full */
  float *values;    /* [batch, max (classes, features)] */
};

void
dimr_classifier_free (DimrClassifier *self)
{
  g_return_if_fail (self != NULL);
  g_clear_object (&self->program);
  g_clear_pointer (&self->plan, dimr_plan_unref);
  g_clear_object (&self->model);
  for (guint i = 0; self->labels != NULL && i < self->n_classes; i++)
    g_free (self->labels[i]);
  g_free (self->labels);
  g_free (self->classes);
  g_free (self->pictures);
  g_free (self->values);
  g_free (self);
}

/* WordNet ids and numbers are ImageNet's; a head of a thousand rows without names is, too. */
static int
find_class (const DimrConfig *config,
            guint             row)
{
  const char *name = config->label_names != NULL ? config->label_names[row] : NULL;
  const gsize digits = name != NULL ? strspn (name + (name[0] == 'n'), "0123456789") : 0;

  if (name == NULL)
    return config->num_classes == DIMR_N_IMAGENET_CLASSES ? (int) row : -1;
  if (digits == 0 || digits + (name[0] == 'n') != strlen (name))
    return -1;
  return dimr_classes_find (name);
}

static void
name_rows (DimrClassifier   *self,
           const DimrConfig *config)
{
  self->classes = g_new (int, self->n_classes);
  self->labels = g_new (char *, self->n_classes);
  for (guint row = 0; row < self->n_classes; row++)
    {
      self->classes[row] = find_class (config, row);
      if (self->classes[row] >= 0)
        self->labels[row] = g_strdup (dimr_classes_get (self->classes[row])->name);
      else if (config->label_names != NULL)
        self->labels[row] = g_strdup (config->label_names[row]);
      else
        self->labels[row] = g_strdup_printf ("%u", row);
    }
}

static gboolean
compile (DimrClassifier  *self,
         DimrDevice      *device,
         DimrPrecision    precision,
         GCancellable    *cancellable,
         GError         **error)
{
  const DimrConfig *config = dimr_model_peek_config (self->model);
  g_autoptr (DimrGraph) graph = dimr_network_build (config, self->batch, 1, config->image_size, config->image_size, error);
  DimrNodeId outputs[2];

  if (graph == NULL)
    return FALSE;
  outputs[OUTPUT_LOGITS] = dimr_network_find_output (graph, 0);
  outputs[OUTPUT_FEATURES] = dimr_graph_find (graph, "features");
  self->plan = dimr_plan_new (graph, outputs, G_N_ELEMENTS (outputs), device, precision, error);
  if (self->plan == NULL)
    return FALSE;
  self->program = dimr_device_compile (device, self->plan, dimr_model_peek_weights (self->model), cancellable, error);
  return self->program != NULL;
}

DimrClassifier *
dimr_classifier_new (DimrModel      *model,
                     DimrDevice     *device,
                     DimrPrecision   precision,
                     guint           batch,
                     GCancellable   *cancellable,
                     GError        **error)
{
  g_autoptr (DimrClassifier) self = NULL;
  const DimrConfig *config;

  g_return_val_if_fail (DIMR_IS_MODEL (model) && DIMR_IS_DEVICE (device) && batch > 0, NULL);

  config = dimr_model_peek_config (model);
  if (!dimr_config_is_classifier (config) || config->channels != 3)
    {
      dimr_error_set (error, DIMR_ERROR_MODEL,
                      _("“%s” does not tell what is on pictures: needed is a classifier of colour pictures, such as the one that comes "
                        "with the program"), dimr_model_get_name (model));
      return NULL;
    }
  self = g_new0 (DimrClassifier, 1);
  self->model = g_object_ref (model);
  self->batch = batch;
  self->n_classes = config->num_classes;
  self->n_features = config->vit.dim;
  self->image_len = 3 * (gsize) config->image_size * config->image_size;
  self->pictures = g_new0 (float, batch * self->image_len);
  self->values = g_new (float, (gsize) batch * MAX (self->n_classes, self->n_features));
  name_rows (self, config);
  return compile (self, device, precision, cancellable, error) ? g_steal_pointer (&self) : NULL;
}

guint
dimr_classifier_get_batch (DimrClassifier *self)
{
  return self->batch;
}

guint
dimr_classifier_get_n_classes (DimrClassifier *self)
{
  return self->n_classes;
}

guint
dimr_classifier_get_n_features (DimrClassifier *self)
{
  return self->n_features;
}

guint
dimr_classifier_get_side (DimrClassifier *self)
{
  return dimr_model_peek_config (self->model)->image_size;
}

const char *
dimr_classifier_get_label (DimrClassifier *self,
                           guint           row)
{
  g_return_val_if_fail (row < self->n_classes, NULL);
  return self->labels[row];
}

int
dimr_classifier_get_class (DimrClassifier *self,
                           guint           row)
{
  g_return_val_if_fail (row < self->n_classes, -1);
  return self->classes[row];
}

int
dimr_classifier_find_row (DimrClassifier *self,
                          int             class_index)
{
  for (guint row = 0; class_index >= 0 && row < self->n_classes; row++)
    if (self->classes[row] == class_index)
      return (int) row;
  return -1;
}

static void
softmax (const float *logits,
         guint        n,
         float       *probabilities)
{
  float top = logits[0];
  double sum = 0;

  for (guint k = 1; k < n; k++)
    top = MAX (top, logits[k]);
  for (guint k = 0; k < n; k++)
    sum += exp ((double) logits[k] - (double) top);
  for (guint k = 0; k < n; k++)
    probabilities[k] = (float) (exp ((double) logits[k] - (double) top) / sum);
}

gboolean
dimr_classifier_run (DimrClassifier  *self,
                     const float     *pictures,
                     guint            n,
                     float           *probabilities,
                     float           *features,
                     GCancellable    *cancellable,
                     GError         **error)
{
  g_return_val_if_fail (self != NULL && pictures != NULL && n > 0 && n <= self->batch, FALSE);

  memcpy (self->pictures, pictures, n * self->image_len * sizeof (float));
  dimr_program_write (self->program, dimr_plan_get_input (self->plan, "x"), self->pictures,
                      self->batch * self->image_len * sizeof (float));
  if (!dimr_program_run (self->program, cancellable, error))
    return FALSE;
  if (probabilities != NULL)
    {
      dimr_program_read (self->program, dimr_plan_get_output (self->plan, OUTPUT_LOGITS), self->values,
                         (gsize) self->batch * self->n_classes);
      for (guint i = 0; i < n; i++)
        softmax (self->values + (gsize) i * self->n_classes, self->n_classes, probabilities + (gsize) i * self->n_classes);
    }
  if (features != NULL)
    {
      dimr_program_read (self->program, dimr_plan_get_output (self->plan, OUTPUT_FEATURES), self->values,
                         (gsize) self->batch * self->n_features);
      memcpy (features, self->values, (gsize) n * self->n_features * sizeof (float));
    }
  return TRUE;
}
