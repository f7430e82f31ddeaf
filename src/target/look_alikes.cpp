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

Bitmapset *
found_lines(const SPITupleTable *result)
{
	int column = SPI_fnumber(result->tupdesc, kLineName);
	Bitmapset *lines = nullptr;

	for (uint64 i = 0; i < result->numvals; i++)
	{
		bool is_null;
		Datum line = SPI_getbinval(result->vals[i], result->tupdesc, column, &is_null);

		lines = bms_add_member(lines, (int) DatumGetInt64(line) - 1);
	}
	return lines;
}

} // namespace

StatementRun
look_alikes_wanted(const StatementRun &what, uint64 found, MemoryContext context)
{
	StatementRun rest = what;

	rest.count = 0;
	if (!finds_same(what.kind) || !what.relation->has_look_alikes || found >= what.count)
		return rest;

	Bitmapset *lines = found_lines(SPI_tuptable);
	WriteRow *rows = (WriteRow *) MemoryContextAllocHuge(context, sizeof(WriteRow) * what.count);

	for (size_t i = 0; i < what.count; i++)
		if (!bms_is_member((int) i, lines))
			rows[rest.count++] = what.rows[i];
	rest.kind = what.kind == kDeleteSame ? kDeleteEqual : kUpdateEqual;
	rest.rows = rows;
	return rest;
}

} // namespace target
