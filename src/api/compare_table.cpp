/*
 * api/compare_table.cpp
 *
 * livesync.compare_table(): are both sides of a table equal, while changes stream?  Cuts the table into ranges, and returns
 * what compare_range() found in each and in all of them.
 */
#include "api/call.hpp"
#include "api/compare_range.hpp"
#include "worker/registry.hpp"

using namespace base;

namespace api
{
namespace
{

constexpr int64 kRangeRows = 50000;
constexpr int kMostParts = 1000; /* of a keyless table: each part is a scan */

Datum
list_or_null(const KeyList &list, bool *null)
{
	*null = list.count == 0;
	return *null ? (Datum) 0 : text_array_value(list.count, list.keys).value;
}

void
put(const CompareCall *call, const Verdict &verdict)
{
	bool nulls[9] = {};
	Datum values[9] = {};

	values[0] = CStringGetTextDatum(verdict.part);
	values[1] = Int64GetDatum(verdict.source_rows);
	values[2] = Int64GetDatum(verdict.target_rows);
	values[3] = BoolGetDatum(verdict.found == 0);
	nulls[3] = verdict.found == 0 && verdict.unsettled > 0;
	values[4] = list_or_null(verdict.missing, &nulls[4]);
	values[5] = list_or_null(verdict.extra, &nulls[5]);
	values[6] = list_or_null(verdict.different, &nulls[6]);
	values[7] = list_or_null(verdict.moving, &nulls[7]);
	values[8] = LSNGetDatum(verdict.lsn);
	tuplestore_putvalues(call->result->setResult, call->result->setDesc, values, nulls);
}

void
append_keys(KeyList *list, const KeyList &more)
{
	for (int i = 0; i < more.count && list->count < kMostKeys; i++)
		list->keys[list->count++] = pstrdup(more.keys[i]);
}

char *
describe_range(const CompareCall *call, const Range &range)
{
	const Comparison &comparison = call->comparison;
	const char *what = comparison.nkeys == 0 ? "hash of the row" : call->table->key_columns[0];

	if (range.low == nullptr && range.high == nullptr)
		return pstrdup("all rows");
	if (range.low == nullptr)
		return psprintf("%s < %s", what, range.high);
	if (range.high == nullptr)
		return psprintf("%s >= %s", what, range.low);
	return psprintf("%s >= %s and < %s", what, range.low, range.high);
}

/* A row for each range that is not equal, and its share of the total. */
void
do_range(CompareCall *call, const Range &range)
{
	MemoryContext old = MemoryContextSwitchTo(call->range_memory);
	Verdict verdict = compare_range(call, range);

	verdict.part = describe_range(call, range);
	if (verdict.found > 0 || verdict.unsettled > 0)
		put(call, verdict);
	MemoryContextSwitchTo(old);
	call->total.source_rows += verdict.source_rows;
	call->total.target_rows += verdict.target_rows;
	call->total.found += verdict.found;
	call->total.unsettled += verdict.unsettled;
	call->total.lsn = Max(call->total.lsn, verdict.lsn);
	append_keys(&call->total.missing, verdict.missing);
	append_keys(&call->total.extra, verdict.extra);
	append_keys(&call->total.different, verdict.different);
	append_keys(&call->total.moving, verdict.moving);
	MemoryContextReset(call->range_memory);
	CHECK_FOR_INTERRUPTS();
}

void
do_keyed(CompareCall *call)
{
	Range range{};

	do
	{
		range.high = call->comparison.is_ranged
						 ? find_range_end(call->comparison, range.low, kRangeRows)
						 : nullptr;
		do_range(call, range);
		range.low = range.high;
	} while (range.high != nullptr);
}

/* The whole at once; when that is not equal and big, in parts. */
void
do_keyless(CompareCall *call)
{
	const Comparison &comparison = call->comparison;
	Range all{};
	Totals there = look_at_totals(comparison, comparison.source, all);

	call->total.lsn = source::read_positions(comparison.source.connection).insert;
	Totals here = look_at_totals(comparison, comparison.target, all);

	if (there.rows == here.rows && strcmp(there.sum, here.sum) == 0)
	{
		call->total.source_rows = there.rows;
		call->total.target_rows = here.rows;
		return;
	}
	int64 parts = Min(there.rows / kRangeRows + 1, (int64) kMostParts);
	uint64 width = PG_UINT64_MAX / (uint64) parts;
	Range range{};

	for (int64 part = 1; part <= parts; part++)
	{
		range.high =
			part == parts
				? nullptr
				: psprintf(INT64_FORMAT, (int64) ((uint64) PG_INT64_MIN + width * (uint64) part));
		do_range(call, range);
		range.low = range.high;
	}
}

state::SyncedTable *
find_compared(const state::Connector *connector, const char *name)
{
	Role caller = become_extension();
	state::SyncedTable *table = find_table(connector, name, state::RowLock::none);

	restore_role(caller);
	return table;
}

} // namespace
} // namespace api

extern "C"
{
PG_FUNCTION_INFO_V1(livesync_compare_table);

PGDLLEXPORT Datum
livesync_compare_table(PG_FUNCTION_ARGS)
{
	using namespace api;

	CompareCall call{};

	worker::require_preloaded();
	call.connector = find_connector(required_argument(fcinfo, 0, "connector"));
	call.table = find_compared(call.connector, required_argument(fcinfo, 1, "source_table"));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
						errmsg("cannot compare in a transaction that keeps its first snapshot"),
						errhint("Use READ COMMITTED isolation.")));
	require_streaming(&call);
	InitMaterializedSRF(fcinfo, 0);
	call.result = (ReturnSetInfo *) fcinfo->resultinfo;
	call.comparison = open_comparison(call.connector, call.table);
	call.range_memory =
		AllocSetContextCreate(CurrentMemoryContext, "livesync compare", ALLOCSET_DEFAULT_SIZES);
	call.total.part = "total";
	if (call.comparison.nkeys > 0)
		do_keyed(&call);
	else
		do_keyless(&call);
	put(&call, call.total);
	source::close_connection(call.comparison.source.connection);
	return (Datum) 0;
}
}
