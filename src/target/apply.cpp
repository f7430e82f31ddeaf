/*
 * target/apply.cpp
 *
 * The streaming way.  See apply.hpp.
 *
 *   changes ──fold──► deletes, updates, inserts ──error──► one by one, in their order ──error──► failed
 *
 * Conflicts: the source wins.  A row that exists at INSERT is updated (unless the source may have both: then the table
 * fails); one that stands at the new key of an UPDATE gives way; a row that is missing at UPDATE or DELETE is left missing
 * (as the server's own apply does).  Each is counted.
 */
#include "target/apply.hpp"

#include "base/subtransaction.hpp"
#include "target/keyless.hpp"
#include "wire/lsn.hpp"

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

bool
is_same_value(const wire::Value &a, const wire::Value &b)
{
	return a.kind == b.kind && a.bytes == b.bytes;
}

bool
changes_key(const TargetRelation *relation, const wire::Value *find, const wire::Value *values)
{
	for (int k = 0; k < relation->nkeys; k++)
	{
		const wire::Value &value = values[relation->keys[k]];

		if (value.kind != wire::ValueKind::unchanged && !is_same_value(find[k], value))
			return true;
	}
	return false;
}

void
insert_one(Run *run, const PendingChange *change)
{
	TargetRelation *relation = run->relation;
	WriteRow row{values_of(change->new_tuple), nullptr};

	run->counts.inserts++;
	if (relation->has_key_index && !relation->borrows_keys)
	{
		row.find = find_values_of(relation, change, row.values);
		if (write_rows(relation, Statement::exists, nullptr, &row, 1) > 0)
		{
			run->counts.insert_exists++;
			(void) write_rows(relation, Statement::update, unchanged_columns(relation, row.values),
							  &row, 1);
			return;
		}
		row.find = nullptr;
	}
	(void) write_rows(relation, Statement::insert, nullptr, &row, 1);
}

struct Move
{
	TargetRelation *relation;
	const Bitmapset *unchanged;
	WriteRow row;
	uint64 found;
	int64 differs;
};

void
try_move(void *argument)
{
	Move *it = (Move *) argument;

	it->differs = 0;
	it->found = write_rows(it->relation, Statement::move, it->unchanged, &it->row, 1, &it->differs);
}

/*
 * A row that stands at the new key cannot be the source's, whose keys are unique: it gives way.  A row in the way of
 * another unique index may be; then the table fails, and catches up by fetching that row again.
 */
uint64
move_row(Run *run, const Bitmapset *unchanged, const WriteRow &row)
{
	TargetRelation *relation = run->relation;
	Move it{relation, unchanged, row, 0, 0};
	ErrorData *error = base::run_in_subtransaction(try_move, &it);

	if (error == nullptr)
	{
		run->counts.update_origin_differs += it.differs;
		return it.found;
	}
	if ((error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION &&
		 error->sqlerrcode != ERRCODE_EXCLUSION_VIOLATION) ||
		!relation->has_key_index)
		ReThrowError(error);

	wire::Value *new_key = (wire::Value *) palloc(sizeof(wire::Value) * (relation->nkeys + 1));

	for (int k = 0; k < relation->nkeys; k++)
	{
		const wire::Value &value = row.values[relation->keys[k]];

		new_key[k] = value.kind == wire::ValueKind::unchanged ? row.find[k] : value;
	}
	WriteRow in_the_way{nullptr, new_key};

	(void) write_rows(relation, Statement::del, nullptr, &in_the_way, 1);
	try_move(&it);
	/* keys that differ only in how they are written (1.0, 1.00) are equal: that was the row itself */
	if (it.found == 0)
		ReThrowError(error);
	run->counts.update_exists++;
	run->counts.update_origin_differs += it.differs;
	return it.found;
}

void
update_one(Run *run, const PendingChange *change)
{
	TargetRelation *relation = run->relation;
	WriteRow row;

	row.values = values_of(change->new_tuple);
	row.find = find_values_of(relation, change, row.values);
	Bitmapset *unchanged = unchanged_columns(relation, row.values);
	int64 *differs = &run->counts.update_origin_differs;
	uint64 found;

	if (relation->nkeys == 0)
		found = update_equal_rows(relation, unchanged, &row, 1, differs);
	else if (changes_key(relation, row.find, row.values))
		found = move_row(run, unchanged, row);
	else
		found = write_rows(relation, Statement::update, unchanged, &row, 1, differs);
	run->counts.updates++;
	if (found == 0)
		run->counts.update_missing++;
}

void
delete_one(Run *run, const PendingChange *change)
{
	TargetRelation *relation = run->relation;
	WriteRow row{nullptr, find_values_of(relation, change, nullptr)};
	int64 *differs = &run->counts.delete_origin_differs;
	uint64 found = relation->nkeys == 0
					   ? delete_equal_rows(relation, &row, 1, differs)
					   : write_rows(relation, Statement::del, nullptr, &row, 1, differs);

	run->counts.deletes++;
	if (found == 0)
		run->counts.delete_missing++;
}

void
apply_one(Run *run, const PendingChange *change)
{
	run->current = change;
	if (change->kind == wire::MessageKind::insert)
		insert_one(run, change);
	else if (change->kind == wire::MessageKind::update)
		update_one(run, change);
	else
		delete_one(run, change);
}

/* Collects the rows of a fold that one statement can write. */
struct RowSet
{
	WriteRow *rows;
	size_t count;
};

RowSet
rows_with(const Fold &fold, bool (*wanted)(const FoldedRow *row))
{
	RowSet set{(WriteRow *) palloc(sizeof(WriteRow) * (fold.row_count() + 1)), 0};

	for (const FoldedRow *row = fold.rows(); row != nullptr; row = row->next)
		if (wanted(row))
			set.rows[set.count++] = WriteRow{row->values, row->key};
	return set;
}

bool
is_loud_delete(const FoldedRow *row)
{
	return (row->op == FoldedOp::del || row->op == FoldedOp::replace) && !row->quiet_delete;
}

bool
is_quiet_delete(const FoldedRow *row)
{
	return (row->op == FoldedOp::del || row->op == FoldedOp::replace) && row->quiet_delete;
}

bool
is_update(const FoldedRow *row)
{
	return row->op == FoldedOp::update;
}

bool
is_insert(const FoldedRow *row)
{
	return row->op == FoldedOp::insert || row->op == FoldedOp::replace;
}

/* Updates that leave the same columns unchanged go together. */
void
write_updates(Run *run, RowSet set)
{
	while (set.count > 0)
	{
		Bitmapset *unchanged = unchanged_columns(run->relation, set.rows[0].values);
		RowSet others{(WriteRow *) palloc(sizeof(WriteRow) * set.count), 0};
		size_t same = 0;

		for (size_t i = 0; i < set.count; i++)
		{
			Bitmapset *mine = unchanged_columns(run->relation, set.rows[i].values);

			if (bms_equal(mine, unchanged))
				set.rows[same++] = set.rows[i];
			else
				others.rows[others.count++] = set.rows[i];
			bms_free(mine);
		}
		uint64 found = write_rows(run->relation, Statement::update, unchanged, set.rows, same,
								  &run->counts.update_origin_differs);

		if (found < same)
			run->counts.update_missing += (int64) (same - found);
		set = others;
	}
}

void
write_fold(Run *run, const Fold &fold)
{
	RowSet loud = rows_with(fold, is_loud_delete);
	RowSet quiet = rows_with(fold, is_quiet_delete);
	RowSet inserts = rows_with(fold, is_insert);
	uint64 found = write_rows(run->relation, Statement::del, nullptr, loud.rows, loud.count,
							  &run->counts.delete_origin_differs);

	if (found < loud.count)
		run->counts.delete_missing += (int64) (loud.count - found);
	(void) write_rows(run->relation, Statement::del, nullptr, quiet.rows, quiet.count);
	write_updates(run, rows_with(fold, is_update));
	for (size_t i = 0; i < inserts.count; i++)
		inserts.rows[i].find = nullptr;
	(void) write_rows(run->relation, Statement::insert, nullptr, inserts.rows, inserts.count);
}

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
		write_fold(run, fold);
		fold.reset();
		apply_one(run, it);
	}
	write_fold(run, fold);
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
		apply_one(run, it);
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

wire::Value *
values_of(const wire::Tuple &tuple)
{
	wire::Value *values = (wire::Value *) palloc(sizeof(wire::Value) * (tuple.columns + 1));

	wire::read_values(tuple, values);
	return values;
}

wire::Value *
find_values_of(const TargetRelation *relation, const PendingChange *change,
			   const wire::Value *new_values)
{
	const wire::Value *from = change->old_kind ? values_of(change->old_tuple) : new_values;
	int nfind = relation->nkeys > 0 ? relation->nkeys : relation->ncolumns;
	wire::Value *find = (wire::Value *) palloc(sizeof(wire::Value) * (nfind + 1));

	if (from == nullptr)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
						errmsg("the source sent a change without the values that find its row"),
						errhint("Give the source table a primary key or REPLICA IDENTITY FULL.")));
	for (int k = 0; k < nfind; k++)
		find[k] = from[relation->nkeys > 0 ? relation->keys[k] : k];
	return find;
}

FoldAllocator
allocator_of(MemoryContext context)
{
	return FoldAllocator{[](void *where, size_t size) {
							 return MemoryContextAllocHuge((MemoryContext) where, size);
						 },
						 context};
}

FoldStatus
fold_change(Fold *fold, const PendingChange *change)
{
	if (change->kind == wire::MessageKind::insert)
		return fold->add_insert(change->new_tuple);
	if (change->kind == wire::MessageKind::update)
		return fold->add_update(change->old_kind, change->old_tuple, change->new_tuple);
	return fold->add_delete(change->old_kind, change->old_tuple);
}

/* With columns of its own a target row must keep its place when its key changes. */
void
describe_fold(const TargetRelation *relation, FoldSpec *spec)
{
	spec->columns = (uint16_t) relation->ncolumns;
	spec->key = std::span<const uint16_t>(relation->keys, (size_t) relation->nkeys);
	spec->key_change_as_delete_insert = !relation->has_extra_columns;
}

} // namespace target
