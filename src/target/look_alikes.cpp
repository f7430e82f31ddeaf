/*
 * target/look_alikes.cpp
 *
 * See look_alikes.hpp.
 */
#include "target/look_alikes.hpp"

#include "target/saved_statement.hpp"
#include "target/statement_text.hpp"

namespace target
{
namespace
{

/* For each of `count` lines: was a row found for it? */
bool *
found_lines(const SPITupleTable *result, size_t count)
{
	int column = SPI_fnumber(result->tupdesc, kLineName);
	bool *found = (bool *) palloc0(count);

	for (uint64 i = 0; i < result->numvals; i++)
	{
		bool is_null;
		Datum line = SPI_getbinval(result->vals[i], result->tupdesc, column, &is_null);

		found[DatumGetInt64(line) - 1] = true;
	}
	return found;
}

} // namespace

StatementRun
look_alikes_wanted(const StatementRun &what, uint64 found, MemoryContext context)
{
	StatementRun rest = what;

	rest.count = 0;
	if (!finds_same(what.kind) || !what.relation->has_look_alikes || found >= what.count)
		return rest;

	bool *is_found = found_lines(SPI_tuptable, what.count);
	WriteRow *rows = (WriteRow *) MemoryContextAllocHuge(context, sizeof(WriteRow) * what.count);

	for (size_t i = 0; i < what.count; i++)
		if (!is_found[i])
			rows[rest.count++] = what.rows[i];
	rest.kind = what.kind == kDeleteSame ? kDeleteEqual : kUpdateEqual;
	rest.rows = rows;
	return rest;
}

} // namespace target
