/*
 * worker/lock_wait.cpp
 *
 * Whose lock a table waits for, told to people after a lock timeout.  See failure.hpp.
 *
 * Surprising: the timeout does not say who it was, so the holders of now are named: of a lock on the table that the one which
 * was wanted conflicts with; else of row locks, which stand beside any lock of a writer.  When neither is there nobody is
 * named, rather than somebody who is not to blame.
 */
#include "worker/failure.hpp"

#include "base/sql.hpp"

namespace worker
{
namespace
{

/* Modes of others that keep one out. */
const char *
modes_in_the_way(LOCKMODE wanted)
{
	switch (wanted)
	{
		case RowExclusiveLock:
			return "{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}";
		case ShareLock:
			return "{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,"
				   "ExclusiveLock,AccessExclusiveLock}";
		default:
			return "{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,"
				   "ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}";
	}
}

constexpr char kWriterModes[] = "{RowShareLock,RowExclusiveLock}";

/* nullptr: none */
char *
name_holders(const state::SyncedTable *table, const char *modes)
{
	base::SqlScope scope = base::begin_sql();

	base::run_sql(
		"SELECT pg_catalog.string_agg(pg_catalog.format('pid %s (%s, %s since %s s)', a.pid, "
		"coalesce(nullif(a.application_name, ''), a.usename, a.backend_type), "
		"coalesce(nullif(a.state, 'active'), 'running'), "
		"greatest(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start), 0)::bigint), "
		"', ' ORDER BY a.xact_start) FROM (SELECT l.pid FROM pg_catalog.pg_locks l "
		"WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid() "
		"AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d "
		"WHERE d.datname = pg_catalog.current_database()) "
		"AND l.relation = pg_catalog.to_regclass($1) AND l.mode = ANY ($2::pg_catalog.text[]) "
		"GROUP BY l.pid LIMIT 5) h JOIN pg_catalog.pg_stat_activity a ON a.pid = h.pid",
		{base::text_value(quote_qualified_identifier(table->target_schema, table->target_name)),
		 base::text_value(modes)});
	char *holders = base::get_text(scope, 0, 1);

	base::end_sql();
	return holders;
}

} // namespace

/* An error of the source says what could not be done there. */
const char *
describe_lock_wait(const ErrorData *error, const state::SyncedTable *table, LOCKMODE wanted)
{
	if (strcmp(error->message, _("canceling statement due to lock timeout")) != 0)
		return "a lock on the source table";

	char *holders = name_holders(table, modes_in_the_way(wanted));

	if (holders == nullptr)
		holders = name_holders(table, kWriterModes);
	return holders != nullptr ? psprintf("a lock on the target table: %s", holders)
							  : "a lock on the target table";
}

} // namespace worker
