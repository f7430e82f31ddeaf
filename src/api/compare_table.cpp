/*
 * api/compare_table.cpp
 *
 * livesync.compare_table(): are both sides of a table equal, while changes stream?
 *
 *   range by range:  totals there, totals here ─ equal ─► next
 *                        └─ not ─► keys there, position, wait until applied, keys here ─► suspects
 *   suspects:        there (1), position, wait until applied, here, there again (2)
 *                        here is as (1) or as (2)        equal
 *                        (1) is as (2), again and again  different: nobody was changing it
 *                        else                            it moves: once more
 *
 * A range counts as equal when the target has been seen in a state that the source was in.  No
 * transaction stays open at the source between two looks, and nothing is locked.
 *
 * Surprising: no snapshot of the target at the source's position is ever taken; it could not be
 * without stopping the apply.  A difference is believed only of rows that stand still, and for some
 * time: a commit is sent as soon as it is on disk, and may be seen here before it is seen there.
 */
#include "api/call.hpp"
#include "api/compare.hpp"
#include "worker/registry.hpp"

using namespace base;

namespace api
{
namespace
{

constexpr int64 kRangeRows = 50000;
constexpr int kMostParts = 1000;   /* of a keyless table: each part is a scan */
constexpr int kMostSuspects = 500; /* looked up at once */
constexpr int kMostRounds = 30;
constexpr int kEnoughRounds = 4; /* in a row in which a row stood still and differed */
constexpr int kPauseMs = 100;	 /* between them */
constexpr int kMostKeys = 10;	 /* listed of each kind */

struct KeyList
{
	int count;
	char *keys[kMostKeys];
};

struct Verdict
{
	const char *part;
	int64 source_rows;
	int64 target_rows;
	XLogRecPtr lsn; /* the source's position of the look that counts */
	KeyList missing;
	KeyList extra;
	KeyList different;
	KeyList moving;
	int found; /* differences for certain, listed or not */
	int unsettled;
};

/* A key whose values differed at the last look. */
struct Suspect
{
	char **key;
	int confirmed;			/* rounds in a row in which it stood still and differed */
	const char *last_value; /* at the source then; nullptr: not there */
};

struct Suspects
{
	int count;
	Suspect *list;
};

struct CompareCall
{
	const state::Connector *connector;
	const state::SyncedTable *table;
	Comparison comparison;
	MemoryContext range_memory;
	ReturnSetInfo *result;
	Verdict total;
};

struct Goal
{
	const CompareCall *call;
	XLogRecPtr lsn;
};

void
require_streaming(const CompareCall *call)
{
	Role caller = become_extension();
	SqlScope scope = begin_sql();
	bool is_there = run_sql("SELECT t.state, c.enabled FROM livesync.synced_table t "
							"JOIN livesync.connector c ON c.id = t.connector_id "
							"WHERE t.id = $1 AND NOT t.released",
							{bigint_value(call->table->id)}) > 0;
	char *state = is_there ? get_text(scope, 0, 1) : nullptr;
	bool is_enabled = is_there && get_bool(0, 2);

	end_sql();
	restore_role(caller);
	if (!is_there)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("connector \"%s\" does not have table \"%s.%s\" any more",
							   call->connector->name, call->table->source_schema,
							   call->table->source_name)));
	if (!is_enabled)
		raise_paused(call->connector->name,
					 "Tables can be compared only while changes are applied.");
	if (strcmp(state, "streaming") != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s.%s\" is not streaming", call->table->source_schema,
							   call->table->source_name),
						errdetail("Its state is %s.", state),
						errhint("livesync.wait_for_sync() waits until every table is.")));
}

bool
is_applied(void *context)
{
	const Goal *goal = (const Goal *) context;
	worker::ConnectorEntry entry;

	if (worker::read_entry(goal->call->connector->id, &entry) && entry.pid != 0 &&
		entry.applied >= goal->lsn)
		return true;
	require_streaming(goal->call);
	return false;
}

/* After a look at the source: until all that it can have seen is applied here. */
XLogRecPtr
wait_applied(const CompareCall *call)
{
	Goal goal{call, source::wait_source_flushed(call->comparison.source.connection)};

	(void) wait_until(is_applied, &goal, -1);
	require_streaming(call);
	return goal.lsn;
}

int
key_parts(const CompareCall *call)
{
	return Max(call->comparison.nkeys, 1);
}

const char *
find_value(const CompareCall *call, const Entries &entries, char *const *key)
{
	int low = 0;
	int high = entries.count - 1;

	while (low <= high)
	{
		int middle = low + (high - low) / 2;
		int order = compare_keys(key_parts(call), entries.entries[middle].key, key);

		if (order == 0)
			return entries.entries[middle].value;
		if (order < 0)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return nullptr;
}

bool
is_same(const char *left, const char *right)
{
	return left == nullptr || right == nullptr ? left == right : strcmp(left, right) == 0;
}

/* Merge two sorted lists: keys that are not on both sides with the same value. */
Suspects
find_suspects(const CompareCall *call, const Entries &there, const Entries &here)
{
	Suspects it{0, (Suspect *) MemoryContextAllocHuge(
					   CurrentMemoryContext,
					   sizeof(Suspect) * ((Size) there.count + (Size) here.count + 1))};
	int s = 0;
	int t = 0;

	while (s < there.count || t < here.count)
	{
		int order = s == there.count ? 1
					: t == here.count
						? -1
						: compare_keys(key_parts(call), there.entries[s].key, here.entries[t].key);

		if (order != 0 || !is_same(there.entries[s].value, here.entries[t].value))
			it.list[it.count++] =
				Suspect{order <= 0 ? there.entries[s].key : here.entries[t].key, 0, nullptr};
		s += order <= 0;
		t += order >= 0;
	}
	return it;
}

void
add_key(const CompareCall *call, KeyList *list, char *const *key)
{
	StringInfoData text_form;

	if (list->count == kMostKeys)
		return;
	initStringInfo(&text_form);
	for (int i = 0; i < key_parts(call); i++)
		appendStringInfo(&text_form, "%s%s", i > 0 ? ", " : "", key[i]);
	list->keys[list->count++] = text_form.data;
}

void
note_difference(const CompareCall *call, Verdict *verdict, char *const *key, const char *there,
				const char *here)
{
	verdict->found++;
	if (here == nullptr)
		add_key(call, &verdict->missing, key);
	else if (there == nullptr)
		add_key(call, &verdict->extra, key);
	else
		add_key(call, &verdict->different, key);
}

/* One round, see the top.  Those that are not decided yet stay in the list. */
void
settle_round(CompareCall *call, Verdict *verdict, Suspects *suspects)
{
	const Comparison &comparison = call->comparison;
	char ***keys = (char ***) palloc(sizeof(char **) * (Size) suspects->count);
	int left = 0;

	for (int i = 0; i < suspects->count; i++)
		keys[i] = suspects->list[i].key;
	Entries first = look_at_keys(comparison, comparison.source, suspects->count, keys);

	verdict->lsn = wait_applied(call);
	Entries here = look_at_keys(comparison, comparison.target, suspects->count, keys);
	Entries second = look_at_keys(comparison, comparison.source, suspects->count, keys);

	for (int i = 0; i < suspects->count; i++)
	{
		Suspect suspect = suspects->list[i];
		const char *before = find_value(call, first, suspect.key);
		const char *after = find_value(call, second, suspect.key);
		const char *value = find_value(call, here, suspect.key);

		if (is_same(value, before) || is_same(value, after))
			continue;
		bool stands_still = is_same(before, after);
		bool stood_still = suspect.confirmed > 0 && is_same(suspect.last_value, before);

		suspect.confirmed = stands_still ? (stood_still ? suspect.confirmed + 1 : 1) : 0;
		suspect.last_value = after;
		if (suspect.confirmed >= kEnoughRounds)
			note_difference(call, verdict, suspect.key, after, value);
		else
			suspects->list[left++] = suspect;
	}
	suspects->count = left;
}

bool
is_never(void *)
{
	return false;
}

void
settle(CompareCall *call, Verdict *verdict, Suspects suspects)
{
	/* one batch with differences tells enough */
	for (int done = 0; done < suspects.count && verdict->found == 0; done += kMostSuspects)
	{
		Suspects batch{Min(kMostSuspects, suspects.count - done), suspects.list + done};

		for (int round = 0; round < kMostRounds && batch.count > 0; round++)
		{
			if (round > 0)
				(void) wait_until(is_never, nullptr, kPauseMs);
			settle_round(call, verdict, &batch);
		}
		verdict->unsettled += batch.count;
		for (int i = 0; i < batch.count; i++)
			add_key(call, &verdict->moving, batch.list[i].key);
	}
}

Verdict
compare_range(CompareCall *call, const Range &range)
{
	const Comparison &comparison = call->comparison;
	Verdict it{};
	Totals there = look_at_totals(comparison, comparison.source, range);

	it.lsn = source::read_positions(comparison.source.connection).insert;
	Totals here = look_at_totals(comparison, comparison.target, range);

	it.source_rows = there.rows;
	it.target_rows = here.rows;
	if (there.rows == here.rows && strcmp(there.sum, here.sum) == 0)
		return it;

	Entries source_entries = look_at_range(comparison, comparison.source, range);

	it.lsn = wait_applied(call);
	settle(
		call, &it,
		find_suspects(call, source_entries, look_at_range(comparison, comparison.target, range)));
	/* what moved in between is no difference, and should not look like one */
	if (it.found == 0 && it.unsettled == 0)
		it.target_rows = it.source_rows;
	return it;
}

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
