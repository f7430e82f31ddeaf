/*
 * target/look_alikes.hpp
 *
 * Rows of a table without a key that are equal and not the same: 1.0 and 1.00, or what a collation here does not tell apart.
 *
 * The same row goes first.  But a row that was made here otherwise is found by equality, as the server's own apply finds it, when
 * none is the same.
 */
#pragma once

#include "target/table_writer.hpp"

namespace target
{

/*
 * After the statement for rows that are the same, while SPI still has its result: what to run for those that it did not find;
 * count is 0 when there are none.  In the given context.
 */
StatementRun look_alikes_wanted(const StatementRun &what, uint64 found, MemoryContext context);

} // namespace target
