/*
 * state/column_versions.cpp
 *
 * See column_versions.hpp.
 */
#include "state/column_versions.hpp"

using namespace base;

namespace state
{

void
record_column_versions(int64 table_id, int count, const char *const *texts, const char *look)
{
	run_alone(
		"UPDATE livesync.synced_table SET column_versions = $2, column_look = $3 WHERE id = $1",
		{bigint_value(table_id), text_array_value(count, texts), text_value(look)});
}

void
record_versions_only(int64 table_id, int count, const char *const *texts)
{
	run_alone("UPDATE livesync.synced_table SET column_versions = $2 WHERE id = $1",
			  {bigint_value(table_id), text_array_value(count, texts)});
}

char **
load_column_versions(int64 table_id, int *count)
{
	SqlScope scope = begin_sql();
	char **texts = nullptr;

	if (run_sql("SELECT column_versions FROM livesync.synced_table WHERE id = $1 "
				"AND column_versions IS NOT NULL",
				{bigint_value(table_id)}) == 1)
		texts = get_text_array(scope, 0, 1, count);
	end_sql();
	return texts;
}

TableIds
find_changed_columns(int connector_id, int count, const char *const *oids, const char *const *looks)
{
	SqlScope scope = begin_sql();
	TableIds it{};

	it.count = (int) run_sql(
		"SELECT t.id FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS n (oid, look) "
		"JOIN livesync.synced_table t ON t.source_oid = n.oid::pg_catalog.oid "
		"WHERE t.connector_id = $1 AND t.state = 'streaming' AND t.phase = '' AND NOT t.released "
		"AND t.shadow_of IS NULL AND t.column_look IS DISTINCT FROM n.look AND NOT EXISTS "
		"(SELECT FROM livesync.synced_table s WHERE s.shadow_of = t.id)",
		{int_value(connector_id), text_array_value(count, oids), text_array_value(count, looks)});
	it.ids = (int64 *) MemoryContextAlloc(scope.caller, sizeof(int64) * (it.count + 1));
	for (int i = 0; i < it.count; i++)
		it.ids[i] = get_bigint((uint64) i, 1);
	end_sql();
	return it;
}

} // namespace state
