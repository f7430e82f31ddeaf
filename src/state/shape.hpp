/*
 * state/shape.hpp
 *
 * The columns of the source that a target was made to fit: what a description in the stream is
 * compared with.  Set when a copy begins, from the source's catalog, and then by each description
 * that the target has followed, in the transaction of the first change of that form.
 *
 * Surprising: types are the source's oids.  Only those of built-in types mean anything here.
 */
#pragma once

#include "base/sql.hpp"

namespace state
{

struct ShapeColumn
{
	char *name;
	Oid type;
	int32 modifier;
};

struct Shape
{
	bool is_known;
	int count;
	ShapeColumn *columns;
	XLogRecPtr lsn;	  /* a description of an older change may be older than the shape */
	char *storage;	  /* the source's files then; nullptr: not known */
	bool is_followed; /* the connector's policy, as it is now */
};

/* In the current memory context. */
Shape load_shape(int64 table_id);

/* storage: nullptr leaves it as it is. */
void record_shape(int64 table_id, int count, const ShapeColumn *columns, XLogRecPtr lsn,
				  const char *storage);

/* The source moved the rows to other files while the columns were those of the shape: a rewrite that changed none. */
void record_storage(int64 table_id, int count, const char *const *columns, const char *storage);

const ShapeColumn *find_column(const Shape &shape, const char *name);

} // namespace state
