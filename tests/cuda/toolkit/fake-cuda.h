/* fake-cuda.h — steers the CUDA runtime that is none
 *
 * fake-cuda*.c and fake-cublaslt*.c implement the calls of include/ on the processor: memory is host
 * memory with guards around it, filled with NaN; a stream runs its work at once, or only when
 * somebody waits for it; captured work is kept and replayed. What the real runtime refuses is refused here
 * with the same code. Everything is behind one lock, so calls may come from any thread.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct
{
  int         n_devices;         /* 1 */
  int         major, minor;      /* 9.0 */
  int         n_multiprocessors; /* 132 */
  int         driver_version;    /* 13000; 0: no driver */
  int         blas_version;      /* of cuBLASLt: 130000 */
  size_t      memory;            /* bytes of each device in all: 16 GiB */
  size_t      others;            /* bytes that other processes hold: 1 GiB */
  const char *name;              /* static */
  /* FALSE: work runs when it is queued. TRUE: when a stream, an event or the device is waited for,
   * which shows results that are used too early and sources that are overwritten too early. */
  int         deferred;
  /* Threads of a block and blocks of a grid take turns in ascending (0) or descending order (1), or in
   * a random one for every larger number. A kernel whose results depend on it has a race. */
  unsigned    order;
} FakeCudaConfig;

/* Back to a healthy device of the above figures. */
void        fake_cuda_reset            (void);
/* What the next calls find; takes effect at once (transfer none). A program that cannot call this begins with
 * what FAKE_CUDA_DEFERRED, FAKE_CUDA_ORDER, FAKE_CUDA_DEVICES, FAKE_CUDA_DRIVER and FAKE_CUDA_MEMORY (MiB) in its
 * environment say; FAKE_CUDA_FAIL=CALL:CODE is fake_cuda_fail_at (). */
FakeCudaConfig *fake_cuda_config       (void);

/* The @call_number-th call from now (the next is 1) of a runtime or cuBLASLt function returns
 * @error and does nothing; with a code after which the real process is lost, so does every call
 * after it. cuBLASLt translates to its own codes. 0: never. A call that releases something releases it all the same. */
void        fake_cuda_fail_at          (unsigned long  call_number,
                                        cudaError_t    error);
/* Calls since fake_cuda_reset() or fake_cuda_fail_at(). */
unsigned long fake_cuda_count_calls    (void);
/* Name of the call that was made to fail, or NULL where none was yet (static). */
const char *fake_cuda_failed_call      (void);

/* Things that were created and not destroyed: allocations, streams, events, graphs, handles. */
unsigned    fake_cuda_count_objects    (void);
/* One line for each of them on stderr. */
void        fake_cuda_print_objects    (void);
size_t      fake_cuda_allocated        (void);   /* bytes of device memory now */
size_t      fake_cuda_peak             (void);   /* and at most since the reset */
unsigned long fake_cuda_count_launches (void);   /* kernels and products that ran, replayed ones too */

/* Aborts with a message where bytes around an allocation were written. */
void        fake_cuda_check_guards     (void);

/* ---- for the kernels' side, emulator.h and fake-cublaslt*.c ---- */

/* Queues @run (@data) as a kernel of @stream, or adds it to the graph that is captured. @data is
 * freed with @free_data, when it has run or with its graph. */
cudaError_t fake_cuda_enqueue          (cudaStream_t   stream,
                                        void         (*run)       (void *data),
                                        void          *data,
                                        void         (*free_data) (void *data));
/* Enters a call: what it must return, or cudaSuccess. */
cudaError_t fake_cuda_enter            (const char    *name);
/* The same for a call of a library that has a runtime of its own inside: cudaGetLastError() does not see it. */
cudaError_t fake_cuda_enter_apart      (const char    *name);
/* Makes @error the last error and returns it. */
cudaError_t fake_cuda_error            (cudaError_t    error);
/* Are the @size bytes at @memory inside one allocation that a kernel can reach? */
int         fake_cuda_is_device        (const void    *memory,
                                        size_t         size);
/* What cudaFuncSetAttribute() allowed, 48 KiB unless more; and what the device has at most. */
size_t      fake_cuda_shared_limit     (const void    *kernel);
size_t      fake_cuda_shared_optin     (void);
/* Objects that belong to others. */
void        fake_cuda_add_object       (const void    *object,
                                        const char    *kind);
int         fake_cuda_remove_object    (const void    *object,
                                        const char    *kind);
int         fake_cuda_has_object       (const void    *object,
                                        const char    *kind);

#ifdef __cplusplus
}
#endif
