/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-details.h"

#include <glib/gi18n.h>

#include "ui/studio-format.h"
#include "ui/studio-markdown.h"

typedef enum
{
  ROW_SEED,
  ROW_INDEX,
  ROW_STEPS,
  ROW_TIME,
  ROW_GUIDANCE,
  ROW_SAMPLER,
  ROW_PRECISION,
  ROW_MICRO_BATCH,
  ROW_FASTER,
  ROW_SIZE,
  ROW_MODEL,
  ROW_AUTOENCODER,
  ROW_DEVICE,
  ROW_FILE,
  N_ROWS
} Row;

struct _StudioDetails
{
  GtkBox parent_instance;

  GtkStack *stack;
  GtkLabel *title;
  GtkLabel *subtitle;
  GtkWidget *actions;
  GtkToggleButton *star_button;
  GtkWidget *save_button;
  GtkWidget *copy_button;
  GtkWidget *trash_button;
  GtkGrid *grid;
  GtkExpander *text_expander;
  GtkLabel *text;
  GtkWidget *model_box;
  GtkLabel *model_name;
  GtkLabel *model_summary;
  GtkExpander *card_expander;
  GtkLabel *card;

  GtkWidget *names[N_ROWS];
  GtkLabel *values[N_ROWS];
  StudioPicture *picture;
};

G_DEFINE_FINAL_TYPE (StudioDetails, studio_details, GTK_TYPE_BOX)

static void
set_row (StudioDetails *self,
         Row            row,
         const char    *text)
{
  gtk_label_set_text (self->values[row], text ? text : "");
  gtk_widget_set_visible (GTK_WIDGET (self->names[row]), text != NULL);
  gtk_widget_set_visible (gtk_widget_get_parent (GTK_WIDGET (self->values[row])), text != NULL);
}

G_GNUC_PRINTF (3, 4)
static void
set_row_f (StudioDetails *self,
           Row            row,
           const char    *format,
           ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  set_row (self, row, text);
}

/* What was left out; NULL where nothing was. */
static char *
describe_faster (const DimrRecipe *recipe)
{
  g_autofree char *low = NULL;

  if (recipe->reuse_low_branches > 1)
    /* Translators: every %u-th step. */
    low = g_strdup_printf (_("lower branches every %u steps"), recipe->reuse_low_branches);
  if (recipe->skip_unconditional && low)
    return g_strdup_printf (_("no unconditional half near 1, %s"), low);
  if (recipe->skip_unconditional)
    return g_strdup (_("no unconditional half near 1"));
  return g_steal_pointer (&low);
}

static void
show_recipe (StudioDetails    *self,
             const DimrRecipe *recipe)
{
  g_autofree char *subtitle = NULL;
  g_autofree char *parameters = dimr_recipe_to_parameters (recipe);
  g_autofree char *guidance = studio_format_guidance (&recipe->guidance);
  g_autofree char *faster = describe_faster (recipe);
  const DimrClass *class = NULL;

  if (recipe->class_index >= 0 && recipe->class_index < DIMR_N_IMAGENET_CLASSES)
    class = dimr_classes_get (recipe->class_index);
  if (class)
    subtitle = g_strdup_printf (_("Class %d · %s"), class->index, class->wnid);
  gtk_label_set_text (self->title, class ? class->name : recipe->class_name ? recipe->class_name : _("Picture without a class"));
  gtk_label_set_text (self->subtitle, subtitle ? subtitle : "");

  set_row_f (self, ROW_SEED, "%" G_GUINT64_FORMAT, recipe->seed);
  if (recipe->image_index > 0)
    set_row_f (self, ROW_INDEX, "%" G_GUINT64_FORMAT, recipe->image_index + 1);
  else
    set_row (self, ROW_INDEX, NULL);
  set_row (self, ROW_GUIDANCE, guidance);
  if (recipe->options.eta > 0)
    set_row_f (self, ROW_SAMPLER, _("%s, eta %g"), dimr_sampler_kind_get_label (recipe->sampler), recipe->options.eta);
  else
    set_row (self, ROW_SAMPLER, dimr_sampler_kind_get_label (recipe->sampler));
  set_row (self, ROW_PRECISION, recipe->precision == DIMR_PRECISION_BF16 ? "bfloat16" :
                                recipe->precision == DIMR_PRECISION_F8 ? "float8" :
                                recipe->precision == DIMR_PRECISION_F32 ? _("32-bit float") : _("the device's"));
  if (recipe->micro_batch > 1)
    set_row_f (self, ROW_MICRO_BATCH, ngettext ("%u image", "%u images", recipe->micro_batch), recipe->micro_batch);
  else
    set_row (self, ROW_MICRO_BATCH, NULL);
  set_row (self, ROW_FASTER, faster);
  set_row_f (self, ROW_SIZE, "%u × %u", recipe->width, recipe->height);
  set_row (self, ROW_MODEL, recipe->model_name);
  set_row (self, ROW_AUTOENCODER, recipe->autoencoder_name);
  set_row (self, ROW_DEVICE, recipe->device);
  gtk_label_set_text (self->text, parameters);
  gtk_widget_set_visible (GTK_WIDGET (self->text_expander), TRUE);
  gtk_stack_set_visible_child_name (self->stack, "picture");
}

static void
on_copy_text (StudioDetails *self)
{
  gdk_clipboard_set_text (gtk_widget_get_clipboard (GTK_WIDGET (self)), gtk_label_get_text (self->text));
}

static void
on_copy_seed (StudioDetails *self)
{
  gdk_clipboard_set_text (gtk_widget_get_clipboard (GTK_WIDGET (self)), gtk_label_get_text (self->values[ROW_SEED]));
}

static void
on_star_changed (StudioDetails *self)
{
  gboolean starred = self->picture && studio_picture_get_starred (self->picture);

  gtk_toggle_button_set_active (self->star_button, starred);
  gtk_button_set_icon_name (GTK_BUTTON (self->star_button), starred ? "starred-symbolic" : "non-starred-symbolic");
}

/* --- Building --- */

static GtkWidget *
small_button (const char *icon,
              const char *name)
{
  GtkWidget *button = gtk_button_new_from_icon_name (icon);

  gtk_widget_add_css_class (button, "flat");
  gtk_widget_add_css_class (button, "circular");
  gtk_widget_add_css_class (button, "small-button");
  gtk_widget_set_tooltip_text (button, name);
  gtk_widget_set_valign (button, GTK_ALIGN_CENTER);
  gtk_accessible_update_property (GTK_ACCESSIBLE (button), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
  return button;
}

static void
add_rows (StudioDetails *self)
{
  static const char * const names[N_ROWS] = {
    [ROW_SEED] = N_("Seed"),
    [ROW_INDEX] = N_("Picture of the seed"),
    [ROW_STEPS] = N_("Steps"),
    [ROW_TIME] = N_("Time"),
    [ROW_GUIDANCE] = N_("Guidance"),
    [ROW_SAMPLER] = N_("Sampler"),
    [ROW_PRECISION] = N_("Precision"),
    [ROW_MICRO_BATCH] = N_("Per evaluation"),
    [ROW_FASTER] = N_("Not exact"),
    [ROW_SIZE] = N_("Size"),
    [ROW_MODEL] = N_("Model"),
    [ROW_AUTOENCODER] = N_("Autoencoder"),
    [ROW_DEVICE] = N_("Device"),
    [ROW_FILE] = N_("File"),
  };

  for (guint i = 0; i < N_ROWS; i++)
    {
      GtkWidget *name = gtk_label_new (_(names[i]));
      GtkWidget *value = gtk_label_new (NULL);
      GtkWidget *box = gtk_box_new (GTK_ORIENTATION_HORIZONTAL, 0);

      gtk_label_set_xalign (GTK_LABEL (name), 0);
      gtk_widget_set_valign (name, GTK_ALIGN_BASELINE);
      gtk_widget_add_css_class (name, "dim-label");
      gtk_widget_add_css_class (name, "caption");
      gtk_label_set_wrap (GTK_LABEL (name), TRUE);
      gtk_label_set_max_width_chars (GTK_LABEL (name), 10);

      gtk_label_set_xalign (GTK_LABEL (value), 0);
      gtk_label_set_wrap (GTK_LABEL (value), TRUE);
      gtk_label_set_wrap_mode (GTK_LABEL (value), PANGO_WRAP_WORD_CHAR);
      /* The pane keeps its width whatever a file is called. */
      gtk_label_set_max_width_chars (GTK_LABEL (value), 22);
      gtk_widget_add_css_class (value, "numeric");
      gtk_widget_set_hexpand (value, TRUE);
      gtk_widget_set_valign (box, GTK_ALIGN_BASELINE);
      gtk_box_append (GTK_BOX (box), value);
      gtk_grid_attach (self->grid, name, 0, i, 1, 1);
      gtk_grid_attach (self->grid, box, 1, i, 1, 1);
      self->names[i] = name;
      self->values[i] = GTK_LABEL (value);

      if (i == ROW_SEED)
        {
          GtkWidget *reuse = small_button ("media-playlist-repeat-symbolic", _("Use this seed for the next pictures (S)"));
          GtkWidget *copy = small_button ("edit-copy-symbolic", _("Copy the seed"));

          gtk_actionable_set_action_name (GTK_ACTIONABLE (reuse), "win.reuse-seed");
          g_signal_connect_swapped (copy, "clicked", G_CALLBACK (on_copy_seed), self);
          gtk_box_append (GTK_BOX (box), reuse);
          gtk_box_append (GTK_BOX (box), copy);
        }
    }
}

static void
studio_details_dispose (GObject *object)
{
  StudioDetails *self = STUDIO_DETAILS (object);
  GtkWidget *child;

  if (self->picture)
    g_signal_handlers_disconnect_by_data (self->picture, self);
  g_clear_object (&self->picture);
  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self))))
    gtk_box_remove (GTK_BOX (self), child);
  G_OBJECT_CLASS (studio_details_parent_class)->dispose (object);
}

static void
studio_details_class_init (StudioDetailsClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = studio_details_dispose;
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_GROUP);
  gtk_widget_class_set_template_from_resource (widget_class, "/io/github/dimr_studio/DimrStudio/ui/studio-details.ui");
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, stack);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, title);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, subtitle);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, actions);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, star_button);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, save_button);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, copy_button);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, trash_button);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, grid);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, text_expander);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, text);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, model_box);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, model_name);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, model_summary);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, card_expander);
  gtk_widget_class_bind_template_child (widget_class, StudioDetails, card);
  gtk_widget_class_bind_template_callback (widget_class, on_copy_text);
}

static void
name_widget (gpointer    widget,
             const char *name)
{
  gtk_accessible_update_property (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static void
studio_details_init (StudioDetails *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  add_rows (self);
  name_widget (self->star_button, _("Star"));
  name_widget (self->save_button, _("Save as"));
  name_widget (self->copy_button, _("Copy the picture"));
  name_widget (self->trash_button, _("Move to the trash"));
  name_widget (self->text_expander, _("Metadata"));
  name_widget (self->card_expander, _("Model card"));
  name_widget (self->text, _("Metadata text"));
  name_widget (self->card, _("Model card text"));
  studio_details_show_picture (self, NULL);
}

void
studio_details_show_picture (StudioDetails *self,
                             StudioPicture *picture)
{
  const DimrRecipe *recipe;
  const char *path;

  g_return_if_fail (STUDIO_IS_DETAILS (self));

  if (self->picture)
    g_signal_handlers_disconnect_by_data (self->picture, self);
  g_set_object (&self->picture, picture);
  if (!picture)
    {
      gtk_stack_set_visible_child_name (self->stack, "empty");
      return;
    }
  g_signal_connect_swapped (picture, "notify::starred", G_CALLBACK (on_star_changed), self);
  on_star_changed (self);

  gtk_widget_set_visible (self->actions, TRUE);
  recipe = studio_picture_peek_recipe (picture);
  if (recipe)
    {
      show_recipe (self, recipe);
      set_row_f (self, ROW_STEPS, "%u", recipe->n_steps);
    }
  else
    {
      g_autofree char *title = studio_picture_dup_title (picture);

      gtk_label_set_text (self->title, title);
      gtk_label_set_text (self->subtitle, _("No settings are stored in this picture"));
      for (guint i = 0; i < N_ROWS; i++)
        set_row (self, i, NULL);
      gtk_widget_set_visible (GTK_WIDGET (self->text_expander), FALSE);
      gtk_stack_set_visible_child_name (self->stack, "picture");
    }

  if (studio_picture_get_step_time (picture) > 0 && recipe)
    {
      g_autofree char *step = studio_format_seconds (studio_picture_get_step_time (picture));
      g_autofree char *all = studio_format_seconds (studio_picture_get_step_time (picture) * recipe->n_steps);

      /* Translators: the time of all steps, and of one. */
      set_row_f (self, ROW_TIME, _("%s, %s a step"), all, step);
    }
  else
    {
      set_row (self, ROW_TIME, NULL);
    }

  path = studio_picture_peek_path (picture);
  if (path)
    {
      g_autofree char *name = g_filename_display_basename (path), *whole = g_filename_display_name (path);

      set_row (self, ROW_FILE, name);
      gtk_widget_set_tooltip_text (GTK_WIDGET (self->values[ROW_FILE]), whole);
    }
  else
    {
      set_row (self, ROW_FILE, NULL);
    }
}

void
studio_details_show_job (StudioDetails *self,
                         DimrJob       *job,
                         guint          index)
{
  g_autoptr(DimrRecipe) recipe = NULL;
  double step_time;

  g_return_if_fail (STUDIO_IS_DETAILS (self));
  g_return_if_fail (DIMR_IS_JOB (job));

  if (self->picture)
    g_signal_handlers_disconnect_by_data (self->picture, self);
  g_clear_object (&self->picture);

  recipe = dimr_job_dup_recipe (job, index);
  show_recipe (self, recipe);
  /* Nothing can be done with a picture that is not one yet. */
  gtk_widget_set_visible (self->actions, FALSE);
  set_row_f (self, ROW_STEPS, _("%u of %u"), dimr_job_get_step (job), recipe->n_steps);
  step_time = dimr_job_get_seconds_per_step (job);
  if (step_time > 0)
    {
      g_autofree char *step = studio_format_seconds (step_time);

      set_row_f (self, ROW_TIME, _("%s a step"), step);
    }
  else
    {
      set_row (self, ROW_TIME, NULL);
    }
  set_row (self, ROW_FILE, NULL);
}

void
studio_details_set_model (StudioDetails *self,
                          DimrModel     *model)
{
  const char *card;

  g_return_if_fail (STUDIO_IS_DETAILS (self));

  gtk_widget_set_visible (self->model_box, model != NULL);
  if (!model)
    return;
  gtk_label_set_text (self->model_name, dimr_model_get_name (model));
  gtk_label_set_text (self->model_summary, dimr_model_get_summary (model));
  card = dimr_model_get_card (model);
  gtk_widget_set_visible (GTK_WIDGET (self->card_expander), card != NULL);
  if (card)
    {
      g_autofree char *markup = studio_markdown_to_markup (card);

      gtk_label_set_markup (self->card, markup);
    }
}

void
studio_details_toggle_text (StudioDetails *self)
{
  g_return_if_fail (STUDIO_IS_DETAILS (self));
  gtk_expander_set_expanded (self->text_expander, !gtk_expander_get_expanded (self->text_expander));
}
