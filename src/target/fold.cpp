/*
 * target/fold.cpp
 *
 * Owns: the table of fold.hpp, as a hash table of keys with open addressing.
 *
 * In: tuples. Each one's columns are read once, into an array that then becomes the row's own when
 * the key is new or the tuple is complete: in the usual cases no value is moved twice.
 *
 * Out: the linked rows. Must not know: the server; this is the hot path of applying, and it is
 * tested against a naive model without one.
 *
 * The surprising thing: everything that can end in a barrier is looked at before anything is
 * changed. A change that is half folded and then refused would be applied one and a half times.
 */
#include "target/fold.hpp"

#include <cstring>
#include <new>

#ifdef POSTGRES_H
#error "target/fold is pure: no server header may be included here"
#endif

namespace target
{

namespace
{

using wire::Value;
using wire::ValueKind;

constexpr size_t kFirstSlotCount = 64;

constexpr uint64_t kMixA = 0xa0761d6478bd642f;
constexpr uint64_t kMixB = 0xe7037ed1a0b428db;

/* Both halves of the product, folded together: every bit of the input reaches every bit below. */
uint64_t
mix(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 Wide;
	Wide product = static_cast<Wide>(a) * b;

	return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <typename Unsigned>
uint64_t
load(const char *from)
{
	Unsigned value;

	memcpy(&value, from, sizeof(value));
	return value;
}

uint64_t
hash_value(uint64_t seed, const Value &value)
{
	const char *at = value.bytes.data();
	size_t left = value.bytes.size();
	uint64_t hash = mix(seed ^ left ^ static_cast<uint64_t>(value.kind) << 56, kMixA);

	for (; left > 8; left -= 8, at += 8)
		hash = mix(hash ^ load<uint64_t>(at), kMixB);

	/* The last 1 to 8 bytes in at most two loads, which may overlap. */
	uint64_t tail = 0;
	if (left >= 4)
		tail = load<uint32_t>(at) << 32 | load<uint32_t>(at + left - 4);
	else if (left > 0)
		tail = load<uint8_t>(at) << 16 | load<uint8_t>(at + left / 2) << 8 |
			   load<uint8_t>(at + left - 1);
	return mix(hash ^ tail, kMixB);
}

/* Not string_view's ==, which hands an empty view's null pointer to memcmp(). */
bool
is_same(const Value &a, const Value &b)
{
	return a.kind == b.kind && a.bytes.size() == b.bytes.size() &&
		   (a.bytes.empty() || memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()) == 0);
}

} // namespace

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

/* An array for all columns, not yet written to. */
Value *
Fold::allocate_values()
{
	if (spare_values_ != nullptr)
	{
		Value *values = spare_values_;

		memcpy(&spare_values_, static_cast<const void *>(values), sizeof(spare_values_));
		return values;
	}
	return static_cast<Value *>(
		allocator_.allocate(allocator_.context, sizeof(Value) * spec_.columns));
}

/*
 * Keys that are inserted, updated and deleted again and again would otherwise fill the arena. The
 * list of spare arrays is linked through the arrays themselves.
 */
void
Fold::recycle_values(Value *values)
{
	if (values == nullptr)
		return;
	memcpy(static_cast<void *>(values), &spare_values_, sizeof(spare_values_));
	spare_values_ = values;
}

/* Leaves the values in new_values_, for take_values() or merge_values(). */
Value *
Fold::read_new(const wire::Tuple &tuple, bool *has_unchanged)
{
	if (new_values_ == nullptr)
		new_values_ = allocate_values();

	wire::TupleCursor cursor(tuple);
	bool found = false;
	for (uint16_t i = 0; i < spec_.columns; i++)
	{
		Value *value = new (&new_values_[i]) Value(cursor.next());

		found = found || value->kind == ValueKind::unchanged;
	}
	*has_unchanged = found;
	return new_values_;
}

/* Only the first `columns`: mostly no more than the key is needed. */
Value *
Fold::read_old(const wire::Tuple &tuple, uint16_t columns)
{
	if (old_values_ == nullptr)
		old_values_ = allocate_values();

	wire::TupleCursor cursor(tuple);
	for (uint16_t i = 0; i < columns; i++)
		new (&old_values_[i]) Value(cursor.next());
	return old_values_;
}

bool
Fold::has_whole_key(const Value *values) const
{
	for (uint16_t column : spec_.key)
	{
		if (values[column].kind == ValueKind::unchanged)
			return false;
	}
	return true;
}

uint64_t
Fold::hash_key(const Value *values) const
{
	uint64_t hash = kMixB;

	for (uint16_t column : spec_.key)
		hash = hash_value(hash, values[column]);
	return hash;
}

bool
Fold::has_key(const FoldedRow *row, const Value *values) const
{
	for (size_t i = 0; i < spec_.key.size(); i++)
	{
		if (!is_same(row->key[i], values[spec_.key[i]]))
			return false;
	}
	return true;
}

/* The slot of the key, or the empty one where it belongs. There always is one: see grow(). */
Fold::Slot *
Fold::find_slot(uint64_t hash, const Value *values) const
{
	size_t mask = slot_count_ - 1;

	for (size_t i = hash & mask;; i = (i + 1) & mask)
	{
		Slot *slot = &slots_[i];

		if (slot->row == nullptr || (slot->hash == hash && has_key(slot->row, values)))
			return slot;
	}
}

FoldedRow *
Fold::find_row(uint64_t hash, const Value *values) const
{
	return slots_ == nullptr ? nullptr : find_slot(hash, values)->row;
}

/* The row of the key, made when there is none: its op is `none` then. */
FoldedRow *
Fold::touch_row(uint64_t hash, const Value *values)
{
	if (row_count_ >= slot_count_ / 2)
		grow();

	Slot *slot = find_slot(hash, values);
	if (slot->row != nullptr)
		return slot->row;

	/* Row and key in one piece: the key is read whenever the row is. */
	void *memory = allocator_.allocate(allocator_.context,
									   sizeof(FoldedRow) + sizeof(Value) * spec_.key.size());
	FoldedRow *row = new (memory) FoldedRow();
	row->key = reinterpret_cast<Value *>(row + 1);
	for (size_t i = 0; i < spec_.key.size(); i++)
		new (&row->key[i]) Value(values[spec_.key[i]]);

	row->order = row_count_++;
	if (last_ == nullptr)
		first_ = row;
	else
		last_->next = row;
	last_ = row;
	counts_[static_cast<size_t>(FoldedOp::none)]++;

	slot->hash = hash;
	slot->row = row;
	return row;
}

/* The old table is left to the arena: all of them together are smaller than the last one. */
void
Fold::grow()
{
	size_t old_count = slot_count_;
	Slot *old_slots = slots_;
	size_t new_count = old_count == 0 ? kFirstSlotCount : old_count * 2;
	Slot *new_slots =
		static_cast<Slot *>(allocator_.allocate(allocator_.context, sizeof(Slot) * new_count));

	for (size_t i = 0; i < new_count; i++)
		new (&new_slots[i]) Slot{0, nullptr};
	for (size_t i = 0; i < old_count; i++)
	{
		if (old_slots[i].row == nullptr)
			continue;

		size_t to = old_slots[i].hash & (new_count - 1);
		while (new_slots[to].row != nullptr)
			to = (to + 1) & (new_count - 1);
		new_slots[to] = old_slots[i];
	}
	slots_ = new_slots;
	slot_count_ = new_count;
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
	if (!accepts(new_tuple) || (old_kind != 0 && !accepts(old_tuple)))
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
			else if (!is_same(values[column], old_values[column]))
				key_changed = true;
		}
		if (has_unchanged)
		{
			has_unchanged = false;
			for (uint16_t i = 0; i < spec_.columns; i++)
			{
				if (fills_gaps && values[i].kind == ValueKind::unchanged)
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
