/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "kernels/dimr-cuda.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/library/dimr-paths.h"

#include <dlfcn.h>
#include <gmodule.h>
#include <string.h>

typedef const DimrBackend *(*BackendFunc) (void);

/* What opening has given, for all threads and the rest of the process. */
static const DimrBackend *backend;
static GError *reason;

#define set_reason(...) dimr_error_set (&reason, DIMR_ERROR_DEVICE, __VA_ARGS__)

/* The module costs memory and most of a second, so the driver is looked for first. */
static gboolean
find_driver (void)
{
  void *driver = dlopen ("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);

  if (driver == NULL)
    {
      set_reason (_("No NVIDIA driver is installed here (there is no libcuda.so.1); install one to use an NVIDIA GPU"));
      return FALSE;
    }
  dlclose (driver);
  return TRUE;
}

/* A program that was not installed uses the module beside it, never one that is installed. */
static char *
find_module (void)
{
  const char *override = g_getenv (DIMR_CUDA_MODULE_VARIABLE);

  if (override != NULL && override[0] != '\0')
    return g_strdup (override);
  if (dimr_paths_is_uninstalled ())
    return g_strdup (DIMR_BUILD_ROOT "/kernels/cuda/libdimr-cuda.so");
  return g_build_filename (PKGLIBDIR, "libdimr-cuda.so", NULL);
}

static void
explain_failure (const char *path,
                 const char *message)
{
  const char *library = strstr (message, "libcublasLt.so");

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    set_reason (_("The NVIDIA part of this program is missing (there is no %s); install it again"), path);
  else if (library != NULL)
    set_reason (_("NVIDIA's library cuBLAS was not found (%.*s); install the package libcublas of the CUDA toolkit, "
                  "or name its folder in LD_LIBRARY_PATH"), (int) strcspn (library, ": "), library);
  else
    set_reason (_("The NVIDIA part of this program cannot be opened (%s); install it again"), message);
}

/* Whether the backend of @module can be called; otherwise says why not. */
static gboolean
check_tag (GModule    *module,
           const char *path)
{
  static const DimrCudaTag own = DIMR_CUDA_TAG_INIT;
  const DimrCudaTag *tag;

  if (!g_module_symbol (module, DIMR_CUDA_TAG_SYMBOL, (gpointer *) &tag) || tag == NULL)
    set_reason (_("%s is no NVIDIA part of this program; install it again"), path);
  else if (strcmp (tag->version, own.version) != 0)
    set_reason (_("%s belongs to version %s of this program, which is version %s; install both of one version"),
                path, tag->version, own.version);
  else if (memcmp (tag->sizes, own.sizes, sizeof own.sizes) != 0)
    set_reason (_("%s was built from other sources of version %s than this program; build both together"), path, own.version);
  return reason == NULL;
}

static void
open_module (void)
{
  g_autofree char *path = find_module ();
  BackendFunc get_backend = NULL;
  GModule *module;

  /* A module that is named by hand may bring its own driver, as those of the tests do. */
  if (g_getenv (DIMR_CUDA_MODULE_VARIABLE) == NULL && !find_driver ())
    return;
  if (!DIMR_HAVE_CUDA && g_getenv (DIMR_CUDA_MODULE_VARIABLE) == NULL)
    {
      set_reason (_("This program was built without its NVIDIA part; install the CUDA toolkit (12.4 or newer) and build it again"));
      return;
    }
  module = g_module_open (path, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  if (module == NULL)
    {
      explain_failure (path, g_module_error ());
      return;
    }
  if (!check_tag (module, path))
    {
      g_module_close (module);
      return;
    }
  /* Its types are registered with GObject for good. */
  g_module_make_resident (module);
  if (g_module_symbol (module, "dimr_cuda_backend", (gpointer *) &get_backend) && get_backend != NULL)
    backend = get_backend ();
  else
    set_reason (_("%s is no NVIDIA part of this program; install it again"), path);
}

/* NULL with @error where there is none. */
static const DimrBackend *
peek_backend (GError **error)
{
  static gsize opened;

  if (g_once_init_enter (&opened))
    {
      open_module ();
      g_once_init_leave (&opened, 1);
    }
  if (backend == NULL && error != NULL)
    *error = g_error_copy (reason);
  return backend;
}

static guint
get_n_devices (GError **error)
{
  const DimrBackend *found = peek_backend (error);

  return found != NULL ? found->get_n_devices (error) : 0;
}

static char *
dup_device_name (guint index)
{
  const DimrBackend *found = peek_backend (NULL);

  return found != NULL ? found->dup_device_name (index) : g_strdup ("NVIDIA GPU");
}

static DimrDevice *
open_device (guint    index,
             guint    n_threads,
             GError **error)
{
  const DimrBackend *found = peek_backend (error);

  return found != NULL ? found->open (index, n_threads, error) : NULL;
}

const DimrBackend dimr_cuda_backend_stub = { "cuda", get_n_devices, dup_device_name, open_device };
