/*
 * target/saved_statement.hpp
 *
 * The plans of the writer's statements, kept for each table by kind and columns left alone.
 *
 * In: what is to be run.  Out: a plan, which the next call for the table may free.  Needs an SPI connection.
 */
#pragma once

#include "target/table_writer.hpp"

namespace target
{

/* What a statement is saved under: Statement, or one of these, of which four are for tables without a key. */
enum StatementKind
{
	kDeleteSame = 100,
	kUpdateSame,
	kDeleteEqual, /* of which there are no same ones */
	kUpdateEqual,
	kLocate,  /* where the rows found are, of a hypertable */
	kWriters, /* who wrote the rows found */
};

/* Does it find rows that are the same, and leave those that are only equal to another one? */
inline bool
finds_same(int kind)
{
	return kind == kDeleteSame || kind == kUpdateSame;
}

/*
 * One row needs no set: it comes as parameters, one for each column of row_shape.  Making a set of one row and joining it takes
 * as long as writing it.
 */
bool is_lone(const StatementRun &what);

SPIPlanPtr saved_plan(const StatementRun &what);

} // namespace target
