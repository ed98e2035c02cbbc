/* fuzz-common.h — what the fuzz targets share
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/base/dimr-error.h"
#include "core/base/dimr-tensor.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data,
                            size_t         size);

/* A refusal is an error of this domain, with a sentence in it. */
static inline void
fuzz_check_refusal (GError *error)
{
  g_assert_nonnull (error);
  g_assert_true (error->domain == DIMR_ERROR);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_error_free (error);
}

/* Reads every element, so that one outside the file is seen. */
static inline void
fuzz_read_tensor (DimrTensor *tensor)
{
  g_free (dimr_tensor_dup_f32 (tensor));
}
