/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "ui/studio-picture.h"

#include <glib/gi18n.h>

#include "ui/studio-settings.h"
#include "ui/studio-texture.h"

#define MAX_STARS 100000

struct _StudioPicture
{
  GObject parent_instance;

  DimrImage *image;
  GdkTexture *thumbnail;
  DimrRecipe *recipe;
  char *path;
  gboolean starred;
  double step_time;
  gboolean image_is_of_file; /* and can be read again */
};

enum
{
  PROP_STARRED = 1,
  PROP_THUMBNAIL,
  N_PROPS
};

G_DEFINE_FINAL_TYPE (StudioPicture, studio_picture, G_TYPE_OBJECT)

static GParamSpec *properties[N_PROPS];

static void
studio_picture_finalize (GObject *object)
{
  StudioPicture *self = STUDIO_PICTURE (object);

  g_clear_pointer (&self->image, dimr_image_unref);
  g_clear_object (&self->thumbnail);
  g_clear_pointer (&self->recipe, dimr_recipe_free);
  g_free (self->path);
  G_OBJECT_CLASS (studio_picture_parent_class)->finalize (object);
}

static void
studio_picture_get_property (GObject    *object,
                             guint       prop_id,
                             GValue     *value,
                             GParamSpec *pspec)
{
  StudioPicture *self = STUDIO_PICTURE (object);

  if (prop_id == PROP_STARRED)
    g_value_set_boolean (value, self->starred);
  else
    g_value_set_object (value, self->thumbnail);
}

static void
studio_picture_set_property (GObject      *object,
                             guint         prop_id,
                             const GValue *value,
                             GParamSpec   *pspec)
{
  studio_picture_set_starred (STUDIO_PICTURE (object), g_value_get_boolean (value));
}

static void
studio_picture_class_init (StudioPictureClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = studio_picture_finalize;
  object_class->get_property = studio_picture_get_property;
  object_class->set_property = studio_picture_set_property;
  properties[PROP_STARRED] = g_param_spec_boolean ("starred", NULL, NULL, FALSE,
                                                   G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
  properties[PROP_THUMBNAIL] = g_param_spec_object ("thumbnail", NULL, NULL, GDK_TYPE_TEXTURE,
                                                    G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
studio_picture_init (StudioPicture *self)
{
}

StudioPicture *
studio_picture_new (DimrImage        *image,
                    GdkTexture       *thumbnail,
                    const DimrRecipe *recipe,
                    const char       *path)
{
  StudioPicture *self = g_object_new (STUDIO_TYPE_PICTURE, NULL);

  g_return_val_if_fail (image || thumbnail || path, NULL);

  self->image = image ? dimr_image_ref (image) : NULL;
  if (thumbnail)
    self->thumbnail = g_object_ref (thumbnail);
  else if (image)
    self->thumbnail = studio_texture_new_thumbnail (image, STUDIO_THUMBNAIL_SIZE);
  self->recipe = recipe ? dimr_recipe_copy (recipe) : NULL;
  self->path = g_strdup (path);
  return self;
}

DimrImage *
studio_picture_peek_image (StudioPicture *self)
{
  g_return_val_if_fail (STUDIO_IS_PICTURE (self), NULL);
  return self->image;
}

void
studio_picture_set_image (StudioPicture    *self,
                          DimrImage        *image,
                          const DimrRecipe *recipe)
{
  g_return_if_fail (STUDIO_IS_PICTURE (self));

  dimr_image_ref (image);
  g_clear_pointer (&self->image, dimr_image_unref);
  self->image = image;
  self->image_is_of_file = self->path != NULL;
  if (!self->recipe && recipe)
    self->recipe = dimr_recipe_copy (recipe);
}

void
studio_picture_release_image (StudioPicture *self)
{
  g_return_if_fail (STUDIO_IS_PICTURE (self));

  if (self->image_is_of_file)
    g_clear_pointer (&self->image, dimr_image_unref);
}

void
studio_picture_set_thumbnail (StudioPicture    *self,
                              GdkTexture       *thumbnail,
                              const DimrRecipe *recipe)
{
  g_return_if_fail (STUDIO_IS_PICTURE (self));

  if (!self->recipe && recipe)
    self->recipe = dimr_recipe_copy (recipe);
  if (g_set_object (&self->thumbnail, thumbnail))
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_THUMBNAIL]);
}

GdkTexture *
studio_picture_get_thumbnail (StudioPicture *self)
{
  g_return_val_if_fail (STUDIO_IS_PICTURE (self), NULL);
  return self->thumbnail;
}

const DimrRecipe *
studio_picture_peek_recipe (StudioPicture *self)
{
  g_return_val_if_fail (STUDIO_IS_PICTURE (self), NULL);
  return self->recipe;
}

const char *
studio_picture_peek_path (StudioPicture *self)
{
  g_return_val_if_fail (STUDIO_IS_PICTURE (self), NULL);
  return self->path;
}

char *
studio_picture_dup_title (StudioPicture *self)
{
  g_autofree char *seed = NULL;

  g_return_val_if_fail (STUDIO_IS_PICTURE (self), NULL);

  if (self->recipe)
    seed = g_strdup_printf ("%" G_GUINT64_FORMAT, self->recipe->seed);
  if (seed && self->recipe->class_name)
    /* Translators: a class such as “lion”, and the seed of the picture. */
    return g_strdup_printf (_("%s, seed %s"), self->recipe->class_name, seed);
  if (seed)
    return g_strdup_printf (_("Seed %s"), seed);
  return self->path ? g_filename_display_basename (self->path) : g_strdup (_("Picture"));
}

gboolean
studio_picture_get_starred (StudioPicture *self)
{
  g_return_val_if_fail (STUDIO_IS_PICTURE (self), FALSE);
  return self->starred;
}

void
studio_picture_set_starred (StudioPicture *self,
                            gboolean       starred)
{
  g_return_if_fail (STUDIO_IS_PICTURE (self));

  if (starred == self->starred)
    return;
  self->starred = starred;
  if (self->path && starred)
    {
      studio_settings_prepend_string ("starred-pictures", self->path, MAX_STARS);
    }
  else if (self->path)
    {
      g_auto(GStrv) stars = g_settings_get_strv (studio_settings_get (), "starred-pictures");
      g_autoptr(GPtrArray) left = g_ptr_array_new ();

      for (guint i = 0; stars[i]; i++)
        if (g_strcmp0 (stars[i], self->path) != 0)
          g_ptr_array_add (left, stars[i]);
      g_ptr_array_add (left, NULL);
      g_settings_set_strv (studio_settings_get (), "starred-pictures", (const char * const *) left->pdata);
    }
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STARRED]);
}

double
studio_picture_get_step_time (StudioPicture *self)
{
  g_return_val_if_fail (STUDIO_IS_PICTURE (self), 0);
  return self->step_time;
}

void
studio_picture_set_step_time (StudioPicture *self,
                              double         seconds)
{
  g_return_if_fail (STUDIO_IS_PICTURE (self));
  self->step_time = seconds;
}

/* --- A folder of pictures --- */

typedef struct
{
  char *folder;
  GHashTable *starred; /* set of paths */
} ReadData;

typedef struct
{
  char *path;
  gint64 time;
} Candidate;

static void
read_data_free (gpointer data)
{
  ReadData *read = data;

  g_free (read->folder);
  g_hash_table_unref (read->starred);
  g_free (read);
}

static void
candidate_clear (gpointer data)
{
  g_free (((Candidate *) data)->path);
}

static int
compare_candidates (gconstpointer a,
                    gconstpointer b)
{
  const Candidate *x = a, *y = b;

  if (x->time != y->time)
    return x->time < y->time ? 1 : -1;
  /* Pictures of one batch share their time; names count upwards. */
  return -g_strcmp0 (x->path, y->path);
}

/* NULL and no error where the folder does not exist. */
static GArray *
list_pngs (const char    *folder,
           GCancellable  *cancellable,
           GError       **error)
{
  g_autoptr(GFile) file = g_file_new_for_path (folder);
  g_autoptr(GFileEnumerator) children = NULL;
  g_autoptr(GArray) list = g_array_new (FALSE, FALSE, sizeof (Candidate));
  g_autoptr(GError) local_error = NULL;
  GFileInfo *info;
  GFile *child;

  g_array_set_clear_func (list, candidate_clear);
  children = g_file_enumerate_children (file, "standard::name,standard::type,time::modified,time::modified-usec",
                                        G_FILE_QUERY_INFO_NONE, cancellable, &local_error);
  if (!children)
    {
      if (!g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }

  while (g_file_enumerator_iterate (children, &info, &child, cancellable, error) && info)
    if (g_file_info_get_file_type (info) == G_FILE_TYPE_REGULAR && g_str_has_suffix (g_file_info_get_name (info), ".png"))
      {
        g_autoptr(GDateTime) time = g_file_info_get_modification_date_time (info);
        Candidate candidate = { g_file_get_path (child), 0 };

        if (time)
          candidate.time = g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time);
        g_array_append_val (list, candidate);
      }
  if (error && *error)
    return NULL;
  g_array_sort (list, compare_candidates);
  return g_steal_pointer (&list);
}

static void
read_in_thread (GTask        *task,
                gpointer      source,
                gpointer      task_data,
                GCancellable *cancellable)
{
  ReadData *read = task_data;
  g_autoptr(GPtrArray) pictures = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GArray) list = NULL;
  GError *error = NULL;

  list = list_pngs (read->folder, cancellable, &error);
  if (error)
    {
      g_task_return_error (task, error);
      return;
    }

  for (guint i = 0; list && i < list->len; i++)
    {
      const char *path = g_array_index (list, Candidate, i).path;
      StudioPicture *picture;

      if (g_task_return_error_if_cancelled (task))
        return;
      picture = studio_picture_new (NULL, NULL, NULL, path);
      picture->starred = g_hash_table_contains (read->starred, path);
      g_ptr_array_add (pictures, picture);
    }
  g_task_return_pointer (task, g_steal_pointer (&pictures), (GDestroyNotify) g_ptr_array_unref);
}

void
studio_pictures_read_async (const char          *folder,
                            GCancellable        *cancellable,
                            GAsyncReadyCallback  callback,
                            gpointer             user_data)
{
  g_autoptr(GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_auto(GStrv) stars = g_settings_get_strv (studio_settings_get (), "starred-pictures");
  ReadData *read = g_new0 (ReadData, 1);

  read->folder = g_strdup (folder);
  read->starred = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; stars[i]; i++)
    g_hash_table_add (read->starred, g_strdup (stars[i]));
  g_task_set_source_tag (task, studio_pictures_read_async);
  g_task_set_task_data (task, read, read_data_free);
  g_task_run_in_thread (task, read_in_thread);
}

GPtrArray *
studio_pictures_read_finish (GAsyncResult  *result,
                             GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
