/*
 * target/pending_change.hpp
 *
 * A change that waits to be applied, as it came from the source, and how it is handed to the fold and to the writer.
 */
#pragma once

#include "target/fold.hpp"
#include "target/relation.hpp"
#include "wire/lsn.hpp"

namespace target
{

struct PendingChange
{
	wire::MessageKind kind; /* insert, update or del */
	char old_kind;			/* 'K', 'O', or 0: without an old tuple */
	wire::Tuple old_tuple;
	wire::Tuple new_tuple;
	wire::Lsn lsn; /* of its transaction's commit */
	uint32 xid;	   /* its top-level transaction at the source */
	PendingChange *next;
};

/* An allocator for the pure fold, over a memory context. */
FoldAllocator allocator_of(MemoryContext context);
void describe_fold(const TargetRelation *relation, FoldSpec *spec);
FoldStatus fold_change(Fold *fold, const PendingChange *change);

/* The values of a change in column order (palloc'ed), and those that find its row before it. */
wire::Value *values_of(const wire::Tuple &tuple);
wire::Value *find_values_of(const TargetRelation *relation, const PendingChange *change,
							const wire::Value *new_values);

} // namespace target
