/*
 * state/cleanup.hpp
 *
 * What dropped connectors left to remove: the origin here, slot and own publication at the source.
 * Recorded in the transaction that drops the connector, removed by a worker after its commit, and
 * tried again until it succeeds.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

struct Cleanup
{
	int64 id;
	char *connector;
	Oid owner; /* of the connector */
	char *source;
	char *slot_name;
	char *publication; /* nullptr: not ours */
	char *origin;
	char *ssh_tunnel; /* as in Connector */
	char *ssh_known_hosts;
	char *ssh_private_key;
};

void add_cleanup(const Cleanup &cleanup);
Cleanup *next_cleanup(int64 after); /* nullptr: none */
void finish_cleanup(int64 id);
/* False: it is the error of last time. */
bool record_cleanup_error(int64 id, const char *error);

} // namespace state
