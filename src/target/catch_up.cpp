/*
 * target/catch_up.cpp
 *
 * Replaying a spool over rows of mixed versions.  See apply.hpp.
 *
 * Each key ends at its last change whatever version the chunks brought, because all changes since
 * the copy began are here and each is written as an upsert or a delete.  The one thing that a change may not carry is an
 * unchanged TOAST value:
 *
 *   update, row there, values trusted   keep the target's
 *   update otherwise, insert            fetch the row from the source again
 *   change of the key                   never take a row found at either key: it may be a stranger's
 *
 * A row that is gone at the source by then is skipped: its delete is on the way.
 */
#include "target/apply.hpp"

#include "base/subtransaction.hpp"
#include "target/set_aside.hpp"

namespace target
{
namespace
{

struct Replay
{
	TargetRelation *relation;
	const PendingChange *first;
	const PendingChange *current;
	const CatchUp *catch_up;
	uint32 *xids; /* of all the changes: a refetch must see them */
	int nxids;
	bool again_later;
};

bool
is_unique_conflict(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ||
		   error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION ||
		   error->sqlerrcode == ERRCODE_CARDINALITY_VIOLATION;
}

void
collect_xids(Replay *replay)
{
	int count = 0;

	for (const PendingChange *it = replay->first; it != nullptr; it = it->next)
		count++;
	replay->xids = (uint32 *) palloc(sizeof(uint32) * (count + 1));
	for (const PendingChange *it = replay->first; it != nullptr; it = it->next)
		if (replay->nxids == 0 || replay->xids[replay->nxids - 1] != it->xid)
			replay->xids[replay->nxids++] = it->xid;
}

void
tell_written(const Replay *replay, const wire::Value *key)
{
	if (replay->catch_up->tracks_aside)
		replay->catch_up->written(replay->catch_up->context, replay->relation, key);
}

void
delete_rows(Replay *replay, const WriteRow *rows, size_t count)
{
	(void) write_rows(replay->relation, Statement::del, nullptr, rows, count);
	for (size_t i = 0; i < count; i++)
		tell_written(replay, rows[i].find);
}

struct WriteOver
{
	TargetRelation *relation;
	const WriteRow *rows;
	size_t count;
};

void
write_over_set(void *argument)
{
	WriteOver *it = (WriteOver *) argument;

	if (it->relation->takes_conflicts)
	{
		(void) write_rows(it->relation, Statement::upsert, nullptr, it->rows, it->count);
		/* what ON CONFLICT may not set */
		if (it->relation->has_always_identity)
			(void) write_rows(it->relation, Statement::update, nullptr, it->rows, it->count);
		return;
	}
	(void) write_rows(it->relation, Statement::del, nullptr, it->rows, it->count);
	(void) write_rows(it->relation, Statement::insert, nullptr, it->rows, it->count);
}

/* false: some are in the way of others, or of rows that are there */
bool
try_write_over_set(TargetRelation *relation, const WriteRow *rows, size_t count)
{
	WriteOver whole{relation, rows, count};
	ErrorData *error = base::run_in_subtransaction(write_over_set, &whole);

	if (error != nullptr && !is_unique_conflict(error))
		ReThrowError(error);
	return error == nullptr;
}

void
write_over_one(TargetRelation *relation, const WriteRow &row, const CatchUp &catch_up)
{
	WriteOver one{relation, &row, 1};
	ErrorData *error = base::run_in_subtransaction(write_over_set, &one);

	if (error == nullptr)
		return;
	if (!is_unique_conflict(error) || set_aside_conflicts(relation, row, catch_up) == 0)
		ReThrowError(error);
	write_over_set(&one);
}

/* Each row is told before the next one is written: that one may set it aside again. */
void
upsert_rows(Replay *replay, const WriteRow *rows, size_t count)
{
	bool is_whole = count == 0 || try_write_over_set(replay->relation, rows, count);

	for (size_t i = 0; i < count; i++)
	{
		if (!is_whole)
			write_over_one(replay->relation, rows[i], *replay->catch_up);
		tell_written(replay, rows[i].find);
	}
}

/* The row as it is at the source now, whole; nothing when it is gone. */
void
refetch(Replay *replay, const wire::Value *key)
{
	TargetRelation *relation = replay->relation;
	wire::Value *values = (wire::Value *) palloc(sizeof(wire::Value) * (relation->ncolumns + 1));
	bool found = false;

	if (replay->again_later)
		return;
	if (!replay->catch_up->refetch(replay->catch_up->context, relation, key, replay->xids,
								   replay->nxids, values, &found))
		replay->again_later = true;
	else if (found)
	{
		WriteRow row{values, key};

		upsert_rows(replay, &row, 1);
	}
}

struct PartialUpdate
{
	TargetRelation *relation;
	const FoldedRow *row;
	bool is_done;
};

void
try_update_partly(void *argument)
{
	PartialUpdate *it = (PartialUpdate *) argument;
	WriteRow row{it->row->values, it->row->key};
	Bitmapset *unchanged = unchanged_columns(it->relation, it->row->values);

	it->is_done = write_rows(it->relation, Statement::update, unchanged, &row, 1) > 0;
}

/* Another unique index in the way is a matter for whole rows, so that one is fetched then. */
void
update_partly(Replay *replay, const FoldedRow *row)
{
	PartialUpdate it{replay->relation, row, false};

	if (replay->catch_up->trust_unchanged && it.relation->has_key_index)
	{
		ErrorData *error = base::run_in_subtransaction(try_update_partly, &it);

		if (error != nullptr && !is_unique_conflict(error))
			ReThrowError(error);
		it.is_done &= error == nullptr;
	}
	if (it.is_done)
		tell_written(replay, row->key);
	else
		refetch(replay, row->key);
}

void
write_fold(Replay *replay, const Fold &fold)
{
	WriteRow *deletes = (WriteRow *) palloc(sizeof(WriteRow) * (fold.row_count() + 1));
	WriteRow *upserts = (WriteRow *) palloc(sizeof(WriteRow) * (fold.row_count() + 1));
	size_t ndeletes = 0;
	size_t nupserts = 0;

	for (const FoldedRow *row = fold.rows(); row != nullptr; row = row->next)
	{
		if (row->op == FoldedOp::del || row->op == FoldedOp::replace)
			deletes[ndeletes++] = WriteRow{nullptr, row->key};
		if (row->op != FoldedOp::del && !row->has_unchanged)
			upserts[nupserts++] = WriteRow{row->values, row->key};
	}
	delete_rows(replay, deletes, ndeletes);
	for (const FoldedRow *row = fold.rows(); row != nullptr; row = row->next)
	{
		if (row->op == FoldedOp::update && row->has_unchanged)
			update_partly(replay, row);
		else if (row->op != FoldedOp::del && row->has_unchanged)
			refetch(replay, row->key);
	}
	upsert_rows(replay, upserts, nupserts);
}

const wire::Value *
key_of(const TargetRelation *relation, const wire::Value *values)
{
	wire::Value *key = (wire::Value *) palloc(sizeof(wire::Value) * (relation->nkeys + 1));

	for (int k = 0; k < relation->nkeys; k++)
		key[k] = values[relation->keys[k]];
	return key;
}

/* A change that does not fold: alone, and never reusing what stands at the old or new key. */
void
replay_one(Replay *replay, const PendingChange *change)
{
	TargetRelation *relation = replay->relation;

	replay->current = change;
	if (change->kind == wire::MessageKind::del || change->old_kind != 0)
	{
		WriteRow old_row{nullptr, find_values_of(relation, change, nullptr)};

		delete_rows(replay, &old_row, 1);
	}
	if (change->kind == wire::MessageKind::del)
		return;

	wire::Value *values = values_of(change->new_tuple);

	if (change->old_kind != 0)
	{
		wire::Value *old_values = values_of(change->old_tuple);

		/* a toasted key column that did not change is only in the old tuple */
		for (int k = 0; k < relation->nkeys; k++)
			if (values[relation->keys[k]].kind == wire::ValueKind::unchanged)
				values[relation->keys[k]] = old_values[relation->keys[k]];
	}
	WriteRow row{values, key_of(relation, values)};

	if (unchanged_columns(relation, values) != nullptr)
		refetch(replay, row.find);
	else
		upsert_rows(replay, &row, 1);
}

void
replay_in_subtransaction(void *argument)
{
	Replay *replay = (Replay *) argument;
	Role role = become_owner(replay->relation->owner);
	FoldSpec spec;
	Fold fold;

	describe_fold(replay->relation, &spec);
	fold.init(spec, allocator_of(CurrentMemoryContext));
	for (const PendingChange *it = replay->first; it != nullptr && !replay->again_later;
		 it = it->next)
	{
		if (fold_change(&fold, it) == FoldStatus::folded)
			continue;
		write_fold(replay, fold);
		fold.reset();
		replay_one(replay, it);
	}
	if (!replay->again_later)
		write_fold(replay, fold);
	restore_role(role);
	if (replay->again_later)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("a transaction of the source is not visible there yet")));
}

} // namespace

void
write_over(TargetRelation *relation, const WriteRow *rows, size_t count, const CatchUp &catch_up)
{
	if (count == 0 || try_write_over_set(relation, rows, count))
		return;
	for (size_t i = 0; i < count; i++)
		write_over_one(relation, rows[i], catch_up);
}

ReplayResult
replay_changes(TargetRelation *relation, const PendingChange *first, const CatchUp &catch_up,
			   base::ChangeCounts *counts, ApplyFailure *failure)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "livesync replay", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Replay replay{relation, first, nullptr, &catch_up, nullptr, 0, false};

	if (relation->nkeys == 0)
		elog(ERROR, "rows of target table \"%s.%s\" cannot be told apart", relation->schema,
			 relation->name);
	collect_xids(&replay);
	counts->batches++;
	forget_unreadable(relation);
	ErrorData *error = base::run_in_subtransaction(replay_in_subtransaction, &replay);

	MemoryContextSwitchTo(caller);
	failure->error = error && !replay.again_later ? base::copy_error(error) : nullptr;
	failure->lsn = replay.current ? replay.current->lsn : first->lsn;
	note_unreadable(relation, failure);
	MemoryContextDelete(context);
	if (replay.again_later)
		return ReplayResult::again_later;
	return failure->error ? ReplayResult::failed : ReplayResult::done;
}

} // namespace target
