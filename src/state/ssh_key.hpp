/*
 * state/ssh_key.hpp
 *
 * The key pair by which the connectors of this database show themselves to SSH servers, made once.
 *
 * In a table and not in a file of the data directory, so that it goes with the database: a standby that is promoted has
 * it and goes on by itself, and two databases of a server have nothing in common.  Superusers could read such a file as
 * well; nobody else reads our tables.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

struct SshKey
{
	char *private_key;
	char *public_key;
};

/* nullptr: there is none yet. */
SshKey *load_ssh_key();
/* False: there is one already, perhaps made by another session just now. */
bool add_ssh_key(const char *private_key, const char *public_key);

} // namespace state
