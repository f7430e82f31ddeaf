/*
 * state/stream_format.hpp
 *
 * What is recorded of the form in which a connector's stream brings values, text or binary, and what
 * the choice is made from: the types of the columns at both sides.
 *
 * Surprising: the types of a change that made us go back to text are recorded only when that change is
 * applied.  Until then its reason stands, by the position of its commit.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

/* Columns of these two types, with one of them as an example. */
struct ColumnTypes
{
	char *table; /* at the source, "schema.table" */
	char *column;
	Oid source_type;
	Oid target_type; /* InvalidOid: there is no such column */
};

struct ColumnTypesList
{
	int count;
	ColumnTypes *types;
};

/* Of all tables whose columns are known, each pair of types once. */
ColumnTypesList load_column_types(int connector_id);

/*
 * Types that this source sends in a binary form that could not be read here: no value of them is asked for in that form again,
 * until the connector is given another source.
 */
struct TypeList
{
	int count;
	Oid *types;
};

TypeList load_unreadable_types(int connector_id);
void note_unreadable_type(int connector_id, Oid type);
bool contains_type(const TypeList &list, Oid type);

/* Text is needed for a change that commits at `lsn` or earlier.  table_id 0: not known for which table. */
void record_text_reason(int connector_id, int64 table_id, XLogRecPtr lsn, const char *reason);

/* The reason, until that change is applied and the columns recorded are not older; nullptr: none. */
char *load_text_reason(int connector_id, XLogRecPtr position);

/* What the stream is begun with.  False: it was the same before, or begins the first time in binary. */
bool record_format(int connector_id, bool is_binary);

} // namespace state
