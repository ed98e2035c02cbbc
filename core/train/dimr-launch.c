/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-launch.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"
#include "core/train/dimr-collective.h"

#include <string.h>

#define DEFAULT_PORT 29517
#define DEFAULT_PATIENCE 300
#define LOOPBACK "127.0.0.1"

/* The names by which a launcher tells. */
typedef struct
{
  const char *launcher;
  const char *size, *rank, *local_rank;
  const char *local_size;  /* processes of this host; NULL: not told */
  const char *job;         /* tells one job from another on the same host; NULL: not told */
} Names;

static const Names launchers[] = {
  { "torchrun", "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", NULL },
  /* Only srun sets the size of a step; the script of a batch job has a rank, but is alone. */
  { "Slurm", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", NULL, "SLURM_JOB_ID" },
  { "Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE" },
  { "MPI", "PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", NULL },
};

void
dimr_launch_free (DimrLaunch *self)
{
  g_return_if_fail (self != NULL);
  g_free (self->host);
  g_free (self->token);
  g_free (self);
}

static const char *
get (const char * const *environment,
     const char         *name)
{
  const char *value = name != NULL ? g_environ_getenv ((char **) environment, name) : NULL;

  return value != NULL && *value != '\0' ? value : NULL;
}

/* A number below @limit; @value stays what it is where the variable is not set. */
static gboolean
get_number (const char * const *environment,
            const char         *name,
            guint64             min,
            guint64             max,
            guint              *value,
            GError            **error)
{
  const char *text = get (environment, name);
  guint64 number;

  if (text == NULL)
    return TRUE;
  if (!g_ascii_string_to_unsigned (text, 10, min, max, &number, NULL))
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("The environment says %s=%s, which should be a whole number from %" PRIu64 " to %" PRIu64),
                      name, text, min, max);
      return FALSE;
    }
  *value = (guint) number;
  return TRUE;
}

/* The first name of a list as Slurm writes them: "gpu[003-010,012],login1" begins with gpu003. */
static char *
dup_first_host (const char *list)
{
  const gsize name = strcspn (list, "[,");
  GString *host = g_string_new_len (list, (gssize) name);

  if (list[name] == '[')
    {
      const char *inside = list + name + 1, *after = strchr (inside, ']');

      g_string_append_len (host, inside, (gssize) strcspn (inside, "-,]"));
      if (after != NULL)
        g_string_append_len (host, after + 1, (gssize) strcspn (after + 1, ","));
    }
  return g_string_free (host, FALSE);
}

/* Jobs that share a host should not meet: each has a port of its own, likely. */
static guint
port_of_job (const char *job)
{
  return job != NULL ? 20000 + g_str_hash (job) % 10000 : DEFAULT_PORT;
}

static gboolean
find_host (DimrLaunch         *self,
           const char * const *environment,
           const Names        *names,
           GError            **error)
{
  const char *address = get (environment, "MASTER_ADDR"), *nodes = get (environment, "SLURM_STEP_NODELIST");
  guint port = port_of_job (get (environment, names->job));

  if (!get_number (environment, names->local_size, 1, DIMR_COLLECTIVE_MAX, &self->local_size, error) ||
      !get_number (environment, "MASTER_PORT", 1, G_MAXUINT16, &port, error))
    return FALSE;
  self->port = (guint16) port;
  if (address != NULL)
    self->host = g_strdup (address);
  else if (names->job != NULL && strcmp (names->job, "SLURM_JOB_ID") == 0 && nodes != NULL)
    self->host = dup_first_host (nodes);
  else if (self->local_size == self->size)
    self->host = g_strdup (LOOPBACK);
  else
    {
      dimr_error_set (error, DIMR_ERROR_REQUEST,
                      _("%s started %u processes, but nothing says where the first one is: set MASTER_ADDR to its host, the same for all"),
                      names->launcher, self->size);
      return FALSE;
    }
  return TRUE;
}

DimrLaunch *
dimr_launch_new_from_environment (const char * const  *environment,
                                  GError             **error)
{
  g_autoptr (DimrLaunch) self = NULL;
  const Names *names = NULL;
  const char *token = get (environment, "DIMR_TOKEN");

  for (guint i = 0; names == NULL && i < G_N_ELEMENTS (launchers); i++)
    if (get (environment, launchers[i].size) != NULL && get (environment, launchers[i].rank) != NULL)
      names = &launchers[i];
  if (names == NULL)
    return NULL;

  self = g_new0 (DimrLaunch, 1);
  self->size = 1;
  self->patience = DEFAULT_PATIENCE;
  if (!get_number (environment, names->size, 1, DIMR_COLLECTIVE_MAX, &self->size, error) ||
      !get_number (environment, names->rank, 0, self->size - 1, &self->rank, error))
    return NULL;
  if (self->size == 1)
    return NULL;
  self->local_rank = self->rank;
  if (!get_number (environment, names->local_rank, 0, self->size - 1, &self->local_rank, error) ||
      !get_number (environment, "DIMR_PATIENCE", 1, 86400, &self->patience, error) ||
      !find_host (self, environment, names, error))
    return NULL;
  self->token = g_strdup (token != NULL ? token : "");
  return g_steal_pointer (&self);
}

static char *
make_token (void)
{
  GString *token = g_string_new (NULL);
  g_autoptr (GRand) rand = g_rand_new ();
  g_autoptr (GFile) file = g_file_new_for_path ("/dev/urandom");
  g_autoptr (GFileInputStream) stream = g_file_read (file, NULL, NULL);
  guint32 words[4];
  gsize n_read = 0;

  if (stream == NULL || !g_input_stream_read_all (G_INPUT_STREAM (stream), words, sizeof words, &n_read, NULL, NULL) ||
      n_read != sizeof words)
    for (guint i = 0; i < G_N_ELEMENTS (words); i++)
      words[i] = g_rand_int (rand);
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    g_string_append_printf (token, "%08x", words[i]);
  return g_string_free (token, FALSE);
}

DimrLaunch *
dimr_launch_new_local (guint   size,
                       guint16 port)
{
  DimrLaunch *self = g_new0 (DimrLaunch, 1);

  self->size = self->local_size = size;
  self->host = g_strdup (LOOPBACK);
  self->port = port;
  self->token = make_token ();
  self->patience = DEFAULT_PATIENCE;
  return self;
}

char **
dimr_launch_set_environment (const DimrLaunch  *self,
                             guint              rank,
                             char             **environment)
{
  g_autofree char *rank_text = g_strdup_printf ("%u", rank), *size_text = g_strdup_printf ("%u", self->size);
  g_autofree char *port_text = g_strdup_printf ("%u", self->port), *patience_text = g_strdup_printf ("%u", self->patience);
  const struct { const char *name, *value; } variables[] = {
    { "RANK", rank_text }, { "WORLD_SIZE", size_text }, { "LOCAL_RANK", rank_text }, { "LOCAL_WORLD_SIZE", size_text },
    { "MASTER_ADDR", self->host }, { "MASTER_PORT", port_text },
    { "DIMR_TOKEN", self->token }, { "DIMR_PATIENCE", patience_text },
  };

  for (guint i = 0; i < G_N_ELEMENTS (variables); i++)
    environment = g_environ_setenv (environment, variables[i].name, variables[i].value, TRUE);
  return environment;
}
