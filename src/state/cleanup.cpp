/*
 * state/cleanup.cpp
 *
 * See cleanup.hpp.
 */
#include "state/cleanup.hpp"

using namespace base;

namespace state
{

void
add_cleanup(const Cleanup &cleanup)
{
	run_alone(
		"INSERT INTO livesync.cleanup (connector, source, slot_name, publication, origin, owner, "
		"ssh_tunnel, ssh_known_hosts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		{text_value(cleanup.connector), text_value(cleanup.source), text_value(cleanup.slot_name),
		 text_value(cleanup.publication), text_value(cleanup.origin), oid_value(cleanup.owner),
		 text_value(cleanup.ssh_tunnel), text_value(cleanup.ssh_known_hosts)});
}

Cleanup *
next_cleanup(int64 after)
{
	SqlScope scope = begin_sql();
	Cleanup *cleanup = nullptr;

	if (run_sql("SELECT id, connector, source, slot_name, publication, origin, owner, "
				"ssh_tunnel, ssh_known_hosts, (SELECT k.private_key FROM livesync.ssh_key k) "
				"FROM livesync.cleanup WHERE id > $1 ORDER BY id LIMIT 1",
				{bigint_value(after)}) == 1)
	{
		cleanup = (Cleanup *) MemoryContextAlloc(scope.caller, sizeof(Cleanup));
		cleanup->id = get_bigint(0, 1);
		cleanup->connector = get_text(scope, 0, 2);
		cleanup->source = get_text(scope, 0, 3);
		cleanup->slot_name = get_text(scope, 0, 4);
		cleanup->publication = get_text(scope, 0, 5);
		cleanup->origin = get_text(scope, 0, 6);
		cleanup->owner = get_oid(0, 7);
		cleanup->ssh_tunnel = get_text(scope, 0, 8);
		cleanup->ssh_known_hosts = get_text(scope, 0, 9);
		cleanup->ssh_private_key = get_text(scope, 0, 10);
	}
	end_sql();
	return cleanup;
}

void
finish_cleanup(int64 id)
{
	run_alone("DELETE FROM livesync.cleanup WHERE id = $1", {bigint_value(id)});
}

bool
record_cleanup_error(int64 id, const char *error)
{
	return run_alone("UPDATE livesync.cleanup SET last_error = $2 WHERE id = $1 "
					 "AND last_error IS DISTINCT FROM $2",
					 {bigint_value(id), text_value(error)}) == 1;
}

} // namespace state
