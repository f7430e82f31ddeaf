/*
 * api/compare_range.cpp
 *
 * See compare_range.hpp.
 */
#include "api/compare_range.hpp"

#include "api/call.hpp"
#include "worker/registry.hpp"

using namespace base;

namespace api
{
namespace
{

constexpr int kMostSuspects = 500; /* looked up at once */
constexpr int kMostRounds = 30;
constexpr int kEnoughRounds = 4; /* in a row in which a row stood still and differed */
constexpr int kPauseMs = 100;	 /* between them */

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

struct Goal
{
	const CompareCall *call;
	XLogRecPtr lsn;
};

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

} // namespace

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

} // namespace api
