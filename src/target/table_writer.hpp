/*
 * target/table_writer.hpp
 *
 * Writes sets of rows to a target table: each call is one statement over a tuplestore that the
 * statement reads as an ephemeral named relation, as triggers read their transition tables.  So
 * values keep their exact types and a set costs one plan, saved for each kind and set of columns.
 *
 * In: rows as wire values in the source's column order.  Out: how many rows were written.  Runs
 * inside whatever (sub)transaction and role the caller has.
 *
 * Must not know: folding, conflicts, states.
 *
 * Surprising: text values are turned into datums here, not when they are received: a value that
 * another one overwrites within its batch is never parsed.
 */
#pragma once

#include "target/relation.hpp"
#include "wire/pgoutput.hpp"

namespace target
{

/* One row to write. `find` are the values that find it, in the order of TargetRelation::keys. */
struct WriteRow
{
	const wire::Value *values; /* nullptr for deletes */
	const wire::Value *find;   /* nullptr for inserts */
};

struct TimeSlice;

enum class Statement
{
	del,	/* rows found */
	update, /* rows found, where the key stays */
	move,	/* rows found; the key columns are written too */
	insert,
	upsert, /* insert, or update the row with the same key: needs takes_conflicts */
	exists, /* counts the rows found, changes nothing */
};

/*
 * unchanged: columns (of the source's order) that the statement leaves as they are; nullptr: none.
 * differs: how many of the rows found somebody else had written is added there, if that is known (see row_origin.hpp);
 * nullptr: not asked for.
 */
uint64 write_rows(TargetRelation *relation, Statement statement, const Bitmapset *unchanged,
				  const WriteRow *rows, size_t count, int64 *differs = nullptr);

/* Tables without a key: each row of `rows` takes one row of the target that is equal in all columns. */
uint64 delete_equal_rows(TargetRelation *relation, const WriteRow *rows, size_t count,
						 int64 *differs);
uint64 update_equal_rows(TargetRelation *relation, const Bitmapset *unchanged, const WriteRow *rows,
						 size_t count, int64 *differs);

/*
 * One statement over one set of rows, for the writer's own use.  kind: a Statement or one of those of saved_statement.hpp;
 * slice: of a hypertable, see sliced_writes.hpp.
 */
struct StatementRun
{
	TargetRelation *relation;
	int kind;
	const Bitmapset *unchanged;
	const WriteRow *rows;
	size_t count;
	const TimeSlice *slice; /* nullptr: the statement has no bounds */
	int64 **
		times; /* of kLocate: where the rows found are, palloc'ed; there may be more than were asked for */
	int64 *differs; /* of those that return who wrote each row; nullptr: not asked for */
};
uint64 run_statement(const StatementRun &what);

/* The datum of a value for a column, in the current memory context. */
Datum parse_value(TargetRelation *relation, int column, const wire::Value &value);

/* For other statements over rows: make them visible as livesync_batch, inside an SPI connection. */
void register_batch(TargetRelation *relation, const WriteRow *rows, size_t count);
/* The same in two steps, for sets that grow: rows of the relation's shape in a store of the caller's. */
void add_to_store(TargetRelation *relation, Tuplestorestate *store, const WriteRow *rows,
				  size_t count);
void register_store(TargetRelation *relation, Tuplestorestate *store, size_t count);

/* The columns that are unchanged in a row, or nullptr when there are none. */
Bitmapset *unchanged_columns(const TargetRelation *relation, const wire::Value *values);

} // namespace target
