/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/dimr-error.h"
#include "core/train/dimr-collective-tcp.h"
#include <string.h>
#include <sys/socket.h>

static void
assert_says (GError     *error,
             const char *sentence)
{
  if (error == NULL || error->domain != DIMR_ERROR || strstr (error->message, sentence) == NULL)
    g_error ("“%s” instead of “%s”", error != NULL ? error->message : "no error", sentence);
  g_error_free (error);
}

static DimrLaunch *
read_launch (const char  *variables,
             GError     **error)
{
  g_auto (GStrv) environment = g_strsplit (variables, " ", -1);

  return dimr_launch_new_from_environment ((const char * const *) environment, error);
}

static void
test_launchers (void)
{
  static const struct
  {
    const char *variables;
    guint rank, size, local_rank;
    const char *host;
    guint port;   /* 0: any */
  } cases[] = {
    { "RANK=3 WORLD_SIZE=8 LOCAL_RANK=1 MASTER_ADDR=a.example MASTER_PORT=1234", 3, 8, 1, "a.example", 1234 },
    { "SLURM_PROCID=5 SLURM_STEP_NUM_TASKS=16 SLURM_LOCALID=1 SLURM_STEP_NODELIST=gpu[003-010,012] SLURM_JOB_ID=77", 5, 16, 1, "gpu003", 0 },
    { "SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NODELIST=login1,gpu2", 0, 2, 0, "login1", 0 },
    { "SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NODELIST=tux[1,3]-ib MASTER_PORT=7", 0, 2, 0, "tux1-ib", 7 },
    { "OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_LOCAL_RANK=2 OMPI_COMM_WORLD_LOCAL_SIZE=4", 2, 4, 2, "127.0.0.1", 29517 },
    { "PMI_SIZE=2 PMI_RANK=1 MASTER_ADDR=b", 1, 2, 1, "b", 29517 },
  };
  static const struct { const char *variables, *sentence; } bad[] = {
    { "RANK=8 WORLD_SIZE=8 MASTER_ADDR=a", "RANK=8, which should be a whole number from 0 to 7" },
    { "RANK=x WORLD_SIZE=8 MASTER_ADDR=a", "RANK=x" },
    { "RANK=0 WORLD_SIZE=0 MASTER_ADDR=a", "WORLD_SIZE=0" },
    { "RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=70000", "MASTER_PORT=70000" },
    { "PMI_SIZE=2 PMI_RANK=1", "set MASTER_ADDR" },
    { "OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_LOCAL_SIZE=2", "set MASTER_ADDR" },
  };
  static const char * const none[] = { "HOME=/", "RANK=0 WORLD_SIZE=1", "SLURM_PROCID=0 SLURM_NTASKS=4", "WORLD_SIZE=4" };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (DimrLaunch) launch = read_launch (cases[i].variables, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (launch->rank, ==, cases[i].rank);
      g_assert_cmpuint (launch->size, ==, cases[i].size);
      g_assert_cmpuint (launch->local_rank, ==, cases[i].local_rank);
      g_assert_cmpstr (launch->host, ==, cases[i].host);
      g_assert_true (cases[i].port == 0 || launch->port == cases[i].port);
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      GError *error = NULL;

      g_assert_null (read_launch (bad[i].variables, &error));
      assert_says (error, bad[i].sentence);
    }
  for (guint i = 0; i < G_N_ELEMENTS (none); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (read_launch (none[i], &error));
      g_assert_no_error (error);
    }
}

/* What is written for a child it reads again, and no two runs have one token. */
static void
test_children (void)
{
  g_autoptr (DimrLaunch) launch = dimr_launch_new_local (3, 4321), other = dimr_launch_new_local (3, 4321);
  g_auto (GStrv) environment = dimr_launch_set_environment (launch, 2, g_get_environ ());
  g_autoptr (DimrLaunch) child = dimr_launch_new_from_environment ((const char * const *) environment, NULL);

  g_assert_nonnull (child);
  g_assert_cmpuint (child->rank, ==, 2);
  g_assert_cmpuint (child->local_rank, ==, 2);
  g_assert_cmpuint (child->local_size, ==, 3);
  g_assert_cmpuint (child->size, ==, 3);
  g_assert_cmpuint (child->port, ==, 4321);
  g_assert_cmpstr (child->token, ==, launch->token);
  g_assert_cmpuint (strlen (launch->token), ==, 32);
  g_assert_cmpstr (launch->token, !=, other->token);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/collective/launch/reads-what-launchers-set", test_launchers);
  g_test_add_func ("/collective/launch/children-read-what-was-written", test_children);
  return g_test_run ();
}
