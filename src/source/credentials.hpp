/*
 * source/credentials.hpp
 *
 * What proves to the source that a connector's owner may be there.
 *
 * This process runs as the operating system's user of the server, and could use what belongs to
 * that one: a .pgpass, client certificates, tickets, trust or peer authentication.  Only a superuser
 * here may borrow these.  Everybody else must give a password, and the source must have asked for
 * it: a source that lets anybody in would have let the server in, not its user.
 *
 * Surprising: options that only name a file are refused as well, since opening it already tells
 * whether it exists.
 */
#pragma once

#include "source/connection_string.hpp"

namespace source
{

/* Before connecting: ERROR when something of the server's own would be used. */
void refuse_servers_own(const Parameters &parameters);

/* ERROR unless there is one. */
void require_password(const Parameters &parameters);

/* After connecting: ERROR unless the source asked for the password. */
void require_password_used(PGconn *raw);

} // namespace source
