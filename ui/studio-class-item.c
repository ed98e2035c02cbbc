/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-class-item.h"

struct _StudioClassItem
{
  GObject parent_instance;

  int index;
  char *heading;
  gboolean flags[3];
};

enum
{
  PROP_CHOSEN = 1,
  PROP_FAVOURITE,
  PROP_UNSEEN,
  N_PROPS
};

G_DEFINE_FINAL_TYPE (StudioClassItem, studio_class_item, G_TYPE_OBJECT)

static GParamSpec *properties[N_PROPS];

static void
studio_class_item_finalize (GObject *object)
{
  g_free (STUDIO_CLASS_ITEM (object)->heading);
  G_OBJECT_CLASS (studio_class_item_parent_class)->finalize (object);
}

static void
studio_class_item_get_property (GObject    *object,
                                guint       prop_id,
                                GValue     *value,
                                GParamSpec *pspec)
{
  g_value_set_boolean (value, STUDIO_CLASS_ITEM (object)->flags[prop_id - 1]);
}

static void
studio_class_item_set_property (GObject      *object,
                                guint         prop_id,
                                const GValue *value,
                                GParamSpec   *pspec)
{
  gboolean *flag = &STUDIO_CLASS_ITEM (object)->flags[prop_id - 1];

  if (*flag == g_value_get_boolean (value))
    return;
  *flag = g_value_get_boolean (value);
  g_object_notify_by_pspec (object, pspec);
}

static void
studio_class_item_class_init (StudioClassItemClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  static const char * const names[N_PROPS] = { NULL, "chosen", "favourite", "unseen" };

  object_class->finalize = studio_class_item_finalize;
  object_class->get_property = studio_class_item_get_property;
  object_class->set_property = studio_class_item_set_property;
  for (guint i = 1; i < N_PROPS; i++)
    properties[i] = g_param_spec_boolean (names[i], NULL, NULL, FALSE,
                                          G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
studio_class_item_init (StudioClassItem *self)
{
  self->index = -1;
}

StudioClassItem *
studio_class_item_new (int class_index)
{
  StudioClassItem *self = g_object_new (STUDIO_TYPE_CLASS_ITEM, NULL);

  self->index = class_index;
  return self;
}

StudioClassItem *
studio_class_item_new_heading (const char *heading)
{
  StudioClassItem *self = g_object_new (STUDIO_TYPE_CLASS_ITEM, NULL);

  self->heading = g_strdup (heading);
  return self;
}

int
studio_class_item_get_index (StudioClassItem *self)
{
  g_return_val_if_fail (STUDIO_IS_CLASS_ITEM (self), -1);
  return self->index;
}

const char *
studio_class_item_get_heading (StudioClassItem *self)
{
  g_return_val_if_fail (STUDIO_IS_CLASS_ITEM (self), NULL);
  return self->heading;
}

gboolean
studio_class_item_get_chosen (StudioClassItem *self)
{
  g_return_val_if_fail (STUDIO_IS_CLASS_ITEM (self), FALSE);
  return self->flags[PROP_CHOSEN - 1];
}
