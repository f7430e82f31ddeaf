/*
 * state/stream_format.cpp
 *
 * See stream_format.hpp.
 */
#include "state/stream_format.hpp"

using namespace base;

namespace state
{

ColumnTypesList
load_column_types(int connector_id)
{
	SqlScope scope = begin_sql();
	ColumnTypesList list{};

	list.count = (int) run_sql(
		"SELECT min(format('%s.%s', t.source_schema, t.source_name)), min(s.name), "
		"split_part(s.type, ':', 1)::oid AS source_type, coalesce(a.atttypid, 0) AS target_type "
		"FROM livesync.synced_table t "
		"CROSS JOIN LATERAL unnest(t.shape_columns, t.shape_types) s(name, type) "
		"LEFT JOIN pg_namespace n ON n.nspname = t.target_schema "
		"LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.target_name "
		"LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = s.name "
		"AND a.attnum > 0 AND NOT a.attisdropped "
		"WHERE t.connector_id = $1 AND NOT t.released GROUP BY 3, 4 ORDER BY 3, 4",
		{int_value(connector_id)});
	list.types =
		(ColumnTypes *) MemoryContextAlloc(scope.caller, sizeof(ColumnTypes) * (list.count + 1));
	for (int i = 0; i < list.count; i++)
		list.types[i] = ColumnTypes{get_text(scope, (uint64) i, 1), get_text(scope, (uint64) i, 2),
									get_oid((uint64) i, 3), get_oid((uint64) i, 4)};
	end_sql();
	return list;
}

TypeList
load_unreadable_types(int connector_id)
{
	SqlScope scope = begin_sql();
	TypeList list{};

	list.count =
		(int) run_sql("SELECT type FROM livesync.connector c, unnest(c.unreadable_types) type "
					  "WHERE c.id = $1",
					  {int_value(connector_id)});
	list.types = (Oid *) MemoryContextAlloc(scope.caller, sizeof(Oid) * (list.count + 1));
	for (int i = 0; i < list.count; i++)
		list.types[i] = get_oid((uint64) i, 1);
	end_sql();
	return list;
}

void
note_unreadable_type(int connector_id, Oid type)
{
	run_alone("UPDATE livesync.connector SET unreadable_types = unreadable_types || $2 "
			  "WHERE id = $1 AND $2 <> ALL (unreadable_types)",
			  {int_value(connector_id), oid_value(type)});
}

bool
contains_type(const TypeList &list, Oid type)
{
	for (int i = 0; i < list.count; i++)
		if (list.types[i] == type)
			return true;
	return false;
}

void
record_text_reason(int connector_id, int64 table_id, XLogRecPtr lsn, const char *reason)
{
	run_alone(
		"UPDATE livesync.connector SET text_table = $2, text_lsn = $3, text_reason = $4 "
		"WHERE id = $1",
		{int_value(connector_id), bigint_value(table_id), lsn_value(lsn), text_value(reason)});
}

char *
load_text_reason(int connector_id, XLogRecPtr position)
{
	SqlScope scope = begin_sql();
	char *reason = nullptr;

	if (run_sql("SELECT c.text_reason FROM livesync.connector c "
				"LEFT JOIN livesync.synced_table t ON t.id = c.text_table AND NOT t.released "
				"WHERE c.id = $1 AND ($2 <= c.text_lsn "
				"OR t.id IS NOT NULL AND coalesce(t.shape_lsn < c.text_lsn, true))",
				{int_value(connector_id), lsn_value(position)}) == 1)
		reason = get_text(scope, 0, 1);
	end_sql();
	return reason;
}

bool
record_format(int connector_id, bool is_binary)
{
	begin_sql();
	bool is_change =
		run_sql("UPDATE livesync.connector c SET is_binary = $2 "
				"FROM (SELECT id, is_binary FROM livesync.connector WHERE id = $1 FOR UPDATE) was "
				"WHERE c.id = was.id AND was.is_binary IS DISTINCT FROM $2 "
				"RETURNING coalesce(was.is_binary, true) <> $2",
				{int_value(connector_id), bool_value(is_binary)}) > 0 &&
		get_bool(0, 1);

	end_sql();
	return is_change;
}

} // namespace state
