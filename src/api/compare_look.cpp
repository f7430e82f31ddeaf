/*
 * api/compare_look.cpp
 *
 * The statements of a comparison and their results.  See compare.hpp.
 *
 * Surprising: texts may sort a little differently on the two sides even under one name of a collation,
 * so a row can be in one range there and in another here.  That is no difference yet, because a key
 * that seems to be missing is looked up by itself before anybody believes it.  A bound is used only if
 * it comes after the one before on both sides, or rows here would be in two ranges and counted twice.
 */
#include "api/compare.hpp"

#include "source/result.hpp"

using namespace base;

namespace api
{
namespace
{

struct Cells
{
	int rows;
	int columns;
	char **texts; /* row by row; nullptr: NULL */
};

Cells
make_cells(int rows, int columns)
{
	return Cells{rows, columns,
				 (char **) MemoryContextAllocHuge(
					 CurrentMemoryContext, sizeof(char *) * ((Size) rows * (Size) columns + 1))};
}

Cells
read_source(source::Connection *connection, const char *sql)
{
	PGresult *result = source::query(connection, sql);
	Cells cells = make_cells(PQntuples(result), PQnfields(result));

	for (int row = 0; row < cells.rows; row++)
		for (int column = 0; column < cells.columns; column++)
			cells.texts[row * cells.columns + column] = source::get_text(result, row, column);
	return cells;
}

Cells
read_target(const char *sql)
{
	SqlScope scope = begin_sql();
	uint64 rows = run_sql(sql);
	TupleDesc shape = SPI_tuptable->tupdesc;
	MemoryContext old = MemoryContextSwitchTo(scope.caller);
	Cells cells = make_cells((int) rows, shape->natts);

	for (int row = 0; row < cells.rows; row++)
		for (int column = 0; column < cells.columns; column++)
			cells.texts[row * cells.columns + column] =
				SPI_getvalue(SPI_tuptable->vals[row], shape, column + 1);
	MemoryContextSwitchTo(old);
	end_sql();
	return cells;
}

Cells
read_cells(const Side &side, const char *sql)
{
	return side.connection ? read_source(side.connection, sql) : read_target(sql);
}

char *
typed(const char *value, const char *type)
{
	return psprintf("%s::%s", source::quote_string(value), type);
}

/* The condition for rows of a range; NULLs, which only the target can have, are in the first one. */
char *
range_condition(const Comparison &comparison, const Side &side, const Range &range)
{
	const char *column = comparison.nkeys > 0 ? side.key_columns[0] : side.digest;
	const char *type = comparison.nkeys > 0 ? side.key_types[0] : "bigint";
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%s", side.filter);
	if (range.low != nullptr)
		appendStringInfo(&sql, " AND %s >= %s", column, typed(range.low, type));
	if (range.high != nullptr && range.low == nullptr && side.may_be_null)
		appendStringInfo(&sql, " AND (%s < %s OR %s IS NULL)", column, typed(range.high, type),
						 column);
	else if (range.high != nullptr)
		appendStringInfo(&sql, " AND %s < %s", column, typed(range.high, type));
	return sql.data;
}

/* The first column is the entry's value, the others are its key. */
char *
entry_columns(const Comparison &comparison, const Side &side)
{
	StringInfoData sql;

	if (comparison.nkeys == 0)
		return psprintf("count(*), %s", side.digest);
	initStringInfo(&sql);
	appendStringInfoString(&sql, side.digest);
	for (int i = 0; i < comparison.nkeys; i++)
		appendStringInfo(&sql, ", %s", side.key_texts[i]);
	return sql.data;
}

int
compare_entries(const void *left, const void *right, void *nparts)
{
	return compare_keys(*(const int *) nparts, ((const Entry *) left)->key,
						((const Entry *) right)->key);
}

Entries
to_entries(const Cells &cells)
{
	int nparts = cells.columns - 1;
	Entries it{cells.rows, (Entry *) MemoryContextAllocHuge(
							   CurrentMemoryContext, sizeof(Entry) * (Size) (cells.rows + 1))};

	for (int row = 0; row < cells.rows; row++)
	{
		char **texts = cells.texts + (Size) row * (Size) cells.columns;

		it.entries[row] = Entry{texts + 1, texts[0]};
		/* a key of the target may be NULL, which the source never has */
		for (int i = 0; i < nparts; i++)
			if (it.entries[row].key[i] == nullptr)
				it.entries[row].key[i] = pstrdup("");
	}
	qsort_arg(it.entries, (size_t) it.count, sizeof(Entry), compare_entries, &nparts);
	return it;
}

/* ARRAY['a', 'b'] of one part of all keys */
char *
key_part_array(int count, char ***keys, int part)
{
	char **texts = (char **) palloc(sizeof(char *) * (Size) (count + 1));

	for (int i = 0; i < count; i++)
		texts[i] = keys[i][part];
	return source::array_literal(count, texts);
}

} // namespace

int
compare_keys(int nparts, char *const *left, char *const *right)
{
	int order = 0;

	for (int i = 0; i < nparts && order == 0; i++)
		order = strcmp(left[i], right[i]);
	return order;
}

char *
find_range_end(const Comparison &comparison, const char *low, int64 rows)
{
	const Side &source = comparison.source;
	const Side &target = comparison.target;
	const char *after = low;

	for (;;)
	{
		const char *beyond = after ? psprintf(" AND %s > %s", source.key_columns[0],
											  typed(after, source.key_types[0]))
								   : "";
		Cells next = read_cells(
			source,
			psprintf("SELECT format('%%s', %s) FROM %s WHERE %s%s ORDER BY %s OFFSET " INT64_FORMAT
					 " LIMIT 1",
					 source.key_columns[0], source.relation, source.filter, beyond,
					 source.key_columns[0], after ? rows - 1 : rows));

		if (next.rows == 0)
			return nullptr;
		if (low == nullptr)
			return next.texts[0];
		const char *type = target.key_types[0];
		Cells follows = read_cells(
			target, psprintf("SELECT %s%s > %s%s", typed(next.texts[0], type),
							 target.bound_collation, typed(low, type), target.bound_collation));

		if (strcmp(follows.texts[0], "t") == 0)
			return next.texts[0];
		after = next.texts[0];
	}
}

Totals
look_at_totals(const Comparison &comparison, const Side &side, const Range &range)
{
	Cells cells = read_cells(
		side, psprintf("SELECT count(*), coalesce(sum(%s), 0) FROM %s WHERE %s", side.digest,
					   side.relation, range_condition(comparison, side, range)));

	return Totals{strtoll(cells.texts[0], nullptr, 10), cells.texts[1]};
}

Entries
look_at_range(const Comparison &comparison, const Side &side, const Range &range)
{
	return to_entries(
		read_cells(side, psprintf("SELECT %s FROM %s WHERE %s%s", entry_columns(comparison, side),
								  side.relation, range_condition(comparison, side, range),
								  comparison.nkeys > 0 ? "" : " GROUP BY 2")));
}

Entries
look_at_keys(const Comparison &comparison, const Side &side, int count, char ***keys)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s FROM %s", entry_columns(comparison, side), side.relation);
	if (comparison.nkeys == 0)
	{
		appendStringInfo(&sql, " WHERE %s AND %s = ANY (%s::bigint[]) GROUP BY 2", side.filter,
						 side.digest, key_part_array(count, keys, 0));
		return to_entries(read_cells(side, sql.data));
	}
	appendStringInfoString(&sql, ", unnest(");
	for (int i = 0; i < comparison.nkeys; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", key_part_array(count, keys, i));
	appendStringInfoString(&sql, ") livesync_wanted(");
	for (int i = 0; i < comparison.nkeys; i++)
		appendStringInfo(&sql, "%slivesync_wanted_%d", i > 0 ? ", " : "", i);
	appendStringInfo(&sql, ") WHERE %s", side.filter);
	for (int i = 0; i < comparison.nkeys; i++)
	{
		if (comparison.is_typed)
			appendStringInfo(&sql, " AND %s = livesync_wanted_%d::%s", side.key_columns[i], i,
							 side.key_types[i]);
		else
			appendStringInfo(&sql, " AND %s = livesync_wanted_%d", side.key_texts[i], i);
	}
	return to_entries(read_cells(side, sql.data));
}

} // namespace api
