/* dimr-collective-tcp.h — a group of processes over TCP, with nothing but sockets
 *
 * Rank 0 is met at a known address; there everyone learns where the others are, and connects to all of
 * them. Both sides of a connection prove that they know the token of the run (HMAC-SHA256 of a number that
 * the other one chose), without sending it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include "core/train/dimr-collective.h"
#include "core/train/dimr-launch.h"

G_BEGIN_DECLS

#define DIMR_TYPE_COLLECTIVE_TCP (dimr_collective_tcp_get_type ())
G_DECLARE_FINAL_TYPE (DimrCollectiveTcp, dimr_collective_tcp, DIMR, COLLECTIVE_TCP, DimrCollective)

/* A socket that waits for others, on every interface or on this host's own (transfer full).
 * *port 0: any, and which it is. */
GSocket        *dimr_collective_tcp_listen (gboolean           loopback,
                                            guint16           *port,
                                            GError           **error);
/* Comes together with the others (transfer full). @listener: rank 0's, which dimr_collective_tcp_listen()
 * made before; NULL: made now. DIMR_ERROR_PEER says who did not come in time, or was refused and why. */
DimrCollective *dimr_collective_tcp_new    (const DimrLaunch  *launch,
                                            GSocket           *listener,
                                            GCancellable      *cancellable,
                                            GError           **error);
/* One made of sockets that are connected to every other rank; sockets[rank] is NULL. Takes them over. */
DimrCollective *dimr_collective_tcp_new_for_sockets (guint      rank,
                                            guint              size,
                                            GSocket          **sockets);
/* Seconds for which an exchange waits for the others; 0: for ever. At first 14400. */
void            dimr_collective_tcp_set_patience (DimrCollectiveTcp *self,
                                            guint              seconds);

/* Moves all @size bytes, in as many pieces as it takes, or fails: at @deadline (monotonic) with
 * G_IO_ERROR_TIMED_OUT, at the end of the stream with G_IO_ERROR_CONNECTION_CLOSED. */
gboolean        dimr_socket_send_all       (GSocket           *socket,
                                            gconstpointer      data,
                                            gsize              size,
                                            gint64             deadline,
                                            GCancellable      *cancellable,
                                            GError           **error);
gboolean        dimr_socket_receive_all    (GSocket           *socket,
                                            gpointer           data,
                                            gsize              size,
                                            gint64             deadline,
                                            GCancellable      *cancellable,
                                            GError           **error);

G_END_DECLS
