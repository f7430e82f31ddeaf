/*
 * target/apply.hpp
 *
 * Applies a run of changes of one target table, in three ways:
 *
 *   apply_changes    streaming: folded and written as sets; on any error the very same changes one by
 *                    one in their order; a change that fails then fails the table
 *   apply_one        one change, in the streaming way (see apply_one.hpp)
 *   replay_changes   catching up: as upserts, on top of rows of mixed versions (see catch_up.cpp)
 *
 * In: pending changes of one relation, in stream order.  Out: counts, or the failure.
 *
 * Must not know: other tables, transactions of the source, states.
 */
#pragma once

#include "base/change_counts.hpp"
#include "target/pending_change.hpp"
#include "target/table_writer.hpp"

namespace target
{

struct ApplyFailure
{
	ErrorData *error; /* nullptr: none */
	wire::Lsn lsn;
	/* a value of this type in binary form could not be read; InvalidOid: it is something else */
	Oid unreadable_type;
	char *unreadable_column;
};

/* False: nothing of it was applied, and *failure says why.  Needs a transaction. */
bool apply_changes(TargetRelation *relation, const PendingChange *first, base::ChangeCounts *counts,
				   ApplyFailure *failure);

/*
 * The two ways of it, for changes with which a transaction begins.  Sets are written without a subtransaction, which takes a lone
 * change a tenth of its time: nullptr, or an error after which the caller ends the transaction, and begins another one.  There
 * they are applied one by one, which tells which one it is.
 */
ErrorData *apply_first(TargetRelation *relation, const PendingChange *first,
					   base::ChangeCounts *counts);
bool apply_again(TargetRelation *relation, const PendingChange *first, base::ChangeCounts *counts,
				 ApplyFailure *failure);

/*
 * What catching up needs from the rest: the source's current row for a key, and the memory of rows
 * set aside.  Keys and values are in the order of TargetRelation::keys and ::columns.
 */
struct CatchUp
{
	void *context;
	bool trust_unchanged; /* an unchanged TOAST value found in the target is the right one */
	/*
	 * The row as the source has it now, with `values` filled (palloc'ed).  The answer counts only if the fetching
	 * snapshot sees all the given transactions; false: not yet, try again later.
	 */
	bool (*refetch)(void *context, const TargetRelation *relation, const wire::Value *key,
					const uint32 *xids, int nxids, wire::Value *values, bool *found);
	mutable bool tracks_aside; /* keys were set aside: tell which are written */
	void (*set_aside)(void *context, const TargetRelation *relation, int nkeys, char **key);
	void (*written)(void *context, const TargetRelation *relation, const wire::Value *key);
};

enum class ReplayResult
{
	done,
	again_later, /* a refetch cannot be answered yet; nothing was applied */
	failed,
};

ReplayResult replay_changes(TargetRelation *relation, const PendingChange *first,
							const CatchUp &catch_up, base::ChangeCounts *counts,
							ApplyFailure *failure);

/*
 * Write whole rows that may meet others: upserts, setting aside rows that are in the way of other unique
 * indexes.  For replay, refetched rows and chunks whose rows came twice.
 */
void write_over(TargetRelation *relation, const WriteRow *rows, size_t count,
				const CatchUp &catch_up);

/* TRUNCATE of several tables at once; DELETE where a foreign key from elsewhere forbids it. */
void truncate_tables(TargetRelation *const *relations, int count, bool restart_identity);

/* Whether the error of an attempt is about a value in binary form; begin the attempt with none. */
void forget_unreadable(TargetRelation *relation);
void note_unreadable(const TargetRelation *relation, ApplyFailure *failure);

} // namespace target
