/*
 * api/source_tables.cpp
 *
 * livesync.source_tables(): what could be synced from a source, and what stands in the way.
 */
#include "api/call.hpp"
#include "api/ssh_calls.hpp"
#include "source/inventory.hpp"
#include "worker/registry.hpp"

using namespace base;

namespace api
{
namespace
{

constexpr int kMostProblems = 8;

struct Problems
{
	int count;
	const char *texts[kMostProblems];
};

void
add(Problems *problems, bool is_one, const char *problem)
{
	if (is_one)
		problems->texts[problems->count++] = problem;
}

Problems
find_problems(const source::SourceTable &table)
{
	Problems it{};

	add(&it, !table.can_publish,
		psprintf("not an ordinary table but a kind that cannot be published: %s", table.kind));
	add(&it, table.can_publish && !table.has_identity,
		"no replica identity: UPDATE and DELETE fail at the source once it is published; add a "
		"primary key or set REPLICA IDENTITY FULL");
	add(&it, table.can_publish && table.hides_identity,
		"generated columns that are not published belong to the replica identity: UPDATE and "
		"DELETE fail at the source once it is published, or before 18 cannot be applied");
	add(&it, table.can_publish && table.replica_identity == 'f' && table.key_count == 0,
		"REPLICA IDENTITY FULL without a primary key: changes search the whole row");
	add(&it, !table.can_read, "no right to SELECT");
	add(&it, table.is_filtered, "row-level security hides rows");
	add(&it, table.can_publish && !table.is_heap,
		"not only heap tables: the copy needs one snapshot for the whole table");
	return it;
}

const char *
identity_name(char identity)
{
	return identity == 'f'	 ? "full"
		   : identity == 'n' ? "nothing"
		   : identity == 'i' ? "index"
							 : "default";
}

Datum
array_or_null(int count, const char *const *texts, bool *null)
{
	*null = count == 0;
	return *null ? (Datum) 0 : text_array_value(count, texts).value;
}

void
put(ReturnSetInfo *result, const source::SourceTable &table)
{
	Problems problems = find_problems(table);
	bool nulls[9] = {};
	Datum values[9] = {};

	values[0] = CStringGetTextDatum(source::table_label(table));
	values[1] = CStringGetTextDatum(table.kind);
	values[2] = Int64GetDatum(table.bytes);
	values[3] = Int64GetDatum(table.rows);
	nulls[3] = table.rows < 0;
	values[4] = CStringGetTextDatum(identity_name(table.replica_identity));
	values[5] = array_or_null(table.key_count, table.key, &nulls[5]);
	values[6] = array_or_null(table.publication_count, table.publications, &nulls[6]);
	nulls[7] = table.time_column == nullptr;
	values[7] = nulls[7] ? (Datum) 0 : CStringGetTextDatum(table.time_column);
	values[8] = array_or_null(problems.count, problems.texts, &nulls[8]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_source_tables);

PGDLLEXPORT Datum
livesync_source_tables(PG_FUNCTION_ARGS)
{
	api::HiddenStatement hidden;
	char *conninfo = api::text_argument(fcinfo, 0);

	api::begin_hidden_statement(&hidden);
	worker::require_preloaded();
	if (conninfo == nullptr)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("the source's connection string must be given")));
	InitMaterializedSRF(fcinfo, 0);
	source::Connection *control = source::open_connection(
		{conninfo, GetUserId(), api::ssh_access(api::text_argument(fcinfo, 1))}, "livesync_tables",
		source::Purpose::control);
	source::SourceTables tables = source::read_inventory(control, 0, nullptr, 0, nullptr);

	for (int i = 0; i < tables.count; i++)
		api::put((ReturnSetInfo *) fcinfo->resultinfo, tables.tables[i]);
	source::close_connection(control);
	api::end_hidden_statement(&hidden);
	return (Datum) 0;
}
}
