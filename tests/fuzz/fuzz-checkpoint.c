/* A whole file of any format, from telling the format to reading every tensor.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/weights/dimr-weights-private.h"
#include "fuzz-common.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
  g_autoptr (DimrWeights) weights = NULL;
  GError *error = NULL;

  weights = dimr_weights_open_bytes (bytes, "fuzz", NULL, &error);
  if (weights == NULL)
    {
      fuzz_check_refusal (error);
      return 0;
    }
  g_assert_no_error (error);
  for (const char **name = dimr_weights_peek_names (weights); *name != NULL; name++)
    fuzz_read_tensor (dimr_weights_peek (weights, *name));
  return 0;
}
