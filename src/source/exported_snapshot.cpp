/*
 * source/exported_snapshot.cpp
 *
 * Owns: the one snapshot of a table that cannot be copied in chunks of different ages.
 *
 * Surprising: the exporting transaction is READ COMMITTED.  A REPEATABLE READ one would take its
 * snapshot with the first statement, and so before the lock which that statement is there to take;
 * here the export is a statement after the locks, with a snapshot of its own.  An exported snapshot
 * is kept until the transaction ends, whatever the isolation level.
 */
#include "source/chunk_reader.hpp"

#include "source/cancel.hpp"
#include "source/remote_error.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

bool
contains(const Leaves &leaves, Oid oid)
{
	for (int i = 0; i < leaves.count; i++)
	{
		if (leaves.leaves[i].oid == oid)
			return true;
	}
	return false;
}

/* False when somebody else has it, or waits for it: whoever waits here could not release another snapshot. */
bool
try_lock_table(Connection *connection, const char *schema, const char *name)
{
	PGresult *result =
		try_query(connection, psprintf("SELECT FROM ONLY %s LIMIT 0", quote_table(schema, name)));

	if (strcmp(result_sqlstate(result), "55P03") == 0)
		return false;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		raise_remote_error(connection, result, psprintf("lock table \"%s.%s\"", schema, name));
	return true;
}

/* A leaf may be attached while the others are being locked: look again until there is no new one. */
bool
try_lock_leaves(Connection *connection, Oid table)
{
	Leaves locked = {};
	bool found_new;

	do
	{
		Leaves leaves = read_leaves(connection, table);

		found_new = false;
		for (int i = 0; i < leaves.count; i++)
		{
			if (contains(locked, leaves.leaves[i].oid))
				continue;
			if (!try_lock_table(connection, leaves.leaves[i].schema, leaves.leaves[i].name))
				return false;
			found_new = true;
		}
		locked = leaves;
	} while (found_new);
	return true;
}

} // namespace

ExportedSnapshot
export_snapshot(Connection *connection, Oid table, const char *schema, const char *name)
{
	ExportedSnapshot exported = {};

	end_transaction(connection);
	execute(connection, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY");
	execute(connection, "SET LOCAL lock_timeout = '1s'");
	if (!try_lock_table(connection, schema, name) || !try_lock_leaves(connection, table))
	{
		end_transaction(connection);
		return exported;
	}

	PGresult *result =
		query(connection, "SELECT pg_export_snapshot(), pg_current_snapshot()::text");

	exported.name = get_text(result, 0, 0);
	exported.snapshot = get_text(result, 0, 1);
	return exported;
}

} // namespace source
