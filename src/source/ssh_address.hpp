/*
 * source/ssh_address.hpp
 *
 * What a user writes to say where an SSH bastion is:
 *
 *   user@host            user@host:2222            user@[2001:db8::1]:2222
 *   user@host:2222 ssh-ed25519 AAAAC3Nz…           the key of that host, when it is known
 *
 * Every character is looked at: a part becomes an argument of a program, so none may begin with a hyphen or hold
 * anything else than names and numbers are made of.
 */
#pragma once

#include "base/pg.hpp"

namespace source
{

struct SshAddress
{
	char *user;
	char *host;
	char *port;
	char *host_key; /* "type base64", or nullptr */
};

/* ERROR when it is anything else. */
SshAddress parse_ssh_address(const char *text);

/* The line of a known_hosts file for it; nullptr: the address has no key. */
char *known_hosts_line(const SshAddress &address);

} // namespace source
