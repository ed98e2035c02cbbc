/* cpu-private.h — how an op becomes steps of a program
 *
 * Each op has one row in the table of ops. Its prepare() is called once per node, when a program
 * is compiled: it looks up where its tensors lie, has its parameters packed, and adds steps. A
 * step is a number of tasks that any thread may take in any order; tasks of one step never write
 * what another one reads. Nothing is allocated when a program runs, except for an error.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "kernels/cpu/cpu-params.h"
#include "kernels/cpu/cpu-simd.h"

G_BEGIN_DECLS

#define CPU_TYPE_DEVICE (cpu_device_get_type ())
G_DECLARE_FINAL_TYPE (CpuDevice, cpu_device, CPU, DEVICE, DimrDevice)
#define CPU_TYPE_PROGRAM (cpu_program_get_type ())
G_DECLARE_FINAL_TYPE (CpuProgram, cpu_program, CPU, PROGRAM, DimrProgram)

/* @thread is smaller than the device's number of threads. A task that fails sets @error. */
typedef void (*CpuTaskFunc) (gconstpointer   data,
                             gsize           task,
                             guint           thread,
                             GError        **error);

/* What prepare() works with. The first error stays; what is asked for after it is NULL, and steps
 * made of it never run, so a prepare() need not check. */
typedef struct
{
  const CpuSimd   *simd;
  guint            n_threads;
  DimrPlan        *plan;
  DimrGraph       *graph;
  DimrPrecision    precision;
  CpuParams       *params;
  DimrWeights     *weights;
  guint8          *arena;
  gpointer         workspace;
  guint            place;     /* of the node among the plan's steps */
  GArray          *steps;     /* CpuStep */
  GPtrArray       *memory;    /* what the steps point to, freed with the program */
  GPtrArray       *used;      /* CpuParam */
  GError          *error;
} CpuBuilder;

typedef struct
{
  CpuTaskFunc   run;
  gconstpointer data;
  gsize         n_tasks;
  guint         place;   /* of its node among the plan's steps */
  gboolean      beside;  /* may run at the same time as the step before */
} CpuStep;

/* What workspace() and supports() may depend on. */
typedef struct
{
  const CpuSimd *simd;
  guint          n_threads;
  DimrPrecision  precision;
} CpuTarget;

typedef struct
{
  /* Why the node cannot be computed (static), or NULL where it can. NULL: it always can. */
  const char *(*supports)  (const DimrGraph  *graph,
                            const DimrNode   *node);
  /* Bytes of scratch memory. NULL: none. */
  gsize       (*workspace) (const CpuTarget  *target,
                            const DimrGraph  *graph,
                            const DimrNode   *node);
  void        (*prepare)   (CpuBuilder       *builder,
                            const DimrNode   *node,
                            DimrNodeId        id);
} CpuOp;

/* The row of @op (static); prepare is NULL for what is no step. */
const CpuOp   *cpu_op_get             (DimrOp            op);

/* Through reshapes; TRUE for a parameter or an absent input. */
gboolean       cpu_is_param           (const DimrGraph  *graph,
                                       DimrNodeId        id);
const DimrNode*cpu_input              (const DimrGraph  *graph,
                                       const DimrNode   *node,
                                       guint             slot);
/* Elements of all dimensions but the last. */
gsize          cpu_n_rows             (const DimrNode   *node);
gsize          cpu_n_channels         (const DimrNode   *node);

/* Where the elements of @id lie while the program lives: in the arena, or a parameter's floats.
 * NULL for DIMR_NODE_NONE. */
gpointer       cpu_builder_peek       (CpuBuilder       *self,
                                       DimrNodeId        id);
gconstpointer  cpu_builder_param      (CpuBuilder       *self,
                                       DimrNodeId        id,
                                       const CpuLayout  *layout);
/* A vector of @n floats with zeros up to a multiple of @width; all zeros for DIMR_NODE_NONE. */
const float   *cpu_builder_vector     (CpuBuilder       *self,
                                       DimrNodeId        id,
                                       gsize             n,
                                       gsize             width);
/* @n ones that live as long as the program. */
const float   *cpu_builder_add_ones   (CpuBuilder       *self,
                                       gsize             n);
/* @size zero bytes that live as long as the program. */
gpointer       cpu_builder_alloc      (CpuBuilder       *self,
                                       gsize             size);
void           cpu_builder_add_step   (CpuBuilder       *self,
                                       CpuTaskFunc       run,
                                       gconstpointer     data,
                                       gsize             n_tasks);
/* A step that may run at the same time as the one that the node added before it. */
void           cpu_builder_add_side_step (CpuBuilder    *self,
                                          CpuTaskFunc    run,
                                          gconstpointer  data,
                                          gsize          n_tasks);

/* Ops, by file. */
extern const CpuOp cpu_op_linear, cpu_op_linear_geglu, cpu_op_patchify;
extern const CpuOp cpu_op_attention;
extern const CpuOp cpu_op_rms_norm, cpu_op_layer_norm, cpu_op_time_param;
extern const CpuOp cpu_op_depthwise_conv, cpu_op_conv_to_image;
extern const CpuOp cpu_op_add, cpu_op_geglu, cpu_op_pixel_shuffle, cpu_op_slice_tokens, cpu_op_concat,
  cpu_op_average_pool, cpu_op_add_position, cpu_op_embedding, cpu_op_prepend_token, cpu_op_to_image,
  cpu_op_slice_channels, cpu_op_repeat;
extern const CpuOp cpu_op_timestep_embedding, cpu_op_unary, cpu_op_modulate, cpu_op_gated_add;
extern const CpuOp cpu_op_ada_rms_norm, cpu_op_axial_rope;
extern const CpuOp cpu_op_unary_grad, cpu_op_sum_products, cpu_op_pad_channels, cpu_op_ada_rms_norm_grad,
  cpu_op_ada_rms_norm_scale_grad, cpu_op_axial_rope_grad;
extern const CpuOp cpu_op_conv2d;
extern const CpuOp cpu_op_group_stats, cpu_op_group_norm;
extern const CpuOp cpu_op_image_to_map, cpu_op_upsample_nearest;

/* A group norm as a factor and a summand of each channel: scale, shift [B, d] from the inputs stats, weight and bias
 * at @first of @node. Adds a step that fills them in; @eps is the node's. */
void           cpu_builder_add_group_affine (CpuBuilder      *self,
                                             const DimrNode  *node,
                                             guint            first,
                                             float           *scale,
                                             float           *shift);

/* Gradients, by file. */
extern const CpuOp cpu_op_linear_input_grad, cpu_op_linear_weight_grad;
extern const CpuOp cpu_op_rms_norm_grad, cpu_op_rms_norm_scale_grad, cpu_op_layer_norm_grad, cpu_op_layer_norm_weight_grad,
  cpu_op_time_param_grad, cpu_op_sum_rows;
extern const CpuOp cpu_op_attention_grad;
extern const CpuOp cpu_op_depthwise_input_grad, cpu_op_depthwise_weight_grad, cpu_op_conv_to_image_input_grad;
extern const CpuOp cpu_op_pad_tokens, cpu_op_transpose, cpu_op_spread, cpu_op_patches, cpu_op_unpatch,
  cpu_op_windows, cpu_op_pixel_unshuffle;
extern const CpuOp cpu_op_position_grad, cpu_op_embedding_grad, cpu_op_geglu_grad, cpu_op_mean_square, cpu_op_mean_square_grad;
extern const CpuOp cpu_op_cross_entropy, cpu_op_cross_entropy_grad;

/* Adds the steps of y = x Wᵀ + …; takes @product over (its weights and biases are filled in). */
typedef struct
{
  gsize      rows;
  gsize      n;
  gsize      k;
  gsize      n_slices;
  CpuSlice  *slices;     /* lives as long as the program */
  DimrNodeId weights;
  gsize      stride;     /* 0, or the weights are [k, stride] and columns [first, first + n) of them are meant */
  gsize      first;
  DimrNodeId bias;
  DimrNodeId weights1;   /* DIMR_NODE_NONE: no gate */
  DimrNodeId bias1;
  const float *residual;
  float     *y;
  gboolean   bf16;
  gpointer   rounded;    /* bf16: room for the rounded input */
} CpuProductRequest;
void           cpu_builder_add_product (CpuBuilder              *self,
                                        const CpuProductRequest *request);
/* Adds the step of a depthwise convolution of input 0 with the weights of input 1 in layout @kind. */
void           cpu_builder_add_depthwise (CpuBuilder            *self,
                                          const DimrNode        *node,
                                          DimrNodeId             id,
                                          CpuLayoutKind          kind,
                                          DimrNodeId             bias,
                                          DimrNodeId             residual);
/* Squares of @patch × @patch of the picture @x as rows, [B·H/patch·W/patch, C·patch²]. */
void           cpu_builder_add_patches (CpuBuilder              *self,
                                        DimrNodeId               x,
                                        gsize                    patch,
                                        float                   *out);
/* Bytes of the room for the rounded input; 0 in float. */
gsize          cpu_rounded_bytes       (const CpuTarget         *target,
                                        gsize                    rows,
                                        gsize                    k);
/* @n copies of @width floats at regular distances, beside the step before where the node added one. */
void           cpu_builder_add_copy    (CpuBuilder              *self,
                                        const float             *x,
                                        gsize                    x_stride,
                                        float                   *y,
                                        gsize                    y_stride,
                                        gsize                    width,
                                        gsize                    n);
/* y[g] = Σ_p parts[g · n_parts + p], each [d]: sums that were made in parts. */
void           cpu_builder_add_gather  (CpuBuilder              *self,
                                        const float             *parts,
                                        gsize                    n_parts,
                                        gsize                    n_groups,
                                        gsize                    d,
                                        float                   *y);

/* The device opens with the best of cpu_simd_list() unless @simd says otherwise. */
DimrDevice    *cpu_device_new         (guint             n_threads,
                                       const CpuSimd    *simd);
CpuParams     *cpu_device_peek_params (CpuDevice        *self);
CpuTeam       *cpu_device_peek_team   (CpuDevice        *self);
void           cpu_device_get_target  (CpuDevice        *self,
                                       CpuTarget        *target);
DimrProgram   *cpu_program_new        (CpuDevice        *device,
                                       DimrPlan         *plan,
                                       DimrWeights      *weights,
                                       GCancellable     *cancellable,
                                       GError          **error);

/* For tests: all of its memory. The 64 bytes at the end belong to nothing. */
const guint8  *cpu_program_peek_arena (CpuProgram       *self,
                                       gsize            *size);

extern const DimrBackend cpu_backend;

G_END_DECLS
