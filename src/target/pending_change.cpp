/*
 * target/pending_change.cpp
 *
 * See pending_change.hpp.
 */
#include "target/pending_change.hpp"

namespace target
{

wire::Value *
values_of(const wire::Tuple &tuple)
{
	wire::Value *values = (wire::Value *) palloc(sizeof(wire::Value) * (tuple.columns + 1));

	wire::read_values(tuple, values);
	return values;
}

namespace
{

/*
 * What a partition logs goes by its own identity, but the source describes it by that of the table it is published under.  A
 * row that is found by more than that table's key must have come whole.
 */
bool
lacks_row(const TargetRelation *relation, const PendingChange *change)
{
	return (relation->nkeys == 0 || relation->borrows_keys) &&
		   change->kind != wire::MessageKind::insert && change->old_kind != 'O';
}

/* No key has NULLs: that is one that was not logged. */
void
check_key(const TargetRelation *relation, const wire::Value *key)
{
	for (int k = 0; k < relation->nkeys; k++)
		if (key[k].kind == wire::ValueKind::null)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the source sent a change without column \"%s\" of the key of its row",
							relation->columns[relation->keys[k]].name),
					 errdetail("A partition has another replica identity than the table that it is "
							   "published under."),
					 errhint("Give each partition of the source table the replica identity that "
							 "the table has; then call livesync.resync_table().")));
}

constexpr char kHint[] =
	"Give the source table a primary key, or REPLICA IDENTITY FULL to it and to each of its "
	"partitions; then call livesync.resync_table().";

} // namespace

wire::Value *
find_values_of(const TargetRelation *relation, const PendingChange *change,
			   const wire::Value *new_values)
{
	const wire::Value *from = change->old_kind ? values_of(change->old_tuple) : new_values;
	int nfind = relation->nkeys > 0 ? relation->nkeys : relation->ncolumns;
	wire::Value *find = (wire::Value *) palloc(sizeof(wire::Value) * (nfind + 1));

	if (from == nullptr || lacks_row(relation, change))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the source sent a change without the values that find its row"),
						errhint(kHint)));
	for (int k = 0; k < nfind; k++)
		find[k] = from[relation->nkeys > 0 ? relation->keys[k] : k];
	if (change->old_kind != 0 && !relation->borrows_keys)
		check_key(relation, find);
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
	spec->needs_old_tuple = relation->borrows_keys;
}

} // namespace target
