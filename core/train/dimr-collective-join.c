/* dimr-collective-join.c — how the processes of a group find each other
 *
 * Whoever accepts a connection first sends a number that nobody knows; the other answers with who it is,
 * where it listens itself, a number of its own, and an HMAC of all that under the token; and gets a verdict
 * with an HMAC in return. Everyone knows rank 0's address; when all are there, rank 0 sends the table of the
 * others', and of each pair the higher rank connects to the lower one.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "core/train/dimr-collective-tcp.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAGIC "DIMRjoin"
#define VERSION 1
#define NONCE 16
#define MAC 32
#define MAX_HOST 64               /* of an address as text */
#define HANDSHAKE_SECONDS 10      /* somebody who says nothing keeps the others waiting no longer */
#define RETRY_MICROSECONDS 100000 /* rank 0 may be late */

typedef enum
{
  VERDICT_WELCOME,
  VERDICT_TOKEN,
  VERDICT_SIZE,
  VERDICT_RANK,
} Verdict;

/* All numbers little-endian. */
typedef struct
{
  char magic[8];
  guint32 version;
  guint8 nonce[NONCE];
} Challenge;

typedef struct
{
  guint32 rank;
  guint32 size;
  guint32 port;          /* where the sender listens */
  guint8 nonce[NONCE];
  guint8 mac[MAC];
} Hello;

typedef struct
{
  guint32 verdict;
  guint32 size;
  guint8 mac[MAC];
} Answer;

typedef struct
{
  char host[MAX_HOST];
  guint32 port;
} Place;

typedef struct
{
  const DimrLaunch *launch;
  GCancellable *cancellable;
  gint64 deadline;
  GSocket **sockets;     /* [size] */
  Place *places;         /* [size] */
} Join;

static gboolean
move (GSocket       *socket,
      gpointer       data,
      gsize          size,
      gboolean       sends,
      gint64         deadline,
      GCancellable  *cancellable,
      GError       **error)
{
  for (gsize done = 0; done < size;)
    {
      const gint64 left = deadline - g_get_monotonic_time ();
      gssize n;

      if (left <= 0)
        {
          g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, _("It took too long"));
          return FALSE;
        }
      if (!g_socket_condition_timed_wait (socket, sends ? G_IO_OUT : G_IO_IN, left, cancellable, error))
        return FALSE;
      n = sends ? g_socket_send_with_blocking (socket, (const char *) data + done, size - done, FALSE, cancellable, error)
                : g_socket_receive_with_blocking (socket, (char *) data + done, size - done, FALSE, cancellable, error);
      if (n == 0)
        g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, _("The connection was closed"));
      if (n <= 0)
        return FALSE;
      done += (gsize) n;
    }
  return TRUE;
}

gboolean
dimr_socket_send_all (GSocket        *socket,
                      gconstpointer   data,
                      gsize           size,
                      gint64          deadline,
                      GCancellable   *cancellable,
                      GError        **error)
{
  return move (socket, (gpointer) data, size, TRUE, deadline, cancellable, error);
}

gboolean
dimr_socket_receive_all (GSocket       *socket,
                         gpointer       data,
                         gsize          size,
                         gint64         deadline,
                         GCancellable  *cancellable,
                         GError       **error)
{
  return move (socket, data, size, FALSE, deadline, cancellable, error);
}

static void
fill_nonce (guint8 nonce[NONCE])
{
  for (guint i = 0; i < NONCE; i += 4)
    {
      const guint32 word = g_random_int ();

      memcpy (nonce + i, &word, sizeof word);
    }
}

/* HMAC-SHA256 under the token of both numbers and what else is said. */
static void
make_mac (const DimrLaunch *launch,
          const guint8      challenge[NONCE],
          const guint8      answer[NONCE],
          const guint32    *words,
          guint             n_words,
          guint8            mac[MAC])
{
  GHmac *hmac = g_hmac_new (G_CHECKSUM_SHA256, (const guchar *) launch->token, strlen (launch->token));
  gsize size = MAC;

  g_hmac_update (hmac, challenge, NONCE);
  g_hmac_update (hmac, answer, NONCE);
  g_hmac_update (hmac, (const guchar *) words, (gssize) (n_words * sizeof *words));
  g_hmac_get_digest (hmac, mac, &size);
  g_hmac_unref (hmac);
}

/* In a time that does not tell where they differ. */
static gboolean
is_same_mac (const guint8 a[MAC],
             const guint8 b[MAC])
{
  guint8 difference = 0;

  for (guint i = 0; i < MAC; i++)
    difference |= a[i] ^ b[i];
  return difference == 0;
}

/* ---- who accepts ---- */

static Verdict
judge (Join            *self,
       const Challenge *challenge,
       const Hello     *hello)
{
  const guint32 words[] = { hello->rank, hello->size, hello->port };
  const guint32 rank = GUINT32_FROM_LE (hello->rank);
  guint8 mac[MAC];

  make_mac (self->launch, challenge->nonce, hello->nonce, words, G_N_ELEMENTS (words), mac);
  if (!is_same_mac (mac, hello->mac))
    return VERDICT_TOKEN;
  if (GUINT32_FROM_LE (hello->size) != self->launch->size)
    return VERDICT_SIZE;
  return rank >= self->launch->size || rank <= self->launch->rank || self->sockets[rank] != NULL ? VERDICT_RANK : VERDICT_WELCOME;
}

static void
keep_place (Join        *self,
            GSocket     *socket,
            const Hello *hello)
{
  Place *place = &self->places[GUINT32_FROM_LE (hello->rank)];
  g_autoptr (GSocketAddress) address = g_socket_get_remote_address (socket, NULL);
  g_autofree char *host = NULL;

  if (!G_IS_INET_SOCKET_ADDRESS (address))
    return;
  host = g_inet_address_to_string (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address)));
  g_strlcpy (place->host, host, sizeof place->host);
  place->port = hello->port;
}

/* Keeps the connection of one that may take part. Strangers are sent away, and are no reason to stop; one
 * of ours that was started otherwise is. */
static gboolean
welcome (Join     *self,
         GSocket  *socket,
         GError  **error)
{
  const gint64 deadline = MIN (self->deadline, g_get_monotonic_time () + HANDSHAKE_SECONDS * G_USEC_PER_SEC);
  Challenge challenge = { MAGIC, GUINT32_TO_LE (VERSION), { 0 } };
  Hello hello;
  Answer answer = { 0, GUINT32_TO_LE (self->launch->size), { 0 } };
  Verdict verdict;
  guint32 words[2];

  fill_nonce (challenge.nonce);
  if (!dimr_socket_send_all (socket, &challenge, sizeof challenge, deadline, self->cancellable, NULL) ||
      !dimr_socket_receive_all (socket, &hello, sizeof hello, deadline, self->cancellable, NULL))
    return !g_cancellable_set_error_if_cancelled (self->cancellable, error);
  verdict = judge (self, &challenge, &hello);
  answer.verdict = GUINT32_TO_LE ((guint32) verdict);
  words[0] = answer.verdict;
  words[1] = answer.size;
  make_mac (self->launch, hello.nonce, challenge.nonce, words, G_N_ELEMENTS (words), answer.mac);
  if (!dimr_socket_send_all (socket, &answer, sizeof answer, deadline, self->cancellable, NULL))
    return !g_cancellable_set_error_if_cancelled (self->cancellable, error);

  switch (verdict)
    {
    case VERDICT_WELCOME:
      keep_place (self, socket, &hello);
      self->sockets[GUINT32_FROM_LE (hello.rank)] = g_object_ref (socket);
      return TRUE;
    case VERDICT_SIZE:
      dimr_error_set (error, DIMR_ERROR_PEER, _("Process %u was started as one of %u, but this is a run of %u processes"),
                      GUINT32_FROM_LE (hello.rank), GUINT32_FROM_LE (hello.size), self->launch->size);
      return FALSE;
    case VERDICT_RANK:
      dimr_error_set (error, DIMR_ERROR_PEER, _("Two processes of this run say that they are number %u"), GUINT32_FROM_LE (hello.rank));
      return FALSE;
    default:
      return TRUE;
    }
}

static char *
list_missing (Join *self)
{
  GString *list = g_string_new (NULL);

  for (guint r = self->launch->rank + 1; r < self->launch->size; r++)
    if (self->sockets[r] == NULL)
      g_string_append_printf (list, "%s%u", list->len > 0 ? ", " : "", r);
  return g_string_free (list, FALSE);
}

static gboolean
accept_higher (Join     *self,
               GSocket  *listener,
               GError  **error)
{
  for (;;)
    {
      g_autofree char *missing = list_missing (self);
      g_autoptr (GSocket) socket = NULL;
      g_autoptr (GError) problem = NULL;
      const gint64 left = self->deadline - g_get_monotonic_time ();

      if (*missing == '\0')
        return TRUE;
      if (left <= 0 || !g_socket_condition_timed_wait (listener, G_IO_IN, left, self->cancellable, &problem))
        {
          if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED))
            g_propagate_error (error, g_steal_pointer (&problem));
          else
            dimr_error_set (error, DIMR_ERROR_PEER, _("Of %u processes number %s did not come within %u seconds"),
                            self->launch->size, missing, self->launch->patience);
          return FALSE;
        }
      socket = g_socket_accept (listener, self->cancellable, NULL);
      if (socket != NULL && !welcome (self, socket, error))
        return FALSE;
    }
}

/* ---- who connects ---- */

static gboolean
refuse (Join          *self,
        guint          rank,
        const Answer  *answer,
        GError       **error)
{
  switch (GUINT32_FROM_LE (answer->verdict))
    {
    case VERDICT_SIZE:
      dimr_error_set (error, DIMR_ERROR_PEER, _("This process was started as one of %u, but process %u is one of %u"),
                      self->launch->size, rank, GUINT32_FROM_LE (answer->size));
      break;
    case VERDICT_RANK:
      dimr_error_set (error, DIMR_ERROR_PEER, _("This process was started as number %u, of which there is one already"),
                      self->launch->rank);
      break;
    default:
      dimr_error_set (error, DIMR_ERROR_PEER,
                      _("Process %u at %s, port %u, has another token: set DIMR_TOKEN to the same secret for all processes of a run, "
                        "and MASTER_PORT to a port of its own"), rank, self->launch->host, self->launch->port);
      break;
    }
  return FALSE;
}

static gboolean
introduce (Join     *self,
           guint     rank,
           GSocket  *socket,
           guint16   port,
           GError  **error)
{
  Challenge challenge;
  Hello hello = { GUINT32_TO_LE (self->launch->rank), GUINT32_TO_LE (self->launch->size), GUINT32_TO_LE ((guint32) port), { 0 }, { 0 } };
  const guint32 words[] = { hello.rank, hello.size, hello.port };
  Answer answer;
  guint32 said[2];
  guint8 mac[MAC];
  g_autoptr (GError) problem = NULL;

  /* The other one may be busy with somebody else. */
  if (!dimr_socket_receive_all (socket, &challenge, sizeof challenge, self->deadline, self->cancellable, &problem))
    goto failed;
  if (memcmp (challenge.magic, MAGIC, sizeof challenge.magic) != 0 || GUINT32_FROM_LE (challenge.version) != VERSION)
    {
      dimr_error_set (error, DIMR_ERROR_PEER, _("What answers at %s, port %u, is no process of this program and version"),
                      self->launch->host, self->launch->port);
      return FALSE;
    }
  fill_nonce (hello.nonce);
  make_mac (self->launch, challenge.nonce, hello.nonce, words, G_N_ELEMENTS (words), hello.mac);
  if (!dimr_socket_send_all (socket, &hello, sizeof hello, self->deadline, self->cancellable, &problem) ||
      !dimr_socket_receive_all (socket, &answer, sizeof answer, self->deadline, self->cancellable, &problem))
    goto failed;
  said[0] = answer.verdict;
  said[1] = answer.size;
  make_mac (self->launch, hello.nonce, challenge.nonce, said, G_N_ELEMENTS (said), mac);
  if (!is_same_mac (mac, answer.mac))
    answer.verdict = GUINT32_TO_LE (VERDICT_TOKEN);
  return answer.verdict == GUINT32_TO_LE (VERDICT_WELCOME) || refuse (self, rank, &answer, error);

failed:
  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_propagate_error (error, g_steal_pointer (&problem));
  else
    dimr_error_set (error, DIMR_ERROR_PEER, _("Process %u left while the processes came together: %s"), rank, problem->message);
  return FALSE;
}

static GSocket *
set_no_descriptor (GError **error)
{
  const int saved = errno;

  dimr_error_set (error, DIMR_ERROR_PEER, _("There is no descriptor for another connection: %s; raise “ulimit -n”"), g_strerror (saved));
  return NULL;
}

/* Whoever knocks at a port of this host at which nobody listens may be given that very port to knock from, and TCP then
 * connects the socket to itself. */
static gboolean
is_own_echo (GSocketConnection *connection)
{
  g_autoptr (GSocketAddress) here = g_socket_connection_get_local_address (connection, NULL);
  g_autoptr (GSocketAddress) there = g_socket_connection_get_remote_address (connection, NULL);

  return G_IS_INET_SOCKET_ADDRESS (here) && G_IS_INET_SOCKET_ADDRESS (there) &&
         g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (here)) == g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (there)) &&
         g_inet_address_equal (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (here)),
                               g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (there)));
}

/* Knocks until somebody opens. */
static GSocket *
reach (Join        *self,
       guint        rank,
       const char  *host,
       guint16      port,
       GError     **error)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GError) problem = NULL;

  g_socket_client_set_enable_proxy (client, FALSE);
  for (;;)
    {
      const gint64 left = self->deadline - g_get_monotonic_time ();
      g_autoptr (GSocketConnection) connection = NULL;

      if (left <= 0)
        break;
      g_clear_error (&problem);
      g_socket_client_set_timeout (client, (guint) MAX (left / G_USEC_PER_SEC, 1));
      connection = g_socket_client_connect_to_host (client, host, port, self->cancellable, &problem);
      if (connection != NULL && !is_own_echo (connection))
        {
          /* A connection closes its socket when it goes; one of a descriptor of its own stays. */
          const int fd = fcntl (g_socket_get_fd (g_socket_connection_get_socket (connection)), F_DUPFD_CLOEXEC, 0);

          return fd >= 0 ? g_socket_new_from_fd (fd, error) : set_no_descriptor (error);
        }
      if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        {
          g_propagate_error (error, g_steal_pointer (&problem));
          return NULL;
        }
      g_usleep (RETRY_MICROSECONDS);
    }
  dimr_error_set (error, DIMR_ERROR_PEER, _("Process %u could not be reached at %s, port %u, within %u seconds: %s"), rank, host,
                  port, self->launch->patience, problem != NULL ? problem->message : _("there was no time left"));
  return NULL;
}

static gboolean
connect_to (Join        *self,
            guint        rank,
            const char  *host,
            guint16      port,
            guint16      own_port,
            GError     **error)
{
  self->sockets[rank] = reach (self, rank, host, port, error);
  return self->sockets[rank] != NULL && introduce (self, rank, self->sockets[rank], own_port, error);
}

static gboolean
is_loopback (const char *host)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (host);

  return address != NULL && (g_inet_address_get_is_loopback (address) || g_str_has_prefix (host, "::ffff:127."));
}

/* ---- both ---- */

/* Rank 0 tells all where the others are. Who came to it from its own host is found there. */
static gboolean
share_places (Join     *self,
              GError  **error)
{
  const guint size = self->launch->size;
  g_autoptr (GError) problem = NULL;

  if (self->launch->rank == 0)
    {
      for (guint r = 1; r < size; r++)
        if (!dimr_socket_send_all (self->sockets[r], self->places, size * sizeof *self->places, self->deadline, self->cancellable, &problem))
          {
            dimr_error_set (error, DIMR_ERROR_PEER, _("Process %u left while the processes came together: %s"), r, problem->message);
            return FALSE;
          }
      return TRUE;
    }
  if (!dimr_socket_receive_all (self->sockets[0], self->places, size * sizeof *self->places, self->deadline, self->cancellable, &problem))
    {
      if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        g_propagate_error (error, g_steal_pointer (&problem));
      else
        dimr_error_set (error, DIMR_ERROR_PEER, _("Process 0 gave up before all %u processes had come together: %s"), size,
                        problem->message);
      return FALSE;
    }
  for (guint r = 1; r < size; r++)
    {
      Place *place = &self->places[r];

      place->host[MAX_HOST - 1] = '\0';
      if (GUINT32_FROM_LE (place->port) > G_MAXUINT16)
        {
          dimr_error_set (error, DIMR_ERROR_PEER, _("Process 0 sent a table of the others that is none"));
          return FALSE;
        }
      if (is_loopback (place->host))
        g_strlcpy (place->host, self->launch->host, sizeof place->host);
    }
  return TRUE;
}

static gboolean
come_together (Join     *self,
               GSocket  *listener,
               guint16   port,
               GError  **error)
{
  const DimrLaunch *launch = self->launch;

  if (launch->rank > 0 && !connect_to (self, 0, launch->host, launch->port, port, error))
    return FALSE;
  if (launch->rank == 0)
    return accept_higher (self, listener, error) && share_places (self, error);
  if (!share_places (self, error))
    return FALSE;
  for (guint r = 1; r < launch->rank; r++)
    if (!connect_to (self, r, self->places[r].host, (guint16) GUINT32_FROM_LE (self->places[r].port), port, error))
      return FALSE;
  return accept_higher (self, listener, error);
}

static GSocket *
listen_at (GInetAddress  *address,
           guint16        port,
           GError       **error)
{
  g_autoptr (GSocketAddress) at = g_inet_socket_address_new (address, port);
  g_autoptr (GSocket) socket = g_socket_new (g_inet_address_get_family (address), G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, error);

  if (socket == NULL)
    return NULL;
  g_socket_set_listen_backlog (socket, DIMR_COLLECTIVE_MAX);
  if (!g_socket_bind (socket, at, TRUE, error) || !g_socket_listen (socket, error))
    return NULL;
  return g_steal_pointer (&socket);
}

GSocket *
dimr_collective_tcp_listen (gboolean   loopback,
                            guint16   *port,
                            GError   **error)
{
  /* An address of IPv6 takes both, where there is IPv6. */
  g_autoptr (GInetAddress) six = g_inet_address_new_any (G_SOCKET_FAMILY_IPV6);
  g_autoptr (GInetAddress) four = loopback ? g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4) : g_inet_address_new_any (G_SOCKET_FAMILY_IPV4);
  g_autoptr (GSocketAddress) at = NULL;
  g_autoptr (GError) problem = NULL;
  g_autoptr (GSocket) socket = loopback ? NULL : listen_at (six, *port, NULL);

  if (socket == NULL)
    socket = listen_at (four, *port, &problem);
  at = socket != NULL ? g_socket_get_local_address (socket, &problem) : NULL;
  if (at == NULL)
    {
      dimr_error_set (error, DIMR_ERROR_PEER, _("No other process can be waited for at port %u: %s; set MASTER_PORT to another port"),
                      *port, problem->message);
      return NULL;
    }
  *port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (at));
  return g_steal_pointer (&socket);
}

DimrCollective *
dimr_collective_tcp_new (const DimrLaunch  *launch,
                         GSocket           *listener,
                         GCancellable      *cancellable,
                         GError           **error)
{
  g_autoptr (GSocket) own = NULL;
  guint16 port = launch->rank == 0 ? launch->port : 0;
  Join self = {
    .launch = launch,
    .cancellable = cancellable,
    .deadline = g_get_monotonic_time () + (gint64) launch->patience * G_USEC_PER_SEC,
  };
  DimrCollective *collective = NULL;

  g_return_val_if_fail (launch->size > 1 && launch->rank < launch->size && launch->size <= DIMR_COLLECTIVE_MAX, NULL);

  own = listener != NULL ? g_object_ref (listener) : dimr_collective_tcp_listen (is_loopback (launch->host), &port, error);
  if (own == NULL)
    return NULL;
  self.sockets = g_new0 (GSocket *, launch->size);
  self.places = g_new0 (Place, launch->size);
  if (come_together (&self, own, port, error))
    collective = dimr_collective_tcp_new_for_sockets (launch->rank, launch->size, self.sockets);
  for (guint r = 0; r < launch->size; r++)
    g_clear_object (&self.sockets[r]);
  g_free (self.sockets);
  g_free (self.places);
  return collective;
}
