/* cuda-private.h — how an op becomes launches of a program on an NVIDIA device
 *
 * Each op has one row in the table of ops. Its prepare() is called once per node, when a program
 * is compiled: it looks up where its tensors lie, has its parameters uploaded, and adds launches.
 * A launch only queues work on a stream, so the same list is run eagerly and captured into a graph.
 *
 * All work of a device is on one stream in the order of the calls; a second stream only carries
 * copies to the host. All calls on one device come from one thread at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/graph/dimr-device.h"
#include "kernels/cuda/cuda-kernels-grad.h"
#include "kernels/cuda/cuda-kernels.h"
#include "kernels/cuda/cuda-params.h"

#include <cublasLt.h>

G_BEGIN_DECLS

#define CUDA_TYPE_DEVICE (cuda_device_get_type ())
G_DECLARE_FINAL_TYPE (CudaDevice, cuda_device, CUDA, DEVICE, DimrDevice)
#define CUDA_TYPE_PROGRAM (cuda_program_get_type ())
G_DECLARE_FINAL_TYPE (CudaProgram, cuda_program, CUDA, PROGRAM, DimrProgram)
#define CUDA_TYPE_WALK (cuda_walk_get_type ())
G_DECLARE_FINAL_TYPE (CudaWalk, cuda_walk, CUDA, WALK, DimrDeviceWalk)

/* Bytes to which everything in device memory is aligned. */
#define CUDA_ALIGNMENT 256

typedef struct _CudaProducts CudaProducts;
typedef struct _CudaSeries CudaSeries;
typedef struct _CudaStaging CudaStaging;

struct _CudaDevice
{
  DimrDevice         parent_instance;
  int                index;
  int                capability;  /* 90 for 9.0 */
  char              *name;
  gboolean           eager;       /* launch one by one instead of replaying a graph; for tests */
  cudaStream_t       stream;
  cudaStream_t       copy_stream;
  cublasLtHandle_t   lt;
  gsize              product_workspace;
  gsize              chunk;       /* bytes of scratch memory for an intermediate matrix that can be made piece by piece */
  guint64            total;       /* bytes of memory, and those that may be used, as last seen */
  guint64            available;
  CudaStaging       *staging;
  CudaParams        *params;
  CudaProducts      *products;
};

/* ---- cuda-error.c ---- */

/* Codes after which CUDA gives nothing more to this process. */
gboolean       cuda_error_is_fatal     (cudaError_t        code);
/* Sets @error of DIMR_ERROR for @code in one sentence about @name, "NVIDIA H100". */
void           cuda_error_set          (GError           **error,
                                        cudaError_t        code,
                                        const char        *name);
/* The reason why there is no device at all, for a failure of the first call. */
void           cuda_error_set_absent   (GError           **error,
                                        cudaError_t        code);
/* TRUE where @status is success. A fatal code ends the device for this process. */
gboolean       cuda_device_check       (CudaDevice        *self,
                                        cudaError_t        status,
                                        GError           **error);
gboolean       cuda_device_check_blas  (CudaDevice        *self,
                                        cublasStatus_t     status,
                                        GError           **error);
/* To be called before anything else in every entry: makes the device the thread's current one, and
 * fails with DIMR_ERROR_DEVICE_LOST where an earlier call has found it lost. */
gboolean       cuda_device_enter       (CudaDevice        *self,
                                        GError           **error);

/* For tests: no device is lost any more. */
void           cuda_error_forget       (void);

/* ---- cuda-memory.c ---- */

/* Device memory, all bytes 0xff, which reads as NaN. Where memory is short, forgets parameters that no
 * program uses and tries again; then DIMR_ERROR_MEMORY, with @what for the sentence. cudaFree(). */
gpointer       cuda_device_alloc       (CudaDevice        *self,
                                        gsize              size,
                                        const char        *what,
                                        GError           **error);
/* Page-locked memory of the host. cudaFreeHost(). */
gpointer       cuda_device_alloc_host  (CudaDevice        *self,
                                        gsize              size,
                                        GError           **error);
void           cuda_device_get_free    (CudaDevice        *self,
                                        guint64           *total,
                                        guint64           *available);
CudaStaging   *cuda_staging_new        (CudaDevice        *device,
                                        GError           **error);
void           cuda_staging_free       (CudaStaging       *self);
/* Elements of @tensor as @type at @data, from where the tensor lies (a mapped file) through page-locked
 * memory; returns while the last pieces are on their way. */
gboolean       cuda_staging_upload     (CudaStaging       *self,
                                        const DimrTensor  *tensor,
                                        CudaType           type,
                                        gpointer           data,
                                        GError           **error);
/* @size bytes of the host that may be freed at once. */
gboolean       cuda_staging_copy_in    (CudaStaging       *self,
                                        gconstpointer      host,
                                        gpointer           data,
                                        gsize              size,
                                        GError           **error);
/* Waits for everything before, and converts to float. */
gboolean       cuda_staging_download   (CudaStaging       *self,
                                        gconstpointer      data,
                                        DimrDType          dtype,
                                        gsize              n,
                                        float             *out,
                                        GError           **error);

/* ---- cuda-device.c ---- */

/* Transfer full. */
DimrDevice    *cuda_device_open        (guint              index,
                                        GError           **error);

/* How @node lies in the arena. */
DimrDType      cuda_storage            (const DimrGraph   *graph,
                                        DimrNodeId         id,
                                        DimrPrecision      precision);
/* What activations are computed in. */
CudaType       cuda_type               (DimrPrecision      precision);
gsize          cuda_type_size          (CudaType           type);
gsize          cuda_align              (gsize              size);
/* Bytes to which @offset leaves an aligned address aligned. */
guint          cuda_alignment_after    (gsize              offset);
/* Of @n_rows rows, how many at a time: as many as the device's chunk holds, but at least 128; a number after
 * which everything is as aligned as it was at the beginning. */
gsize          cuda_chunk_rows         (const CudaDevice  *device,
                                        gsize              n_rows,
                                        gsize              row_bytes);

/* ---- ops ---- */

typedef gboolean (*CudaLaunchFunc) (CudaDevice     *device,
                                    gconstpointer   data,
                                    cudaStream_t    stream,
                                    GError        **error);

typedef struct
{
  CudaLaunchFunc launch;
  gconstpointer  data;
  guint          place;   /* of its node among the plan's steps */
} CudaLaunch;

/* A vector that depends on the time, as it is where the launch happens: a table that is made anew for a
 * longer series moves. */
typedef struct
{
  const CudaSeries *series;  /* NULL: @fixed */
  guint             entry;
  CudaTimed         fixed;
} CudaTimedRef;

/* What prepare() works with. The first error stays; what is asked for after it is NULL, and launches
 * made of it never run, so a prepare() need not check. */
typedef struct
{
  CudaDevice       *device;
  DimrPlan         *plan;
  DimrGraph        *graph;
  DimrPrecision     precision;
  CudaType          type;      /* of activations in this precision */
  DimrWeights      *weights;
  CudaSeries       *series;
  guint8           *arena;
  gsize             scratch;   /* bytes of the workspace that this node has taken */
  guint             place;     /* of the node among the plan's steps */
  GArray           *launches;  /* CudaLaunch */
  GArray           *closing;   /* CudaLaunch: to be added behind the node's own */
  GPtrArray        *memory;    /* what the launches point to, freed with the program */
  GPtrArray        *used;      /* CudaParam */
  GError           *error;
} CudaBuilder;

/* Bit i of a mask of slots stands for input i, this one for the result. */
#define CUDA_SLOT_RESULT 31
#define CUDA_SLOT(i) (1u << (i))

typedef struct
{
  /* Why the node cannot be computed (static), or NULL where it can. NULL: it always can. */
  const char *(*supports)  (const DimrGraph   *graph,
                            const DimrNode    *node);
  /* Bytes of scratch memory beside that of conversions. NULL: none. */
  gsize       (*workspace) (const CudaDevice  *device,
                            const DimrGraph   *graph,
                            const DimrNode    *node,
                            DimrPrecision      precision);
  void        (*prepare)   (CudaBuilder       *builder,
                            const DimrNode    *node,
                            DimrNodeId         id);
  guint         wide;      /* slots that are float in every precision */
  guint         as_stored; /* slots that are of the type in which the result is stored */
  /* What only moves or adds numbers: the result is stored as float where all of those inputs are, so the
   * gradients of parameters stay float to the end. */
  gboolean      follows;
  guint         either;    /* slots that are read as they are stored */
} CudaOp;

/* The row of @op (static); NULL for what is no step. */
const CudaOp  *cuda_op_get             (DimrOp             op);
/* The type in which @node wants its input @slot, or gives its result. */
CudaType       cuda_slot_type          (const DimrGraph   *graph,
                                        DimrNodeId         id,
                                        guint              slot,
                                        DimrPrecision      precision);
/* Scratch memory for inputs and a result that lie in the arena in another type. */
gsize          cuda_conversion_bytes   (const DimrGraph   *graph,
                                        DimrNodeId         id,
                                        DimrPrecision      precision);

/* Through reshapes; TRUE for a parameter or an absent input. */
gboolean       cuda_is_param           (const DimrGraph   *graph,
                                        DimrNodeId         id);
const DimrNode*cuda_input              (const DimrGraph   *graph,
                                        const DimrNode    *node,
                                        guint              slot);
/* Elements of all dimensions but the last, and of the last. */
int            cuda_n_rows             (const DimrNode    *node);
int            cuda_n_channels         (const DimrNode    *node);
/* Rows of one image: those of everything between the first and the last dimension. */
int            cuda_rows_per_image     (const DimrNode    *node);

/* Where input @slot lies, in the type that cuda_slot_type() says; converted by a launch of its own where
 * it is stored otherwise. NULL for an absent input. */
gconstpointer  cuda_builder_read       (CudaBuilder       *self,
                                        DimrNodeId         id,
                                        guint              slot);
/* Where the result goes, in that type. */
gpointer       cuda_builder_write      (CudaBuilder       *self,
                                        DimrNodeId         id);
/* Inputs [first, n_inputs) as one list of channels. */
CudaSources    cuda_builder_sources    (CudaBuilder       *self,
                                        DimrNodeId         id,
                                        guint              first);
/* A parameter's floats; NULL for an absent input. */
const float   *cuda_builder_floats     (CudaBuilder       *self,
                                        DimrNodeId         id);
gconstpointer  cuda_builder_param      (CudaBuilder       *self,
                                        const DimrNodeId  *ids,
                                        guint              n_ids,
                                        const CudaLayout  *layout);
/* The vector [T, D] at input @slot of the node; its values are NULL where the input is absent. */
CudaTimedRef   cuda_builder_timed      (CudaBuilder       *self,
                                        DimrNodeId         id,
                                        guint              slot);
/* Scratch memory of the running node. */
gpointer       cuda_builder_scratch    (CudaBuilder       *self,
                                        gsize              size);
/* @size zero bytes of the host that live as long as the program. */
gpointer       cuda_builder_alloc      (CudaBuilder       *self,
                                        gsize              size);
void           cuda_builder_add        (CudaBuilder       *self,
                                        CudaLaunchFunc     launch,
                                        gconstpointer      data);
/* Elements in another type. */
void           cuda_builder_add_convert (CudaBuilder      *self,
                                        CudaType           from,
                                        gconstpointer      x,
                                        CudaType           to,
                                        gpointer           out,
                                        gsize              n);
/* Has the node's row prepare it, with what conversions it needs. */
void           cuda_builder_prepare    (CudaBuilder       *self,
                                        DimrNodeId         id);

/* ---- cuda-group-norm.c: the norm of x, input 0, from its inputs stats, weight and bias at @first on, as
 * a factor and a summand of every channel, [B, 2, D] ---- */

gsize          cuda_folded_norm_bytes  (const DimrGraph   *graph,
                                        const DimrNode    *node);
const float   *cuda_builder_add_folded_norm (CudaBuilder  *self,
                                        const DimrNode    *node,
                                        DimrNodeId         id,
                                        guint              first);

/* Ops, by file. */
extern const CudaOp cuda_op_linear, cuda_op_linear_geglu;
extern const CudaOp cuda_op_attention;
extern const CudaOp cuda_op_rms_norm, cuda_op_layer_norm, cuda_op_time_param;
extern const CudaOp cuda_op_depthwise_conv, cuda_op_depthwise_input_grad, cuda_op_patchify, cuda_op_conv_to_image;
extern const CudaOp cuda_op_add, cuda_op_geglu, cuda_op_pixel_shuffle, cuda_op_slice_tokens, cuda_op_concat,
  cuda_op_average_pool, cuda_op_add_position, cuda_op_embedding, cuda_op_prepend_token;
extern const CudaOp cuda_op_silu, cuda_op_gelu, cuda_op_gelu_tanh, cuda_op_modulate, cuda_op_gated_add,
  cuda_op_timestep_embedding, cuda_op_slice_channels, cuda_op_repeat, cuda_op_to_image, cuda_op_image_to_map,
  cuda_op_upsample_nearest;
extern const CudaOp cuda_op_group_stats, cuda_op_group_norm, cuda_op_conv2d;
extern const CudaOp cuda_op_linear_input_grad, cuda_op_linear_weight_grad;
extern const CudaOp cuda_op_attention_grad;
extern const CudaOp cuda_op_ada_rms_norm, cuda_op_ada_rms_norm_grad, cuda_op_ada_rms_norm_scale_grad, cuda_op_axial_rope,
  cuda_op_axial_rope_grad, cuda_op_axial_rope_param_grad;
extern const CudaOp cuda_op_rms_norm_grad, cuda_op_rms_norm_scale_grad, cuda_op_layer_norm_grad, cuda_op_layer_norm_weight_grad;
extern const CudaOp cuda_op_depthwise_weight_grad, cuda_op_conv_to_image_input_grad;
extern const CudaOp cuda_op_geglu_grad, cuda_op_silu_grad, cuda_op_gelu_grad, cuda_op_gelu_tanh_grad;
extern const CudaOp cuda_op_mean_square, cuda_op_mean_square_grad, cuda_op_cross_entropy, cuda_op_cross_entropy_grad;
extern const CudaOp cuda_op_pad_tokens, cuda_op_pad_channels, cuda_op_transpose, cuda_op_pixel_unshuffle, cuda_op_spread,
  cuda_op_patches, cuda_op_unpatch, cuda_op_windows;
extern const CudaOp cuda_op_position_grad, cuda_op_embedding_grad, cuda_op_time_param_grad, cuda_op_sum_rows, cuda_op_sum_products;

/* ---- cuda-product.c: y [m, n] = x [m, k] · Wᵀ (+ bias) (+ c) by cuBLASLt ---- */

/* The version of cuBLASLt, as it counts them, that has products of e4m3 with a scale for each row. */
#define CUDA_F8_BLAS 120900

typedef struct
{
  gsize    m, n, k;
  gsize    weight_stride; /* elements from row to row of W [n, k] */
  gsize    x_stride;      /* of x, and of y and c; 0: dense */
  gsize    y_stride;
  gboolean turned;        /* W is given as its transpose [k, n] */
  gboolean x_turned;      /* x is given as its transpose [k, m] */
  /* So many products side by side, each of the next @k rows of a turned x and a turned W and with a y of its own. 0: one */
  gsize    batch;
  CudaType type;          /* of x and W */
  gboolean f8;            /* but these are e4m3, with a scale for each of their rows, and bias is bf16 */
  CudaType out;           /* of y, c and bias */
  gboolean bias;
  gboolean add;           /* c, which may be y */
  guint    alignment;     /* bytes of the first elements of W, x, y and c, at most CUDA_ALIGNMENT */
} CudaProductKey;

typedef struct
{
  gconstpointer weight, x, bias, c;
  const float  *weight_scales, *x_scales; /* [n], [m] */
  gpointer      y;
  gpointer      workspace; /* [product_workspace of the device] */
} CudaProductData;

typedef struct _CudaProduct CudaProduct;

CudaProducts  *cuda_products_new       (CudaDevice            *device);
void           cuda_products_free      (CudaProducts          *self);
/* The descriptors and the algorithm for @key, made once a device (transfer none). What @data points to
 * is written over where algorithms are timed. DIMR_ERROR_UNSUPPORTED where the library has none. */
CudaProduct   *cuda_products_get       (CudaProducts          *self,
                                        const CudaProductKey  *key,
                                        const CudaProductData *data,
                                        GError               **error);
gboolean       cuda_product_run        (CudaProduct           *self,
                                        CudaDevice            *device,
                                        const CudaProductData *data,
                                        cudaStream_t           stream,
                                        GError               **error);
guint          cuda_products_get_size  (CudaProducts          *self);
/* Of cuBLASLt: that of its library or that of the header, whichever is older, as 120900 for 12.9. */
guint          cuda_products_get_version (void);

/* cuda-linear.c: a product as a launch; its algorithm is looked up now. */
void           cuda_builder_add_product (CudaBuilder          *self,
                                        const CudaProductKey  *key,
                                        const CudaProductData *data);

/* ---- cuda-float8.c: which products are in e4m3, and their inputs ---- */

/* Whether the product of @node, LINEAR or LINEAR_GEGLU with its weight at input 0, is one of those. */
gboolean       cuda_is_float8          (const DimrGraph    *graph,
                                        const DimrNode     *node,
                                        DimrPrecision       precision);
/* Bytes of scratch memory for @rows × @k. */
gsize          cuda_float8_workspace   (gsize               rows,
                                        gsize               k);
/* Has @data->x, @rows × @k of bf16, quantised before the launches that follow, and @data name the result. */
void           cuda_builder_add_quantize (CudaBuilder      *self,
                                        CudaProductData    *data,
                                        gsize               rows,
                                        gsize               k);

/* ---- cuda-choices.c: algorithms that were timed once, so that the next process computes the same bytes ---- */

typedef struct _CudaChoices CudaChoices;

CudaChoices   *cuda_choices_new        (const CudaDevice        *device);
void           cuda_choices_free       (CudaChoices             *self);
gboolean       cuda_choices_find       (CudaChoices             *self,
                                        const char              *key,
                                        cublasLtMatmulAlgo_t    *algorithm);
/* Written to disk at once; where that fails the choice holds for this process. FALSE where another process has
 * decided meanwhile: cuda_choices_find() knows what. */
gboolean       cuda_choices_record     (CudaChoices             *self,
                                        const char              *key,
                                        const cublasLtMatmulAlgo_t *algorithm);

/* ---- cuda-series.c: what depends on the time and on parameters alone ---- */

CudaSeries    *cuda_series_new         (CudaDevice         *device,
                                        DimrPlan           *plan,
                                        GError            **error);
void           cuda_series_free        (CudaSeries         *self);
/* DIMR_NODE_NONE where nothing depends on a time. */
DimrNodeId     cuda_series_get_input   (const CudaSeries   *self);
/* The entry of a TIME_PARAM whose values are in the table; FALSE where it is computed like other nodes. */
gboolean       cuda_series_find        (const CudaSeries   *self,
                                        DimrNodeId          id,
                                        guint              *entry);
void           cuda_series_set_params  (CudaSeries         *self,
                                        guint               entry,
                                        const float * const params[4]);
CudaTimed      cuda_timed              (const CudaTimedRef *ref);
/* All values [n_values][n_times] at once. *moved (also after an error) where the table is another one than before, which captured graphs do not know. */
gboolean       cuda_series_set         (CudaSeries         *self,
                                        const float        *values,
                                        guint               n_values,
                                        gsize               n_times,
                                        gboolean           *moved,
                                        GError            **error);
/* The next evaluation reads value @index; also copies it to @input, the node's place in the arena. */
gboolean       cuda_series_select      (CudaSeries         *self,
                                        guint               index,
                                        float              *input,
                                        GError            **error);
/* The next evaluation reads what lies in @input. */
gboolean       cuda_series_compute     (CudaSeries         *self,
                                        const float        *input,
                                        GError            **error);
/* Parameters have changed: the values are made anew, those of an evaluation that is in no table of what lies in @input. */
gboolean       cuda_series_renew       (CudaSeries         *self,
                                        const float        *input,
                                        GError            **error);
/* The values [T, D] of @entry for the evaluation that is next or was last (device). */
const float   *cuda_series_peek        (const CudaSeries   *self,
                                        guint               entry);

/* ---- cuda-program.c ---- */

DimrProgram   *cuda_program_new        (CudaDevice        *device,
                                        DimrPlan          *plan,
                                        DimrWeights       *weights,
                                        GCancellable      *cancellable,
                                        GError           **error);
/* Queues one evaluation. */
gboolean       cuda_program_enqueue    (CudaProgram       *self,
                                        GError           **error);
/* Where the elements of @id lie on the device, and how. */
gpointer       cuda_program_peek       (CudaProgram       *self,
                                        DimrNodeId         id,
                                        DimrDType         *storage);
/* Where the next value of input @id goes, which is none that was written before, whatever was wrong with that. */
gpointer       cuda_program_renew      (CudaProgram       *self,
                                        DimrNodeId         id);
/* DIMR_ERROR_REQUEST where one of the labels is none of the tables' that @input goes to. */
gboolean       cuda_program_check      (CudaProgram       *self,
                                        DimrNodeId         input,
                                        const gint32      *labels,
                                        gsize              n,
                                        GError           **error);
CudaDevice    *cuda_program_get_device (CudaProgram       *self);

/* ---- cuda-walk.c ---- */

DimrDeviceWalk *cuda_walk_new          (CudaDevice         *device,
                                        const DimrWalkSpec *spec,
                                        GError            **error);

/* What the module is opened for. */
const DimrBackend *dimr_cuda_backend   (void);

G_END_DECLS
