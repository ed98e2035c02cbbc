/* cuda-choices.c — which algorithm was the fastest, kept for the next process
 *
 * A clock decides between algorithms that sum in different orders. So that a picture has the same bytes
 * tomorrow, what was decided is written into the user's cache, by device and version of the library. Processes that
 * run side by side, as in training on several GPUs, write into the same file: each reads it again before, under a
 * lock, so that none takes away what another one wrote, and the first to decide decides for all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/file.h>

struct _CudaChoices
{
  GKeyFile *file;
  char *path;
  char *group;
};

#define N_WORDS (sizeof ((cublasLtMatmulAlgo_t *) NULL)->data / sizeof (uint64_t))

CudaChoices *
cuda_choices_new (const CudaDevice *device)
{
  CudaChoices *self = g_new0 (CudaChoices, 1);

  self->path = g_build_filename (g_get_user_cache_dir (), "dimr-studio", "cuda-algorithms.ini", NULL);
  self->group = g_strdup_printf ("%s, cuBLASLt %" G_GSIZE_FORMAT, device->name, (gsize) cublasLtGetVersion ());
  /* Brackets would end the group's name early. */
  g_strdelimit (self->group, "[]\n", '-');
  self->file = g_key_file_new ();
  /* A file that cannot be read is as good as none. */
  g_key_file_load_from_file (self->file, self->path, G_KEY_FILE_NONE, NULL);
  return self;
}

void
cuda_choices_free (CudaChoices *self)
{
  g_key_file_unref (self->file);
  g_free (self->path);
  g_free (self->group);
  g_free (self);
}

gboolean
cuda_choices_find (CudaChoices          *self,
                   const char           *key,
                   cublasLtMatmulAlgo_t *algorithm)
{
  g_autofree char *text = g_key_file_get_string (self->file, self->group, key, NULL);
  g_auto (GStrv) words = text != NULL ? g_strsplit (text, " ", -1) : NULL;

  if (words == NULL || g_strv_length (words) != N_WORDS)
    return FALSE;
  for (guint i = 0; i < N_WORDS; i++)
    {
      guint64 word;

      if (!g_ascii_string_to_unsigned (words[i], 16, 0, G_MAXUINT64, &word, NULL))
        return FALSE;
      algorithm->data[i] = word;
    }
  return TRUE;
}

/* What other processes wrote since the file was read last; FALSE where one of them has decided about @key. */
static gboolean
read_again (CudaChoices *self,
            const char  *key)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *known = g_key_file_get_string (self->file, self->group, key, NULL);
  g_autofree char *text = NULL;

  if (!g_key_file_load_from_file (file, self->path, G_KEY_FILE_NONE, NULL))
    return TRUE;
  text = g_key_file_get_string (file, self->group, key, NULL);
  g_key_file_unref (self->file);
  self->file = g_steal_pointer (&file);
  return text == NULL || g_strcmp0 (text, known) == 0;
}

gboolean
cuda_choices_record (CudaChoices                *self,
                     const char                 *key,
                     const cublasLtMatmulAlgo_t *algorithm)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *folder = g_path_get_dirname (self->path), *lock_path = g_strconcat (self->path, ".lock", NULL);
  g_autoptr (GError) error = NULL;
  const gboolean there = g_mkdir_with_parents (folder, 0700) == 0;
  const int lock = there ? g_open (lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
  gboolean ours;

  /* Without a lock the worst is a choice that is made again. */
  if (lock >= 0)
    (void) flock (lock, LOCK_EX);
  ours = read_again (self, key);
  if (ours)
    {
      for (guint i = 0; i < N_WORDS; i++)
        g_string_append_printf (text, "%s%" G_GINT64_MODIFIER "x", i > 0 ? " " : "", (guint64) algorithm->data[i]);
      g_key_file_set_string (self->file, self->group, key, text->str);
      if (!there || !g_key_file_save_to_file (self->file, self->path, &error))
        g_debug ("The choice of an algorithm was not kept: %s", error != NULL ? error->message : folder);
    }
  if (lock >= 0)
    (void) g_close (lock, NULL);
  return ours;
}
