/* dimr-error.h — the error domain of libdimr
 *
 * Every failure that a user can meet (files, memory, devices, requests) is a GError of this
 * domain whose message is one sentence: what happened, where, and what to do. A cancelled
 * operation is G_IO_ERROR_CANCELLED instead, so that callers can stay silent about it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define DIMR_ERROR (dimr_error_quark ())

/**
 * DimrError:
 * @DIMR_ERROR_FILE: a file could not be read or written
 * @DIMR_ERROR_FORMAT: a file's content is not what its format allows
 * @DIMR_ERROR_MODEL: well-formed weights that are no model this program knows
 * @DIMR_ERROR_SHAPE: tensors whose shapes do not fit together
 * @DIMR_ERROR_REQUEST: a value asked for by the user is out of range
 * @DIMR_ERROR_UNSUPPORTED: no device here, or nothing in this program, can do this
 * @DIMR_ERROR_MEMORY: not enough memory
 * @DIMR_ERROR_DEVICE: a device failed; it may be tried again
 * @DIMR_ERROR_DEVICE_LOST: a device is gone until the program is started again; others still work
 * @DIMR_ERROR_PEER: a process that takes part in the same work is gone, or is not what it should be
 */
typedef enum
{
  DIMR_ERROR_FILE,
  DIMR_ERROR_FORMAT,
  DIMR_ERROR_MODEL,
  DIMR_ERROR_SHAPE,
  DIMR_ERROR_REQUEST,
  DIMR_ERROR_UNSUPPORTED,
  DIMR_ERROR_MEMORY,
  DIMR_ERROR_DEVICE,
  DIMR_ERROR_DEVICE_LOST,
  DIMR_ERROR_PEER,
} DimrError;

GQuark   dimr_error_quark  (void);

/* Sets an error of this domain with the sentence that @format makes, and returns FALSE. Names of files in it may be any
 * bytes: what is not UTF-8 is shown as U+FFFD. */
gboolean dimr_error_set    (GError     **error,
                            DimrError    code,
                            const char  *format,
                            ...) G_GNUC_PRINTF (3, 4);

/* The same with DIMR_ERROR_REQUEST. */
gboolean dimr_error_refuse (GError     **error,
                            const char  *format,
                            ...) G_GNUC_PRINTF (2, 3);

G_END_DECLS
