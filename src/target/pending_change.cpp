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
