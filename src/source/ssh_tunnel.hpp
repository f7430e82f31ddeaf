/*
 * source/ssh_tunnel.hpp
 *
 * A connection through an SSH bastion: the OpenSSH client runs beside it and forwards a socket here to the source there.
 *
 *   libpq ─► socket ─► ssh ══════► sshd of the bastion ─► source
 *
 * Each connection has an ssh of its own and ends with it, so nothing is shared that could go stale, and parallel copies
 * are encrypted in parallel.
 *
 * The local end is a Unix-domain socket in a folder that only the server's user can enter.  libpq never speaks TLS over
 * such a socket; so when the connection string demands TLS (sslmode require or stronger), it is a port of the loopback address,
 * and the host name stays for the certificate.  That port can be reached by other users of this machine.
 *
 * The bastion's host key must be the known one.  When none is known yet, the first one seen is taken, and the caller has to
 * keep it: see accepted_host_key().
 */
#pragma once

#include "source/connection.hpp"
#include "source/connection_string.hpp"

namespace source
{

struct Tunnel;

/*
 * Start ssh for one host of `parameters`, which are changed to lead into it.  *tunnel is set before anything can fail, so that
 * its owner closes it.  ERROR when ssh ends, or is not ready in time.
 */
void open_tunnel(Tunnel **tunnel, const SshAccess &access, Parameters *parameters, int timeout_s);
void close_tunnel(Tunnel **tunnel);

/* What ssh said, for a message: why the source cannot be reached from the bastion. "" when nothing. */
char *tunnel_messages(const Tunnel *tunnel);

} // namespace source
