/*
 * source/chunk_reader.cpp
 *
 * Owns: the remote transaction of one chunk, from BEGIN to the running COPY and its end.
 *
 *   BEGIN, locks, leaf check (one round trip) ─► fingerprint ─► COPY ─► … ─► COMMIT
 *
 * Surprising: the locks are taken by SELECT … LIMIT 0.  LOCK TABLE would need SELECT on the whole
 * table, this is content with a grant on any column.
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
has_state(PGresult *result, const char *sqlstate)
{
	return strcmp(result_sqlstate(result), sqlstate) == 0;
}

/*
 * False when the snapshot is gone: its file is (22023, or 42704 since 17), or the transaction that
 * exported it has ended (55000).
 */
bool
begin(Connection *connection, const char *snapshot)
{
	if (snapshot == nullptr)
	{
		execute(connection, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY");
		return true;
	}

	PGresult *result = try_query(connection, psprintf("BEGIN ISOLATION LEVEL REPEATABLE READ READ "
													  "ONLY; SET TRANSACTION SNAPSHOT %s",
													  quote_string(snapshot)));

	if (PQresultStatus(result) == PGRES_COMMAND_OK)
		return true;
	if (has_state(result, "22023") || has_state(result, "42704") || has_state(result, "55000"))
		return false;
	raise_remote_error(connection, result, "import the snapshot of the copy");
}

/*
 * The session that exported the snapshot keeps its lock until the last chunk.  Who wants the table for
 * itself meanwhile (ALTER TABLE) waits for that session; a chunk that queued behind would wait for ever.
 */
constexpr char kGiveWay[] = "SET LOCAL lock_timeout = '1s'; ";

/*
 * The lock is on whatever has the leaf's name; that it is the leaf is seen afterwards, by a row of
 * pg_class with its oid and that name, which nobody can change any more.
 */
char *
lock_sql(const ChunkRequest &request)
{
	return psprintf("%sSELECT FROM ONLY %s LIMIT 0; SELECT FROM ONLY %s LIMIT 0; "
					"SELECT pg_relation_filenode(c.oid) FROM pg_class c "
					"JOIN pg_namespace n ON n.oid = c.relnamespace "
					"WHERE c.oid = %u AND c.relname = %s AND n.nspname = %s",
					request.snapshot != nullptr ? kGiveWay : "",
					quote_table(request.schema, request.name),
					quote_table(request.leaf_schema, request.leaf_name), request.leaf,
					quote_string(request.leaf_name), quote_string(request.leaf_schema));
}

bool
leaf_exists(Connection *connection, const ChunkRequest &request)
{
	end_transaction(connection);

	PGresult *result = query(connection, psprintf("SELECT FROM pg_class c JOIN pg_namespace n "
												  "ON n.oid = c.relnamespace WHERE c.oid = %u "
												  "AND c.relname = %s AND n.nspname = %s",
												  request.leaf, quote_string(request.leaf_name),
												  quote_string(request.leaf_schema)));

	return PQntuples(result) > 0;
}

ChunkCheck
lock_and_check(Connection *connection, const ChunkRequest &request)
{
	PGresult *result = try_query(connection, lock_sql(request));

	/* One of the two names does not exist (any more): which one? */
	if (has_state(result, "42P01") || has_state(result, "3F000"))
		return leaf_exists(connection, request) ? ChunkCheck::republished : ChunkCheck::rewritten;
	if (request.snapshot != nullptr && has_state(result, "55P03"))
		return ChunkCheck::lock_wanted;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		raise_remote_error(
			connection, result,
			psprintf("read table \"%s.%s\"", request.leaf_schema, request.leaf_name));
	if (PQntuples(result) == 0 || get_oid(result, 0, 0) != request.leaf_filenode)
		return ChunkCheck::rewritten;
	if (request.fingerprint == nullptr)
		return ChunkCheck::ready;

	char *fingerprint =
		read_fingerprint(connection, request.npublications, request.publications, request.table);

	return fingerprint != nullptr && strcmp(fingerprint, request.fingerprint) == 0
			   ? ChunkCheck::ready
			   : ChunkCheck::republished;
}

char *
copy_sql(const ChunkRequest &request)
{
	StringInfoData sql;
	bool limited = request.end_block >= 0;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "COPY (SELECT ");
	for (int i = 0; i < request.ncolumns; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", quote_name(request.columns[i]));
	appendStringInfo(&sql, " FROM ONLY %s", quote_table(request.leaf_schema, request.leaf_name));
	if (limited)
		appendStringInfo(&sql,
						 " WHERE ctid >= '(" INT64_FORMAT ",0)'::tid AND ctid < '(" INT64_FORMAT
						 ",0)'::tid",
						 request.first_block, request.end_block);
	if (request.row_filter != nullptr)
		appendStringInfo(&sql, " %s (%s)", limited ? "AND" : "WHERE", request.row_filter);
	appendStringInfo(&sql, ") TO STDOUT%s", request.binary ? " (FORMAT binary)" : "");
	return sql.data;
}

} // namespace

ChunkCheck
start_chunk(Connection *connection, const ChunkRequest &request)
{
	/* What an error left behind. */
	end_transaction(connection);

	ChunkCheck check = begin(connection, request.snapshot) ? lock_and_check(connection, request)
														   : ChunkCheck::snapshot_lost;

	if (check != ChunkCheck::ready)
	{
		end_transaction(connection);
		return check;
	}

	PGresult *result = try_query(connection, copy_sql(request));

	if (PQresultStatus(result) != PGRES_COPY_OUT)
		raise_remote_error(
			connection, result,
			psprintf("copy from table \"%s.%s\"", request.leaf_schema, request.leaf_name));
	return ChunkCheck::ready;
}

void
finish_chunk(Connection *connection)
{
	execute(connection, "COMMIT");
}

void
abandon_chunk(Connection *connection)
{
	PQclear(connection->pending);
	connection->pending = nullptr;
	if (PQtransactionStatus(connection->raw) == PQTRANS_ACTIVE)
		stop_statement(connection);
	end_transaction(connection);
}

} // namespace source
