/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-safetensors.h"
#include "fuzz-common.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  g_autoptr (GHashTable) tensors = NULL, metadata = NULL;
  GError *error = NULL;
  GHashTableIter iter;
  gpointer tensor;

  tensors = dimr_safetensors_read (bytes, "fuzz", &metadata, &error);
  if (tensors == NULL)
    {
      fuzz_check_refusal (error);
      return 0;
    }
  g_assert_no_error (error);
  g_hash_table_iter_init (&iter, tensors);
  while (g_hash_table_iter_next (&iter, NULL, &tensor))
    fuzz_read_tensor (tensor);
  return 0;
}
