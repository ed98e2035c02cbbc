/* dimr-device.h — what a backend is: devices that compile plans into programs
 *
 * The interface belongs to the core; kernels/ implements it. A backend is one row of the
 * registry; a device and a program are two small abstract classes. All calls on one device come
 * from one thread at a time (the worker that owns it).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <gio/gio.h>

#include "core/graph/dimr-plan.h"
#include "core/weights/dimr-weights.h"

G_BEGIN_DECLS

#define DIMR_TYPE_DEVICE (dimr_device_get_type ())
G_DECLARE_DERIVABLE_TYPE (DimrDevice, dimr_device, DIMR, DEVICE, GObject)
#define DIMR_TYPE_PROGRAM (dimr_program_get_type ())
G_DECLARE_DERIVABLE_TYPE (DimrProgram, dimr_program, DIMR, PROGRAM, GObject)

struct _DimrDeviceClass
{
  GObjectClass parent_class;

  /* Can this device compute @node in @precision? FALSE with op, dtype and shape in the message. */
  gboolean      (*supports)       (DimrDevice        *self,
                                   const DimrGraph   *graph,
                                   DimrNodeId         node,
                                   DimrPrecision      precision,
                                   GError           **error);
  /* Bytes of scratch memory that running @node needs. Optional: none. */
  gsize         (*get_workspace)  (DimrDevice        *self,
                                   const DimrGraph   *graph,
                                   DimrNodeId         node,
                                   DimrPrecision      precision);
  /* Reads the parameters, allocates the arena, prepares every step (transfer full). */
  DimrProgram  *(*compile)        (DimrDevice        *self,
                                   DimrPlan          *plan,
                                   DimrWeights       *weights,
                                   GCancellable      *cancellable,
                                   GError           **error);
  /* Bytes of memory in all and free now. */
  void          (*get_memory)     (DimrDevice        *self,
                                   guint64           *total,
                                   guint64           *available);
  /* What a person calls it: "AMD EPYC, 2 threads" (transfer none). */
  const char   *(*get_name)       (DimrDevice        *self);
  /* Forgets parameters that were prepared for programs which are gone. Optional. */
  void          (*trim)           (DimrDevice        *self);
};

struct _DimrProgramClass
{
  GObjectClass parent_class;

  /* Copies @size bytes of a whole input (row-major, the node's dtype). */
  void          (*write)          (DimrProgram       *self,
                                   DimrNodeId         input,
                                   gconstpointer      data,
                                   gsize              size);
  /* Computes all outputs. The cancellable is looked at between steps. */
  gboolean      (*run)            (DimrProgram       *self,
                                   GCancellable      *cancellable,
                                   GError           **error);
  /* Copies a whole output of the last run as float. */
  void          (*read)           (DimrProgram       *self,
                                   DimrNodeId         output,
                                   float             *data,
                                   gsize              n_elements);
};

gboolean      dimr_device_supports       (DimrDevice        *self,
                                          const DimrGraph   *graph,
                                          DimrNodeId         node,
                                          DimrPrecision      precision,
                                          GError           **error);
gsize         dimr_device_get_workspace  (DimrDevice        *self,
                                          const DimrGraph   *graph,
                                          DimrNodeId         node,
                                          DimrPrecision      precision);
DimrProgram  *dimr_device_compile        (DimrDevice        *self,
                                          DimrPlan          *plan,
                                          DimrWeights       *weights,
                                          GCancellable      *cancellable,
                                          GError           **error);
void          dimr_device_get_memory     (DimrDevice        *self,
                                          guint64           *total,
                                          guint64           *available);
const char   *dimr_device_get_name       (DimrDevice        *self);
void          dimr_device_trim           (DimrDevice        *self);

void          dimr_program_write         (DimrProgram       *self,
                                          DimrNodeId         input,
                                          gconstpointer      data,
                                          gsize              size);
gboolean      dimr_program_run           (DimrProgram       *self,
                                          GCancellable      *cancellable,
                                          GError           **error);
void          dimr_program_read          (DimrProgram       *self,
                                          DimrNodeId         output,
                                          float             *data,
                                          gsize              n_elements);

/* A backend registers once, from dimr_kernels_init(). */
typedef struct
{
  const char   *id;                                     /* "cpu", "cuda" */
  /* NULL and a reason in one sentence where it has no device here. */
  guint       (*get_n_devices)  (GError **error);
  char       *(*dup_device_name)(guint    index);
  DimrDevice *(*open)           (guint    index,
                                 guint    n_threads,    /* 0: all; backends without threads ignore it */
                                 GError **error);
} DimrBackend;

void          dimr_backend_register      (const DimrBackend *backend);
/* In order of registration, best first (transfer none). */
const DimrBackend * const *dimr_backend_list (guint *n);
/* "auto", "cpu", "cuda", "cuda:1" → a device (transfer full). "auto" takes the first that opens. */
DimrDevice   *dimr_device_open           (const char        *spec,
                                          guint              n_threads,
                                          GError           **error);

G_END_DECLS
