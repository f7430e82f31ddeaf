/*
 * target/fold.hpp
 *
 * Owns: reducing a run of changes of one target relation to the net effect for each key, so that a
 * batch can be written as one DELETE, one UPDATE and one INSERT, in this order.
 *
 *   before \ change   insert      update            delete
 *   (not touched)     insert      update            del
 *   insert            barrier     insert, merged    del, quiet
 *   update            barrier     update, merged    del
 *   del               replace     barrier           del
 *   replace           barrier     replace, merged   del
 *
 * In: decoded tuples in the order of the stream. Their bytes are not copied and must outlive the
 * fold. Out: rows, one for each key, in the order in which their keys were first touched.
 *
 * Must not know: the server, types, names, how rows are written; keys are equal when their bytes
 * are.
 *
 * The surprising thing: a barrier is no error. It means "this change cannot be folded into what is
 * here, and I did not take it": write out the rows, reset(), and apply that change on its own.
 */
#ifndef LIVESYNC_TARGET_FOLD_HPP
#define LIVESYNC_TARGET_FOLD_HPP

#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/pgoutput.hpp"

namespace target
{

/*
 * Memory for one batch, aligned for any type. Never given back one by one, and never null: an
 * allocate() that cannot must not return.
 */
struct FoldAllocator
{
	void *(*allocate)(void *context, size_t size) = nullptr;
	void *context = nullptr;
};

struct FoldSpec
{
	uint16_t columns = 0;
	std::span<const uint16_t> key = {}; /* indexes of tuple columns; must outlive the fold */

	/*
	 * Fold a change of the key as a delete of the old and an insert of the new row. Otherwise it
	 * is a barrier, which is right where the target's row has to keep its place (columns that the
	 * source does not have, cascading foreign keys).
	 */
	bool key_change_as_delete_insert = false;

	/* An update without an old tuple may have changed the key all the same: a barrier. */
	bool needs_old_tuple = false;
};

enum class FoldedOp : uint8_t
{
	none, /* never in a finished row */
	insert,
	update,
	del,
	replace /* delete, then insert */
};

constexpr size_t kFoldedOpCount = 5;

struct FoldedRow
{
	FoldedOp op = FoldedOp::none;
	bool quiet_delete = false;	   /* del, replace: the key was inserted by this very run, so that
									 * there is nothing to delete is no conflict */
	bool has_unchanged = false;	   /* some of `values` are unchanged, even in an insert */
	uint32_t order = 0;			   /* 0, 1, 2, ... by first touch */
	wire::Value *key = nullptr;	   /* the key columns, in the order of FoldSpec::key */
	wire::Value *values = nullptr; /* all columns; null for del */
	FoldedRow *next = nullptr;	   /* by order */
};

enum class FoldStatus : uint8_t
{
	folded,
	barrier
};

class Fold
{
public:
	void init(const FoldSpec &spec, const FoldAllocator &allocator);

	/*
	 * Forgets all rows and all memory, which the caller's arena then frees; keeps spec and
	 * allocator. Call it also when the arena was reset for another reason.
	 */
	void reset();

	FoldStatus add_insert(const wire::Tuple &new_tuple);

	/* old_kind: 'K', 'O', or 0 when the message had no old tuple. */
	FoldStatus add_update(char old_kind, const wire::Tuple &old_tuple,
						  const wire::Tuple &new_tuple);

	FoldStatus add_delete(char old_kind, const wire::Tuple &old_tuple);

	/* The first row; the others follow by `next`. Null when there are none. */
	const FoldedRow *rows() const
	{
		return first_;
	}

	uint32_t row_count() const
	{
		return row_count_;
	}

	/* How many rows have this op now. */
	uint32_t count(FoldedOp op) const
	{
		return counts_[static_cast<size_t>(op)];
	}

private:
	struct Slot
	{
		uint64_t hash;
		FoldedRow *row; /* null: empty */
	};

	bool accepts(const wire::Tuple &tuple) const;
	wire::Value *allocate_values();
	void recycle_values(wire::Value *values);
	wire::Value *read_new(const wire::Tuple &tuple, bool *has_unchanged);
	wire::Value *read_old(const wire::Tuple &tuple, uint16_t columns);
	bool has_whole_key(const wire::Value *values) const;
	uint64_t hash_key(const wire::Value *values) const;
	bool has_key(const FoldedRow *row, const wire::Value *values) const;

	Slot *find_slot(uint64_t hash, const wire::Value *values) const;
	FoldedRow *find_row(uint64_t hash, const wire::Value *values) const;
	FoldedRow *touch_row(uint64_t hash, const wire::Value *values);
	void grow();
	void set_op(FoldedRow *row, FoldedOp op);

	void take_values(FoldedRow *row, bool has_unchanged);
	void merge_values(FoldedRow *row, bool has_unchanged);
	void fold_insert(FoldedRow *row, bool has_unchanged);
	void fold_delete(FoldedRow *row);
	FoldStatus move_row(const wire::Value *old_values, const wire::Value *new_values);

	FoldSpec spec_ = {};
	FoldAllocator allocator_ = {};
	uint16_t key_end_ = 0; /* behind the last key column; 0: the spec cannot be folded by */

	Slot *slots_ = nullptr;
	size_t slot_count_ = 0; /* a power of two */

	FoldedRow *first_ = nullptr;
	FoldedRow *last_ = nullptr;
	uint32_t row_count_ = 0;
	uint32_t counts_[kFoldedOpCount] = {};

	wire::Value *new_values_ = nullptr; /* where the next new tuple is read to */
	wire::Value *old_values_ = nullptr;
	wire::Value *spare_values_ = nullptr; /* arrays that rows gave back; see recycle_values() */
};

} // namespace target

#endif
