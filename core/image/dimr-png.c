/* SPDX-License-Identifier: Apache-2.0 */
#include "core/image/dimr-png.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-file.h"
#include "core/base/dimr-i18n.h"

#include <png.h>
#include <string.h>

#define MAX_SIDE 16384
#define MAX_FILE_BYTES (G_GUINT64_CONSTANT (1) << 30)
#define MAX_CHUNK_BYTES (8 << 20)
#define MAX_CHUNKS 1000
#define COMPRESSION_LEVEL 6
#define MAX_TEXTS 2
/* Deflate cannot shrink data below 1/1032, so a shorter file cannot hold the picture it announces. */
#define MAX_DEFLATE_RATIO 1032

/* libpng reports errors by longjmp(). Everything that must outlive a jump is in the structures
 * below, which the functions without a setjmp() own; those with one hold no resources. */

typedef struct
{
  png_structp png;
  png_infop info;
  GByteArray *out;
  char message[128];

  DimrImage *image;
  guint8 *rows; /* [H, W, 3] */
  png_text texts[MAX_TEXTS];
  int n_texts;
} Writer;

typedef struct
{
  png_structp png;
  png_infop info;
  const guint8 *data;
  gsize size;
  gsize position;
  char message[128];

  gboolean recipe_only;
  guint width;
  guint height;
  guint8 *pixels;      /* [H, W, 4] */
  png_bytepp rows;     /* [H], into @pixels */
  char *parameters;
  char *json;
} Reader;

static G_NORETURN void
on_error (png_structp     png,
          png_const_charp message)
{
  char *buffer = png_get_error_ptr (png);

  g_strlcpy (buffer, message, sizeof ((Writer *) NULL)->message);
  png_longjmp (png, 1);
}

/* Warnings are about chunks that libpng then leaves out; what is missing shows later, if it matters. */
static void
on_warning (png_structp     png,
            png_const_charp message)
{
}

static void
on_write (png_structp png,
          png_bytep   data,
          size_t      size)
{
  Writer *writer = png_get_io_ptr (png);

  g_byte_array_append (writer->out, data, size);
}

static void
on_flush (png_structp png)
{
}

static void
on_read (png_structp png,
         png_bytep   data,
         size_t      size)
{
  Reader *reader = png_get_io_ptr (png);

  if (size > reader->size - reader->position)
    png_error (png, _("the file ends too early"));
  memcpy (data, reader->data + reader->position, size);
  reader->position += size;
}

/* A text chunk of the oldest kind is Latin-1; iTXt holds UTF-8 where that does not do. */
static void
add_text (Writer     *writer,
          const char *key,
          char       *utf8)
{
  png_text *text = &writer->texts[writer->n_texts++];
  char *latin1 = g_convert (utf8, -1, "ISO-8859-1", "UTF-8", NULL, NULL, NULL);

  text->key = (png_charp) key;
  if (latin1 != NULL)
    {
      text->compression = PNG_TEXT_COMPRESSION_NONE;
      text->text = latin1;
      g_free (utf8);
    }
  else
    {
      text->compression = PNG_ITXT_COMPRESSION_NONE;
      text->text = utf8;
    }
}

static gboolean
write_guarded (Writer *writer)
{
  guint width = dimr_image_get_width (writer->image);
  guint height = dimr_image_get_height (writer->image);

  if (setjmp (png_jmpbuf (writer->png)))
    return FALSE;

  png_set_user_limits (writer->png, MAX_SIDE, MAX_SIDE);
  png_set_write_fn (writer->png, writer, on_write, on_flush);
  png_set_compression_level (writer->png, COMPRESSION_LEVEL);
  png_set_filter (writer->png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
  png_set_IHDR (writer->png, writer->info, width, height, 8, PNG_COLOR_TYPE_RGB,
                PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_sRGB (writer->png, writer->info, PNG_sRGB_INTENT_PERCEPTUAL);
  if (writer->n_texts > 0)
    png_set_text (writer->png, writer->info, writer->texts, writer->n_texts);
  png_write_info (writer->png, writer->info);
  for (guint y = 0; y < height; y++)
    png_write_row (writer->png, writer->rows + (gsize) y * width * 3);
  png_write_end (writer->png, NULL);
  return TRUE;
}

static guint8 *
drop_alpha (DimrImage *image)
{
  gsize n = (gsize) dimr_image_get_width (image) * dimr_image_get_height (image);
  const guint8 *rgba = g_bytes_get_data (dimr_image_peek_pixels (image), NULL);
  guint8 *rgb = g_try_malloc_n (n, 3);

  if (rgb != NULL)
    for (gsize i = 0; i < n; i++)
      memcpy (rgb + 3 * i, rgba + 4 * i, 3);
  return rgb;
}

GBytes *
dimr_png_encode (DimrImage         *image,
                 const DimrRecipe  *recipe,
                 GError           **error)
{
  Writer writer = { .image = image };
  gboolean ok = FALSE;

  g_return_val_if_fail (image != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  writer.out = g_byte_array_new ();
  writer.rows = drop_alpha (image);
  writer.png = png_create_write_struct (PNG_LIBPNG_VER_STRING, writer.message, on_error, on_warning);
  if (writer.png != NULL)
    writer.info = png_create_info_struct (writer.png);
  if (recipe != NULL)
    {
      add_text (&writer, "parameters", dimr_recipe_to_parameters (recipe));
      add_text (&writer, "dimr", dimr_recipe_to_json (recipe));
    }

  if (writer.rows == NULL || writer.info == NULL)
    g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_MEMORY, _("There is not enough memory to encode the picture."));
  else if (!write_guarded (&writer))
    dimr_error_set (error, DIMR_ERROR_FILE, _("The picture could not be encoded as PNG: %s."), writer.message);
  else
    ok = TRUE;

  png_destroy_write_struct (&writer.png, &writer.info);
  for (int i = 0; i < writer.n_texts; i++)
    g_free (writer.texts[i].text);
  g_free (writer.rows);
  if (!ok)
    {
      g_byte_array_unref (writer.out);
      return NULL;
    }
  return g_byte_array_free_to_bytes (writer.out);
}

gboolean
dimr_png_save (const char        *path,
               DimrImage         *image,
               const DimrRecipe  *recipe,
               GError           **error)
{
  g_autoptr (GBytes) bytes = NULL;

  g_return_val_if_fail (path != NULL, FALSE);

  bytes = dimr_png_encode (image, recipe, error);
  return bytes != NULL && dimr_file_write_atomic (path, bytes, error);
}

/* Keeps the recipe's texts of those read so far. The length is libpng's: a text may hold NUL bytes. */
static void
take_texts (Reader *reader)
{
  png_textp texts;
  int n = png_get_text (reader->png, reader->info, &texts, NULL);

  for (int i = 0; i < n; i++)
    {
      gboolean utf8 = texts[i].compression >= PNG_ITXT_COMPRESSION_NONE;
      gsize length = utf8 ? texts[i].itxt_length : texts[i].text_length;
      char **out = strcmp (texts[i].key, "parameters") == 0 ? &reader->parameters
                   : strcmp (texts[i].key, "dimr") == 0     ? &reader->json
                                                            : NULL;

      if (out == NULL || *out != NULL || texts[i].text == NULL)
        continue;
      /* Some programs put UTF-8 into Latin-1 chunks. */
      if (utf8 || g_utf8_validate (texts[i].text, length, NULL))
        *out = g_utf8_make_valid (texts[i].text, length);
      else
        *out = g_convert (texts[i].text, length, "UTF-8", "ISO-8859-1", NULL, NULL, NULL);
    }
}

/* Before the pixels are allocated: does the file hold enough bytes for them at all? */
static gboolean
is_plausible (Reader *reader)
{
  guint64 raw = (guint64) png_get_rowbytes (reader->png, reader->info) * reader->height;

  return raw / MAX_DEFLATE_RATIO <= reader->size;
}

static void
set_transforms (Reader *reader)
{
  png_set_expand (reader->png);
  png_set_strip_16 (reader->png);
  png_set_gray_to_rgb (reader->png);
  png_set_add_alpha (reader->png, 0xff, PNG_FILLER_AFTER);
  png_set_interlace_handling (reader->png);
  png_read_update_info (reader->png, reader->info);
  if (png_get_rowbytes (reader->png, reader->info) != (gsize) reader->width * 4)
    png_error (reader->png, _("its pixels are of an unknown kind"));
}

static gboolean
read_guarded (Reader *reader)
{
  if (setjmp (png_jmpbuf (reader->png)))
    return FALSE;

  png_set_user_limits (reader->png, MAX_SIDE, MAX_SIDE);
  png_set_chunk_malloc_max (reader->png, MAX_CHUNK_BYTES);
  png_set_chunk_cache_max (reader->png, MAX_CHUNKS);
  png_set_read_fn (reader->png, reader, on_read);
  png_read_info (reader->png, reader->info);
  reader->width = png_get_image_width (reader->png, reader->info);
  reader->height = png_get_image_height (reader->png, reader->info);
  take_texts (reader);
  if (reader->recipe_only && (reader->json != NULL || reader->parameters != NULL))
    return TRUE;

  if (!is_plausible (reader))
    png_error (reader->png, _("it is too short for its width and height"));
  set_transforms (reader);
  reader->pixels = g_try_malloc_n ((gsize) reader->width * reader->height, 4);
  reader->rows = g_try_new (png_bytep, reader->height);
  if (reader->pixels == NULL || reader->rows == NULL)
    png_error (reader->png, _("there is not enough memory for its pixels"));
  for (guint y = 0; y < reader->height; y++)
    reader->rows[y] = reader->pixels + (gsize) y * reader->width * 4;
  png_read_image (reader->png, reader->rows);
  png_read_end (reader->png, reader->info);
  take_texts (reader);
  return TRUE;
}

/* @name: how the message calls the file. */
static gboolean
reader_run (Reader      *reader,
            GBytes      *bytes,
            const char  *name,
            GError     **error)
{
  gboolean ok;

  reader->data = g_bytes_get_data (bytes, &reader->size);
  if (reader->size < 8 || png_sig_cmp (reader->data, 0, 8) != 0)
    {
      dimr_error_set (error, DIMR_ERROR_FORMAT, _("%s is not a PNG picture."), name);
      return FALSE;
    }
  reader->png = png_create_read_struct (PNG_LIBPNG_VER_STRING, reader->message, on_error, on_warning);
  if (reader->png != NULL)
    reader->info = png_create_info_struct (reader->png);
  if (reader->info == NULL)
    {
      png_destroy_read_struct (&reader->png, NULL, NULL);
      dimr_error_set (error, DIMR_ERROR_MEMORY, _("There is not enough memory to read %s."), name);
      return FALSE;
    }
  ok = read_guarded (reader);
  png_destroy_read_struct (&reader->png, &reader->info, NULL);
  if (!ok)
    dimr_error_set (error, DIMR_ERROR_FORMAT, _("%s cannot be read as a PNG picture: %s."), name, reader->message);
  return ok;
}

static void
reader_clear (Reader *reader)
{
  g_clear_pointer (&reader->pixels, g_free);
  g_clear_pointer (&reader->rows, g_free);
  g_clear_pointer (&reader->parameters, g_free);
  g_clear_pointer (&reader->json, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reader, reader_clear)

/* The JSON loses nothing, so it is asked first; where it is damaged, the other text still tells most. */
static DimrRecipe *
reader_dup_recipe (Reader  *reader,
                   GError **error)
{
  DimrRecipe *recipe;

  if (reader->json == NULL && reader->parameters == NULL)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_FORMAT, _("The picture carries no settings."));
      return NULL;
    }
  if (reader->json == NULL)
    return dimr_recipe_from_parameters (reader->parameters, error);
  if (reader->parameters == NULL)
    return dimr_recipe_from_json (reader->json, error);
  recipe = dimr_recipe_from_json (reader->json, NULL);
  return recipe != NULL ? recipe : dimr_recipe_from_parameters (reader->parameters, error);
}

static GBytes *
read_file (const char  *path,
           GError     **error)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInfo) info = NULL;
  g_autoptr (GError) local_error = NULL;
  GBytes *bytes = NULL;

  info = g_file_query_info (file, G_FILE_ATTRIBUTE_STANDARD_SIZE "," G_FILE_ATTRIBUTE_STANDARD_TYPE,
                            G_FILE_QUERY_INFO_NONE, NULL, &local_error);
  if (info != NULL && g_file_info_get_file_type (info) != G_FILE_TYPE_REGULAR)
    dimr_error_set (error, DIMR_ERROR_FILE, _("“%s” is not a file."), path);
  else if (info != NULL && (guint64) g_file_info_get_size (info) > MAX_FILE_BYTES)
    dimr_error_set (error, DIMR_ERROR_FORMAT, _("“%s” is larger than any picture that is read here (1 GiB)."), path);
  else if (info == NULL || (bytes = g_file_load_bytes (file, NULL, NULL, &local_error)) == NULL)
    dimr_error_set (error, DIMR_ERROR_FILE, _("“%s” could not be read: %s."), path, local_error->message);
  return bytes;
}

DimrImage *
dimr_png_load (const char  *path,
               DimrRecipe **recipe,
               GError     **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *name = NULL;

  g_return_val_if_fail (path != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (recipe != NULL)
    *recipe = NULL;
  bytes = read_file (path, error);
  name = g_strdup_printf ("“%s”", path);
  return bytes != NULL ? dimr_png_decode (bytes, name, recipe, error) : NULL;
}

DimrImage *
dimr_png_decode (GBytes      *png,
                 const char  *name,
                 DimrRecipe **recipe,
                 GError     **error)
{
  g_auto (Reader) reader = { 0 };
  g_autoptr (GBytes) pixels = NULL;

  g_return_val_if_fail (png != NULL && name != NULL, NULL);

  if (recipe != NULL)
    *recipe = NULL;
  if (!reader_run (&reader, png, name, error))
    return NULL;
  if (recipe != NULL)
    *recipe = reader_dup_recipe (&reader, NULL);
  pixels = g_bytes_new_take (g_steal_pointer (&reader.pixels), (gsize) reader.width * reader.height * 4);
  return dimr_image_new (reader.width, reader.height, pixels);
}

DimrRecipe *
dimr_png_read_recipe (GBytes  *png,
                      GError **error)
{
  g_auto (Reader) reader = { .recipe_only = TRUE };

  g_return_val_if_fail (png != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!reader_run (&reader, png, "The picture", error))
    return NULL;
  return reader_dup_recipe (&reader, error);
}
