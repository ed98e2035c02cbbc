/* cuda-case.h — a small network with every op of DiMR, and devices to compute it on
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "kernels/cuda/cuda-private.h"

G_BEGIN_DECLS

#define CASE_CHANNELS 3
#define CASE_SIZE 8
#define CASE_CLASSES 5

/* x [B, 3, 8, 8], log_snr [T], y [B] → eps [B, 3, 8, 8] */
typedef struct
{
  guint        batch;
  guint        times;
  DimrGraph   *graph;
  DimrWeights *weights;
  DimrNodeId   eps;     /* of @graph */
  DimrNodeId   tap;     /* "hidden" [B, 17, 16] */
} CudaCase;

void          cuda_case_init    (CudaCase       *self,
                                 guint           batch,
                                 guint           times);
void          cuda_case_clear   (CudaCase       *self);
gsize         cuda_case_image   (void);                      /* floats of one image */
/* A parameter of @graph, and numbers for it in @tensors that depend on its name alone. */
DimrNodeId    cuda_case_add_param (DimrGraph     *graph,
                                 GHashTable      *tensors,
                                 const char      *name,
                                 const DimrShape *shape);

/* A program that has been compiled, and where its inputs and outputs are. */
typedef struct
{
  DimrPlan    *plan;
  DimrProgram *program;
  DimrNodeId   x, log_snr, y, eps, tap;
} CudaRun;

void          cuda_run_init     (CudaRun        *self,
                                 CudaCase       *network,
                                 DimrDevice     *device,
                                 DimrPrecision   precision);
void          cuda_run_clear    (CudaRun        *self);
/* The same inputs for everybody: of image @first and the following, at @log_snr. */
void          cuda_run_write    (CudaRun        *self,
                                 CudaCase       *network,
                                 guint           first,
                                 float           log_snr);
/* Runs and reads eps (transfer full). */
float        *cuda_run_eps      (CudaRun        *self,
                                 CudaCase       *network);
/* Reads without running. */
float        *cuda_run_read     (CudaRun        *self,
                                 CudaCase       *network);

/* The emulated device, or a lost test. */
CudaDevice   *cuda_case_open    (void);
/* Sum of squared differences over sum of squares. */
double        cuda_case_nmse    (const float    *a,
                                 const float    *b,
                                 gsize           n);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CudaCase, cuda_case_clear)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CudaRun, cuda_run_clear)

G_END_DECLS
