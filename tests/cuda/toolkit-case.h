/* toolkit-case.h — how the tests of the runtime that is none begin
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "fake-cuda.h"

#include <glib.h>

#define OK(call) g_assert_cmpint (call, ==, 0)

static inline void
set_up (void)
{
  g_assert_cmpuint (fake_cuda_count_objects (), ==, 0);
  fake_cuda_reset ();
}
