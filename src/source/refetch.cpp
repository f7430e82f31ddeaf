/*
 * source/refetch.cpp
 *
 * Owns: fetching one row as it is now, together with the snapshot of that very look, by which the
 * caller judges whether it saw the change it is about.
 *
 * Surprising: the table is read by two branches, ONLY the table and, if it is partitioned, the
 * whole tree.  A child table by inheritance publishes its rows under its own name, so a row of it
 * must not be taken for one of its parent.
 */
#include "source/chunk_reader.hpp"

#include "source/remote_error.hpp"
#include "source/result.hpp"

namespace source
{
namespace
{

struct FetchRequest
{
	const char *table; /* quoted */
	int ncolumns;
	const char *const *columns;
	int nkeys;
	const char *const *key_columns;
	const char *const *key_values;
	const char *row_filter;
	bool as_text; /* compare the keys' text forms */
};

const char *
quote_value(const char *value)
{
	return value != nullptr ? quote_string(value) : "NULL";
}

void
append_branch(StringInfo sql, const FetchRequest &request, const char *only)
{
	appendStringInfoString(sql, "SELECT true AS found");
	for (int i = 0; i < request.ncolumns; i++)
		appendStringInfo(sql, ", %s", quote_name(request.columns[i]));
	appendStringInfo(sql, " FROM %s%s WHERE true", only, request.table);
	for (int i = 0; i < request.nkeys; i++)
		appendStringInfo(sql, request.as_text ? " AND %s::text = %s::text" : " AND %s = %s",
						 quote_name(request.key_columns[i]), quote_value(request.key_values[i]));
	if (request.row_filter != nullptr)
		appendStringInfo(sql, " AND (%s)", request.row_filter);
}

char *
fetch_sql(const FetchRequest &request)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "SELECT pg_current_snapshot()::text, %s::regclass::oid, t.* "
					 "FROM (SELECT 1) one LEFT JOIN (",
					 quote_string(request.table));
	append_branch(&sql, request, "ONLY ");
	appendStringInfoString(&sql, " UNION ALL ");
	append_branch(&sql, request, "");
	appendStringInfo(&sql,
					 " AND (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = %s::regclass)"
					 ") t ON true LIMIT 1",
					 quote_string(request.table));
	return sql.data;
}

/* The key's type has its operators outside of pg_catalog, where we do not look; or it is composite, and no literal says which. */
bool
needs_text(PGresult *result)
{
	return strcmp(result_sqlstate(result), "42883") == 0 ||
		   strcmp(result_sqlstate(result), "0A000") == 0;
}

/* A change of before asks for columns that are not there any more: nobody can give it their values now. */
[[noreturn]] void
raise_other_columns(const FetchRequest &request, PGresult *result)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("could not fetch a row of table %s: %s", request.table,
						   PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)),
					errdetail("A change from before the source's columns were renamed or dropped "
							  "needs it."),
					errhint("Give the target the columns that the source has now (ALTER TABLE), "
							"then call livesync.resync_table().")));
}

PGresult *
fetch(Connection *control, FetchRequest *request)
{
	PGresult *result = try_query(control, limit_lock_wait(fetch_sql(*request), LockTimeout));

	if (needs_text(result))
	{
		request->as_text = true;
		result = try_query(control, limit_lock_wait(fetch_sql(*request), LockTimeout));
	}
	if (strcmp(result_sqlstate(result), "42703") == 0)
		raise_other_columns(*request, result);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		raise_remote_error(control, result, psprintf("fetch a row of table %s", request->table));
	return result;
}

} // namespace

FetchedRow
fetch_row(Connection *control, const char *schema, const char *name, int ncolumns,
		  const char *const *columns, int nkeys, const char *const *key_columns,
		  const char *const *key_values, const char *row_filter)
{
	FetchRequest request = {};
	FetchedRow row = {};

	request.table = quote_table(schema, name);
	request.ncolumns = ncolumns;
	request.columns = columns;
	request.nkeys = nkeys;
	request.key_columns = key_columns;
	request.key_values = key_values;
	request.row_filter = row_filter;

	PGresult *result = fetch(control, &request);

	row.snapshot = get_text(result, 0, 0);
	row.table = get_oid(result, 0, 1);
	row.found = get_bool(result, 0, 2);
	if (!row.found)
		return row;
	row.values = static_cast<char **>(palloc0(sizeof(char *) * Max(ncolumns, 1)));
	for (int i = 0; i < ncolumns; i++)
		row.values[i] = get_text(result, 0, i + 3);
	return row;
}

} // namespace source
