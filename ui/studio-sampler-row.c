/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-sampler-row.h"

#include <glib/gi18n.h>

#include "ui/studio-number-row.h"

struct _StudioSamplerRow
{
  GtkBox parent_instance;

  GtkDropDown *dropdown;
  GtkLabel *explanation;
  StudioNumberRow *eta_row;
  GtkCheckButton *clip_check;
};

enum
{
  CHANGED,
  N_SIGNALS
};

G_DEFINE_FINAL_TYPE (StudioSamplerRow, studio_sampler_row, GTK_TYPE_BOX)

static guint signals[N_SIGNALS];

static const char * const explanations[DIMR_N_SAMPLERS] = {
  [DIMR_SAMPLER_DPM_SOLVER_FAST] = N_("Good pictures from few steps; what DiMR and U-ViT were evaluated with"),
  [DIMR_SAMPLER_DPM_SOLVER_2M] = N_("Second order from the steps before: steady from 15 steps on"),
  [DIMR_SAMPLER_DPM_SOLVER_3M] = N_("Third order from the steps before: a little finer at 20 steps and more"),
  [DIMR_SAMPLER_DDPM] = N_("New noise in every step, so many steps: what DiT was evaluated with, 250 of them"),
  [DIMR_SAMPLER_DDIM] = N_("First order and simple; with eta it adds noise in every step, as DDPM does"),
};

static void
update (StudioSamplerRow *self)
{
  DimrSamplerKind kind = studio_sampler_row_get_kind (self);

  gtk_label_set_text (self->explanation, _(explanations[kind]));
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->dropdown), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Sampler"),
                                  GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, _(explanations[kind]), -1);
  gtk_widget_set_visible (GTK_WIDGET (self->eta_row), kind == DIMR_SAMPLER_DDIM);
  gtk_widget_set_visible (GTK_WIDGET (self->clip_check), dimr_sampler_kind_has_options (kind));
}

static void
on_changed (StudioSamplerRow *self)
{
  /* Signals of children come while the template is still being built, and while it is taken down. */
  if (!self->clip_check)
    return;
  update (self);
  g_signal_emit (self, signals[CHANGED], 0);
}

static void
studio_sampler_row_dispose (GObject *object)
{
  StudioSamplerRow *self = STUDIO_SAMPLER_ROW (object);
  GtkWidget *child;

  self->clip_check = NULL;
  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self))))
    gtk_box_remove (GTK_BOX (self), child);
  G_OBJECT_CLASS (studio_sampler_row_parent_class)->dispose (object);
}

static void
studio_sampler_row_class_init (StudioSamplerRowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  g_type_ensure (STUDIO_TYPE_NUMBER_ROW);
  G_OBJECT_CLASS (klass)->dispose = studio_sampler_row_dispose;
  signals[CHANGED] = g_signal_new ("changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                   G_TYPE_NONE, 0);

  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-sampler-row.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioSamplerRow, dropdown);
  gtk_widget_class_bind_template_child (widget_class, StudioSamplerRow, explanation);
  gtk_widget_class_bind_template_child (widget_class, StudioSamplerRow, eta_row);
  gtk_widget_class_bind_template_child (widget_class, StudioSamplerRow, clip_check);
  gtk_widget_class_bind_template_callback (widget_class, on_changed);
}

static void
studio_sampler_row_init (StudioSamplerRow *self)
{
  g_autoptr(GtkStringList) samplers = gtk_string_list_new (NULL);

  gtk_widget_init_template (GTK_WIDGET (self));
  for (guint i = 0; i < DIMR_N_SAMPLERS; i++)
    gtk_string_list_append (samplers, dimr_sampler_kind_get_label (i));
  gtk_drop_down_set_model (self->dropdown, G_LIST_MODEL (samplers));
  update (self);
}

DimrSamplerKind
studio_sampler_row_get_kind (StudioSamplerRow *self)
{
  g_return_val_if_fail (STUDIO_IS_SAMPLER_ROW (self), DIMR_SAMPLER_DPM_SOLVER_FAST);

  /* Nothing is chosen while the list is being made. */
  return MIN (gtk_drop_down_get_selected (self->dropdown), DIMR_N_SAMPLERS) % DIMR_N_SAMPLERS;
}

void
studio_sampler_row_set_kind (StudioSamplerRow *self,
                             DimrSamplerKind   kind)
{
  g_return_if_fail (STUDIO_IS_SAMPLER_ROW (self));
  gtk_drop_down_set_selected (self->dropdown, kind);
}

DimrSamplerOptions
studio_sampler_row_get_options (StudioSamplerRow *self)
{
  DimrSamplerOptions options = { 0, FALSE };
  DimrSamplerKind kind;

  g_return_val_if_fail (STUDIO_IS_SAMPLER_ROW (self), options);

  kind = studio_sampler_row_get_kind (self);
  if (kind == DIMR_SAMPLER_DDIM)
    options.eta = studio_number_row_get_value (self->eta_row);
  options.clip = dimr_sampler_kind_has_options (kind) && gtk_check_button_get_active (self->clip_check);
  return options;
}

void
studio_sampler_row_set_options (StudioSamplerRow         *self,
                                const DimrSamplerOptions *options)
{
  g_return_if_fail (STUDIO_IS_SAMPLER_ROW (self) && options != NULL);
  studio_number_row_set_value (self->eta_row, options->eta);
  gtk_check_button_set_active (self->clip_check, options->clip);
}

gboolean
studio_sampler_row_check (StudioSamplerRow *self)
{
  g_return_val_if_fail (STUDIO_IS_SAMPLER_ROW (self), FALSE);
  return studio_sampler_row_get_kind (self) != DIMR_SAMPLER_DDIM || studio_number_row_check (self->eta_row);
}
