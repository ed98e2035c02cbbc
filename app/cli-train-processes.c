/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "app/cli-train-processes.h"

/* Until processes of one host have come together, and until one that has lost the others must have ended. */
#define LOCAL_PATIENCE 60
#define END_SECONDS 30

struct _StudioProcesses
{
  DimrLaunch *launch;      /* NULL: a single process */
  GSocket *listener;       /* where the started ones come; NULL: somebody else started us */
  GPtrArray *children;     /* GSubprocess */
  DimrCollective *group;
};

static gboolean
start (StudioProcesses  *self,
       int               argc,
       char            **argv,
       GError          **error)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", error);
  g_autoptr (GPtrArray) line = g_ptr_array_new ();

  if (program == NULL)
    return FALSE;
  g_ptr_array_add (line, program);
  for (int i = 0; i < argc; i++)
    g_ptr_array_add (line, argv[i]);
  /* The last one holds: a child starts none. */
  g_ptr_array_add (line, (gpointer) "--processes=1");
  g_ptr_array_add (line, NULL);
  for (guint rank = 1; rank < self->launch->size; rank++)
    {
      g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
      g_auto (GStrv) environment = dimr_launch_set_environment (self->launch, rank, g_get_environ ());
      GSubprocess *child;

      g_subprocess_launcher_set_environ (launcher, environment);
      child = g_subprocess_launcher_spawnv (launcher, (const char * const *) line->pdata, error);
      if (child == NULL)
        return FALSE;
      g_ptr_array_add (self->children, child);
    }
  return TRUE;
}

StudioProcesses *
studio_processes_new (guint    n,
                      int      argc,
                      char   **argv,
                      GError **error)
{
  StudioProcesses *self = g_new0 (StudioProcesses, 1);
  g_auto (GStrv) environment = g_get_environ ();
  g_autoptr (GError) problem = NULL;
  guint16 port = 0;

  self->children = g_ptr_array_new_with_free_func (g_object_unref);
  self->launch = dimr_launch_new_from_environment ((const char * const *) environment, &problem);
  if (problem == NULL && self->launch != NULL && n > 1)
    g_set_error (&problem, DIMR_ERROR, DIMR_ERROR_REQUEST, _("A launcher has started %u processes already: leave --processes out"),
                 self->launch->size);
  if (problem == NULL && self->launch == NULL && n > 1)
    {
      self->listener = dimr_collective_tcp_listen (TRUE, &port, &problem);
      if (self->listener != NULL)
        {
          self->launch = dimr_launch_new_local (n, port);
          self->launch->patience = LOCAL_PATIENCE;
          start (self, argc, argv, &problem);
        }
    }
  if (problem == NULL)
    return self;
  g_propagate_error (error, g_steal_pointer (&problem));
  studio_processes_free (self);
  return NULL;
}

gboolean
studio_processes_join (StudioProcesses    *self,
                       DimrTrainingGroup  *group,
                       GCancellable       *cancellable,
                       GError            **error)
{
  *group = (DimrTrainingGroup){ NULL, 0, 1 };
  if (self->launch == NULL)
    return TRUE;
  self->group = dimr_collective_tcp_new (self->launch, self->listener, cancellable, error);
  *group = (DimrTrainingGroup){ self->group, self->launch->local_rank, self->launch->local_size };
  return self->group != NULL;
}

guint
studio_processes_get_rank (StudioProcesses *self)
{
  return self->launch != NULL ? self->launch->rank : 0;
}

/* Once their connections are closed they end by themselves; one that hangs is ended. */
static gboolean
wait_for_child (GSubprocess *child,
                gint64       deadline)
{
  while (g_get_monotonic_time () < deadline && g_subprocess_get_identifier (child) != NULL)
    g_usleep (20000);
  if (g_subprocess_get_identifier (child) != NULL)
    g_subprocess_force_exit (child);
  g_subprocess_wait (child, NULL, NULL);
  return g_subprocess_get_successful (child);
}

gboolean
studio_processes_free (StudioProcesses *self)
{
  gboolean well = TRUE;

  g_clear_object (&self->group);
  g_clear_object (&self->listener);
  for (guint i = 0; i < self->children->len; i++)
    well &= wait_for_child (g_ptr_array_index (self->children, i), g_get_monotonic_time () + END_SECONDS * G_USEC_PER_SEC);
  g_ptr_array_unref (self->children);
  g_clear_pointer (&self->launch, dimr_launch_free);
  g_free (self);
  return well;
}
