/*
 * target/fold_rows.cpp
 *
 * Owns: the rows of a fold by their keys, as a hash table with open addressing, and the arrays for their values.
 *
 * In: tuples. Each one's columns are read once, into an array that then becomes the row's own when
 * the key is new or the tuple is complete: in the usual cases no value is moved twice.
 *
 * Out: the linked rows. Must not know: the server; what a change does to a row (that is fold.cpp).
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

} // namespace

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
		if (!wire::is_same(row->key[i], values[spec_.key[i]]))
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

} // namespace target
