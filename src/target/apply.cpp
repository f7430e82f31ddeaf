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

} // namespace

bool
apply_changes(TargetRelation *relation, const PendingChange *first, base::ChangeCounts *counts,
			  ApplyFailure *failure)
{
	Run run{relation, first, nullptr, {}};
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "livesync apply", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	ErrorData *error = nullptr;

	counts->batches++;
	forget_unreadable(relation);
	if (!relation->fires_triggers)
		error = base::run_in_subtransaction(apply_as_sets, &run);
	if (relation->fires_triggers || (error != nullptr && !base::is_lock_timeout(error)))
	{
		run.counts = {};
		forget_unreadable(relation);
		if (error != nullptr)
			counts->replayed_batches++;
		error = base::run_in_subtransaction(apply_one_by_one, &run);
	}
	MemoryContextSwitchTo(caller);
	failure->error = error ? base::copy_error(error) : nullptr;
	failure->lsn = run.current ? run.current->lsn : wire::kInvalidLsn;
	note_unreadable(relation, failure);
	MemoryContextDelete(context);
	if (failure->error != nullptr)
		return false;
	base::add_counts(counts, run.counts);
	return true;
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
