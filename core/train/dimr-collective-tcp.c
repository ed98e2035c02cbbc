/* SPDX-License-Identifier: Apache-2.0 */
#include "core/train/dimr-collective-tcp.h"

#include "core/base/dimr-error.h"
#include "core/base/dimr-i18n.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define FRAME_DATA 0x44524d44u     /* "DMRD": what follows belongs to an exchange */
#define FRAME_FAREWELL 0x46524d44u /* "DMRF": the sender stops; a sentence follows */
#define MAX_FAREWELL 1024
#define PATIENCE 14400 /* rank 0 may draw a sheet of a large model meanwhile; who is dead is noticed sooner */
#define LINGER_SECONDS 1

/* Before every message, in the byte order of the machine: both run the same program. */
typedef struct
{
  guint32 kind;
  guint32 number;  /* of the exchange */
  guint64 size;
} Frame;

/* A connection, and how far the exchange that is going on has come on it. */
typedef struct
{
  GSocket *socket;
  Frame frame_out;
  Frame frame_in;
  DimrMessage out;
  DimrMessage in;
  gsize sent;          /* bytes, of frame and message */
  gsize received;
} Peer;

struct _DimrCollectiveTcp
{
  DimrCollective parent_instance;
  guint size;
  Peer *peers;         /* [size] */
  guint32 number;      /* of the next exchange */
  guint patience;
  gboolean broken;     /* an exchange failed: nothing more can be said to those in the middle of it */
};

G_DEFINE_FINAL_TYPE (DimrCollectiveTcp, dimr_collective_tcp, DIMR_TYPE_COLLECTIVE)

static void
dimr_collective_tcp_init (DimrCollectiveTcp *self)
{
  self->patience = PATIENCE;
}

static void
dimr_collective_tcp_finalize (GObject *object)
{
  DimrCollectiveTcp *self = DIMR_COLLECTIVE_TCP (object);

  for (guint r = 0; r < self->size; r++)
    if (self->peers[r].socket != NULL)
      {
        g_socket_close (self->peers[r].socket, NULL);
        g_object_unref (self->peers[r].socket);
      }
  g_free (self->peers);
  G_OBJECT_CLASS (dimr_collective_tcp_parent_class)->finalize (object);
}

void
dimr_collective_tcp_set_patience (DimrCollectiveTcp *self,
                                  guint              seconds)
{
  g_return_if_fail (DIMR_IS_COLLECTIVE_TCP (self));
  self->patience = seconds;
}

static gboolean
set_lost (DimrCollectiveTcp  *self,
          guint               rank,
          const char         *why,
          GError            **error)
{
  dimr_error_set (error, DIMR_ERROR_PEER, _("Process %u of %u is gone: %s"), rank, self->size, why);
  return FALSE;
}

/* The other one stops, and says why. What it says is shown as text, whatever it is. */
static gboolean
read_farewell (DimrCollectiveTcp  *self,
               guint               rank,
               gsize               size,
               GError            **error)
{
  char text[MAX_FAREWELL + 1] = "";
  g_autofree char *valid = NULL;

  (void) dimr_socket_receive_all (self->peers[rank].socket, text, MIN (size, MAX_FAREWELL),
                                  g_get_monotonic_time () + G_USEC_PER_SEC, NULL, NULL);
  valid = g_utf8_make_valid (text, -1);
  g_strdelimit (valid, "\n\r\033", ' ');
  dimr_error_set (error, DIMR_ERROR_PEER, _("Process %u of %u stopped: %s"), rank, self->size, valid);
  return FALSE;
}

/* Nothing can be sent to it any more: did it say why? FALSE with the error where it did. */
static gboolean
hear_farewell (DimrCollectiveTcp  *self,
               guint               rank,
               GError            **error)
{
  const Peer *peer = &self->peers[rank];
  Frame frame;

  if (peer->received != sizeof frame + peer->in.size ||
      !dimr_socket_receive_all (peer->socket, &frame, sizeof frame, g_get_monotonic_time () + G_USEC_PER_SEC, NULL, NULL) ||
      frame.kind != FRAME_FAREWELL)
    return TRUE;
  return read_farewell (self, rank, frame.size, error);
}

/* Sends what the socket takes now. */
static gboolean
send_some (DimrCollectiveTcp  *self,
           guint               rank,
           GError            **error)
{
  Peer *peer = &self->peers[rank];
  const gsize head = sizeof peer->frame_out;

  while (peer->sent < head + peer->out.size)
    {
      GOutputVector vectors[2];
      guint n = 0;
      g_autoptr (GError) problem = NULL;
      gssize moved;

      if (peer->sent < head)
        vectors[n++] = (GOutputVector){ (const guint8 *) &peer->frame_out + peer->sent, head - peer->sent };
      if (peer->out.size > 0)
        {
          const gsize at = peer->sent > head ? peer->sent - head : 0;

          vectors[n++] = (GOutputVector){ (const guint8 *) peer->out.data + at, peer->out.size - at };
        }
      moved = g_socket_send_message (peer->socket, NULL, vectors, (int) n, NULL, 0, G_SOCKET_MSG_NONE, NULL, &problem);
      if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return TRUE;
      if (moved < 0)
        return hear_farewell (self, rank, error) && set_lost (self, rank, problem->message, error);
      peer->sent += (gsize) moved;
    }
  return TRUE;
}

/* A frame has come in: is it the one that must follow? */
static gboolean
check_frame (DimrCollectiveTcp  *self,
             guint               rank,
             GError            **error)
{
  const Peer *peer = &self->peers[rank];

  if (peer->frame_in.kind == FRAME_FAREWELL)
    return read_farewell (self, rank, peer->frame_in.size, error);
  if (peer->frame_in.kind == FRAME_DATA && peer->frame_in.number == self->number && peer->frame_in.size == peer->in.size)
    return TRUE;
  dimr_error_set (error, DIMR_ERROR_PEER,
                  _("Process %u of %u sent %" PRIu64 " bytes where %zu were to come: start all processes with the same program and the same options"),
                  rank, self->size, peer->frame_in.size, peer->in.size);
  return FALSE;
}

/* Receives what there is, and not a byte more than the message has. */
static gboolean
receive_some (DimrCollectiveTcp  *self,
              guint               rank,
              GError            **error)
{
  Peer *peer = &self->peers[rank];
  const gsize head = sizeof peer->frame_in;

  while (peer->received < head + peer->in.size)
    {
      const gboolean in_head = peer->received < head;
      char *to = in_head ? (char *) &peer->frame_in + peer->received : (char *) peer->in.data + (peer->received - head);
      const gsize left = (in_head ? head : head + peer->in.size) - peer->received;
      g_autoptr (GError) problem = NULL;
      const gssize moved = g_socket_receive (peer->socket, to, left, NULL, &problem);

      if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
        return TRUE;
      if (moved <= 0)
        return set_lost (self, rank, moved == 0 ? _("it closed the connection") : problem->message, error);
      peer->received += (gsize) moved;
      if (peer->received == head && !check_frame (self, rank, error))
        return FALSE;
    }
  return TRUE;
}

/* What is still to come from or to go to the peer. */
static gushort
get_wanted (const Peer *peer)
{
  return (peer->sent < sizeof (Frame) + peer->out.size ? G_IO_OUT : 0) |
         (peer->received < sizeof (Frame) + peer->in.size ? G_IO_IN : 0);
}

static gboolean
set_timed_out (DimrCollectiveTcp  *self,
               GError            **error)
{
  for (guint r = 0; r < self->size; r++)
    if (self->peers[r].socket != NULL && get_wanted (&self->peers[r]) != 0)
      {
        dimr_error_set (error, DIMR_ERROR_PEER, _("Process %u of %u has not answered for %u seconds"), r, self->size, self->patience);
        return FALSE;
      }
  g_assert_not_reached ();
}

/* Waits until a connection that wants something can go on; [size + 1] of @fds. */
static gboolean
wait_for_peers (DimrCollectiveTcp  *self,
                GPollFD            *fds,
                GCancellable       *cancellable,
                GError            **error)
{
  guint n = 0;
  gint ready;

  for (guint r = 0; r < self->size; r++)
    if (self->peers[r].socket != NULL && get_wanted (&self->peers[r]) != 0)
      fds[n++] = (GPollFD){ g_socket_get_fd (self->peers[r].socket), get_wanted (&self->peers[r]), 0 };
  if (g_cancellable_make_pollfd (cancellable, &fds[n]))
    n++;
  ready = g_poll (fds, n, self->patience > 0 ? (gint) MIN (self->patience, G_MAXINT / 1000) * 1000 : -1);
  g_cancellable_release_fd (cancellable);
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  return ready != 0 || set_timed_out (self, error);
}

static gboolean
move_all (DimrCollectiveTcp  *self,
          GPollFD            *fds,
          GCancellable       *cancellable,
          GError            **error)
{
  for (;;)
    {
      gushort wanted = 0;

      for (guint r = 0; r < self->size; r++)
        {
          if (self->peers[r].socket == NULL)
            continue;
          /* What it says comes before what can no longer be sent to it. */
          if (!receive_some (self, r, error) || !send_some (self, r, error))
            return FALSE;
          wanted |= get_wanted (&self->peers[r]);
        }
      if (wanted == 0)
        return TRUE;
      if (!wait_for_peers (self, fds, cancellable, error))
        return FALSE;
    }
}

static gboolean
dimr_collective_tcp_exchange (DimrCollective     *collective,
                              const DimrMessage  *out,
                              const DimrMessage  *in,
                              GCancellable       *cancellable,
                              GError            **error)
{
  DimrCollectiveTcp *self = DIMR_COLLECTIVE_TCP (collective);
  g_autofree GPollFD *fds = g_new (GPollFD, self->size + 1);

  if (self->broken)
    {
      g_set_error_literal (error, DIMR_ERROR, DIMR_ERROR_PEER, _("The processes have already parted"));
      return FALSE;
    }
  for (guint r = 0; r < self->size; r++)
    {
      Peer *peer = &self->peers[r];

      peer->out = out[r];
      peer->in = in[r];
      peer->frame_out = (Frame){ FRAME_DATA, self->number, out[r].size };
      peer->sent = peer->received = 0;
    }
  if (!move_all (self, fds, cancellable, error))
    {
      self->broken = TRUE;
      return FALSE;
    }
  self->number++;
  return TRUE;
}

/* What has come and was not asked for yet: the beginning of the next message, or a farewell. It stays where it is, but for
 * a farewell. */
static gboolean
dimr_collective_tcp_check (DimrCollective  *collective,
                           GError         **error)
{
  DimrCollectiveTcp *self = DIMR_COLLECTIVE_TCP (collective);

  for (guint r = 0; r < self->size; r++)
    {
      GSocket *socket = self->peers[r].socket;
      Frame frame;
      gssize n;

      if (socket == NULL || g_socket_condition_check (socket, G_IO_IN) == 0)
        continue;
      n = recv (g_socket_get_fd (socket), &frame, sizeof frame, MSG_PEEK | MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return set_lost (self, r, n == 0 ? _("it closed the connection") : g_strerror (errno), error);
      if (n == sizeof frame && frame.kind == FRAME_FAREWELL &&
          dimr_socket_receive_all (socket, &frame, sizeof frame, g_get_monotonic_time () + G_USEC_PER_SEC, NULL, NULL))
        return read_farewell (self, r, frame.size, error);
    }
  return TRUE;
}

/* Reads until the other one has closed its side too. A connection that is closed with bytes unread takes back
 * what was said last. */
static void
drain (GSocket *socket,
       gint64   deadline)
{
  char bytes[4096];

  while (dimr_socket_receive_all (socket, bytes, 1, deadline, NULL, NULL))
    while (g_socket_receive_with_blocking (socket, bytes, sizeof bytes, FALSE, NULL, NULL) > 0)
      ;
}

/* Only where the last message went out whole: in its middle the text would be taken for numbers. */
static void
dimr_collective_tcp_leave (DimrCollective *collective,
                           const char     *reason)
{
  DimrCollectiveTcp *self = DIMR_COLLECTIVE_TCP (collective);
  const gsize size = MIN (strlen (reason), MAX_FAREWELL);
  const Frame frame = { FRAME_FAREWELL, self->number, size };
  const gint64 deadline = g_get_monotonic_time () + LINGER_SECONDS * G_USEC_PER_SEC;
  g_autofree guint8 *bytes = g_malloc (sizeof frame + size);

  memcpy (bytes, &frame, sizeof frame);
  memcpy (bytes + sizeof frame, reason, size);
  for (guint r = 0; r < self->size; r++)
    {
      Peer *peer = &self->peers[r];

      if (peer->socket == NULL)
        continue;
      if (!self->broken || peer->sent == 0 || peer->sent == sizeof (Frame) + peer->out.size)
        (void) g_socket_send (peer->socket, (const char *) bytes, sizeof frame + size, NULL, NULL);
      (void) g_socket_shutdown (peer->socket, FALSE, TRUE, NULL);
    }
  for (guint r = 0; r < self->size; r++)
    if (self->peers[r].socket != NULL)
      drain (self->peers[r].socket, deadline);
  self->broken = TRUE;
}

static void
dimr_collective_tcp_class_init (DimrCollectiveTcpClass *klass)
{
  DimrCollectiveClass *collective_class = DIMR_COLLECTIVE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = dimr_collective_tcp_finalize;
  collective_class->exchange = dimr_collective_tcp_exchange;
  collective_class->check = dimr_collective_tcp_check;
  collective_class->leave = dimr_collective_tcp_leave;
}

/* Small messages at once; a host that has gone without a word is noticed in about a minute. */
static void
set_options (GSocket *socket)
{
  g_socket_set_blocking (socket, FALSE);
  g_socket_set_keepalive (socket, TRUE);
  (void) g_socket_set_option (socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
  (void) g_socket_set_option (socket, IPPROTO_TCP, TCP_KEEPIDLE, 30, NULL);
  (void) g_socket_set_option (socket, IPPROTO_TCP, TCP_KEEPINTVL, 10, NULL);
  (void) g_socket_set_option (socket, IPPROTO_TCP, TCP_KEEPCNT, 3, NULL);
}

DimrCollective *
dimr_collective_tcp_new_for_sockets (guint     rank,
                                     guint     size,
                                     GSocket **sockets)
{
  DimrCollectiveTcp *self = g_object_new (DIMR_TYPE_COLLECTIVE_TCP, NULL);

  dimr_collective_set_place (DIMR_COLLECTIVE (self), rank, size);
  self->size = size;
  self->peers = g_new0 (Peer, size);
  for (guint r = 0; r < size; r++)
    if (sockets[r] != NULL)
      {
        self->peers[r].socket = g_steal_pointer (&sockets[r]);
        set_options (self->peers[r].socket);
      }
  return DIMR_COLLECTIVE (self);
}
