/*
 * target/apply.cpp
 *
 * The streaming way.  See apply.hpp.
 *
 *   changes ──fold──► deletes, updates, inserts ──error──► one by one, in their order ──error──► failed
 */
#include "target/apply.hpp"

#include "base/subtransaction.hpp"
#include "target/apply_one.hpp"
#include "target/keyless.hpp"
#include "target/write_fold.hpp"

namespace target
{
namespace
{

struct Run
{
	TargetRelation *relation;
	const PendingChange *first;
	const PendingChange *current; /* for the error's LSN */
	base::ChangeCounts counts;
};

void
count_change(base::ChangeCounts *counts, const PendingChange *change)
{
	if (change->kind == wire::MessageKind::insert)
		counts->inserts++;
	else if (change->kind == wire::MessageKind::update)
		counts->updates++;
	else
		counts->deletes++;
}

void
apply_folded(Run *run)
{
	FoldSpec spec;
	Fold fold;

	describe_fold(run->relation, &spec);
	fold.init(spec, allocator_of(CurrentMemoryContext));
	for (const PendingChange *it = run->first; it != nullptr; it = it->next)
	{
		if (fold_change(&fold, it) == FoldStatus::folded)
		{
			count_change(&run->counts, it);
			continue;
		}
		write_fold(run->relation, fold, &run->counts);
		fold.reset();
		run->current = it;
		apply_one(run->relation, it, &run->counts);
	}
	write_fold(run->relation, fold, &run->counts);
}

void
apply_as_sets(void *argument)
{
	Run *run = (Run *) argument;
	Role role = become_owner(run->relation->owner);

	run->current = nullptr;
	if (run->relation->nkeys > 0)
		apply_folded(run);
	else
		apply_keyless(run->relation, run->first, &run->counts);
	restore_role(role);
}

void
apply_one_by_one(void *argument)
{
	Run *run = (Run *) argument;
	Role role = become_owner(run->relation->owner);
	MemoryContext per_change =
		AllocSetContextCreate(CurrentMemoryContext, "livesync change", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(per_change);

	for (const PendingChange *it = run->first; it != nullptr; it = it->next)
	{
		run->current = it;
		apply_one(run->relation, it, &run->counts);
		MemoryContextReset(per_change);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(per_change);
	restore_role(role);
}

/* In a memory context of its own; the error is in the caller's. */
ErrorData *
attempt(Run *run, void (*way)(void *argument),
		ErrorData *(*within)(void (*function)(void *argument), void *argument))
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "livesync apply", ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);
	run->counts = {};
	forget_unreadable(run->relation);
	ErrorData *error = within(way, run);

	MemoryContextSwitchTo(caller);
	ErrorData *copy = error != nullptr ? base::copy_error(error) : nullptr;

	MemoryContextDelete(context);
	return copy;
}

void
add_run(base::ChangeCounts *counts, const Run &run)
{
	counts->batches++;
	base::add_counts(counts, run.counts);
}

bool
conclude(const Run &run, ErrorData *error, base::ChangeCounts *counts, ApplyFailure *failure)
{
	failure->error = error;
	failure->lsn = run.current ? run.current->lsn : wire::kInvalidLsn;
	note_unreadable(run.relation, failure);
	if (error != nullptr)
		return false;
	add_run(counts, run);
	return true;
}

bool
apply_in_order(Run *run, base::ChangeCounts *counts, ApplyFailure *failure)
{
	ErrorData *error = attempt(run, apply_one_by_one, base::run_in_subtransaction);

	return conclude(*run, error, counts, failure);
}

} // namespace

bool
apply_changes(TargetRelation *relation, const PendingChange *first, base::ChangeCounts *counts,
			  ApplyFailure *failure)
{
	Run run{relation, first, nullptr, {}};

	if (relation->fires_triggers)
		return apply_in_order(&run, counts, failure);

	ErrorData *error = attempt(&run, apply_as_sets, base::run_in_subtransaction);

	if (error != nullptr && !base::is_lock_timeout(error))
		return apply_again(relation, first, counts, failure);
	return conclude(run, error, counts, failure);
}

ErrorData *
apply_first(TargetRelation *relation, const PendingChange *first, base::ChangeCounts *counts)
{
	Run run{relation, first, nullptr, {}};
	ErrorData *error = attempt(&run, apply_as_sets, base::run_in_transaction);

	if (error == nullptr)
		add_run(counts, run);
	return error;
}

bool
apply_again(TargetRelation *relation, const PendingChange *first, base::ChangeCounts *counts,
			ApplyFailure *failure)
{
	Run run{relation, first, nullptr, {}};

	counts->replayed_batches++;
	return apply_in_order(&run, counts, failure);
}

void
forget_unreadable(TargetRelation *relation)
{
	relation->unreadable = -1;
}

void
note_unreadable(const TargetRelation *relation, ApplyFailure *failure)
{
	bool is_it = failure->error != nullptr && relation->unreadable >= 0;

	failure->unreadable_type = is_it ? relation->columns[relation->unreadable].type : InvalidOid;
	failure->unreadable_column =
		is_it ? pstrdup(relation->columns[relation->unreadable].name) : nullptr;
}

} // namespace target
