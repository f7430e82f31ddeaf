/*
 * target/fold.cpp
 *
 * Owns: the rules of fold.hpp, what a change makes of the row that its key has. Where the rows are: fold_rows.cpp.
 *
 * Must not know: the server; this is the hot path of applying, and it is tested against a naive model
 * without one.
 *
 * The surprising thing: everything that can end in a barrier is looked at before anything is
 * changed. A change that is half folded and then refused would be applied one and a half times.
 */
#include "target/fold.hpp"

#ifdef POSTGRES_H
#error "target/fold is pure: no server header may be included here"
#endif

namespace target
{

using wire::Value;
using wire::ValueKind;

void
Fold::init(const FoldSpec &spec, const FoldAllocator &allocator)
{
	spec_ = spec;
	allocator_ = allocator;
	key_end_ = 0;
	for (uint16_t column : spec.key)
	{
		if (column >= spec.columns)
		{
			key_end_ = 0;
			break;
		}
		if (column >= key_end_)
			key_end_ = static_cast<uint16_t>(column + 1);
	}
	reset();
}

void
Fold::reset()
{
	slots_ = nullptr;
	slot_count_ = 0;
	first_ = nullptr;
	last_ = nullptr;
	row_count_ = 0;
	for (uint32_t &count : counts_)
		count = 0;
	new_values_ = nullptr;
	old_values_ = nullptr;
	spare_values_ = nullptr;
}

/* Without a key, or with a tuple of another shape, nothing can be folded. */
bool
Fold::accepts(const wire::Tuple &tuple) const
{
	return key_end_ != 0 && tuple.is_present() && tuple.columns == spec_.columns;
}

/*
 * No key has NULLs.  In an old tuple NULL is also what was not logged, as of a partition with another identity than the table
 * that it is published under.
 */
bool
Fold::has_whole_key(const Value *values) const
{
	for (uint16_t column : spec_.key)
	{
		if (values[column].kind == ValueKind::unchanged || values[column].kind == ValueKind::null)
			return false;
	}
	return true;
}

void
Fold::set_op(FoldedRow *row, FoldedOp op)
{
	counts_[static_cast<size_t>(row->op)]--;
	counts_[static_cast<size_t>(op)]++;
	row->op = op;
}

/* The row gets the array that was just read, and the next tuple a fresh one. */
void
Fold::take_values(FoldedRow *row, bool has_unchanged)
{
	row->values = new_values_;
	row->has_unchanged = has_unchanged;
	new_values_ = nullptr;
}

/* What the new tuple does not carry stays as the row has it, be that a value or `unchanged`. */
void
Fold::merge_values(FoldedRow *row, bool has_unchanged)
{
	if (!has_unchanged)
	{
		Value *spare = row->values;

		row->values = new_values_;
		row->has_unchanged = false;
		new_values_ = spare;
		return;
	}

	bool still_unchanged = false;
	for (uint16_t i = 0; i < spec_.columns; i++)
	{
		if (new_values_[i].kind != ValueKind::unchanged)
			row->values[i] = new_values_[i];
		else if (row->values[i].kind == ValueKind::unchanged)
			still_unchanged = true;
	}
	row->has_unchanged = still_unchanged;
}

/* For a row that is new or deleted. */
void
Fold::fold_insert(FoldedRow *row, bool has_unchanged)
{
	set_op(row, row->op == FoldedOp::none ? FoldedOp::insert : FoldedOp::replace);
	take_values(row, has_unchanged);
}

void
Fold::fold_delete(FoldedRow *row)
{
	/* Once quiet, always quiet: whether the key was there before is decided by its first touch. */
	if (row->op == FoldedOp::insert)
		row->quiet_delete = true;

	recycle_values(row->values);
	row->values = nullptr;
	row->has_unchanged = false;
	set_op(row, FoldedOp::del);
}

FoldStatus
Fold::add_insert(const wire::Tuple &new_tuple)
{
	if (!accepts(new_tuple))
		return FoldStatus::barrier;

	bool has_unchanged = false;
	const Value *values = read_new(new_tuple, &has_unchanged);
	if (has_unchanged && !has_whole_key(values))
		return FoldStatus::barrier;

	/* touch_row() makes no row where there is one, so refusing afterwards changes nothing. */
	FoldedRow *row = touch_row(hash_key(values), values);
	if (row->op != FoldedOp::none && row->op != FoldedOp::del)
		return FoldStatus::barrier;
	fold_insert(row, has_unchanged);
	return FoldStatus::folded;
}

FoldStatus
Fold::add_update(char old_kind, const wire::Tuple &old_tuple, const wire::Tuple &new_tuple)
{
	if (!accepts(new_tuple) || (old_kind != 0 && !accepts(old_tuple)) ||
		(old_kind == 0 && spec_.needs_old_tuple))
		return FoldStatus::barrier;

	bool has_unchanged = false;
	bool key_changed = false;
	const Value *old_values = nullptr;
	Value *values = read_new(new_tuple, &has_unchanged);

	if (old_kind != 0)
	{
		/* Only a whole old row has more to offer than the key, and only a gap asks for it. */
		bool fills_gaps = has_unchanged && old_kind == 'O';

		old_values = read_old(old_tuple, fills_gaps ? spec_.columns : key_end_);
		if (!has_whole_key(old_values))
			return FoldStatus::barrier;

		for (uint16_t column : spec_.key)
		{
			/* A toasted key column arrives like this, with an old tuple but without a change. */
			if (values[column].kind == ValueKind::unchanged)
				values[column] = old_values[column];
			else if (!wire::is_same(values[column], old_values[column]))
				key_changed = true;
		}
		if (has_unchanged)
		{
			has_unchanged = false;
			for (uint16_t i = 0; i < spec_.columns; i++)
			{
				/* what is stored out of line is never NULL: then the old row is not whole, see has_whole_key() */
				if (fills_gaps && values[i].kind == ValueKind::unchanged &&
					old_values[i].kind != ValueKind::null)
					values[i] = old_values[i];
				has_unchanged = has_unchanged || values[i].kind == ValueKind::unchanged;
			}
		}
	}
	else if (has_unchanged && !has_whole_key(values))
		return FoldStatus::barrier;

	if (key_changed)
	{
		/* A gap cannot be filled here: the row that has the value is deleted first. */
		if (!spec_.key_change_as_delete_insert || has_unchanged)
			return FoldStatus::barrier;
		return move_row(old_values, values);
	}

	FoldedRow *row = touch_row(hash_key(values), values);
	switch (row->op)
	{
		case FoldedOp::none:
			set_op(row, FoldedOp::update);
			take_values(row, has_unchanged);
			return FoldStatus::folded;
		case FoldedOp::insert:
		case FoldedOp::update:
		case FoldedOp::replace:
			merge_values(row, has_unchanged);
			return FoldStatus::folded;
		case FoldedOp::del:
			return FoldStatus::barrier;
	}
	return FoldStatus::barrier;
}

/* The new values are in new_values_ and have no gaps. */
FoldStatus
Fold::move_row(const Value *old_values, const Value *new_values)
{
	uint64_t old_hash = hash_key(old_values);
	uint64_t new_hash = hash_key(new_values);

	/* Both ends first. To move a deleted row, or onto a live one, is an anomaly. */
	const FoldedRow *from = find_row(old_hash, old_values);
	const FoldedRow *to = find_row(new_hash, new_values);
	if ((from != nullptr && from->op == FoldedOp::del) ||
		(to != nullptr && to->op != FoldedOp::del))
		return FoldStatus::barrier;

	fold_delete(touch_row(old_hash, old_values));
	fold_insert(touch_row(new_hash, new_values), false);
	return FoldStatus::folded;
}

FoldStatus
Fold::add_delete(char old_kind, const wire::Tuple &old_tuple)
{
	if (old_kind == 0 || !accepts(old_tuple))
		return FoldStatus::barrier;

	const Value *values = read_old(old_tuple, key_end_);
	if (!has_whole_key(values))
		return FoldStatus::barrier;
	fold_delete(touch_row(hash_key(values), values));
	return FoldStatus::folded;
}

} // namespace target
