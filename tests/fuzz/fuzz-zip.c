/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-checked.h"
#include "core/weights/dimr-zip.h"
#include "fuzz-common.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  static const char *const names[] = { "data.pkl", "version", "byteorder", "data/0", "data/1", "data/2" };
  GError *error = NULL;
  g_autoptr (DimrZip) zip = dimr_zip_open (data, size, "fuzz", &error);

  if (zip == NULL)
    {
      fuzz_check_refusal (error);
      return 0;
    }
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const DimrZipEntry *entry = dimr_zip_lookup (zip, names[i]);

      if (entry == NULL)
        continue;
      g_assert_true (dimr_checked_range (entry->offset, entry->size, size));
      dimr_zip_crc32 (data + entry->offset, entry->size);
    }
  dimr_zip_has_folder (zip, "code/");
  return 0;
}
