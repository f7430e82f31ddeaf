/*
 * target/apply_one.cpp
 *
 * See apply_one.hpp.
 */
#include "target/apply_one.hpp"

#include "base/subtransaction.hpp"

namespace target
{
namespace
{

bool
changes_key(const TargetRelation *relation, const wire::Value *find, const wire::Value *values)
{
	for (int k = 0; k < relation->nkeys; k++)
	{
		const wire::Value &value = values[relation->keys[k]];

		if (value.kind != wire::ValueKind::unchanged && !wire::is_same(find[k], value))
			return true;
	}
	return false;
}

void
insert_one(TargetRelation *relation, const PendingChange *change, base::ChangeCounts *counts)
{
	WriteRow row{values_of(change->new_tuple), nullptr};

	counts->inserts++;
	if (relation->has_key_index && !relation->borrows_keys)
	{
		row.find = find_values_of(relation, change, row.values);
		if (write_rows(relation, Statement::exists, nullptr, &row, 1) > 0)
		{
			counts->insert_exists++;
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
move_row(TargetRelation *relation, const Bitmapset *unchanged, const WriteRow &row,
		 base::ChangeCounts *counts)
{
	Move it{relation, unchanged, row, 0, 0};
	ErrorData *error = base::run_in_subtransaction(try_move, &it);

	if (error == nullptr)
	{
		counts->update_origin_differs += it.differs;
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
	counts->update_exists++;
	counts->update_origin_differs += it.differs;
	return it.found;
}

void
update_one(TargetRelation *relation, const PendingChange *change, base::ChangeCounts *counts)
{
	WriteRow row;

	row.values = values_of(change->new_tuple);
	row.find = find_values_of(relation, change, row.values);
	Bitmapset *unchanged = unchanged_columns(relation, row.values);
	int64 *differs = &counts->update_origin_differs;
	uint64 found;

	if (relation->nkeys == 0)
		found = update_equal_rows(relation, unchanged, &row, 1, differs);
	else if (changes_key(relation, row.find, row.values))
		found = move_row(relation, unchanged, row, counts);
	else
		found = write_rows(relation, Statement::update, unchanged, &row, 1, differs);
	counts->updates++;
	if (found == 0)
		counts->update_missing++;
}

void
delete_one(TargetRelation *relation, const PendingChange *change, base::ChangeCounts *counts)
{
	WriteRow row{nullptr, find_values_of(relation, change, nullptr)};
	int64 *differs = &counts->delete_origin_differs;
	uint64 found = relation->nkeys == 0
					   ? delete_equal_rows(relation, &row, 1, differs)
					   : write_rows(relation, Statement::del, nullptr, &row, 1, differs);

	counts->deletes++;
	if (found == 0)
		counts->delete_missing++;
}

} // namespace

void
apply_one(TargetRelation *relation, const PendingChange *change, base::ChangeCounts *counts)
{
	if (change->kind == wire::MessageKind::insert)
		insert_one(relation, change, counts);
	else if (change->kind == wire::MessageKind::update)
		update_one(relation, change, counts);
	else
		delete_one(relation, change, counts);
}

} // namespace target
