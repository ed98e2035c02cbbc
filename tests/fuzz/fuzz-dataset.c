/* What a training set may hold: the bytes as a tar archive with the pictures in it, and as a picture.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/image/dimr-photo.h"
#include "core/train/dimr-dataset-private.h"
#include "fuzz-common.h"

#define SIDE 16

static void
decode (const guint8 *data,
        gsize         size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  g_autoptr (DimrImage) image = NULL;
  GError *error = NULL;
  guint8 planes[3 * SIDE * SIDE];

  image = dimr_photo_decode (bytes, "it", SIDE, &error);
  if (image == NULL)
    fuzz_check_refusal (error);
  else
    dimr_photo_fit (image, SIDE, planes);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  g_autoptr (GArray) items = g_array_new (FALSE, FALSE, sizeof (DimrDatasetItem));
  g_autoptr (GPtrArray) groups = g_ptr_array_new_with_free_func (g_free);
  GError *error = NULL;

  if (!dimr_dataset_list_archive ("it", data, size, items, groups, &error))
    fuzz_check_refusal (error);
  for (guint i = 0; i < items->len; i++)
    {
      DimrDatasetItem *item = &g_array_index (items, DimrDatasetItem, i);

      g_assert_cmpuint (item->group, <, groups->len);
      decode (data + item->offset, item->size);
      g_free (item->path);
    }
  decode (data, size);
  return 0;
}
