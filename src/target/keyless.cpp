/*
 * target/keyless.cpp
 *
 * See keyless.hpp.
 */
#include "target/keyless.hpp"

#include <string_view>

namespace target
{
namespace
{

/* Rows written by the run at hand, by a hash of their bytes: a false positive only cuts a run. */
struct WrittenRows
{
	uint64 *slots;
	size_t size; /* a power of two */
};

void
add_to_hash(uint64 *hash, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		*hash = (*hash ^ ((const unsigned char *) bytes)[i]) * 0x100000001b3ULL;
}

/* Of a row as it is after the change: what an update left alone is in its old row. */
uint64
hash_of(const TargetRelation *relation, const wire::Value *values, const wire::Value *old_values)
{
	uint64 hash = 0xcbf29ce484222325ULL;

	for (int i = 0; i < relation->ncolumns; i++)
	{
		const wire::Value &value =
			values[i].kind == wire::ValueKind::unchanged ? old_values[i] : values[i];
		uint64 size = value.bytes.size();

		add_to_hash(&hash, &value.kind, sizeof(value.kind));
		add_to_hash(&hash, &size, sizeof(size));
		add_to_hash(&hash, value.bytes.data(), value.bytes.size());
	}
	return hash | 1;
}

bool
has_row(const WrittenRows &written, uint64 hash)
{
	for (size_t i = hash & (written.size - 1); written.slots[i] != 0;
		 i = (i + 1) & (written.size - 1))
		if (written.slots[i] == hash)
			return true;
	return false;
}

void
note_row(WrittenRows *written, uint64 hash)
{
	size_t i = hash & (written->size - 1);

	while (written->slots[i] != 0)
		i = (i + 1) & (written->size - 1);
	written->slots[i] = hash;
}

struct KeylessRun
{
	wire::MessageKind kind;
	Bitmapset *unchanged;
	WriteRow *rows;
	size_t count;
	WrittenRows written;
};

void
write_run(TargetRelation *relation, KeylessRun *run, base::ChangeCounts *counts)
{
	uint64 found;

	if (run->count == 0)
		return;
	if (run->kind == wire::MessageKind::insert)
	{
		(void) write_rows(relation, Statement::insert, nullptr, run->rows, run->count);
		counts->inserts += (int64) run->count;
	}
	else if (run->kind == wire::MessageKind::update)
	{
		found = update_equal_rows(relation, run->unchanged, run->rows, run->count,
								  &counts->update_origin_differs);
		counts->updates += (int64) run->count;
		counts->update_missing += (int64) (run->count - Min(found, run->count));
	}
	else
	{
		found = delete_equal_rows(relation, run->rows, run->count, &counts->delete_origin_differs);
		counts->deletes += (int64) run->count;
		counts->delete_missing += (int64) (run->count - Min(found, run->count));
	}
	run->count = 0;
	memset(run->written.slots, 0, sizeof(uint64) * run->written.size);
}

WrittenRows
make_written_rows(size_t changes)
{
	size_t size = 16;

	while (size < changes * 2)
		size *= 2;
	return WrittenRows{(uint64 *) MemoryContextAllocExtended(CurrentMemoryContext,
															 sizeof(uint64) * size,
															 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO),
					   size};
}

bool
continues(const TargetRelation *relation, const KeylessRun &run, wire::MessageKind kind,
		  const WriteRow &row, const Bitmapset *unchanged)
{
	if (run.count == 0)
		return true;
	if (run.kind != kind || !bms_equal(run.unchanged, unchanged))
		return false;
	return kind != wire::MessageKind::update ||
		   !has_row(run.written, hash_of(relation, row.find, row.find));
}

} // namespace

void
apply_keyless(TargetRelation *relation, const PendingChange *first, base::ChangeCounts *counts)
{
	size_t changes = 0;

	for (const PendingChange *it = first; it != nullptr; it = it->next)
		changes++;

	KeylessRun run{};

	run.rows = (WriteRow *) palloc(sizeof(WriteRow) * (changes + 1));
	run.written = make_written_rows(changes);
	for (const PendingChange *it = first; it != nullptr; it = it->next)
	{
		bool is_delete = it->kind == wire::MessageKind::del;
		bool is_insert = it->kind == wire::MessageKind::insert;
		WriteRow row{is_delete ? nullptr : values_of(it->new_tuple),
					 is_insert ? nullptr : find_values_of(relation, it, nullptr)};
		Bitmapset *unchanged = is_delete ? nullptr : unchanged_columns(relation, row.values);

		if (!continues(relation, run, it->kind, row, unchanged))
			write_run(relation, &run, counts);
		run.kind = it->kind;
		run.unchanged = unchanged;
		run.rows[run.count++] = row;
		if (it->kind == wire::MessageKind::update)
			note_row(&run.written, hash_of(relation, row.values, row.find));
	}
	write_run(relation, &run, counts);
}

} // namespace target
