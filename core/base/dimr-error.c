/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"

G_DEFINE_QUARK (dimr-error-quark, dimr_error)
