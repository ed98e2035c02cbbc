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
#define DIMR_TYPE_DEVICE_WALK (dimr_device_walk_get_type ())
G_DECLARE_DERIVABLE_TYPE (DimrDeviceWalk, dimr_device_walk, DIMR, DEVICE_WALK, GObject)

/* dimr-device-training.h */
typedef struct _DimrDeviceTraining DimrDeviceTraining;
typedef struct _DimrTrainingSpec DimrTrainingSpec;

/* Predictions of x0 that a row of a walk may combine. */
#define DIMR_WALK_HISTORY 3

/* One evaluation of a sampler's walk, and where it leads, in double but for a guided e, which is
 * rounded to float as a network's own prediction is:
 *   e    = eps, or where guided  eps_uncond + guidance · (eps_cond − eps_uncond)
 *   X0_0 = (point − sigma · e) / alpha; X0_1 is the prediction before it, …
 *   next = start · x + Σ_k x0[k] · X0_k,  which becomes the point, and where @outer also x */
typedef struct
{
  double   alpha, sigma;
  double   start;
  double   x0[DIMR_WALK_HISTORY];
  double   guidance;
  gboolean outer;
} DimrWalkRow;

/* A walk that a device can keep in its own memory. */
typedef struct
{
  guint              n_groups;   /* micro-batches that advance together */
  guint              micro_batch;/* images of each */
  gsize              image_len;  /* C · H · W */
  const float       *start;      /* [n_groups, micro_batch, C, H, W] */
  const gint32      *y;          /* [n_groups, 2 · micro_batch]: the classes, then as many null classes; NULL: no classes */
  const DimrWalkRow *rows;       /* [n_rows] */
  guint              n_rows;
} DimrWalkSpec;

/* Where a program meets a walk: with both halves of guidance in one batch (conditional first) its
 * input and output have 2 · micro_batch images, else micro_batch. */
typedef struct
{
  DimrNodeId x;       /* input [images, C, H, W] */
  DimrNodeId y;       /* input [images], or DIMR_NODE_NONE */
  DimrNodeId eps;     /* output of the shape of x */
  gboolean   guided;
} DimrWalkPorts;

typedef enum
{
  DIMR_WALK_X0,  /* the newest prediction: what a preview shows */
  DIMR_WALK_X,   /* the start of the current interval; after the last row the result */
} DimrWalkValue;

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
  /* How the elements of @node lie in the arena; read() and write() convert. Optional: the node's dtype. */
  DimrDType     (*get_storage)    (DimrDevice        *self,
                                   const DimrGraph   *graph,
                                   DimrNodeId         node,
                                   DimrPrecision      precision);
  /* Images that one evaluation computes together unless a request says otherwise. Part of what
   * makes a picture's bytes, so it depends on the device alone. Optional: 1. */
  guint         (*get_micro_batch)(DimrDevice        *self);
  /* FALSE and one sentence where the device has no products in @precision. Optional: it has F32 and BF16. */
  gboolean      (*check_precision)(DimrDevice        *self,
                                   DimrPrecision      precision,
                                   GError           **error);
  /* The precision that suits the device best. Optional: F32. */
  DimrPrecision (*get_default_precision) (DimrDevice *self);
  /* Keeps a sampler's walk in the device's memory (transfer full). Optional: DIMR_ERROR_UNSUPPORTED,
   * and the caller walks in its own memory. Allocates everything that the walk will need. */
  DimrDeviceWalk *(*new_walk)     (DimrDevice        *self,
                                   const DimrWalkSpec *spec,
                                   GError           **error);
  /* Keeps what training changes in the device's memory, all of which is allocated now and zero (transfer full).
   * Optional: DIMR_ERROR_UNSUPPORTED, and the caller learns in its own memory. */
  DimrDeviceTraining *(*new_training) (DimrDevice    *self,
                                   const DimrTrainingSpec *spec,
                                   GError           **error);
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
  /* Announces all values that @input will have: [n_values][elements of the input], as F32. What
   * depends on it and on parameters alone may be computed for all of them now. Optional: select()
   * then writes the value. */
  gboolean      (*set_series)     (DimrProgram       *self,
                                   DimrNodeId         input,
                                   const float       *values,
                                   guint              n_values,
                                   GError           **error);
  /* The next run uses value @index of the series. Together with set_series(). */
  void          (*select)         (DimrProgram       *self,
                                   guint              index);
  /* An output of @from into an input of @self of as many elements, both on one device. Optional:
   * through read() and write(). */
  gboolean      (*copy)           (DimrProgram       *self,
                                   DimrNodeId         input,
                                   DimrProgram       *from,
                                   DimrNodeId         output,
                                   GError           **error);
  /* Reads the parameters anew: the numbers behind the tensors of the weights it was compiled with
   * have changed. All programs of the device with those weights see it. Optional. */
  gboolean      (*reload)         (DimrProgram       *self,
                                   GError           **error);
  /* Runs once with a clock: @seconds [n_steps of the plan]. Optional. */
  gboolean      (*profile)        (DimrProgram       *self,
                                   double            *seconds,
                                   GError           **error);
};

struct _DimrDeviceWalkClass
{
  GObjectClass parent_class;

  /* Evaluates @program for every group and advances by row @row. The series of the program must
   * have been selected. Returns when no more than one step is on its way, so that a cancel takes
   * effect within one evaluation. */
  gboolean      (*step)           (DimrDeviceWalk       *self,
                                   DimrProgram          *program,
                                   const DimrWalkPorts  *ports,
                                   guint                 row,
                                   GCancellable         *cancellable,
                                   GError              **error);
  /* Begins to copy @value as it is after the last step, beside whatever is computed next. */
  gboolean      (*request)        (DimrDeviceWalk       *self,
                                   DimrWalkValue         value,
                                   GError              **error);
  /* The copy that was requested, as float [n_groups, micro_batch, C, H, W]. FALSE without an error
   * where it is not there yet and @wait is FALSE. */
  gboolean      (*fetch)          (DimrDeviceWalk       *self,
                                   gboolean              wait,
                                   float                *data,
                                   GError              **error);
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
DimrDType     dimr_device_get_storage    (DimrDevice        *self,
                                          const DimrGraph   *graph,
                                          DimrNodeId         node,
                                          DimrPrecision      precision);
guint         dimr_device_get_micro_batch (DimrDevice       *self);
gboolean      dimr_device_check_precision(DimrDevice        *self,
                                          DimrPrecision      precision,
                                          GError           **error);
DimrPrecision dimr_device_get_default_precision (DimrDevice *self);
DimrDeviceWalk *dimr_device_new_walk     (DimrDevice        *self,
                                          const DimrWalkSpec *spec,
                                          GError           **error);
DimrDeviceTraining *dimr_device_new_training (DimrDevice    *self,
                                          const DimrTrainingSpec *spec,
                                          GError           **error);

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

gboolean      dimr_program_set_series    (DimrProgram       *self,
                                          DimrNodeId         input,
                                          const float       *values,
                                          gsize              n_elements,
                                          guint              n_values,
                                          GError           **error);
void          dimr_program_select        (DimrProgram       *self,
                                          guint              index);
gboolean      dimr_program_copy          (DimrProgram       *self,
                                          DimrNodeId         input,
                                          DimrProgram       *from,
                                          DimrNodeId         output,
                                          gsize              n_elements,
                                          GError           **error);
/* DIMR_ERROR_UNSUPPORTED where the backend cannot. */
gboolean      dimr_program_reload        (DimrProgram       *self,
                                          GError           **error);
/* DIMR_ERROR_UNSUPPORTED where the backend has no clock. */
gboolean      dimr_program_profile       (DimrProgram       *self,
                                          double            *seconds,
                                          GError           **error);

gboolean      dimr_device_walk_step      (DimrDeviceWalk       *self,
                                          DimrProgram          *program,
                                          const DimrWalkPorts  *ports,
                                          guint                 row,
                                          GCancellable         *cancellable,
                                          GError              **error);
gboolean      dimr_device_walk_request   (DimrDeviceWalk       *self,
                                          DimrWalkValue         value,
                                          GError              **error);
gboolean      dimr_device_walk_fetch     (DimrDeviceWalk       *self,
                                          gboolean              wait,
                                          float                *data,
                                          GError              **error);

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
