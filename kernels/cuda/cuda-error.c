/* cuda-error.c — what the runtime and the math library report, as one sentence each
 *
 * A code is told to a person once, with what to do; the number stands behind it for a report. Codes
 * that CUDA documents as the end of the process's context end the device here: every later call says
 * so at once instead of failing somewhere else.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/cuda/cuda-private.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

typedef struct
{
  int code; /* numbers, where older toolkits have no name for them */
  const char *text;
} CudaErrorText;

/* After these the context is corrupt: the first part by the documentation of each code, the last three
 * by what they are. */
static const CudaErrorText fatal[] = {
  { 226, N_("an error that was contained on the device") },
  { 700, N_("a kernel read or wrote outside its memory") },
  { 702, N_("a kernel took too long for the display's watchdog") },
  { 710, N_("an assertion of a kernel failed") },
  { 714, N_("the hardware's stack overflowed") },
  { 715, N_("an instruction that the device does not know") },
  { 716, N_("a kernel used an unaligned address") },
  { 717, N_("a kernel used an address of the wrong kind") },
  { 718, N_("a kernel ran out of its program") },
  { 719, N_("a kernel failed") },
  { 721, N_("a kernel kept tensor memory") },
  { 810, N_("the process that shares the device with others has ended") },
  { 911, N_("a device outside of CUDA failed") },
  { 214, N_("its memory has an error that could not be corrected") },
  { 220, N_("a link between devices failed") },
  { 999, N_("an unknown error, as after suspending the computer") },
};

static const char *
find_text (const CudaErrorText *texts,
           gsize                n,
           int                  code)
{
  for (gsize i = 0; i < n; i++)
    if (texts[i].code == code)
      return _(texts[i].text);
  return NULL;
}

gboolean
cuda_error_is_fatal (cudaError_t code)
{
  return find_text (fatal, G_N_ELEMENTS (fatal), (int) code) != NULL;
}

/* "12.4" of 12040 */
static char *
format_version (int version)
{
  return g_strdup_printf ("%d.%d", version / 1000, version % 1000 / 10);
}

static void
set_old_driver (GError **error)
{
  int driver = 0, runtime = 0;
  g_autofree char *has = NULL, *needs = NULL;

  (void) cudaDriverGetVersion (&driver);
  (void) cudaRuntimeGetVersion (&runtime);
  has = format_version (driver);
  needs = format_version (runtime);
  if (driver > 0)
    dimr_error_set (error, DIMR_ERROR_DEVICE,
                    _("The NVIDIA driver is too old: it knows CUDA %s and this program needs %s; install a newer driver"),
                    has, needs);
  else
    dimr_error_set (error, DIMR_ERROR_DEVICE,
                    _("No NVIDIA driver answers: install one for CUDA %s or newer, or restart the computer after an update"), needs);
}

/* Failures of starting: no fault of a program, and a person can mend them. */
static const CudaErrorText absent[] = {
  { 100, N_("No NVIDIA GPU was found: check that it is switched on and that CUDA_VISIBLE_DEVICES does not hide it") },
  { 101, N_("There is no such NVIDIA GPU: see dimr devices for those that are there") },
  { 803, N_("The NVIDIA driver was updated and its parts do not match: restart the computer") },
  { 804, N_("This NVIDIA GPU does not take the installed compatibility libraries: install a newer driver instead") },
  { 34, N_("Only a stub of the NVIDIA driver is installed: install the driver itself") },
  { 36, N_("The NVIDIA driver cannot be called: install it again") },
  { 46, N_("The NVIDIA GPU is used by another program exclusively: end that program, or set the compute mode to default") },
  { 3, N_("The NVIDIA driver could not be started: restart the computer, and look at the output of nvidia-smi") },
  { 802, N_("The NVIDIA GPU is still being set up: try again in a minute") },
};

void
cuda_error_set_absent (GError      **error,
                       cudaError_t   code)
{
  const char *text = find_text (absent, G_N_ELEMENTS (absent), (int) code);

  if ((int) code == 35)
    set_old_driver (error);
  else if (text != NULL)
    g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_DEVICE, text);
  else
    dimr_error_set (error, DIMR_ERROR_DEVICE,
                    _("The NVIDIA driver answers '%s' (CUDA error %d): look at the output of nvidia-smi"),
                    cudaGetErrorString (code), (int) code);
}

void
cuda_error_set (GError      **error,
                cudaError_t   code,
                const char   *name)
{
  const char *reason = find_text (fatal, G_N_ELEMENTS (fatal), (int) code);

  if (reason != NULL)
    dimr_error_set (error, DIMR_ERROR_DEVICE_LOST,
                    _("%s has stopped: %s (CUDA error %d); start this program again to use it, or go on with the CPU"),
                    name, reason, (int) code);
  else if ((int) code == 35 || find_text (absent, G_N_ELEMENTS (absent), (int) code) != NULL)
    cuda_error_set_absent (error, code);
  else if ((int) code == 209 || (int) code == 222)
    dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                    _("This build has no code for %s (CUDA error %d): build it with -Dgpu_arch=all, or use the CPU"), name, (int) code);
  else if (code == cudaErrorMemoryAllocation)
    dimr_error_set (error, DIMR_ERROR_MEMORY,
                    _("%s has no memory left; use a smaller batch, or close what else uses the device"), name);
  else
    dimr_error_set (error, DIMR_ERROR_DEVICE,
                    _("%s answers '%s' (CUDA error %d); try again, and use the CPU if it happens again"),
                    name, cudaGetErrorString (code), (int) code);
}

/* Codes of devices that are lost, by index; 0: works. A device that is opened anew is as lost. */
#define MAX_DEVICES 64
static int lost[MAX_DEVICES];

void
cuda_error_forget (void)
{
  for (guint i = 0; i < MAX_DEVICES; i++)
    g_atomic_int_set (&lost[i], 0);
}

gboolean
cuda_device_check (CudaDevice   *self,
                   cudaError_t   status,
                   GError      **error)
{
  if (G_LIKELY (status == cudaSuccess))
    return TRUE;
  /* Errors that are not sticky are reported once more by the next launch unless they are taken here. */
  (void) cudaGetLastError ();
  if (cuda_error_is_fatal (status) && self->index < MAX_DEVICES)
    g_atomic_int_compare_and_exchange (&lost[self->index], 0, (int) status);
  cuda_error_set (error, status, self->name);
  return FALSE;
}

gboolean
cuda_device_check_blas (CudaDevice      *self,
                        cublasStatus_t   status,
                        GError         **error)
{
  size_t free_bytes, all;
  cudaError_t cause;

  if (G_LIKELY (status == CUBLAS_STATUS_SUCCESS))
    return TRUE;
  /* The library hides what the runtime said, and has one of its own inside. A device that is lost says so to
   * whoever asks. */
  cause = cudaGetLastError ();
  if (cause == cudaSuccess)
    {
      cause = cudaMemGetInfo (&free_bytes, &all);
      (void) cudaGetLastError ();
    }
  if (cuda_error_is_fatal (cause))
    return cuda_device_check (self, cause, error);
  if (status == CUBLAS_STATUS_ALLOC_FAILED)
    cuda_error_set (error, cudaErrorMemoryAllocation, self->name);
  else if (status == CUBLAS_STATUS_ARCH_MISMATCH || status == CUBLAS_STATUS_NOT_SUPPORTED)
    dimr_error_set (error, DIMR_ERROR_UNSUPPORTED,
                    _("cuBLAS cannot compute a product of this model on %s (%s); use --precision f32 or the CPU"),
                    self->name, cublasLtGetStatusName (status));
  else
    dimr_error_set (error, DIMR_ERROR_DEVICE,
                    _("cuBLAS fails on %s (%s); try again, and use the CPU if it happens again"),
                    self->name, cublasLtGetStatusName (status));
  return FALSE;
}

gboolean
cuda_device_enter (CudaDevice  *self,
                   GError     **error)
{
  const int code = self->index < MAX_DEVICES ? g_atomic_int_get (&lost[self->index]) : 0;

  if (code != 0)
    {
      cuda_error_set (error, (cudaError_t) code, self->name);
      return FALSE;
    }
  return cuda_device_check (self, cudaSetDevice (self->index), error);
}
