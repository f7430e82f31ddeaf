/*
 * worker/drain.cpp
 *
 * See drain.hpp.
 *
 * A keyed table is replayed over rows of mixed versions.  A one-snapshot table is not: its rows are exactly those of the
 * snapshot, so changes that the snapshot saw are skipped and the others applied as when streaming.
 */
#include "worker/drain.hpp"

#include "base/failpoint.hpp"
#include "base/subtransaction.hpp"
#include "state/aside.hpp"
#include "state/spool.hpp"
#include "state/stats.hpp"
#include "worker/follow.hpp"

namespace worker
{
namespace
{

constexpr int kRunChanges = 20000;
constexpr size_t kRunBytes = 16 * 1024 * 1024;

struct SpooledChange
{
	target::PendingChange change; /* first: lists of them are lists of these */
	SpoolPlace place;
};

/* A run of changes, over as many segments as it takes, until something ends it. */
struct DrainRun
{
	Drain *drain;
	Routes *relations; /* for the Relation messages of the segments only */
	Route route;
	MemoryContext memory; /* segments and changes of the run; reset when it is replayed */
	target::PendingChange *first;
	target::PendingChange *last;
	SpoolPlace place;	  /* of the entry being taken */
	wire::ValueKind form; /* of its values, text or binary; null: not known yet */
	int changes;
	size_t bytes;
	std::string_view rest; /* of the segment, from the entry at which it stopped */
};

DrainResult
drain_result(FollowResult followed)
{
	switch (followed)
	{
		case FollowResult::done:
			break;
		case FollowResult::again_later:
			return DrainResult::again_later;
		case FollowResult::copy_again:
			return DrainResult::copy_again;
	}
	return DrainResult::empty;
}

/* The target, in the form that the changes have. */
DrainResult
open_drain_target(DrainRun *run, const StreamRelation *relation, uint32 xid, wire::Lsn lsn,
				  target::TargetRelation **target)
{
	FollowContext context{run->drain->connector, run->drain->control, run->drain->table};
	FollowResult followed = run->route.followed_version == relation->version
								? FollowResult::done
								: follow_stream(context, relation, xid, lsn);

	if (followed != FollowResult::done)
		return drain_result(followed);
	run->route.followed_version = relation->version;
	*target = open_route_target(&run->route, relation, run->relations->context);
	return DrainResult::empty;
}

bool
has_incomplete_insert(const target::PendingChange *first)
{
	for (const target::PendingChange *it = first; it != nullptr; it = it->next)
		if (it->kind == wire::MessageKind::insert && wire::has_unchanged(it->new_tuple))
			return true;
	return false;
}

DrainResult
replay_list(Drain *drain, target::TargetRelation *target, const StreamRelation *relation,
			const target::PendingChange *first)
{
	base::ChangeCounts counts{};

	if (drain->table->mode == state::CopyMode::snapshot &&
		(target->nkeys == 0 || !has_incomplete_insert(first)))
		return target::apply_changes(target, first, &counts, &drain->failure) ? DrainResult::empty
																			  : DrainResult::failed;

	target::CatchUp catch_up = make_catch_up(drain, relation->columns);

	switch (target::replay_changes(target, first, catch_up, &counts, &drain->failure))
	{
		case target::ReplayResult::done:
			break;
		case target::ReplayResult::again_later:
			return DrainResult::again_later;
		case target::ReplayResult::failed:
			return DrainResult::failed;
	}
	return DrainResult::empty;
}

DrainResult
find_failing(Drain *drain, target::TargetRelation *target, const StreamRelation *relation,
			 const target::PendingChange *first)
{
	for (const target::PendingChange *it = first; it != nullptr; it = it->next)
	{
		target::PendingChange one = *it;

		one.next = nullptr;
		DrainResult result = replay_list(drain, target, relation, &one);

		if (result == DrainResult::failed)
			drain->failing = ((const SpooledChange *) it)->place;
		if (result != DrainResult::empty)
			return result;
	}
	return DrainResult::empty;
}

DrainResult
replay_run(DrainRun *run)
{
	Drain *drain = run->drain;
	const StreamRelation *relation = find_relation(run->relations, run->route.relid);
	const target::PendingChange *first = run->first;

	if (first == nullptr)
		return DrainResult::empty;
	if (relation == nullptr)
		elog(ERROR, "spool segment has changes without their relation");

	target::TargetRelation *target;
	DrainResult opened = open_drain_target(run, relation, first->xid, first->lsn, &target);

	if (opened != DrainResult::empty)
		return opened;
	run->first = run->last = nullptr;
	run->changes = 0;
	drain->stats.batches++;
	DrainResult result = replay_list(drain, target, relation, first);

	return result == DrainResult::failed && drain->finds_failing
			   ? find_failing(drain, target, relation, first)
			   : result;
}

/* Of the values of a change, which all come in one form; null: it has none. */
wire::ValueKind
form_of(const wire::Change &change)
{
	for (const wire::Tuple *tuple : {&change.new_tuple, &change.old_tuple})
	{
		wire::TupleCursor cursor(*tuple);

		for (uint16 i = 0; i < tuple->columns && tuple->is_present(); i++)
		{
			wire::ValueKind kind = cursor.next().kind;

			if (kind == wire::ValueKind::text || kind == wire::ValueKind::binary)
				return kind;
		}
	}
	return wire::ValueKind::null;
}

/*
 * The source was asked for text at one time and for binary values at another.  In a run keys are told apart by their bytes,
 * so all of it must be of one form.
 */
DrainResult
begin_form(DrainRun *run, const wire::Change &change)
{
	wire::ValueKind form = form_of(change);
	bool is_other =
		form != wire::ValueKind::null && run->form != wire::ValueKind::null && form != run->form;

	if (form != wire::ValueKind::null)
		run->form = form;
	return is_other ? replay_run(run) : DrainResult::empty;
}

/* What the snapshot saw is in the copied rows already. */
bool
is_in_copy(const Drain *drain, uint32 xid)
{
	return drain->table->snapshot != nullptr && are_visible(&xid, 1, drain->table->snapshot);
}

void
add_to_run(DrainRun *run, const wire::Message &message, const state::SpoolEntry &entry)
{
	SpooledChange *spooled = (SpooledChange *) palloc(sizeof(SpooledChange));
	target::PendingChange *change = &spooled->change;

	spooled->place = run->place;
	change->kind = message.kind;
	change->old_kind = message.change.old_kind;
	change->old_tuple = message.change.old_tuple;
	change->new_tuple = message.change.new_tuple;
	change->lsn = entry.lsn;
	change->xid = entry.xid;
	change->next = nullptr;
	if (run->last != nullptr)
		run->last->next = change;
	else
		run->first = change;
	run->last = change;
	run->changes++;
	if (message.kind == wire::MessageKind::insert)
		run->drain->stats.inserts++;
	else if (message.kind == wire::MessageKind::update)
		run->drain->stats.updates++;
	else
		run->drain->stats.deletes++;
}

/* Segments begin with the description of their relation, mostly the one that is known. */
bool
is_known_relation(const DrainRun *run, const wire::Message &message, std::string_view raw)
{
	const StreamRelation *known = find_relation(run->relations, message.relation.relid);

	return known != nullptr && std::string_view(known->message, known->message_size) == raw;
}

DrainResult
truncate_target(DrainRun *run, const state::SpoolEntry &entry, bool restart_identity)
{
	const StreamRelation *relation = find_relation(run->relations, run->route.relid);
	DrainResult result = replay_run(run);

	if (result != DrainResult::empty)
		return result;
	target::TargetRelation *target;

	result = open_drain_target(run, relation, entry.xid, entry.lsn, &target);
	if (result != DrainResult::empty)
		return result;
	/* it stays where an error leaves it */
	run->drain->failing = run->place;
	target::truncate_tables(&target, 1, restart_identity);
	run->drain->failing = {};
	state::forget_all_aside(run->drain->table->id, run->drain->table->generation);
	run->drain->stats.truncates++;
	return DrainResult::empty;
}

struct FollowStep
{
	DrainRun *run;
	const state::SpoolEntry *entry;
	FollowResult result;
};

void
follow_step(void *argument)
{
	FollowStep *step = (FollowStep *) argument;
	DrainRun *run = step->run;
	FollowContext context{run->drain->connector, run->drain->control, run->drain->table};
	const StreamRelation *relation = find_relation(run->relations, run->route.relid);

	step->result = follow_stream(context, relation, step->entry->xid, step->entry->lsn);
	if (step->result == FollowResult::done)
		run->route.followed_version = relation->version;
}

/*
 * When the target must be mended by hand, all that came before must be there already: it is of the former form and fits the
 * target only as long as nobody mended it.
 */
DrainResult
follow_relation(DrainRun *run, const state::SpoolEntry &entry)
{
	FollowStep step{run, &entry, FollowResult::done};
	ErrorData *error = base::run_in_subtransaction(follow_step, &step);

	if (error != nullptr && base::is_lock_timeout(error))
		ReThrowError(error);
	if (error != nullptr)
	{
		run->drain->failure.error = error;
		run->drain->failure.lsn = entry.lsn;
		return DrainResult::stopped;
	}
	return drain_result(step.result);
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
			result = follow_relation(run, entry);
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
