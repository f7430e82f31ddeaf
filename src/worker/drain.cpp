/*
 * worker/drain.cpp
 *
 * Segments of a spool, entry by entry, into runs of changes (drain_run.hpp).  See drain.hpp.
 */
#include "worker/drain.hpp"

#include "base/failpoint.hpp"
#include "base/subtransaction.hpp"
#include "state/spool.hpp"
#include "state/stats.hpp"
#include "worker/drain_run.hpp"

namespace worker
{
namespace
{

constexpr int kRunChanges = 20000;
constexpr size_t kRunBytes = 16 * 1024 * 1024;

/* What the snapshot saw is in the copied rows already. */
bool
is_in_copy(const Drain *drain, uint32 xid)
{
	return drain->table->snapshot != nullptr && are_visible(&xid, 1, drain->table->snapshot);
}

/* Segments begin with the description of their relation, mostly the one that is known. */
bool
is_known_relation(const DrainRun *run, const wire::Message &message, std::string_view raw)
{
	const StreamRelation *known = find_relation(run->relations, message.relation.relid);

	return known != nullptr && std::string_view(known->message, known->message_size) == raw;
}

DrainResult
take_entry(DrainRun *run, const state::SpoolEntry &entry)
{
	wire::Message message;
	DrainResult result = DrainResult::empty;

	if (wire::decode(entry.message, false, &message) != wire::DecodeStatus::ok)
		elog(ERROR, "spool segment has a message that cannot be read");
	run->place.kind = message.kind;
	run->place.lsn = entry.lsn;
	if (message.kind == wire::MessageKind::relation)
	{
		if (is_known_relation(run, message, entry.message))
			return DrainResult::empty;
		result = replay_run(run);
		remember_relation(run->relations, message.relation, entry.message);
		if (result == DrainResult::empty && !is_in_copy(run->drain, entry.xid) &&
			message.relation.relid == run->route.relid)
			result = follow_columns(run, entry);
	}
	else if (is_in_copy(run->drain, entry.xid))
		return DrainResult::empty;
	else if (message.kind == wire::MessageKind::truncate)
		result = truncate_target(run, entry, message.truncate.restart_identity);
	else
	{
		result = begin_form(run, message.change);
		if (result == DrainResult::empty)
			add_to_run(run, message, entry);
	}
	return result;
}

DrainResult
take_segment(DrainRun *run, const state::SpoolSegment *segment)
{
	std::string_view rest(VARDATA_ANY(segment->body), VARSIZE_ANY_EXHDR(segment->body));
	state::SpoolEntry entry;
	DrainResult result = DrainResult::empty;

	run->bytes += rest.size();
	run->place.segment = segment->number;
	for (run->place.entry = 0; result == DrainResult::empty; run->place.entry++)
	{
		run->rest = rest;
		if (!state::next_entry(&rest, &entry))
			break;
		result = take_entry(run, entry);
	}
	return result;
}

/* All segments that may be taken, in runs; *done is the last one that was replayed. */
DrainResult
take_segments(DrainRun *run, int64 *done)
{
	const state::SyncedTable *table = run->drain->table;
	DrainResult result = DrainResult::empty;
	int64 taken = 0;
	bool is_bounded = false;

	for (int count = 1; result == DrainResult::empty && !is_bounded; count++)
	{
		MemoryContextSwitchTo(run->memory);
		state::SpoolSegment *segment = state::read_segment(table->id, table->generation, taken);

		if (segment == nullptr)
			break;
		result = take_segment(run, segment);
		taken = segment->number;
		is_bounded = count == run->drain->most_segments;
		if (result == DrainResult::empty &&
			(run->changes >= kRunChanges || run->bytes >= kRunBytes))
		{
			result = replay_run(run);
			run->bytes = 0;
			MemoryContextReset(run->memory);
		}
		base::failpoint("drain_segment", state::source_table_name(table));
		CHECK_FOR_INTERRUPTS();
	}
	if (result == DrainResult::empty)
		result = replay_run(run);
	if (result == DrainResult::stopped)
		state::cut_segment(table->id, table->generation, taken, run->rest);
	*done = taken;
	return result == DrainResult::empty && is_bounded ? DrainResult::more : result;
}

/*
 * In the caller's context.  What waits in a spool cannot be asked for in another form: when a value of it cannot be read, the
 * table needs another copy.
 */
void
keep_failure(target::ApplyFailure *failure)
{
	ErrorData *error = base::copy_error(failure->error);

	if (failure->unreadable_column != nullptr)
	{
		error->message = psprintf("a value of column \"%s\" could not be read in binary form: %s",
								  failure->unreadable_column, error->message);
		error->hint = pstrdup("Call livesync.resync_table(): the table is copied again, and its "
							  "values come as text.");
		failure->unreadable_column = nullptr;
	}
	failure->error = error;
}

} // namespace

DrainResult
drain_spool(Drain *drain)
{
	const state::SyncedTable *table = drain->table;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "livesync drain", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	DrainRun run{};
	int64 done = 0;

	run.drain = drain;
	run.relations = make_routes(context);
	run.memory = AllocSetContextCreate(context, "livesync segments", ALLOCSET_DEFAULT_SIZES);
	run.route.table = (state::SyncedTable *) table;
	run.route.relid = table->source_oid;
	DrainResult result = take_segments(&run, &done);

	MemoryContextSwitchTo(old);
	if (drain->failure.error != nullptr)
		keep_failure(&drain->failure);
	close_route_target(&run.route);
	MemoryContextDelete(context);
	if (result == DrainResult::empty || result == DrainResult::more)
	{
		settle_refetches(drain);
		state::add_stats(table->id, drain->stats);
		state::delete_segments(table->id, table->generation, done);
	}
	if (result == DrainResult::stopped)
	{
		settle_refetches(drain);
		state::add_stats(table->id, drain->stats);
	}
	return result;
}

} // namespace worker
