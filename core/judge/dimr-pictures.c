/* SPDX-License-Identifier: Apache-2.0 */
#include "core/judge/dimr-pictures.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/classes/dimr-classes.h"
#include "core/image/dimr-photo.h"
#include "core/image/dimr-png.h"

#include <string.h>

GPtrArray *
dimr_pictures_list (const char * const  *paths,
                    GCancellable        *cancellable,
                    GError             **error)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; paths[i] != NULL; i++)
    {
      const guint n = files->len;

      if (!g_file_test (paths[i], G_FILE_TEST_IS_DIR))
        {
          if (!g_file_test (paths[i], G_FILE_TEST_EXISTS))
            {
              dimr_error_set (error, DIMR_ERROR_FILE, _("There is no file or folder “%s”"), paths[i]);
              return NULL;
            }
          g_ptr_array_add (files, g_strdup (paths[i]));
          continue;
        }
      if (!dimr_photo_list_folder (paths[i], files, cancellable, error))
        return NULL;
      if (files->len == n)
        {
          dimr_error_set (error, DIMR_ERROR_REQUEST, _("“%s” holds no JPEG or PNG pictures"), paths[i]);
          return NULL;
        }
    }
  return g_steal_pointer (&files);
}

/* The class in the recipe, or the WordNet id that the folder is called. */
static int
find_asked (const char *path,
            GBytes     *bytes)
{
  g_autoptr (DimrRecipe) recipe = dimr_png_read_recipe (bytes, NULL);
  g_autofree char *folder = g_path_get_dirname (path), *name = g_path_get_basename (folder);

  if (recipe != NULL)
    return recipe->class_index;
  if (name[0] != 'n' || strlen (name) != 9 || strspn (name + 1, "0123456789") != 8)
    return -1;
  return dimr_classes_find (name);
}

/* @image with no more than @side pixels a side, cut to a square (transfer full). */
static DimrImage *
reduce (DimrImage *image,
        guint      side)
{
  const gsize n = (gsize) side * side;
  g_autofree guint8 *planes = g_malloc (3 * n), *pixels = g_malloc (4 * n);
  g_autoptr (GBytes) bytes = NULL;

  dimr_photo_fit (image, side, planes);
  for (gsize i = 0; i < n; i++)
    {
      for (guint c = 0; c < 3; c++)
        pixels[4 * i + c] = planes[c * n + i];
      pixels[4 * i + 3] = 255;
    }
  bytes = g_bytes_new_take (g_steal_pointer (&pixels), 4 * n);
  return dimr_image_new (side, side, bytes);
}

static guint
get_shorter_side (const DimrImage *image)
{
  return MIN (dimr_image_get_width (image), dimr_image_get_height (image));
}

/* A picture that fill_batch() reads for somebody. */
typedef struct
{
  int asked;
  guint side;
  guint file;
} Read;

/* @picture: [3, side, side] in [−1, 1]. @most: pixels a side that it is brought down to before, or 0. */
static gboolean
read_picture (const char  *path,
              guint        side,
              guint        most,
              float       *picture,
              Read        *read,
              GError     **error)
{
  const gsize n = 3 * (gsize) side * side;
  g_autofree guint8 *planes = g_malloc (n);
  g_autofree char *name = g_strdup_printf ("“%s”", path), *content = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (DimrImage) image = NULL;
  g_autoptr (GError) reason = NULL;
  gsize size;

  if (!g_file_get_contents (path, &content, &size, &reason))
    {
      dimr_error_set (error, DIMR_ERROR_FILE, _("“%s” could not be read: %s."), path, reason->message);
      return FALSE;
    }
  bytes = g_bytes_new_take (g_steal_pointer (&content), size);
  image = dimr_photo_decode (bytes, name, side, error);
  if (image == NULL)
    return FALSE;
  if (most > 0 && most < get_shorter_side (image))
    {
      DimrImage *smaller = reduce (image, most);

      dimr_image_unref (image);
      image = smaller;
    }
  dimr_photo_fit (image, side, planes);
  for (gsize i = 0; i < n; i++)
    picture[i] = (float) planes[i] / 127.5f - 1;
  read->asked = find_asked (path, bytes);
  read->side = MIN (get_shorter_side (image), side);
  return TRUE;
}

/* Reads pictures from file @first on until the batch is full. Returns the file to go on
 * with, or −1 for an error. */
static gint64
fill_batch (DimrClassifier  *classifier,
            GPtrArray       *paths,
            guint            first,
            guint            most,
            float           *pictures,
            Read            *reads,
            guint           *n,
            DimrSkipFunc     skip,
            gpointer         user_data,
            GCancellable    *cancellable,
            GError         **error)
{
  const guint side = dimr_classifier_get_side (classifier), batch = dimr_classifier_get_batch (classifier);
  const gsize image_len = 3 * (gsize) side * side;
  guint file;

  *n = 0;
  for (file = first; file < paths->len && *n < batch; file++)
    {
      g_autoptr (GError) reason = NULL;

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return -1;
      if (read_picture (g_ptr_array_index (paths, file), side, most, pictures + *n * image_len, &reads[*n], &reason))
        {
          reads[(*n)++].file = file;
          continue;
        }
      if (skip == NULL)
        {
          g_propagate_error (error, g_steal_pointer (&reason));
          return -1;
        }
      skip (g_ptr_array_index (paths, file), reason, user_data);
    }
  return file;
}

gboolean
dimr_pictures_judge (DimrClassifier     *classifier,
                     GPtrArray          *paths,
                     guint               side,
                     DimrJudgementFunc   func,
                     DimrSkipFunc        skip,
                     gpointer            user_data,
                     GCancellable       *cancellable,
                     GError            **error)
{
  const guint size = dimr_classifier_get_side (classifier), batch = dimr_classifier_get_batch (classifier);
  const guint n_classes = dimr_classifier_get_n_classes (classifier), n_features = dimr_classifier_get_n_features (classifier);
  g_autofree float *pictures = g_new (float, batch * 3 * (gsize) size * size), *features = g_new (float, (gsize) batch * n_features);
  g_autofree float *probabilities = g_new (float, (gsize) batch * n_classes);
  g_autofree Read *reads = g_new (Read, batch);
  gint64 next = 0;
  guint n, n_judged = 0;

  while (next < paths->len)
    {
      next = fill_batch (classifier, paths, (guint) next, side, pictures, reads, &n, skip, user_data, cancellable, error);
      if (next < 0 || (n > 0 && !dimr_classifier_run (classifier, pictures, n, probabilities, features, cancellable, error)))
        return FALSE;
      for (guint i = 0; i < n; i++)
        func (&(DimrJudgement){ .index = reads[i].file, .n = paths->len, .path = g_ptr_array_index (paths, reads[i].file),
                                .asked = reads[i].asked, .side = reads[i].side,
                                .probabilities = probabilities + (gsize) i * n_classes,
                                .features = features + (gsize) i * n_features }, user_data);
      n_judged += n;
    }
  if (n_judged > 0)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_FILE, _("None of the %u pictures can be read"), paths->len);
  return FALSE;
}
