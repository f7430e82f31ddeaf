/*
 * worker/drain_run.cpp
 *
 * See drain_run.hpp.
 */
#include "worker/drain_run.hpp"

#include "base/subtransaction.hpp"
#include "state/aside.hpp"
#include "worker/follow.hpp"

namespace worker
{
namespace
{

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

/* What was fetched is newer than the rest. */
bool
is_of_one_version(const Drain *drain)
{
	return is_of_one_position(drain->table) &&
		   (drain->table->mode == state::CopyMode::snapshot ||
			drain->refetched == InvalidXLogRecPtr || !drain->table->copy_data);
}

DrainResult
replay_list(Drain *drain, target::TargetRelation *target, const StreamRelation *relation,
			const target::PendingChange *first)
{
	base::ChangeCounts counts{};

	/* the source dropped the key: nothing tells whether a row of its changes is among the copied ones */
	if (target->nkeys == 0 && !is_of_one_version(drain))
		return DrainResult::copy_again;
	if (target->nkeys == 0 ||
		(drain->table->mode == state::CopyMode::snapshot && !has_incomplete_insert(first)))
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

} // namespace

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

DrainResult
follow_columns(DrainRun *run, const state::SpoolEntry &entry)
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

} // namespace worker
