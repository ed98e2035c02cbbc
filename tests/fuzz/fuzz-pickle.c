/* SPDX-License-Identifier: Apache-2.0 */
#include "core/weights/dimr-pickle.h"
#include "fuzz-common.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data,
                        size_t         size)
{
  GError *error = NULL;
  g_autoptr (DimrPickle) pickle = dimr_pickle_parse (data, size, 0, "fuzz", NULL, &error);

  if (pickle == NULL)
    {
      fuzz_check_refusal (error);
      return 0;
    }
  g_assert_no_error (error);
  for (DimrPickleNode node = 1; node <= dimr_pickle_get_n_nodes (pickle); node++)
    {
      DimrPickleStorage storage;
      DimrPickleTensor tensor;

      g_assert_cmpuint (dimr_pickle_where (pickle, node), <, size);
      if (dimr_pickle_kind (pickle, node) == DIMR_PICKLE_STORAGE)
        {
          dimr_pickle_get_storage (pickle, node, &storage);
          g_assert_cmpuint (storage.n_key, <=, 32);
        }
      else if (dimr_pickle_kind (pickle, node) == DIMR_PICKLE_TENSOR)
        {
          dimr_pickle_get_tensor (pickle, node, &tensor);
          g_assert_cmpuint (tensor.shape.n_dims, <=, DIMR_MAX_DIMS);
        }
      else if (dimr_pickle_is_dict (pickle, node))
        dimr_pickle_lookup (pickle, node, "model");
    }
  return 0;
}
